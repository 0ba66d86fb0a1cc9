//! Group descriptors: where a group's bitmaps and its inode table are, and how much of it is used.
//!
//! See the kernel's `Documentation/filesystems/ext4/group_descr.rst`. Only the first 32 bytes exist
//! without the feature `64bit`.
//!
//! Left zero, and why: the snapshot exclusion bitmap (never was in Linux); the checksums of bitmaps
//! that are not on the disk because the group is untouched (`*_UNINIT`: nobody reads them, mke2fs
//! leaves them zero too).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `bg_flags`: no inode of the group is used, and its inode bitmap is not on the disk.
pub(crate) const EXT4_BG_INODE_UNINIT: u16 = 1;
/// `bg_flags`: no block but the group's own metadata is used, and its block bitmap is not on the
/// disk.
pub(crate) const EXT4_BG_BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: what is unused of the inode table is zero.
pub(crate) const EXT4_BG_INODE_ZEROED: u16 = 4;

/// Bytes of a descriptor without and with the feature `64bit`.
pub(crate) const EXT4_MIN_DESC_SIZE: u16 = 32;
pub(crate) const EXT4_MIN_DESC_SIZE_64BIT: u16 = 64;

/// `s_log_groups_per_flex`, mke2fs's choice. It is about where groups that a later resize adds keep
/// their tables; the tables of ours all stand in the front.
pub(crate) const LOG_GROUPS_PER_FLEX: u8 = 4;

/// A group descriptor.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct GroupDescriptor {
    pub(crate) bg_block_bitmap_lo: U32,
    pub(crate) bg_inode_bitmap_lo: U32,
    pub(crate) bg_inode_table_lo: U32,
    pub(crate) bg_free_blocks_count_lo: U16,
    pub(crate) bg_free_inodes_count_lo: U16,

    pub(crate) bg_used_dirs_count_lo: U16,
    pub(crate) bg_flags: U16,
    pub(crate) bg_exclude_bitmap_lo: U32,
    pub(crate) bg_block_bitmap_csum_lo: U16,
    pub(crate) bg_inode_bitmap_csum_lo: U16,
    pub(crate) bg_itable_unused_lo: U16,
    pub(crate) bg_checksum: U16,

    pub(crate) bg_block_bitmap_hi: U32,
    pub(crate) bg_inode_bitmap_hi: U32,
    pub(crate) bg_inode_table_hi: U32,
    pub(crate) bg_free_blocks_count_hi: U16,
    pub(crate) bg_free_inodes_count_hi: U16,

    pub(crate) bg_used_dirs_count_hi: U16,
    pub(crate) bg_itable_unused_hi: U16,
    pub(crate) bg_exclude_bitmap_hi: U32,
    pub(crate) bg_block_bitmap_csum_hi: U16,
    pub(crate) bg_inode_bitmap_csum_hi: U16,
    pub(crate) bg_reserved: U32,
}

const _: () = assert!(size_of::<GroupDescriptor>() == EXT4_MIN_DESC_SIZE_64BIT as usize);
const _: () = assert!(std::mem::offset_of!(GroupDescriptor, bg_checksum) == 0x1e);
