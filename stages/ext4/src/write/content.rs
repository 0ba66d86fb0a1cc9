//! Everything behind the inode tables, but for the content of files.

use cvbake_tree::{Ino, Kind, Segment};
use zerocopy::IntoBytes;
use zerocopy::big_endian;

use super::Writer;
use super::batch::Batch;
use super::directory::{self, Head};
use super::extents::write_tree;
use super::xattr;
use crate::Error;
use crate::format::journal::{JBD2_MAGIC_NUMBER, JBD2_SUPERBLOCK_V2, JournalSuperblock};
use crate::format::xattr::EXT4_XATTR_REFCOUNT_MAX;
use crate::format::{BLOCK_LEN, BLOCK_SIZE, BLOCKS_PER_GROUP, EXT4_JOURNAL_INO, EXT4_ROOT_INO, ZEROS};
use crate::layout::directory::{LOST_FOUND_BLOCKS, Shape, entries};
use crate::layout::extents::extents;
use crate::layout::place::{ExtentTree, Mapped};
use crate::layout::xattr::split;

impl Writer<'_> {
    /// Writes it in the order in which it stands.
    pub(super) fn write_content(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        self.write_resize_map(batch)?;
        self.write_journal(batch)?;
        self.write_directories(batch)?;
        self.write_symlinks(batch)?;
        self.write_xattrs(batch)?;
        self.write_file_trees(batch)
    }

    /// The resize inode's map. Its double indirect block leads to the blocks reserved for
    /// descriptors; each of those, as an indirect block, leads to its copies. So they all belong to
    /// a file, and nobody else takes them.
    fn write_resize_map(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let geometry = &self.layout.geometry;
        let Some(resize_block) = self.layout.placed.resize_block else { return Ok(()) };
        let first = 1 + geometry.desc_blocks();
        let reserved = first..first + geometry.reserved_gdt_blocks();
        let mut map = ZEROS;
        for block in reserved {
            put_pointer(&mut map, (block - 1) % (BLOCK_SIZE / 4), block);
            let mut copies = ZEROS;
            for (at, group) in geometry.super_groups().skip(1).enumerate() {
                put_pointer(&mut copies, at as u64, group * BLOCKS_PER_GROUP + block);
            }
            batch.put(block, &copies)?;
        }
        batch.put(resize_block, &map)
    }

    fn write_journal(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let Some(journal) = self.layout.placed.journal else { return Ok(()) };
        let number = big_endian::U32::new;
        let superblock = JournalSuperblock {
            h_magic: number(JBD2_MAGIC_NUMBER),
            h_blocktype: number(JBD2_SUPERBLOCK_V2),
            h_sequence: number(0),
            s_blocksize: number(4096),
            s_maxlen: number(journal.blocks),
            s_first: number(1),
            s_sequence: number(1),
            s_start: number(0),
            s_errno: number(0),
            s_feature_compat: number(0),
            s_feature_incompat: number(0),
            s_feature_ro_compat: number(0),
            s_uuid: [0; 16],
            s_nr_users: number(1),
        };
        let mut block = ZEROS;
        block[..size_of::<JournalSuperblock>()].copy_from_slice(superblock.as_bytes());
        batch.put(journal.start, &block)?;
        self.write_mapped_tree(EXT4_JOURNAL_INO, &journal, batch)
    }

    /// The extent tree of something without holes.
    fn write_mapped_tree(&self, ino: u32, mapped: &Mapped, batch: &mut Batch<'_>) -> Result<(), Error> {
        if mapped.tree_blocks == 0 {
            return Ok(());
        }
        let whole = [Segment { file_block: 0, blocks: mapped.blocks }];
        let placed = &self.layout.placed;
        let blocks = placed.free_blocks(mapped.start, mapped.blocks.into());
        write_tree(extents(blocks, &whole), &placed.space, mapped.tree_start, self.seed.of_inode(ino), batch)
    }

    fn write_directories(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let layout = self.layout;
        let (placed, content) = (&layout.placed, &layout.content);
        if let (Some(ino), Some(start)) = (content.numbers.lost_found(), placed.lost_found) {
            let head = Head { ino, parent: EXT4_ROOT_INO, seed: self.seed.of_inode(ino) };
            let mut blocks = placed.space.blocks_from(start);
            directory::write_empty(head, LOST_FOUND_BLOCKS, &mut |block| batch.put(next(&mut blocks), block))?;
        }
        let mut trees = placed.trees.iter().peekable();
        for dir in &content.dirs {
            let inode = self.tree.inode(Ino::from_index(dir.inode as usize));
            let ino = content.numbers.ino(inode.ino());
            let parent = content.numbers.ino(inode.parent().expect("a directory has a parent").ino());
            let head = Head { ino, parent, seed: self.seed.of_inode(ino) };
            let shape = Shape::of(entries(self.tree, inode, &content.numbers), &layout.options.hash_seed);
            let start = placed.starts[dir.inode as usize];
            let mut blocks = placed.space.blocks_from(start);
            directory::write(head, &shape, &mut |block| batch.put(next(&mut blocks), block))?;
            let tree = tree_of(&mut trees, dir.inode);
            let mapped = Mapped {
                start,
                blocks: dir.blocks,
                tree_start: tree.map_or(0, |tree| tree.start),
                tree_blocks: tree.map_or(0, |tree| tree.blocks),
            };
            self.write_mapped_tree(ino, &mapped, batch)?;
        }
        Ok(())
    }

    fn write_symlinks(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        for &link in &self.layout.content.long_links {
            let inode = self.tree.inode(Ino::from_index(link as usize));
            let Kind::Symlink(target) = inode.kind() else { unreachable!("only links are listed as links") };
            let mut block = ZEROS;
            block[..target.len()].copy_from_slice(target);
            batch.put(self.layout.placed.starts[link as usize], &block)?;
        }
        Ok(())
    }

    fn write_xattrs(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let placed = &self.layout.placed;
        for (rest, &start) in self.layout.content.xattrs.rests.iter().zip(&placed.xattr_blocks) {
            let owner = self.tree.inode(Ino::from_index(rest.owner as usize));
            let attributes = split(owner)?.in_block;
            let mut uses = rest.uses;
            for disk_block in placed.space.blocks_from(start).take(rest.blocks() as usize) {
                let refcount = uses.min(EXT4_XATTR_REFCOUNT_MAX);
                uses -= refcount;
                batch.put(disk_block, &xattr::block(&attributes, refcount, disk_block, self.seed))?;
            }
        }
        Ok(())
    }

    /// The extent trees of files, in the order of their places.
    fn write_file_trees(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let placed = &self.layout.placed;
        let mut trees: Vec<&ExtentTree> = placed.trees.iter().collect();
        trees.sort_unstable_by_key(|tree| tree.start);
        for tree in trees {
            let inode = self.tree.inode(Ino::from_index(tree.inode as usize));
            if let Kind::File(data) = inode.kind() {
                let seed = self.seed.of_inode(self.layout.content.numbers.ino(inode.ino()));
                let extents = extents(placed.file_blocks(placed.starts[tree.inode as usize], &data), data.segments);
                write_tree(extents, &placed.space, tree.start, seed, batch)?;
            }
        }
        Ok(())
    }
}

/// The next of blocks without an end.
fn next(blocks: &mut impl Iterator<Item = u64>) -> u64 {
    blocks.next().expect("the space has no end")
}

/// The tree of an inode, from trees sorted by inode, when asked for inodes in that order.
pub(super) fn tree_of<'t>(
    trees: &mut std::iter::Peekable<impl Iterator<Item = &'t ExtentTree>>,
    inode: u32,
) -> Option<&'t ExtentTree> {
    while trees.next_if(|tree| tree.inode < inode).is_some() {}
    trees.next_if(|tree| tree.inode == inode)
}

/// Puts a 32-bit block number into an indirect block.
fn put_pointer(block: &mut [u8; BLOCK_LEN], at: u64, target: u64) {
    let at = usize::try_from(at).expect("within a block") * 4;
    let target = u32::try_from(target).expect("with a resize inode, block numbers have 32 bits");
    block[at..at + 4].copy_from_slice(&target.to_le_bytes());
}
