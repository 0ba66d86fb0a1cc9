//! Why a filesystem can't be read.

use std::fmt;
use std::io;

/// Why a filesystem, or something in it, can't be read. Paths and names are escaped as in listings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not this filesystem.
    #[error("there is no ext4 filesystem: the magic number is {found:#06x}, expected 0xef53")]
    Magic {
        /// What stands in its place.
        found: u16,
    },
    /// A disk that is shorter than any filesystem.
    #[error("there is no ext4 filesystem: the disk has {len_bytes} bytes, expected at least 2048")]
    Short {
        /// The length of the disk.
        len_bytes: u64,
    },
    /// Features that change where things are.
    #[error("the filesystem has features that cvbake does not read: {features}")]
    Features {
        /// Their names.
        features: String,
    },
    /// Something that is not as it must be.
    #[error("{object}: {problem}")]
    Damaged {
        /// What it is.
        object: Object,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The disk did not give the bytes.
    #[error("cannot read {object}")]
    Read {
        /// What was to be read.
        object: Object,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The path of what an error is about.
    #[error("{path}")]
    At {
        /// The path, escaped.
        path: String,
        /// The error.
        #[source]
        source: Box<Error>,
    },
    /// No such file.
    #[error("{path} does not exist")]
    NotFound {
        /// The path, escaped.
        path: String,
    },
    /// Something that is not of the kind it has to be.
    #[error("{path} is {found}, expected {expected}")]
    NotA {
        /// The path or the number of the inode.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Too many symbolic links.
    #[error("{path} leads over more than {max} symbolic links")]
    Links {
        /// The path, escaped.
        path: String,
        /// The most that are followed.
        max: u32,
    },
    /// Files that are no tree.
    #[error("its files are no tree")]
    Tree {
        /// Why.
        #[source]
        source: cvbake_tree::BuildError,
    },
}

/// A part of a filesystem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Object {
    /// The superblock.
    Superblock,
    /// The descriptor of a group.
    Group(u64),
    /// An inode.
    Inode(u32),
    /// A block of an inode's extent tree or block map.
    Map {
        /// The inode.
        ino: u32,
        /// The block of the filesystem.
        block: u64,
    },
    /// A block of a directory.
    Directory {
        /// The inode.
        ino: u32,
        /// The block of the directory.
        block: u64,
    },
    /// The content of a file, or a symbolic link's target.
    Content(u32),
    /// The extended attributes in an inode.
    Attributes(u32),
    /// The block with an inode's further extended attributes.
    AttributeBlock {
        /// The inode.
        ino: u32,
        /// The block of the filesystem.
        block: u64,
    },
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Superblock => f.write_str("the superblock"),
            Object::Group(group) => write!(f, "the descriptor of group {group}"),
            Object::Inode(ino) => write!(f, "inode {ino}"),
            Object::Map { ino, block } => write!(f, "block {block}, of the block map of inode {ino}"),
            Object::Directory { ino, block } => write!(f, "block {block} of directory {ino}"),
            Object::Content(ino) => write!(f, "the content of inode {ino}"),
            Object::Attributes(ino) => write!(f, "the extended attributes in inode {ino}"),
            Object::AttributeBlock { ino, block } => {
                write!(f, "block {block}, of the extended attributes of inode {ino}")
            }
        }
    }
}

/// What is wrong with a part of a filesystem.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A number that can't be.
    Value {
        /// What the number is of, as the specification calls it.
        field: &'static str,
        /// The number.
        found: u64,
        /// What it should be.
        expected: String,
    },
    /// Not the bytes that were written.
    Checksum {
        /// The checksum of the bytes.
        found: u32,
        /// The one that stands there.
        expected: u32,
    },
    /// Another rule that is broken.
    Rule(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Value { field, found, expected } => write!(f, "{field} is {found}, expected {expected}"),
            Problem::Checksum { found, expected } => write!(f, "checksum is {found:08x}, expected {expected:08x}"),
            Problem::Rule(rule) => f.write_str(rule),
        }
    }
}

impl Object {
    pub(super) fn value(self, field: &'static str, found: impl Into<u64>, expected: impl Into<String>) -> Error {
        self.damaged(Problem::Value { field, found: found.into(), expected: expected.into() })
    }

    pub(super) fn rule(self, rule: impl Into<String>) -> Error {
        self.damaged(Problem::Rule(rule.into()))
    }

    pub(super) fn unreadable(self, source: io::Error) -> Error {
        Error::Read { object: self, source }
    }

    /// Compares a checksum.
    pub(super) fn check(self, found: u32, expected: u32) -> Result<(), Error> {
        if found == expected { Ok(()) } else { Err(self.damaged(Problem::Checksum { found, expected })) }
    }

    fn damaged(self, problem: Problem) -> Error {
        Error::Damaged { object: self, problem }
    }
}

impl Error {
    /// With the path of what it is about.
    pub(super) fn at(self, path: &[u8]) -> Error {
        let path = cvbake_tree::escape_short(path);
        match self {
            located @ (Error::At { .. } | Error::NotFound { .. } | Error::Links { .. }) => located,
            source => Error::At { path, source: Box::new(source) },
        }
    }
}
