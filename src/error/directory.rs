//! Why an image does not become a directory.

use std::io;
use std::path::PathBuf;

/// Why an image does not become a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Something is there.
    #[error("{} is there, expected no such file or an empty directory", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else makes it.
    #[error("another process is writing {}", path.display())]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// The directory can't be made.
    #[error("cannot write {}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file in it can't be made.
    #[error("cannot write {file} into {}", dir.display())]
    File {
        /// The directory.
        dir: PathBuf,
        /// The file of the image, escaped.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}
