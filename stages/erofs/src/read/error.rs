//! Why a filesystem can't be read.

use std::fmt;
use std::io;

/// Why a filesystem, or something in it, can't be read. Paths and names are escaped as in listings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not this filesystem.
    #[error("there is no EROFS filesystem: the magic number is {found:#010x}, expected 0xe0f5e1e2")]
    Magic {
        /// What stands in its place.
        found: u32,
    },
    /// A disk that is shorter than any filesystem.
    #[error("there is no EROFS filesystem: the disk has {len_bytes} bytes, expected at least 1152")]
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
    /// Content that is there, in a form that this reader does not know.
    #[error("{object} is compressed, expected plain content, which is all that cvbake reads")]
    Compressed {
        /// What it is.
        object: Object,
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
        /// The path.
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
    /// An inode.
    Inode(u64),
    /// The chunk map of an inode.
    Map(u64),
    /// A block of a directory.
    Directory {
        /// The inode.
        nid: u64,
        /// The block of the directory.
        block: u64,
    },
    /// The content of a file, or a symbolic link's target.
    Content(u64),
    /// The extended attributes behind an inode.
    Attributes(u64),
    /// An extended attribute that several inodes have.
    Shared(u32),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Superblock => f.write_str("the superblock"),
            Object::Inode(nid) => write!(f, "inode {nid}"),
            Object::Map(nid) => write!(f, "the chunk map of inode {nid}"),
            Object::Directory { nid, block } => write!(f, "block {block} of directory {nid}"),
            Object::Content(nid) => write!(f, "the content of inode {nid}"),
            Object::Attributes(nid) => write!(f, "the extended attributes of inode {nid}"),
            Object::Shared(id) => write!(f, "the shared extended attribute {id}"),
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

    pub(super) fn damaged(self, problem: Problem) -> Error {
        Error::Damaged { object: self, problem }
    }
}

impl Error {
    /// Whether it is about content that is compressed: the filesystem may be as it should be.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        match self {
            Error::Compressed { .. } => true,
            Error::At { source, .. } => source.is_compressed(),
            _ => false,
        }
    }

    /// With the path of what it is about.
    pub(super) fn at(self, path: &[u8]) -> Error {
        let path = cvbake_tree::escape_short(path);
        match self {
            located @ (Error::At { .. } | Error::NotFound { .. } | Error::Links { .. }) => located,
            source => Error::At { path, source: Box::new(source) },
        }
    }
}
