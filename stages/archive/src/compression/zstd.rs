//! Zstandard: frames and skippable frames, one behind the other.

use std::io::{self, Read};
use std::ops::Range;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::window::{HEADER, Permit, claimed};
use super::{
    Compression, Failure, Input, OUTPUT_BUFFER, ZSTD_WINDOW_LOG_MAX, corrupt, data_error, drain_padding, trailing,
    truncated,
};
use crate::CompressionProblem;

/// A stream while it is read.
pub(super) struct Reader<R> {
    input: Input<R>,
    zstd: Zstd,
    output: Box<[u8]>,
    /// The part of `output` that has been decompressed and not yet consumed.
    ready: Range<usize>,
    /// Broken for good: the error is repeated, because one that turns into an end or into other
    /// bytes on the second try is none.
    error: Option<(u64, CompressionProblem)>,
}

impl<R> Reader<R> {
    pub(super) fn new(input: Input<R>) -> io::Result<Reader<R>> {
        let output = vec![0; OUTPUT_BUFFER].into_boxed_slice();
        Ok(Reader { input, zstd: Zstd::new()?, output, ready: 0..0, error: None })
    }

    pub(super) fn compressed_offset(&self) -> u64 {
        self.input.offset()
    }

    pub(super) fn into_inner(self) -> R {
        self.input.into_inner()
    }

    pub(super) fn consume(&mut self, amount: usize) {
        self.ready.start = self.ready.end.min(self.ready.start + amount);
    }
}

impl<R: Read> Reader<R> {
    pub(super) fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ready.is_empty() && self.error.is_none() {
            match self.zstd.read(&mut self.input, &mut self.output) {
                Ok(len) => self.ready = 0..len,
                Err(Failure::Read(error)) => return Err(error),
                Err(Failure::Data(offset, problem)) => self.error = Some((offset, problem)),
            }
        }
        match &self.error {
            Some((offset, problem)) => Err(data_error(Compression::Zstd, *offset, problem.clone())),
            None => Ok(&self.output[self.ready.clone()]),
        }
    }
}

struct Zstd {
    decoder: Decoder<'static>,
    place: Place,
    /// Kept until the end: the decoder keeps its largest window, too.
    permit: Option<Permit>,
}

#[derive(PartialEq)]
enum Place {
    /// Before the first byte of a frame.
    Start,
    Frame,
    /// Behind a frame.
    Boundary,
    /// Behind a NUL that stands behind a frame.
    Padding,
}

impl Zstd {
    fn new() -> io::Result<Zstd> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Zstd { decoder, place: Place::Start, permit: None })
    }

    /// Fills the start of `output` and says how far; 0 at the end of the input.
    fn read<R: Read>(&mut self, input: &mut Input<R>, output: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let offset = input.offset();
            let bytes = input.fill()?;
            if self.place == Place::Padding {
                return drain_padding(input).map(|()| 0);
            }
            if self.place == Place::Boundary {
                match bytes.first() {
                    None => return Ok(0),
                    Some(0) => {
                        self.place = Place::Padding;
                        continue;
                    }
                    // The first bytes of the magic numbers; the decoder checks the rest.
                    Some(0x28 | 0x50..=0x5f) => self.place = Place::Start,
                    Some(&found) => return Err(trailing(offset, found)),
                }
            }
            if self.place == Place::Start {
                let window = claimed(input.peek(HEADER)?);
                if self.permit.is_none() && window <= 1 << ZSTD_WINDOW_LOG_MAX {
                    self.permit = Permit::wait(window);
                }
                self.place = Place::Frame;
                continue;
            }
            let mut source = InBuffer::around(bytes);
            let mut target = OutBuffer::around(&mut *output);
            let hint = self.decoder.run(&mut source, &mut target);
            let (used, made) = (source.pos(), target.pos());
            let at_end = bytes.is_empty();
            input.consume(used);
            match hint {
                // The frame is complete, and all of it is in `output`.
                Ok(0) => self.place = Place::Boundary,
                Ok(_) if made == 0 && at_end => return Err(truncated(offset, "a frame")),
                Ok(_) => {}
                Err(error) => return Err(corrupt(input.offset(), error.to_string())),
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}
