//! Compressed bytes → plain bytes, whole streams only; and back.

mod gzip;
mod input;
mod window;
mod write;
mod zstd;

use std::fmt;
use std::io::{self, BufRead, Read};

pub use self::write::Compressor;
use crate::{CompressionProblem, Error};
use input::Input;

/// How much is read at once: pieces from 64 KiB on cost no measurable time per call.
pub const INPUT_BUFFER: usize = 128 * 1024;

/// How much is decompressed at once. Inflating in pieces of 256 KiB is a quarter faster than in pieces of 8 KiB, and
/// the piece still fits into a core's own cache when it is hashed and parsed right after.
pub const OUTPUT_BUFFER: usize = 256 * 1024;

/// The largest window of a zstd frame, as a power of two: 128 MiB, what the `zstd` program accepts unless it is told
/// otherwise, and the most that it uses itself (`--ultra -22`). Builders of images stay at 8 MiB and below.
/// Of the window only what a frame really fills is ever touched, and windows of more than 8 MiB are had by one stream at a
/// time: the memory that they cost does not grow with the number of threads.
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
/// It reports the end only after the whole input has been read and found right: all members or frames, their checksums,
/// and nothing but NULs behind them. An empty input is an empty stream.
pub struct Decompressor<R> {
    input: Input<R>,
    engine: Engine,
    output: Box<[u8]>,
    /// The part of `output` that has been decompressed and not yet consumed.
    ready: std::ops::Range<usize>,
}

enum Engine {
    Plain,
    Gzip(gzip::Gzip),
    Zstd(zstd::Zstd),
    /// Broken for good: the error is repeated, because one that turns into an end or into other bytes on the second try
    /// is none.
    Failed(Compression, u64, CompressionProblem),
}

impl<R: Read> Decompressor<R> {
    /// Reads the first bytes and decides what they are.
    ///
    /// # Errors
    /// What `reader` returns.
    pub fn new(reader: R) -> io::Result<Decompressor<R>> {
        let mut input = Input::new(reader, INPUT_BUFFER);
        let engine = match Compression::detect(input.peek(Compression::PREFIX)?) {
            Compression::None => Engine::Plain,
            Compression::Gzip => Engine::Gzip(gzip::Gzip::new()),
            Compression::Zstd => Engine::Zstd(zstd::Zstd::new()?),
        };
        // Plain bytes are lent from the input buffer.
        let output = if matches!(engine, Engine::Plain) { 0 } else { OUTPUT_BUFFER };
        Ok(Decompressor { input, engine, output: vec![0; output].into_boxed_slice(), ready: 0..0 })
    }

    /// What the first bytes said.
    #[must_use]
    pub fn compression(&self) -> Compression {
        match self.engine {
            Engine::Plain => Compression::None,
            Engine::Gzip(_) => Compression::Gzip,
            Engine::Zstd(_) => Compression::Zstd,
            Engine::Failed(compression, ..) => compression,
        }
    }

    /// How many bytes of the compressed stream have been used up.
    #[must_use]
    pub fn compressed_offset(&self) -> u64 {
        self.input.offset()
    }

    /// Gives the reader back, in whatever place it is; bytes read ahead are lost, none at the end of the stream.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }

    /// Decompresses the next piece into the empty output buffer.
    fn refill(&mut self) -> io::Result<()> {
        let compression = self.compression();
        let result = match &mut self.engine {
            Engine::Plain => Ok(0),
            Engine::Gzip(gzip) => gzip.read(&mut self.input, &mut self.output),
            Engine::Zstd(zstd) => zstd.read(&mut self.input, &mut self.output),
            Engine::Failed(_, offset, problem) => Err(Failure::Data(*offset, problem.clone())),
        };
        let (offset, problem) = match result {
            Ok(len) => {
                self.ready = 0..len;
                return Ok(());
            }
            Err(Failure::Read(error)) => return Err(error),
            Err(Failure::Data(offset, problem)) => (offset, problem),
        };
        self.engine = Engine::Failed(compression, offset, problem.clone());
        let kind = match problem {
            CompressionProblem::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Err(io::Error::new(kind, Error::Compressed { compression, offset, problem }))
    }
}

impl<R: Read> BufRead for Decompressor<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if matches!(self.engine, Engine::Plain) {
            return self.input.fill();
        }
        if self.ready.is_empty() {
            self.refill()?;
        }
        Ok(&self.output[self.ready.clone()])
    }

    fn consume(&mut self, amount: usize) {
        if matches!(self.engine, Engine::Plain) {
            self.input.consume(amount);
        } else {
            self.ready.start = self.ready.end.min(self.ready.start + amount);
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
        f.debug_struct("Decompressor").field("compressed_offset", &self.input.offset()).finish_non_exhaustive()
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
