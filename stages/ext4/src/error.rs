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
    /// A disk that can't hold the tree.
    #[error("a filesystem of {} is too small for these files, which need {}", rounded_down(*asked), rounded_up(*needed))]
    TooSmall {
        /// The size asked for.
        asked: u64,
        /// The size that would do.
        needed: u64,
    },
    /// A disk larger than this writer makes.
    #[error("a filesystem of {} is too large, expected at most {}", rounded_up(*bytes), rounded_down(*max))]
    TooLarge {
        /// The size asked for or needed.
        bytes: u64,
        /// The largest possible.
        max: u64,
    },
    /// Fewer inodes than the tree has.
    #[error("{asked} inodes are too few for these files, which need {needed}")]
    TooFewInodes {
        /// The number asked for.
        asked: u64,
        /// The number that would do.
        needed: u64,
    },
    /// More inodes than a filesystem of that size can have.
    #[error("{asked} inodes are too many for a filesystem of {}, expected at most {max}", rounded_down(*bytes))]
    TooManyInodes {
        /// The number asked for.
        asked: u64,
        /// The most a filesystem of this size has.
        max: u64,
        /// The size of the filesystem.
        bytes: u64,
    },
    /// An inode ratio that is none.
    #[error("one inode per {asked} bytes is too dense, expected at least {min} bytes")]
    InodeRatio {
        /// The number asked for.
        asked: u64,
        /// The smallest possible.
        min: u64,
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
    /// Too many hard links.
    #[error("{path} has {names} names, expected at most {max}")]
    Links {
        /// One of the names.
        path: Place,
        /// How many there are.
        names: u32,
        /// The most possible.
        max: u32,
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
    /// A directory with more entries than its index can hold.
    #[error("{path} needs {blocks} blocks for its entries, expected at most {max}")]
    DirectoryFull {
        /// The directory.
        path: Place,
        /// The number needed.
        blocks: u64,
        /// The most possible.
        max: u64,
    },
    /// An extended attribute's name that Linux refuses.
    #[error("{path}: extended attribute {name:?}: {problem}")]
    XattrName {
        /// The file.
        path: Place,
        /// The attribute's name, escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Extended attributes that do not fit in the inode and one block.
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
            | Error::Links { path, .. }
            | Error::Device { path, .. }
            | Error::DirectoryFull { path, .. }
            | Error::XattrName { path, .. }
            | Error::XattrSpace { path, .. }
            | Error::Acl { path, .. } => Some(path),
            Error::Label { .. }
            | Error::TooSmall { .. }
            | Error::TooLarge { .. }
            | Error::TooFewInodes { .. }
            | Error::TooManyInodes { .. }
            | Error::InodeRatio { .. }
            | Error::Write { .. } => None,
        }
    }
}

/// A size as people read it; one that is not enough is not rounded up to one that is.
fn rounded_down(bytes: u64) -> String {
    in_units(bytes, |unit| 100 * u128::from(bytes) / unit)
}

/// The same of what is needed.
fn rounded_up(bytes: u64) -> String {
    in_units(bytes, |unit| (100 * u128::from(bytes)).div_ceil(unit))
}

/// With two places, in the unit of which there is at least one.
fn in_units(bytes: u64, hundredths: impl Fn(u128) -> u128) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = bytes.max(1).ilog2() / 10;
    let Some(above) = power.checked_sub(1) else { return format!("{bytes} bytes") };
    let hundredths = hundredths(1 << (10 * power));
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[above as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, down, up) in [
            (0, "0 bytes", "0 bytes"),
            (1023, "1023 bytes", "1023 bytes"),
            (1024, "1.00 KiB", "1.00 KiB"),
            (104_857_600, "100.00 MiB", "100.00 MiB"),
            (104_857_601, "100.00 MiB", "100.01 MiB"),
            ((1 << 30) - 1, "1023.99 MiB", "1024.00 MiB"),
            (u64::MAX, "15.99 EiB", "16.00 EiB"),
        ] {
            assert_eq!((rounded_down(bytes).as_str(), rounded_up(bytes).as_str()), (down, up), "{bytes}");
        }
        let error = Error::TooSmall { asked: 104_857_600, needed: 233_967_616 };
        assert_eq!(error.to_string(), "a filesystem of 100.00 MiB is too small for these files, which need 223.13 MiB");
    }
}
