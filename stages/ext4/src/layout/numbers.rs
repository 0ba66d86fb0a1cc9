//! Which inode number an inode of the tree has.

use cvbake_tree::{Ino, Tree};

use super::directory::LOST_FOUND;
use crate::format::{EXT4_GOOD_OLD_FIRST_INO, EXT4_ROOT_INO};

/// The numbering: the root is 2, and all else follows the reserved inodes in the tree's order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// The number of the tree's first inode after the root.
    first: u32,
    count: u64,
}

impl Numbers {
    pub(crate) fn of(tree: &Tree) -> Numbers {
        let ours = tree.root().child(LOST_FOUND).is_none();
        let first = EXT4_GOOD_OLD_FIRST_INO + u32::from(ours);
        Numbers { first, count: u64::from(first) - 1 + tree.inode_count() as u64 - 1 }
    }

    /// The number of `lost+found` where the tree has none of its own.
    pub(crate) fn lost_found(&self) -> Option<u32> {
        (self.first > EXT4_GOOD_OLD_FIRST_INO).then_some(EXT4_GOOD_OLD_FIRST_INO)
    }

    /// The number of an inode of the tree. There must be fewer than 2^32 ([`Numbers::used`]).
    pub(crate) fn ino(&self, ino: Ino) -> u32 {
        if ino == Ino::ROOT {
            return EXT4_ROOT_INO;
        }
        u32::try_from(ino.index() - 1).expect("a tree's numbers have 32 bits") + self.first
    }

    /// The tree's position of an inode number; `None` for the root and for what only the filesystem
    /// has.
    pub(crate) fn index(&self, ino: u32) -> Option<usize> {
        ino.checked_sub(self.first).map(|at| at as usize + 1)
    }

    /// How many inodes are in use, reserved ones included: all numbers up to this.
    pub(crate) fn used(&self) -> u64 {
        self.count
    }
}
