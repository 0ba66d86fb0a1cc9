//! What can go wrong with an output.

use std::io;
use std::path::{Path, PathBuf};

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
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output would not find room.
    #[error("{} needs at least {} MiB, and its filesystem has {} MiB free", path.display(), mib(*needed, MIB - 1), mib(*free, 0))]
    NoRoom {
        /// The target.
        path: PathBuf,
        /// How many bytes of content it has.
        needed: u64,
        /// For how many there is room.
        free: u64,
        /// What writing it would end with.
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

impl Error {
    /// The file or directory that it is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Error::Exists { path }
            | Error::NotAFile { path, .. }
            | Error::Foreign { path, .. }
            | Error::NoName { path }
            | Error::Open { path, .. }
            | Error::Create { path, .. }
            | Error::NoRoom { path, .. }
            | Error::Write { path, .. }
            | Error::Read { path, .. }
            | Error::SetLen { path, .. }
            | Error::Sync { path, .. }
            | Error::Swapped { path }
            | Error::Rename { from: path, .. } => path,
        }
    }
}

const MIB: u128 = 1 << 20;

/// Bytes in MiB, to a tenth. What is needed is rounded up (by just less than one) and what there is
/// down, so that the two are never told as the same.
fn mib(bytes: u64, round: u128) -> String {
    let tenths = (u128::from(bytes) * 10 + round) / MIB;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_more_than_there_is() {
        let error = |needed, free| {
            let source = rustix::io::Errno::NOSPC.into();
            Error::NoRoom { path: "out/disk".into(), needed, free, source }.to_string()
        };
        assert_eq!(
            error(5 << 20, (5 << 20) - 1),
            "out/disk needs at least 5.0 MiB, and its filesystem has 4.9 MiB free"
        );
        assert_eq!(error(1, 0), "out/disk needs at least 0.1 MiB, and its filesystem has 0.0 MiB free");
        assert!(error(u64::MAX, 3 << 30).ends_with("17592186044416.0 MiB, and its filesystem has 3072.0 MiB free"));
    }
}
