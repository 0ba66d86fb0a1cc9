//! What is wrong with what is inside of a disk.

use std::io;
use std::path::PathBuf;

use cvbake_disk::gpt::ReadError;

/// Why what is inside of a disk can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsideProblem {
    /// Its partition table is damaged.
    #[error(transparent)]
    Table(Box<ReadError>),
    /// There is no such partition.
    #[error("there is no partition {wanted}, expected {}", available(*count))]
    NoPartition {
        /// The number that was asked for.
        wanted: usize,
        /// How many there are.
        count: usize,
    },
    /// No partition or several could be meant.
    #[error("{}", meant(found))]
    Meant {
        /// The numbers of those with a filesystem that cvbake reads.
        found: Vec<usize>,
    },
    /// Its filesystem can't be read.
    #[error(transparent)]
    Filesystem(FilesystemError),
}

fn available(count: usize) -> String {
    match count {
        0 => "none: the disk has no partition table".to_owned(),
        count => format!("1 to {count}"),
    }
}

fn meant(found: &[usize]) -> String {
    match found {
        [] => "no partition has an ext4 or EROFS filesystem".to_owned(),
        found => {
            let numbers: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!("several partitions have an ext4 or EROFS filesystem: {}", numbers.join(", "))
        }
    }
}

/// Why a filesystem can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesystemError {
    /// As ext4's reader says.
    #[error(transparent)]
    Ext4(#[from] cvbake_ext4::read::Error),
    /// As EROFS's reader says.
    #[error(transparent)]
    Erofs(#[from] cvbake_erofs::read::Error),
    /// Something that is not of the kind it has to be.
    #[error("{path} is {found}, expected {expected}")]
    NotA {
        /// The path, escaped.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Content that can't be read.
    #[error(transparent)]
    Content(io::Error),
}

impl FilesystemError {
    /// Whether it is about content that is compressed, which another program reads.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        matches!(self, FilesystemError::Erofs(error) if error.is_compressed())
    }
}

/// Why files can't be copied out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something is there already.
    #[error("{} exists", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A directory with several names, which no filesystem has.
    #[error("{} is a second name of a directory, expected one name", path.display())]
    SecondName {
        /// Where the directory would have been copied again.
        path: PathBuf,
    },
    /// The disk can't be read.
    #[error(transparent)]
    Disk(#[from] FilesystemError),
}
