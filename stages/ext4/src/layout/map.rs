//! A plan as a map: what each block of the filesystem is for.

use std::ops::Range;

use super::space::merge;
use super::{Layout, subtract};
use crate::format::BLOCK_SIZE;

/// What blocks are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// Superblocks and group descriptors, with room for more of these.
    Superblocks,
    /// Block bitmaps, inode bitmaps and inode tables.
    Tables,
    /// The journal.
    Journal,
    /// Directories, long targets of links, extended attributes, and lists of large files' blocks.
    Structure,
    /// Content of files.
    Content {
        /// The pack that has it.
        pack: u32,
    },
    /// Nothing yet.
    Free,
}

/// Neighbouring blocks with one use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Which blocks.
    pub blocks: Range<u64>,
    /// What they are for.
    pub used_for: Use,
    /// Whether anything is written there; what is not reads as zeros.
    pub is_written: bool,
}

impl Layout {
    /// What each block of the filesystem is for, from the first to the last, without a gap.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        let mut known = self.fixed_regions();
        known.extend(self.journal_blocks().into_iter().map(|blocks| (blocks, Use::Journal)));
        let content = self.placements().iter();
        known.extend(
            content.map(|place| (place.disk_block..place.disk_block + place.blocks, Use::Content { pack: place.pack })),
        );
        known.sort_unstable_by_key(|(blocks, _)| blocks.start);
        // Whatever else is in use is of the kind that has no list of its own.
        let named: Vec<Range<u64>> = known.iter().map(|(blocks, _)| blocks.clone()).collect();
        known.extend(without(self.used_space(), &named).map(|blocks| (blocks, Use::Structure)));
        known.sort_unstable_by_key(|(blocks, _)| blocks.start);
        let named = merge(known.iter().map(|(blocks, _)| blocks.clone()).collect());
        let all = 0..self.block_count();
        known.extend(without(vec![all], &named).map(|blocks| (blocks, Use::Free)));
        known.sort_unstable_by_key(|(blocks, _)| blocks.start);
        self.cut_by_written(&known)
    }

    /// What stands at a place that only the size decides.
    fn fixed_regions(&self) -> Vec<(Range<u64>, Use)> {
        let mut fixed = Vec::new();
        for group in self.geometry.super_groups() {
            let start = self.geometry.group_blocks(group).start;
            fixed.push((start..start + self.geometry.super_blocks(group), Use::Superblocks));
        }
        for &[block_bitmap, inode_bitmap, inode_table] in &self.placed.tables.groups {
            for (start, blocks) in
                [(block_bitmap, 1), (inode_bitmap, 1), (inode_table, self.geometry.inode_table_blocks())]
            {
                fixed.push((start..start + blocks, Use::Tables));
            }
        }
        fixed
    }

    fn journal_blocks(&self) -> Vec<Range<u64>> {
        let journal = self.placed.journal.iter();
        let runs = journal.flat_map(|journal| self.placed.space.runs(journal.start, journal.blocks.into()));
        runs.map(|run| run.start..run.start + run.blocks).collect()
    }

    /// Cuts sorted regions in two where something begins or ends to be written, and joins those
    /// that are alike.
    fn cut_by_written(&self, known: &[(Range<u64>, Use)]) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        let mut push = |blocks: Range<u64>, used_for: Use, is_written: bool| match regions.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.used_for == used_for && last.is_written == is_written => last.blocks.end = blocks.end,
            _ => regions.push(Region { blocks, used_for, is_written }),
        };
        let mut written = self.used_ranges().map(|range| range.start / BLOCK_SIZE..range.end / BLOCK_SIZE).peekable();
        for (blocks, used_for) in known {
            let mut at = blocks.start;
            while let Some(next) = written.peek().filter(|next| next.start < blocks.end) {
                push(at..next.start.max(at), *used_for, false);
                at = at.max(next.start);
                push(at..next.end.min(blocks.end), *used_for, true);
                at = next.end.min(blocks.end);
                if next.end > blocks.end {
                    break;
                }
                written.next();
            }
            push(at..blocks.end, *used_for, false);
        }
        regions
    }
}

/// The parts of sorted ranges outside of others that are sorted as well.
fn without(ranges: Vec<Range<u64>>, holes: &[Range<u64>]) -> impl Iterator<Item = Range<u64>> {
    let rest = |range: Range<u64>| {
        let first = holes.partition_point(|hole| hole.end <= range.start);
        let last = holes.partition_point(|hole| hole.start < range.end);
        subtract(vec![range], holes.get(first..last).unwrap_or_default())
    };
    ranges.into_iter().flat_map(rest).filter(|range| !range.is_empty()).collect::<Vec<_>>().into_iter()
}
