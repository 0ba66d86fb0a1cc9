//! From blocks of a file to blocks of the disk.

use cvbake_tree::Segment;

use super::base_pack::PlacedBaseRuns;
use super::space::{Run, Runs};
use crate::format::extent::{EXT_INIT_MAX_LEN, EXTENTS_IN_BLOCK, EXTENTS_IN_INODE};

/// Blocks of a file that stand together on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) file_block: u32,
    pub(crate) blocks: u16,
    pub(crate) disk_block: u64,
}

/// The extents of a file: its segments on its blocks.
#[derive(Clone, Debug)]
pub(crate) struct Extents<'a> {
    blocks: Blocks<'a>,
    run: Run,
    segments: std::slice::Iter<'a, Segment>,
    segment: Segment,
}

pub(crate) fn extents<'a>(blocks: Blocks<'a>, segments: &'a [Segment]) -> Extents<'a> {
    let (run, segment) = (Run { start: 0, blocks: 0 }, Segment { file_block: 0, blocks: 0 });
    Extents { blocks, run, segments: segments.iter(), segment }
}

/// The blocks of a file, one behind the other.
#[derive(Clone, Debug)]
pub(crate) enum Blocks<'a> {
    /// In the free space.
    Free(Runs<'a>),
    /// In the base pack.
    PlacedBase(PlacedBaseRuns<'a>),
}

impl Iterator for Blocks<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        match self {
            Blocks::Free(runs) => runs.next(),
            Blocks::PlacedBase(runs) => runs.next(),
        }
    }
}

impl Iterator for Extents<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        while self.segment.blocks == 0 {
            self.segment = *self.segments.next()?;
        }
        if self.run.blocks == 0 {
            self.run = self.blocks.next()?;
        }
        let blocks = u64::from(self.segment.blocks).min(self.run.blocks).min(EXT_INIT_MAX_LEN);
        let short = u16::try_from(blocks).expect("EXT_INIT_MAX_LEN has 16 bits");
        let extent = Extent { file_block: self.segment.file_block, blocks: short, disk_block: self.run.start };
        self.segment.blocks -= u32::from(short);
        // The last block of the largest file has number 2^32 - 2.
        self.segment.file_block += u32::from(short);
        self.run.start += blocks;
        self.run.blocks -= blocks;
        Some(extent)
    }
}

/// How many blocks the tree over so many extents takes besides the inode.
pub(crate) fn tree_blocks(extents: usize) -> u64 {
    let mut total = 0;
    let mut level = extents;
    while level > EXTENTS_IN_INODE {
        level = level.div_ceil(EXTENTS_IN_BLOCK);
        total += level as u64;
    }
    total
}
