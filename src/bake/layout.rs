//! The plan of a filesystem, whichever it is: what placing writers have in common.

use std::ops::Range;

use cvbake_disk::Sink;
use cvbake_ext4::{Region, Use};
use cvbake_tree::{BLOCK_SIZE, Placement, Tree};

use crate::error::Error;
use crate::layers::{BASE_PACK, BasePack, is_in_place};
use crate::recipe::{Filesystem, Recipe};

/// The plan of a filesystem.
pub(crate) enum Layout {
    Ext4(Box<cvbake_ext4::Layout>),
    Erofs(Box<cvbake_erofs::Layout>),
}

impl Layout {
    /// Plans what a recipe says; `base_pack` is the one that should stay as it is.
    pub(super) fn plan(recipe: &Recipe<'_>, tree: &Tree, base_pack: Option<u32>) -> Result<Layout, Error> {
        Ok(match recipe.filesystem {
            Filesystem::Ext4(ext4) => {
                Layout::Ext4(Box::new(cvbake_ext4::Layout::plan(tree, &recipe.ext4_options(ext4, base_pack))?))
            }
            Filesystem::Erofs(erofs) => {
                Layout::Erofs(Box::new(cvbake_erofs::Layout::plan(tree, &recipe.erofs_options(erofs, base_pack))?))
            }
        })
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        match self {
            Layout::Ext4(layout) => layout.len_bytes(),
            Layout::Erofs(layout) => layout.len_bytes(),
        }
    }

    pub(crate) fn block_count(&self) -> u64 {
        match self {
            Layout::Ext4(layout) => layout.block_count(),
            Layout::Erofs(layout) => layout.len_bytes() / u64::from(BLOCK_SIZE),
        }
    }

    /// What each block of the filesystem is for, from the first to the last, without a gap.
    pub(crate) fn regions(&self) -> Vec<Region> {
        match self {
            Layout::Ext4(layout) => layout.regions(),
            Layout::Erofs(layout) => erofs_regions(layout),
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        match self {
            Layout::Ext4(layout) => layout.used_bytes(),
            Layout::Erofs(layout) => layout.used_bytes(),
        }
    }

    /// How many inodes there are, and how many of them are free.
    pub(super) fn inodes(&self) -> (u64, u64) {
        match self {
            Layout::Ext4(layout) => (layout.inode_count(), layout.free_inodes()),
            Layout::Erofs(layout) => (layout.inode_count(), 0),
        }
    }

    pub(super) fn used_ranges(&self) -> Box<dyn Iterator<Item = Range<u64>> + '_> {
        match self {
            Layout::Ext4(layout) => Box::new(layout.used_ranges()),
            Layout::Erofs(layout) => Box::new(layout.used_ranges()),
        }
    }

    pub(super) fn placements(&self) -> &[Placement] {
        match self {
            Layout::Ext4(layout) => layout.placements(),
            Layout::Erofs(layout) => layout.placements(),
        }
    }

    /// What becomes of a layer that was unpacked onto the disk.
    pub(super) fn base_pack(&self) -> BasePack<'_> {
        let pack = match self {
            Layout::Ext4(layout) => layout.base_pack(),
            Layout::Erofs(layout) => layout.base_pack(),
        };
        BasePack { pack, placements: self.placements() }
    }

    /// Where in the filesystem the base pack is, as far as it stands as it is.
    pub(super) fn base_range(&self) -> Option<Range<u64>> {
        let BasePack { pack, placements } = self.base_pack();
        let pack = pack?;
        let in_place = placements.iter().filter(|place| place.pack == pack && is_in_place(place));
        let end = in_place.map(|place| (place.disk_block + place.blocks) * u64::from(BLOCK_SIZE)).max()?;
        Some(BASE_PACK..end)
    }

    pub(super) fn write_metadata(&self, tree: &Tree, sink: &dyn Sink) -> Result<(), Error> {
        match self {
            Layout::Ext4(layout) => layout.write_metadata(tree, sink)?,
            Layout::Erofs(layout) => layout.write_metadata(tree, sink)?,
        }
        Ok(())
    }
}

/// What the blocks of an EROFS filesystem are for: content, metadata between it, or nothing.
fn erofs_regions(layout: &cvbake_erofs::Layout) -> Vec<Region> {
    let block = u64::from(BLOCK_SIZE);
    let mut content: Vec<&Placement> = layout.placements().iter().collect();
    content.sort_unstable_by_key(|place| place.disk_block);
    let mut content = content.into_iter().peekable();
    let mut regions = Vec::new();
    let mut at = 0;
    let mut push = |blocks: Range<u64>, used_for, is_written| {
        if !blocks.is_empty() {
            regions.push(Region { blocks, used_for, is_written });
        }
    };
    let end = layout.len_bytes() / block;
    let used = layout.used_ranges().map(|range| range.start / block..range.end / block);
    for range in used.chain(std::iter::once(end..end)) {
        push(at..range.start, Use::Free, false);
        at = range.start;
        while let Some(place) = content.next_if(|place| place.disk_block < range.end) {
            push(at..place.disk_block, Use::Structure, true);
            at = place.disk_block + place.blocks;
            push(place.disk_block..at, Use::Content { pack: place.pack }, true);
        }
        push(at..range.end, Use::Structure, true);
        at = range.end;
    }
    regions
}
