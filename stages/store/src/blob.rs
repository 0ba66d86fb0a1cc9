//! Blobs as registries have them, and those that are still arriving.
//!
//! A blob is bare bytes under its own digest, so the file alone tells whether it is right; whoever reads it checks that on
//! the way. A partial one is the beginning of a blob: it stays when its process is killed, and the next one goes on.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_verify::{Algorithm, Digest, Hasher};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::dir::{Dir, PRIVATE_FILE, clear};
use crate::entry::{Entry, Fault, describe, fault, is_ours, len_bytes};
use crate::later::Later;
use crate::reference::REPOSITORIES;
use crate::{BLOBS, Damage, Error, Event, Health, Pin, Store};

pub(crate) const PARTIAL: &str = "partial";

/// The file by which other programs know the directory as one with blobs in it.
const LAYOUT: &str = "oci-layout";
const LAYOUT_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// After how many bytes a blob that arrives is written out: enough for a storage device to be quick at it.
const EARLY: u64 = 8 << 20;

impl Store {
    /// A blob, open for reading, if there is one, of this size if one is given. Its bytes are still to be checked: one that
    /// turns out to be damaged goes by [`Store::remove_blob`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn blob(&self, digest: &Digest, size: Option<u64>, on: &(dyn Fn(Event) + Sync)) -> Result<Option<File>, Error> {
        let Some(entry) = self.open_entry(BLOBS, digest, on)? else { return Ok(None) };
        let checked = match size {
            Some(expected) if expected != entry.len => {
                Err(Fault::Damage(Damage::Length { expected, found: entry.len }))
            }
            _ => Ok(()),
        };
        Ok(entry.settle(checked, on)?.map(|(file, ())| file))
    }

    /// An error about reading a blob that was handed out.
    #[must_use]
    pub fn unreadable_blob(&self, digest: &Digest, source: io::Error) -> Error {
        Error::Read { path: self.blob_path(digest), source }
    }

    /// Reports a blob that was handed out and can't be read, for whoever may have it from elsewhere. It stays until that has come and
    /// takes its place: there may be no other, and the next attempt may read it.
    ///
    /// # Errors
    /// When it is this process that can't read, whatever the blob is like.
    pub fn give_up_blob(&self, digest: &Digest, source: io::Error, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
        if is_ours(&source) {
            return Err(self.unreadable_blob(digest, source));
        }
        on(Event::FoundDamaged { path: self.blob_path(digest), damage: Damage::Unreadable(source) });
        Ok(())
    }

    /// Brings a blob that is there to stable storage: who has put it here may not have done so yet.
    ///
    /// # Errors
    /// When it can't be opened, or be brought there.
    pub fn secure_blob(&self, digest: &Digest) -> Result<(), Error> {
        let (Some(dir), Some(file)) = (self.entry_dir(BLOBS, digest)?, self.blob(digest, None, &|_| {})?) else {
            return Ok(());
        };
        self.later.sync(&dir, digest.hex().into(), file)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path().join(BLOBS).join(digest.algorithm().name()).join(digest.hex())
    }

    /// Removes a blob; none is no error.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_blob(&self, digest: &Digest) -> Result<(), Error> {
        self.remove_entry(BLOBS, digest)
    }

    /// Reads all of a blob, and removes a damaged one only if it is to be repaired; tells how much was read.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn check_blob(&self, digest: &Digest, repair: bool, on: &dyn Fn(u64)) -> Result<Health<()>, Error> {
        let Some(dir) = self.entry_dir(BLOBS, digest)? else { return Ok(Health::Absent) };
        Entry::examine(&dir, &digest.hex(), repair, |entry| {
            let mut hasher = Hasher::new(digest.algorithm());
            let read = copy(&entry.file, |piece| {
                hasher.update(piece);
                on(piece.len() as u64);
                Ok(())
            });
            match read {
                Err(Failed::Read(error)) => return Err(fault(error)),
                Ok(()) | Err(Failed::Write(_)) => {}
            }
            let found = hasher.finish();
            if found == *digest { Ok(()) } else { Err(Fault::Damage(Damage::Digest { found: Box::new(found) })) }
        })
    }

    /// All blobs, in order, with their lengths; none of their bytes is read.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>, Error> {
        let entries = self.entries(BLOBS)?;
        Ok(entries.into_iter().map(|(digest, stat)| (digest, len_bytes(&stat))).collect())
    }

    /// Makes a blob of bytes that should be those of its digest.
    ///
    /// # Errors
    /// When they are not, or when they can't be read or written: then there is no such blob, unless there was one.
    pub fn put_blob(&self, digest: &Digest, bytes: impl Read, on: &(dyn Fn(Event) + Sync)) -> Result<u64, Error> {
        let mut partial = self.partial(digest, on)?;
        partial.restart()?;
        let mut hasher = Hasher::new(digest.algorithm());
        let kept = copy(bytes, |piece| {
            hasher.update(piece);
            partial.append(piece)
        });
        let len = partial.len();
        match kept {
            Ok(()) => {
                let found = hasher.finish();
                if found == *digest {
                    return partial.commit().map(|()| len);
                }
                partial.restart()?;
                Err(Error::Digest { expected: Box::new(*digest), found: Box::new(found) })
            }
            Err(error) => {
                partial.restart()?;
                Err(match error {
                    Failed::Read(source) => Error::Input { digest: Box::new(*digest), source },
                    Failed::Write(error) => error,
                })
            }
        }
    }

    /// Keeps a blob that the caller has checked: a whole file in a [`crate::Scratch`] directory of this store, which is moved.
    ///
    /// # Errors
    /// When it can't be moved or synced.
    pub fn put_blob_file(&self, digest: &Digest, from: &Path) -> Result<(), Error> {
        let file = File::open(from).map_err(|source| Error::Read { path: from.to_owned(), source })?;
        blobs_dir(&self.root)?;
        self.place(BLOBS, digest, from, file)
    }

    /// Makes a blob of bytes whose SHA-256 nobody knows yet; it is pinned before it is there.
    ///
    /// # Errors
    /// When the bytes can't be read or written.
    pub fn add_blob(&self, bytes: impl Read, pin: &Pin<'_>) -> Result<(Digest, u64), Error> {
        let mut draft = self.draft()?;
        let (mut hasher, mut len) = (Hasher::new(Algorithm::Sha256), 0);
        let kept = copy(bytes, |piece| {
            hasher.update(piece);
            len += piece.len() as u64;
            let written = draft.file.write_all(piece);
            written.map_err(|source| Error::Write { path: draft.path.to_owned(), source })
        });
        kept.map_err(|error| match error {
            Failed::Read(source) => Error::NewInput { source },
            Failed::Write(error) => error,
        })?;
        let digest = hasher.finish();
        pin.add([digest])?;
        blobs_dir(&self.root)?;
        self.place(BLOBS, &digest, &draft.path, draft.file)?;
        Ok((digest, len))
    }

    /// The beginning of a blob, as far as there is one, for this process (this thread, in fact) alone; waits for others.
    /// They may have finished the blob meanwhile: [`Store::blob`] tells.
    ///
    /// # Errors
    /// When the file can't be made or locked.
    pub fn partial(&self, digest: &Digest, on: &(dyn Fn(Event) + Sync)) -> Result<Partial, Error> {
        let dir = self.root.subdir(PARTIAL)?;
        let name = OsString::from(format!("{}-{}", digest.algorithm(), digest.hex()));
        let path = dir.join(&name);
        let mut told = false;
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let mode = Mode::from_raw_mode(PRIVATE_FILE);
            let opened = match rustix::fs::openat(&dir.fd, &name, flags | OFlags::CLOEXEC, mode) {
                Ok(file) => kind(&file).map(|kind| (kind, Some(File::from(file)))),
                Err(Errno::LOOP) => Ok((FileType::Symlink, None)),
                Err(Errno::ISDIR) => Ok((FileType::Directory, None)),
                // A socket, or a device without a driver.
                Err(Errno::NXIO | Errno::NODEV) => Ok((FileType::Socket, None)),
                Err(error) => Err(error),
            };
            let opened = opened.map_err(|source| Error::Create { path: path.clone(), source: source.into() })?;
            let (FileType::RegularFile, Some(file)) = opened else {
                // Whatever it is, nobody holds it as a partial blob.
                dir.remove(&name).map_err(|source| Error::Create { path: path.clone(), source })?;
                on(Event::Damaged {
                    path: path.clone(),
                    damage: Damage::Kind { found: describe(opened.0) },
                    kept: None,
                });
                continue;
            };
            crate::lock::wait(&file, || {
                if !told {
                    on(Event::WaitingForBlob { blob: *digest });
                    told = true;
                }
            })
            .map_err(|source| Error::Lock { path: path.clone(), source })?;
            // The holder before us finished the blob or removed the file: nobody else will find this one.
            if dir.names_file(&name, &file) {
                let metadata = file.metadata().map_err(|source| Error::Read { path: path.clone(), source })?;
                let root = self.root.clone();
                let len = metadata.len();
                let later = Arc::clone(&self.later);
                return Ok(Partial { file, len, on_its_way: len, digest: *digest, dir, name, root, later });
            }
        }
    }
}

/// Why bytes can't be passed on.
enum Failed {
    Read(io::Error),
    Write(Error),
}

fn copy(mut from: impl Read, mut to: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Failed> {
    /// How much is read at once.
    const BUFFER: usize = 256 << 10;
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to(&buffer[..count]).map_err(Failed::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failed::Read(error)),
        }
    }
}

/// The directory of blobs, made if there is none.
fn blobs_dir(root: &Dir) -> Result<Dir, Error> {
    // Before the first blob: blobs without it mean that it was lost.
    if !root.exists(BLOBS)? {
        root.subdir(REPOSITORIES)?;
    }
    let blobs = root.subdir(BLOBS)?;
    mark_layout(root)?;
    Ok(blobs)
}

fn mark_layout(root: &Dir) -> Result<(), Error> {
    let path = root.join(OsStr::new(LAYOUT));
    let options = File::options().write(true).create_new(true).mode(PRIVATE_FILE).to_owned();
    match options.open(&path).and_then(|mut file| file.write_all(LAYOUT_TEXT)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.map_err(|source| Error::Write { path, source }),
    }
}

fn kind(file: impl std::os::fd::AsFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
}

/// The beginning of a blob, to which nobody else adds. Dropped, it stays for whoever goes on with it.
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
    later: Arc<Later>,
}

impl Partial {
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
        if self.len >= self.on_its_way + EARLY && self.later.is_wanted() {
            self.write_out_early();
        }
        Ok(())
    }

    /// Has the kernel begin to write out what was added, which it would put off until somebody has to wait for all of it.
    fn write_out_early(&mut self) {
        // To bytes that are not written out yet this advice means just that. What it does to others is no loss: they are not read again.
        let advice = rustix::fs::Advice::DontNeed;
        let _ = rustix::fs::fadvise(&self.file, self.on_its_way, NonZero::new(self.len - self.on_its_way), advice);
        self.on_its_way = self.len;
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
        self.later.sync(&dir, name, file)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.dir.join(&self.name), source }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // While it is locked, so that whoever waits for it sees that it is gone; and never a file of somebody else's.
        if self.len == 0 && self.dir.names_file(&self.name, &self.file) {
            let _ = self.dir.remove(&self.name);
        }
        // The lock goes with the descriptor; said here because a child process may have inherited that.
        let _ = self.file.unlock();
    }
}
