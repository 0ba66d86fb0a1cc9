//! What was made of layers: their indexes and packs, by diff_id.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use cvbake_verify::Digest;

use crate::entry::{Entry, Health};
use crate::error::{Damage, Error};
use crate::event::Observer;
use crate::files::{Files, INDEXES, PACKS};
use crate::layer_lock::LayerLock;
use crate::pack::PackSeal;
use crate::patience::Patience;
use crate::{index, pack};

pub(crate) const LOCKS: &str = "locks";

/// What a store has of layers that were unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'s> {
    files: &'s Files,
}

impl<'s> Layers<'s> {
    pub(crate) fn new(files: &'s Files) -> Layers<'s> {
        Layers { files }
    }

    /// Makes this process (this thread, in fact) the only one that works on a layer; waits for
    /// others to finish, as long as it is worth while. Afterwards several may work on it, each for
    /// himself.
    ///
    /// A thread must not take a second lock while it holds one, nor run other threads' work
    /// meanwhile: two processes that wait for each other wait until both have had enough.
    ///
    /// # Errors
    /// When the lock file can't be made or locked.
    pub fn lock(self, layer: &Digest, patience: Patience, on: Observer<'_>) -> Result<LayerLock, Error> {
        LayerLock::wait(self.files.root.subdir(LOCKS)?, layer, patience, on)
    }

    /// The index of a layer, if there is one; a damaged one is removed, reported, and counts as
    /// absent.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn index(self, layer: &Digest, on: Observer<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.files.open_entry(INDEXES, layer, on)? else { return Ok(None) };
        let read = index::read(&entry, layer);
        entry.touch();
        Ok(entry.into_checked(read, on)?.map(|(_, payload)| payload))
    }

    /// Keeps the index of a layer.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_index(self, layer: &Digest, payload: &[u8]) -> Result<(), Error> {
        let new = self.files.new_entry()?;
        let written = index::write(&new.file, layer, payload);
        written.map_err(|source| Error::Write { path: new.path.to_owned(), source })?;
        self.files.name_entry(INDEXES, layer, &new.path, new.file)
    }

    /// Checks the index of a layer, and removes a damaged one only if it is to be repaired.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn check_index(self, layer: &Digest, repair: bool) -> Result<Health<Vec<u8>>, Error> {
        let Some(dir) = self.files.entry_dir(INDEXES, layer)? else { return Ok(Health::Absent) };
        Entry::inspect(&dir, &layer.hex(), repair, |entry| index::read(entry, layer))
    }

    /// Whether there is a pack of a layer, unchecked: for telling, not for using.
    #[must_use]
    pub fn has_pack(self, layer: &Digest) -> bool {
        self.files.path().join(PACKS).join(layer.algorithm().name()).join(layer.hex()).symlink_metadata().is_ok()
    }

    /// The pack of a layer, open for reading, if there is one with this seal; a damaged one is
    /// removed, reported, and counts as absent. All its bytes are read.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn pack(self, layer: &Digest, seal: &PackSeal<'_>, on: Observer<'_>) -> Result<Option<File>, Error> {
        let Some(entry) = self.files.open_entry(PACKS, layer, on)? else { return Ok(None) };
        let checked = pack::check(&entry, seal);
        entry.touch();
        Ok(entry.into_checked(checked, on)?.map(|(file, ())| file))
    }

    /// A pack of this length that this process has put here, open for reading, if it is still
    /// there: its bytes are not read again.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn own_pack(self, layer: &Digest, len: u64, on: Observer<'_>) -> Result<Option<File>, Error> {
        Ok(self.files.open_entry(PACKS, layer, on)?.filter(|entry| entry.len == len).map(|entry| entry.file))
    }

    /// Keeps a pack: a whole file in a [`crate::Scratch`] directory of this store, which is moved.
    ///
    /// # Errors
    /// When it can't be moved or synced.
    pub fn put_pack(self, layer: &Digest, from: &Path) -> Result<(), Error> {
        let file = File::open(from).map_err(|source| Error::Read { path: from.to_owned(), source })?;
        self.files.name_entry(PACKS, layer, from, file)
    }

    /// Checks the pack of a layer, and removes a damaged one only if it is to be repaired.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn check_pack(self, layer: &Digest, seal: &PackSeal<'_>, repair: bool) -> Result<Health<()>, Error> {
        let Some(dir) = self.files.entry_dir(PACKS, layer)? else { return Ok(Health::Absent) };
        Entry::inspect(&dir, &layer.hex(), repair, |entry| pack::check(entry, seal))
    }

    /// A pack that has no index, or one that is damaged, and so is of no use: it is removed only if
    /// it is to be repaired. `index` is what [`Layers::check_index`] found.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn check_lone_pack<T>(self, layer: &Digest, index: &Health<T>, repair: bool) -> Result<Health<()>, Error> {
        let Some(dir) = self.files.entry_dir(PACKS, layer)? else { return Ok(Health::Absent) };
        let name = layer.hex();
        if dir.stat(OsStr::new(&name)).is_err() {
            return Ok(Health::Absent);
        }
        // Both may have come just now, the index first.
        if matches!(index, Health::Absent) && self.files.has_entry(INDEXES, layer)? {
            return Ok(Health::Absent);
        }
        if repair {
            self.files.remove_entry(PACKS, layer)?;
        }
        Ok(Health::Damaged { path: dir.path.join(&name), damage: Damage::NoIndex })
    }
}
