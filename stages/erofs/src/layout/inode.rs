//! The metadata area: inodes, and what stands behind them.

use cvbake_tree::{Device, FileData, Inode, Kind, Place, Time, Tree};

use super::chunks::Stored;
use super::directory;
use super::xattr::{attributes, body_len};
use crate::Error;
use crate::format::{BLOCK_SIZE, MAX_FILE_SIZE, MAX_MAJOR, MAX_MINOR, SLOT, SYMLINK_MAX};

/// The most that stands inline, inode and attributes included: half a block. More would leave as
/// much unused at the end of the block before, mostly, as a block of its own does.
const INLINE_MAX: u64 = BLOCK_SIZE / 2;

/// Where each inode is.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// By inode, which slot of the area it starts at.
    pub(crate) slots: Vec<u32>,
    /// How many bytes the area has.
    pub(crate) len_bytes: u64,
    /// Whether there are files in chunks.
    pub(crate) has_chunks: bool,
    epoch: i64,
    /// By the tree's number of the set, how many bytes attributes take.
    xattr_lens: Vec<u32>,
}

/// What an inode has to say of itself but for places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    pub(crate) is_extended: bool,
    /// `i_size`.
    pub(crate) size: u64,
    pub(crate) nlink: u32,
    /// How many bytes of attributes follow.
    pub(crate) xattr_len: u32,
    /// How many bytes of content follow these: the last ones of a directory, or a link's target.
    pub(crate) inline: u64,
    /// How many blocks elsewhere hold the rest of it.
    pub(crate) blocks: u64,
    /// How content of a file is stored.
    pub(crate) stored: Stored,
}

impl Form {
    /// The inode and its attributes.
    fn head(&self) -> u64 {
        (if self.is_extended { 64 } else { 32 }) + u64::from(self.xattr_len)
    }
}

impl Metadata {
    pub(crate) fn of(tree: &Tree, epoch: i64) -> Result<Metadata, Error> {
        let mut metadata = Metadata {
            slots: Vec::with_capacity(tree.inode_count()),
            len_bytes: 0,
            has_chunks: false,
            epoch,
            xattr_lens: vec![0],
        };
        let mut at = 0u64;
        for inode in tree.inodes() {
            check(inode)?;
            let set = inode.xattr_set();
            if set >= metadata.xattr_lens.len() {
                metadata.xattr_lens.resize(set + 1, 0);
            }
            // What is not there takes nothing, and is looked at again: that costs nothing.
            if metadata.xattr_lens[set] == 0 {
                let len = body_len(&attributes(inode)?);
                metadata.xattr_lens[set] = u32::try_from(len).expect("no more than XATTR_BODY_MAX");
            }
            let form = metadata.form(inode);
            metadata.has_chunks |= matches!(form.stored, Stored::Chunked(_));
            at = at.next_multiple_of(SLOT);
            let within = at % BLOCK_SIZE;
            // Some readers take no inode apart that goes on in the next block, and none takes
            // inline content apart.
            let together = if form.inline > 0 { form.head() + form.inline } else { form.head().min(64) };
            if within + together > BLOCK_SIZE {
                at += BLOCK_SIZE - within;
            }
            let max = u64::from(u32::MAX) * SLOT;
            let slot = u32::try_from(at / SLOT).map_err(|_| Error::TooLarge { bytes: at, max })?;
            metadata.slots.push(slot);
            at += form.head() + form.inline + form.stored.map_bytes();
        }
        metadata.len_bytes = at;
        Ok(metadata)
    }

    /// What an inode of the tree is like, once it has been counted.
    pub(crate) fn form(&self, inode: Inode<'_>) -> Form {
        let xattr_len = self.xattr_lens[inode.xattr_set()];
        let (mut size, mut stored, mut nlink) = (0, Stored::Empty, inode.name_count());
        match inode.kind() {
            Kind::Directory => {
                size = directory::len_bytes(&directory::entries(inode));
                let subdirectories = inode.children().filter(|(_, child)| child.is_dir()).count();
                nlink = u32::try_from(subdirectories).map_or(u32::MAX, |below| below.saturating_add(2));
            }
            Kind::File(data) => (size, stored) = (data.size, Stored::of(&data)),
            Kind::Symlink(target) => size = target.len() as u64,
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => {}
        }
        let is_compact = inode.mtime() == Time::from_secs(self.epoch)
            && u16::try_from(inode.uid()).is_ok()
            && u16::try_from(inode.gid()).is_ok()
            && u16::try_from(nlink).is_ok()
            && u32::try_from(size).is_ok();
        let form = Form { is_extended: !is_compact, size, nlink, xattr_len, inline: 0, blocks: 0, stored };
        match inode.kind() {
            Kind::Directory | Kind::Symlink(_) => {
                let rest = size % BLOCK_SIZE;
                let inline = if form.head() + rest <= INLINE_MAX { rest } else { 0 };
                Form { inline, blocks: (size - inline).div_ceil(BLOCK_SIZE), ..form }
            }
            Kind::File(data) => Form { blocks: stored.blocks(&data), ..form },
            _ => form,
        }
    }
}

fn check(inode: Inode<'_>) -> Result<(), Error> {
    match inode.kind() {
        Kind::File(data) => check_file(inode, &data),
        Kind::Symlink(target) => check_symlink(inode, target),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => check_device(inode, device),
        Kind::Directory | Kind::Fifo | Kind::Socket => Ok(()),
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
