//! From a tree to the disk by the programs of e2fsprogs.

use std::fs::File;
use std::ops::Range;

use cvbake_disk::{Sink as _, content};
use cvbake_ext4::mkfs;

use super::plan::content_bytes;
use super::write::{Writing, Written};
use crate::clock::Clock;
use crate::error::Error;
use crate::event::Stage;
use crate::layers::Layers;
use crate::reuse::PlacedContent;
use crate::workplace::Workplace;

impl Writing<'_> {
    /// By the programs of e2fsprogs: a reading writer.
    pub(super) fn read(
        &self,
        layers: &Layers<'_>,
        place: &Workplace,
        programs: &mkfs::Programs,
        clock: &mut Clock<'_>,
    ) -> Result<Written, Error> {
        let &Writing { recipe, tree, options, draft, .. } = self;
        draft.check_room(content_bytes(tree))?;
        clock.next(Stage::Write);
        let scratch = place.subdirectory("mkfs")?;
        let packs = layers.packs()?;
        let write = |disk| mkfs::write(tree, &packs, options, programs, &scratch, disk);
        if self.window.is_some_and(|window| window.base() == 0) {
            let made = write(mkfs::Disk { file: draft.file(), path: draft.path() });
            let numbers = made.map_err(|error| layers.blame(error))?;
            // What is around a filesystem that begins where the file does is behind it.
            recipe.container(numbers.len_bytes, std::iter::empty())?.begin(draft)?.finish()?;
            return Ok(Written { numbers: numbers.into(), placed: PlacedContent::default() });
        }
        // The programs want a file of their own; what they have written of it is copied.
        let path = scratch.with_extension("ext4");
        let raw = File::options().read(true).write(true).create_new(true).open(&path);
        let raw = raw.map_err(|source| Error::scratch(&path, source))?;
        let made = write(mkfs::Disk { file: &raw, path: &path }).map_err(|error| layers.blame(error))?;
        let written: Vec<Range<u64>> = content(&raw, made.len_bytes).collect();
        let container = recipe.container(made.len_bytes, written.iter().cloned())?;
        let disk = container.begin(draft)?;
        written.iter().try_for_each(|range| disk.copy_at(range.start, &raw, range.start, range.end - range.start))?;
        disk.finish()?;
        let numbers = made.into();
        Ok(Written { numbers, placed: PlacedContent::default() })
    }
}
