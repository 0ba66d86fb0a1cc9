//! A filesystem that was written into a file, read from there: for what can only be computed when
//! the rest stands, such as a hash tree.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use super::Filling;
use crate::{ReadAt, system};

/// What an output has of the disk in it.
#[derive(Debug, Clone, Copy)]
pub struct ReadBack<'f> {
    filling: &'f Filling<'f>,
    len_bytes: u64,
}

impl Filling<'_> {
    /// The first bytes of the disk in this file, so many of them, as they are now. What the
    /// container has no place for is zeros.
    #[must_use]
    pub fn read_back(&self, len_bytes: u64) -> ReadBack<'_> {
        ReadBack { filling: self, len_bytes }
    }
}

impl ReadAt for ReadBack<'_> {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len_bytes);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.fill(0);
        let runs = &self.filling.container.runs;
        let first = runs.partition_point(|run| run.from + run.len <= offset);
        for run in runs[first..].iter().take_while(|run| run.from < end) {
            let part = run.from.max(offset)..(run.from + run.len).min(end);
            let at = |position: u64| usize::try_from(position - offset).expect("within the bytes");
            let bytes = &mut bytes[at(part.start)..at(part.end)];
            self.filling.file.file().read_exact_at(bytes, run.to + (part.start - run.from))?;
        }
        Ok(())
    }

    fn next_content(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let runs = &self.filling.container.runs;
        let first = runs.partition_point(|run| run.from + run.len <= offset);
        for run in runs[first..].iter().take_while(|run| run.from < self.len_bytes) {
            let start = run.from.max(offset);
            let end = (run.from + run.len).min(self.len_bytes);
            let (in_file, file_end) = (run.to + (start - run.from), run.to + (end - run.from));
            // What is no hole may begin behind the run.
            let next = system::next_content(self.filling.file.file(), in_file, file_end);
            if let Some(next) = next.filter(|next| next.start < file_end && start < end) {
                let at = |in_file: u64| run.from + (in_file.min(file_end) - run.to);
                return Ok(Some(at(next.start)..at(next.end)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Container, Draft, Run, Sink as _};

    #[test]
    fn what_was_written_is_read() {
        const UNIT: u64 = 1 << 16;
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
        let run = |from: u64, to: u64, len: u64| Run { from: from * UNIT, to: to * UNIT, len: len * UNIT };
        // The second run is in front of the first in the file; the last is longer than the disk.
        let container = Container::new(20 * UNIT, vec![run(1, 8, 4), run(7, 2, 2), run(30, 12, 2)], Vec::new());
        let filling = container.begin(&draft).unwrap();
        filling.write_at(UNIT + 10, &[1; 20]).unwrap();
        filling.write_at(8 * UNIT, &[2; 4096]).unwrap();
        let disk = filling.read_back(30 * UNIT + 4096);
        let mut bytes = vec![9; usize::try_from(10 * UNIT).unwrap()];
        disk.read_at(0, &mut bytes).unwrap();
        let mut expected = vec![0; bytes.len()];
        expected[usize::try_from(UNIT).unwrap() + 10..][..20].fill(1);
        expected[usize::try_from(8 * UNIT).unwrap()..][..4096].fill(2);
        assert!(bytes == expected);
        let (mut at, mut content) = (0, Vec::new());
        while let Some(range) = disk.next_content(at).unwrap() {
            assert!(range.start >= at && range.end > range.start && range.end <= disk.len_bytes(), "{range:?}");
            at = range.end;
            content.push(range);
        }
        for offset in [UNIT + 10, 8 * UNIT, 8 * UNIT + 4095] {
            assert!(content.iter().any(|range| range.contains(&offset)), "{offset} {content:?}");
        }
        assert!(content.iter().all(|range| !range.contains(&(5 * UNIT + 1))), "no run has it: {content:?}");
        assert_eq!(disk.read_at(30 * UNIT + 4000, &mut [0; 97]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.read_at(u64::MAX, &mut [0; 2]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
