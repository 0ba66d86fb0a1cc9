//! The sink that is a plain file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::background_sync::BackgroundSync;
use crate::sink::copy_through_memory;
use crate::{Error, Sink, system};

/// A plain file, or what is behind some base of it, as a [`Sink`]: a block's position is its
/// offset.
///
/// Copies are left to the kernel, which shares the blocks instead of copying them where
/// the filesystem can (Linux tries what `FICLONERANGE` does before it copies, so there is nothing
/// to gain from asking for that first) and both offsets are multiples of its block size, which
/// those of ext4 and of packs are. Where the kernel can't copy between these two files at all, the
/// bytes go through memory.
#[derive(Debug)]
pub struct Raw<'f> {
    file: &'f File,
    path: &'f Path,
    /// Where in the file position 0 is.
    base: u64,
    /// Set by the first refusal: what is copied lies in the same store, mostly, so what is refused
    /// once is refused always.
    kernel_cannot_copy: AtomicBool,
    background_sync: Option<&'f BackgroundSync>,
    /// Whether what is copied is shared, mostly: then nothing is written.
    shares: bool,
}

/// How much the kernel copies at once: enough not to be felt, and little enough to be on its way to
/// the device while more is copied.
const COPY: u64 = 32 << 20;

impl<'f> Raw<'f> {
    /// A sink that writes to `file`; `path` is what errors call it.
    #[must_use]
    pub fn new(file: &'f File, path: &'f Path) -> Raw<'f> {
        Raw { file, path, base: 0, kernel_cannot_copy: AtomicBool::new(false), background_sync: None, shares: false }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &'f File {
        self.file
    }

    /// Counts positions from there.
    pub(crate) fn based_at(self, base: u64) -> Raw<'f> {
        Raw { base, ..self }
    }

    /// Has it brought to stable storage while it is being written.
    pub(crate) fn synced_by(self, background_sync: Option<&'f BackgroundSync>) -> Raw<'f> {
        Raw { background_sync, ..self }
    }

    /// Says that copies share blocks.
    pub(crate) fn sharing(self, shares: bool) -> Raw<'f> {
        Raw { shares, ..self }
    }

    fn wrote(&self, bytes: u64) {
        if let Some(sync) = self.background_sync {
            sync.wrote(self.file, bytes);
        }
    }

    /// How many of the `len` bytes the kernel copied before it had to give up.
    fn copy_in_kernel(&self, offset: u64, from: &File, from_offset: u64, len: u64) -> u64 {
        let mut done = 0;
        // What is shared takes as long for a little as for much.
        let step = if self.shares { len } else { COPY };
        while done < len && !self.kernel_cannot_copy.load(Ordering::Relaxed) {
            let (read_at, write_at) = (from_offset + done, self.base + offset + done);
            let rest = usize::try_from((len - done).min(step)).unwrap_or(usize::MAX);
            match system::copy_range(from, read_at, self.file, write_at, rest) {
                // The end of the source; or a filesystem that can't and doesn't say so. Reading
                // will tell which.
                Ok(0) => break,
                Ok(copied) => {
                    done += copied as u64;
                    if !self.shares {
                        self.wrote(copied as u64);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Which of the two files an error is about is unknown here: reading and writing
                // will tell.
                Err(_) => self.kernel_cannot_copy.store(true, Ordering::Relaxed),
            }
        }
        done
    }
}

impl Sink for Raw<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let offset = self.base + offset;
        self.file.write_all_at(bytes, offset).map_err(|source| Error::Write {
            path: self.path.to_owned(),
            offset,
            len: bytes.len() as u64,
            source,
        })?;
        self.wrote(bytes.len() as u64);
        Ok(())
    }

    fn copy_at(&self, offset: u64, from: &File, from_offset: u64, len: u64) -> Result<(), Error> {
        let done = self.copy_in_kernel(offset, from, from_offset, len);
        copy_through_memory(self, offset + done, from, from_offset + done, len - done)
    }
}
