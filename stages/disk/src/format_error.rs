//! What can be wrong with a file that is read as a disk.

use std::io;

/// Why a file can't be read as a disk of a format.
///
/// A reader that finds it while it reads puts it into an [`io::Error`] of the kind
/// [`InvalidData`](io::ErrorKind::InvalidData).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A part of it can't be read.
    #[error("cannot read {len} bytes at offset {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// How much.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("expected {expected}, found {}", shown(found))]
    NotIt {
        /// What is where in a file of the format.
        expected: &'static str,
        /// What is there.
        found: Vec<u8>,
    },
    /// It ends before something that it says it has.
    #[error("the file has {found} bytes, expected at least {expected}")]
    CutOff {
        /// How many bytes it has.
        found: u64,
        /// How many it says that it has.
        expected: u64,
    },
    /// A checksum that is not the one of its structure.
    #[error("the checksum of the {what} is wrong")]
    Checksum {
        /// Which structure.
        what: &'static str,
    },
    /// A field with a value that it can't have.
    #[error("{what} is {found}, expected {expected}")]
    Field {
        /// Which field.
        what: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// Something that the format has and this reader does not.
    #[error("it has {what}, which cannot be read")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// A table says that something is where it can't be.
    #[error("the {what} at offset {at} of the disk is at offset {offset} of the file, expected {expected}")]
    Place {
        /// What.
        what: &'static str,
        /// Of which part of the disk.
        at: u64,
        /// Where in the file.
        offset: u64,
        /// Where it may be.
        expected: &'static str,
    },
    /// Two things are in the same place.
    #[error("the {what} at offset {at} of the disk is where the {other} is, at offset {offset} of the file")]
    Overlap {
        /// What.
        what: &'static str,
        /// Of which part of the disk.
        at: u64,
        /// What else is there.
        other: &'static str,
        /// Where in the file.
        offset: u64,
    },
    /// What is compressed can't be unpacked to what it stands for.
    #[error("the compressed cluster at offset {at} of the disk is damaged")]
    Compressed {
        /// Of which part of the disk.
        at: u64,
    },
}

impl From<FormatError> for io::Error {
    fn from(error: FormatError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// A few bytes, for people.
fn shown(found: &[u8]) -> String {
    if found.is_empty() { "nothing".to_owned() } else { format!("\"{}\"", found.escape_ascii()) }
}
