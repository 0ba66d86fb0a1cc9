//! Files that are opened without surprises and read from any place by several readers at once.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::Error;

/// Opens a regular file; a symbolic link to one will do. Anything else is an error and never a
/// wait.
pub(crate) fn open_regular(path: &Path) -> Result<File, Error> {
    open_regular_in(CWD, path.as_os_str(), path, OFlags::empty())
}

/// Opens a regular file in an open directory; a link to one is an error, too. `path` is what errors
/// call it.
pub(crate) fn open_regular_at(dir: impl AsFd, name: &OsStr, path: &Path) -> Result<File, Error> {
    open_regular_in(dir, name, path, OFlags::NOFOLLOW)
}

fn open_regular_in(dir: impl AsFd, name: &OsStr, path: &Path, follow: OFlags) -> Result<File, Error> {
    let look = if follow.contains(OFlags::NOFOLLOW) { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
    let check = |stat: Stat| match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        kind => Err(Error::Kind { path: path.to_owned(), expected: "a regular file", found: describe(kind) }),
    };
    let error = |errno| open_error(path, errno);
    // Opening a device can do things; so it is looked at before as well as after.
    check(rustix::fs::statat(&dir, name, look).map_err(error)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | follow;
    let file = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(error)?;
    check(rustix::fs::fstat(&file).map_err(error)?)?;
    Ok(file.into())
}

/// Opens a directory in an open directory, if there is one; a link to one is an error. `path` is
/// what errors call it.
pub(crate) fn open_dir_at(dir: impl AsFd, name: &OsStr, path: &Path) -> Result<Option<OwnedFd>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let kind = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW);
            let found = describe(kind.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)));
            Err(Error::Kind { path: path.to_owned(), expected: "a directory", found })
        }
        Err(errno) => Err(open_error(path, errno)),
    }
}

/// Opens anything that bytes come from: a file, or a pipe or device that gives them once.
pub(crate) fn open_stream(path: &Path) -> Result<(File, FileType), Error> {
    let error = |errno| open_error(path, errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(error)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file).map_err(error)?.st_mode) {
        kind @ FileType::Directory => {
            Err(Error::Kind { path: path.to_owned(), expected: "a file", found: describe(kind) })
        }
        kind => Ok((file.into(), kind)),
    }
}

fn open_error(path: &Path, errno: Errno) -> Error {
    Error::Open { path: path.to_owned(), source: errno.into() }
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        FileType::Unknown => "something else",
    }
}

/// A part of a file, read with positioned reads: any number of them work on one open file at once.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    file: Arc<File>,
    /// What errors call it.
    place: Arc<str>,
    position: u64,
    end: u64,
}

impl Part {
    pub(crate) fn new(file: Arc<File>, place: Arc<str>, offset: u64, len: u64) -> Part {
        Part { file, place, position: offset, end: offset.saturating_add(len) }
    }

    /// The whole of a regular file.
    pub(crate) fn whole(file: File, place: &str) -> Result<Part, Error> {
        let metadata = file.metadata().map_err(|source| Error::Read { place: place.to_owned(), source })?;
        Ok(Part::new(Arc::new(file), place.into(), 0, metadata.len()))
    }

    pub(crate) fn len(&self) -> u64 {
        self.end - self.position
    }

    fn error(&self, source: io::Error) -> io::Error {
        Error::Read { place: self.place.to_string(), source }.into_io()
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.len()).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        match self.file.read_at(&mut buffer[..wanted], self.position) {
            // Somebody cuts the file while it is read: never a shorter content.
            Ok(0) => Err(self.error(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.position += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.error(error)),
        }
    }
}

/// A stream whose errors say what was read.
pub(crate) struct Stream<R> {
    pub(crate) inner: R,
    pub(crate) place: Arc<str>,
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::Interrupted => source,
            _ => Error::Read { place: self.place.to_string(), source }.into_io(),
        })
    }
}
