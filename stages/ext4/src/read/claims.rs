//! Which blocks have an owner already.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Error, Filesystem, Node, NodeKind};
use crate::format::inode::EXT4_INLINE_DATA_FL;
use crate::format::superblock::RO_COMPAT_SHARED_BLOCKS;

/// Blocks with an owner. Neighbours are one entry, whoever they belong to.
///
/// Whoever reads many files of a disk that nobody trusts lets each claim its blocks once
/// ([`Filesystem::claim`]): then all of them together are no more than the disk.
#[derive(Default, Debug)]
pub struct Claims {
    /// The end of each range, by its start.
    ranges: BTreeMap<u64, u64>,
}

impl Claims {
    /// Takes blocks that nobody has, or says which of them has an owner.
    pub(super) fn take(&mut self, range: Range<u64>) -> Result<(), u64> {
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

impl Filesystem {
    /// Takes the blocks of an inode's content, which are nobody else's. Of files whose blocks may
    /// be shared, by a feature of the filesystem, nothing is taken.
    ///
    /// # Errors
    /// When one of them is another's, or is there twice, or where they are can't be read.
    pub fn claim(&self, node: &Node, claims: &mut Claims) -> Result<(), Error> {
        let has_blocks = match node.kind {
            NodeKind::File | NodeKind::Directory | NodeKind::Symlink => !node.has(EXT4_INLINE_DATA_FL),
            _ => false,
        };
        if !has_blocks || self.shares_blocks(node) {
            return Ok(());
        }
        for range in self.map(node)?.taken {
            claims.take(range).map_err(|block| {
                node.object().rule(format!("block {block} is there twice, or belongs to another file, too"))
            })?;
        }
        Ok(())
    }

    /// Whether blocks of an inode may be others', too.
    pub(super) fn shares_blocks(&self, node: &Node) -> bool {
        node.kind == NodeKind::File && self.superblock.ro_compat & RO_COMPAT_SHARED_BLOCKS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_once() {
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
