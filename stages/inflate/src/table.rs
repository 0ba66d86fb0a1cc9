//! Prefix codes as tables: bits → what they mean.
//!
//! An entry of a table is one number:
//!
//! ```text
//! literals and lengths  31 LITERAL   29..25 mask  24..16 value ┐ 15 EXCEPTION  14 SUBTABLE  13 END
//! distances                          47..32 mask  31..16 value ┘ 11..8 codeword   7..0 codeword and extra bits, in bits
//! ```
//!
//! The value is the literal, or the base to which the extra bits are added; the mask has a one for
//! each of these. Or it is where a subtable starts, which has as many bits as the field of the
//! codeword says. `EXCEPTION` alone: no symbol.
#![expect(clippy::cast_possible_truncation, reason = "bits are masked to what fits")]

use std::ops::Add;

use crate::error::CodeFault;

pub(crate) const LITERAL: u32 = 1 << 31;
pub(crate) const EXCEPTION: u32 = 1 << 15;
pub(crate) const SUBTABLE: u32 = 1 << 14;
pub(crate) const END: u32 = 1 << 13;

/// The longest codeword, by the RFC.
const MAX_BITS: usize = 15;

/// A table of `1 << BITS` entries and the subtables behind them, `SIZE` together.
pub(crate) struct Table<E, const BITS: u32, const SIZE: usize>([E; SIZE]);

/// Sizes are those that the program `enough` of zlib finds for the worst code of 288, 32 and 19
/// symbols.
pub(crate) type Literals = Table<u32, 11, 2342>;
pub(crate) type Distances = Table<u64, 8, 402>;
pub(crate) type Lengths = Table<u32, 7, 128>;

impl<E: Copy + From<u32> + Into<u64> + Add<Output = E>, const BITS: u32, const SIZE: usize> Table<E, BITS, SIZE> {
    pub(crate) const BITS: u32 = BITS;

    pub(crate) fn new() -> Table<E, BITS, SIZE> {
        const { assert!(SIZE >= 1 << BITS, "the first lookup needs no check") };
        Table([E::from(EXCEPTION); SIZE])
    }

    /// The entry for these bits, which may point to a subtable.
    #[inline(always)]
    pub(crate) fn first(&self, bits: u64) -> E {
        self.0[(bits & ((1 << BITS) - 1)) as usize]
    }

    /// The entry in a subtable, for the bits behind those of the first lookup.
    #[inline(always)]
    pub(crate) fn second(&self, pointer: u32, bits: u64) -> E {
        let mask = (1u64 << (pointer >> 8 & 15)) - 1;
        self.0[(pointer >> 16) as usize + (bits & mask) as usize]
    }

    /// The final entry for these bits, the bits from its codeword on, and how many bits it takes.
    #[inline]
    pub(crate) fn find(&self, bits: u64) -> (E, u64, usize) {
        let first = self.first(bits);
        let low = first.into() as u32;
        if low & SUBTABLE == 0 {
            return (first, bits, (low & 63) as usize);
        }
        let bits = bits >> BITS;
        let second = self.second(low, bits);
        (second, bits, (BITS + (second.into() as u32 & 63)) as usize)
    }

    /// Makes the table of the code in which symbol `n` has a codeword of `lengths[n]` bits, or none
    /// where that is 0.
    ///
    /// As in zlib: every codeword must be there, but where `lone` says so a code may have a single
    /// symbol with one bit, or none at all, as long as what is missing is not used. (zlib takes an
    /// empty code of code lengths, too, and refuses what follows from it.)
    pub(crate) fn build(&mut self, lengths: &[u8], templates: &[E], lone: bool) -> Result<(), CodeFault> {
        let (counts, sorted) = sort(lengths);
        let longest = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        let free = counts
            .iter()
            .enumerate()
            .skip(1)
            .fold(1 << MAX_BITS, |free, (len, &count)| free - (i64::from(count) << (MAX_BITS - len)));
        if free < 0 {
            return Err(CodeFault::OverSubscribed);
        }
        if free > 0 {
            if !lone || longest > 1 {
                return Err(CodeFault::Incomplete);
            }
            self.0[..1 << BITS].fill(entry(E::from(EXCEPTION), 1));
            if longest == 1 {
                let only = entry(templates[usize::from(sorted[0])], 1);
                self.0[..1 << BITS].iter_mut().step_by(2).for_each(|entry| *entry = only);
            }
            return Ok(());
        }
        self.fill(&counts, &sorted, templates);
        Ok(())
    }

    /// Fills in a complete code: `counts[n]` codewords of `n` bits, for the symbols `sorted` by
    /// length.
    ///
    /// Codewords are read from the highest bit down, so a table is indexed by their reverse; short
    /// ones have several places, which are filled by doubling what stands there.
    fn fill(&mut self, counts: &[u16; MAX_BITS + 1], sorted: &[u16; 288], templates: &[E]) {
        let main = 1usize << BITS;
        let mut symbols = sorted.iter().map(|&symbol| templates[usize::from(symbol)]);
        let mut codeword = 0usize;
        let (mut filled, mut prefix, mut start) = (1, usize::MAX, 0);
        for len in 1..=MAX_BITS {
            let short = len <= BITS as usize;
            if short {
                self.0.copy_within(..filled, filled);
                filled *= 2;
            }
            for (done, template) in symbols.by_ref().take(usize::from(counts[len])).enumerate() {
                if short {
                    self.0[codeword] = entry(template, len);
                } else {
                    if codeword % main != prefix {
                        prefix = codeword % main;
                        start = filled;
                        let bits = subtable_bits(&counts[len..], done, len - BITS as usize);
                        filled += 1 << bits;
                        let pointer = (start as u32) << 16 | EXCEPTION | SUBTABLE | (bits as u32) << 8 | BITS;
                        self.0[prefix] = E::from(pointer);
                    }
                    let entry = entry(template, len - BITS as usize);
                    let places = self.0[start..filled].iter_mut().skip(codeword >> BITS);
                    places.step_by(1 << (len - BITS as usize)).for_each(|place| *place = entry);
                }
                // The next codeword in order: one more, in reverse.
                let highest_zero = (!codeword & ((1 << len) - 1)).checked_ilog2().unwrap_or(0);
                codeword = codeword & ((1 << highest_zero) - 1) | 1 << highest_zero;
            }
        }
    }
}

/// How many symbols have a codeword of each length, and the symbols that have one by length.
fn sort(lengths: &[u8]) -> ([u16; MAX_BITS + 1], [u16; 288]) {
    let mut counts = [0u16; MAX_BITS + 1];
    for &len in lengths {
        counts[usize::from(len)] += 1;
    }
    counts[0] = 0;
    let mut places = [0u16; MAX_BITS + 2];
    for len in 0..=MAX_BITS {
        places[len + 1] = places[len] + counts[len];
    }
    let mut sorted = [0u16; 288];
    for (symbol, &len) in (0u16..).zip(lengths) {
        if len > 0 {
            let place = &mut places[usize::from(len)];
            sorted[usize::from(*place)] = symbol;
            *place += 1;
        }
    }
    (counts, sorted)
}

/// How many bits index a subtable that starts after `done` of the `counts[0]` codewords with `bits`
/// bits left: as many as its longest codeword has left, by how many fit.
fn subtable_bits(counts: &[u16], done: usize, mut bits: usize) -> usize {
    let mut counts = counts.iter().map(|&count| usize::from(count));
    let mut filled = counts.next().unwrap_or(0) - done;
    while filled < 1 << bits
        && let Some(count) = counts.next()
    {
        bits += 1;
        filled = 2 * filled + count;
    }
    bits
}

fn entry<E: From<u32> + Add<Output = E>>(template: E, len: usize) -> E {
    template + E::from((len << 8 | len) as u32)
}

/// The length that an entry means, with its extra bits.
#[inline(always)]
pub(crate) fn length(entry: u32, bits: u64) -> usize {
    (entry >> 16 & 0x1ff) as usize + (bits.wrapping_shr(entry >> 8) as u32 & (entry >> 25 & 31)) as usize
}

/// The distance that an entry means, with its extra bits.
#[inline(always)]
pub(crate) fn distance(entry: u64, bits: u64) -> usize {
    (entry >> 16 & 0xffff) as usize + (bits.wrapping_shr(entry as u32 >> 8) & (entry >> 32 & 0xffff)) as usize
}

/// The entries of the symbols, without their codewords.
pub(crate) static LITERALS: [u32; 288] = {
    let mut templates = [EXCEPTION; 288];
    let mut symbol = 0;
    while symbol < 256 {
        templates[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    templates[256] |= END;
    // 3 to 10 one by one, then four of each width, and 258 on its own.
    let mut base = 3;
    symbol = 257;
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        templates[symbol] = ((1 << extra) - 1) << 25 | base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    templates[285] = 258 << 16;
    templates
};

pub(crate) static DISTANCES: [u64; 32] = {
    let mut templates = [EXCEPTION as u64; 32];
    let (mut symbol, mut base) = (0, 1);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { (symbol as u64 - 2) / 2 };
        templates[symbol] = ((1 << extra) - 1) << 32 | base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    templates
};

pub(crate) static LENGTHS: [u32; 19] = {
    let mut templates = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        templates[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    templates
};
