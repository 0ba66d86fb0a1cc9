//! Files that are opened without surprises and read from any place by several readers at once.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::Error;

/// Opens a regular file; a symbolic link to one will do. Anything else is an error and never a wait.
pub(crate) fn open_regular(path: &Path) -> Result<File, Error> {
    let (file, kind) = open(path, OFlags::NONBLOCK)?;
    if kind.is_file() {
        return Ok(file);
    }
    Err(Error::Kind { path: path.to_owned(), expected: "a regular file", found: describe(kind) })
}

/// Opens anything that bytes come from: a file, or a pipe or device that gives them once.
pub(crate) fn open_stream(path: &Path) -> Result<(File, FileType), Error> {
    let (file, kind) = open(path, OFlags::empty())?;
    if kind.is_dir() {
        return Err(Error::Kind { path: path.to_owned(), expected: "a file", found: describe(kind) });
    }
    Ok((file, kind))
}

fn open(path: &Path, flags: OFlags) -> Result<(File, FileType), Error> {
    let error = |source: io::Error| Error::Open { path: path.to_owned(), source };
    if flags.contains(OFlags::NONBLOCK) {
        // Opening a device can do things; so it is looked at before as well as after.
        let kind = std::fs::metadata(path).map_err(error)?.file_type();
        if !kind.is_file() {
            return Err(Error::Kind { path: path.to_owned(), expected: "a regular file", found: describe(kind) });
        }
    }
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| error(errno.into()))?);
    let kind = file.metadata().map_err(error)?.file_type();
    Ok((file, kind))
}

fn describe(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "something else"
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
