//! Where in a hash area which level of the tree is: a function of the length of the data.

use std::ops::Range;

use crate::Error;

/// The unit of both data and hashes, in bytes: what `veritysetup` takes, and the page size of most
/// machines, beyond which the kernel takes none.
pub const BLOCK: u64 = BLOCK_LEN as u64;

/// The same as the length of an array.
pub(crate) const BLOCK_LEN: usize = 4096;

/// How many hashes a block has.
pub(crate) const FANOUT: u64 = BLOCK / 32;

/// How many blocks may be protected: 2^50 bytes of them. Linux counts in sectors of a disk and
/// stops far behind; it keeps the tree and all positions in it within 64 bits.
pub(crate) const MAX_DATA_BLOCKS: u64 = 1 << 38;

/// The hash tree of a disk, planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data_blocks: u64,
    /// The lowest first: it has the hashes of the data.
    levels: Vec<Level>,
}

/// A level of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Its first block, counted from the superblock, which is block 0 of the hash area.
    pub first: u64,
    /// How many blocks it has.
    pub blocks: u64,
}

impl Level {
    /// Where in the hash area a block of it is, in bytes.
    pub(crate) fn offset(self, block: u64) -> u64 {
        (self.first + block) * BLOCK
    }
}

impl Layout {
    /// The tree of a disk of this length.
    ///
    /// # Errors
    /// When the length is none of whole blocks, or too many of them.
    pub fn plan(data_bytes: u64) -> Result<Layout, Error> {
        if data_bytes == 0 || !data_bytes.is_multiple_of(BLOCK) {
            return Err(Error::Length { len_bytes: data_bytes });
        }
        Layout::of_blocks(data_bytes / BLOCK)
    }

    pub(crate) fn of_blocks(data_blocks: u64) -> Result<Layout, Error> {
        if data_blocks == 0 || data_blocks > MAX_DATA_BLOCKS {
            return Err(Error::DataBlocks { found: data_blocks, max: MAX_DATA_BLOCKS });
        }
        let mut levels = Vec::new();
        let mut below = data_blocks;
        // A single block needs no tree: its own hash is the root hash.
        while below > 1 {
            below = below.div_ceil(FANOUT);
            levels.push(Level { first: 0, blocks: below });
        }
        let mut next = 1;
        for level in levels.iter_mut().rev() {
            level.first = next;
            next += level.blocks;
        }
        Ok(Layout { data_blocks, levels })
    }

    /// How many blocks the tree is about.
    #[must_use]
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The levels, the lowest first: it has the hashes of the data. The last one has a single
    /// block. There is none where there is a single block of data.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// How long the hash area is, with the superblock in front.
    #[must_use]
    pub fn area_bytes(&self) -> u64 {
        (1 + self.levels.iter().map(|level| level.blocks).sum::<u64>()) * BLOCK
    }

    /// The part of the level below, of which the hashes are in a block of a level; below level 0
    /// are the data.
    pub(crate) fn below(&self, level: usize, block: u64) -> Range<u64> {
        let all = level.checked_sub(1).map_or(self.data_blocks, |below| self.levels[below].blocks);
        block * FANOUT..((block + 1) * FANOUT).min(all)
    }
}
