//! A pack that stands on the disk as it is.
//!
//! A disk file may begin as a pack: then most of its content is in its place before anything is
//! planned, and is never copied. So the place depends on nothing: block `n` of the pack stands on
//! block [`BASE_PACK_BLOCK`]` + n` of the disk.

use std::ops::Range;

/// Where a base pack begins: behind room for what an image of some thousand files has of metadata.
/// Whatever that leaves is filled with small files.
pub const BASE_PACK_BLOCK: u64 = 256;

/// A pack stands as it is when at least 15 of 16 blocks as far as its last one are alive. What is
/// dead stays unused: where all files have one place for ever, a gap is worth nothing.
const ALIVE: (u64, u64) = (15, 16);

/// And when it has no more gaps than some, and one more for each so many blocks: each must be
/// freed.
const GAPS: usize = 256;
const BLOCKS_PER_GAP: u64 = 256;

/// A file with content. In order of packs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct File {
    pub(super) pack: u32,
    pub(super) pack_block: u64,
    pub(super) inode: u32,
    /// How many blocks it has in the pack.
    pub(super) stored: u64,
    /// Whether it has blocks of zeros between them.
    pub(super) is_padded: bool,
}

/// Which blocks of a pack are in use by files that can stand as they do in the pack, sorted and
/// joined; `None` if that is not worth it. Files are in the order of the packs.
pub(super) fn alive(files: &[File], pack: u32) -> Option<Vec<Range<u64>>> {
    let start = files.partition_point(|file| file.pack < pack);
    let mut alive: Vec<Range<u64>> = Vec::new();
    let (mut blocks, mut end) = (0, 0);
    for file in files[start..].iter().take_while(|file| file.pack == pack) {
        // Two files that have blocks in common need them twice on a disk.
        if file.pack_block < end {
            return None;
        }
        end = file.pack_block + file.stored;
        if file.is_padded {
            continue;
        }
        blocks += file.stored;
        match alive.last_mut() {
            Some(last) if file.pack_block == last.end => last.end = end,
            _ => alive.push(file.pack_block..end),
        }
    }
    let end = alive.last()?.end;
    let gaps = alive.len().saturating_sub(GAPS) as u64;
    (blocks * ALIVE.1 >= end * ALIVE.0 && gaps <= end / BLOCKS_PER_GAP).then_some(alive)
}
