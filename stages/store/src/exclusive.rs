//! Having the store to oneself for a moment, to remove what nothing needs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;

use cvbake_verify::Digest;

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::files::{BLOBS, Files, INDEX_JSON, INDEXES, PACKS, REPOSITORIES};
use crate::inventory::inventory;
use crate::partial::{PARTIAL, remove_partial};
use crate::pin::pinned;
use crate::plan::{Imported, Removal, Rules, plan};
use crate::store_lock::{StoreLock, lock_exclusive};
use crate::{index_json, naming, repositories};

/// The store for this process (this thread, in fact) alone, as far as its names, and what may be
/// removed, go.
///
/// It is to be held briefly. As long as it is, [`crate::Store::pin`], [`crate::Names::set`] and
/// [`crate::Names::remove`] wait: the holder must not call them.
#[derive(Debug)]
pub struct Exclusive<'s> {
    files: &'s Files,
    pinned: BTreeSet<Digest>,
    lock: StoreLock<'s>,
}

impl<'s> Exclusive<'s> {
    pub(crate) fn lock(files: &'s Files, on: Observer<'_>) -> Result<Exclusive<'s>, Error> {
        let lock = lock_exclusive(files, || on(Event::WaitingForExclusive))?;
        Ok(Exclusive { files, pinned: pinned(files)?, lock })
    }

    /// What running processes use: blobs, and layers by diff_id.
    #[must_use]
    pub fn pinned(&self) -> &BTreeSet<Digest> {
        &self.pinned
    }

    /// As [`crate::Names::remove`].
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_name(&self, name: &str) -> Result<bool, Error> {
        Ok(naming::remove(self.files, &[name])? > 0)
    }

    /// What would go by these rules. Names that only `index.json` has are restored first: what they
    /// stand for is needed.
    ///
    /// # Errors
    /// When the store can't be read, or when the names of all images are lost and the rules don't
    /// say that that is no matter.
    pub fn plan(&self, rules: &Rules, on: Observer<'_>) -> Result<Removal, Error> {
        index_json::restore(self.files, &[], on)?;
        if !rules.even_if_lost && repositories::are_lost(self.files)? {
            return Err(Error::NamesLost { path: self.files.path().to_owned() });
        }
        Ok(plan(&inventory(self.files, &self.pinned, on)?, rules, Imported::Last))
    }

    /// What would go so that no more than this is left, if nobody has asked for just that: imported
    /// images may be spared.
    ///
    /// # Errors
    /// As [`Exclusive::plan`].
    pub fn plan_room(&self, keep_bytes: u64, imported: Imported, on: Observer<'_>) -> Result<Removal, Error> {
        index_json::restore(self.files, &[], on)?;
        if repositories::are_lost(self.files)? {
            return Err(Error::NamesLost { path: self.files.path().to_owned() });
        }
        let rules = Rules { keep_bytes: Some(keep_bytes), ..Rules::default() };
        Ok(plan(&inventory(self.files, &self.pinned, on)?, &rules, imported))
    }

    /// Removes what was planned.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn remove(&self, removal: &Removal) -> Result<(), Error> {
        // In this order: what is interrupted leaves what nothing needs, not names of what is not
        // there.
        if !removal.images.is_empty() {
            let names: Vec<&str> = removal.images.iter().map(String::as_str).collect();
            naming::remove(self.files, &names)?;
        }
        removal.blobs.iter().try_for_each(|digest| self.files.remove_entry(BLOBS, digest))?;
        for digest in &removal.layers {
            // A pack without its index would be of no use.
            self.files.remove_entry(PACKS, digest)?;
            self.files.remove_entry(INDEXES, digest)?;
        }
        if let Some(dir) = self.files.root.existing_subdir(PARTIAL)? {
            removal.partials.iter().try_for_each(|name| remove_partial(&dir, OsStr::new(name)))?;
        }
        if self.files.root.exists(REPOSITORIES)? && !self.files.root.exists(INDEX_JSON)? {
            unless_full(index_json::write(self.files, &[], File::sync_all, &|_| {}).map(drop))?;
        }
        unless_full(self.lock.note_collection())
    }
}

/// On a full filesystem that something was removed is what counts; what can't be written is written
/// another time.
fn unless_full(written: Result<(), Error>) -> Result<(), Error> {
    match written {
        Err(error) if error.is_full() => Ok(()),
        written => written,
    }
}
