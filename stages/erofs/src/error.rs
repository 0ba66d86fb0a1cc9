//! Why a tree or a set of options makes no filesystem.

use cvbake_tree::Place;

/// Why a tree or a set of options makes no filesystem. Paths and names are escaped as in listings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A label that the superblock can't hold.
    #[error("the label {label:?} has {len} bytes, expected at most {max}")]
    Label {
        /// The label, escaped.
        label: String,
        /// Its length.
        len: usize,
        /// The most bytes.
        max: usize,
    },
    /// More than 32-bit block numbers reach.
    #[error("a filesystem of {} GiB is too large, expected at most {} GiB", bytes.div_ceil(1 << 30), max >> 30)]
    TooLarge {
        /// The size needed, as far as that was counted.
        bytes: u64,
        /// The largest possible.
        max: u64,
    },
    /// A file beyond what 32-bit block numbers within a file reach.
    #[error("{path} has {size} bytes, expected at most {max}")]
    FileSize {
        /// The file.
        path: Place,
        /// Its size.
        size: u64,
        /// The largest possible.
        max: u64,
    },
    /// Runs of content that overlap or lie beyond the file's end.
    #[error("{path}: run of content at block {file_block} is out of order or beyond the file's {size} bytes")]
    Segments {
        /// The file.
        path: Place,
        /// Where the run starts in the file.
        file_block: u32,
        /// The file's size.
        size: u64,
    },
    /// A symbolic link's target that Linux refuses.
    #[error("{path}: target of the symbolic link has {len} bytes, expected 1 to {max}")]
    SymlinkLength {
        /// The link.
        path: Place,
        /// The target's length.
        len: usize,
        /// The longest possible.
        max: usize,
    },
    /// A symbolic link's target that would end early.
    #[error("{path}: target of the symbolic link has a NUL at byte {at}")]
    SymlinkNul {
        /// The link.
        path: Place,
        /// Where the NUL is.
        at: usize,
    },
    /// A device number that Linux does not have.
    #[error("{path}: device {major}:{minor} is out of range, expected at most {max_major}:{max_minor}")]
    Device {
        /// The device.
        path: Place,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
        /// The largest major number.
        max_major: u32,
        /// The largest minor number.
        max_minor: u32,
    },
    /// An extended attribute's name that Linux refuses, or EROFS has no number for.
    #[error("{path}: extended attribute {name:?}: {problem}")]
    XattrName {
        /// The file.
        path: Place,
        /// The attribute's name, escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Extended attributes that are more than an inode can have.
    #[error("{path}: extended attribute {name:?} needs {needed} bytes, {available} are available")]
    XattrSpace {
        /// The file.
        path: Place,
        /// The attribute that found no room, escaped.
        name: String,
        /// What it needs, its name and its header included.
        needed: usize,
        /// What the other attributes leave.
        available: usize,
    },
    /// An access control list that is none.
    #[error("{path}: access control list in {name:?}: {problem} {found}, expected {expected}")]
    Acl {
        /// The file.
        path: Place,
        /// The attribute's name, escaped.
        name: String,
        /// What is wrong.
        problem: &'static str,
        /// The number found.
        found: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// The sink did not take the filesystem.
    #[error("cannot write the filesystem")]
    Write {
        /// Why.
        #[source]
        source: cvbake_disk::Error,
    },
}

impl Error {
    /// The inode it is about, if it is about one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Error::FileSize { path, .. }
            | Error::Segments { path, .. }
            | Error::SymlinkLength { path, .. }
            | Error::SymlinkNul { path, .. }
            | Error::Device { path, .. }
            | Error::XattrName { path, .. }
            | Error::XattrSpace { path, .. }
            | Error::Acl { path, .. } => Some(path),
            Error::Label { .. } | Error::TooLarge { .. } | Error::Write { .. } => None,
        }
    }
}
