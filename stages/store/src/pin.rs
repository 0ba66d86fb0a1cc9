//! What running processes use.
//!
//! ```text
//! pins/<n>    digests of blobs and diff_ids, a line each; locked by the process that uses them
//! ```
//!
//! A process pins first and writes or reads then. What was removed before is simply absent; what is
//! pinned is not removed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use cvbake_durable::clear;
use cvbake_verify::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::error::Error;
use crate::files::Files;
use crate::lock_file::LockFile;
use crate::store_lock::lock_shared;

pub(crate) const PINS: &str = "pins";

/// More than any number of processes and threads that make sense on one machine.
const MAX_PINS: u32 = 100_000;

/// The most digests that one process pins: several times what the largest archive has. Others read
/// all of them whenever something is removed.
const MAX_PINNED: usize = 1 << 20;

/// The longest line: a digest of the longer kind.
const MAX_LINE: u64 = 160;

/// Blobs and layers that this process uses, and that nobody removes until this is dropped, or the
/// process ends.
#[derive(Debug)]
pub struct Pin<'s> {
    files: &'s Files,
    lock: LockFile,
    count: AtomicUsize,
}

impl<'s> Pin<'s> {
    pub(crate) fn new(files: &'s Files, digests: impl IntoIterator<Item = Digest>) -> Result<Pin<'s>, Error> {
        let pin = Pin { files, lock: new_list(files)?, count: AtomicUsize::new(0) };
        pin.add(digests)?;
        Ok(pin)
    }

    /// Pins more.
    ///
    /// # Errors
    /// When there are too many, or the list can't be written.
    pub fn add(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), Error> {
        let _shared = lock_shared(self.files)?;
        let failed = |source| Error::Write { path: self.lock.path(), source };
        let mut list = BufWriter::new(self.lock.file());
        for digest in digests {
            if self.count.fetch_add(1, Ordering::Relaxed) == MAX_PINNED {
                return Err(Error::ManyPinned { limit: MAX_PINNED });
            }
            writeln!(list, "{digest}").map_err(failed)?;
        }
        list.flush().map_err(failed)
    }
}

fn new_list(files: &Files) -> Result<LockFile, Error> {
    let _shared = lock_shared(files)?;
    for number in 0..MAX_PINS {
        let name = OsString::from(number.to_string());
        let Some(lock) = LockFile::try_take(files.root.subdir(PINS)?, &name)? else { continue };
        // A dead process's list.
        clear(lock.file()).map_err(|source| Error::Write { path: lock.path(), source })?;
        return Ok(lock);
    }
    let path = files.root.path.join(PINS);
    Err(Error::Create { path, source: io::ErrorKind::AlreadyExists.into() })
}

/// What running processes use. Nobody adds to it meanwhile: the caller has the store to itself.
pub(crate) fn pinned(files: &Files) -> Result<BTreeSet<Digest>, Error> {
    let mut pinned = BTreeSet::new();
    let Some(dir) = files.root.existing_subdir(PINS)? else { return Ok(pinned) };
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
        let malformed = || read(io::Error::new(io::ErrorKind::InvalidData, "it is no list of digests"));
        let mut list = BufReader::new(file);
        let mut line = String::new();
        while (&mut list).take(MAX_LINE).read_line(&mut line).map_err(read)? > 0 {
            pinned.insert(line.trim_end().parse().map_err(|_| malformed())?);
            line.clear();
        }
    }
    Ok(pinned)
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
