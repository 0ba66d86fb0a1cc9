//! From a disk that stands to a compressed file.

use std::num::NonZeroUsize;
use std::ops::Range;

use cvbake_disk::qcow2::Compression;
use cvbake_disk::{Compressed, Draft, RawDisk, ReadAt, content};

use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Observer};

/// How it is done.
pub(crate) struct Compressing<'a> {
    pub(crate) jobs: NonZeroUsize,
    pub(crate) control: &'a Control,
    pub(crate) on: Observer<'a>,
}

impl Compressing<'_> {
    /// Writes a disk of this length to a draft, of which these ranges are written; what is behind
    /// the end of what is read is zeros. Says how long the file is; `begin` is called when it is
    /// known how much there is to do.
    pub(crate) fn write(
        &self,
        (disk, wrong): (&dyn ReadAt, &(dyn Fn(std::io::Error) -> Error + Sync)),
        disk_bytes: u64,
        used: impl IntoIterator<Item = Range<u64>>,
        compression: Compression,
        draft: &Draft,
        begin: &mut dyn FnMut(),
    ) -> Result<u64, Error> {
        let compressed = Compressed::plan(disk_bytes, used, compression)?;
        (self.on)(Event::Amount { bytes: compressed.read_bytes() });
        begin();
        let read = |offset: u64, bytes: &mut [u8]| {
            self.control.check()?;
            let there = disk.len_bytes().saturating_sub(offset);
            let there = usize::try_from(there).map_or(bytes.len(), |there| there.min(bytes.len()));
            disk.read_at(offset, &mut bytes[..there]).map_err(wrong)?;
            (self.on)(Event::Wrote { bytes: bytes.len() as u64 });
            Ok(())
        };
        compressed.write(draft, self.jobs, &read)
    }

    /// Writes the raw disk in one draft to another, and frees what the first one took.
    pub(crate) fn draft(
        &self,
        from: &Draft,
        to: &Draft,
        compression: Compression,
        begin: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let wrong = |source| Error::Scratch { path: from.path().to_owned(), source };
        let disk = from.file().try_clone().and_then(RawDisk::new).map_err(wrong)?;
        let disk_bytes = disk.len_bytes();
        self.write((&disk, &wrong), disk_bytes, content(from.file(), disk_bytes), compression, to, begin)?;
        Ok(from.clear_all()?)
    }
}
