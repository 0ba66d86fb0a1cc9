//! Zstandard: frames and skippable frames, one behind the other.

use std::io::{self, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{Compression, Failure, Input, ZSTD_WINDOW_LOG_MAX, drain_padding};
use crate::Error;

pub(super) struct Zstd {
    decoder: Decoder<'static>,
    within_frame: bool,
}

impl Zstd {
    pub(super) fn new() -> io::Result<Zstd> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Zstd { decoder, within_frame: true })
    }

    /// Fills the start of `output` and says how far; 0 at the end of the input.
    pub(super) fn read<R: Read>(&mut self, input: &mut Input<R>, output: &mut [u8]) -> Result<usize, Failure> {
        const COMPRESSION: Compression = Compression::Zstd;
        loop {
            let offset = input.offset();
            let bytes = input.fill()?;
            if !self.within_frame {
                match bytes.first() {
                    None => return Ok(0),
                    Some(0) => return drain_padding(input, COMPRESSION).map(|()| 0),
                    // The first bytes of the magic numbers; the decoder checks the rest.
                    Some(0x28 | 0x50..=0x5f) => self.within_frame = true,
                    Some(&found) => {
                        return Err(Failure::Framing(Error::Trailing { compression: COMPRESSION, offset, found }));
                    }
                }
            }
            let mut source = InBuffer::around(bytes);
            let mut target = OutBuffer::around(&mut *output);
            let hint = self.decoder.run(&mut source, &mut target);
            let (used, made) = (source.pos(), target.pos());
            let at_end = bytes.is_empty();
            input.consume(used);
            match hint {
                // The frame is complete, and all of it is in `output`.
                Ok(0) => self.within_frame = false,
                Ok(_) if made == 0 && at_end => {
                    let inside = "a frame";
                    return Err(Failure::Framing(Error::Truncated { compression: COMPRESSION, offset, inside }));
                }
                Ok(_) => {}
                Err(error) => {
                    return Err(Failure::Corrupt {
                        compression: COMPRESSION,
                        offset: input.offset(),
                        reason: error.to_string(),
                    });
                }
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}
