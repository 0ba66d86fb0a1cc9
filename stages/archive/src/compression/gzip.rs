//! gzip (RFC 1952): members one behind the other.
//!
//! ```text
//! member = 1f 8b  method  flags  mtime(4)  xfl  os  [extra]  [name]  [comment]  [crc16]
//!          deflate-data  crc32(4)  isize(4)
//! ```
//!
//! The framing is ours and only the deflate data is the library's work: `flate2`'s own gzip readers stop silently after
//! the first member or refuse NULs after the last, and can't say what was expected and found.

use std::io::Read;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Failure, Input, corrupt, drain_padding, trailing, truncated};

const FHCRC: u8 = 0x02;
const FEXTRA: u8 = 0x04;
const FNAME: u8 = 0x08;
const FCOMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

pub(super) struct Gzip {
    inflate: Decompress,
    crc: Crc,
    state: State,
}

enum State {
    Header(Header),
    Data,
    Trailer(Trailer),
    /// Behind a member.
    Boundary,
    /// Behind a NUL that stands behind a member.
    Padding,
}

/// A member's trailer while it is read.
#[derive(Default)]
struct Trailer {
    bytes: [u8; 8],
    len: usize,
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip { inflate: Decompress::new(false), crc: Crc::new(), state: State::Header(Header::default()) }
    }

    /// Fills the start of `output` and says how far; 0 at the end of the input.
    pub(super) fn read<R: Read>(&mut self, input: &mut Input<R>, output: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match &mut self.state {
                State::Header(header) => {
                    if header.read(input)? {
                        self.inflate.reset(false);
                        self.crc.reset();
                        self.state = State::Data;
                    }
                }
                State::Data => {
                    let made = self.data(input, output)?;
                    if made > 0 {
                        return Ok(made);
                    }
                }
                State::Trailer(trailer) => {
                    if let Some((crc, len)) = trailer.read(input)? {
                        check(input.offset(), "CRC", crc, self.crc.sum())?;
                        // The trailer counts modulo 2^32, and so does `amount`.
                        check(input.offset(), "length", len, self.crc.amount())?;
                        self.state = State::Boundary;
                    }
                }
                State::Boundary => {
                    let offset = input.offset();
                    self.state = match input.fill()?.first() {
                        None => return Ok(0),
                        Some(0) => State::Padding,
                        Some(0x1f) => State::Header(Header::default()),
                        Some(&found) => return Err(trailing(offset, found)),
                    };
                }
                State::Padding => return drain_padding(input).map(|()| 0),
            }
        }
    }

    /// Inflates a piece; it may be empty.
    fn data<R: Read>(&mut self, input: &mut Input<R>, output: &mut [u8]) -> Result<usize, Failure> {
        let offset = input.offset();
        let bytes = input.fill()?;
        let at_end = bytes.is_empty();
        let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(bytes, output, FlushDecompress::None);
        let used = count(self.inflate.total_in() - total_in);
        let made = count(self.inflate.total_out() - total_out);
        input.consume(used);
        match status {
            Ok(Status::StreamEnd) => self.state = State::Trailer(Trailer::default()),
            Ok(_) if used > 0 || made > 0 => {}
            Ok(_) if at_end => return Err(truncated(offset, "a member's data")),
            // Never seen; it must not become an endless loop.
            Ok(_) => return Err(corrupt(offset, "the deflate data makes no progress")),
            Err(error) => {
                return Err(corrupt(input.offset(), error.message().unwrap_or("invalid deflate data")));
            }
        }
        self.crc.update(&output[..made]);
        Ok(made)
    }
}

impl Trailer {
    /// Takes what belongs to the trailer and is there; checksum and length when it is complete.
    fn read<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<(u32, u32)>, Failure> {
        let offset = input.offset();
        let bytes = input.fill()?;
        if bytes.is_empty() {
            return Err(truncated(offset, "a member's trailer"));
        }
        let used = bytes.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + used].copy_from_slice(&bytes[..used]);
        self.len += used;
        input.consume(used);
        let [a, b, c, d, e, f, g, h] = self.bytes;
        let complete = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Ok((self.len == self.bytes.len()).then_some(complete))
    }
}

fn check(offset: u64, what: &str, stated: u32, computed: u32) -> Result<(), Failure> {
    if stated == computed {
        return Ok(());
    }
    Err(corrupt(
        offset,
        format!("the member's trailer states {what} {stated:#010x}, but its data has {computed:#010x}"),
    ))
}

fn count(bytes: u64) -> usize {
    usize::try_from(bytes).expect("no more than the buffers hold")
}

/// A member's header while it is read.
#[derive(Default)]
struct Header {
    step: Step,
    flags: u8,
    /// Bytes seen of the present step.
    seen: usize,
    /// The number being read in the present step.
    number: u16,
    crc: Crc,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Fixed,
    ExtraLen,
    Extra,
    Name,
    Comment,
    Crc,
    Done,
}

impl Header {
    /// Takes what belongs to the header and is there; `true` when the header is complete.
    fn read<R: Read>(&mut self, input: &mut Input<R>) -> Result<bool, Failure> {
        let offset = input.offset();
        let bytes = input.fill()?;
        if bytes.is_empty() {
            return Err(truncated(offset, "a member's header"));
        }
        let mut used = 0;
        for &byte in bytes {
            if self.step != Step::Crc {
                self.crc.update(&[byte]);
            }
            self.byte(byte).map_err(|reason| corrupt(offset + used as u64, reason))?;
            used += 1;
            if self.step == Step::Done {
                break;
            }
        }
        input.consume(used);
        Ok(self.step == Step::Done)
    }

    fn byte(&mut self, byte: u8) -> Result<(), String> {
        let at = self.seen;
        self.seen += 1;
        let ended = match self.step {
            Step::Fixed => {
                match (at, byte) {
                    (0, 0x1f) | (1, 0x8b) | (2, 8) | (4.., _) => {}
                    (0 | 1, _) => {
                        return Err(format!("expected the magic number 1f 8b of a member, found {byte:#04x}"));
                    }
                    (2, _) => return Err(format!("compression method is {byte}, expected 8")),
                    (3, _) if byte & RESERVED != 0 => return Err(format!("reserved flags are set: {byte:#04x}")),
                    (3, _) => self.flags = byte,
                }
                at == 9
            }
            Step::ExtraLen | Step::Crc => {
                self.number |= u16::from(byte) << (8 * at);
                at == 1
            }
            Step::Extra => self.seen == usize::from(self.number),
            Step::Name | Step::Comment => byte == 0,
            Step::Done => true,
        };
        if ended {
            self.next()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), String> {
        if self.step == Step::Crc {
            let [low, high, ..] = self.crc.sum().to_le_bytes();
            let computed = u16::from_le_bytes([low, high]);
            if self.number != computed {
                return Err(format!("the member's header states CRC {:#06x}, but has {computed:#06x}", self.number));
            }
        }
        let has_extra = self.step == Step::ExtraLen && self.number > 0;
        let flag = |flag, step| (self.flags & flag != 0).then_some(step);
        let after_extra = || flag(FNAME, Step::Name);
        let after_name = || flag(FCOMMENT, Step::Comment);
        let after_comment = || flag(FHCRC, Step::Crc);
        let next = match self.step {
            Step::Fixed => flag(FEXTRA, Step::ExtraLen).or_else(after_extra).or_else(after_name).or_else(after_comment),
            Step::ExtraLen if has_extra => Some(Step::Extra),
            Step::ExtraLen | Step::Extra => after_extra().or_else(after_name).or_else(after_comment),
            Step::Name => after_name().or_else(after_comment),
            Step::Comment => after_comment(),
            Step::Crc | Step::Done => None,
        };
        self.step = next.unwrap_or(Step::Done);
        self.seen = 0;
        if self.step == Step::Crc {
            self.number = 0;
        }
        Ok(())
    }
}
