//! Opening, removing and naming an entry.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cvbake_verify::{Algorithm, Digest};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::{Damage, Error, Event, Store};

/// An entry that was opened, and what it takes to remove it.
pub(crate) struct Entry {
    pub(crate) file: File,
    pub(crate) len: u64,
    dir: Dir,
    name: String,
}

/// What is wrong with an entry, or with our reading of it.
pub(crate) enum Fault {
    Damage(Damage),
    /// No fault of the entry: too many open files, no memory.
    Error(io::Error),
}

impl Store {
    /// Opens an entry; a damaged one is removed and counts as absent.
    pub(crate) fn open_entry(
        &self,
        kind: &str,
        digest: &Digest,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<Entry>, Error> {
        let Some(dir) = self.root.existing_subdir(kind)? else { return Ok(None) };
        let Some(dir) = dir.existing_subdir(digest.algorithm().name())? else { return Ok(None) };
        Entry::open(dir, digest.hex(), on)
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

    /// Syncs a file and gives it the name of an entry.
    pub(crate) fn place(&self, kind: &str, digest: &Digest, from: &Path, file: &File) -> Result<(), Error> {
        file.sync_all().map_err(|source| Error::Write { path: from.to_owned(), source })?;
        let dir = self.root.subdir(kind)?.subdir(digest.algorithm().name())?;
        let name = digest.hex();
        let rename = || rustix::fs::renameat(rustix::fs::CWD, from, &dir.fd, &name);
        let renamed = dir.replace(OsStr::new(&name), &rename);
        renamed.map_err(|source| Error::Rename {
            from: from.to_owned(),
            to: dir.path.join(&name),
            source: source.into(),
        })?;
        dir.sync()
    }
}

impl Entry {
    /// Opens a file in a directory of the store; a damaged one is removed and counts as absent.
    pub(crate) fn open(dir: Dir, name: String, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Entry>, Error> {
        match open(&dir, OsStr::new(&name)) {
            Ok(None) => Ok(None),
            Ok(Some((file, len))) => Ok(Some(Entry { file, len, dir, name })),
            Err(Fault::Damage(damage)) => {
                let kept = dir.remove(OsStr::new(&name)).err();
                on(Event::Damaged { path: dir.path.join(&name), damage, kept });
                Ok(None)
            }
            Err(Fault::Error(source)) => Err(Error::Read { path: dir.path.join(&name), source }),
        }
    }

    /// Passes on what a check of the entry returned; a damaged entry is removed.
    pub(crate) fn settle<T>(
        self,
        checked: Result<T, Fault>,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<(File, T)>, Error> {
        let path = self.dir.path.join(&self.name);
        match checked {
            Ok(value) => Ok(Some((self.file, value))),
            Err(Fault::Error(source)) => Err(Error::Read { path, source }),
            Err(Fault::Damage(damage)) => {
                // Another process may have put a good one there by now.
                let name = OsStr::new(&self.name);
                let kept = if self.dir.names_file(name, &self.file) { self.dir.remove(name).err() } else { None };
                on(Event::Damaged { path, damage, kept });
                Ok(None)
            }
        }
    }
}

pub(crate) fn len_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn open(dir: &Dir, name: &OsStr) -> Result<Option<(File, u64)>, Fault> {
    // Looked at first: opening a device may do things.
    match dir.stat(name) {
        Ok(stat) => check_kind(FileType::from_raw_mode(stat.st_mode))?,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(fault(error.into())),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&dir.fd, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Fault::Damage(Damage::Kind { found: describe(FileType::Symlink) })),
        Err(error) => return Err(fault(error.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| fault(error.into()))?;
    check_kind(FileType::from_raw_mode(stat.st_mode))?;
    Ok(Some((file, len_bytes(&stat))))
}

fn check_kind(kind: FileType) -> Result<(), Fault> {
    if kind == FileType::RegularFile { Ok(()) } else { Err(Fault::Damage(Damage::Kind { found: describe(kind) })) }
}

pub(crate) fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a directory",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        FileType::RegularFile | FileType::Unknown => "something unknown",
    }
}

/// Whose fault it is that an entry can't be read: the medium's (another copy may be readable) or this process's.
pub(crate) fn fault(error: io::Error) -> Fault {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR) => Fault::Error(error),
        _ => Fault::Damage(Damage::Unreadable(error)),
    }
}
