//! What stands around the deflate data of a member (RFC 1952):
//!
//! ```text
//! member = 1f 8b  method  flags  mtime(4)  xfl  os  [extra]  [name]  [comment]  [crc16]
//!          deflate-data  crc32(4)  isize(4)
//! ```

use crc32fast::Hasher;

use crate::error::{Failure, Problem};
use crate::input::Input;

const FHCRC: u8 = 0x02;
const FEXTRA: u8 = 0x04;
const FNAME: u8 = 0x08;
const FCOMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// How long a name or a comment may be: as long as the extra field, whose length has 16 bits. Names
/// of files have 4096 bytes at most, and what goes on for longer says nothing.
pub const MAX_TEXT: usize = u16::MAX as usize;

/// A member's trailer while it is read.
#[derive(Default)]
pub(crate) struct Trailer {
    bytes: [u8; 8],
    len: usize,
}

impl Trailer {
    /// Takes what belongs to the trailer and is there, nothing only at the end of the stream;
    /// checksum and length when it is complete.
    pub(crate) fn read<R>(&mut self, input: &mut Input<R>) -> Result<Option<(u32, u32)>, Failure> {
        let bytes = input.bytes();
        if bytes.is_empty() {
            return Err(input.truncated("a member's trailer"));
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

/// A member's header while it is read.
#[derive(Default)]
pub(crate) struct Header {
    step: Step,
    flags: u8,
    /// Bytes seen of the present step.
    seen: usize,
    /// The number being read in the present step.
    number: u16,
    crc: Hasher,
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
    /// Takes what belongs to the header and is there, nothing only at the end of the stream; `true`
    /// when the header is complete.
    pub(crate) fn read<R>(&mut self, input: &mut Input<R>) -> Result<bool, Failure> {
        let offset = input.offset();
        let bytes = input.bytes();
        if bytes.is_empty() {
            return Err(input.truncated("a member's header"));
        }
        let mut used = 0;
        for &byte in bytes {
            if self.step != Step::Crc {
                self.crc.update(&[byte]);
            }
            self.byte(byte).map_err(|problem| Failure::at(offset + used as u64, problem))?;
            used += 1;
            if self.step == Step::Done {
                break;
            }
        }
        input.consume(used);
        Ok(self.step == Step::Done)
    }

    fn byte(&mut self, byte: u8) -> Result<(), Problem> {
        let at = self.seen;
        self.seen += 1;
        let ended = match self.step {
            Step::Fixed => {
                match (at, byte) {
                    (0, 0x1f) | (1, 0x8b) | (2, 8) | (4.., _) => {}
                    (0 | 1, found) => return Err(Problem::Magic { found }),
                    (2, found) => return Err(Problem::Method { found }),
                    (3, found) if found & RESERVED != 0 => return Err(Problem::ReservedFlags { found }),
                    (3, flags) => self.flags = flags,
                }
                at == 9
            }
            Step::ExtraLen | Step::Crc => {
                self.number |= u16::from(byte) << (8 * at);
                at == 1
            }
            Step::Extra => self.seen == usize::from(self.number),
            Step::Name | Step::Comment => {
                if at == MAX_TEXT && byte != 0 {
                    let field = if self.step == Step::Name { "name" } else { "comment" };
                    return Err(Problem::FieldSize { field, max: MAX_TEXT });
                }
                byte == 0
            }
            Step::Done => true,
        };
        if ended {
            self.next()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), Problem> {
        if self.step == Step::Crc {
            let [low, high, ..] = self.crc.clone().finalize().to_le_bytes();
            let (stated, computed) = (self.number, u16::from_le_bytes([low, high]));
            if stated != computed {
                return Err(Problem::HeaderCrc { stated, computed });
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
