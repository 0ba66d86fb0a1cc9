//! The reader: members one behind the other, and what may follow them.

use std::fmt;
use std::io::{self, BufRead, Read};

use crc32fast::Hasher;

use crate::deflate::{Deflate, Pause};
use crate::error::{Error, Failure, Problem};
use crate::input::Input;
use crate::member::{Header, Trailer};
use crate::output::Output;

/// How much is read at once: pieces from 64 KiB on cost no measurable time per call.
pub const INPUT_BUFFER: usize = 128 * 1024;

/// How much is inflated at once, at most; the piece still fits into a core's own cache when it is
/// hashed and parsed right after.
pub const OUTPUT_BUFFER: usize = 256 * 1024;

/// A reader of the plain bytes of a gzip stream.
///
/// It reports the end only after the whole input has been read and found right: all members, their
/// checksums and lengths, and nothing but NULs behind them. What stands before an error comes
/// before the error, however the input arrives.
pub struct GzipReader<R> {
    input: Input<R>,
    deflate: Box<Deflate>,
    output: Output,
    /// Of the present member's data.
    crc: Hasher,
    len: u32,
    state: State,
    /// Broken for good: the error is repeated, because one that turns into an end or into other
    /// bytes on the second try is none.
    error: Option<Error>,
}

enum State {
    Header(Header),
    Data,
    Trailer(Trailer),
    /// Behind a member.
    Boundary,
    /// Behind a NUL that stands behind a member.
    Padding,
    End,
}

impl<R> GzipReader<R> {
    /// Reads a stream from its first byte.
    #[must_use]
    pub fn new(reader: R) -> GzipReader<R> {
        GzipReader::with_prefix(&[], reader)
    }

    /// Reads a stream whose first bytes were read before: they are `prefix`, and `reader` gives the
    /// rest.
    #[must_use]
    pub fn with_prefix(prefix: &[u8], reader: R) -> GzipReader<R> {
        GzipReader::with_capacities(prefix, reader, INPUT_BUFFER, OUTPUT_BUFFER)
    }

    pub(crate) fn with_capacities(prefix: &[u8], reader: R, input: usize, output: usize) -> GzipReader<R> {
        GzipReader {
            input: Input::new(prefix, reader, input),
            deflate: Box::new(Deflate::new()),
            output: Output::new(output),
            crc: Hasher::new(),
            len: 0,
            state: State::Header(Header::default()),
            error: None,
        }
    }

    /// How many bytes of the compressed stream have been used up.
    #[must_use]
    pub fn compressed_offset(&self) -> u64 {
        self.input.offset()
    }

    /// Gives the reader back, in whatever place it is; bytes read ahead are lost, none at the end
    /// of the stream.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }
}

impl<R: Read> GzipReader<R> {
    /// Goes on until there is something to consume, or the end.
    fn advance(&mut self) -> Result<(), Failure> {
        self.output.make_room();
        loop {
            // Whatever is ready goes out before the reader below is asked for more, which may take
            // long or fail.
            if !matches!(self.state, State::Data | State::End) && !self.input.want(1, self.output.is_empty())? {
                return Ok(());
            }
            match &mut self.state {
                State::Header(header) => {
                    if header.read(&mut self.input)? {
                        self.deflate.reset();
                        self.output.start_member();
                        self.crc.reset();
                        self.len = 0;
                        self.state = State::Data;
                    }
                }
                State::Data => match self.data()? {
                    Pause::Ready => return Ok(()),
                    Pause::End => self.state = State::Trailer(Trailer::default()),
                },
                State::Trailer(trailer) => {
                    if let Some((crc, len)) = trailer.read(&mut self.input)? {
                        self.check(crc, len)?;
                        self.state = State::Boundary;
                    }
                }
                State::Boundary => {
                    self.state = match self.input.bytes().first() {
                        None => State::End,
                        Some(0) => State::Padding,
                        Some(0x1f) => State::Header(Header::default()),
                        Some(&found) => return Err(Failure::at(self.input.offset(), Problem::Trailing { found })),
                    };
                }
                State::Padding => {
                    let bytes = self.input.bytes();
                    if let Some((at, &found)) = bytes.iter().enumerate().find(|(_, byte)| **byte != 0) {
                        return Err(Failure::at(self.input.offset() + at as u64, Problem::Trailing { found }));
                    }
                    match bytes.len() {
                        0 => self.state = State::End,
                        len => self.input.consume(len),
                    }
                }
                State::End => return Ok(()),
            }
        }
    }

    /// Inflates a piece.
    fn data(&mut self) -> Result<Pause, Failure> {
        let start = self.output.end();
        let pause = self.deflate.inflate(&mut self.input, &mut self.output)?;
        let made = self.output.since(start);
        self.crc.update(made);
        // The trailer counts modulo 2^32.
        self.len = self.len.wrapping_add(u32::try_from(made.len()).expect("no more than the buffer holds"));
        Ok(pause)
    }

    fn check(&self, crc: u32, len: u32) -> Result<(), Failure> {
        let computed = self.crc.clone().finalize();
        if crc != computed {
            return Err(Failure::at(self.input.offset(), Problem::Crc { stated: crc, computed }));
        }
        if len != self.len {
            return Err(Failure::at(self.input.offset(), Problem::Length { stated: len, computed: self.len }));
        }
        Ok(())
    }
}

impl<R: Read> BufRead for GzipReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.output.is_empty() && self.error.is_none() {
            match self.advance() {
                Ok(()) => {}
                Err(Failure::Read(error)) => return Err(error),
                Err(Failure::Data(error)) => self.error = Some(error),
            }
        }
        match &self.error {
            Some(error) if self.output.is_empty() => Err(error.clone().into()),
            _ => Ok(self.output.ready()),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.output.consume(amount);
    }
}

impl<R: Read> Read for GzipReader<R> {
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

impl<R> fmt::Debug for GzipReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipReader").field("compressed_offset", &self.input.offset()).finish_non_exhaustive()
    }
}
