//! A writer of deflate data that chooses blocks, codes and symbols at random: what no compressor
//! writes, too.

use super::Noise;
use crate::table::{DISTANCES, LITERALS};

/// Bits in the order of RFC 1951.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    /// A number, lowest bit first.
    pub(super) fn number(&mut self, value: usize, count: u32) -> &mut Bits {
        for bit in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            *self.bytes.last_mut().unwrap() |= u8::from(value >> bit & 1 == 1) << (8 - self.free);
            self.free -= 1;
        }
        self
    }

    /// A codeword, highest bit first.
    pub(super) fn codeword(&mut self, (codeword, len): (usize, u32)) -> &mut Bits {
        assert!(len > 0, "a symbol of the code");
        for bit in (0..len).rev() {
            self.number(codeword >> bit & 1, 1);
        }
        self
    }

    pub(super) fn align(&mut self) -> &mut Bits {
        self.free = 0;
        self
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// The codewords of a code with these lengths, as RFC 1951, 3.2.2 makes them.
pub(super) fn codewords(lengths: &[u8]) -> Vec<(usize, u32)> {
    let mut next = 0;
    let mut codewords = vec![(0, 0); lengths.len()];
    for len in 1..=15u8 {
        next <<= 1;
        for (codeword, _) in codewords.iter_mut().zip(lengths).filter(|(_, of)| **of == len) {
            *codeword = (next, u32::from(len));
            next += 1;
        }
    }
    codewords
}

/// Lengths of a complete code of `used` of `all` symbols, of up to `max` bits; `must` is one of
/// them.
pub(super) fn lengths(noise: &mut Noise, all: usize, used: usize, max: u8, must: usize) -> Vec<u8> {
    let mut leaves = vec![1u8, 1];
    let deep = noise.below(2) == 0;
    while leaves.len() < used {
        // A deep code splits the deepest leaf that it can, another one any.
        let at = if deep { leaves.len() - 1 - noise.below(2) } else { noise.below(leaves.len()) };
        let at = if leaves[at] < max { at } else { leaves.iter().position(|&len| len < max).unwrap() };
        leaves[at] += 1;
        let len = leaves[at];
        leaves.push(len);
    }
    let mut lengths = vec![0; all];
    lengths[must] = leaves.swap_remove(noise.below(leaves.len()));
    for len in leaves {
        let free = (0..all).cycle().skip(noise.below(all)).find(|&at| lengths[at] == 0).unwrap();
        lengths[free] = len;
    }
    lengths
}

/// Writes the header of a dynamic block with these codes, repeating lengths where that is possible.
pub(super) fn header(bits: &mut Bits, last: bool, literals: &[u8], distances: &[u8]) {
    bits.number(usize::from(last), 1).number(2, 2);
    bits.number(literals.len() - 257, 5).number(distances.len() - 1, 5).number(19 - 4, 4);
    // Five bits each for all but the longest runs' symbol... : 13 of four and 6 of five bits are
    // complete.
    let code: Vec<u8> = (0..19).map(|symbol| if symbol < 13 { 4 } else { 5 }).collect();
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
        bits.number(usize::from(code[symbol]), 3);
    }
    let code = codewords(&code);
    let all = [literals, distances].concat();
    let mut at = 0;
    while at < all.len() {
        let run = all[at..].iter().take_while(|&&len| len == all[at]).count();
        let before = at.checked_sub(1).map(|before| all[before]);
        at += match run {
            11.. if all[at] == 0 => {
                bits.codeword(code[18]).number(run.min(138) - 11, 7);
                run.min(138)
            }
            3.. if all[at] == 0 => {
                bits.codeword(code[17]).number(run.min(10) - 3, 3);
                run.min(10)
            }
            3.. if before == Some(all[at]) => {
                bits.codeword(code[16]).number(run.min(6) - 3, 2);
                run.min(6)
            }
            _ => {
                bits.codeword(code[usize::from(all[at])]);
                1
            }
        };
    }
}

/// Deflate data and what it means.
pub(super) fn random(noise: &mut Noise) -> (Vec<u8>, Vec<u8>) {
    let (mut bits, mut plain) = (Bits::default(), Vec::new());
    let blocks = 1 + noise.below(5);
    for block in 1..=blocks {
        let last = block == blocks;
        match noise.below(4) {
            0 => stored(noise, &mut bits, &mut plain, last),
            1 => {
                bits.number(usize::from(last), 1).number(1, 2);
                let literals: Vec<u8> = [(144, 8), (112, 9), (24, 7), (8, 8)]
                    .into_iter()
                    .flat_map(|(count, len)| std::iter::repeat_n(len, count))
                    .collect();
                symbols(noise, &mut bits, &mut plain, &literals, &[5; 32]);
            }
            _ => {
                let count = 257 + noise.below(30);
                let most = if noise.below(2) == 0 { 20 } else { count - 2 };
                let used = 2 + noise.below(most);
                let max = if used > 200 { 15 } else { 9 + u8::try_from(noise.below(7)).unwrap() };
                let literals = lengths(noise, count, used, max, 256);
                let count = 2 + noise.below(29);
                let used = 2 + noise.below(count - 1);
                let distances = match noise.below(8) {
                    0 => vec![0; 1],
                    1 => vec![0, 0, 1],
                    _ => lengths(noise, count, used, 15, 0),
                };
                header(&mut bits, last, &literals, &distances);
                symbols(noise, &mut bits, &mut plain, &literals, &distances);
            }
        }
    }
    (bits.bytes(), plain)
}

fn stored(noise: &mut Noise, bits: &mut Bits, plain: &mut Vec<u8>, last: bool) {
    let len = noise.below(3) * noise.below(200);
    let start = plain.len();
    plain.extend((0..len).map(|_| noise.byte()));
    bits.number(usize::from(last), 1).number(0, 2).align().number(len, 16).number(!len & 0xffff, 16);
    for &byte in &plain[start..] {
        bits.number(usize::from(byte), 8);
    }
}

/// Random symbols that both codes have, and the end of the block.
fn symbols(noise: &mut Noise, bits: &mut Bits, plain: &mut Vec<u8>, literals: &[u8], distances: &[u8]) {
    let (literal_words, distance_words) = (codewords(literals), codewords(distances));
    let near_base = |symbol: usize| usize::try_from(DISTANCES[symbol] >> 16 & 0xffff).unwrap();
    let lits: Vec<usize> = (0..256).filter(|&symbol| literals[symbol] > 0).collect();
    let lens: Vec<usize> = (257..literals.len().min(286)).filter(|&symbol| literals[symbol] > 0).collect();
    for _ in 0..noise.below(400) {
        if !lits.is_empty() && (lens.is_empty() || noise.below(3) > 0) {
            let symbol = lits[noise.below(lits.len())];
            bits.codeword(literal_words[symbol]);
            plain.push(u8::try_from(symbol).unwrap());
        }
        // A distance that is not too far.
        let near = |symbol: &usize| distances[*symbol] > 0 && near_base(*symbol) <= plain.len();
        let near: Vec<usize> = (0..distances.len().min(30)).filter(near).collect();
        if lens.is_empty() || near.is_empty() || noise.below(2) == 0 {
            continue;
        }
        let symbol = lens[noise.below(lens.len())];
        let width = LITERALS[symbol] & 63;
        let extra = noise.below(1 << width);
        bits.codeword(literal_words[symbol]).number(extra, width);
        let len = (LITERALS[symbol] >> 16 & 0x1ff) as usize + extra;
        let symbol = near[noise.below(near.len())];
        let width = u32::try_from(DISTANCES[symbol] & 63).unwrap();
        let base = near_base(symbol);
        let extra = noise.below((1 << width).min(plain.len() - base + 1));
        bits.codeword(distance_words[symbol]).number(extra, width);
        for _ in 0..len {
            plain.push(plain[plain.len() - base - extra]);
        }
    }
    bits.codeword(literal_words[256]);
}
