//! Locks that die with their holder.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use cvbake_verify::Digest;
use rustix::fs::AtFlags;

use crate::dir::Dir;
use crate::{Error, Event};

/// A lock file, locked. Dropping it removes the file and then the lock.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    dir: Dir,
    name: OsString,
}

impl Lock {
    /// Takes the lock if nobody has it.
    pub(crate) fn try_take(dir: Dir, name: &OsStr) -> Result<Option<Lock>, Error> {
        Lock::take(dir, name, &mut try_lock)
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
    fn take(dir: Dir, name: &OsStr, lock: &mut dyn FnMut(&File) -> io::Result<bool>) -> Result<Option<Lock>, Error> {
        loop {
            let file = dir.open_lock(name)?;
            if !lock(&file).map_err(|source| Error::Lock { path: dir.join(name), source })? {
                return Ok(None);
            }
            // The holder before us removed the file: then the lock is on a file that nobody else will find.
            if dir.names_file(name, &file) {
                return Ok(Some(Lock { file, dir, name: name.to_owned() }));
            }
        }
    }
}

/// Removes the lock files that killed processes left in a directory. One that stays is harmless.
pub(crate) fn remove_stale(open: &dyn Fn() -> Option<Dir>) {
    for name in open().and_then(|dir| dir.names().ok()).unwrap_or_default() {
        // Dropping a lock removes its file.
        drop(open().map(|dir| Lock::try_take(dir, OsStr::from_bytes(&name))));
    }
}

/// Locks a file, whoever else has it; tells before it waits.
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

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is held, so that whoever waits for it sees that the file is gone. A file that stays is harmless.
        let _ = rustix::fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        let _ = self.file.unlock();
    }
}

/// The right to work on a layer; released when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct LayerLock {
    _lock: Lock,
}

impl LayerLock {
    pub(crate) fn wait(dir: Dir, layer: &Digest, on: &(dyn Fn(Event) + Sync)) -> Result<LayerLock, Error> {
        let name = OsString::from(format!("{}-{}", layer.algorithm(), layer.hex()));
        let mut told = false;
        let lock = Lock::take(dir, &name, &mut |file| {
            let tell = || {
                if !told {
                    on(Event::Waiting { layer: *layer });
                    told = true;
                }
            };
            wait(file, tell).map(|()| true)
        })?;
        Ok(LayerLock { _lock: lock.expect("waited until it was free") })
    }
}
