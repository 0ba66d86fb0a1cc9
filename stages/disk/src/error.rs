//! What can go wrong with an output.

use std::io;
use std::path::PathBuf;

/// Why an output could not be made.
///
/// A full disk is a [`Error::Write`] (or any other variant with a source) whose source is
/// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target is there, and replacing it was not asked for.
    #[error("{} exists already", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The target is something that is never replaced or written through.
    #[error("{} is {found}, expected a regular file or nothing", path.display())]
    NotAFile {
        /// The target.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
    },
    /// The target is somebody else's, in a directory where only its owner can replace it.
    #[error("{} belongs to user {owner}: in a directory with the sticky bit only that user can replace it", path.display())]
    Foreign {
        /// The target.
        path: PathBuf,
        /// The number of the user whose it is.
        owner: u32,
    },
    /// The target can't be the name of a file.
    #[error("{:?} does not end in a file name", path.display())]
    NoName {
        /// The target.
        path: PathBuf,
    },
    /// The target or its directory could not be looked at.
    #[error("cannot open {}", path.display())]
    Open {
        /// The target or its directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No temporary file could be made beside the target.
    #[error("cannot create {}", path.display())]
    Create {
        /// The temporary file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write {len} bytes at offset {offset} of {}", path.display())]
    Write {
        /// The file written to.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// What should be copied to the output could not be read.
    #[error("cannot read {len} bytes at offset {offset} of {}", path.display())]
    Read {
        /// The file read from.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The output could not be given its length.
    #[error("cannot make {} {len} bytes long", path.display())]
    SetLen {
        /// The file.
        path: PathBuf,
        /// The length.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The output could not be brought to stable storage.
    #[error("cannot sync {}", path.display())]
    Sync {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else has changed what stands under a name while the output was made.
    #[error("{} is not the file that was written there: somebody has put another in its place", path.display())]
    Swapped {
        /// The temporary file or the target.
        path: PathBuf,
    },
    /// The whole output could not be given its name.
    #[error("cannot rename {} to {}", from.display(), to.display())]
    Rename {
        /// The temporary file.
        from: PathBuf,
        /// The target.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
}
