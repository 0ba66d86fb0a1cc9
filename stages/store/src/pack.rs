//! Packs: the bytes of a layer's files.
//!
//! A pack is bare bytes, so that ranges of it can be shared with a disk; what tells whether they
//! are the right ones, a [`PackSeal`], stands in the layer's index.

use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::thread;

use crate::entry::{Entry, Fault, fault};
use crate::error::Damage;

/// What one checksum of a [`PackSeal`] covers.
pub const PIECE: u64 = 1 << 20;

/// So many pieces take a few milliseconds to check: fewer are not worth a thread of their own.
const WORTH_A_THREAD: usize = 32;

/// What a pack has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackSeal<'a> {
    /// The length in bytes.
    pub len: u64,
    /// The CRC-32C of each [`PIECE`]; the last one covers what is left.
    pub crcs: &'a [u32],
}

/// Reads all of a pack and compares it with its seal.
pub(crate) fn check(entry: &Entry, seal: &PackSeal<'_>) -> Result<(), Fault> {
    let sealed = seal.len.div_ceil(PIECE) == seal.crcs.len() as u64;
    if entry.len != seal.len || !sealed {
        return Err(Fault::Damage(Damage::Length { expected: seal.len, found: entry.len }));
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(seal.crcs.len() / WORTH_A_THREAD);
    let share = seal.crcs.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        let mut parts = seal.crcs.chunks(share).zip((0..).step_by(share));
        let first = parts.next();
        // There may be no more threads.
        let begin = |(crcs, piece)| {
            let part = move || check_pieces(entry, seal.len, piece, crcs);
            thread::Builder::new().spawn_scoped(scope, part).map_err(|_| (crcs, piece))
        };
        let begun: Vec<_> = parts.map(begin).collect();
        let check = |(crcs, piece): (&[u32], u64)| check_pieces(entry, seal.len, piece, crcs);
        first.map_or(Ok(()), check)?;
        begun.into_iter().try_for_each(|part| match part {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(part) => check(part),
        })
    })
}

/// Checks some pieces of a pack of this length, from this one on.
fn check_pieces(entry: &Entry, len: u64, piece: u64, crcs: &[u32]) -> Result<(), Fault> {
    let mut buffer = vec![0; usize::try_from(len.min(PIECE)).expect("at most a piece")];
    let mut from = piece * PIECE;
    for &expected in crcs {
        let to = (from + PIECE).min(len);
        let piece = &mut buffer[..usize::try_from(to - from).expect("at most a piece")];
        entry.file.read_exact_at(piece, from).map_err(fault)?;
        let found = crc32c::crc32c(piece);
        if found != expected {
            return Err(Fault::Damage(Damage::Checksum { from, to, expected, found }));
        }
        from = to;
    }
    Ok(())
}
