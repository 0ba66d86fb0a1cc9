//! Streams → their SHA-256: with AVX-512 and without SHA instructions (Skylake-SP to Cooper Lake)
//! several at once, and elsewhere each by ring; on threads of their own, while other threads use
//! the same bytes.
//!
//! ```
//! use cvbake_hash::Stream;
//! use cvbake_verify::{Algorithm, Digest};
//!
//! let mut stream = Stream::new(Algorithm::Sha256, 11);
//! stream.update("hello ");
//! stream.update(b"world".to_vec());
//! assert_eq!(stream.finish(), Digest::sha256(b"hello world"));
//! ```
//!
//! SHA-256 is most of what it costs to check an image where the processor has no instructions for
//! it: each step of it waits for the one before, so one stream keeps a fraction of the machine's
//! vectors busy. Streams don't wait for each other. Two of them take hardly longer than one, eight
//! less than twice as long; so all streams of a process that are worth while are hashed together,
//! by a thread that takes up to eight of them forward at once (`team`).
//!
//! That needs AVX-512 (rotations, and functions of three bits, in one instruction each). Where
//! there is none, or where there are SHA instructions, which are faster for few streams, a stream
//! has a thread of its own ([`Stream::aside`]) or none ([`Stream::new`]), with `cvbake-verify`'s
//! hasher. So it is everywhere without the feature `lanes`, which is on by default. The digests are
//! the same.
//!
//! ```text
//! one stream's pieces --> Stream::update --> queue --\
//! another's           --> Stream::update --> queue ---+--> a thread of the team: up to eight at once --> Stream::finish
//! ```
//!
//! Up to four streams have two lanes of a vector each, for the two halves of a round
//! (`lanes/x86/few.rs`); more have one each (`lanes/x86/many.rs`).
//!
//! What paid, on a Cascade Lake server: registers of 256 bits, of which a core starts three
//! operations per cycle, two of them rotations, and two of them with three operands, as was
//! measured; all sixteen rounds of a turn written out, so that nothing moves between registers
//! (rolled up: half as fast); constants that need no bounds checks (a seventh); not one instruction
//! on 512 bits, after which the core is slower for a while (a seventh with two streams). One stream
//! by itself is then as fast as 1.4 of ring's, two as 2.5, four as 4.3, and eight as 6.8. 512-bit
//! registers would double the streams, of which there are hardly ever more than eight.
//!
//! What did not: to give a layer that is most of an image a thread with ring, and the team the rest
//! (on two cores that took a tenth more processor time, and no less time). In a round for few
//! streams: to rotate the parity of a word and of two rotations of it, instead of the third
//! rotation (a tenth slower: they wait for each other); to choose between both halves' functions of
//! three bits by masks.
#![forbid(unsafe_code)]

#[cfg(feature = "lanes")]
mod lane;
#[cfg(feature = "lanes")]
mod lanes;
#[cfg(not(feature = "lanes"))]
mod no_team;
mod piece;
mod stream;
#[cfg(feature = "lanes")]
mod team;

#[cfg(not(feature = "lanes"))]
use crate::no_team as team;

pub use crate::stream::Stream;

#[cfg(all(test, feature = "lanes"))]
mod tests;
