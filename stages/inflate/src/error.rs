//! What can be wrong with a gzip stream.

use std::fmt;
use std::io;

/// Why a gzip stream can't be read on. As the inner error of an [`io::Error`] it comes out of
/// [`crate::GzipReader`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gzip data, at compressed byte {offset}: {problem}")]
#[non_exhaustive]
pub struct Error {
    /// How many bytes of the stream stand before the one that shows the problem.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a gzip stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The stream stops too early.
    #[error("the stream ends inside {inside}")]
    Truncated {
        /// What was expected to go on.
        inside: &'static str,
    },
    /// Something else than NULs or another member behind a member.
    #[error("expected the end of the stream or NULs, found {found:#04x}")]
    Trailing {
        /// The first wrong byte.
        found: u8,
    },
    /// A member that does not start as members do.
    #[error("expected the magic number 1f 8b of a member, found {found:#04x}")]
    Magic {
        /// The first wrong byte.
        found: u8,
    },
    /// A compression that is not deflate.
    #[error("compression method is {found}, expected 8")]
    Method {
        /// The method.
        found: u8,
    },
    /// Flags with a meaning that nobody knows.
    #[error("reserved flags are set: {found:#04x}")]
    ReservedFlags {
        /// All flags of the member.
        found: u8,
    },
    /// A text in a member's header that does not end.
    #[error("the {field} in the member's header has no end within {max} bytes")]
    FieldSize {
        /// Which text.
        field: &'static str,
        /// The limit.
        max: usize,
    },
    /// A header that does not match its own checksum.
    #[error("the member's header states CRC {stated:#06x}, but has {computed:#06x}")]
    HeaderCrc {
        /// What the header says.
        stated: u16,
        /// What its bytes have.
        computed: u16,
    },
    /// A deflate block of the type that does not exist.
    #[error("a block of type 3, expected 0 to 2")]
    BlockType,
    /// A stored block whose two lengths don't match.
    #[error("a stored block states length {length:#06x}, but its complement as {complement:#06x}")]
    StoredLength {
        /// The length.
        length: u16,
        /// What should have every bit of it inverted.
        complement: u16,
    },
    /// Code lengths for more symbols than there are.
    #[error(
        "a block has {literals} literal and length codes and {distances} distance codes, expected at most 286 and 30"
    )]
    SymbolCount {
        /// How many literal and length codes.
        literals: u16,
        /// How many distance codes.
        distances: u16,
    },
    /// Code lengths that repeat one which is not there, or fill more than there is.
    #[error("a repeated code length {fault}")]
    Repeat {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A block that could never end.
    #[error("a block's code has no end-of-block symbol")]
    NoEndOfBlock,
    /// Code lengths that no prefix code has.
    #[error("the {code} code is {fault}")]
    Code {
        /// Which code.
        code: Code,
        /// What is wrong with it.
        fault: CodeFault,
    },
    /// Bits that are no symbol.
    #[error("bits that are no symbol of the {code} code")]
    Symbol {
        /// Of which code.
        code: Code,
    },
    /// A match that starts before the data.
    #[error("a match at distance {distance}, but only {available} bytes stand before it")]
    Distance {
        /// How far back it reaches.
        distance: usize,
        /// How far it may.
        available: usize,
    },
    /// Data that does not match its checksum.
    #[error("the member's trailer states CRC {stated:#010x}, but its data has {computed:#010x}")]
    Crc {
        /// What the trailer says.
        stated: u32,
        /// What the data has.
        computed: u32,
    },
    /// Data of another length, modulo 2^32, than stated.
    #[error("the member's trailer states length {stated:#010x}, but its data has {computed:#010x}")]
    Length {
        /// What the trailer says.
        stated: u32,
        /// What the data has.
        computed: u32,
    },
}

/// The three prefix codes of a deflate block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The one that the lengths of the others are written in.
    Lengths,
    /// Literals and the lengths of matches.
    Literals,
    /// The distances of matches.
    Distances,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::Lengths => "code-length",
            Code::Literals => "literal/length",
            Code::Distances => "distance",
        })
    }
}

/// Why code lengths make no prefix code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    /// There are more codewords than their lengths leave room for.
    OverSubscribed,
    /// There are bits that no codeword begins with.
    Incomplete,
}

impl fmt::Display for CodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CodeFault::OverSubscribed => "over-subscribed",
            CodeFault::Incomplete => "incomplete",
        })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error.problem {
            Problem::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// Why no more bytes come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader below failed; trying again may help.
    Read(io::Error),
    /// The data is wrong.
    Data(Error),
}

impl Failure {
    pub(crate) fn at(offset: u64, problem: Problem) -> Failure {
        Failure::Data(Error { offset, problem })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Read(error)
    }
}
