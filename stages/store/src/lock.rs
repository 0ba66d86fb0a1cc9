//! Locks that die with their holder.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cvbake_verify::Digest;
use rustix::fs::AtFlags;

use crate::dir::Dir;
use crate::patience::{Enough, Vigil};
use crate::{Error, Event, Patience};

/// How often the holder of a layer notes how far he is: often beside the time in which something
/// has to come of it.
const NOTES: Duration = Duration::from_millis(50);

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
            // The holder before us removed the file: then the lock is on a file that nobody else
            // will find.
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

pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is held, so that whoever waits for it sees that the file is gone. A file
        // that stays is harmless.
        let _ = rustix::fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        let _ = self.file.unlock();
    }
}

/// The right to work on a layer; released when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct LayerLock {
    /// Nothing, if somebody else has it who was waited for long enough.
    lock: Option<Lock>,
    /// How far the work is, and when that was noted last, for those who wait.
    bytes: u64,
    noted: Option<Instant>,
}

impl LayerLock {
    pub(crate) fn wait(
        dir: Dir,
        layer: &Digest,
        patience: Patience,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<LayerLock, Error> {
        let name = OsString::from(format!("{}-{}", layer.algorithm(), layer.hex()));
        let (mut vigil, mut told) = (Vigil::new(patience), false);
        let lock = Lock::take(dir, &name, &mut |file| {
            let tell = || {
                if !told {
                    on(Event::Waiting { layer: *layer });
                    told = true;
                }
            };
            let locked = vigil.lock(file, &|| Some(noted(file)), tell)?;
            if let Err(Enough { waited, found }) = locked {
                on(Event::Waited { layer: *layer, waited, found });
            }
            Ok(locked.is_ok())
        })?;
        Ok(LayerLock { lock, bytes: 0, noted: None })
    }

    /// Whether nobody else works on the layer.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.lock.is_some()
    }

    /// So many more bytes of the layer are unpacked: whoever waits goes on with it as long as they
    /// become more.
    pub fn unpacked(&mut self, bytes: u64) {
        self.bytes += bytes;
        let Some(lock) = &self.lock else { return };
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTES) {
            // Where it can't be written, nobody is waited for as long.
            let _ = lock.file.write_all_at(&self.bytes.to_le_bytes(), 0);
            self.noted = Some(Instant::now());
        }
    }
}

/// How many bytes of a layer its holder has unpacked, as far as he says.
fn noted(file: &File) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes))
}
