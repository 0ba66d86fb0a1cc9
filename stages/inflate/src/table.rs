//! Prefix codes as tables: bits → what they mean.
//!
//! An entry of a table is one number:
//!
//! ```text
//! bit 31       30..16   15         14        13   11..8               7..0
//! LITERAL  │   value  │ EXCEPTION  SUBTABLE  END │ codeword, in bits │ codeword and extra bits, in bits
//! ```
//!
//! The value is the literal, or the base to which the extra bits are added, or where a subtable starts, which has as many
//! bits as the field of the codeword says. `EXCEPTION` alone: no symbol.
#![expect(clippy::cast_possible_truncation, reason = "bits are masked to what fits")]

use crate::error::CodeFault;

pub(crate) const LITERAL: u32 = 1 << 31;
pub(crate) const EXCEPTION: u32 = 1 << 15;
pub(crate) const SUBTABLE: u32 = 1 << 14;
pub(crate) const END: u32 = 1 << 13;

/// The longest codeword, by the RFC.
const MAX_BITS: usize = 15;

/// A table of `1 << BITS` entries and the subtables behind them, `SIZE` together.
pub(crate) struct Table<const BITS: u32, const SIZE: usize>([u32; SIZE]);

/// Sizes are those that the program `enough` of zlib finds for the worst code of 288, 32 and 19 symbols.
pub(crate) type Literals = Table<11, 2342>;
pub(crate) type Distances = Table<8, 402>;
pub(crate) type Lengths = Table<7, 128>;

impl<const BITS: u32, const SIZE: usize> Table<BITS, SIZE> {
    pub(crate) const BITS: u32 = BITS;

    pub(crate) const fn new() -> Table<BITS, SIZE> {
        assert!(SIZE >= 1 << BITS, "the first lookup needs no check");
        Table([EXCEPTION; SIZE])
    }

    /// The entry for these bits, which may point to a subtable.
    #[inline(always)]
    pub(crate) fn first(&self, bits: u64) -> u32 {
        self.0[(bits & ((1 << BITS) - 1)) as usize]
    }

    /// The entry in a subtable, for the bits behind those of the first lookup.
    #[inline(always)]
    pub(crate) fn second(&self, pointer: u32, bits: u64) -> u32 {
        let mask = (1u64 << (pointer >> 8 & 15)) - 1;
        self.0[(pointer >> 16) as usize + (bits & mask) as usize]
    }

    /// The final entry for these bits, its value with the extra bits added, and how many bits that takes.
    #[inline]
    pub(crate) fn find(&self, bits: u64) -> (u32, usize, usize) {
        let (mut entry, mut bits, mut used) = (self.first(bits), bits, 0);
        if entry & SUBTABLE != 0 {
            bits >>= BITS;
            used = BITS;
            entry = self.second(entry, bits);
        }
        (entry, value(entry, bits), (used + (entry & 63)) as usize)
    }

    /// Makes the table of the code in which symbol `n` has a codeword of `lengths[n]` bits, or none where that is 0.
    ///
    /// As in zlib: every codeword must be there, but where `lone` says so a code may have a single symbol with one bit,
    /// or none at all, as long as what is missing is not used.
    pub(crate) fn build(&mut self, lengths: &[u8], templates: &[u32], lone: bool) -> Result<(), CodeFault> {
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
            self.0[..1 << BITS].fill(entry(EXCEPTION, 1));
            if longest == 1 {
                let only = entry(templates[usize::from(sorted[0])], 1);
                self.0[..1 << BITS].iter_mut().step_by(2).for_each(|entry| *entry = only);
            }
            return Ok(());
        }
        self.fill(&counts, &sorted, templates);
        Ok(())
    }

    /// Fills in a complete code: `counts[n]` codewords of `n` bits, for the symbols `sorted` by length.
    ///
    /// Codewords are read from the highest bit down, so a table is indexed by their reverse; short ones have several
    /// places, which are filled by doubling what stands there.
    fn fill(&mut self, counts: &[u16; MAX_BITS + 1], sorted: &[u16; 288], templates: &[u32]) {
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
                        self.0[prefix] = (start as u32) << 16 | EXCEPTION | SUBTABLE | (bits as u32) << 8 | BITS;
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

/// How many bits index a subtable that starts after `done` of the `counts[0]` codewords with `bits` bits left: as many as
/// its longest codeword has left, by how many fit.
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

const fn entry(template: u32, len: usize) -> u32 {
    template + ((len << 8 | len) as u32)
}

/// The value of an entry, with its extra bits added.
#[inline(always)]
pub(crate) fn value(entry: u32, bits: u64) -> usize {
    let mask = 1u64.wrapping_shl(entry) - 1;
    (entry >> 16 & 0x7fff) as usize + (bits & mask).wrapping_shr(entry >> 8) as usize
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
        templates[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    templates[285] = 258 << 16;
    templates
};

pub(crate) static DISTANCES: [u32; 32] = {
    let mut templates = [EXCEPTION; 32];
    let (mut symbol, mut base) = (0, 1);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { (symbol as u32 - 2) / 2 };
        templates[symbol] = base << 16 | extra;
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
