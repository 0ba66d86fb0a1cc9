//! The lock of the whole store.
//!
//! Whoever changes what names point to, or removes what nothing needs, holds `sweep.lock` alone.
//! Whoever pins something holds it together with all others that do. Neither ever waits for
//! anything else meanwhile, least of all for a network.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::SystemTime;

use crate::entry::times;
use crate::error::Error;
use crate::files::Files;
use crate::lock_file::{uninterrupted, wait};

const LOCK: &str = "sweep.lock";

/// The lock file, open, and locked until this is dropped.
#[derive(Debug)]
pub(crate) struct StoreLock<'s> {
    files: &'s Files,
    file: File,
}

/// Locks the store for this process (this thread, in fact) alone; `waiting` is told before it
/// waits.
pub(crate) fn lock_exclusive(files: &Files, waiting: impl FnOnce()) -> Result<StoreLock<'_>, Error> {
    let file = open(files)?;
    wait(&file, waiting).map_err(|source| not_locked(files, source))?;
    Ok(StoreLock { files, file })
}

/// Keeps others from locking the store for themselves.
pub(crate) fn lock_shared(files: &Files) -> Result<StoreLock<'_>, Error> {
    let file = open(files)?;
    uninterrupted(|| file.lock_shared()).map_err(|source| not_locked(files, source))?;
    Ok(StoreLock { files, file })
}

/// When something was last removed that nothing needed: only then there is something in the file.
pub(crate) fn last_collection(files: &Files) -> Option<SystemTime> {
    let stat = files.root.stat(OsStr::new(LOCK)).ok().filter(|stat| stat.st_size > 0)?;
    Some(times(&stat).0)
}

impl StoreLock<'_> {
    /// Notes that what nothing needed was removed just now.
    pub(crate) fn note_collection(&self) -> Result<(), Error> {
        // The file's time is that of the last collection.
        let written = self.file.write_all_at(b"\n", 0);
        written.map_err(|source| Error::Write { path: self.files.root.path.join(LOCK), source })
    }
}

impl Drop for StoreLock<'_> {
    fn drop(&mut self) {
        // The lock goes with the descriptor; said here because a child process may have inherited
        // that.
        let _ = self.file.unlock();
    }
}

fn open(files: &Files) -> Result<File, Error> {
    files.root.open_lock(OsStr::new(LOCK))
}

fn not_locked(files: &Files, source: io::Error) -> Error {
    Error::Lock { path: files.root.path.join(LOCK), source }
}
