//! Compressed bytes → plain bytes, whole streams only; and back.

mod input;
mod window;
mod write;
mod zstd;

use std::fmt;
use std::io::{self, BufRead, Read};

use cvbake_inflate::{GzipReader, Problem};

pub use self::write::Compressor;
use crate::{CompressionProblem, Error};
use input::Input;

/// How much is read at once: pieces from 64 KiB on cost no measurable time per call.
pub const INPUT_BUFFER: usize = cvbake_inflate::INPUT_BUFFER;

/// How much is decompressed at once: the piece still fits into a core's own cache when it is hashed
/// and parsed right after.
pub const OUTPUT_BUFFER: usize = cvbake_inflate::OUTPUT_BUFFER;

/// The largest window of a zstd frame, as a power of two: 128 MiB, what the `zstd` program accepts
/// unless it is told otherwise, and the most that it uses itself (`--ultra -22`). Builders of
/// images stay at 8 MiB and below. Of the window only what a frame really fills is ever touched,
/// and windows of more than 8 MiB are had by one stream at a time: the memory that they cost does
/// not grow with the number of threads.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a stream is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// How many bytes [`Compression::detect`] looks at.
    pub const PREFIX: usize = 4;

    /// Tells the compression by the first bytes of a stream; what has no magic is not compressed.
    ///
    /// ```
    /// use cvbake_archive::Compression;
    /// assert_eq!(Compression::detect(&[0x1f, 0x8b, 8, 0]), Compression::Gzip);
    /// assert_eq!(Compression::detect(b"etc/"), Compression::None);
    /// ```
    #[must_use]
    pub fn detect(prefix: &[u8]) -> Compression {
        match prefix {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // A frame, or one of the sixteen kinds of skippable frames.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// A reader of the plain bytes of a stream.
///
/// It reports the end only after the whole input has been read and found right: all members or
/// frames, their checksums, and nothing but NULs behind them. An empty input is an empty stream.
pub struct Decompressor<R> {
    engine: Engine<R>,
}

enum Engine<R> {
    /// Plain bytes are lent from the input buffer.
    Plain(Input<R>),
    Gzip(Box<GzipReader<R>>),
    Zstd(Box<zstd::Reader<R>>),
}

impl<R: Read> Decompressor<R> {
    /// Reads the first bytes and decides what they are.
    ///
    /// # Errors
    /// What `reader` returns.
    pub fn new(reader: R) -> io::Result<Decompressor<R>> {
        let mut input = Input::new(reader, INPUT_BUFFER);
        let engine = match Compression::detect(input.peek(Compression::PREFIX)?) {
            Compression::None => Engine::Plain(input),
            Compression::Gzip => {
                let (read, reader) = input.into_parts();
                Engine::Gzip(Box::new(GzipReader::with_prefix(&read, reader)))
            }
            Compression::Zstd => Engine::Zstd(Box::new(zstd::Reader::new(input)?)),
        };
        Ok(Decompressor { engine })
    }
}

impl<R> Decompressor<R> {
    /// What the first bytes said.
    #[must_use]
    pub fn compression(&self) -> Compression {
        match self.engine {
            Engine::Plain(_) => Compression::None,
            Engine::Gzip(_) => Compression::Gzip,
            Engine::Zstd(_) => Compression::Zstd,
        }
    }

    /// How many bytes of the compressed stream have been used up.
    #[must_use]
    pub fn compressed_offset(&self) -> u64 {
        match &self.engine {
            Engine::Plain(input) => input.offset(),
            Engine::Gzip(reader) => reader.compressed_offset(),
            Engine::Zstd(reader) => reader.compressed_offset(),
        }
    }

    /// Gives the reader back, in whatever place it is; bytes read ahead are lost, none at the end
    /// of the stream.
    #[must_use]
    pub fn into_inner(self) -> R {
        match self.engine {
            Engine::Plain(input) => input.into_inner(),
            Engine::Gzip(reader) => reader.into_inner(),
            Engine::Zstd(reader) => reader.into_inner(),
        }
    }
}

impl<R: Read> BufRead for Decompressor<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.engine {
            Engine::Plain(input) => input.fill(),
            Engine::Gzip(reader) => reader.fill_buf().map_err(gzip_error),
            Engine::Zstd(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.engine {
            Engine::Plain(input) => input.consume(amount),
            Engine::Gzip(reader) => reader.consume(amount),
            Engine::Zstd(reader) => reader.consume(amount),
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut ready = self.fill_buf()?;
        let len = ready.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

impl<R> fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("compressed_offset", &self.compressed_offset()).finish_non_exhaustive()
    }
}

/// Why no more bytes come.
enum Failure {
    /// The reader below failed; trying again may help.
    Read(io::Error),
    /// The data is wrong, at this place.
    Data(u64, CompressionProblem),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Read(error)
    }
}

fn corrupt(offset: u64, reason: impl Into<String>) -> Failure {
    Failure::Data(offset, CompressionProblem::Corrupt { reason: reason.into() })
}

fn truncated(offset: u64, inside: &'static str) -> Failure {
    Failure::Data(offset, CompressionProblem::Truncated { inside })
}

fn trailing(offset: u64, found: u8) -> Failure {
    Failure::Data(offset, CompressionProblem::Trailing { found })
}

/// An error of this crate for data that is wrong; other errors come from below.
fn data_error(compression: Compression, offset: u64, problem: CompressionProblem) -> io::Error {
    let kind = match problem {
        CompressionProblem::Truncated { .. } => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, Error::Compressed { compression, offset, problem })
}

fn gzip_error(error: io::Error) -> io::Error {
    match error.downcast::<cvbake_inflate::Error>() {
        Ok(error) => {
            let problem = match error.problem {
                Problem::Truncated { inside } => CompressionProblem::Truncated { inside },
                Problem::Trailing { found } => CompressionProblem::Trailing { found },
                problem => CompressionProblem::Corrupt { reason: problem.to_string() },
            };
            data_error(Compression::Gzip, error.offset, problem)
        }
        Err(error) => error,
    }
}

/// Reads NULs to the end of the input.
fn drain_padding<R: Read>(input: &mut Input<R>) -> Result<(), Failure> {
    loop {
        let bytes = input.fill()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let len = bytes.len();
        if let Some((at, &found)) = bytes.iter().enumerate().find(|(_, byte)| **byte != 0) {
            return Err(trailing(input.offset() + at as u64, found));
        }
        input.consume(len);
    }
}
