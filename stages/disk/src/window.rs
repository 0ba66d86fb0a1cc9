//! A filesystem that is stored block for block in a file.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;

use crate::{Draft, Error, Raw, Sink};

/// The part of an output that is a filesystem: its first byte is at some base of the file, and
/// every other one as far behind that as it is in the filesystem. All offsets are the filesystem's
/// own, so whoever fills a window need not know what stands around it. A disk without anything
/// around its filesystem is a window at 0.
#[derive(Debug, Clone, Copy)]
pub struct Window<'d> {
    draft: &'d Draft,
    base: u64,
}

impl Draft {
    /// The part of the file from `base` on, a multiple of [`Window::ALIGNMENT`], as a filesystem.
    #[must_use]
    pub fn window(&self, base: u64) -> Window<'_> {
        assert!(base.is_multiple_of(Window::ALIGNMENT), "a base is a multiple of a block");
        Window { draft: self, base }
    }
}

impl<'d> Window<'d> {
    /// The unit of bases: filesystems share their blocks with packs and other disks only where both
    /// begin at such a position.
    pub const ALIGNMENT: u64 = 4096;

    /// Where in the file the filesystem begins.
    #[must_use]
    pub fn base(self) -> u64 {
        self.base
    }

    /// Where bytes of the filesystem go.
    #[must_use]
    pub fn sink(self) -> Raw<'d> {
        self.draft.raw().based_at(self.base)
    }

    /// How many bytes, from the beginning of the filesystem, the file has.
    ///
    /// # Errors
    /// When nobody says.
    pub fn written_bytes(self) -> Result<u64, Error> {
        let metadata = self.draft.file().metadata();
        let path = || self.draft.path().to_owned();
        let len = metadata.map_err(|source| Error::Read { path: path(), offset: 0, len: 0, source })?.len();
        Ok(len.saturating_sub(self.base))
    }

    /// Takes away what was written in the window, and what is behind it.
    ///
    /// # Errors
    /// When the file can't be cut.
    pub fn clear_all(self) -> Result<(), Error> {
        match self.base {
            0 => self.draft.clear_all(),
            base => self.draft.set_len(base),
        }
    }

    /// Makes a part read as zeros, and frees what it took where the filesystem can do that.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn clear(self, range: Range<u64>) -> Result<(), Error> {
        self.draft.clear(self.base + range.start..self.base + range.end)
    }

    /// Copies a part somewhere else.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn copy_to(self, from: Range<u64>, sink: &dyn Sink, to: u64) -> Result<(), Error> {
        sink.copy_at(to, self.draft.file(), self.base + from.start, from.end - from.start)
    }

    /// How many bytes the file may still take, as far as anybody can tell.
    #[must_use]
    pub fn free_bytes(self) -> Option<u64> {
        self.draft.free_bytes()
    }

    /// The number of the filesystem that the file lies on.
    #[must_use]
    pub fn device(self) -> Option<u64> {
        self.draft.file().metadata().ok().map(|metadata| metadata.dev())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// What is done in a window leaves alone what is in front of it.
    #[test]
    fn offsets_are_the_filesystems() {
        let dir = tempfile::tempdir().unwrap();
        for base in [0, 4096, 1 << 20] {
            let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
            let window = draft.window(base);
            draft.raw().write_at(0, &vec![7; usize::try_from(base).unwrap()]).unwrap();
            assert_eq!(window.written_bytes().unwrap(), 0);
            window.sink().write_at(4096, &[1; 8192]).unwrap();
            assert_eq!(window.written_bytes().unwrap(), 12288);
            window.copy_to(4096..8192, &window.sink(), 16384).unwrap();
            window.clear(8192..12288).unwrap();
            let other = tempfile::tempfile().unwrap();
            window.copy_to(4096..20480, &Raw::new(&other, dir.path()), 0).unwrap();
            for (file, start) in [(draft.file(), base + 4096), (&other, 0)] {
                let mut bytes = vec![9; 16384];
                file.read_exact_at(&mut bytes, start).unwrap();
                let blocks: Vec<u8> = bytes.chunks(4096).map(|block| block[0]).collect();
                assert_eq!(blocks, [1, 0, 0, 1], "{base}");
                assert!(bytes.chunks(4096).all(|block| block.iter().all(|byte| *byte == block[0])));
            }
            window.clear_all().unwrap();
            let mut front = Vec::new();
            std::io::Read::read_to_end(&mut draft.file(), &mut front).unwrap();
            assert_eq!((front.len() as u64, front.iter().all(|byte| *byte == 7)), (base, true));
        }
    }

    #[test]
    #[should_panic(expected = "multiple of a block")]
    fn bases_are_aligned() {
        let dir = tempfile::tempdir().unwrap();
        let _ = Draft::create(&dir.path().join("disk"), false).unwrap().window(512);
    }
}
