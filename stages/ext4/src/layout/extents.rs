//! From blocks of a file to blocks of the disk.

use cvbake_tree::Segment;

use super::space::{Run, Runs, Space};
use crate::format::extent::{EXT_INIT_MAX_LEN, EXTENTS_IN_BLOCK, EXTENTS_IN_INODE};

/// Blocks of a file that stand together on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) file_block: u32,
    pub(crate) blocks: u16,
    pub(crate) disk_block: u64,
}

/// The extents of a file whose blocks were taken from `start` on.
#[derive(Clone, Debug)]
pub(crate) struct Extents<'a> {
    runs: Runs<'a>,
    run: Run,
    segments: std::slice::Iter<'a, Segment>,
    segment: Segment,
}

pub(crate) fn extents<'a>(space: &'a Space, start: u64, segments: &'a [Segment]) -> Extents<'a> {
    let blocks = segments.iter().map(|segment| u64::from(segment.blocks)).sum();
    let none = Segment { file_block: 0, blocks: 0 };
    Extents { runs: space.runs(start, blocks), run: Run { start, blocks: 0 }, segments: segments.iter(), segment: none }
}

impl Iterator for Extents<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        while self.segment.blocks == 0 {
            self.segment = *self.segments.next()?;
        }
        if self.run.blocks == 0 {
            self.run = self.runs.next()?;
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
