//! Blobs that are still arriving.
//!
//! A partial blob is the beginning of one: it stays when its process is killed, and the next one
//! goes on. As long as somebody adds to it, others wait, so that a blob is downloaded once; but not
//! for ever ([`Patience`]). Who has waited enough adds to a file of his own beside it, and what is
//! finished first is the blob.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use cvbake_durable::{clear, system};
use cvbake_verify::Digest;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::dir::{Dir, PRIVATE_FILE, describe};
use crate::entry::{Fault, is_ours, len_bytes, open, times};
use crate::error::{Damage, Error};
use crate::event::{Event, Observer};
use crate::files::{BLOBS, Files};
use crate::oci_layout::blobs_dir;
use crate::patience::{Enough, Patience, Vigil};
use crate::sync_queue::SyncQueue;

pub(crate) const PARTIAL: &str = "partial";

/// After how many bytes a blob that arrives is written out: enough for a storage device to be quick
/// at it.
const EARLY: u64 = 8 << 20;

/// For how many of the files of a blob one waits: for the first, and for that of another who had
/// enough of it.
const WAITED_FOR: u32 = 2;

/// The name of a file in which a blob arrives; all begin with number 0, and only who has waited
/// enough goes on to the next.
fn file_name(digest: &Digest, number: u32) -> OsString {
    let first = format!("{}-{}", digest.algorithm(), digest.hex());
    if number == 0 { first.into() } else { format!("{first}.{number}").into() }
}

/// Which blob arrives in a file of this name.
pub(crate) fn blob_of(name: &str) -> Option<Digest> {
    let first = match name.split_once('.') {
        Some((first, number)) if number.parse().is_ok_and(|number: u32| number > 0) => first,
        Some(_) => return None,
        None => name,
    };
    first.replacen('-', ":", 1).parse().ok()
}

/// Which file is the blob, if there is one: another, as soon as somebody has finished it.
fn identity(files: &Files, digest: &Digest) -> Option<(u64, SystemTime)> {
    let dir = files.entry_dir(BLOBS, digest).ok().flatten()?;
    let stat = dir.stat(OsStr::new(&digest.hex())).ok()?;
    Some((stat.st_ino, times(&stat).0))
}

/// Opens a file in which a blob arrives, and locks it; made if there is none.
fn take(
    dir: &Dir,
    name: &OsStr,
    mut vigil: Vigil,
    is_finished: &dyn Fn() -> bool,
    mut waiting: impl FnMut(),
    on: Observer<'_>,
) -> Result<Result<File, Enough>, Error> {
    loop {
        let Some(file) = open_partial(dir, name, on)? else { continue };
        let made = || match is_finished() {
            true => None,
            false => Some(rustix::fs::fstat(&file).map_or(0, |stat| len_bytes(&stat))),
        };
        let locked = vigil.lock(&file, &made, &mut waiting);
        let locked = locked.map_err(|source| Error::Lock { path: dir.join(name), source })?;
        if let Err(enough) = locked {
            return Ok(Err(enough));
        }
        // The holder before us finished the blob or removed the file: nobody else will find this
        // one.
        if dir.names_file(name, &file) {
            return Ok(Ok(file));
        }
    }
}

/// Opens a file in which a blob arrives; nothing, if something else was in its place, which is gone
/// now.
fn open_partial(dir: &Dir, name: &OsStr, on: Observer<'_>) -> Result<Option<File>, Error> {
    let create = |source: io::Error| Error::Create { path: dir.join(name), source };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mode = Mode::from_raw_mode(PRIVATE_FILE);
    let found = match rustix::fs::openat(&dir.fd, name, flags | OFlags::CLOEXEC, mode) {
        Ok(file) => match FileType::from_raw_mode(rustix::fs::fstat(&file).map_err(|e| create(e.into()))?.st_mode) {
            FileType::RegularFile => return Ok(Some(file.into())),
            kind => kind,
        },
        Err(Errno::LOOP) => FileType::Symlink,
        Err(Errno::ISDIR) => FileType::Directory,
        // A socket, or a device without a driver.
        Err(Errno::NXIO | Errno::NODEV) => FileType::Socket,
        Err(error) => return Err(create(error.into())),
    };
    // Whatever it is, nobody holds it as a partial blob.
    dir.remove(name).map_err(create)?;
    on(Event::Damaged { path: dir.join(name), damage: Damage::Kind { found: describe(found) }, kept: None });
    Ok(None)
}

/// Removes the beginning of a blob, unless somebody took it up meanwhile.
pub(crate) fn remove_partial(dir: &Dir, name: &OsStr) -> Result<(), Error> {
    let file: Option<File> = match open(dir, name) {
        Ok(Some((file, _))) => Some(file),
        Ok(None) => return Ok(()),
        Err(Fault::Damage(_)) => None,
        Err(Fault::Error(source)) => return Err(Error::Read { path: dir.join(name), source }),
    };
    if let Some(file) = &file
        && (file.try_lock().is_err() || !dir.names_file(name, file))
    {
        return Ok(());
    }
    dir.remove(name).map_err(|source| Error::Write { path: dir.join(name), source })
}

/// The beginning of a blob, to which nobody else adds. Dropped, it stays for whoever goes on with
/// it.
#[derive(Debug)]
pub struct Partial {
    file: File,
    len: u64,
    /// Up to where the kernel was told to write it out.
    on_its_way: u64,
    digest: Digest,
    dir: Dir,
    name: OsString,
    root: Dir,
    sync_queue: Arc<SyncQueue>,
}

impl Partial {
    /// Takes up the beginning of a blob, or begins.
    pub(crate) fn open(files: &Files, digest: &Digest, patience: Patience, on: Observer<'_>) -> Result<Partial, Error> {
        let dir = files.root.subdir(PARTIAL)?;
        let (before, mut number, mut told) = (identity(files, digest), 0, false);
        let file = loop {
            let name = file_name(digest, number);
            let is_finished = || identity(files, digest).is_some_and(|blob| Some(blob) != before);
            let waits = number < WAITED_FOR && !is_finished();
            let vigil = Vigil::new(if waits { patience } else { Patience::NONE });
            let waiting = || {
                if waits && !std::mem::replace(&mut told, true) {
                    on(Event::WaitingForBlob { blob: *digest });
                }
            };
            match take(&dir, &name, vigil, &is_finished, waiting, on)? {
                Ok(file) => break file,
                Err(Enough { waited, found }) if waits && !is_finished() => {
                    on(Event::WaitedForBlob { blob: *digest, waited, found });
                }
                Err(_) => {}
            }
            number += 1;
        };
        let name = file_name(digest, number);
        let metadata = file.metadata().map_err(|source| Error::Read { path: dir.join(&name), source })?;
        let (root, len, sync_queue) = (files.root.clone(), metadata.len(), Arc::clone(&files.sync_queue));
        Ok(Partial { file, len, on_its_way: len, digest: *digest, dir, name, root, sync_queue })
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file, for reading what is there.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether an error about reading the file is about the file, and not about this process.
    #[must_use]
    pub fn is_of_medium(source: &io::Error) -> bool {
        !is_ours(source)
    }

    /// An error about reading the file.
    #[must_use]
    pub fn unreadable(&self, source: io::Error) -> Error {
        Error::Read { path: self.dir.join(&self.name), source }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they can't be written; how many were is told by [`Partial::len`].
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match (&self.file).write(bytes) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.len += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        if self.len >= self.on_its_way + EARLY && self.sync_queue.is_wanted() {
            system::write_out(&self.file, self.on_its_way, self.len - self.on_its_way);
            self.on_its_way = self.len;
        }
        Ok(())
    }

    /// Throws away what is there.
    ///
    /// # Errors
    /// When the file can't be cut.
    pub fn restart(&mut self) -> Result<(), Error> {
        clear(&self.file).map_err(|error| self.failed(error))?;
        (self.len, self.on_its_way) = (0, 0);
        Ok(())
    }

    /// Keeps the file as the blob that it is by now, which the caller has checked.
    ///
    /// # Errors
    /// When it can't be moved or synced.
    pub fn commit(self) -> Result<(), Error> {
        let blobs = blobs_dir(&self.root)?;
        let dir = blobs.subdir(self.digest.algorithm().name())?;
        let file = self.file.try_clone().map_err(|error| self.failed(error))?;
        let name = OsString::from(self.digest.hex());
        dir.take(&self.dir.join(&self.name), &name)?;
        self.remove_others();
        self.sync_queue.push(&dir, name, file)
    }

    /// Removes what others have left of the blob, as far as nobody is at it: it is of no use any
    /// more.
    fn remove_others(&self) {
        for number in 0.. {
            let name = file_name(&self.digest, number);
            match self.dir.stat(&name) {
                // What stays is only in the way.
                Ok(_) => drop(remove_partial(&self.dir, &name)),
                // There may be none that all begin with.
                Err(_) if number > 0 => return,
                Err(_) => {}
            }
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.dir.join(&self.name), source }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // While it is locked, so that whoever waits for it sees that it is gone; and never a file
        // of somebody else's.
        if self.len == 0 && self.dir.names_file(&self.name, &self.file) {
            let _ = self.dir.remove(&self.name);
        }
        // The lock goes with the descriptor; said here because a child process may have inherited
        // that.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let digest = Digest::sha256(b"x");
        for number in [0, 1, 17, u32::MAX] {
            assert_eq!(blob_of(file_name(&digest, number).to_str().unwrap()), Some(digest), "{number}");
        }
        let first = file_name(&digest, 0).into_string().unwrap();
        for name in ["", ".", "left", &first[1..], &format!("{first}."), &format!("{first}.0"), &format!("{first}.1.1")]
        {
            assert_eq!(blob_of(name), None, "{name}");
        }
    }
}
