//! An image into a directory in the OCI image layout, beside the images that are there.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cvbake_verify::{Blobs, Digest, Hasher};

use super::archive::Counted;
use super::{Contents, blob_error, blob_path, index, open};
use crate::Error;
use crate::file::open_regular;

/// Where blobs are until all are there; a directory in the layout's own, so that they only have to be renamed. Only the holder of the
/// layout's lock has one.
const STAGING: &str = ".cvbake-tmp";

/// An image layout to which an image is being added; what was added goes again unless it is committed.
#[derive(Debug)]
pub struct LayoutDraft {
    path: PathBuf,
    /// What goes again unless it is committed: the directory, if it was made for this, or what is staged.
    temporary: PathBuf,
    /// Whether the directory was made for this.
    new: bool,
    committed: bool,
    /// The directory, locked.
    dir: File,
    /// Staged blobs, as their paths in the layout.
    staged: Vec<String>,
}

impl LayoutDraft {
    /// Opens or makes a directory; waits for others who export into it.
    ///
    /// # Errors
    /// When it is something else than an image layout or an empty directory, or can't be made.
    pub fn create(path: &Path) -> Result<LayoutDraft, Error> {
        let write = |source| Error::Write { place: path.display().to_string(), source };
        let new = match fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(source) => return Err(write(source)),
        };
        let not_a_layout =
            |problem: &str| Error::NotALayout { place: path.display().to_string(), problem: problem.to_owned() };
        if !fs::metadata(path).map_err(write)?.is_dir() {
            return Err(not_a_layout("not a directory"));
        }
        let dir = File::open(path).map_err(write)?;
        match dir.try_lock() {
            // A filesystem without locks has no others to wait for.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => dir.lock().map_err(write)?,
        }
        let temporary = if new { path.to_owned() } else { path.join(STAGING) };
        let draft = LayoutDraft { path: path.to_owned(), temporary, new, committed: false, dir, staged: Vec::new() };
        draft.remove_staging();
        let marked = path.join(index::MARKER.0).exists();
        if !marked && fs::read_dir(path).map_err(write)?.next().is_some() {
            return Err(not_a_layout("oci-layout is missing, and there are other files"));
        }
        fs::create_dir(path.join(STAGING)).map_err(write)?;
        Ok(draft)
    }

    /// What must not be left behind if the work is interrupted: all, or what was added.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Writes the documents and the blobs of an image, as far as they are not there. `on` is told how many more bytes are.
    ///
    /// # Errors
    /// When a blob is missing or wrong, or can't be written.
    pub fn write(&mut self, contents: &Contents, blobs: &dyn Blobs, on: &dyn Fn(u64)) -> Result<(), Error> {
        for (digest, bytes) in &contents.documents {
            self.stage(digest, bytes.len() as u64, |mut file| file.write_all(bytes))?;
            on(bytes.len() as u64);
        }
        for blob in &contents.blobs {
            if self.is_there(&blob.digest, blob.size) {
                on(blob.size);
                continue;
            }
            let mut reader = Counted::new(open(blobs, blob)?, on);
            let staged = self.stage(&blob.digest, blob.size, |mut file| {
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
        let place = self.path.join(index::INDEX);
        let new = match fs::read(&place) {
            Ok(old) => index::added(&self.path.display().to_string(), &old, &contents.top, tag)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => index::of_one(&contents.top, tag),
            Err(source) => return Err(Error::Read { place: place.display().to_string(), source }),
        };
        for (name, bytes) in [(index::INDEX, &new[..]), index::MARKER] {
            self.write_file(&self.path.join(STAGING).join(name), |mut file| file.write_all(bytes))?;
        }
        for blob in std::mem::take(&mut self.staged) {
            let to = self.path.join(&blob);
            let parent = to.parent().expect("blobs lie in directories");
            fs::create_dir_all(parent).map_err(|source| self.failed(parent, source))?;
            fs::rename(self.staging(&blob), &to).map_err(|source| self.failed(&to, source))?;
            self.sync(parent)?;
        }
        for name in [index::MARKER.0, index::INDEX] {
            let to = self.path.join(name);
            fs::rename(self.path.join(STAGING).join(name), &to).map_err(|source| self.failed(&to, source))?;
        }
        self.committed = true;
        self.remove_staging();
        self.sync(&self.path)
    }

    fn staging(&self, blob: &str) -> PathBuf {
        self.path.join(STAGING).join(blob.replace('/', "-"))
    }

    fn stage(&mut self, digest: &Digest, size: u64, write: impl FnOnce(&File) -> io::Result<()>) -> Result<(), Error> {
        let blob = blob_path(digest);
        if !self.is_there(digest, size) {
            self.write_file(&self.staging(&blob), write)?;
            self.staged.push(blob);
        }
        Ok(())
    }

    fn write_file(&self, path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> Result<(), Error> {
        let file = File::options().write(true).create_new(true).open(path);
        let file = file.map_err(|source| self.failed(path, source))?;
        write(&file).and_then(|()| file.sync_all()).map_err(|source| self.failed(path, source))
    }

    /// Whether a blob is there, and right.
    fn is_there(&self, digest: &Digest, size: u64) -> bool {
        let Ok(mut file) = open_regular(&self.path.join(blob_path(digest))) else { return false };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        file.metadata().is_ok_and(|metadata| metadata.len() == size)
            && each_piece(&mut file, &mut buffer, &mut |piece| {
                hasher.update(piece);
                Ok(())
            })
            .is_ok()
            && hasher.finish() == *digest
    }

    fn sync(&self, dir: &Path) -> Result<(), Error> {
        let synced =
            if dir == self.path { self.dir.sync_all() } else { File::open(dir).and_then(|dir| dir.sync_all()) };
        match synced {
            // Some filesystems sync no directories; there is nothing else to ask them for.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other.map_err(|source| self.failed(dir, source)),
        }
    }

    fn failed(&self, path: &Path, source: io::Error) -> Error {
        Error::Write { place: path.display().to_string(), source }
    }

    fn remove_staging(&self) {
        // What can't be removed now is in the next one's way, who says so.
        let _ = fs::remove_dir_all(self.path.join(STAGING));
    }
}

impl Drop for LayoutDraft {
    fn drop(&mut self) {
        if !self.committed {
            self.remove_staging();
            if self.new {
                // Only if nothing else is in it.
                let _ = fs::remove_dir(&self.path);
            }
        }
    }
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
