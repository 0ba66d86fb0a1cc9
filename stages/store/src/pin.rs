//! What running processes use.
//!
//! ```text
//! pins/<n>    digests of blobs and diff_ids, a line each; locked by the process that uses them
//! ```
//!
//! A process pins first and writes or reads then. What was removed before is simply absent; what is pinned is not removed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use cvbake_verify::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::dir::{Dir, clear};
use crate::lock::Lock;
use crate::{Error, Store};

pub(crate) const PINS: &str = "pins";

/// More than any number of processes and threads that make sense on one machine.
const MAX_PINS: u32 = 100_000;

/// The longest list: two digests of the longer kind for each of the layers that an image may have.
const MAX_LEN: u64 = 4 << 20;

/// Blobs and layers that this process uses, and that nobody removes until this is dropped, or the process ends.
#[derive(Debug)]
pub struct Pin<'s> {
    store: &'s Store,
    lock: Lock,
}

impl Pin<'_> {
    /// Pins more.
    ///
    /// # Errors
    /// When the list can't be written.
    pub fn add(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), Error> {
        let text: String = digests.into_iter().map(|digest| format!("{digest}\n")).collect();
        let _shared = self.store.share()?;
        let mut file = self.lock.file();
        file.write_all(text.as_bytes()).map_err(|source| Error::Write { path: self.lock.path(), source })
    }
}

impl Store {
    /// Says that this process uses blobs and layers: whatever of them is in the store stays, and whatever comes into it.
    ///
    /// # Errors
    /// When the list can't be made, locked or written.
    pub fn pin(&self, digests: impl IntoIterator<Item = Digest>) -> Result<Pin<'_>, Error> {
        let pin = Pin { store: self, lock: self.new_pin()? };
        pin.add(digests)?;
        Ok(pin)
    }

    fn new_pin(&self) -> Result<Lock, Error> {
        let _shared = self.share()?;
        for number in 0..MAX_PINS {
            let name = OsString::from(number.to_string());
            let Some(lock) = Lock::try_take(self.root.subdir(PINS)?, &name)? else { continue };
            // A dead process's list.
            clear(lock.file()).map_err(|source| Error::Write { path: lock.path(), source })?;
            return Ok(lock);
        }
        let path = self.root.path.join(PINS);
        Err(Error::Create { path, source: io::ErrorKind::AlreadyExists.into() })
    }

    /// What running processes use. Nobody adds to it meanwhile: the caller has the store to itself.
    pub(crate) fn pinned(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut pinned = BTreeSet::new();
        let Some(dir) = self.root.existing_subdir(PINS)? else { return Ok(pinned) };
        for name in dir.names()? {
            let name = OsStr::from_bytes(&name);
            let read = |source: io::Error| Error::Read { path: dir.join(name), source };
            let Some(file) = open(&dir, name).map_err(read)? else { continue };
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => {}
                // Nobody holds it; it is removed when the store is opened the next time.
                Ok(()) => continue,
                Err(TryLockError::Error(error)) => return Err(read(error)),
            }
            let mut text = String::new();
            let malformed = || read(io::Error::new(io::ErrorKind::InvalidData, "it is no list of digests"));
            if (&file).take(MAX_LEN + 1).read_to_string(&mut text).map_err(read)? as u64 > MAX_LEN {
                return Err(malformed());
            }
            for line in text.lines() {
                pinned.insert(line.parse().map_err(|_| malformed())?);
            }
        }
        Ok(pinned)
    }
}

fn open(dir: &Dir, name: &OsStr) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(&dir.fd, name, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        // Dropped meanwhile; or nothing that anybody could hold.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
