//! A pack that stands on the disk as it is.
//!
//! A disk file may begin as a pack: then most of its content is in its place before anything is
//! planned, and is never copied. So the place depends on nothing: block `n` of the pack stands on
//! block [`BASE_PACK_BLOCK`]` + n` of the disk. Only what would stand where copies of the
//! superblock must is moved elsewhere, and blocks of files that upper layers have removed are free
//! for whatever comes next.

use std::ops::Range;

use cvbake_tree::{Ino, Kind, Placement, Tree};

use super::content::File;
use super::space::{Run, Space};

/// Where a base pack begins: behind the superblock and the descriptors of a disk of 4 GiB, so that
/// nearly nothing must be moved; and not so far that a smallest disk would have room to spare.
pub const BASE_PACK_BLOCK: u64 = 256;

/// A pack stands as it is when at least 3 of 4 blocks as far as its last one are alive. With more
/// that is dead, a disk would be scattered over the gaps to spare a copy of little.
const ALIVE: (u64, u64) = (3, 4);

/// And when it has no more gaps than some, and one more for each so many blocks: each must be
/// freed, and tears apart what comes to stand in it.
const GAPS: usize = 256;
const BLOCKS_PER_GAP: u64 = 256;

/// The blocks of a pack that are in use.
#[derive(Debug)]
pub(crate) struct BasePack {
    pub(crate) pack: u32,
    /// Sorted and joined.
    alive: Vec<Range<u64>>,
}

impl BasePack {
    /// The base pack that a pack makes; `None` if it is not worth it. Files are in the order of the
    /// packs.
    pub(crate) fn of(tree: &Tree, files: &[File], pack: u32) -> Option<BasePack> {
        let start = files.partition_point(|file| file.pack < pack);
        let files = files[start..].iter().take_while(|file| file.pack == pack);
        let mut alive: Vec<Range<u64>> = Vec::new();
        let mut blocks = 0;
        for file in files {
            let Kind::File(data) = tree.inode(Ino::from_index(file.inode as usize)).kind() else { continue };
            let range = file.pack_block..file.pack_block + data.stored_blocks();
            blocks += range.end - range.start;
            match alive.last_mut() {
                // Two files that have blocks in common need them twice on a disk.
                Some(last) if range.start < last.end => return None,
                Some(last) if range.start == last.end => last.end = range.end,
                _ => alive.push(range),
            }
        }
        let end = alive.last()?.end;
        let gaps = alive.len().saturating_sub(GAPS) as u64;
        let whole = blocks * ALIVE.1 >= end * ALIVE.0 && gaps <= end / BLOCKS_PER_GAP;
        whole.then_some(BasePack { pack, alive })
    }

    /// Which blocks of the disk it takes, and which blocks of the pack are in the way of what has a
    /// fixed place.
    pub(crate) fn around(&self, fixed: &Space) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
        let (mut in_place, mut displaced) = (Vec::new(), Vec::new());
        for alive in &self.alive {
            let mut at = alive.start + BASE_PACK_BLOCK;
            let end = alive.end + BASE_PACK_BLOCK;
            let first = fixed.taken().partition_point(|taken| taken.end <= at);
            for taken in fixed.taken()[first..].iter().take_while(|taken| taken.start < end) {
                let (from, to) = (taken.start.max(at), taken.end.min(end));
                in_place.push(at..from);
                displaced.push(from - BASE_PACK_BLOCK..to - BASE_PACK_BLOCK);
                at = to;
            }
            in_place.push(at..end);
        }
        in_place.retain(|range| !range.is_empty());
        (in_place, displaced)
    }
}

/// A base pack that has its place.
#[derive(Debug)]
pub(crate) struct PlacedBase {
    pub(crate) pack: u32,
    /// What had to be moved, sorted by the blocks of the pack.
    pub(crate) moved: Vec<Placement>,
}

impl PlacedBase {
    /// Where blocks of the pack stand.
    pub(crate) fn runs(&self, pack_block: u64, blocks: u64) -> PlacedBaseRuns<'_> {
        let first = self.moved.partition_point(|moved| moved.pack_block + moved.blocks <= pack_block);
        PlacedBaseRuns { moved: &self.moved[first..], at: pack_block, left: blocks }
    }
}

/// Neighbouring blocks of a base pack as runs on the disk.
#[derive(Clone, Debug)]
pub(crate) struct PlacedBaseRuns<'p> {
    /// What may still be in the way.
    moved: &'p [Placement],
    at: u64,
    left: u64,
}

impl Iterator for PlacedBaseRuns<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        let run = match self.moved.split_first() {
            Some((moved, rest)) if moved.pack_block <= self.at => {
                let skipped = self.at - moved.pack_block;
                let blocks = self.left.min(moved.blocks - skipped);
                if skipped + blocks == moved.blocks {
                    self.moved = rest;
                }
                Run { start: moved.disk_block + skipped, blocks }
            }
            Some((moved, _)) => {
                Run { start: self.at + BASE_PACK_BLOCK, blocks: self.left.min(moved.pack_block - self.at) }
            }
            None => Run { start: self.at + BASE_PACK_BLOCK, blocks: self.left },
        };
        self.at += run.blocks;
        self.left -= run.blocks;
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: u64 = BASE_PACK_BLOCK;

    #[test]
    fn what_has_a_fixed_place_is_walked_around() {
        let fixed = Space::new(vec![0..2, F + 10..F + 13, F + 20..F + 30, F + 100..F + 200]);
        let base_pack = BasePack { pack: 3, alive: vec![0..12, 15..40, 99..100] };
        let (in_place, displaced) = base_pack.around(&fixed);
        assert_eq!(in_place, [F..F + 10, F + 15..F + 20, F + 30..F + 40, F + 99..F + 100]);
        assert_eq!(displaced, [10..12, 20..30]);
    }

    #[test]
    fn moved_blocks_are_found_where_they_are() {
        let moved = |pack_block, blocks, disk_block| Placement { pack: 3, pack_block, disk_block, blocks };
        let placed_base =
            PlacedBase { pack: 3, moved: vec![moved(10, 2, 1000), moved(20, 4, 1002), moved(24, 6, 2000)] };
        let runs = |at, blocks| placed_base.runs(at, blocks).map(|run| (run.start, run.blocks)).collect::<Vec<_>>();
        assert_eq!(runs(0, 0), []);
        assert_eq!(runs(0, 10), [(F, 10)]);
        assert_eq!(runs(5, 8), [(F + 5, 5), (1000, 2), (F + 12, 1)]);
        assert_eq!(runs(11, 1), [(1001, 1)]);
        assert_eq!(runs(22, 10), [(1004, 2), (2000, 6), (F + 30, 2)]);
        assert_eq!(runs(40, 3), [(F + 40, 3)]);
    }
}
