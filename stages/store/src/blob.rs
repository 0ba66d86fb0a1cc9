//! Blobs as registries have them, and those that are still arriving.
//!
//! A blob is bare bytes under its own digest, so the file alone tells whether it is right; whoever reads it checks that on
//! the way. A partial one is the beginning of a blob: it stays when its process is killed, and the next one goes on.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use cvbake_verify::Digest;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::dir::{Dir, PRIVATE_FILE};
use crate::entry::{Fault, describe};
use crate::{BLOBS, Damage, Error, Event, Store};

const PARTIAL: &str = "partial";

/// The file by which other programs know the directory as one with blobs in it.
const LAYOUT: &str = "oci-layout";
const LAYOUT_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

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

    /// Removes a blob; none is no error.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_blob(&self, digest: &Digest) -> Result<(), Error> {
        let Some(dir) = self.root.existing_subdir(BLOBS)? else { return Ok(()) };
        let Some(dir) = dir.existing_subdir(digest.algorithm().name())? else { return Ok(()) };
        let name = OsString::from(digest.hex());
        dir.remove(&name).map_err(|source| Error::Write { path: dir.join(&name), source })
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
            lock(&file, || {
                if !told {
                    on(Event::WaitingForBlob { blob: *digest });
                    told = true;
                }
            })
            .map_err(|source| Error::Lock { path: path.clone(), source })?;
            // The holder before us finished the blob or removed the file: nobody else will find this one.
            if dir.names_file(&name, &file) {
                let metadata = file.metadata().map_err(|source| Error::Read { path: path.clone(), source })?;
                let root = self.root.try_clone()?;
                return Ok(Partial { file, len: metadata.len(), digest: *digest, dir, name, root });
            }
        }
    }
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

fn lock(file: &File, waiting: impl FnOnce()) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => waiting(),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

/// The beginning of a blob, to which nobody else adds. Dropped, it stays for whoever goes on with it.
#[derive(Debug)]
pub struct Partial {
    file: File,
    len: u64,
    digest: Digest,
    dir: Dir,
    name: OsString,
    root: Dir,
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
        Ok(())
    }

    /// Throws away what is there.
    ///
    /// # Errors
    /// When the file can't be cut.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|error| self.failed(error))?;
        self.len = 0;
        Ok(())
    }

    /// Keeps the file as the blob that it is by now, which the caller has checked.
    ///
    /// # Errors
    /// When it can't be synced or moved.
    pub fn commit(self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| self.failed(error))?;
        let blobs = self.root.subdir(BLOBS)?;
        mark_layout(&self.root)?;
        let dir = blobs.subdir(self.digest.algorithm().name())?;
        dir.take(&self.dir, &self.name, OsStr::new(&self.digest.hex()))?;
        dir.sync()
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
