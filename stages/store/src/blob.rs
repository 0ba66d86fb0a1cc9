//! Blobs as registries have them.
//!
//! A blob is bare bytes under its own digest, so the file alone tells whether it is right; whoever
//! reads it checks that on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cvbake_verify::{Algorithm, Digest, Hasher};

use crate::dir::{Dir, PRIVATE_FILE};
use crate::entry::{Entry, Fault, fault, is_ours, len_bytes};
use crate::reference::REPOSITORIES;
use crate::{BLOBS, Damage, Error, Event, Health, Patience, Pin, Store};

/// The file by which other programs know the directory as one with blobs in it.
const LAYOUT: &str = "oci-layout";
const LAYOUT_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Store {
    /// A blob, open for reading, if there is one, of this size if one is given. Its bytes are still
    /// to be checked: one that turns out to be damaged goes by [`Store::remove_blob`].
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

    /// Reports a blob that was handed out and can't be read, for whoever may have it from
    /// elsewhere. It stays until that has come and takes its place: there may be no other, and the
    /// next attempt may read it.
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

    /// Reads all of a blob, and removes a damaged one only if it is to be repaired; tells how much
    /// was read.
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
    /// When they are not, or when they can't be read or written: then there is no such blob, unless
    /// there was one.
    pub fn put_blob(&self, digest: &Digest, bytes: impl Read, on: &(dyn Fn(Event) + Sync)) -> Result<u64, Error> {
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
pub(crate) fn blobs_dir(root: &Dir) -> Result<Dir, Error> {
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
