//! Inodes, checked.

use cvbake_tree::read::NodeKind;
use cvbake_tree::{Device, Time};
use zerocopy::FromBytes as _;

use super::{Error, Filesystem, Object};
use crate::format::EXT4_ROOT_INO;
use crate::format::checksum::Checksum;
use crate::format::inode as format;
use crate::format::xattr::EXT4_XATTR_MAGIC;

/// An inode of a filesystem.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number in the filesystem.
    pub ino: u32,
    /// What kind of file it is.
    pub kind: NodeKind,
    /// The permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length of a file, of a symbolic link's target, or of what a directory has for names.
    pub size: u64,
    /// How many names it has, as it says itself; 1 of a directory stands for very many.
    pub links: u16,
    /// When its content last changed.
    pub mtime: Time,
    /// When it was last read.
    pub atime: Time,
    /// When it last changed.
    pub ctime: Time,
    pub(super) flags: u32,
    pub(super) i_block: [u8; format::I_BLOCK_LEN],
    pub(super) file_acl: u64,
    /// In units of 512 bytes or, by a flag, of blocks.
    pub(super) blocks: u64,
    /// What stands behind the fields, for extended attributes.
    pub(super) extra: Vec<u8>,
    /// Of the checksums of all that belongs to it.
    pub(super) seed: Option<Checksum>,
}

impl Node {
    pub(super) fn object(&self) -> Object {
        Object::Inode(self.ino)
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether attributes stand in the inode itself.
    pub(super) fn has_inner_attributes(&self) -> bool {
        self.inner_attributes().is_some()
    }

    /// Where they stand; offsets count from the first.
    pub(super) fn inner_attributes(&self) -> Option<&[u8]> {
        let (magic, space) = self.extra.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*magic) == EXT4_XATTR_MAGIC).then_some(space)
    }
}

impl Filesystem {
    /// The root directory.
    ///
    /// # Errors
    /// When it can't be read, or is none.
    pub fn root(&self) -> Result<Node, Error> {
        let root = self.node(EXT4_ROOT_INO)?;
        match root.kind {
            NodeKind::Directory => Ok(root),
            kind => Err(root.object().rule(format!("it is {}, expected the root directory", kind.words()))),
        }
    }

    /// An inode by its number.
    ///
    /// # Errors
    /// When there is none, or it can't be read, or is not in use.
    pub fn node(&self, ino: u32) -> Result<Node, Error> {
        let object = Object::Inode(ino);
        let superblock = &self.superblock;
        let is_named = ino == EXT4_ROOT_INO || ino >= superblock.first_ino;
        if !is_named || ino > superblock.info.inodes {
            let expected = format!("2, or {} to {}", superblock.first_ino, superblock.info.inodes);
            return Err(object.value("its number", ino, expected));
        }
        self.any_node(ino)
    }

    /// An inode by its number, also one of the filesystem's own.
    pub(super) fn any_node(&self, ino: u32) -> Result<Node, Error> {
        let object = Object::Inode(ino);
        let superblock = &self.superblock;
        if ino == 0 || ino > superblock.info.inodes {
            return Err(object.value("its number", ino, format!("1 to {}", superblock.info.inodes)));
        }
        let (group, at) = ((ino - 1) / superblock.inodes_per_group, (ino - 1) % superblock.inodes_per_group);
        let size = u64::from(superblock.info.inode_size);
        let offset = u64::from(at) * size;
        let table = self.inode_table(group.into())?;
        let block = self.recent_block(table + offset / self.block_size(), object)?;
        let start = usize::try_from(offset % self.block_size()).expect("less than a block");
        let bytes = &block[start..start + usize::from(superblock.info.inode_size)];
        self.parse(ino, bytes)
    }

    fn parse(&self, ino: u32, bytes: &[u8]) -> Result<Node, Error> {
        let object = Object::Inode(ino);
        let old = usize::from(format::EXT4_GOOD_OLD_INODE_SIZE);
        // The fields that a smaller inode does not have are zero.
        let mut fields = [0; size_of::<format::Inode>()];
        let known = bytes.len().min(fields.len());
        fields[..known].copy_from_slice(&bytes[..known]);
        let extra_size = match bytes.len() > old {
            true => usize::from(u16::from_le_bytes([bytes[old], bytes[old + 1]])),
            false => 0,
        };
        if old + extra_size > bytes.len() || !extra_size.is_multiple_of(4) {
            let expected = format!("a multiple of 4, at most {}", bytes.len() - old);
            return Err(object.value("i_extra_isize", extra_size as u64, expected));
        }
        let end = (old + extra_size).min(fields.len());
        fields[end..].fill(0);
        let raw = format::Inode::read_from_bytes(&fields).expect("as many bytes");
        let seed = self.seed().map(|seed| seed.with(&ino.to_le_bytes()).with(&raw.i_generation.get().to_le_bytes()));
        if let Some(seed) = seed {
            check(object, seed, bytes, &raw, extra_size)?;
        }

        let mode = raw.i_mode.get();
        if mode == 0 || raw.i_links_count.get() == 0 {
            return Err(object.rule("it has a name, and is not in use"));
        }
        let device = || device(object, &raw.i_block);
        let kind = match mode & format::S_IFMT {
            format::S_IFDIR => NodeKind::Directory,
            format::S_IFREG => NodeKind::File,
            format::S_IFLNK => NodeKind::Symlink,
            format::S_IFCHR => NodeKind::CharDevice(device()?),
            format::S_IFBLK => NodeKind::BlockDevice(device()?),
            format::S_IFIFO => NodeKind::Fifo,
            format::S_IFSOCK => NodeKind::Socket,
            _ => return Err(object.value("i_mode", mode, "the kind of a file in the upper four bits")),
        };
        if raw.i_flags.get() & format::EXT4_ENCRYPT_FL != 0 {
            return Err(object.rule("it is encrypted"));
        }
        let time = |field, low, extra| match format::decode_time(low, extra) {
            Some((secs, nanos)) => Ok(Time { secs, nanos }),
            None => Err(object.value(field, extra.get() >> 2, "less than 1000000000 nanoseconds")),
        };
        Ok(Node {
            ino,
            kind,
            mode: mode & !format::S_IFMT,
            uid: u32::from(raw.l_i_uid_high.get()) << 16 | u32::from(raw.i_uid.get()),
            gid: u32::from(raw.l_i_gid_high.get()) << 16 | u32::from(raw.i_gid.get()),
            size: u64::from(raw.i_size_high.get()) << 32 | u64::from(raw.i_size_lo.get()),
            links: raw.i_links_count.get(),
            mtime: time("i_mtime_extra", raw.i_mtime, raw.i_mtime_extra)?,
            atime: time("i_atime_extra", raw.i_atime, raw.i_atime_extra)?,
            ctime: time("i_ctime_extra", raw.i_ctime, raw.i_ctime_extra)?,
            flags: raw.i_flags.get(),
            i_block: raw.i_block,
            file_acl: u64::from(raw.l_i_file_acl_high.get()) << 32 | u64::from(raw.i_file_acl_lo.get()),
            blocks: u64::from(raw.l_i_blocks_high.get()) << 32 | u64::from(raw.i_blocks_lo.get()),
            extra: if bytes.len() > old { bytes[old + extra_size..].to_vec() } else { Vec::new() },
            seed,
        })
    }
}

/// Compares an inode's checksum, of which small inodes have only the lower half.
fn check(object: Object, seed: Checksum, bytes: &[u8], raw: &format::Inode, extra_size: usize) -> Result<(), Error> {
    const LOW: usize = std::mem::offset_of!(format::Inode, l_i_checksum_lo);
    const HIGH: usize = std::mem::offset_of!(format::Inode, i_checksum_hi);
    let has_high = extra_size + usize::from(format::EXT4_GOOD_OLD_INODE_SIZE) >= HIGH + 2;
    let mut covered = bytes.to_vec();
    covered[LOW..LOW + 2].fill(0);
    let mut expected = u32::from(raw.l_i_checksum_lo.get());
    let mut mask = u32::from(u16::MAX);
    if has_high {
        covered[HIGH..HIGH + 2].fill(0);
        expected |= u32::from(raw.i_checksum_hi.get()) << 16;
        mask = u32::MAX;
    }
    object.check(seed.with(&covered).value() & mask, expected)
}

fn device(object: Object, i_block: &[u8; format::I_BLOCK_LEN]) -> Result<Device, Error> {
    let word = |at: usize| u32::from_le_bytes([i_block[at], i_block[at + 1], i_block[at + 2], i_block[at + 3]]);
    let words = [word(0), word(4)];
    if words[0] > u32::from(u16::MAX) {
        return Err(object.value("the device number", words[0], "16 bits in the old form"));
    }
    let (major, minor) = format::decode_device(words);
    Ok(Device { major, minor })
}
