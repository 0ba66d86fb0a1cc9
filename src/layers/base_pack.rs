//! The largest layer, which is unpacked onto the disk itself: its content is never copied.
//!
//! Its pack begins at a fixed block ([`cvbake_ext4::BASE_PACK_BLOCK`]), so unpacking can start
//! before anything else is known of the disk. When the plan is made, files that upper layers have
//! removed are cleared, and the few blocks of the pack that are in the way of metadata are moved.
//! The plan does not depend on whether the layer was unpacked here: a pack from the store, or a
//! layer that is inflated again, is written to the same blocks.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cvbake_disk::{Sink, Window, free_bytes};
use cvbake_ext4::BASE_PACK_BLOCK;
use cvbake_tree::{BLOCK_SIZE, Placement};
use cvbake_verify::Layer;

use super::Layers;
use super::content::Content;
use super::pack_file::PackFile;
use crate::error::Error;
use crate::event::Event;

const BLOCK: u64 = BLOCK_SIZE as u64;

// A layer is unpacked to its place before anything is known of the filesystem.
const _: () = assert!(cvbake_erofs::BASE_PACK_BLOCK == BASE_PACK_BLOCK, "it begins there on any filesystem");

/// Where a base pack begins on a disk, in bytes.
pub(crate) const BASE_PACK: u64 = BASE_PACK_BLOCK * BLOCK;

/// A pack smaller than this, in bytes, is no base pack: to copy it costs milliseconds, and small
/// disks stay without gaps.
pub(super) const BASE_PACK_MIN: u64 = 16 << 20;

/// A layer smaller than this, in bytes as it is stored, will hardly have such a pack: layers are
/// rarely compressed to an eighth.
pub(super) const BASE_LAYER_MIN: u64 = BASE_PACK_MIN / 8;

/// What a plan says of the base pack.
#[derive(Clone, Copy)]
pub(crate) struct BasePack<'l> {
    /// The pack that stands as it is, if one does.
    pub(crate) pack: Option<u32>,
    /// Where all content goes.
    pub(crate) placements: &'l [Placement],
}

impl Layers<'_> {
    /// Makes of what stands on the disk what the plan says; what is elsewhere on the disk goes
    /// through `sink`. The disk has nothing else on it yet, unless an attempt at a layer has failed
    /// and the layer was found in the store then.
    pub(crate) fn relocate_base_pack(&mut self, plan: BasePack<'_>, sink: &dyn Sink) -> Result<(), Error> {
        let Some(disk) = self.cx.disk else { return Ok(()) };
        let Some(at) = self.unpacked.iter().position(|unpacked| matches!(unpacked.content, Content::Disk)) else {
            return Ok(disk.clear_all()?);
        };
        let end = disk.written_bytes()?.max(BASE_PACK);
        // A layer that is there twice may have content in both places.
        let elsewhere = |pack: u32| {
            plan.placements.iter().any(|place| place.pack != pack && self.positions[place.pack as usize] == at)
        };
        let base_pack = plan.pack.filter(|&pack| self.positions[pack as usize] == at && !elsewhere(pack));
        let Some(pack) = base_pack else {
            let pack = PackFile::create(self.cx.scratch, self.unpacked[at].layer)?;
            pack.fill_from(disk, BASE_PACK..end)?;
            disk.clear_all()?;
            self.unpacked[at].content = pack.into_content();
            return Ok(());
        };
        let places: Vec<&Placement> = plan.placements.iter().filter(|place| place.pack == pack).collect();
        let from = |place: &Placement| BASE_PACK + place.pack_block * BLOCK;
        let source = |place: &Placement| from(place)..from(place) + place.blocks * BLOCK;
        // Other things may come to stand on what is dead: it goes first.
        for dead in gaps(BASE_PACK..end, places.iter().map(|place| source(place))) {
            disk.clear(dead)?;
        }
        for place in places.iter().filter(|place| !is_in_place(place)) {
            disk.copy_to(source(place), sink, place.disk_block * BLOCK)?;
            disk.clear(source(place))?;
        }
        let bytes = places.iter().map(|place| place.blocks * BLOCK).sum();
        (self.cx.on)(Event::Wrote { bytes });
        Ok(())
    }
}

/// Whether content of the base pack is where it was unpacked to.
pub(crate) fn is_in_place(place: &Placement) -> bool {
    place.disk_block == place.pack_block + BASE_PACK_BLOCK
}

/// Whether a layer might fill the filesystem of the disk before there is a plan that says so, and
/// there is certainly room for it elsewhere. The disk becomes the same either way.
pub(super) fn is_scratch_better(disk: Window<'_>, scratch: &Path, layer: &Layer) -> bool {
    let Some(most) = layer.size().map(|size| size.saturating_mul(BASE_PACK_MIN / BASE_LAYER_MIN)) else {
        return false;
    };
    let Some(scratch) = File::open(scratch).ok() else { return false };
    let device = scratch.metadata().map(|metadata| metadata.dev()).ok();
    disk.free_bytes().is_some_and(|free| free < most)
        && free_bytes(&scratch).is_some_and(|free| free >= most)
        && disk.device() != device
}

/// What sorted ranges leave of another.
fn gaps(of: Range<u64>, ranges: impl Iterator<Item = Range<u64>>) -> impl Iterator<Item = Range<u64>> {
    let end = of.end..of.end;
    let mut at = of.start;
    ranges.chain([end]).filter_map(move |range| {
        let gap = at..range.start;
        at = at.max(range.end);
        (!gap.is_empty()).then_some(gap)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_between() {
        let left = |ranges: &[(u64, u64)]| {
            let ranges = ranges.iter().map(|&(start, end)| start..end);
            gaps(10..50, ranges).map(|gap| (gap.start, gap.end)).collect::<Vec<_>>()
        };
        assert_eq!(left(&[]), [(10, 50)]);
        assert_eq!(left(&[(10, 50)]), []);
        assert_eq!(left(&[(12, 20), (20, 25), (30, 50)]), [(10, 12), (25, 30)]);
        assert_eq!(left(&[(10, 11), (40, 45)]), [(11, 40), (45, 50)]);
    }
}
