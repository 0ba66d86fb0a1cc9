//! Why a tree does not become something else.

use std::io;

/// Why a tree can't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that the form can't hold.
    #[error("\"{path}\" {problem}")]
    Entry {
        /// The path of the file, escaped.
        path: String,
        /// Why.
        problem: Problem,
    },
    /// The content of a file can't be read.
    #[error("cannot read the content of \"{path}\"")]
    Content {
        /// The path of the file, escaped.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The output can't be written.
    #[error("cannot write the archive")]
    Write {
        /// Why.
        source: io::Error,
    },
}

/// What a form can't hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Archives have no sockets.
    #[error("is a socket, which a tar archive cannot hold")]
    Socket,
    /// The name of an attribute would end where it does not.
    #[error("has an extended attribute \"{name}\", expected a name without '=' and NUL")]
    XattrName {
        /// The name, escaped.
        name: String,
    },
}
