//! What a tree needs, wherever it will stand: everything about it that no size of the filesystem
//! changes.

use cvbake_tree::{Device, FileData, Inode, Kind, Place, Tree};

use super::base_pack::BasePack;
use super::directory::{Shape, entries};
use super::numbers::Numbers;
use super::xattr::Xattrs;
use crate::format::directory::{DX_LEVELS, DX_LEVELS_COMPAT};
use crate::format::inode::{I_BLOCK_LEN, MAX_FILE_SIZE, MAX_MAJOR, MAX_MINOR, SYMLINK_MAX};
use crate::format::{BLOCK_SIZE, EXT4_LINK_MAX};
use crate::{Error, Options};

/// A tree, checked and counted.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) numbers: Numbers,
    /// The tree's directories, in its order.
    pub(crate) dirs: Vec<Dir>,
    /// Positions of the symbolic links whose targets need a block.
    pub(crate) long_links: Vec<u32>,
    /// Files with content, in the order of the packs.
    pub(crate) files: Vec<File>,
    pub(crate) base_pack: Option<BasePack>,
    pub(crate) xattrs: Xattrs,
    /// Whether a directory's index has more levels than ext4 takes without being told.
    pub(crate) large_dir: bool,
}

/// A directory's position in the tree, and how many blocks it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dir {
    pub(crate) inode: u32,
    pub(crate) blocks: u32,
}

/// Where a file's content comes from, and its position in the tree. In order of packs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct File {
    pub(crate) pack: u32,
    pub(crate) pack_block: u64,
    pub(crate) inode: u32,
}

impl Content {
    pub(crate) fn of(tree: &Tree, options: &Options) -> Result<Content, Error> {
        let numbers = Numbers::of(tree);
        if numbers.used() > u64::from(u32::MAX) {
            return Err(Error::TooFewInodes { asked: u64::from(u32::MAX), needed: numbers.used() });
        }
        let xattrs = Xattrs::plan(tree)?;
        let (mut dirs, mut long_links, mut files) = (Vec::new(), Vec::new(), Vec::new());
        let mut large_dir = false;
        for inode in tree.inodes() {
            let at = u32::try_from(inode.ino().index()).expect("a tree's numbers have 32 bits");
            if !inode.is_dir() && inode.name_count() > EXT4_LINK_MAX {
                let (path, names) = (Place::of(inode), inode.name_count());
                return Err(Error::Links { path, names, max: EXT4_LINK_MAX });
            }
            match inode.kind() {
                Kind::Directory => {
                    let shape = Shape::of(entries(tree, inode, &numbers), &options.hash_seed);
                    large_dir |= shape.levels() > DX_LEVELS_COMPAT;
                    let blocks = u32::try_from(shape.blocks()).ok().filter(|_| shape.levels() <= DX_LEVELS);
                    let blocks = blocks.ok_or_else(|| Error::DirectoryFull {
                        path: Place::of(inode),
                        blocks: shape.blocks(),
                        max: u64::from(u32::MAX),
                    })?;
                    dirs.push(Dir { inode: at, blocks });
                }
                Kind::File(data) => {
                    check_file(inode, &data)?;
                    if !data.segments.is_empty() {
                        files.push(File { pack: data.pack, pack_block: data.pack_block, inode: at });
                    }
                }
                Kind::Symlink(target) => {
                    check_symlink(inode, target)?;
                    if target.len() >= I_BLOCK_LEN {
                        long_links.push(at);
                    }
                }
                Kind::CharDevice(device) | Kind::BlockDevice(device) => check_device(inode, device)?,
                Kind::Fifo | Kind::Socket => {}
            }
        }
        files.sort_unstable();
        let base_pack = options.base_pack.and_then(|pack| BasePack::of(tree, &files, pack));
        Ok(Content { numbers, dirs, long_links, files, base_pack, xattrs, large_dir })
    }
}

fn check_file(inode: Inode<'_>, data: &FileData<'_>) -> Result<(), Error> {
    if data.size > MAX_FILE_SIZE {
        return Err(Error::FileSize { path: Place::of(inode), size: data.size, max: MAX_FILE_SIZE });
    }
    let end_of_file = data.size.div_ceil(BLOCK_SIZE);
    let mut end = 0;
    for segment in data.segments {
        let start = u64::from(segment.file_block);
        let next = start + u64::from(segment.blocks);
        if start < end || next > end_of_file || segment.blocks == 0 {
            let (path, file_block) = (Place::of(inode), segment.file_block);
            return Err(Error::Segments { path, file_block, size: data.size });
        }
        end = next;
    }
    Ok(())
}

fn check_symlink(inode: Inode<'_>, target: &[u8]) -> Result<(), Error> {
    if target.is_empty() || target.len() > SYMLINK_MAX {
        return Err(Error::SymlinkLength { path: Place::of(inode), len: target.len(), max: SYMLINK_MAX });
    }
    match target.iter().position(|&byte| byte == 0) {
        Some(at) => Err(Error::SymlinkNul { path: Place::of(inode), at }),
        None => Ok(()),
    }
}

fn check_device(inode: Inode<'_>, Device { major, minor }: Device) -> Result<(), Error> {
    if major > MAX_MAJOR || minor > MAX_MINOR {
        let path = Place::of(inode);
        return Err(Error::Device { path, major, minor, max_major: MAX_MAJOR, max_minor: MAX_MINOR });
    }
    Ok(())
}
