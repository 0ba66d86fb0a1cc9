//! The blocks of directories: sorted lists of names, "." and ".." among them.

use cvbake_tree::{Ino, Inode, Kind};

use crate::format as f;
use crate::format::{BLOCK_LEN, BLOCK_SIZE, DIRENT_LEN};

/// An entry as it goes to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) name: &'t [u8],
    pub(crate) ino: Ino,
    pub(crate) file_type: u8,
}

impl Entry<'_> {
    fn len(&self) -> usize {
        DIRENT_LEN + self.name.len()
    }
}

/// The entries of a directory, sorted by the bytes of their names.
pub(crate) fn entries<'t>(dir: Inode<'t>) -> Vec<Entry<'t>> {
    let parent = dir.parent().expect("a directory has a parent");
    let dots = [(&b"."[..], dir), (&b".."[..], parent)];
    let children = dir.children().chain(dots);
    let entry = |(name, inode): (&'t [u8], Inode<'t>)| Entry { name, ino: inode.ino(), file_type: file_type(inode) };
    let mut entries: Vec<Entry<'t>> = children.map(entry).collect();
    // All but the dots are sorted, which this sort makes use of.
    entries.sort_by_key(|entry| entry.name);
    entries
}

fn file_type(inode: Inode<'_>) -> u8 {
    match inode.kind() {
        Kind::Directory => f::FT_DIR,
        Kind::File(_) => f::FT_REG_FILE,
        Kind::Symlink(_) => f::FT_SYMLINK,
        Kind::CharDevice(_) => f::FT_CHRDEV,
        Kind::BlockDevice(_) => f::FT_BLKDEV,
        Kind::Fifo => f::FT_FIFO,
        Kind::Socket => f::FT_SOCK,
    }
}

/// The entries of each block: as many as fit.
pub(crate) fn blocks<'e, 't>(entries: &'e [Entry<'t>]) -> impl Iterator<Item = &'e [Entry<'t>]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut room = BLOCK_LEN;
        let fits = rest.iter().take_while(|entry| {
            let fits = entry.len() <= room;
            room = room.saturating_sub(entry.len());
            fits
        });
        let (block, behind) = rest.split_at(fits.count());
        rest = behind;
        (!block.is_empty()).then_some(block)
    })
}

/// How long a directory is, in bytes: all blocks but the last one are counted as whole ones.
pub(crate) fn len_bytes(entries: &[Entry<'_>]) -> u64 {
    let (mut count, mut last) = (0, 0);
    for block in blocks(entries) {
        count += 1;
        last = block.iter().map(Entry::len).sum::<usize>() as u64;
    }
    (count - 1) * BLOCK_SIZE + last
}

#[cfg(test)]
mod tests {
    use cvbake_tree::{Builder, Meta};

    use super::*;

    #[test]
    fn blocks_are_filled() {
        let mut builder = Builder::new(&Meta::default());
        // Names of 245 bytes: entries of 257, of which 15 and the dots fit in a block, or 15.
        for number in 0..40 {
            let name = format!("{number:0245}");
            builder.add(Ino::ROOT, name.as_bytes(), Kind::Fifo, &Meta::default()).unwrap();
        }
        builder.add(Ino::ROOT, b"-", Kind::Fifo, &Meta::default()).unwrap();
        let tree = builder.finish().unwrap();
        let entries = entries(tree.root());
        let names: Vec<&[u8]> = entries.iter().take(4).map(|entry| entry.name).collect();
        assert_eq!(names[..3], [&b"-"[..], b".", b".."]);
        let counts: Vec<usize> = blocks(&entries).map(<[Entry<'_>]>::len).collect();
        assert_eq!(counts, [18, 15, 10]);
        assert_eq!(len_bytes(&entries), 2 * 4096 + 10 * 257);
    }
}
