//! Names of images, and what they point to.

use std::time::SystemTime;

use cvbake_verify::Digest;
use serde::{Deserialize, Serialize};

/// What a name points to: a manifest or an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Its digest.
    pub digest: Digest,
    /// What it was served as.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Where an image has its name from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A registry said what the name points to: it can be asked again.
    Registry,
    /// A file, or nobody knows: stores did not always note it, and other programs put images into
    /// them. What is lost may be lost for good.
    #[default]
    Import,
}

/// A name of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The name: `registry/path:tag` or `registry/path@digest`; `@digest` for an image that has
    /// none.
    pub name: String,
    /// What it points to.
    pub reference: Reference,
    /// Who says so.
    pub origin: Origin,
    /// When it was found to point there.
    pub pulled: SystemTime,
    /// When it was used last.
    pub used: SystemTime,
}

impl Named {
    /// Whether the image has no name, and is called by its digest.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        is_anonymous(&self.name)
    }
}

/// What an image is called that has no name: its digest in no repository.
#[must_use]
pub fn anonymous(digest: &Digest) -> String {
    format!("@{digest}")
}

/// Whether an image that is called this has no name.
#[must_use]
pub fn is_anonymous(name: &str) -> bool {
    name.starts_with('@')
}
