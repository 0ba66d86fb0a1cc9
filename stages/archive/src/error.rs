//! What can be wrong with an archive.

use std::io;

use crate::Compression;

/// Why an archive can't be read.
///
/// Errors of [`crate::Decompressor`] travel as the inner error of an [`io::Error`], because it is a
/// reader; the ones of the reader below it pass through unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Compressed data that is wrong.
    #[error("{compression} data, at compressed byte {offset}: {problem}")]
    Compressed {
        /// What the first bytes say it is.
        compression: Compression,
        /// How many bytes of the compressed stream stand before the problem.
        offset: u64,
        /// What is wrong.
        problem: CompressionProblem,
    },
    /// A tar stream whose reading failed for a reason below tar.
    #[error("cannot read the tar stream at byte {offset}")]
    Read {
        /// Where in the uncompressed stream.
        offset: u64,
        /// Why: often an [`Error`] of the [`crate::Decompressor`].
        source: io::Error,
    },
    /// A tar stream that is wrong.
    #[error("{}the tar header at byte {offset}: {problem}", Named(path.as_deref()))]
    Tar {
        /// The path of the entry, escaped, where it is known.
        path: Option<Box<str>>,
        /// Where in the uncompressed stream the header stands.
        offset: u64,
        /// What is wrong.
        problem: Box<TarProblem>,
    },
}

/// What is wrong with compressed data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionProblem {
    /// Data that no compressor writes, or that does not match its own checksum.
    #[error("corrupt: {reason}")]
    Corrupt {
        /// What is wrong.
        reason: String,
    },
    /// The stream stops too early.
    #[error("truncated: the stream ends inside {inside}")]
    Truncated {
        /// What was expected to go on.
        inside: &'static str,
    },
    /// Something else than NULs behind the data.
    #[error("trailing bytes: expected the end of the stream or NULs, found {found:#04x}")]
    Trailing {
        /// The first wrong byte.
        found: u8,
    },
}

/// Renders the name of an entry in front of its place.
struct Named<'a>(Option<&'a str>);

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |path| write!(f, "entry \"{path}\", "))
    }
}

/// What is wrong with a tar entry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarProblem {
    /// The start of a file in another format.
    #[error("expected a tar archive, found what looks like {found}")]
    NotTar {
        /// The format that the first bytes belong to.
        found: &'static str,
    },
    /// Nothing that could be a tar header, where the first one should be.
    #[error("expected a tar archive, found data that does not begin with a tar header")]
    NoHeader,
    /// The end of an archive, and nothing before it, but something behind it: more than zeros
    /// begins with zeros.
    #[error("expected a tar archive, found zeros at the beginning and data at byte {at}")]
    ZerosAndData {
        /// Where the first byte is that is no zero.
        at: u64,
    },
    /// A header whose bytes do not add up.
    #[error("wrong header checksum: expected {computed:06o}, found \"{stated}\"")]
    Checksum {
        /// The sum of the bytes.
        computed: u32,
        /// The content of the checksum field, escaped.
        stated: String,
    },
    /// A header field that holds no number.
    #[error("{field} field holds \"{found}\", expected an octal or base-256 number")]
    Number {
        /// The field's name in the tar format.
        field: &'static str,
        /// Its content, escaped.
        found: String,
    },
    /// A header field that holds a number which makes no sense there.
    #[error("{field} field holds {found}, expected a number from 0 to {max}")]
    NumberRange {
        /// The field's name in the tar format.
        field: &'static str,
        /// The number.
        found: i128,
        /// The largest number that is accepted.
        max: u64,
    },
    /// An entry of a type that no image can have.
    #[error("entry type {:?} (byte {found:#04x}) is not supported in a {format} header", char::from(*.found))]
    EntryType {
        /// The type byte.
        found: u8,
        /// Whose header it stands in, which decides what types there are.
        format: &'static str,
    },
    /// A type that can't have content, with content.
    #[error("a {kind} cannot have content, but the header states {size} bytes")]
    Content {
        /// What kind of entry it is.
        kind: crate::tar::Kind,
        /// How many bytes of content it claims.
        size: u64,
    },
    /// A PAX record that breaks the grammar.
    #[error("malformed PAX record at byte {at} of the extended header: {reason}")]
    PaxRecord {
        /// Where the record starts, counted from the start of the extended header's body.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A PAX record with a value that its key does not allow.
    #[error("PAX record {key} holds \"{found}\", expected {expected}")]
    PaxValue {
        /// The key.
        key: &'static str,
        /// The value, escaped.
        found: String,
        /// What the key allows.
        expected: &'static str,
    },
    /// A GNU `L` or `K` record whose body is no name.
    #[error("malformed {record}: {reason}")]
    LongName {
        /// Which record.
        record: Record,
        /// What is wrong.
        reason: &'static str,
    },
    /// A record that describes the next entry, where none may follow or none does.
    #[error("dangling {record}: expected the entry it describes, found {found}")]
    Dangling {
        /// Which record.
        record: Record,
        /// What follows instead.
        found: &'static str,
    },
    /// A second record of a sort for one entry.
    #[error("a second {record} for one entry")]
    Repeated {
        /// Which record.
        record: Record,
    },
    /// Two records that state the same thing.
    #[error("both the PAX record {key} and a {record} for one entry")]
    Conflict {
        /// The PAX key.
        key: &'static str,
        /// The other record.
        record: Record,
    },
    /// A record larger than any honest archive's.
    #[error("{record} of {size} bytes, expected at most {max}")]
    RecordSize {
        /// Which record.
        record: Record,
        /// The size it claims.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A map of a sparse file that breaks a rule.
    #[error("malformed sparse file: {reason}")]
    Sparse {
        /// What is wrong.
        reason: String,
    },
    /// The archive ends too early.
    #[error("truncated archive: the stream ends {missing} bytes before the end of {inside}")]
    Truncated {
        /// What was expected to go on.
        inside: &'static str,
        /// How many bytes are missing.
        missing: u64,
    },
    /// A block of zeros that is neither the end nor within content.
    #[error("expected a second block of zeros at the end of the archive, found a block of other bytes")]
    LoneZeroBlock,
    /// A reader used again after it failed.
    #[error("the archive cannot be read on after an earlier error")]
    AfterError,
}

/// The records that stand before an entry and describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A PAX extended header (`x`).
    Pax,
    /// A PAX global header (`g`).
    Global,
    /// A GNU long path (`L`).
    LongPath,
    /// A GNU long link target (`K`).
    LongLink,
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Record::Pax => "PAX extended header",
            Record::Global => "PAX global header",
            Record::LongPath => "GNU long path",
            Record::LongLink => "GNU long link target",
        })
    }
}
