//! One stream, cut into blocks.

use std::collections::VecDeque;
use std::slice;

use crate::lanes::{Block, State};
use crate::piece::Piece;
use crate::team::weight;

/// The first 32 bits of the fractional parts of the square roots of the first eight primes.
const START: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

const BLOCK: usize = size_of::<Block>();

/// A stream of which some is hashed and some is waiting. What falls across the pieces is put
/// together in a block of its own.
pub(crate) struct Lane {
    pub(crate) state: State,
    across: Block,
    /// How much of that there is; all of it means that it is next.
    filled: usize,
    pieces: VecDeque<Piece>,
    /// Where the first piece's waiting bytes begin.
    at: usize,
    /// The weight of the pieces that have been given back.
    given_back: usize,
}

impl Lane {
    pub(crate) fn new() -> Lane {
        Lane { state: START, across: [0; BLOCK], filled: 0, pieces: VecDeque::new(), at: 0, given_back: 0 }
    }

    pub(crate) fn push(&mut self, pieces: &mut VecDeque<Piece>) {
        self.pieces.append(pieces);
        self.carry_over();
    }

    /// The next blocks: none only if nothing waits that would fill one.
    pub(crate) fn blocks(&self) -> &[Block] {
        if self.filled == BLOCK {
            return slice::from_ref(&self.across);
        }
        let Some(piece) = self.pieces.front() else { return &[] };
        let (blocks, _) = (**piece).as_ref()[self.at..].as_chunks();
        blocks
    }

    /// Says that some of them are hashed.
    pub(crate) fn pass(&mut self, blocks: usize) {
        if blocks > 0 && self.filled == BLOCK {
            self.filled = 0;
        } else {
            self.at += blocks * BLOCK;
        }
        self.carry_over();
    }

    /// The weight of what was given back since this was asked last.
    pub(crate) fn take_given_back(&mut self) -> usize {
        std::mem::take(&mut self.given_back)
    }

    /// Puts aside what is less than a block, until there are blocks or nothing is left.
    fn carry_over(&mut self) {
        while self.filled < BLOCK
            && let Some(piece) = self.pieces.front()
        {
            let bytes = (**piece).as_ref();
            let rest = &bytes[self.at..];
            if self.filled == 0 && rest.len() >= BLOCK {
                return;
            }
            let count = rest.len().min(BLOCK - self.filled);
            self.across[self.filled..self.filled + count].copy_from_slice(&rest[..count]);
            self.filled += count;
            self.at += count;
            if self.at == bytes.len() {
                self.given_back += weight(piece);
                self.at = 0;
                self.pieces.pop_front();
            }
        }
    }
}

/// What comes after the last byte of a stream: a bit, zeros up to the end of a block, and the
/// length in bits.
pub(crate) fn padding(len: u64) -> Vec<u8> {
    let mut padding = vec![0x80];
    while !(len + padding.len() as u64 + 8).is_multiple_of(BLOCK as u64) {
        padding.push(0);
    }
    padding.extend_from_slice(&(len * 8).to_be_bytes());
    padding
}

/// The hash that a state is at the end.
pub(crate) fn hash(state: &State) -> [u8; 32] {
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}
