//! An image into a directory in the OCI image layout, beside the images that are there.
//!
//! The directory may be one that others write to as well. So it is opened once, all below it is
//! looked up there without following links, and what is read of it is a regular file with a limit.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_durable::{PrivateDir, Temporary, random_name, sync_dir, system};
use cvbake_verify::{Blobs, Digest, Hasher, json};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::archive::Counted;
use super::{Contents, blob_error, blob_path, index, open};
use crate::Error;
use crate::file::{open_dir_at, open_regular_at};

/// The names of directories in the layout's own in which blobs wait until all are there, so that
/// they only have to be renamed. Only the holder of the layout's lock has one.
const STAGING: (&[u8], &[u8]) = (b".cvbake-", b".tmp");

/// The mode of new directories, as far as the umask allows.
const DIRECTORY: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);

/// The mode of new files, as far as the umask allows.
const FILE: Mode = Mode::from_raw_mode(0o666);

/// A directory that images are exported to.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    dir: Arc<OwnedFd>,
    /// The directory, if it was made for this: it goes again if nothing comes into it.
    made: Option<Arc<Temporary>>,
}

impl Layout {
    /// Opens or makes a directory, and waits for nobody.
    ///
    /// # Errors
    /// When it is something else, or can't be made.
    pub fn open(path: &Path) -> Result<Layout, Error> {
        let failed = |errno: Errno| write_error(path, errno.into());
        let new = match rustix::fs::mkdir(path, DIRECTORY) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(failed(errno)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(dir) => Arc::new(dir),
            Err(Errno::NOTDIR) => return Err(not_a_layout(path, "not a directory")),
            Err(errno) => return Err(failed(errno)),
        };
        let made = new.then(|| temporary(path, &dir)).transpose().map_err(|source| write_error(path, source))?;
        Ok(Layout { path: path.to_owned(), dir, made: made.map(Arc::new) })
    }

    /// What goes again if the work is interrupted.
    #[must_use]
    pub fn temporary(&self) -> Option<&Arc<Temporary>> {
        self.made.as_ref()
    }

    /// Waits for others who export into the directory; `waiting` is told before.
    ///
    /// # Errors
    /// When it is something else than an image layout or an empty directory.
    pub fn lock(self, waiting: impl FnOnce()) -> Result<LockedLayout, Error> {
        let failed = |source| write_error(&self.path, source);
        let lock = self.dir.try_clone().map(File::from).map_err(failed)?;
        match lock.try_lock() {
            // A filesystem without locks has no others to wait for.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                lock.lock().map_err(failed)?;
            }
        }
        let locked = LockedLayout { layout: self, _lock: lock };
        locked.check()?;
        Ok(locked)
    }
}

/// A directory that is an image layout, or empty, and ours for the moment.
#[derive(Debug)]
pub struct LockedLayout {
    layout: Layout,
    _lock: File,
}

impl LockedLayout {
    /// Checks what is there, and removes what killed processes have left.
    fn check(&self) -> Result<(), Error> {
        let Layout { path, dir, .. } = &self.layout;
        let read = |errno: Errno| Error::Read { place: path.display().to_string(), source: errno.into() };
        let mut others = false;
        for entry in rustix::fs::Dir::read_from(dir).map_err(read)? {
            let entry = entry.map_err(read)?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                // What can't be removed is only in the way.
                name if is_staging(name) => drop(PrivateDir::remove_stale(dir, OsStr::from_bytes(name))),
                _ => others = true,
            }
        }
        match open_regular_at(dir, OsStr::new(index::MARKER.0), &path.join(index::MARKER.0)) {
            Ok(_) => {}
            Err(Error::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if others {
                    return Err(not_a_layout(path, "oci-layout is missing, and there are other files"));
                }
            }
            Err(error) => return Err(error),
        }
        // Read again in the end: others may add to it who know nothing of locks.
        match self.layout.read_index()? {
            Some(old) => index::check(&path.display().to_string(), &old),
            None => Ok(()),
        }
    }

    /// Begins to add an image.
    ///
    /// # Errors
    /// When nothing can be made in the directory.
    pub fn writer(self) -> Result<LayoutWriter, Error> {
        let failed = |source| write_error(&self.layout.path, source);
        let name = random_name(STAGING.0, STAGING.1).map_err(failed)?;
        let staging = PrivateDir::create(&self.layout.dir, &name).map_err(failed)?;
        Ok(LayoutWriter { staging, staged: Vec::new(), locked: self })
    }
}

/// An image layout to which an image is being added; what was added goes again unless it is
/// committed.
#[derive(Debug)]
pub struct LayoutWriter {
    // Before the directory that it is in.
    staging: PrivateDir,
    /// Blobs that are in it.
    staged: Vec<Digest>,
    locked: LockedLayout,
}

impl LayoutWriter {
    /// What must not be left behind if the work is interrupted.
    #[must_use]
    pub fn temporary(&self) -> &Arc<Temporary> {
        self.staging.temporary()
    }

    /// Writes the documents and the blobs of an image, as far as they are not there. `on` is told
    /// how many more bytes are.
    ///
    /// # Errors
    /// When a blob is missing or wrong, or can't be written.
    pub fn write(&mut self, contents: &Contents, blobs: &dyn Blobs, on: &dyn Fn(u64)) -> Result<(), Error> {
        for (digest, bytes) in &contents.documents {
            if !self.is_there(digest, bytes.len() as u64)? {
                self.stage(*digest, |mut file| file.write_all(bytes))?;
            }
            on(bytes.len() as u64);
        }
        for blob in &contents.blobs {
            if self.is_there(&blob.digest, blob.size)? {
                on(blob.size);
                continue;
            }
            let mut reader = Counted::new(open(blobs, blob)?, on);
            let staged = self.stage(blob.digest, |mut file| {
                let mut buffer = vec![0; 256 << 10];
                copy(&mut reader, &mut file, &mut buffer)
            });
            match reader.failed {
                Some(source) => return Err(blob_error(blob.digest, source)),
                None => staged?,
            }
        }
        Ok(())
    }

    /// Gives everything its place, the index last.
    ///
    /// # Errors
    /// When the index that is there is broken, or something can't be written.
    pub fn commit(mut self, contents: &Contents, tag: Option<&str>) -> Result<(), Error> {
        let place = self.layout().path.display().to_string();
        let new = match self.layout().read_index()? {
            Some(old) => index::added(&place, &old, &contents.top, tag)?,
            None => index::for_one(&contents.top, tag),
        };
        for (name, bytes) in [(index::INDEX, &new[..]), index::MARKER] {
            self.write_file(name, |mut file| file.write_all(bytes))?;
        }
        for digest in std::mem::take(&mut self.staged) {
            let dir = self.layout().make_blobs(&digest)?;
            self.rename(&digest.to_string(), &dir, &blob_path(&digest))?;
            self.sync(&dir)?;
        }
        for name in [index::MARKER.0, index::INDEX] {
            self.rename(name, &self.layout().dir, name)?;
        }
        self.staging.remove();
        self.sync(&*self.layout().dir)
    }

    fn layout(&self) -> &Layout {
        &self.locked.layout
    }

    fn stage(&mut self, digest: Digest, write: impl FnOnce(&File) -> io::Result<()>) -> Result<(), Error> {
        self.write_file(&digest.to_string(), write)?;
        self.staged.push(digest);
        Ok(())
    }

    /// Writes a file beside the others that wait.
    fn write_file(&self, name: &str, write: impl FnOnce(&File) -> io::Result<()>) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.staging, name, flags, FILE).map(File::from);
        let written = file.map_err(io::Error::from).and_then(|file| write(&file).and_then(|()| file.sync_all()));
        written.map_err(|source| self.failed(name, source))
    }

    /// Moves a file from those that wait to its place in the layout.
    fn rename(&self, from: &str, dir: impl AsFd, to: &str) -> Result<(), Error> {
        let name = to.rsplit('/').next().unwrap_or(to);
        rustix::fs::renameat(&self.staging, from, dir, name).map_err(|errno| self.failed(to, errno.into()))
    }

    /// Whether a blob is there, and right.
    fn is_there(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let Some(dir) = self.layout().blobs(digest)? else { return Ok(false) };
        let Ok(mut file) = open_regular_at(dir, OsStr::new(&digest.hex()), Path::new("")) else { return Ok(false) };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        let is_right = file.metadata().is_ok_and(|metadata| metadata.len() == size)
            && each_piece(&mut file, &mut buffer, &mut |piece| {
                hasher.update(piece);
                Ok(())
            })
            .is_ok();
        Ok(is_right && hasher.finish() == *digest)
    }

    fn sync(&self, dir: impl AsFd) -> Result<(), Error> {
        sync_dir(dir).map_err(|source| write_error(&self.layout().path, source))
    }

    fn failed(&self, name: &str, source: io::Error) -> Error {
        write_error(&self.layout().path.join(name), source)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // Goes only if nothing has come into it; there is nobody left to tell.
        let _ = self.made.as_ref().map(|made| made.remove());
    }
}

impl Layout {
    /// The index that is there, if there is one.
    fn read_index(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(index::INDEX);
        let file = match open_regular_at(&*self.dir, OsStr::new(index::INDEX), &path) {
            Err(Error::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let document = |source| Error::Document { place: self.path.display().to_string(), source: Box::new(source) };
        json::read(index::INDEX, file).map(Some).map_err(document)
    }

    /// The directory that a blob is in, if there is one.
    fn blobs(&self, digest: &Digest) -> Result<Option<OwnedFd>, Error> {
        let algorithm = digest.algorithm().to_string();
        let path = self.path.join("blobs");
        let Some(blobs) = open_dir_at(&*self.dir, OsStr::new("blobs"), &path)? else { return Ok(None) };
        open_dir_at(blobs, OsStr::new(&algorithm), &path.join(&algorithm))
    }

    /// The directory that a blob belongs in.
    fn make_blobs(&self, digest: &Digest) -> Result<OwnedFd, Error> {
        let blobs = self.path.join("blobs");
        let top = make_dir_at(&*self.dir, "blobs", &blobs)?;
        let algorithm = digest.algorithm().to_string();
        make_dir_at(top, &algorithm, &blobs.join(&algorithm))
    }
}

/// Opens a directory, made if there is none.
fn make_dir_at(dir: impl AsFd, name: &str, path: &Path) -> Result<OwnedFd, Error> {
    match rustix::fs::mkdirat(&dir, name, DIRECTORY) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(write_error(path, errno.into())),
    }
    open_dir_at(dir, OsStr::new(name), path)?.ok_or_else(|| write_error(path, io::ErrorKind::NotFound.into()))
}

/// What a new directory is for whoever handles a signal.
fn temporary(path: &Path, dir: &Arc<OwnedFd>) -> io::Result<Temporary> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Temporary::shared(Arc::new(system::open_for_lookup(parent)?), name, dir)
}

fn is_staging(name: &[u8]) -> bool {
    name.len() > STAGING.0.len() + STAGING.1.len() && name.starts_with(STAGING.0) && name.ends_with(STAGING.1)
}

fn not_a_layout(path: &Path, problem: &str) -> Error {
    Error::NotALayout { place: path.display().to_string(), problem: problem.to_owned() }
}

fn write_error(path: &Path, source: io::Error) -> Error {
    Error::Write { place: path.display().to_string(), source }
}

fn copy(from: &mut dyn io::Read, to: &mut dyn io::Write, buffer: &mut [u8]) -> io::Result<()> {
    each_piece(from, buffer, &mut |piece| to.write_all(piece))
}

fn each_piece(
    from: &mut dyn io::Read,
    buffer: &mut [u8],
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
