//! A gzip stream → its plain bytes, in bounded memory.
//!
//! ```text
//! reader ─Input→ bits ─Deflate→ symbols ─Output→ history + piece ─GzipReader→ slices, and CRC and length
//! ```
//!
//! [`GzipReader`] lends the plain bytes of all members of a stream (RFC 1952) in large pieces, from the memory into which
//! they were inflated, and is strict about everything around them.
//!
//! Inflating is most of the work of unpacking a layer, so the loop over the symbols of a block (`decode`) is made like
//! those of inflaters that have all of the input and output in memory, and wholly safe. What lets it stream is that no
//! symbol and no block header is ever suspended halfway:
//!
//! * The output has 32 KiB of history in front and slack behind. The loop looks for room once per turn; a turn may end
//!   within the slack. When it is full, the piece is handed out, and the last 32 KiB move to the front.
//! * The loop runs while 40 bytes of input are there. What is left is kept as a position in bits, moves to the front of
//!   the input buffer, and more is read behind it. A block header is read when 640 bytes are there, which no header has.
//! * At the end of the stream there are zeros behind the input. There the last symbols are decoded one by one, and one
//!   that reaches into the zeros was cut.
//!
//! So the plain bytes and the error, if there is one, are a function of the stream alone, and not of the pieces in which
//! it arrives. What deflate data is accepted is decided exactly as zlib does; zlib-rs is the oracle of the tests and of a
//! fuzz target.
//!
//! # How fast
//!
//! `cargo bench -p cvbake-inflate` compares with zlib-rs and libdeflate. Times on a machine with other work to do differ by
//! a factor from turn to turn, so what is said here are instructions (callgrind over that bench), for two pieces of 500 KB
//! of layers compressed by `gzip -6`, of Python wheels and of node modules: 0.94 and 0.97 times as many as zlib-rs, 1.6 and
//! 1.5 times as many as libdeflate; mispredicted branches, as callgrind simulates them, are no more than libdeflate's. So
//! the mark of 95 % of libdeflate's speed is not shown to be reached. What is missing, where it is known:
//!
//! * libdeflate uses BMI2 where the processor has it, for shifts by a variable and for masks. In safe Rust, only a whole
//!   program can be compiled for it.
//! * Making the tables of a block takes 1.6 times as many instructions as there (wheels).
//!
//! One look at the bounds for the literals of a turn, instead of one each, saved 2 % of the loop's instructions.
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
