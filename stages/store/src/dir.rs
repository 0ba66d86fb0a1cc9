//! Directories of the store, opened once and used by descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::Error;

#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) fd: Arc<OwnedFd>,
    /// Absolute: for messages, and for what is done by path in a private directory.
    pub(crate) path: PathBuf,
}

/// Only for the owner.
const PRIVATE: Mode = Mode::RWXU;

/// The mode of files, whatever the umask; nobody else gets to them anyway, but they may be copied
/// elsewhere.
pub(crate) const PRIVATE_FILE: u32 = 0o600;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Missing parents of a store are nobody's secret, but nobody else may put another store in its
/// place.
const PARENT_MODE: u32 = 0o755;

impl Dir {
    /// Opens the store's directory, or makes it.
    pub(crate) fn open_root(path: &Path) -> Result<Dir, Error> {
        let path = std::path::absolute(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let stat = match rustix::fs::stat(&path) {
            Err(Errno::NOENT) => {
                let create = |source| Error::Create { path: path.clone(), source };
                let parents = path.parent().unwrap_or(&path);
                std::fs::DirBuilder::new().recursive(true).mode(PARENT_MODE).create(parents).map_err(create)?;
                make_private(rustix::fs::CWD, path.as_os_str()).map_err(|source| create(source.into()))?;
                rustix::fs::stat(&path)
            }
            stat => stat,
        };
        Dir::open_checked(path, stat)
    }

    /// Opens the store's directory, if there is one.
    pub(crate) fn open_existing_root(path: &Path) -> Result<Option<Dir>, Error> {
        let path = std::path::absolute(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        match rustix::fs::stat(&path) {
            Err(Errno::NOENT) => Ok(None),
            stat => Dir::open_checked(path, stat).map(Some),
        }
    }

    fn open_checked(path: PathBuf, stat: Result<Stat, Errno>) -> Result<Dir, Error> {
        let read = |source: Errno| Error::Read { path: path.clone(), source: source.into() };
        check_owner(&path, &stat.map_err(read)?)?;
        let fd = rustix::fs::open(&path, OPEN, Mode::empty()).map_err(read)?;
        // The first look made for better messages; this one counts.
        check_owner(&path, &rustix::fs::fstat(&fd).map_err(read)?)?;
        Ok(Dir { fd: Arc::new(fd), path })
    }

    /// Refuses a directory that has anything in it but what tells a store from other directories:
    /// it is somebody's, by a slip of the keyboard perhaps.
    pub(crate) fn check_unused(&self, mark: &str) -> Result<(), Error> {
        let names = self.names()?;
        // Another process may just have been faster, and have made it a store.
        if names.iter().any(|name| name == mark.as_bytes()) {
            return Ok(());
        }
        // A filesystem of its own for the store has this directory.
        match names.iter().find(|name| &name[..] != b"lost+found") {
            None => Ok(()),
            Some(name) => {
                let name = String::from_utf8_lossy(name).into_owned();
                Err(Error::NotAStore { path: self.path.clone(), name })
            }
        }
    }

    /// The names in the directory, but `.` and `..`.
    pub(crate) fn names(&self) -> Result<Vec<Vec<u8>>, Error> {
        let read = |source: Errno| self.error_read(source);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    pub(crate) fn exists(&self, name: &str) -> Result<bool, Error> {
        match self.stat(OsStr::new(name)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(source) => Err(Error::Read { path: self.path.join(name), source: source.into() }),
        }
    }

    pub(crate) fn stat(&self, name: &OsStr) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Whether `name` is a name of `file`.
    pub(crate) fn names_file(&self, name: &OsStr, file: &File) -> bool {
        cvbake_durable::is_name_of(&self.fd, name, file)
    }

    /// A directory in this one, made if there is none.
    pub(crate) fn subdir(&self, name: &str) -> Result<Dir, Error> {
        if let Some(dir) = self.existing_subdir(name)? {
            return Ok(dir);
        }
        let path = self.path.join(name);
        make_private(&self.fd, OsStr::new(name)).map_err(|source| Error::Create { path, source: source.into() })?;
        self.existing_subdir(name)?.ok_or_else(|| self.error_read(Errno::NOENT))
    }

    /// A directory in this one.
    pub(crate) fn existing_subdir(&self, name: &str) -> Result<Option<Dir>, Error> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.fd, name, OPEN | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Dir { fd: Arc::new(fd), path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let kind = self.kind(OsStr::new(name)).unwrap_or(FileType::Unknown);
                Err(Error::Misplaced { path, found: describe(kind), expected: "a directory" })
            }
            Err(source) => Err(Error::Read { path, source: source.into() }),
        }
    }

    /// Removes whatever has this name, with all that is in it, without following anything.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) if self.is_dir(name) => cvbake_durable::remove_dir(&self.fd, name),
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_dir(&self, name: &OsStr) -> bool {
        self.kind(name) == Some(FileType::Directory)
    }

    fn kind(&self, name: &OsStr) -> Option<FileType> {
        self.stat(name).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Opens a file that is there to be locked, made if there is none.
    pub(crate) fn open_lock(&self, name: &OsStr) -> Result<File, Error> {
        let misplaced =
            |kind| Error::Misplaced { path: self.join(name), found: describe(kind), expected: "a lock file" };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => File::from(file),
            Err(source) => {
                return Err(match self.kind(name) {
                    Some(kind) if kind != FileType::RegularFile => misplaced(kind),
                    _ => Error::Create { path: self.join(name), source: source.into() },
                });
            }
        };
        let stat =
            rustix::fs::fstat(&file).map_err(|source| Error::Read { path: self.join(name), source: source.into() })?;
        // Pipes can be opened and locked as well.
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file),
            kind => Err(misplaced(kind)),
        }
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        cvbake_durable::sync_dir(&self.fd).map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    /// Moves something here from a directory of the store, in the place of whatever has the name.
    pub(crate) fn take(&self, from: &Path, to: &OsStr) -> Result<(), Error> {
        let rename = || rustix::fs::renameat(rustix::fs::CWD, from, &self.fd, to);
        let renamed = match rename() {
            // Whatever is there is no entry.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                let _ = self.remove(to);
                rename()
            }
            renamed => renamed,
        };
        renamed.map_err(|source| Error::Rename { from: from.to_owned(), to: self.join(to), source: source.into() })
    }

    pub(crate) fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    fn error_read(&self, source: Errno) -> Error {
        Error::Read { path: self.path.clone(), source: source.into() }
    }
}

/// What a file is, with its article.
pub(crate) fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a directory",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        FileType::RegularFile => "a regular file",
        FileType::Unknown => "something unknown",
    }
}

fn check_owner(path: &Path, stat: &Stat) -> Result<(), Error> {
    let path = || path.to_owned();
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::NotADirectory { path: path() });
    }
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(Error::Foreign { path: path(), owner: stat.st_uid, user });
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return Err(Error::Writable { path: path(), mode: mode.bits() & 0o7777 });
    }
    Ok(())
}

/// Makes a directory for the owner only, whatever the umask; it is no error if there is one.
fn make_private(parent: impl std::os::fd::AsFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::mkdirat(&parent, name, PRIVATE) {
        // A umask can only have taken bits away, even the owner's.
        Ok(()) => rustix::fs::chmodat(&parent, name, PRIVATE, AtFlags::empty()),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}
