//! A gzip stream → its plain bytes, in bounded memory.
//!
//! ```text
//! reader ─Input→ bits ─Deflate→ symbols ─Output→ history + piece ─GzipReader→ slices, and CRC and length
//! ```
//!
//! [`GzipReader`] lends the plain bytes of all members of a stream (RFC 1952) in large pieces, from
//! the memory into which they were inflated, and is strict about everything around them.
//!
//! ```
//! use std::io::Read as _;
//!
//! let stream = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x5c\0\x3b\x7c\x8a\xdf\x12\0\0\0";
//! let mut plain = String::new();
//! cvbake_inflate::GzipReader::new(&stream[..]).read_to_string(&mut plain)?;
//! assert_eq!(plain, "hello hello hello\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Inflating is most of the work of unpacking a layer, so the loop over the symbols of a block
//! (`decode`) is made like those of inflaters that have all of the input and output in memory, and
//! wholly safe. What lets it stream is that no symbol and no block header is ever suspended
//! halfway:
//!
//! * The output has 32 KiB of history in front and slack behind. The loop looks for room once per
//!   turn; a turn may end within the slack. When it is full, the piece is handed out, and the last
//!   32 KiB move to the front.
//! * The loop runs while 40 bytes of input are there. What is left is kept as a position in bits,
//!   moves to the front of the input buffer, and more is read behind it. A block header is read
//!   when 640 bytes are there: more than the longest has.
//! * At the end of the stream there are zeros behind the input. There the last symbols are decoded
//!   one by one, and one that reaches into the zeros was cut.
//!
//! So the plain bytes and the error, if there is one, are a function of the stream alone, and not
//! of the pieces in which it arrives. What deflate data is accepted is decided exactly as zlib
//! does; zlib-rs is the oracle of the tests and of a fuzz target.
//!
//! # How fast
//!
//! `cargo bench -p cvbake-inflate` compares with zlib-rs and libdeflate, in turns. libdeflate,
//! which needs all of the input and output in memory, is 1.1 to 1.2 times as fast on layers;
//! differences of a few per cent between builds of the same loop are a matter of where its code
//! comes to lie. What the loop owes its shape to:
//!
//! * The next symbol is looked up before more bits are loaded, not after.
//! * A match is copied by 48 bytes at once; 40, by eights, are slower, for all that they need fewer
//!   special cases.
//! * One look at the bounds for the literals of a turn, and one for all that it loads.
//!
//! Slower are: two literals in an entry (blocks are small, and pairing them costs more than it
//! saves), a first literal without a branch, and tables of ten bits. The loop compiled once more
//! for processors with BMI2, which libdeflate uses, is a fortieth faster: not enough to have it
//! twice.
#![forbid(unsafe_code)]

mod decode;
mod deflate;
mod error;
mod input;
mod member;
mod output;
mod reader;
mod table;
#[cfg(test)]
mod tests;

pub use error::{Code, CodeFault, Error, Problem};
pub use member::MAX_TEXT;
pub use reader::{GzipReader, INPUT_BUFFER, OUTPUT_BUFFER};
