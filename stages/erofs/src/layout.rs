//! The plan of a filesystem: what stands where.

use std::ops::Range;

use cvbake_tree::{Placement, Tree, escape};

use crate::format::{BLOCK_SIZE, SLOT, VOLUME_NAME_LEN};
use crate::{Error, Options};

mod base_pack;
pub(crate) mod chunks;
pub(crate) mod directory;
pub(crate) mod inode;
mod place;
pub(crate) mod xattr;

pub use base_pack::BASE_PACK_BLOCK;
use inode::Metadata;
use place::Placed;
pub use xattr::leave_out_unknown;

/// The plan of a filesystem: a function of a tree and options, frozen.
///
/// It holds positions only, 8 bytes per inode; [`Layout::write_metadata`] takes everything else
/// from the tree, which must be the one that was planned for.
#[derive(Debug)]
pub struct Layout {
    pub(crate) options: Options,
    pub(crate) metadata: Metadata,
    pub(crate) placed: Placed,
}

impl Layout {
    /// Plans the filesystem that holds `tree`.
    ///
    /// # Errors
    /// When EROFS or Linux can't hold something of the tree.
    pub fn plan(tree: &Tree, options: &Options) -> Result<Layout, Error> {
        let (len, max) = (options.label.len(), VOLUME_NAME_LEN - 1);
        if len > max {
            return Err(Error::Label { label: escape(&options.label), len, max });
        }
        let metadata = Metadata::of(tree, options.epoch)?;
        let placed = Placed::of(tree, &metadata, options.base_pack)?;
        Ok(Layout { options: options.clone(), metadata, placed })
    }

    /// The length of the disk.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.placed.blocks * BLOCK_SIZE
    }

    /// How many inodes the filesystem has. None is free.
    #[must_use]
    pub fn inode_count(&self) -> u64 {
        self.metadata.slots.len() as u64
    }

    /// How much is in use: all but dead blocks of a base pack, and the zeros that fill up chunks.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_ranges().map(|range| range.end - range.start).sum()
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
        self.placed.base_pack
    }

    /// The bytes of the disk that are written, metadata and content, sorted and joined. All others
    /// read as zeros.
    pub fn used_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let placed = &self.placed;
        let mut blocks = vec![0..1, placed.meta.clone()];
        blocks.extend(placed.others.iter().cloned());
        blocks.extend(self.placements().iter().map(|place| place.disk_block..place.disk_block + place.blocks));
        merge(blocks).into_iter().map(|range| range.start * BLOCK_SIZE..range.end * BLOCK_SIZE)
    }

    /// The number of an inode: its place in slots, counted from the block before the metadata area.
    /// So none is 0, which some programs take for an entry that was removed, and the root's is
    /// small enough for the superblock wherever the metadata is.
    pub(crate) fn nid(&self, index: usize) -> u64 {
        BLOCK_SIZE / SLOT + u64::from(self.metadata.slots[index])
    }

    /// What `meta_blkaddr` is, so that nids are what [`Layout::nid`] says.
    pub(crate) fn meta_blkaddr(&self) -> u64 {
        self.placed.meta.start - 1
    }
}

/// Sorts ranges and joins those that touch.
fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        debug_assert!(range.end <= next.start, "nothing stands on anything else");
        let touches = range.end == next.start;
        if touches {
            range.end = next.end;
        }
        touches
    });
    ranges
}
