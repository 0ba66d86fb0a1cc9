//! Directories for work in progress.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cvbake_durable::Temporary;
use rustix::fs::Mode;

use crate::dir::{Dir, PRIVATE_FILE};
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::lock_file::LockFile;

pub(crate) const SCRATCH: &str = "scratch";

/// More than any number of processes and threads that make sense on one machine.
const MAX_SCRATCH: u32 = 100_000;

/// A private, empty directory in the store's filesystem; removed with its content when dropped.
///
/// The lock file stands beside it (`7.lock` for `7/`): it is there before the directory and goes
/// after it, so whoever holds the lock may remove the directory.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    dir: Dir,
    temporary: Arc<Temporary>,
    entries: AtomicU64,
    // Last, so that it is released when the directory is gone.
    _lock: LockFile,
}

impl Scratch {
    /// Makes one in a store's directory.
    pub(crate) fn create(root: &Dir) -> Result<Scratch, Error> {
        for number in 0..MAX_SCRATCH {
            let number = number.to_string();
            let name = OsString::from(&number);
            let Some(lock) = LockFile::try_take(root.subdir(SCRATCH)?, &lock_name(&name))? else { continue };
            let dir = root.subdir(SCRATCH)?;
            let path = dir.join(&name);
            let create = |source| Error::Create { path: path.clone(), source };
            // A dead process's, if any.
            dir.remove(&name).map_err(create)?;
            rustix::fs::mkdirat(&dir.fd, &name, Mode::RWXU).map_err(|source| create(source.into()))?;
            let made = dir.existing_subdir(&number)?.ok_or_else(|| create(std::io::ErrorKind::NotFound.into()))?;
            let temporary = Temporary::new(Arc::clone(&dir.fd), name, &*made.fd).map_err(create)?;
            return Ok(Scratch { path, dir, temporary: Arc::new(temporary), entries: AtomicU64::new(0), _lock: lock });
        }
        let path = root.path.join(SCRATCH);
        Err(Error::Create { path, source: std::io::ErrorKind::AlreadyExists.into() })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, for whoever handles a signal.
    #[must_use]
    pub fn temporary(&self) -> &Arc<Temporary> {
        &self.temporary
    }

    /// The directory, by descriptor.
    pub(crate) fn open(&self) -> Result<Dir, Error> {
        let name = self.temporary.name().to_str().expect("a number");
        self.dir
            .existing_subdir(name)?
            .ok_or_else(|| Error::Read { path: self.path.clone(), source: std::io::ErrorKind::NotFound.into() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed now is left to the next process.
        let _ = self.temporary.remove();
    }
}

/// A file that is to be an entry of the store; removed when dropped, unless it was moved to where
/// it belongs.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(crate) path: NewEntryPath,
    pub(crate) file: File,
}

impl NewEntry {
    pub(crate) fn create(scratch: Arc<Scratch>) -> Result<NewEntry, Error> {
        let path = scratch.path.join(format!("draft-{}", scratch.entries.fetch_add(1, Ordering::Relaxed)));
        let options = File::options().write(true).create_new(true).mode(PRIVATE_FILE).to_owned();
        let file = options.open(&path).map_err(|source| Error::Create { path: path.clone(), source })?;
        Ok(NewEntry { path: NewEntryPath { path, _scratch: scratch }, file })
    }
}

/// Where the file is, until it is moved.
#[derive(Debug)]
pub(crate) struct NewEntryPath {
    path: PathBuf,
    _scratch: Arc<Scratch>,
}

impl Deref for NewEntryPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for NewEntryPath {
    fn drop(&mut self) {
        // It has been moved, or goes with the directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes the directories of dead processes; what can't be removed is only in the way.
pub(crate) fn remove_stale(root: &Dir, on: Observer<'_>) {
    let scratch = || root.existing_subdir(SCRATCH).ok().flatten();
    let Some(dir) = scratch() else { return };
    for name in dir.names().unwrap_or_default() {
        let name = name.strip_suffix(b".lock").unwrap_or(&name);
        if name.is_empty() || !name.iter().all(u8::is_ascii_digit) {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let Some(locked) = scratch() else { return };
        if let Ok(Some(_lock)) = LockFile::try_take(locked, &lock_name(name)) {
            let there = dir.stat(name).is_ok();
            if there && dir.remove(name).is_ok() {
                on(Event::Removed { path: dir.join(name) });
            }
        }
    }
}

fn lock_name(name: &OsStr) -> OsString {
    let mut lock = name.to_owned();
    lock.push(".lock");
    lock
}
