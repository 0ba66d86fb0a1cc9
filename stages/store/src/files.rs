//! The files of a store: entries under their digests, small files under other names, and where all
//! of them are written first.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cvbake_verify::{Algorithm, Digest};
use rustix::fs::Stat;

use crate::dir::Dir;
use crate::entry::Entry;
use crate::error::Error;
use crate::event::Observer;
use crate::scratch::{NewEntry, Scratch};
use crate::sync_queue::SyncQueue;

pub(crate) const INDEXES: &str = "indexes-v1";
pub(crate) const BLOBS: &str = "blobs";
pub(crate) const PACKS: &str = "packs-v1";
pub(crate) const REPOSITORIES: &str = "repositories";
pub(crate) const INDEX_JSON: &str = "index.json";

/// What all parts of a store work with.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) root: Dir,
    /// Where what is written starts, while somebody keeps it.
    scratch: Mutex<Weak<Scratch>>,
    pub(crate) sync_queue: Arc<SyncQueue>,
}

impl Files {
    pub(crate) fn new(root: Dir) -> Files {
        Files { root, scratch: Mutex::default(), sync_queue: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root.path
    }

    /// Opens an entry; a damaged one is removed and counts as absent.
    pub(crate) fn open_entry(&self, kind: &str, digest: &Digest, on: Observer<'_>) -> Result<Option<Entry>, Error> {
        let Some(dir) = self.entry_dir(kind, digest)? else { return Ok(None) };
        Entry::open(dir, digest.hex(), on)
    }

    /// The directory that an entry is in, if there is one.
    pub(crate) fn entry_dir(&self, kind: &str, digest: &Digest) -> Result<Option<Dir>, Error> {
        let Some(dir) = self.root.existing_subdir(kind)? else { return Ok(None) };
        dir.existing_subdir(digest.algorithm().name())
    }

    /// Whether there is something under the name of an entry.
    pub(crate) fn has_entry(&self, kind: &str, digest: &Digest) -> Result<bool, Error> {
        let Some(dir) = self.entry_dir(kind, digest)? else { return Ok(false) };
        Ok(dir.stat(OsStr::new(&digest.hex())).is_ok())
    }

    /// Removes an entry; none is no error.
    pub(crate) fn remove_entry(&self, kind: &str, digest: &Digest) -> Result<(), Error> {
        let Some(dir) = self.entry_dir(kind, digest)? else { return Ok(()) };
        let name = digest.hex();
        dir.remove(OsStr::new(&name)).map_err(|source| Error::Write { path: dir.path.join(&name), source })
    }

    /// All entries of a kind, in order, as far as their names go: what they are is not looked at.
    pub(crate) fn entries(&self, kind: &str) -> Result<Vec<(Digest, Stat)>, Error> {
        let mut entries = Vec::new();
        let Some(dir) = self.root.existing_subdir(kind)? else { return Ok(entries) };
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let Some(dir) = dir.existing_subdir(algorithm.name())? else { continue };
            for name in dir.names()? {
                let digest = std::str::from_utf8(&name).ok().map(|hex| format!("{}:{hex}", algorithm.name()).parse());
                // Removed meanwhile, if it can't be looked at.
                if let (Some(Ok(digest)), Ok(stat)) = (digest, dir.stat(OsStr::from_bytes(&name))) {
                    entries.push((digest, stat));
                }
            }
        }
        entries.sort_by_key(|(digest, _)| *digest);
        Ok(entries)
    }

    /// Gives a whole file the name of an entry.
    pub(crate) fn name_entry(&self, kind: &str, digest: &Digest, from: &Path, file: File) -> Result<(), Error> {
        let dir = self.root.subdir(kind)?.subdir(digest.algorithm().name())?;
        let name = OsString::from(digest.hex());
        dir.take(from, &name)?;
        self.sync_queue.push(&dir, name, file)
    }

    /// Makes a file for what is to be an entry.
    pub(crate) fn new_entry(&self) -> Result<NewEntry, Error> {
        let first = self.first_scratch().upgrade();
        NewEntry::create(first.map_or_else(|| Scratch::create(&self.root).map(Arc::new), Ok)?)
    }

    /// Makes a directory for work in progress. As long as the first one lives, all that is written
    /// starts in it.
    pub(crate) fn new_scratch(&self) -> Result<Arc<Scratch>, Error> {
        let scratch = Arc::new(Scratch::create(&self.root)?);
        let mut first = self.first_scratch();
        if first.strong_count() == 0 {
            *first = Arc::downgrade(&scratch);
        }
        Ok(scratch)
    }

    fn first_scratch(&self) -> std::sync::MutexGuard<'_, Weak<Scratch>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a small file into the store, whole or not at all, in the place of whatever has its
    /// name. `sync` is called when it is written, and before it gets its name.
    pub(crate) fn put_small(
        &self,
        dir: &Dir,
        name: &str,
        bytes: &[u8],
        sync: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<File, Error> {
        let mut new = self.new_entry()?;
        let written = new.file.write_all(bytes).and_then(|()| sync(&new.file));
        written.map_err(|source| Error::Write { path: new.path.to_owned(), source })?;
        dir.take(&new.path, OsStr::new(name))?;
        Ok(new.file)
    }
}
