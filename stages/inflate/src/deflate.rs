//! The blocks of deflate data ([RFC 1951](https://www.rfc-editor.org/rfc/rfc1951)).
//!
//! ```text
//! block = last(1) type(2)  00: to the next byte, length(16) ~length(16) bytes
//!                          01: symbols in the fixed code
//!                          10: two codes, symbols in them
//! ```
#![expect(clippy::cast_possible_truncation, reason = "three bits and code lengths fit")]

use std::io::Read;

use crate::decode::{Codes, MARGIN, Stop, careful, fast};
use crate::error::{Code, Failure, Problem};
use crate::input::{Bits, Input, MOST_WANTED};
use crate::output::Output;
use crate::table::{DISTANCES, Distances, LENGTHS, LITERALS, Lengths, Literals};

/// The most codes of each kind that a block may define, as in zlib.
const MAX_LITERALS: usize = 286;
const MAX_DISTANCES: usize = 30;

/// In which order the lengths of the code-length code are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

pub(crate) struct Deflate {
    codes: Box<Codes>,
    lengths: Box<Lengths>,
    /// The tables hold the fixed code.
    is_fixed: bool,
    block: Block,
    /// No block follows the present one.
    last: bool,
}

#[derive(Clone, Copy)]
enum Block {
    /// Before a block, or behind the last.
    Boundary,
    /// In a stored block, with so many bytes left.
    Stored(usize),
    /// Before a symbol.
    Coded,
}

/// Why no more was made.
#[derive(PartialEq, Eq)]
pub(crate) enum Pause {
    /// The data is at its end, and the input behind its last byte.
    End,
    /// There is something to consume first: because there is no more room, or because the next
    /// bytes may be long in coming.
    Ready,
}

impl Deflate {
    pub(crate) fn new() -> Deflate {
        let codes = Codes { literals: Literals::new(), distances: Distances::new() };
        Deflate {
            codes: Box::new(codes),
            lengths: Box::new(Lengths::new()),
            is_fixed: false,
            block: Block::Boundary,
            last: false,
        }
    }

    /// Before the first block.
    pub(crate) fn reset(&mut self) {
        self.block = Block::Boundary;
        self.last = false;
    }

    /// Inflates what there is room for. It never stops within a symbol or a block's header: those
    /// are read when all of their bytes are there.
    pub(crate) fn inflate<R: Read>(&mut self, input: &mut Input<R>, output: &mut Output) -> Result<Pause, Failure> {
        loop {
            let wanted = match self.block {
                Block::Boundary if self.last => {
                    input.align();
                    return Ok(Pause::End);
                }
                Block::Boundary => MOST_WANTED,
                Block::Stored(left) => left.min(1),
                Block::Coded => MARGIN,
            };
            if !output.has_room() || !input.want(wanted, output.is_empty())? {
                return Ok(Pause::Ready);
            }
            match self.block {
                Block::Boundary => self.begin(input)?,
                Block::Stored(0) => self.block = Block::Boundary,
                Block::Stored(left) => {
                    let bytes = input.bytes();
                    if bytes.is_empty() {
                        return Err(input.truncated("a member's data"));
                    }
                    let len = output.append(&bytes[..bytes.len().min(left)]);
                    input.consume(len);
                    self.block = Block::Stored(left - len);
                }
                Block::Coded => {
                    let enough = input.bytes().len() >= MARGIN;
                    let decode = if enough { fast } else { careful };
                    if decode(&self.codes, input, output)? == Stop::EndOfBlock {
                        self.block = Block::Boundary;
                    }
                }
            }
        }
    }

    /// Reads a block's header.
    fn begin<R>(&mut self, input: &mut Input<R>) -> Result<(), Failure> {
        let mut bits = input.reader();
        let header = self.header(&mut bits);
        let bit = bits.bit;
        match header {
            Ok(block) if !input.is_behind_end(bit) => {
                self.block = block;
                input.advance_to(bit);
                Ok(())
            }
            Ok(_) => Err(input.truncated("a member's data")),
            Err(problem) => Err(input.failure(bit, problem)),
        }
    }

    fn header(&mut self, bits: &mut Bits<'_>) -> Result<Block, Problem> {
        self.last = bits.take(1) == 1;
        match bits.take(2) {
            0 => {
                bits.bit = bits.bit.next_multiple_of(8);
                let (length, complement) = (bits.take(16), bits.take(16));
                if length != !complement {
                    return Err(Problem::StoredLength { length, complement });
                }
                Ok(Block::Stored(usize::from(length)))
            }
            1 => {
                self.fixed();
                Ok(Block::Coded)
            }
            2 => {
                self.is_fixed = false;
                self.dynamic(bits)?;
                Ok(Block::Coded)
            }
            _ => Err(Problem::BlockType),
        }
    }

    fn fixed(&mut self) {
        if !self.is_fixed {
            let lengths: [u8; 288] = std::array::from_fn(|symbol| match symbol {
                0..144 | 280.. => 8,
                144..256 => 9,
                256..280 => 7,
            });
            self.codes.literals.build(&lengths, &LITERALS, false).expect("a complete code");
            self.codes.distances.build(&[5; 32], &DISTANCES, false).expect("a complete code");
            self.is_fixed = true;
        }
    }

    /// Reads the codes of a block.
    fn dynamic(&mut self, bits: &mut Bits<'_>) -> Result<(), Problem> {
        let (literals, distances) = (bits.take(5) + 257, bits.take(5) + 1);
        let (literal_count, distance_count) = (usize::from(literals), usize::from(distances));
        let written = usize::from(bits.take(4) + 4);
        if literal_count > MAX_LITERALS || distance_count > MAX_DISTANCES {
            return Err(Problem::SymbolCount { literals, distances });
        }
        let mut lengths = [0u8; 19];
        for &symbol in &ORDER[..written] {
            lengths[symbol] = bits.take(3) as u8;
        }
        let wrong = |code| move |fault| Problem::Code { code, fault };
        self.lengths.build(&lengths, &LENGTHS, false).map_err(wrong(Code::Lengths))?;

        let mut lengths = [0u8; MAX_LITERALS + MAX_DISTANCES];
        let lengths = &mut lengths[..literal_count + distance_count];
        let mut at = 0;
        while at < lengths.len() {
            let (entry, _, used) = self.lengths.find(bits.peek());
            bits.bit += used;
            let (len, times) = match entry >> 16 {
                16 => {
                    let times = 3 + bits.take(2);
                    let before = at.checked_sub(1).ok_or(Problem::Repeat { fault: "has none before it" })?;
                    (lengths[before], times)
                }
                17 => (0, 3 + bits.take(3)),
                18 => (0, 11 + bits.take(7)),
                len => (len as u8, 1),
            };
            let places = lengths[at..].get_mut(..usize::from(times));
            places.ok_or(Problem::Repeat { fault: "goes on behind the last one" })?.fill(len);
            at += usize::from(times);
        }
        let (literals, distances) = lengths.split_at(literal_count);
        if literals[256] == 0 {
            return Err(Problem::NoEndOfBlock);
        }
        self.codes.literals.build(literals, &LITERALS, true).map_err(wrong(Code::Literals))?;
        self.codes.distances.build(distances, &DISTANCES, true).map_err(wrong(Code::Distances))
    }
}
