//! What can go wrong with a hash tree.

use std::fmt;
use std::io;

/// Why a hash area could not be written, or does not fit a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A disk that is not made of blocks.
    #[error("a disk of {len_bytes} bytes cannot have a hash tree, expected a multiple of 4096")]
    Length {
        /// How long it is.
        len_bytes: u64,
    },
    /// More blocks than a tree can have, or none.
    #[error("a hash tree of {found} blocks, expected 1 to {max}")]
    DataBlocks {
        /// How many.
        found: u64,
        /// How many there may be.
        max: u64,
    },
    /// What is to be hashed or checked can't be read.
    #[error("cannot read the {part} at offset {offset}")]
    Read {
        /// What.
        part: Part,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The hash area can't be written.
    #[error(transparent)]
    Write(#[from] cvbake_disk::Error),
    /// There is no hash area where one was said to be.
    #[error("there is no superblock of dm-verity, expected the signature \"verity\"")]
    NoSuperblock,
    /// A superblock that wants something else than what is supported.
    #[error("{field} of the superblock is {found}, expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// The value that is supported.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// A superblock that wants another hash function.
    #[error("the superblock's algorithm is \"{found}\", expected sha256")]
    Algorithm {
        /// What it says.
        found: String,
    },
    /// A superblock with a longer salt than there is room for.
    #[error("the superblock's salt has {found} bytes, expected at most {max}")]
    SaltSize {
        /// What it says.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// A disk or a hash area that ends too early.
    #[error("the {part} has {found} bytes, expected {expected}")]
    CutOff {
        /// Which.
        part: Part,
        /// How many there must be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A block that is not what the tree says.
    #[error("{place} does not have the expected hash")]
    Mismatch {
        /// The first one in the order in which they are checked: from the root down, and from the
        /// start on.
        place: Place,
    },
    /// The caller wanted no more of it.
    #[error("stopped")]
    Stopped,
}

/// Of which of the two something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The blocks that the tree is about.
    Data,
    /// The tree.
    Hashes,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Data => "disk",
            Part::Hashes => "hash area",
        })
    }
}

/// A block of a disk or of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A block of data, by its number.
    Data(u64),
    /// A block of a level of the tree, of which 0 is the lowest.
    Hashes {
        /// The level.
        level: usize,
        /// The block in it.
        block: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Data(block) => write!(f, "block {block}"),
            Place::Hashes { level, block } => write!(f, "block {block} of level {level} of the hash tree"),
        }
    }
}
