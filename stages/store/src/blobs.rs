//! Blobs as registries have them.
//!
//! A blob is bare bytes under its own digest, so the file alone tells whether it is right; whoever
//! reads it checks that on the way.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use cvbake_verify::{Algorithm, Digest, Hasher};

use crate::entry::{Entry, Fault, Health, fault, is_ours, len_bytes};
use crate::error::{Damage, Error};
use crate::event::{Event, Observer};
use crate::files::{BLOBS, Files};
use crate::oci_layout::blobs_dir;
use crate::partial::Partial;
use crate::patience::Patience;
use crate::pin::Pin;

/// The blobs of a store.
#[derive(Debug, Clone, Copy)]
pub struct Blobs<'s> {
    files: &'s Files,
}

impl<'s> Blobs<'s> {
    pub(crate) fn new(files: &'s Files) -> Blobs<'s> {
        Blobs { files }
    }

    /// A blob, if there is one, of this size if one is given; one of another size is removed,
    /// reported, and counts as absent. Its bytes are still to be checked: one that turns out to be
    /// damaged goes by [`Blobs::remove`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open(self, digest: &Digest, size: Option<u64>, on: Observer<'_>) -> Result<Option<Blob>, Error> {
        let Some(entry) = self.files.open_entry(BLOBS, digest, on)? else { return Ok(None) };
        let (path, checked) = (entry.path(), check_size(&entry, size.unwrap_or(entry.len)));
        Ok(entry.into_checked(checked, on)?.map(|(file, ())| Blob { file, path }))
    }

    /// Inspects a blob, which should have a size: whole means that it has. Its bytes are still to
    /// be checked. Nothing is changed.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn inspect(self, digest: &Digest, size: u64) -> Result<Health<Blob>, Error> {
        let Some(dir) = self.files.entry_dir(BLOBS, digest)? else { return Ok(Health::Absent) };
        Entry::inspect(&dir, &digest.hex(), false, |entry| {
            check_size(entry, size)?;
            Ok(Blob { file: entry.file.try_clone().map_err(fault)?, path: entry.path() })
        })
    }

    /// Reads all of a blob, and removes a damaged one only if it is to be repaired; tells how much
    /// was read.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn check(self, digest: &Digest, repair: bool, on: &dyn Fn(u64)) -> Result<Health<()>, Error> {
        let Some(dir) = self.files.entry_dir(BLOBS, digest)? else { return Ok(Health::Absent) };
        Entry::inspect(&dir, &digest.hex(), repair, |entry| {
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
    pub fn list(self) -> Result<Vec<(Digest, u64)>, Error> {
        let entries = self.files.entries(BLOBS)?;
        Ok(entries.into_iter().map(|(digest, stat)| (digest, len_bytes(&stat))).collect())
    }

    /// Makes a blob of bytes that should be those of its digest.
    ///
    /// # Errors
    /// When they are not, or when they can't be read or written: then there is no such blob, unless
    /// there was one.
    pub fn put(self, digest: &Digest, bytes: impl Read, on: Observer<'_>) -> Result<u64, Error> {
        let mut partial = self.partial(digest, Patience::new(None), on)?;
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

    /// Keeps a blob that the caller has checked: a whole file in a [`crate::Scratch`] directory of
    /// this store, which is moved.
    ///
    /// # Errors
    /// When it can't be moved or synced.
    pub fn put_file(self, digest: &Digest, from: &Path) -> Result<(), Error> {
        let file = File::open(from).map_err(|source| Error::Read { path: from.to_owned(), source })?;
        blobs_dir(&self.files.root)?;
        self.files.name_entry(BLOBS, digest, from, file)
    }

    /// Makes a blob of bytes whose SHA-256 nobody knows yet; it is pinned before it is there.
    ///
    /// # Errors
    /// When the bytes can't be read or written.
    pub fn add(self, bytes: impl Read, pin: &Pin<'_>) -> Result<(Digest, u64), Error> {
        let mut new = self.files.new_entry()?;
        let (mut hasher, mut len) = (Hasher::new(Algorithm::Sha256), 0);
        let kept = copy(bytes, |piece| {
            hasher.update(piece);
            len += piece.len() as u64;
            let written = new.file.write_all(piece);
            written.map_err(|source| Error::Write { path: new.path.to_owned(), source })
        });
        kept.map_err(|error| match error {
            Failed::Read(source) => Error::NewInput { source },
            Failed::Write(error) => error,
        })?;
        let digest = hasher.finish();
        pin.add([digest])?;
        blobs_dir(&self.files.root)?;
        self.files.name_entry(BLOBS, &digest, &new.path, new.file)?;
        Ok((digest, len))
    }

    /// The beginning of a blob, as far as there is one, for this process (this thread, in fact)
    /// alone; waits for others, as long as it is worth while. They may have finished the blob
    /// meanwhile: [`Blobs::open`] tells.
    ///
    /// # Errors
    /// When the file can't be made or locked.
    pub fn partial(self, digest: &Digest, patience: Patience, on: Observer<'_>) -> Result<Partial, Error> {
        Partial::open(self.files, digest, patience, on)
    }

    /// Brings a blob that is there to stable storage: who has put it here may not have done so yet.
    ///
    /// # Errors
    /// When it can't be opened, or be brought there.
    pub fn flush(self, digest: &Digest) -> Result<(), Error> {
        let Some(dir) = self.files.entry_dir(BLOBS, digest)? else { return Ok(()) };
        let Some(blob) = self.open(digest, None, &|_| {})? else { return Ok(()) };
        self.files.sync_queue.push(&dir, digest.hex().into(), blob.file)
    }

    /// Removes a blob; none is no error.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove(self, digest: &Digest) -> Result<(), Error> {
        self.files.remove_entry(BLOBS, digest)
    }
}

/// A blob of the store, open for reading. An error about reading it says which it is, and that it
/// is the store's.
#[derive(Debug)]
pub struct Blob {
    file: File,
    path: PathBuf,
}

impl Blob {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file; an error about reading it does not say which it is.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }

    /// An error about reading the file.
    #[must_use]
    pub fn unreadable(&self, source: io::Error) -> Error {
        Error::Read { path: self.path.clone(), source }
    }

    /// Reports that the file can't be read, for whoever may have the blob from elsewhere. It stays
    /// until that has come and takes its place: there may be no other, and the next attempt may
    /// read it.
    ///
    /// # Errors
    /// When it is this process that can't read, whatever the blob is like.
    pub fn give_up(self, source: io::Error, on: Observer<'_>) -> Result<(), Error> {
        if is_ours(&source) {
            return Err(self.unreadable(source));
        }
        on(Event::FoundDamaged { path: self.path, damage: Damage::Unreadable(source) });
        Ok(())
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::Interrupted => source,
            _ => io::Error::other(self.unreadable(source)),
        })
    }
}

fn check_size(entry: &Entry, expected: u64) -> Result<(), Fault> {
    match entry.len {
        found if found == expected => Ok(()),
        found => Err(Fault::Damage(Damage::Length { expected, found })),
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
