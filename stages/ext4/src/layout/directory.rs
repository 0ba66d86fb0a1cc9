//! The blocks of directories: which entries stand where.
//!
//! A directory of one block is a plain list. A larger one has an index: its entries are sorted by
//! the hash of their names and fill leaf blocks in that order; nodes above them say from which hash
//! on each leaf is. Block 0 is the root, the nodes follow level by level, then the leaves.

use cvbake_tree::{Inode, Kind, Tree};

use super::numbers::Numbers;
use crate::format::directory as format;
use crate::format::hash::half_md4;

/// What a leaf is filled up to: a sixteenth stays free, so that the first new names do not split
/// every leaf they meet.
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
/// Blocks that `lost+found` has from the start, as mke2fs makes it: e2fsck needs room for entries
/// before it can trust the free blocks.
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

    /// The hash that each leaf starts with; its lowest bit says that the leaf before ends with the
    /// same hash.
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use cvbake_tree::{Builder, Ino, Meta};

    use super::*;
    use crate::{Layout, Options, Size};

    /// Long names, so that 14 of them fill a leaf.
    fn name(number: u32) -> Vec<u8> {
        let mut name = number.to_string().into_bytes();
        name.resize(255, b'-');
        name
    }

    /// Numbers of names such that in the order of their hashes, wherever a leaf ends, the next
    /// begins with the same hash.
    fn colliding(seed: &[u8; 16]) -> (Vec<u32>, usize) {
        let mut hashes: Vec<(u32, u32)> = (0..500_000).map(|number| (half_md4(seed, &name(number)), number)).collect();
        hashes.sort_unstable();
        let (mut chosen, mut pairs, mut at) = (Vec::new(), 0, 0);
        while at + 1 < hashes.len() {
            let is_pair = hashes[at].0 == hashes[at + 1].0;
            // The first of a pair must be the last of a leaf; all else only fills leaves up to
            // there.
            if is_pair && chosen.len() % 14 == 13 {
                chosen.extend([hashes[at].1, hashes[at + 1].1]);
                pairs += 1;
                at += 2;
            } else {
                if !is_pair && chosen.len() % 14 != 13 {
                    chosen.push(hashes[at].1);
                }
                at += 1;
            }
        }
        (chosen, pairs)
    }

    #[test]
    fn a_hash_goes_on_in_the_next_leaf() {
        let options = Options { size: Size::Min, hash_seed: [9; 16], ..Options::default() };
        let (numbers, pairs) = colliding(&options.hash_seed);
        assert!(pairs > 5, "{pairs} pairs of names with one hash among 500000");
        let meta = Meta { mode: 0o755, ..Meta::default() };
        let mut builder = Builder::new(&meta);
        let dir = builder.add(Ino::ROOT, b"dir", Kind::Directory, &meta).unwrap();
        for &number in &numbers {
            builder.add(dir, &name(number), Kind::Fifo, &meta).unwrap();
        }
        let tree = builder.finish().unwrap();
        let shape = Shape::of(entries(&tree, tree.inode(dir), &Numbers::of(&tree)), &options.hash_seed);
        let Shape::Indexed(index) = &shape else { panic!("a large directory has an index") };
        let keys = index.keys();
        assert_eq!(keys.iter().filter(|&key| key & 1 == 1).count(), pairs);
        assert!(keys.is_sorted());

        let layout = Layout::plan(&tree, &options).unwrap();
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(layout.len_bytes()).unwrap();
        layout.write_metadata(&tree, &cvbake_disk::Raw::new(disk.as_file(), disk.path())).unwrap();
        let mut fsck = Command::new("e2fsck");
        let fsck = fsck.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin").arg("-fn").arg(disk.path());
        let output = fsck.output().expect("e2fsck (Debian: e2fsprogs)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        // A reader that looks names up finds those on both sides.
        for number in numbers {
            let name = String::from_utf8(name(number)).unwrap();
            if keys.contains(&(half_md4(&options.hash_seed, name.as_bytes()) | 1)) {
                let mut debugfs = Command::new("debugfs");
                debugfs.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
                let said = debugfs.args(["-R", &format!("stat dir/{name}")]).arg(disk.path()).output().unwrap().stdout;
                assert!(String::from_utf8_lossy(&said).contains("Type: FIFO"));
            }
        }
    }
}
