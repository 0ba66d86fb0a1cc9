//! gzip (RFC 1952): members one behind the other.
//!
//! ```text
//! member = 1f 8b  method  flags  mtime(4)  xfl  os  [extra]  [name]  [comment]  [crc16]  deflate-data  crc32(4)  isize(4)
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
    Trailer {
        bytes: [u8; 8],
        len: usize,
    },
    /// Behind a member.
    Boundary,
    /// Behind a NUL that stands behind a member.
    Padding,
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip { inflate: Decompress::new(false), crc: Crc::new(), state: State::Header(Header::default()) }
    }

    /// Fills the start of `output` and says how far; 0 at the end of the input.
    pub(super) fn read<R: Read>(&mut self, input: &mut Input<R>, output: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let offset = input.offset();
            let bytes = input.fill()?;
            match &mut self.state {
                State::Header(header) => {
                    let Some(used) = header.read(bytes).map_err(|reason| corrupt(offset, reason))? else {
                        return Err(truncated(offset, "a member's header"));
                    };
                    if header.step == Step::Done {
                        self.inflate.reset(false);
                        self.crc.reset();
                        self.state = State::Data;
                    }
                    input.consume(used);
                }
                State::Data => {
                    let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
                    let status = self.inflate.decompress(bytes, output, FlushDecompress::None);
                    let at_end = bytes.is_empty();
                    let used = count(self.inflate.total_in() - total_in);
                    let made = count(self.inflate.total_out() - total_out);
                    input.consume(used);
                    match status {
                        Ok(Status::StreamEnd) => self.state = State::Trailer { bytes: [0; 8], len: 0 },
                        Ok(_) if used == 0 && made == 0 && at_end => return Err(truncated(offset, "a member's data")),
                        Ok(_) if used == 0 && made == 0 => {
                            return Err(corrupt(offset, "the deflate data makes no progress"));
                        }
                        Ok(_) => {}
                        Err(error) => {
                            let reason = error.message().unwrap_or("invalid deflate data");
                            return Err(corrupt(input.offset(), reason));
                        }
                    }
                    self.crc.update(&output[..made]);
                    if made > 0 {
                        return Ok(made);
                    }
                }
                State::Trailer { bytes: trailer, len } => {
                    if bytes.is_empty() {
                        return Err(truncated(offset, "a member's trailer"));
                    }
                    let used = bytes.len().min(trailer.len() - *len);
                    trailer[*len..*len + used].copy_from_slice(&bytes[..used]);
                    *len += used;
                    if *len == trailer.len() {
                        let [a, b, c, d, e, f, g, h] = *trailer;
                        let (crc, size) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                        // The trailer counts modulo 2^32, and so does `amount`.
                        check(offset, "CRC", crc, self.crc.sum())?;
                        check(offset, "length", size, self.crc.amount())?;
                        self.state = State::Boundary;
                    }
                    input.consume(used);
                }
                State::Boundary => match bytes.first() {
                    None => return Ok(0),
                    Some(0) => self.state = State::Padding,
                    Some(0x1f) => self.state = State::Header(Header::default()),
                    Some(&found) => return Err(trailing(offset, found)),
                },
                State::Padding => return drain_padding(input).map(|()| 0),
            }
        }
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
    /// Takes what belongs to the header and says how much that is; `None` where there is nothing.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.step == Step::Done {
                return Ok(Some(at));
            }
            if self.step != Step::Crc {
                self.crc.update(&[byte]);
            }
            self.byte(byte)?;
        }
        Ok(if bytes.is_empty() { None } else { Some(bytes.len()) })
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
