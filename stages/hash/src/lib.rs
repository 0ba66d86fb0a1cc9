//! Hashes of streams that are worked on beside whatever else is done with them, several at once.
//!
//! SHA-256 is most of what it costs to check an image where the processor has no instructions for it: each step of it waits for
//! the one before, so one stream keeps a fraction of the machine's vectors busy. Streams don't wait for each other. Eight of
//! them, one in each lane of a vector, take as long as one of them does in the best code for a single one; so all streams of a
//! process that are worth while are hashed together, by a thread that takes up to eight of them forward at once (`team`).
//!
//! That needs AVX-512 (rotations, and functions of three bits, in one instruction each). Where there is none, or where there are SHA
//! instructions, which are faster for few streams, a stream has a thread of its own ([`Stream::aside`]) or none ([`Stream::new`]),
//! with `cvbake-verify`'s hasher. The digests are the same.
//!
//! ```text
//! one stream's pieces --> Stream::update --> queue --\
//! another's           --> Stream::update --> queue ---+--> a thread of the team: up to eight lanes --> Stream::finish
//! ```
//!
//! Where only one stream has anything to hash, a lane is a block: what the rounds of a block add is made for eight blocks at once, and
//! the rounds themselves are done one after the other, without vectors.
//!
//! What paid, on a Cascade Lake server: registers of 256 bits, of which a core starts three operations per cycle, two of them
//! rotations; all sixteen rounds of a turn written out, so that nothing moves between registers (rolled up: half as fast); constants
//! that need no bounds checks (a seventh). Eight lanes are then as fast as 6.8 of ring's for one stream; one lane of them is 0.82 of
//! it, and a stream by itself 0.98. 512-bit registers would double the streams, of which there are hardly ever more than eight.
//!
//! What did not: to give a layer that is most of an image a thread with ring, and the team the rest. On two cores that took a tenth
//! more processor time, and no less time.
#![forbid(unsafe_code)]

mod lane;
mod lanes;
mod stream;
mod team;

pub use crate::stream::Stream;

#[cfg(test)]
mod tests;
