//! Having the store to oneself for a moment.
//!
//! Whoever changes what names point to, or removes what nothing needs, holds `sweep.lock` alone.
//! Whoever pins something holds it together with all others that do. Neither ever waits for
//! anything else meanwhile, least of all for a network.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::time::SystemTime;

use cvbake_verify::Digest;

use crate::entry::times;
use crate::lock::{uninterrupted, wait};
use crate::{Error, Event, Origin, Reference, Store};

const SWEEP: &str = "sweep.lock";

/// The store for this process (this thread, in fact) alone, as far as its names, and what may be
/// removed, go.
///
/// It is to be held briefly. As long as it is, [`Store::pin`], [`Store::set_reference`] and
/// [`Store::remove_reference`] wait: the holder must not call them.
#[derive(Debug)]
pub struct Sweep<'s> {
    pub(crate) store: &'s Store,
    pinned: BTreeSet<Digest>,
    lock: Gate,
}

/// Open, and locked until it is dropped.
#[derive(Debug)]
pub(crate) struct Gate(File);

impl Drop for Gate {
    fn drop(&mut self) {
        // The lock goes with the descriptor; said here because a child process may have inherited
        // that.
        let _ = self.0.unlock();
    }
}

impl Store {
    /// Takes the store for oneself; waits for others.
    ///
    /// # Errors
    /// When it can't be locked, or it can't be read what running processes use.
    pub fn sweep(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Sweep<'_>, Error> {
        let lock = self.exclude(|| on(Event::WaitingForSweep))?;
        Ok(Sweep { store: self, pinned: self.pinned()?, lock })
    }

    pub(crate) fn exclude(&self, waiting: impl FnOnce()) -> Result<Gate, Error> {
        let file = self.open_gate()?;
        wait(&file, waiting).map_err(|source| self.not_locked(source))?;
        Ok(Gate(file))
    }

    pub(crate) fn share(&self) -> Result<Gate, Error> {
        let file = self.open_gate()?;
        uninterrupted(|| file.lock_shared()).map_err(|source| self.not_locked(source))?;
        Ok(Gate(file))
    }

    fn open_gate(&self) -> Result<File, Error> {
        self.root.open_lock(OsStr::new(SWEEP))
    }

    /// When something was last removed that nothing needed: only then there is something in the
    /// file.
    pub(crate) fn last_collection(&self) -> Option<SystemTime> {
        let stat = self.root.stat(OsStr::new(SWEEP)).ok().filter(|stat| stat.st_size > 0)?;
        Some(times(&stat).0)
    }

    pub(crate) fn gate_not_written(&self, source: std::io::Error) -> Error {
        Error::Write { path: self.root.path.join(SWEEP), source }
    }

    fn not_locked(&self, source: std::io::Error) -> Error {
        Error::Lock { path: self.root.path.join(SWEEP), source }
    }
}

impl Sweep<'_> {
    /// What running processes use: blobs, and layers by diff_id.
    #[must_use]
    pub fn pinned(&self) -> &BTreeSet<Digest> {
        &self.pinned
    }

    pub(crate) fn gate(&self) -> &File {
        &self.lock.0
    }

    /// As [`Store::set_reference`].
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_reference(&self, name: &str, reference: &Reference, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
        self.store.write_references([name], reference, Origin::Registry, on)
    }

    /// As [`Store::remove_reference`].
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_reference(&self, name: &str) -> Result<bool, Error> {
        Ok(self.store.delete_references(&[name])? > 0)
    }
}
