//! Directory blocks: plain ones, and the index of large directories.
//!
//! ```text
//! plain, and leaf of an index:  ┌───────┬───────┬───       ───┬────────────┬──────┐
//!                               │ entry │ entry │ …           │ last entry │ tail │
//!                               └───────┴───────┴───       ───┴────────────┴──────┘
//! root of an index (block 0):   ┌─────┬──────┬──────┬─────────────┬─────────┬───       ───┬──────┐
//!                               │ "." │ ".." │ info │ limit,count │ dx_entry│ …           │ tail │
//!                               └─────┴──────┴──────┴─────────────┴─────────┴───       ───┴──────┘
//! further node of an index:     ┌────────────────────┬─────────────┬─────────┬───       ───┬──────┐
//!                               │ entry for nothing  │ limit,count │ dx_entry│ …           │ tail │
//!                               └────────────────────┴─────────────┴─────────┴───       ───┴──────┘
//! ```
//!
//! See the kernel's `Documentation/filesystems/ext4/directory.rst`. The last entry (in the root:
//! "..", in a node: the entry for nothing) is as long as the block, so that a reader that knows no
//! index walks over everything else.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) const EXT4_FT_UNKNOWN: u8 = 0;
pub(crate) const EXT4_FT_REG_FILE: u8 = 1;
pub(crate) const EXT4_FT_DIR: u8 = 2;
pub(crate) const EXT4_FT_CHRDEV: u8 = 3;
pub(crate) const EXT4_FT_BLKDEV: u8 = 4;
pub(crate) const EXT4_FT_FIFO: u8 = 5;
pub(crate) const EXT4_FT_SOCK: u8 = 6;
pub(crate) const EXT4_FT_SYMLINK: u8 = 7;
/// The file type of the entry that is a block's tail.
pub(crate) const EXT4_FT_DIR_CSUM: u8 = 0xde;

/// What a block has for entries: all but the tail.
pub(crate) const ENTRY_SPACE: usize = super::BLOCK_LEN - size_of::<DirTail>();
/// Bytes of an entry before its name.
pub(crate) const ENTRY_HEADER: usize = size_of::<DirEntry>();

/// `info_length`.
pub(crate) const DX_INFO_LENGTH: u8 = 8;
/// Where limit and count stand in the root, and in another node.
pub(crate) const DX_ROOT_COUNT_OFFSET: usize = 32;
pub(crate) const DX_NODE_COUNT_OFFSET: usize = 8;
/// How many entries the root and another node have room for, the first one being limit, count and a
/// block without a hash.
pub(crate) const DX_ROOT_LIMIT: usize = (super::BLOCK_LEN - DX_ROOT_COUNT_OFFSET - size_of::<DxTail>()) / 8;
pub(crate) const DX_NODE_LIMIT: usize = (super::BLOCK_LEN - DX_NODE_COUNT_OFFSET - size_of::<DxTail>()) / 8;
/// The most levels of nodes below the root: one without the feature `large_dir`, two with it.
pub(crate) const DX_LEVELS_COMPAT: usize = 1;
pub(crate) const DX_LEVELS: usize = 2;

/// A directory entry; its name follows, and the next entry starts at a multiple of 4.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DirEntry {
    pub(crate) inode: U32,
    pub(crate) rec_len: U16,
    pub(crate) name_len: u8,
    pub(crate) file_type: u8,
}

/// The checksum of a block, in the shape of an unused entry.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DirTail {
    pub(crate) det_reserved_zero1: U32,
    pub(crate) det_rec_len: U16,
    pub(crate) det_reserved_zero2: u8,
    pub(crate) det_reserved_ft: u8,
    pub(crate) det_checksum: U32,
}

/// What stands in the root between ".." and the first index entry.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DxRootInfo {
    pub(crate) reserved_zero: U32,
    pub(crate) hash_version: u8,
    pub(crate) info_length: u8,
    pub(crate) indirect_levels: u8,
    pub(crate) unused_flags: u8,
}

/// The first of the index entries.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DxCountLimit {
    pub(crate) limit: U16,
    pub(crate) count: U16,
    pub(crate) block: U32,
}

/// An index entry: where the names from this hash on are.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DxEntry {
    pub(crate) hash: U32,
    pub(crate) block: U32,
}

/// The checksum of the root or of a node.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DxTail {
    pub(crate) dt_reserved: U32,
    pub(crate) dt_checksum: U32,
}

const _: () = assert!(size_of::<DirEntry>() == 8);
const _: () = assert!(size_of::<DirTail>() == 12);
const _: () = assert!(size_of::<DxRootInfo>() == 8);
const _: () = assert!(size_of::<DxCountLimit>() == 8 && size_of::<DxEntry>() == 8);
const _: () = assert!(DX_ROOT_LIMIT == 507 && DX_NODE_LIMIT == 510);
