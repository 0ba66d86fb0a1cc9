//! What can be wrong with a disk that is read.

use std::io;
use std::path::PathBuf;

use crate::format::FileFormat;

/// What is wrong with a differencing disk and its parents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainProblem {
    /// It names its parent by no path that Windows has.
    #[error("it says that its parent is at {relative:?}, which is no path of Windows")]
    NoPath {
        /// What it says.
        relative: String,
    },
    /// The parent is named by an absolute path of Windows only, or not at all.
    #[error("it has no relative path to its parent")]
    NoRelativePath,
    /// The parent has other content than when the child was made.
    #[error("its parent {} was changed after the child was made", parent.display())]
    Changed {
        /// The parent.
        parent: PathBuf,
    },
    /// The parent is not the disk that the child was made of.
    #[error("{} is another disk than its parent was", parent.display())]
    Other {
        /// The file where the parent should be.
        parent: PathBuf,
    },
    /// The sectors of parent and child have different sizes.
    #[error("its parent {} has sectors of another size", parent.display())]
    Sectors {
        /// The parent.
        parent: PathBuf,
    },
    /// A parent was named for a disk that has none.
    #[error("it has no parent, and {} was named as one", parent.display())]
    NoParent {
        /// What was named.
        parent: PathBuf,
    },
    /// The parent is named by what is not followed: an absolute path, or what is no path at all.
    #[error("it says that its backing file is {name:?}, and only relative paths are followed")]
    Elsewhere {
        /// What it says.
        name: String,
    },
    /// The parent is raw, so that any file could be it, and elsewhere than the child.
    #[error("it says that its backing file is {name:?}, and of raw ones only those beside it or below are followed")]
    AnyFile {
        /// What it says.
        name: String,
    },
    /// Nothing says in which format the parent is.
    #[error("it does not say in which format its backing file {name:?} is")]
    NoFormat {
        /// What it says that the parent is called.
        name: String,
    },
    /// The parent is in a format that is not read.
    #[error("its backing file {name:?} is in the format {format:?}, expected raw, qcow2, vpc or vhdx")]
    OtherFormat {
        /// What it says that the parent is called.
        name: String,
        /// The format.
        format: String,
    },
    /// It looks like a disk with a parent, and nobody has said that it is one.
    #[error("its content is that of a {format} with a parent, and its name does not say so")]
    Unsaid {
        /// The format.
        format: FileFormat,
    },
    /// It looks like another format, and nobody has said that it is one.
    #[error("its content is that of a {format}, and its name does not say so")]
    Unclear {
        /// The format.
        format: FileFormat,
    },
    /// The parent reads from the child.
    #[error("its parent {} is one of its own children", parent.display())]
    Circle {
        /// The parent.
        parent: PathBuf,
    },
    /// Too many disks, one the parent of the next.
    #[error("it is disk {} of a chain, expected at most {max}", max + 1)]
    TooLong {
        /// How many there may be.
        max: usize,
    },
}

/// Reading what is on a disk failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct DiskReadError {
    /// The file of the disk's chain that it is about.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}
