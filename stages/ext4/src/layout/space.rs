//! The blocks that are left for content: everything around what has a fixed place.

use std::ops::Range;

/// Blocks that are taken, and so the free ones between them.
#[derive(Debug)]
pub(crate) struct Space {
    /// Sorted, neither overlapping nor touching.
    taken: Vec<Range<u64>>,
}

/// Neighbouring blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) blocks: u64,
}

impl Space {
    /// All but these ranges, which may touch but not overlap.
    pub(crate) fn new(ranges: Vec<Range<u64>>) -> Space {
        Space { taken: merge(ranges) }
    }

    pub(crate) fn taken(&self) -> &[Range<u64>] {
        &self.taken
    }

    /// The first place from `at` on where `len` free blocks stand together.
    pub(crate) fn first_fit(&self, mut at: u64, len: u64) -> u64 {
        let first = self.taken.partition_point(|taken| taken.end <= at);
        for taken in &self.taken[first..] {
            if at + len <= taken.start {
                break;
            }
            at = at.max(taken.end);
        }
        at
    }

    /// The first `blocks` free blocks from `start` on.
    pub(crate) fn runs(&self, start: u64, blocks: u64) -> Runs<'_> {
        let first = self.taken.partition_point(|taken| taken.end <= start);
        Runs { taken: &self.taken[first..], at: start, left: blocks }
    }

    /// All free blocks from `start` on, without an end.
    pub(crate) fn blocks_from(&self, start: u64) -> impl Iterator<Item = u64> {
        /// More blocks than ext4 can number.
        const ENDLESS: u64 = 1 << 48;
        self.runs(start, ENDLESS).flat_map(|run| run.start..run.start + run.blocks)
    }

    /// Hands out all free blocks, first to last.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { runs: self.runs(0, 0), taken: 0 }
    }
}

/// Sorts ranges and joins those that touch.
pub(crate) fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        debug_assert!(range.end <= next.start, "nothing stands on anything else");
        let touches = range.end == next.start;
        if touches {
            range.end = next.end;
        }
        touches
    });
    ranges
}

/// A number of free blocks as runs.
#[derive(Clone, Debug)]
pub(crate) struct Runs<'s> {
    /// What may still be in the way.
    taken: &'s [Range<u64>],
    at: u64,
    left: u64,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        while let Some((first, rest)) = self.taken.split_first() {
            if first.start > self.at {
                break;
            }
            self.at = self.at.max(first.end);
            self.taken = rest;
        }
        let room = self.taken.first().map_or(self.left, |taken| taken.start - self.at);
        let run = Run { start: self.at, blocks: self.left.min(room) };
        self.at += run.blocks;
        self.left -= run.blocks;
        Some(run)
    }
}

/// Where the next content goes. What it hands out is used up without a gap, so that a position
/// alone says what all the blocks are: [`Space::runs`] gives them again.
#[derive(Debug)]
pub(crate) struct Cursor<'s> {
    runs: Runs<'s>,
    taken: u64,
}

impl Cursor<'_> {
    /// Takes the next free blocks, calls `each` with their runs, and gives the first one.
    pub(crate) fn take_runs(&mut self, blocks: u64, mut each: impl FnMut(Run)) -> u64 {
        self.runs.left = blocks;
        self.taken += blocks;
        let mut first = None;
        for run in &mut self.runs {
            first.get_or_insert(run.start);
            each(run);
        }
        first.unwrap_or(self.runs.at)
    }

    /// Takes the next free blocks, and gives the first one.
    pub(crate) fn take(&mut self, blocks: u64) -> u64 {
        self.take_runs(blocks, |_| {})
    }

    /// How many blocks were taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Behind the last block that was taken.
    pub(crate) fn end(&self) -> u64 {
        self.runs.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_walked_around() {
        let space = Space::new(vec![10..12, 0..2, 5..7, 7..8]);
        assert_eq!(space.taken(), [0..2, 5..8, 10..12]);
        let runs = |start, blocks| space.runs(start, blocks).map(|run| (run.start, run.blocks)).collect::<Vec<_>>();
        assert_eq!(runs(0, 0), []);
        assert_eq!(runs(0, 1), [(2, 1)]);
        assert_eq!(runs(0, 8), [(2, 3), (8, 2), (12, 3)]);
        assert_eq!(runs(4, 2), [(4, 1), (8, 1)]);
        assert_eq!(runs(100, 7), [(100, 7)]);
        let fits = [(0, 1, 2), (0, 3, 2), (0, 4, 12), (6, 2, 8), (6, 3, 12), (3, 2, 3)];
        for (at, len, expected) in fits {
            assert_eq!(space.first_fit(at, len), expected, "{len} from {at}");
        }
        let mut cursor = space.cursor();
        assert_eq!((cursor.take(2), cursor.take(0), cursor.take(2), cursor.take(9)), (2, 4, 4, 9));
        assert_eq!((cursor.end(), cursor.taken()), (20, 13));
        assert_eq!(space.blocks_from(9).take(3).collect::<Vec<_>>(), [9, 12, 13]);
    }
}
