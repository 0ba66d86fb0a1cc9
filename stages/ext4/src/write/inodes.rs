//! Inode tables as bytes.

use cvbake_tree::{Ino, Inode, Kind, Segment, Time};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::content::tree_of;
use super::{Batch, Writer, extents, xattr};
use crate::Error;
use crate::format::checksum::Checksum;
use crate::format::inode as format;
use crate::format::xattr::EXT4_XATTR_REFCOUNT_MAX;
use crate::format::{BLOCK_SIZE, EXT4_JOURNAL_INO, EXT4_LINK_MAX, EXT4_RESIZE_INO, EXT4_ROOT_INO, ZEROS};
use crate::layout::content::Dir;
use crate::layout::directory::LOST_FOUND_BLOCKS;
use crate::layout::extents::Blocks;
use crate::layout::place::{ExtentTree, Mapped};
use crate::layout::xattr::split;

impl Writer<'_> {
    /// Writes the used part of every inode table.
    pub(super) fn write_inode_tables(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let layout = self.layout;
        let mut state = State {
            dirs: &layout.content.dirs,
            trees: layout.placed.trees.iter().peekable(),
            rest_uses: vec![0; layout.content.xattrs.rests.len()],
        };
        let mut ino: u32 = 1;
        for (group, &[_, _, table]) in layout.placed.tables.groups.iter().enumerate() {
            let used = usize::try_from(layout.used_inodes(group as u64)).expect("at most 32768");
            let mut left = used;
            let mut block_number = table;
            while left > 0 {
                let mut block = ZEROS;
                for slot in block.chunks_exact_mut(format::INODE_SIZE.into()).take(left) {
                    let inode = self.inode(ino, &mut state)?;
                    slot.copy_from_slice(sealed(inode, self.seed.of_inode(ino)).as_bytes());
                    ino = ino.wrapping_add(1);
                    left -= 1;
                }
                batch.put(block_number, &block)?;
                block_number += 1;
            }
        }
        Ok(())
    }

    fn inode<'a>(
        &self,
        ino: u32,
        state: &mut State<'a, impl Iterator<Item = &'a ExtentTree>>,
    ) -> Result<format::Inode, Error> {
        let numbers = &self.layout.content.numbers;
        if ino == EXT4_ROOT_INO {
            return self.tree_inode(self.tree.root(), state);
        }
        if let Some(index) = numbers.index(ino) {
            return self.tree_inode(self.tree.inode(Ino::from_index(index)), state);
        }
        let placed = &self.layout.placed;
        Ok(match (ino, placed.resize_block, &placed.journal, placed.lost_found) {
            (EXT4_RESIZE_INO, Some(block), _, _) => self.resize_inode(block),
            (EXT4_JOURNAL_INO, _, Some(journal), _) => self.journal_inode(journal),
            (_, _, _, Some(start)) if Some(ino) == numbers.lost_found() => self.lost_found_inode(start),
            _ => format::Inode::new_zeroed(),
        })
    }

    /// An inode that only the filesystem has.
    fn own_inode(&self, mode: u16, size: u64, blocks: u64) -> format::Inode {
        let mut inode = format::Inode::new_zeroed();
        inode.i_mode = U16::new(mode);
        inode.i_links_count = U16::new(1);
        set_size(&mut inode, size);
        set_blocks(&mut inode, blocks);
        let time = Time::from_secs(self.layout.options.epoch);
        set_times(&mut inode, time, time, time);
        inode
    }

    /// See [`Writer::write_content`] for the map. The size is that of all that a double indirect
    /// block can map.
    fn resize_inode(&self, block: u64) -> format::Inode {
        const POINTERS: u64 = BLOCK_SIZE / 4;
        let geometry = &self.layout.geometry;
        let blocks = 1 + geometry.reserved_gdt_blocks() * geometry.super_groups().count() as u64;
        let size = (POINTERS * POINTERS + POINTERS + 12) * BLOCK_SIZE;
        let mut inode = self.own_inode(format::S_IFREG | 0o600, size, blocks);
        let pointer = u32::try_from(block).expect("with a resize inode, block numbers have 32 bits");
        let at = format::EXT4_DIND_BLOCK * 4;
        inode.i_block[at..at + 4].copy_from_slice(&pointer.to_le_bytes());
        inode
    }

    pub(super) fn journal_inode(&self, journal: &Mapped) -> format::Inode {
        let (size, blocks) = (u64::from(journal.blocks) * BLOCK_SIZE, journal.blocks + journal.tree_blocks);
        let mut inode = self.own_inode(format::S_IFREG | 0o600, size, blocks.into());
        self.map_free(&mut inode, journal.start, journal.tree_start, journal.blocks);
        inode
    }

    fn lost_found_inode(&self, start: u64) -> format::Inode {
        let size = u64::from(LOST_FOUND_BLOCKS) * BLOCK_SIZE;
        let mut inode = self.own_inode(format::S_IFDIR | 0o700, size, LOST_FOUND_BLOCKS.into());
        inode.i_links_count = U16::new(2);
        self.map_free(&mut inode, start, 0, LOST_FOUND_BLOCKS);
        inode
    }

    fn tree_inode<'a>(
        &self,
        from: Inode<'_>,
        state: &mut State<'a, impl Iterator<Item = &'a ExtentTree>>,
    ) -> Result<format::Inode, Error> {
        let mut inode = format::Inode::new_zeroed();
        set_owner(&mut inode, from.uid(), from.gid());
        set_times(&mut inode, from.atime(), from.ctime(), from.mtime());
        inode.i_links_count = U16::new(u16::try_from(from.name_count()).unwrap_or(1));
        let index = u32::try_from(from.ino().index()).expect("a tree's numbers have 32 bits");
        let tree = tree_of(&mut state.trees, index);
        let tree_start = tree.map_or(0, |tree| tree.start);
        let start = self.layout.placed.starts[from.ino().index()];
        let mut blocks = tree.map_or(0, |tree| u64::from(tree.blocks));
        let kind = match from.kind() {
            Kind::Directory => {
                let (dir, rest) = state.dirs.split_first().expect("one for each directory");
                state.dirs = rest;
                if dir.blocks > 1 {
                    inode.i_flags = U32::new(format::EXT4_INDEX_FL);
                }
                inode.i_links_count = U16::new(self.dir_links(from));
                set_size(&mut inode, u64::from(dir.blocks) * BLOCK_SIZE);
                blocks += u64::from(dir.blocks);
                self.map_free(&mut inode, start, tree_start, dir.blocks);
                format::S_IFDIR
            }
            Kind::File(data) => {
                set_size(&mut inode, data.size);
                blocks += data.stored_blocks();
                self.map(&mut inode, self.layout.placed.file_blocks(start, &data), tree_start, data.segments);
                format::S_IFREG
            }
            Kind::Symlink(target) => {
                set_size(&mut inode, target.len() as u64);
                if target.len() < format::I_BLOCK_LEN {
                    inode.i_block[..target.len()].copy_from_slice(target);
                } else {
                    blocks += 1;
                    self.map_free(&mut inode, start, 0, 1);
                }
                format::S_IFLNK
            }
            Kind::CharDevice(device) => set_device(&mut inode, device, format::S_IFCHR),
            Kind::BlockDevice(device) => set_device(&mut inode, device, format::S_IFBLK),
            Kind::Fifo => format::S_IFIFO,
            Kind::Socket => format::S_IFSOCK,
        };
        inode.i_mode = U16::new(kind | from.mode());
        if from.xattr_set() != 0 {
            inode.xattrs = xattr::in_inode(&split(from)?.in_inode);
        }
        if let Some(block) = self.xattr_block(from, &mut state.rest_uses) {
            (inode.i_file_acl_lo, inode.l_i_file_acl_high) = extents::split(block);
            blocks += 1;
        }
        set_blocks(&mut inode, blocks);
        Ok(inode)
    }

    /// The block with the rest of an inode's attributes: a new copy for every so many inodes.
    fn xattr_block(&self, inode: Inode<'_>, uses: &mut [u32]) -> Option<u64> {
        let rest = self.layout.content.xattrs.rest_of(inode)?;
        let copy = (uses[rest] / EXT4_XATTR_REFCOUNT_MAX) as usize;
        uses[rest] += 1;
        let placed = &self.layout.placed;
        placed.space.blocks_from(placed.xattr_blocks[rest]).nth(copy)
    }

    /// Its name, its ".", and the ".." of each directory in it. More than ext4 counts are said as
    /// 1.
    fn dir_links(&self, dir: Inode<'_>) -> u16 {
        let ours = dir.ino() == Ino::ROOT && self.layout.content.numbers.lost_found().is_some();
        let links = 2 + dir.children().filter(|(_, child)| child.is_dir()).count() + usize::from(ours);
        u16::try_from(links).ok().filter(|&links| u32::from(links) <= EXT4_LINK_MAX).unwrap_or(1)
    }

    /// Makes `i_block` an extent tree of these blocks.
    fn map(&self, inode: &mut format::Inode, blocks: Blocks<'_>, tree_start: u64, segments: &[Segment]) {
        let space = &self.layout.placed.space;
        inode.i_flags = U32::new(inode.i_flags.get() | format::EXT4_EXTENTS_FL);
        inode.i_block = extents::root(crate::layout::extents::extents(blocks, segments), space, tree_start);
    }

    /// The same of something without holes in the free space.
    fn map_free(&self, inode: &mut format::Inode, start: u64, tree_start: u64, blocks: u32) {
        let segments = [Segment { file_block: 0, blocks }];
        self.map(inode, self.layout.placed.free_blocks(start, blocks.into()), tree_start, &segments);
    }
}

/// What advances while inodes are written in order.
struct State<'a, I: Iterator<Item = &'a ExtentTree>> {
    /// Of the directories that are still to come.
    dirs: &'a [Dir],
    trees: std::iter::Peekable<I>,
    /// How many inodes have had each rest of attributes.
    rest_uses: Vec<u32>,
}

fn set_owner(inode: &mut format::Inode, uid: u32, gid: u32) {
    let halves = |id: u32| {
        let [a, b, c, d] = id.to_le_bytes();
        (U16::from_bytes([a, b]), U16::from_bytes([c, d]))
    };
    (inode.i_uid, inode.l_i_uid_high) = halves(uid);
    (inode.i_gid, inode.l_i_gid_high) = halves(gid);
}

/// The creation time is the modification time: an image has nothing better.
fn set_times(inode: &mut format::Inode, atime: Time, ctime: Time, mtime: Time) {
    (inode.i_atime, inode.i_atime_extra) = format::encode_time(atime.secs, atime.nanos);
    (inode.i_ctime, inode.i_ctime_extra) = format::encode_time(ctime.secs, ctime.nanos);
    (inode.i_mtime, inode.i_mtime_extra) = format::encode_time(mtime.secs, mtime.nanos);
    (inode.i_crtime, inode.i_crtime_extra) = (inode.i_mtime, inode.i_mtime_extra);
}

fn set_size(inode: &mut format::Inode, size: u64) {
    let [a, b, c, d, e, f, g, h] = size.to_le_bytes();
    inode.i_size_lo = U32::from_bytes([a, b, c, d]);
    inode.i_size_high = U32::from_bytes([e, f, g, h]);
}

/// In units of 512 bytes, 48 bits: with huge_file, enough for the largest file, so no inode needs
/// the flag for larger units.
fn set_blocks(inode: &mut format::Inode, blocks: u64) {
    (inode.i_blocks_lo, inode.l_i_blocks_high) = extents::split(blocks * (BLOCK_SIZE / 512));
}

fn set_device(inode: &mut format::Inode, device: cvbake_tree::Device, kind: u16) -> u16 {
    let [old, new] = format::encode_device(device.major, device.minor);
    inode.i_block[..4].copy_from_slice(&old.to_le_bytes());
    inode.i_block[4..8].copy_from_slice(&new.to_le_bytes());
    kind
}

/// With its checksum.
fn sealed(mut inode: format::Inode, seed: Checksum) -> format::Inode {
    inode.i_extra_isize = U16::new(format::EXTRA_ISIZE);
    let checksum = seed.with(inode.as_bytes());
    inode.l_i_checksum_lo = U16::new(checksum.low());
    inode.i_checksum_hi = U16::new(checksum.high());
    inode
}
