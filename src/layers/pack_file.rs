//! A pack in the working directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cvbake_disk::{Raw, Window};
use cvbake_verify::Layer;

use super::content::Content;
use crate::error::Error;

/// A pack that is being made.
pub(super) struct PackFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl PackFile {
    pub(super) fn create(dir: &Path, layer: &Layer) -> Result<PackFile, Error> {
        let path = dir.join(format!("pack-{}", layer.number()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(|source| Error::scratch(&path, source))?;
        Ok(PackFile { file, path })
    }

    /// Makes a part of the disk its content.
    pub(super) fn fill_from(&self, disk: Window<'_>, range: Range<u64>) -> Result<(), Error> {
        Ok(disk.copy_to(range, &Raw::new(&self.file, &cvbake_durable::shown(&self.path)), 0)?)
    }

    pub(super) fn into_content(self) -> Content {
        Content::TempPack(self.path)
    }

    pub(super) fn name_error(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Error::scratch(&self.path, error))
    }
}
