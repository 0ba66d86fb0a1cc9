//! Block maps, as ext2 and ext3 have them, checked.
//!
//! ```text
//! i_block: ┌── 12 ──┬───┬────┬─────┐   blocks of the file; then a block of pointers to such; one of
//!          │ blocks │ 1 │ 2  │ 3   │   pointers to blocks of pointers; and one over three levels.
//!          └────────┴───┴────┴─────┘   A pointer that is zero is a hole.
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use super::extents::{Map, Run};
use super::{Error, Filesystem, Node, Object};
use crate::format::inode::{EXT4_EXTENTS_FL, EXT4_NDIR_BLOCKS};

impl Filesystem {
    /// Where the content of an inode is, whichever map it has.
    pub(super) fn map(&self, node: &Node) -> Result<Map, Error> {
        let blocks = node.size.div_ceil(self.block_size());
        if blocks > u64::from(u32::MAX) {
            let expected = format!("at most {} blocks", u32::MAX);
            return Err(node.object().value("i_size", node.size, expected));
        }
        let map = match node.has(EXT4_EXTENTS_FL) {
            true => self.extent_map(node)?,
            false => self.block_map(node, blocks)?,
        };
        // One block in all places of a file would make it far longer than the disk.
        if !self.shares_blocks(node) {
            let mut taken: Vec<&Range<u64>> = map.taken.iter().collect();
            taken.sort_unstable_by_key(|range| range.start);
            if let Some(pair) = taken.windows(2).find(|pair| pair[0].end > pair[1].start) {
                return Err(node.object().rule(format!("block {} is there twice", pair[1].start)));
            }
        }
        Ok(map)
    }

    fn block_map(&self, node: &Node, blocks: u64) -> Result<Map, Error> {
        let mut walk = Walk { filesystem: self, node, end: blocks, map: Map::default(), seen: BTreeSet::new() };
        let mut at = 0;
        for (number, pointer) in node.i_block.chunks_exact(4).enumerate() {
            let level = u32::try_from(number.saturating_sub(EXT4_NDIR_BLOCKS - 1)).expect("three at most");
            walk.visit(pointer, level, at, node.object())?;
            at = at.saturating_add(walk.reach(level));
        }
        Ok(walk.map)
    }
}

struct Walk<'f> {
    filesystem: &'f Filesystem,
    node: &'f Node,
    /// How many blocks the file has.
    end: u64,
    map: Map,
    /// The blocks of pointers that were read.
    seen: BTreeSet<u64>,
}

impl Walk<'_> {
    /// How many blocks a pointer is about that is so many levels above them.
    fn reach(&self, level: u32) -> u64 {
        (self.filesystem.block_size() / 4).pow(level)
    }

    /// What a pointer leads to: at most three levels, so it calls itself so often.
    fn visit(&mut self, pointer: &[u8], level: u32, at: u64, object: Object) -> Result<(), Error> {
        let block = u64::from(u32::from_le_bytes(pointer.try_into().expect("four bytes")));
        if block == 0 || at >= self.end {
            return Ok(());
        }
        if !self.filesystem.superblock.has_block(block) {
            let expected = format!("less than {}", self.filesystem.info().blocks);
            return Err(object.value("a pointer to a block", block, expected));
        }
        if level == 0 {
            let file_block = u32::try_from(at).expect("less than the file's blocks, which have 32 bits");
            self.map.push(Run { file_block, blocks: 1, disk_block: block });
            return Ok(());
        }
        let below = Object::Map { ino: self.node.ino, block };
        if !self.seen.insert(block) {
            return Err(below.rule("it stands in the block map twice"));
        }
        self.map.take(block, 1);
        let pointers = self.filesystem.block(block, below)?;
        let reach = self.reach(level - 1);
        let starts = (0..).map(|number: u64| at.saturating_add(number.saturating_mul(reach)));
        for (pointer, at) in pointers.chunks_exact(4).zip(starts) {
            self.visit(pointer, level - 1, at, below)?;
        }
        Ok(())
    }
}
