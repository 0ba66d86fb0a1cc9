//! The symbols of a block: the loop where all the time goes, and its careful twin for the last
//! bytes of a stream.
#![expect(clippy::cast_possible_truncation, reason = "bits are masked to what fits, or fit where they are left over")]

use crate::error::{Code, Failure, Problem};
use crate::input::Input;
use crate::output::{Output, SLACK, copy_match};
use crate::table::{Distances, END, EXCEPTION, LITERAL, Literals, SUBTABLE, distance, length};

/// The fast loop starts where this many bytes of input are there: more than it loads before and in
/// its first turn.
pub(crate) const MARGIN: usize = 40;

/// What a turn of the fast loop may load: eight bytes, twice, with less than eight bytes between
/// them.
const TURN: usize = 24;

/// The most extra bits of a distance, and the most bits it has with its codeword.
const DISTANCE_EXTRA: u32 = 13;
const LONGEST_DISTANCE: u32 = 15 + DISTANCE_EXTRA;

/// The two codes of a block.
pub(crate) struct Codes {
    pub(crate) literals: Literals,
    pub(crate) distances: Distances,
}

/// Why a loop stopped.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Behind the end of the block.
    EndOfBlock,
    /// There is no more input, or no more room.
    Edge,
}

/// What is wrong, and the position in bits behind it.
type Wrong = (usize, Problem);

/// Decodes while there are [`MARGIN`] bytes of input and room.
pub(crate) fn fast<R>(codes: &Codes, input: &mut Input<R>, output: &mut Output) -> Result<Stop, Failure> {
    let (bytes, mut bit) = input.bits();
    let (buffer, mut end, floor) = output.parts();
    let stop = run(codes, bytes, &mut bit, buffer, &mut end, floor);
    output.advance_to(end);
    match stop {
        Ok(stop) => {
            input.advance_to(bit);
            Ok(stop)
        }
        Err(problem) => Err(input.failure(bit, problem)),
    }
}

/// The loop itself: from a position in bits in the input and a place in the output to new ones.
fn run(
    codes: &Codes,
    input: &[u8],
    bit: &mut usize,
    output: &mut [u8],
    end: &mut usize,
    floor: usize,
) -> Result<Stop, Problem> {
    let Codes { literals, distances } = codes;
    // Matches reach no further back than where the member starts, and so does what is looked at.
    let output = &mut output[floor..];
    // Where the last turn may start is computed anew each time: that takes no more instructions,
    // and fewer registers.
    assert!(input.len() >= TURN && output.len() >= SLACK, "the margin and the slack");
    let mut to = *end - floor;

    // What this turn may load, where that starts in the input, and how much of it was loaded.
    let mut at = *bit / 8 + 1;
    let mut window: &[u8; TURN] = input[at..].first_chunk().expect("the margin");
    let mut ahead = 0;
    // Bits that are loaded and not used, the next one lowest; how many of them are no longer ahead:
    // the low six bits of `count`, while the others are what subtracting whole entries leaves.
    let mut bits = u64::from(input[*bit / 8]) >> (*bit % 8);
    let mut count = 8 - (*bit % 8) as u32;

    macro_rules! refill {
        () => {
            let word = window[ahead..].first_chunk().expect("two loads at most");
            bits |= u64::from_le_bytes(*word).wrapping_shl(count);
            ahead += (!count as usize & 63) >> 3;
            count |= 56;
        };
    }
    macro_rules! take {
        ($entry:expr) => {
            bits = bits.wrapping_shr($entry);
            count = count.wrapping_sub($entry);
        };
    }
    macro_rules! push {
        ($place:ident, $done:ident, $entry:ident) => {
            $place[$done] = ($entry >> 16) as u8;
            $done += 1;
        };
    }

    refill!();
    let mut entry = literals.first(bits);
    let result = loop {
        at += ahead;
        ahead = 0;
        if at >= input.len() - TURN || to >= output.len() - SLACK {
            break Ok(Stop::Edge);
        }
        window = input[at..].first_chunk().expect("a turn");
        // One look at the bounds for the up to three literals of a turn.
        let place: &mut [u8; 4] = output[to..].first_chunk_mut().expect("the slack");
        let mut done = 0;
        let mut saved = bits;
        take!(entry);
        if entry & LITERAL != 0 {
            push!(place, done, entry);
            entry = literals.first(bits);
            saved = bits;
            take!(entry);
            if entry & LITERAL != 0 {
                push!(place, done, entry);
                entry = literals.first(bits);
                saved = bits;
                take!(entry);
                if entry & LITERAL != 0 {
                    push!(place, done, entry);
                    to += done;
                    entry = literals.first(bits);
                    refill!();
                    continue;
                }
            }
        }
        if entry & EXCEPTION != 0 {
            if entry & SUBTABLE != 0 {
                entry = literals.second(entry, bits);
                saved = bits;
                take!(entry);
                if entry & LITERAL != 0 {
                    push!(place, done, entry);
                    to += done;
                    entry = literals.first(bits);
                    refill!();
                    continue;
                }
            }
            if entry & END != 0 {
                to += done;
                break Ok(Stop::EndOfBlock);
            }
            if entry & EXCEPTION != 0 {
                to += done;
                break Err(Problem::Symbol { code: Code::Literals });
            }
        }
        to += done;
        let len = length(entry, saved);

        // Up to 42 bits are used. Here, as for literals, so many are left that the next symbol can
        // be looked up before more are loaded: whoever waits for the one need not wait for the
        // other.
        let mut far = distances.first(bits);
        if far as u32 & EXCEPTION != 0 {
            if far as u32 & SUBTABLE == 0 {
                count = count.wrapping_sub(far as u32);
                break Err(Problem::Symbol { code: Code::Distances });
            }
            if count & 63 < LONGEST_DISTANCE + Literals::BITS {
                refill!();
            }
            take!(Distances::BITS);
            far = distances.second(far as u32, bits);
        } else if count & 63 < Distances::BITS + DISTANCE_EXTRA + Literals::BITS {
            refill!();
        }
        let distance = distance(far, bits);
        take!(far as u32);
        if distance > to {
            break Err(Problem::Distance { distance, available: to });
        }
        entry = literals.first(bits);
        refill!();
        copy_match(output, to, distance, len);
        to += len;
    };
    *bit = (at + ahead) * 8 - (count & 63) as usize;
    *end = to + floor;
    result
}

/// Decodes symbol by symbol to the end of the input, of which no more comes, while there is room.
pub(crate) fn careful<R>(codes: &Codes, input: &mut Input<R>, output: &mut Output) -> Result<Stop, Failure> {
    while output.has_room() {
        let mut bits = input.reader();
        let (symbol, used) = match symbol(codes, bits.peek(), output.available()) {
            Ok(symbol) => symbol,
            Err((used, problem)) => return Err(input.failure(bits.bit + used, problem)),
        };
        bits.bit += used;
        let bit = bits.bit;
        if input.is_behind_end(bit) {
            return Err(input.truncated("a member's data"));
        }
        input.advance_to(bit);
        match symbol {
            Symbol::Literal(byte) => output.push(byte),
            Symbol::Match { distance, len } => output.repeat(distance, len),
            Symbol::End => return Ok(Stop::EndOfBlock),
        }
    }
    Ok(Stop::Edge)
}

enum Symbol {
    Literal(u8),
    Match { distance: usize, len: usize },
    End,
}

/// The next symbol, of not more than 48 bits, and how many it has.
fn symbol(codes: &Codes, bits: u64, available: usize) -> Result<(Symbol, usize), Wrong> {
    let (entry, from, used) = codes.literals.find(bits);
    if entry & LITERAL != 0 {
        return Ok((Symbol::Literal((entry >> 16) as u8), used));
    }
    if entry & END != 0 {
        return Ok((Symbol::End, used));
    }
    if entry & EXCEPTION != 0 {
        return Err((used, Problem::Symbol { code: Code::Literals }));
    }
    let len = length(entry, from);
    let (entry, from, more) = codes.distances.find(bits >> used);
    let used = used + more;
    if entry as u32 & EXCEPTION != 0 {
        return Err((used, Problem::Symbol { code: Code::Distances }));
    }
    let distance = distance(entry, from);
    if distance > available {
        return Err((used, Problem::Distance { distance, available }));
    }
    Ok((Symbol::Match { distance, len }, used))
}
