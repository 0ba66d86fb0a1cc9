//! From a tree to the disk, by one of the two kinds of writers that there are.
//!
//! * A **placing** writer plans first. It says which block of which pack goes where, and writes
//!   only what is not content; whoever has the content puts it there, by whatever way is fastest:
//!   several layers at once, shared with a pack, copied from an earlier disk, or unpacked to its
//!   place before there was a plan. Our own ext4 is one, and EROFS.
//! * A **reading** writer is given the tree and the packs, reads what it needs, and says afterwards
//!   what it has made. It can be anybody's: e2fsprogs is one, and so is a tar.

use std::num::NonZeroUsize;

use cvbake_disk::{Container, Draft, Filling, Window};
use cvbake_tree::Tree;
use cvbake_verity::RootHash;

use super::job::Output;
use super::layout::Layout;
use super::plan::{Numbers, content_bytes};
use crate::clock::Clock;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Observer, Stage};
use crate::layers::Layers;
use crate::protection::Protection;
use crate::recipe::Recipe;
use crate::reuse::content::Disks;
use crate::reuse::{PlacedContent, Reuse};

/// What is written, and where.
pub(super) struct Writing<'a> {
    pub(super) recipe: &'a Recipe<'a>,
    pub(super) output: &'a Output,
    pub(super) tree: &'a Tree,
    pub(super) draft: &'a Draft,
    /// The file for the hash tree, if it goes into another one.
    pub(super) beside: Option<&'a Draft>,
    pub(super) jobs: NonZeroUsize,
    pub(super) control: &'a Control,
    /// The filesystem in the draft, if it is stored in one piece.
    pub(super) window: Option<Window<'a>>,
    pub(super) on: Observer<'a>,
}

/// What was written.
pub(super) struct Written {
    pub(super) numbers: Numbers,
    /// Where content is on the disk, as far as that is worth a note.
    pub(super) placed: PlacedContent,
    /// The root hash of its hash tree, if it has one.
    pub(super) root_hash: Option<RootHash>,
}

impl Writing<'_> {
    /// By a writer of our own.
    pub(super) fn place(
        &self,
        layers: &mut Layers<'_>,
        reuse: Option<&Reuse<'_>>,
        clock: &mut Clock<'_>,
    ) -> Result<Written, Error> {
        let &Writing { recipe, output, tree, draft, window, on, .. } = self;
        let layout = Layout::plan(recipe, tree, layers.base_pack()).map_err(|error| layers.blame(error))?;
        let protection = recipe.protection(layout.block_count())?;
        let plan = |root_hash: Option<&RootHash>| {
            let used = layout.used_ranges();
            recipe.container(layout.len_bytes(), protection.as_ref(), root_hash, used, layout.base_range())
        };
        let container = plan(None)?;
        let numbers = Numbers::planned(&layout).on_disk(recipe, protection.as_ref())?;
        numbers.announce(on);
        draft.check_room(content_bytes(tree) + protection.as_ref().map_or(0, Protection::area_bytes))?;
        clock.next(Stage::Write);
        layers.relocate_base_pack(layout.base_pack(), &container.continued(draft))?;
        if let Some(reuse) = reuse {
            layers.look_on_disks(Disks::new(reuse), layout.placements())?;
        }
        let disk = container.begin(draft)?;
        layout.write_metadata(tree, &disk)?;
        layers.write(layout.placements(), &disk)?;
        let root_hash = self.protect(protection.as_ref(), disk, &plan)?;
        // What is compressed is nowhere as it is in a pack.
        let is_plain = recipe.format.compression().is_none();
        let noted = window.filter(|_| reuse.is_some() && output.sync && is_plain);
        let placed = noted.map(|window| layers.placed_content(layout.placements(), window.base()));
        Ok(Written { numbers, placed: placed.unwrap_or_default(), root_hash })
    }

    /// Makes the hash tree of a disk whose filesystem stands, if it is to have one, and writes what
    /// is around both. `plan` says what that is, which may follow from the root hash.
    pub(super) fn protect(
        &self,
        protection: Option<&Protection>,
        disk: Filling<'_>,
        plan: &dyn Fn(Option<&RootHash>) -> Result<Container, Error>,
    ) -> Result<Option<RootHash>, Error> {
        let Some(protection) = protection else {
            disk.finish()?;
            return Ok(None);
        };
        let root_hash = protection.write(&disk, self.beside, self.jobs, self.control)?;
        match protection.partition_bytes() {
            Some(_) => disk.finish_as(&plan(Some(&root_hash))?)?,
            None => disk.finish()?,
        }
        Ok(Some(root_hash))
    }
}
