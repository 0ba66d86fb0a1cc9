//! LockFiles that die with their holder.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::AtFlags;

use crate::dir::Dir;
use crate::error::Error;

/// A lock file, locked. Dropping it removes the file and then the lock.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    dir: Dir,
    name: OsString,
}

impl LockFile {
    /// Takes the lock if nobody has it.
    pub(crate) fn try_take(dir: Dir, name: &OsStr) -> Result<Option<LockFile>, Error> {
        LockFile::take(dir, name, &mut try_lock)
    }

    /// The locked file, whose content is for the holder to say.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it stands.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Takes the lock as `lock` does, which says whether it has it.
    pub(crate) fn take(
        dir: Dir,
        name: &OsStr,
        lock: &mut dyn FnMut(&File) -> io::Result<bool>,
    ) -> Result<Option<LockFile>, Error> {
        loop {
            let file = dir.open_lock(name)?;
            if !lock(&file).map_err(|source| Error::Lock { path: dir.join(name), source })? {
                return Ok(None);
            }
            // The holder before us removed the file: then the lock is on a file that nobody else
            // will find.
            if dir.names_file(name, &file) {
                return Ok(Some(LockFile { file, dir, name: name.to_owned() }));
            }
        }
    }
}

/// Removes the lock files that killed processes left in a directory. One that stays is harmless.
pub(crate) fn remove_stale(open: &dyn Fn() -> Option<Dir>) {
    for name in open().and_then(|dir| dir.names().ok()).unwrap_or_default() {
        // Dropping a lock removes its file.
        drop(open().map(|dir| LockFile::try_take(dir, OsStr::from_bytes(&name))));
    }
}

/// LockFiles a file, whoever else has it; tells before it waits.
pub(crate) fn wait(file: &File, waiting: impl FnOnce()) -> io::Result<()> {
    if try_lock(file)? {
        return Ok(());
    }
    waiting();
    uninterrupted(|| file.lock())
}

/// Does what a signal may interrupt until it is done.
pub(crate) fn uninterrupted(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // While the lock is held, so that whoever waits for it sees that the file is gone. A file
        // that stays is harmless.
        let _ = rustix::fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        let _ = self.file.unlock();
    }
}
