//! The on-disk format: structures and constants with the names that the kernel's
//! `fs/erofs/erofs_fs.h` gives them, and nothing else. `Documentation/filesystems/erofs.rst` has
//! the words to it.
//!
//! All numbers are little-endian. Whatever is not content stands in one stretch, the metadata area:
//! inodes of 32 or 64 bytes, each followed by its extended attributes and then by what it has
//! inline. The number of an inode (its *nid*) is its place, in slots of 32 bytes.
//!
//! ```text
//! block 0          the metadata area                                            blocks
//! ┌──────────────┬───────┬────────┬────────────────┬───────┬──────────────┬───┬───────────┬─────────┐
//! │ superblock   │ inode │ xattrs │ rest of a      │ inode │ chunk map    │ … │ directory │ content │
//! │ (at 1024)    │       │        │ directory      │       │ of a file    │   │ blocks    │ of files│
//! └──────────────┴───────┴────────┴────────────────┴───────┴──────────────┴───┴───────────┴─────────┘
//! ```

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The only block size of this writer: every kernel reads it, and packs have it.
pub(crate) const BLOCK_SIZE: u64 = 4096;
/// [`BLOCK_SIZE`] as a length of buffers.
pub(crate) const BLOCK_LEN: usize = 4096;
/// Its logarithm.
pub(crate) const BLOCK_BITS: u8 = 12;
/// What nids count in.
pub(crate) const SLOT: u64 = 32;

/// Where the superblock stands in block 0.
pub(crate) const EROFS_SUPER_OFFSET: usize = 1024;
pub(crate) const EROFS_SUPER_MAGIC_V1: u32 = 0xe0f5_e1e2;
/// `feature_compat`: the block of the superblock has a checksum.
pub(crate) const EROFS_FEATURE_COMPAT_SB_CHKSUM: u32 = 1;
/// `feature_compat`: times are those of modification.
pub(crate) const EROFS_FEATURE_COMPAT_MTIME: u32 = 2;
/// `feature_incompat`: some files have chunk maps (Linux 5.15).
pub(crate) const EROFS_FEATURE_INCOMPAT_CHUNKED_FILE: u32 = 4;
/// `feature_compat` by bit, as `dump.erofs` calls them.
pub(crate) const COMPAT_NAMES: [&str; 3] = ["sb_csum", "mtime", "xattr_filter"];
/// `feature_incompat` by bit; some bits came to stand for two features.
pub(crate) const INCOMPAT_NAMES: [&str; 9] = [
    "0padding",
    "compr_cfgs",
    "chunked_file",
    "device_table",
    "ztailpacking",
    "fragments",
    "xattr_prefixes",
    "48bit",
    "metabox",
];
/// The features that change nothing of where plain files, names and attributes are: what they are
/// about is compression and further devices, and a file that uses these says so itself.
pub(crate) const INCOMPAT_KNOWN: u32 = 0x3f;
/// Bytes of `volume_name`; kernels before 6.10 want a NUL among them.
pub(crate) const VOLUME_NAME_LEN: usize = 16;

/// The superblock. Left zero, and why: extension slots, devices, long prefixes of attributes, the
/// packed inode, the filter of names, and what compression has (features we don't use);
/// `xattr_blkaddr` (all attributes stand with their inodes); `build_time_nsec` (recipes have whole
/// seconds).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SuperBlock {
    pub(crate) magic: U32,
    pub(crate) checksum: U32,
    pub(crate) feature_compat: U32,
    pub(crate) blkszbits: u8,
    pub(crate) sb_extslots: u8,
    pub(crate) root_nid: U16,
    pub(crate) inos: U64,
    pub(crate) build_time: U64,
    pub(crate) build_time_nsec: U32,
    pub(crate) blocks: U32,
    pub(crate) meta_blkaddr: U32,
    pub(crate) xattr_blkaddr: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; VOLUME_NAME_LEN],
    pub(crate) feature_incompat: U32,
    pub(crate) unused: [u8; 44],
}

const _: () = assert!(size_of::<SuperBlock>() == 128);
const _: () = assert!(std::mem::offset_of!(SuperBlock, root_nid) == 0x0e);
const _: () = assert!(std::mem::offset_of!(SuperBlock, uuid) == 0x30);
const _: () = assert!(std::mem::offset_of!(SuperBlock, feature_incompat) == 0x50);

/// The checksum of block 0 from the superblock on, in which the checksum is zero. EROFS does not
/// invert the result, which the usual definition of CRC-32C does.
pub(crate) fn checksum(from_superblock: &[u8]) -> u32 {
    !crc32c::crc32c(from_superblock)
}

/// `i_format`, bit 0: an inode of 64 bytes.
pub(crate) const EROFS_INODE_LAYOUT_EXTENDED: u16 = 1;
/// `i_format`, bits 1 to 3: where the content is. All in blocks.
pub(crate) const EROFS_INODE_FLAT_PLAIN: u16 = 0;
/// The last part behind the inode, the rest in blocks.
pub(crate) const EROFS_INODE_FLAT_INLINE: u16 = 2;
/// In chunks, which a map behind the inode finds.
pub(crate) const EROFS_INODE_CHUNK_BASED: u16 = 4;
/// Compressed, in two ways to say where.
pub(crate) const EROFS_INODE_COMPRESSED_FULL: u16 = 1;
pub(crate) const EROFS_INODE_COMPRESSED_COMPACT: u16 = 3;
/// `i_u` of a file in chunks: the logarithm of how many blocks a chunk has.
pub(crate) const EROFS_CHUNK_FORMAT_BLKBITS_MASK: u32 = 0x1f;
/// The map has entries of 8 bytes, with a device.
pub(crate) const EROFS_CHUNK_FORMAT_INDEXES: u32 = 0x20;
/// In a chunk map: there is nothing but zeros.
pub(crate) const EROFS_NULL_ADDR: u32 = u32::MAX;
/// Bytes of an address in a chunk map.
pub(crate) const EROFS_BLOCK_MAP_ENTRY_SIZE: u64 = 4;
/// A chunk has 2^31 bytes at most: 32-bit kernels compute its length in 32 bits.
pub(crate) const CHUNK_BITS_MAX: u32 = 31 - BLOCK_BITS as u32;

/// An inode of 32 bytes. It has no time of its own: the one of the superblock.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct InodeCompact {
    pub(crate) i_format: U16,
    pub(crate) i_xattr_icount: U16,
    pub(crate) i_mode: U16,
    pub(crate) i_nlink: U16,
    pub(crate) i_size: U32,
    pub(crate) i_reserved: U32,
    pub(crate) i_u: U32,
    pub(crate) i_ino: U32,
    pub(crate) i_uid: U16,
    pub(crate) i_gid: U16,
    pub(crate) i_reserved2: U32,
}

const _: () = assert!(size_of::<InodeCompact>() == 32);

/// An inode of 64 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct InodeExtended {
    pub(crate) i_format: U16,
    pub(crate) i_xattr_icount: U16,
    pub(crate) i_mode: U16,
    pub(crate) i_reserved: U16,
    pub(crate) i_size: U64,
    pub(crate) i_u: U32,
    pub(crate) i_ino: U32,
    pub(crate) i_uid: U32,
    pub(crate) i_gid: U32,
    pub(crate) i_mtime: U64,
    pub(crate) i_mtime_nsec: U32,
    pub(crate) i_nlink: U32,
    pub(crate) i_reserved2: [u8; 16],
}

const _: () = assert!(size_of::<InodeExtended>() == 64);
const _: () = assert!(std::mem::offset_of!(InodeExtended, i_mtime) == 0x20);

pub(crate) const S_IFIFO: u16 = 0x1000;
pub(crate) const S_IFCHR: u16 = 0x2000;
pub(crate) const S_IFDIR: u16 = 0x4000;
pub(crate) const S_IFBLK: u16 = 0x6000;
pub(crate) const S_IFREG: u16 = 0x8000;
pub(crate) const S_IFLNK: u16 = 0xa000;
pub(crate) const S_IFSOCK: u16 = 0xc000;

/// The longest target of a symbolic link: Linux's `PATH_MAX` with its NUL.
pub(crate) const SYMLINK_MAX: usize = 4095;
/// The largest file: as many blocks as 32-bit numbers within a file can count.
pub(crate) const MAX_FILE_SIZE: u64 = (u32::MAX as u64) * BLOCK_SIZE;
/// The largest device numbers of Linux.
pub(crate) const MAX_MAJOR: u32 = 0xfff;
pub(crate) const MAX_MINOR: u32 = 0xf_ffff;

/// `rdev`: what Linux calls the new encoding.
pub(crate) fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

/// What [`encode_device`] takes.
pub(crate) fn decode_device(device: u32) -> (u32, u32) {
    (device >> 8 & MAX_MAJOR, device & 0xff | device >> 12 & !0xff & MAX_MINOR)
}

/// An entry of a map with devices.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ChunkIndex {
    pub(crate) startblk_hi: U16,
    pub(crate) device_id: U16,
    pub(crate) startblk_lo: U32,
}

const _: () = assert!(size_of::<ChunkIndex>() == 8);

/// In front of the attributes of an inode. No filter of names, and nothing shared.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct XattrIbodyHeader {
    pub(crate) h_name_filter: U32,
    pub(crate) h_shared_count: u8,
    pub(crate) h_reserved2: [u8; 7],
}

const _: () = assert!(size_of::<XattrIbodyHeader>() == 12);

/// In front of an attribute's name and value.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct XattrEntry {
    pub(crate) e_name_len: u8,
    pub(crate) e_name_index: u8,
    pub(crate) e_value_size: U16,
}

const _: () = assert!(size_of::<XattrEntry>() == 4);

pub(crate) const EROFS_XATTR_INDEX_USER: u8 = 1;
pub(crate) const EROFS_XATTR_INDEX_POSIX_ACL_ACCESS: u8 = 2;
pub(crate) const EROFS_XATTR_INDEX_POSIX_ACL_DEFAULT: u8 = 3;
pub(crate) const EROFS_XATTR_INDEX_TRUSTED: u8 = 4;
pub(crate) const EROFS_XATTR_INDEX_SECURITY: u8 = 6;
/// The longest name that Linux takes, with its namespace.
pub(crate) const XATTR_NAME_MAX: usize = 255;
/// What all attributes of an inode can take, header and entries: `i_xattr_icount` counts units of 4
/// bytes, and the header as one.
pub(crate) const XATTR_BODY_MAX: usize = size_of::<XattrIbodyHeader>() + 4 * (u16::MAX as usize - 1);

/// An access control list as the kernel hands it out, which is how EROFS stores it.
pub(crate) const POSIX_ACL_XATTR_VERSION: u32 = 2;
/// The tags that its entries may have: owner, user, group, another group, mask, others.
pub(crate) const ACL_TAGS: [u16; 6] = [1, 2, 4, 8, 16, 32];

/// An entry of a directory, of which each block has as many as it has names, in front of these.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Dirent {
    pub(crate) nid: U64,
    pub(crate) nameoff: U16,
    pub(crate) file_type: u8,
    pub(crate) reserved: u8,
}

/// Its length.
pub(crate) const DIRENT_LEN: usize = size_of::<Dirent>();
const _: () = assert!(DIRENT_LEN == 12);

pub(crate) const FT_REG_FILE: u8 = 1;
pub(crate) const FT_DIR: u8 = 2;
pub(crate) const FT_CHRDEV: u8 = 3;
pub(crate) const FT_BLKDEV: u8 = 4;
pub(crate) const FT_FIFO: u8 = 5;
pub(crate) const FT_SOCK: u8 = 6;
pub(crate) const FT_SYMLINK: u8 = 7;
