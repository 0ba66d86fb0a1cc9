//! From a tree to the disk by the programs of e2fsprogs.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cvbake_disk::{Sink as _, content, units};
use cvbake_ext4::mkfs;
use cvbake_verify::{Algorithm, Hasher};
use cvbake_verity::RootHash;

use super::plan::{Numbers, content_bytes};
use super::unreadable;
use super::write::{Writing, Written};
use crate::clock::Clock;
use crate::error::Error;
use crate::event::Stage;
use crate::format::Format;
use crate::layers::Layers;
use crate::recipe::{Ext4, Recipe};
use crate::reuse::PlacedContent;
use crate::workplace::Workplace;

impl Writing<'_> {
    /// By the programs of e2fsprogs: a reading writer.
    pub(super) fn read(
        &self,
        layers: &Layers<'_>,
        place: &Workplace,
        (ext4, programs): (&Ext4, &mkfs::Programs),
        clock: &mut Clock<'_>,
    ) -> Result<Written, Error> {
        let &Writing { recipe, tree, draft, .. } = self;
        let options = recipe.ext4_options(ext4, layers.base_pack());
        draft.check_room(content_bytes(tree))?;
        clock.next(Stage::Write);
        let scratch = place.subdirectory("mkfs")?;
        let packs = layers.packs()?;
        let write = |disk| mkfs::write(tree, &packs, &options, programs, &scratch, disk);
        if self.window.is_some_and(|window| window.base() == 0) {
            let made = write(mkfs::Disk { file: draft.file(), path: draft.path() });
            let numbers = made.map_err(|error| layers.blame(error))?;
            // What is around a filesystem that begins where the file does is behind it.
            let protection = recipe.protection(numbers.blocks)?;
            let recipe = named_by(recipe, draft.file(), draft.path(), numbers.len_bytes)?;
            let plan = |root_hash: Option<&RootHash>| {
                recipe.container(numbers.len_bytes, protection.as_ref(), root_hash, std::iter::empty(), None)
            };
            let container = plan(None)?;
            let root_hash = self.protect(protection.as_ref(), container.begin(draft)?, &plan)?;
            let numbers = Numbers::from(numbers).on_disk(&recipe, protection.as_ref())?;
            return Ok(Written { numbers, placed: PlacedContent::default(), root_hash });
        }
        // The programs want a file of their own; what they have written of it is copied.
        let path = scratch.with_extension("ext4");
        let raw = File::options().read(true).write(true).create_new(true).open(&path);
        let raw = raw.map_err(|source| Error::scratch(&path, source))?;
        let made = write(mkfs::Disk { file: &raw, path: &path }).map_err(|error| layers.blame(error))?;
        let written: Vec<Range<u64>> = content(&raw, made.len_bytes).collect();
        let protection = recipe.protection(made.blocks)?;
        let recipe = named_by(recipe, &raw, &path, made.len_bytes)?;
        let plan = |root_hash: Option<&RootHash>| {
            recipe.container(made.len_bytes, protection.as_ref(), root_hash, written.iter().cloned(), None)
        };
        let container = plan(None)?;
        let disk = container.begin(draft)?;
        written.iter().try_for_each(|range| disk.copy_at(range.start, &raw, range.start, range.end - range.start))?;
        let root_hash = self.protect(protection.as_ref(), disk, &plan)?;
        let numbers = Numbers::from(made).on_disk(&recipe, protection.as_ref())?;
        Ok(Written { numbers, placed: PlacedContent::default(), root_hash })
    }
}

/// The recipe, as far as identities follow from it, of a filesystem that the programs have made.
///
/// What they write is not a function of the image: other versions of them write other bytes. So it
/// is the filesystem itself that names the disk; or a differencing disk could be taken for the
/// child of another one than its parent.
fn named_by<'r>(recipe: &Recipe<'r>, filesystem: &File, path: &Path, len_bytes: u64) -> Result<Recipe<'r>, Error> {
    const PIECE: usize = 1 << 16;
    let piece_bytes = PIECE as u64;
    let mut recipe = recipe.clone();
    if matches!(recipe.format, Format::Raw | Format::Qcow2(_)) {
        return Ok(recipe);
    }
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(recipe.content.to_string().as_bytes());
    let mut buffer = vec![0; PIECE];
    for piece in units(content(filesystem, len_bytes), piece_bytes).into_iter().flatten() {
        let (offset, end) = (piece * piece_bytes, ((piece + 1) * piece_bytes).min(len_bytes));
        let bytes = &mut buffer[..usize::try_from(end - offset).expect("at most a piece")];
        filesystem.read_exact_at(bytes, offset).map_err(|source| unreadable(path, source))?;
        // What is a hole differs from one filesystem to the next.
        if bytes.iter().any(|&byte| byte != 0) {
            hasher.update(&offset.to_le_bytes());
            hasher.update(bytes);
        }
    }
    recipe.made = Some(hasher.finish());
    Ok(recipe)
}
