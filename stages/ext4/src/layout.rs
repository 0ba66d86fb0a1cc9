//! The plan of a filesystem: what stands on which block.

use std::ops::Range;

use cvbake_tree::{Placement, Tree, escape};

use crate::format::superblock::EXT4_LABEL_MAX;
use crate::format::{BLOCK_SIZE, INODES_PER_BLOCK};
use crate::{Error, Options};

pub(crate) mod base_pack;
pub(crate) mod content;
pub(crate) mod directory;
pub(crate) mod extents;
pub(crate) mod geometry;
mod map;
pub(crate) mod numbers;
pub(crate) mod place;
mod size;
pub(crate) mod space;
pub(crate) mod xattr;

pub use base_pack::BASE_PACK_BLOCK;
use content::Content;
use geometry::Geometry;
pub use map::{Region, Use};
use place::Placed;

/// The plan of a filesystem: a function of a tree and options, frozen.
///
/// It holds positions only, about 12 bytes per inode; [`Layout::write_metadata`] takes everything
/// else from the tree, which must be the one that was planned for.
#[derive(Debug)]
pub struct Layout {
    pub(crate) options: Options,
    pub(crate) content: Content,
    pub(crate) geometry: Geometry,
    pub(crate) placed: Placed,
    len_bytes: u64,
}

impl Layout {
    /// Plans the filesystem that holds `tree`.
    ///
    /// # Errors
    /// When ext4 or Linux can't hold something of the tree, or the options don't allow what it
    /// needs.
    pub fn plan(tree: &Tree, options: &Options) -> Result<Layout, Error> {
        if options.label.len() > EXT4_LABEL_MAX {
            return Err(Error::Label { label: escape(&options.label), len: options.label.len(), max: EXT4_LABEL_MAX });
        }
        let mut content = Content::of(tree, options)?;
        let size::Fitted { geometry, placed, len_bytes } = size::fit(tree, &content, options)?;
        // Their order has become places and placements.
        (content.files, content.base_pack) = (Vec::new(), None);
        Ok(Layout { options: options.clone(), content, geometry, placed, len_bytes })
    }

    /// The length of the disk. Behind the filesystem's last block there may be an unused rest (see
    /// [`Size::Exact`](crate::Size::Exact)).
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many blocks of 4096 bytes the filesystem has.
    #[must_use]
    pub fn block_count(&self) -> u64 {
        self.geometry.blocks
    }

    /// How many inodes the filesystem has.
    #[must_use]
    pub fn inode_count(&self) -> u64 {
        self.geometry.inodes()
    }

    /// How many blocks are free.
    #[must_use]
    pub fn free_blocks(&self) -> u64 {
        let taken: u64 = self.placed.space.taken().iter().map(|range| range.end - range.start).sum();
        self.geometry.blocks - taken - self.placed.used
    }

    /// How many inodes are free.
    #[must_use]
    pub fn free_inodes(&self) -> u64 {
        self.inode_count() - self.content.numbers.used()
    }

    /// How much is in use, everything that belongs to the filesystem itself included.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        (self.geometry.blocks - self.free_blocks()) * BLOCK_SIZE
    }

    /// Which blocks of the packs go where on the disk: sorted by pack and block, joined where both
    /// sides continue. What several files have in common is there once for each of them.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placed.placements
    }

    /// The pack that stands on the disk as it is, from [`BASE_PACK_BLOCK`] on, but for what its
    /// placements say otherwise: the one of [`Options::base_pack`], if that was worth it.
    #[must_use]
    pub fn base_pack(&self) -> Option<u32> {
        self.placed.placed_base.as_ref().map(|placed_base| placed_base.pack)
    }

    /// Whether content is in its place on a file that begins as the base pack.
    #[must_use]
    pub fn is_in_place(&self, placement: &Placement) -> bool {
        Some(placement.pack) == self.base_pack() && placement.disk_block == placement.pack_block + BASE_PACK_BLOCK
    }

    /// The bytes of the disk that are written, metadata and content, sorted and joined. All others
    /// read as zeros.
    pub fn used_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let mut blocks = Vec::new();
        for group in self.geometry.super_groups() {
            let start = self.geometry.group_blocks(group).start;
            // The room for more descriptors is only written in the first group, where it is the
            // resize inode's map.
            let reserved = if group == 0 { self.geometry.reserved_gdt_blocks() } else { 0 };
            blocks.push(start..start + 1 + self.geometry.desc_blocks() + reserved);
        }
        for (group, &[block_bitmap, inode_bitmap, inode_table]) in self.placed.tables.groups.iter().enumerate() {
            if self.has_block_bitmap(group as u64) {
                blocks.push(block_bitmap..block_bitmap + 1);
            }
            let inodes = self.used_inodes(group as u64);
            if inodes > 0 {
                blocks.push(inode_bitmap..inode_bitmap + 1);
                blocks.push(inode_table..inode_table + inodes.div_ceil(INODES_PER_BLOCK));
            }
        }
        let in_place = self.placements().iter().filter(|placement| self.is_in_place(placement));
        blocks.extend(in_place.map(|placement| placement.disk_block..placement.disk_block + placement.blocks));
        // Of the content, only the journal is not written, but for its first block.
        let mut content = self.used_space();
        if let Some(journal) = self.placed.journal {
            let mut journal = self.placed.space.runs(journal.start, journal.blocks.into());
            let first = journal.next().map(|run| run.start + 1..run.start + run.blocks);
            let holes: Vec<_> = first.into_iter().chain(journal.map(|run| run.start..run.start + run.blocks)).collect();
            content = subtract(content, &holes);
        }
        blocks.append(&mut content);
        space::merge(blocks).into_iter().map(|range| range.start * BLOCK_SIZE..range.end * BLOCK_SIZE)
    }

    /// The free space that content takes, as blocks.
    pub(crate) fn used_space(&self) -> Vec<Range<u64>> {
        self.placed.space.runs(0, self.placed.used).map(|run| run.start..run.start + run.blocks).collect()
    }

    /// How many inodes of a group are in use; always the first ones.
    pub(crate) fn used_inodes(&self, group: u64) -> u64 {
        let per_group = self.geometry.inodes_per_group;
        self.content.numbers.used().saturating_sub(group * per_group).min(per_group)
    }

    /// Whether a group's block bitmap is on the disk: when the group has anything but its copy of
    /// the superblock. The last one always has it, because it must say what lies beyond the
    /// filesystem's end.
    pub(crate) fn has_block_bitmap(&self, group: u64) -> bool {
        if group + 1 == self.geometry.groups {
            return true;
        }
        let range = self.geometry.group_blocks(group);
        let own = range.start + self.geometry.super_blocks(group);
        let taken = self.placed.space.taken();
        let next_taken = taken.get(taken.partition_point(|taken| taken.end <= own));
        // Content fills the free blocks from the front: if a group has any, then on its first free
        // block.
        let first_free = self.placed.space.runs(own, 1).next().map(|run| run.start);
        next_taken.is_some_and(|taken| taken.start < range.end)
            || first_free.is_some_and(|block| block < range.end.min(self.placed.content_end))
    }
}

/// The parts of sorted ranges outside of others.
fn subtract(ranges: Vec<Range<u64>>, holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut rest = Vec::new();
    for mut range in ranges {
        for hole in holes {
            if hole.start < range.end && range.start < hole.end {
                rest.push(range.start..hole.start);
                range.start = hole.end.min(range.end);
            }
        }
        rest.push(range);
    }
    rest
}
