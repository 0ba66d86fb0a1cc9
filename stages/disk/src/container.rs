//! What is around a filesystem in a file.
//!
//! A disk format says where in a file each byte of a filesystem is, and adds bytes of its own:
//! headers, tables, footers. A [`Container`] is both, planned for one filesystem before a byte of
//! it is written, from its length and the ranges that are in use:
//!
//! ```text
//! filesystem   ██ used ██░░░░░ free ░░░░░██ used ██░░░ free ░░░
//!               │ runs            ┌────────┘
//!               ▼                 ▼
//! file   header ██████████ table  ██████████ footer
//! ```
//!
//! So every format is a pure function that makes a value, and one sink serves them all. A format
//! that keeps the filesystem in one piece has a single run, and the file has a
//! [`Window`](crate::Window), known before anything is planned; one that maps blocks has neither.

pub(crate) mod qcow2;
pub(crate) mod read_back;
mod vhd;

use std::fs::File;
use std::ops::Range;

use crate::{Draft, Error, Raw, Sink};

/// A file with a filesystem in it, planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    len_bytes: u64,
    /// Sorted by where they are in the filesystem, without overlaps.
    runs: Vec<Run>,
    pieces: Vec<Piece>,
}

/// A part of a filesystem that is in one piece in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where it begins in the filesystem.
    pub from: u64,
    /// Where it begins in the file.
    pub to: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// Bytes of the format itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they are in the file.
    pub offset: u64,
    /// What they are; zeros between pieces need not be said.
    pub bytes: Vec<u8>,
}

/// Whether a file has all blocks of its disk, where a format leaves the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Subformat {
    /// It has those that were written.
    #[default]
    Dynamic,
    /// It has all.
    Fixed,
}

/// A filesystem that is longer than a format can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a disk of {} GiB is too large for {format}, expected at most {} GiB", len_bytes.div_ceil(1 << 30), max >> 30)]
pub struct TooLarge {
    /// The format.
    pub format: &'static str,
    /// How long the filesystem is.
    pub len_bytes: u64,
    /// How long it may be.
    pub max: u64,
}

/// Which units of a disk are in use at least in part: sorted, and joined where they touch.
pub fn units(used: impl IntoIterator<Item = Range<u64>>, unit: u64) -> Vec<Range<u64>> {
    let mut units: Vec<Range<u64>> = Vec::new();
    for range in used {
        let (start, end) = (range.start / unit, range.end.div_ceil(unit));
        match units.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ if start < end => units.push(start..end),
            _ => {}
        }
    }
    units
}

/// Units in use when all of one range is, which is not joined with its neighbours.
pub fn with_first(used: &[Range<u64>], first: Option<&Range<u64>>) -> Vec<Range<u64>> {
    let Some(first) = first else { return used.to_vec() };
    let before = used.iter().map(|units| units.start..units.end.min(first.start));
    let behind = used.iter().map(|units| units.start.max(first.end)..units.end);
    let parts = before.chain([first.clone()]).chain(behind);
    parts.filter(|units| !units.is_empty()).collect()
}

impl Container {
    /// One of `len_bytes` in all. What no run holds of the filesystem reads as zeros and can't be
    /// written.
    ///
    /// # Panics
    /// When runs overlap in the filesystem, or anything is behind the end of the file: the format
    /// is planned wrongly then.
    #[must_use]
    pub fn new(len_bytes: u64, mut runs: Vec<Run>, pieces: Vec<Piece>) -> Container {
        runs.retain(|run| run.len > 0);
        runs.sort_unstable_by_key(|run| run.from);
        runs.dedup_by(|next, run| {
            let continues = run.from + run.len == next.from && run.to + run.len == next.to;
            run.len += if continues { next.len } else { 0 };
            continues
        });
        assert!(runs.is_sorted_by(|run, next| run.from + run.len <= next.from), "runs overlap");
        let ends = runs.iter().map(|run| run.to + run.len);
        let ends = ends.chain(pieces.iter().map(|piece| piece.offset + piece.bytes.len() as u64));
        assert!(ends.max().unwrap_or(0) <= len_bytes, "all of it is in the file");
        Container { len_bytes, runs, pieces }
    }

    /// The filesystem and nothing else.
    #[must_use]
    pub fn raw(len_bytes: u64) -> Container {
        Container::new(len_bytes, vec![Run { from: 0, to: 0, len: len_bytes }], Vec::new())
    }

    /// The parts of the file that are in use when these of the filesystem are: sorted, and joined
    /// where they touch. For a container around this one.
    #[must_use]
    pub fn used(&self, used: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in used {
            self.runs_of(range.start, range.end - range.start, |_, to, len| ranges.push(to..to + len));
        }
        ranges.extend(self.pieces.iter().map(|piece| piece.offset..piece.offset + piece.bytes.len() as u64));
        ranges.sort_unstable_by_key(|range| range.start);
        units(ranges, 1)
    }

    /// This one with another in the place of its filesystem: partitions in a virtual disk.
    ///
    /// # Panics
    /// When a piece of the other is where this one has nothing: [`Container::used`] of the other
    /// was not said when this one was planned.
    #[must_use]
    pub fn around(mut self, inner: Container) -> Container {
        let mut runs = Vec::new();
        for run in &inner.runs {
            self.runs_of(run.to, run.len, |behind, to, len| runs.push(Run { from: run.from + behind, to, len }));
        }
        let mut pieces = Vec::new();
        for piece in &inner.pieces {
            let mut copied = 0;
            self.runs_of(piece.offset, piece.bytes.len() as u64, |behind, to, len| {
                let at = |offset: u64| usize::try_from(offset).expect("within the piece");
                pieces.push(Piece { offset: to, bytes: piece.bytes[at(behind)..at(behind + len)].to_vec() });
                copied += len;
            });
            assert!(copied == piece.bytes.len() as u64, "pieces are where the plan has something");
        }
        pieces.append(&mut self.pieces);
        Container::new(self.len_bytes, runs, pieces)
    }

    /// Calls `each` with the parts of a range of the filesystem that are in the file: how far
    /// behind the range's start each is, where it is in the file, and how long it is.
    fn runs_of(&self, offset: u64, len: u64, mut each: impl FnMut(u64, u64, u64)) {
        let end = offset + len;
        let first = self.runs.partition_point(|run| run.from + run.len <= offset);
        for run in self.runs[first..].iter().take_while(|run| run.from < end) {
            let (from, to) = (run.from.max(offset), (run.from + run.len).min(end));
            each(from - offset, run.to + (from - run.from), to - from);
        }
    }

    /// How long the file is.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Where in the file the filesystem is.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The bytes of the format itself.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Gives an output the length of this file, and takes bytes of the filesystem for it.
    ///
    /// # Errors
    /// When the filesystem that the output lies on does not hold a file of this length.
    pub fn begin<'a>(&'a self, draft: &'a Draft) -> Result<Filling<'a>, Error> {
        draft.set_len(self.len_bytes)?;
        Ok(self.continued(draft))
    }

    /// Takes bytes of the filesystem for an output that has some of them, and not its length yet.
    #[must_use]
    pub fn continued<'a>(&'a self, draft: &'a Draft) -> Filling<'a> {
        Filling { container: self, file: draft.raw() }
    }
}

/// An output that is being filled: takes what the filesystem's writer says, and puts it where the
/// container has it.
#[derive(Debug)]
pub struct Filling<'a> {
    container: &'a Container,
    file: Raw<'a>,
}

impl Filling<'_> {
    /// Writes what belongs to the format itself. Last, so that a reader who looks too early finds
    /// nothing that it would take for a disk.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(self) -> Result<(), Error> {
        self.container.pieces.iter().try_for_each(|piece| self.file.write_at(piece.offset, &piece.bytes))
    }

    /// The same of another plan, with what was not known before the filesystem stood: what names a
    /// disk by its hash tree.
    ///
    /// # Errors
    /// When it can't be written.
    ///
    /// # Panics
    /// When it has the filesystem elsewhere.
    pub fn finish_as(self, container: &Container) -> Result<(), Error> {
        let same = self.container.len_bytes == container.len_bytes && self.container.runs == container.runs;
        assert!(same, "what was written is where the other plan has it");
        Filling { container, file: self.file }.finish()
    }

    /// Calls `write` with each part of a range that is in one piece: how far behind the range's
    /// start it is, where it is in the file, and how long it is.
    fn split(
        &self,
        offset: u64,
        len: u64,
        mut write: impl FnMut(u64, u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let runs = &self.container.runs;
        let first = runs.partition_point(|run| run.from + run.len <= offset);
        let mut at = offset;
        for run in runs[first..].iter().take_while(|run| run.from < offset + len) {
            assert!(run.from <= at, "nothing is written where the plan has nothing");
            let end = (run.from + run.len).min(offset + len);
            write(at - offset, run.to + (at - run.from), end - at)?;
            at = end;
        }
        assert!(at == offset + len, "nothing is written where the plan has nothing");
        Ok(())
    }
}

impl Sink for Filling<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.split(offset, bytes.len() as u64, |behind, to, len| {
            let at = |offset: u64| usize::try_from(offset).expect("within the bytes");
            self.file.write_at(to, &bytes[at(behind)..at(behind + len)])
        })
    }

    fn copy_at(&self, offset: u64, from: &File, from_offset: u64, len: u64) -> Result<(), Error> {
        self.split(offset, len, |behind, to, len| self.file.copy_at(to, from, from_offset + behind, len))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn run(from: u64, to: u64, len: u64) -> Run {
        Run { from, to, len }
    }

    #[test]
    fn units_are_joined() {
        assert_eq!(units([0..1, 7..8, 8..9, 30..30, 31..41, 60..61], 10), [0..1, 3..5, 6..7]);
        assert_eq!(units([], 10), []);
    }

    #[test]
    fn one_range_stays_apart() {
        let used = [0..3, 5..9, 12..20];
        let with = |first: Range<u64>| with_first(&used, Some(&first));
        assert_eq!(with(6..14), [0..3, 5..6, 6..14, 14..20]);
        assert_eq!(with(3..5), [0..3, 3..5, 5..9, 12..20]);
        assert!(with(0..30).iter().eq([&(0..30)]));
        assert_eq!(with_first(&used, None), used);
    }

    #[test]
    fn runs_that_continue_are_one() {
        let container =
            Container::new(100, vec![run(10, 40, 5), run(0, 30, 10), run(20, 50, 0), run(15, 50, 5)], vec![]);
        assert_eq!(container.runs(), [run(0, 30, 15), run(15, 50, 5)]);
        assert_eq!(Container::raw(0).runs(), []);
    }

    #[test]
    #[should_panic(expected = "runs overlap")]
    fn runs_do_not_overlap() {
        let _ = Container::new(100, vec![run(0, 0, 11), run(10, 50, 5)], vec![]);
    }

    #[test]
    #[should_panic(expected = "in the file")]
    fn all_is_in_the_file() {
        let _ = Container::new(100, vec![], vec![Piece { offset: 98, bytes: vec![1; 3] }]);
    }

    /// Blocks that are swapped in the file, with a header in front and a footer behind.
    fn swapped() -> Container {
        let pieces =
            vec![Piece { offset: 0, bytes: b"head".to_vec() }, Piece { offset: 20480, bytes: b"foot".to_vec() }];
        Container::new(20484, vec![run(0, 8192, 4096), run(4096, 4096, 4096), run(16384, 12288, 4096)], pieces)
    }

    #[test]
    fn bytes_go_where_the_plan_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
        let container = swapped();
        let filling = container.begin(&draft).unwrap();
        // Across the border of two runs, by writing and by copying.
        filling.write_at(4000, &[[1; 96], [2; 96]].concat()).unwrap();
        let source = tempfile::tempfile().unwrap();
        source.write_all_at(&[3; 4096], 100).unwrap();
        filling.copy_at(16384, &source, 100, 4096).unwrap();
        filling.finish().unwrap();
        let mut bytes = vec![0; 20484];
        draft.file().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(draft.file().metadata().unwrap().len(), 20484);
        let mut expected = vec![0; 20484];
        expected[..4].copy_from_slice(b"head");
        expected[20480..].copy_from_slice(b"foot");
        expected[8192 + 4000..12288].fill(1);
        expected[4096..4096 + 96].fill(2);
        expected[12288..16384].fill(3);
        assert_eq!(bytes, expected);
    }

    /// A filesystem behind a table, in a file that maps blocks.
    #[test]
    fn a_container_in_another() {
        let pieces = vec![Piece { offset: 100, bytes: vec![7; 8000] }];
        let inner = Container::new(32768, vec![run(0, 12288, 16384)], pieces);
        assert_eq!(inner.used([0..10, 4096..8192]), [100..8100, 12288..12298, 16384..20480]);
        let outer = Container::new(
            40960,
            vec![run(0, 20480, 4096), run(4096, 4096, 8192), run(16384, 12288, 4096)],
            vec![Piece { offset: 0, bytes: b"head".to_vec() }],
        );
        let both = outer.around(inner);
        assert_eq!(both.len_bytes(), 40960);
        // Of the disk, only what the outer one's third run has of the filesystem is mapped.
        assert_eq!(both.runs(), [run(4096, 12288, 4096)]);
        let offsets: Vec<(u64, usize)> = both.pieces().iter().map(|piece| (piece.offset, piece.bytes.len())).collect();
        assert_eq!(offsets, [(20580, 3996), (4096, 4004), (0, 4)]);
    }

    /// What is said of a filesystem that stands may come from it, and nothing else moves.
    #[test]
    fn another_plan_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let piece = |bytes: [u8; 4]| Piece { offset: 8192, bytes: bytes.to_vec() };
        let plan = |bytes, len| Container::new(12288, vec![run(0, 0, len)], vec![piece(bytes)]);
        let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
        let (first, second) = (plan(*b"draw", 4096), plan(*b"root", 4096));
        first.begin(&draft).unwrap().finish_as(&second).unwrap();
        let mut found = [0; 4];
        draft.file().read_exact_at(&mut found, 8192).unwrap();
        assert_eq!(&found, b"root");
        let moved = || first.begin(&draft).unwrap().finish_as(&plan(*b"root", 8192));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(moved)).is_err());
    }

    #[test]
    #[should_panic(expected = "where the plan has nothing")]
    fn free_ranges_take_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
        let container = swapped();
        let _ = container.begin(&draft).unwrap().write_at(8000, &[1; 400]);
    }
}
