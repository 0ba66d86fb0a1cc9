//! The blocks of directories: which entries stand where.
//!
//! A directory of one block is a plain list. A larger one has an index: its entries are sorted by the hash of their
//! names and fill leaf blocks in that order; nodes above them say from which hash on each leaf is. Block 0 is the root,
//! the nodes follow level by level, then the leaves.

use cvbake_tree::{Inode, Kind, Tree};

use super::numbers::Numbers;
use crate::format::directory as format;
use crate::format::hash::half_md4;

/// What a leaf is filled up to: a sixteenth stays free, so that the first new names do not split every leaf they meet.
const LEAF_FILL: usize = format::ENTRY_SPACE - format::ENTRY_SPACE / 16;

/// Bytes of "." and "..".
const DOTS: usize = 24;

/// An entry as it goes to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) name: &'t [u8],
    pub(crate) ino: u32,
    pub(crate) file_type: u8,
}

/// The bytes that an entry with such a name takes.
pub(crate) fn entry_len(name: &[u8]) -> usize {
    (format::ENTRY_HEADER + name.len()).next_multiple_of(4)
}

/// The entries of a directory but "." and "..", in order of their names.
pub(crate) fn entries<'t>(tree: &'t Tree, dir: Inode<'t>, numbers: &Numbers) -> impl Iterator<Item = Entry<'t>> {
    let numbers = *numbers;
    let ours = numbers.lost_found().filter(|_| dir.ino() == tree.root().ino());
    let ours = ours.map(|ino| Entry { name: LOST_FOUND, ino, file_type: format::EXT4_FT_DIR });
    ours.into_iter().chain(dir.children().map(move |(name, child)| Entry {
        name,
        ino: numbers.ino(child.ino()),
        file_type: file_type(&child),
    }))
}

/// The directory for what e2fsck finds without a name.
pub(crate) const LOST_FOUND: &[u8] = b"lost+found";
/// Blocks that `lost+found` has from the start, as mke2fs makes it: e2fsck needs room for entries before it can trust
/// the free blocks.
pub(crate) const LOST_FOUND_BLOCKS: u32 = 4;

fn file_type(inode: &Inode<'_>) -> u8 {
    match inode.kind() {
        Kind::Directory => format::EXT4_FT_DIR,
        Kind::File(_) => format::EXT4_FT_REG_FILE,
        Kind::Symlink(_) => format::EXT4_FT_SYMLINK,
        Kind::CharDevice(_) => format::EXT4_FT_CHRDEV,
        Kind::BlockDevice(_) => format::EXT4_FT_BLKDEV,
        Kind::Fifo => format::EXT4_FT_FIFO,
        Kind::Socket => format::EXT4_FT_SOCK,
    }
}

/// Where the entries of a directory stand.
#[derive(Debug)]
pub(crate) enum Shape<'t> {
    /// In one block.
    Linear(Vec<Entry<'t>>),
    /// Under an index.
    Indexed(Index<'t>),
}

/// A directory with an index.
#[derive(Debug)]
pub(crate) struct Index<'t> {
    /// All entries with their hashes, sorted by these.
    entries: Vec<(u32, Entry<'t>)>,
    /// Where the entries of each leaf start.
    leaves: Vec<usize>,
}

impl<'t> Shape<'t> {
    pub(crate) fn of(entries: impl Iterator<Item = Entry<'t>>, hash_seed: &[u8; 16]) -> Shape<'t> {
        let entries: Vec<_> = entries.collect();
        let len: usize = entries.iter().map(|entry| entry_len(entry.name)).sum();
        if DOTS + len <= format::ENTRY_SPACE {
            return Shape::Linear(entries);
        }
        let mut entries: Vec<_> = entries.into_iter().map(|entry| (half_md4(hash_seed, entry.name), entry)).collect();
        // Stable: names of one hash keep the order of the names.
        entries.sort_by_key(|entry| entry.0);
        let mut leaves = Vec::new();
        let mut room = 0;
        for (at, (_, entry)) in entries.iter().enumerate() {
            let len = entry_len(entry.name);
            if len > room {
                leaves.push(at);
                room = LEAF_FILL;
            }
            room -= len;
        }
        Shape::Indexed(Index { entries, leaves })
    }

    /// How many blocks the directory has.
    pub(crate) fn blocks(&self) -> u64 {
        match self {
            Shape::Linear(_) => 1,
            Shape::Indexed(index) => 1 + index.levels().iter().sum::<usize>() as u64 + index.leaves.len() as u64,
        }
    }

    /// How many levels of nodes are below the root.
    pub(crate) fn levels(&self) -> usize {
        match self {
            Shape::Linear(_) => 0,
            Shape::Indexed(index) => index.levels().len(),
        }
    }
}

impl<'t> Index<'t> {
    /// How many nodes each level has, from the root down, without root and leaves.
    pub(crate) fn levels(&self) -> Vec<usize> {
        let mut levels = Vec::new();
        let mut nodes = self.leaves.len();
        while nodes > format::DX_ROOT_LIMIT {
            nodes = nodes.div_ceil(format::DX_NODE_LIMIT);
            levels.insert(0, nodes);
        }
        levels
    }

    /// The entries of each leaf.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[(u32, Entry<'t>)]> {
        let ends = self.leaves.iter().skip(1).copied().chain([self.entries.len()]);
        self.leaves.iter().zip(ends).map(|(&start, end)| &self.entries[start..end])
    }

    /// The hash that each leaf starts with; its lowest bit says that the leaf before ends with the same hash.
    pub(crate) fn keys(&self) -> Vec<u32> {
        let mut last = None;
        let mut keys = Vec::with_capacity(self.leaves.len());
        for leaf in self.leaves() {
            let first = leaf[0].0;
            keys.push(if last == Some(first) { first | 1 } else { first });
            last = leaf.last().map(|entry| entry.0);
        }
        keys
    }
}
