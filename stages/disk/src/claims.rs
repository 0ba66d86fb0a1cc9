//! Which parts of a disk have an owner already: what readers of a hostile one keep books of.

use std::collections::BTreeMap;
use std::ops::Range;

/// Parts of a disk with an owner, in a unit of the caller's. Neighbours are one entry, whoever they
/// belong to.
///
/// Whoever reads many files of a disk that nobody trusts lets each claim its blocks once: then all
/// of them together are no more than the disk.
#[derive(Default, Debug)]
pub struct Claims {
    /// The end of each range, by its start.
    ranges: BTreeMap<u64, u64>,
}

impl Claims {
    /// Takes a part that nobody has, or says where it meets one that has an owner.
    ///
    /// # Errors
    /// The first position that is taken, if there is one.
    pub fn take(&mut self, range: Range<u64>) -> Result<(), u64> {
        let Range { mut start, mut end } = range;
        let before = self.ranges.range(..=start).next_back().map(|(&from, &to)| (from, to));
        let after = self.ranges.range(start..).next().map(|(&from, &to)| (from, to));
        if let Some((_, to)) = before
            && to > start
        {
            return Err(start);
        }
        if let Some((from, to)) = after {
            if from < end {
                return Err(from);
            }
            if from == end {
                self.ranges.remove(&from);
                end = to;
            }
        }
        if let Some((from, to)) = before
            && to == start
        {
            start = from;
        }
        self.ranges.insert(start, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_once() {
        let mut claims = Claims::default();
        for range in [10..20, 30..40, 20..30, 5..10, 40..41] {
            claims.take(range).unwrap();
        }
        assert_eq!(claims.ranges, BTreeMap::from([(5, 41)]));
        for (range, taken) in [(0..6, 5), (40..50, 40), (41..42, 0), (6..7, 6), (0..100, 5), (10..11, 10)] {
            assert_eq!(claims.take(range.clone()).err().unwrap_or(0), taken, "{range:?}");
        }
    }
}
