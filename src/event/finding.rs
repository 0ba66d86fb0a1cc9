//! What the user should know, and can do something about.

use std::fmt;
use std::path::PathBuf;

use cvbake_verify::Digest;

use crate::text;

/// Something that is no error, but not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Something in the store is damaged, and was left as it is.
    Damaged {
        /// What.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Names of images are not where they should be.
    NamesLost {
        /// Where they should be.
        path: PathBuf,
        /// How many are known from elsewhere.
        known: usize,
    },
    /// A root filesystem looks like an archive of an image.
    ImageArchive {
        /// The source, as it was asked for.
        source: String,
        /// What it looks like.
        archive: Archive,
    },
    /// Images of the store are not all there.
    Incomplete {
        /// How many.
        images: usize,
    },
    /// The store is larger than it may be, because images are in it that no registry gives back.
    Spared {
        /// How large it is.
        problem: String,
        /// Their names.
        images: String,
    },
    /// The store has images that no name leads to.
    Unnamed {
        /// How many.
        images: usize,
    },
    /// The last name of an image points to another one now.
    LostName {
        /// The name.
        name: String,
        /// The digest of the image that has none any more.
        digest: Digest,
        /// Whether it stays all the same, because it was imported.
        kept: bool,
    },
}

/// A kind of archive that an image comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// What `docker save` and `podman save` write.
    Docker,
    /// An OCI image layout.
    Oci,
}

/// On one line, whatever names are in it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self {
            Finding::Damaged { what, problem } => format!("{what} is damaged: {problem}"),
            Finding::NamesLost { path, known } => {
                let path = path.display();
                match known {
                    0 => format!("the names of all images are lost from {path}"),
                    1 => format!("the name of an image is lost from {path}, but not from index.json"),
                    _ => format!("the names of {known} images are lost from {path}, but not from index.json"),
                }
            }
            Finding::ImageArchive { source, archive } => {
                let archive = match archive {
                    Archive::Docker => "a docker archive",
                    Archive::Oci => "an OCI archive",
                };
                format!("{source} looks like {archive} of an image, but is taken for a root filesystem")
            }
            Finding::Spared { problem, images } => format!("{problem}: images that were imported stay: {images}"),
            Finding::Incomplete { images: 1 } => "an image in the store is incomplete".to_owned(),
            Finding::Incomplete { images } => format!("{images} images in the store are incomplete"),
            Finding::Unnamed { images: 1 } => "an image in the store has no name".to_owned(),
            Finding::LostName { name, digest, kept } => {
                let origin = if *kept { "imported" } else { "pulled" };
                format!("{name} names another image now: {digest}, which was {origin}, has no name any more")
            }
            Finding::Unnamed { images } => format!("{images} images in the store have no name"),
        };
        f.write_str(&text::message(&said))
    }
}
