//! Why the programs of e2fsprogs made no filesystem.

use std::io;
use std::path::PathBuf;

use cvbake_tree::Place;

/// Why the programs of e2fsprogs made no filesystem. Paths and names of an image are escaped as in
/// listings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tree or the options make no ext4, whoever writes it.
    #[error(transparent)]
    Plan(#[from] crate::Error),
    /// A program is not installed.
    #[error("the program {program} of e2fsprogs is not installed")]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// A program could not be started.
    #[error("cannot run {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program failed, or complained.
    #[error("{} failed ({status}): {output}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// Something legal that e2fsprogs has no way to make.
    #[error("{path}: e2fsprogs cannot make {what}")]
    CannotHold {
        /// The file in the image.
        path: Place,
        /// What it can't make.
        what: &'static str,
    },
    /// Options that e2fsprogs has no way to follow.
    #[error("e2fsprogs cannot make {what}")]
    CannotMake {
        /// What it can't make.
        what: &'static str,
    },
    /// A file of the image could not be staged.
    #[error("cannot stage {path} in {}", dir.display())]
    Stage {
        /// The file in the image.
        path: Place,
        /// Where it should be staged.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content of a file could not be read.
    #[error("cannot read the content of {path}")]
    Content {
        /// The file in the image.
        path: Place,
        /// Why.
        source: io::Error,
    },
    /// The disk or a file in the scratch directory could not be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was made is not what was asked for.
    #[error("{path}: e2fsprogs made the {what} {found}, expected {expected}")]
    Differs {
        /// The file in the image.
        path: Place,
        /// What differs.
        what: &'static str,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// What was made is no filesystem of ours.
    #[error("{}: {what} is {found}, expected {expected}", path.display())]
    Unreadable {
        /// The disk.
        path: PathBuf,
        /// What is not as it should be.
        what: &'static str,
        /// As it should be.
        expected: u64,
        /// As it is.
        found: u64,
    },
}

impl Error {
    /// The inode of the image that it is about, if it is about one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Error::Plan(error) => error.place(),
            Error::CannotHold { path, .. }
            | Error::Stage { path, .. }
            | Error::Content { path, .. }
            | Error::Differs { path, .. } => Some(path),
            _ => None,
        }
    }
}
