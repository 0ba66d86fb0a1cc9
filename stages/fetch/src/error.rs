//! Why no image could be opened.

use std::io;
use std::path::PathBuf;

use cvbake_verify::{Digest, shorten};

use crate::Problem;

/// Why a source can't be used. `place` is the source or the path of what it stands in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that names no source.
    #[error("{:?} is not an image source: {problem}", shorten(text))]
    Source {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Something of a repository in a registry can't be fetched.
    #[error("cannot fetch {object} of {repository} from {registry}")]
    Registry {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// What was wanted of it: a manifest by tag or digest, a blob, a layer.
        object: String,
        /// Why.
        source: Box<Problem>,
    },
    /// A short name that stands for no image.
    #[error("{:?} does not name a registry: {problem}", shorten(name))]
    ShortName {
        /// The name.
        name: String,
        /// Why nothing follows from it.
        problem: String,
    },
    /// A configuration of registries that can't be used.
    #[error("{}, line {line}: {problem}", path.display())]
    Registries {
        /// The file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: usize,
        /// What is there, and what was expected.
        problem: String,
    },
    /// Something can't be pushed to a repository in a registry.
    #[error("cannot push {object} to {repository} in {registry}")]
    Push {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// What was to be pushed: a blob, a manifest by tag or digest.
        object: String,
        /// Why.
        source: Box<Problem>,
    },
    /// A registry does not know us, or can't be asked.
    #[error("cannot log in to {registry}")]
    Login {
        /// The registry.
        registry: String,
        /// Why.
        source: Box<Problem>,
    },
    /// A text that names no registry.
    #[error(
        "{:?} is not a registry: expected localhost, or a host with a dot or a port, optionally with a path",
        shorten(text)
    )]
    Registrar {
        /// The text.
        text: String,
    },
    /// Credentials can't be stored or removed.
    #[error("cannot change the credentials in {}", path.display())]
    Logins {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no credentials to be removed.
    #[error("not logged in to {registry}: {} has no credentials for it", path.display())]
    NotLoggedIn {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
    },
    /// Something that is no image, or nothing that can be pushed.
    #[error("{place}: cannot be pushed: {problem}")]
    NotPushable {
        /// What was to be pushed.
        place: String,
        /// Why not.
        problem: String,
    },
    /// A transport that other tools have.
    #[error(
        "{:?}: the transport {transport:?} is not supported: expected a name in a registry, oci:, oci-archive:, docker-archive: or tar:",
        shorten(text)
    )]
    Transport {
        /// The source.
        text: String,
        /// The part before the colon.
        transport: String,
    },
    /// A file can't be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file can't be read.
    #[error("cannot read {place}")]
    Read {
        /// The file, or the file in an archive.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A path that leads to something that has no content.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A file for work in progress can't be made or written.
    #[error("cannot write a temporary file in {}", path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An output can't be written.
    #[error("cannot write {place}")]
    Write {
        /// The file or directory.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A blob can't be read, or is not what its digest says.
    #[error("blob {digest}")]
    Blob {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// A layer can't be read.
    #[error("layer {number}")]
    Layer {
        /// Which; the lowest is 1.
        number: usize,
        /// Why.
        source: io::Error,
    },
    /// A layer is not what it should be.
    #[error(transparent)]
    Verify {
        /// How that shows.
        source: Box<cvbake_verify::Error>,
    },
    /// Something that should be an OCI image layout, and is not.
    #[error("{place}: not an OCI image layout: {problem}")]
    NotALayout {
        /// The directory or archive.
        place: String,
        /// How that shows.
        problem: String,
    },
    /// Something that should be an archive of `docker save`, and is not.
    #[error("{place}: not a Docker archive: {problem}")]
    NotADockerArchive {
        /// The archive.
        place: String,
        /// How that shows.
        problem: &'static str,
    },
    /// A document of a layout or an archive is wrong.
    #[error("{place}")]
    Document {
        /// The layout or archive.
        place: String,
        /// What is wrong with which document.
        source: Box<cvbake_verify::Error>,
    },
    /// A tar archive that is broken.
    #[error("{place}")]
    Archive {
        /// The archive.
        place: String,
        /// What is wrong where.
        source: cvbake_archive::Error,
    },
    /// A layout or an archive without images.
    #[error("{place}: contains no image")]
    NoImage {
        /// The layout or archive.
        place: String,
    },
    /// None of the images has the name that was asked for.
    #[error("{place}: no image {:?}; available: {}", shorten(name), list(available))]
    NoSuchImage {
        /// The layout or archive.
        place: String,
        /// What was asked for.
        name: String,
        /// What there is.
        available: Vec<String>,
    },
    /// Several images, and nothing says which one is meant.
    #[error("{place}: contains several images; expected the name of one of them: {}", list(available))]
    SeveralImages {
        /// The layout or archive.
        place: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A blob that is pointed to and isn't there.
    #[error("{place}: blob {digest} is missing")]
    NoBlob {
        /// Where it was looked for.
        place: String,
        /// The blob.
        digest: Digest,
    },
    /// A blob that the store does not have.
    #[error("{name}: blob {digest} is not in the store")]
    NotStored {
        /// The image that needs it.
        name: String,
        /// The blob.
        digest: Digest,
    },
    /// A layer that isn't there.
    #[error("{place}: layer {number} is missing")]
    NoLayer {
        /// Where it was looked for.
        place: String,
        /// The layer; the lowest is 1.
        number: usize,
    },
    /// A file that should be in an archive and isn't.
    #[error("{place}: no file {:?} in the archive", shorten(name))]
    NoMember {
        /// The archive.
        place: String,
        /// The name of the file, escaped.
        name: String,
    },
    /// A file in an archive that can't be used.
    #[error("{place}: {:?} in the archive {problem}", shorten(name))]
    Member {
        /// The archive.
        place: String,
        /// The name of the file, escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More files in an archive than any image needs.
    #[error("{place}: more than {limit} files in the archive")]
    TooManyMembers {
        /// The archive.
        place: String,
        /// The limit.
        limit: usize,
    },
    /// Longer names in an archive than any image needs.
    #[error("{place}: more than {limit} bytes of names in the archive")]
    NamesTooLong {
        /// The archive.
        place: String,
        /// The limit.
        limit: usize,
    },
    /// Nothing where an archive should be: most likely what should have written it failed.
    #[error("{place}: is empty, expected a tar archive")]
    Empty {
        /// The file or stream.
        place: String,
    },
    /// A stream that comes only once was wanted again.
    #[error("{place}: has been read already, and cannot be read a second time")]
    ReadTwice {
        /// The stream.
        place: String,
    },
}

/// The most names that an error lists.
const MAX_LISTED: usize = 32;

fn list(names: &[String]) -> String {
    let shown = names.iter().take(MAX_LISTED).map(|name| shorten(&name.escape_debug().to_string())).collect::<Vec<_>>();
    match names.len().checked_sub(shown.len()) {
        _ if names.is_empty() => "none".to_owned(),
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Error {
    /// About a directory for temporary files, by its name rather than by the descriptor that leads
    /// to it.
    pub(crate) fn scratch(dir: &std::path::Path, source: io::Error) -> Error {
        Error::Scratch { path: cvbake_durable::shown(dir), source }
    }

    /// As the reason of an [`io::Error`], for readers.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Error::Open { source, .. } | Error::Read { source, .. } | Error::Scratch { source, .. } => source.kind(),
            Error::NoBlob { .. } | Error::NoMember { .. } | Error::NoLayer { .. } | Error::NotStored { .. } => {
                io::ErrorKind::NotFound
            }
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}
