//! Where the bytes of a disk come from.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::system;

/// Gives the bytes of a disk, as a machine sees it, at positions: in any order and from any number
/// of threads.
///
/// It is what a [`Sink`](crate::Sink) takes, seen from the other side. Whoever reads a filesystem
/// or a partition table knows this and nothing of the file: a raw file is one, a format that maps
/// blocks is one, and a partition of either is one ([`Part`]).
///
/// What is wrong with a file on the way is an [`io::Error`] of the kind
/// [`InvalidData`](io::ErrorKind::InvalidData) whose text says what.
pub trait ReadAt: Send + Sync {
    /// How long the disk is.
    fn len_bytes(&self) -> u64;

    /// Fills all of `bytes` with what is at `offset`.
    ///
    /// # Errors
    /// When it can't be read, or not all of it is on the disk
    /// ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)).
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// The first range at or behind `offset` that may have other bytes than zeros, if there is one.
    /// What is between `offset` and the range reads as zeros.
    ///
    /// # Errors
    /// When a format's tables can't be read.
    fn next_content(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.len_bytes()).then(|| offset..self.len_bytes()))
    }
}

/// A plain file as a disk.
#[derive(Debug)]
pub struct RawDisk {
    file: File,
    len_bytes: u64,
}

impl RawDisk {
    /// A disk that is as long as the file is now.
    ///
    /// # Errors
    /// When the length can't be asked for.
    pub fn new(file: File) -> io::Result<RawDisk> {
        let len_bytes = file.metadata()?.len();
        Ok(RawDisk { file, len_bytes })
    }
}

impl ReadAt for RawDisk {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn next_content(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.len_bytes {
            return Ok(None);
        }
        Ok(system::next_content(&self.file, offset, self.len_bytes))
    }
}

/// A part of a disk that is a disk itself: a partition.
#[derive(Clone)]
pub struct Part {
    whole: Arc<dyn ReadAt>,
    range: Range<u64>,
}

impl Part {
    /// That range of a disk; what is behind the disk's end is cut off.
    #[must_use]
    pub fn new(whole: Arc<dyn ReadAt>, range: Range<u64>) -> Part {
        let end = range.end.min(whole.len_bytes());
        Part { range: range.start.min(end)..end, whole }
    }
}

impl ReadAt for Part {
    fn len_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len_bytes());
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.whole.read_at(self.range.start + offset, bytes)
    }

    fn next_content(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.len_bytes() {
            return Ok(None);
        }
        let next = self.whole.next_content(self.range.start + offset)?;
        let next = next.filter(|next| next.start < self.range.end);
        Ok(next.map(|next| next.start - self.range.start..next.end.min(self.range.end) - self.range.start))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn parts() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 4096]).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[9; 4096], 512 << 10).unwrap();
        let disk = Arc::new(RawDisk::new(file).unwrap());
        assert_eq!(disk.len_bytes(), 1 << 20);
        let part = Part::new(disk.clone(), 1 << 10..(512 << 10) + 100);
        let mut bytes = [1; 2];
        part.read_at((511 << 10) - 1, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 9]);
        assert_eq!(part.read_at((511 << 10) + 99, &mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(part.read_at(u64::MAX, &mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut at = 0;
        let mut content = vec![false; 512];
        while let Some(range) = part.next_content(at).unwrap() {
            assert!(range.start >= at && range.end > range.start && range.end <= part.len_bytes());
            (range.start >> 10..range.end.div_ceil(1 << 10))
                .for_each(|kib| content[usize::try_from(kib).unwrap()] = true);
            at = range.end;
        }
        assert!(content[0] && content[511], "what is written is content");
        assert_eq!(Part::new(disk.clone(), 2 << 20..3 << 20).len_bytes(), 0);
        assert_eq!(Part::new(disk, 0..4096).next_content(4096).unwrap(), None);
    }
}
