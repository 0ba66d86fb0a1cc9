//! The superblock: what and how large everything is. 1024 bytes at byte 1024 of the disk, and at
//! the start of the groups that keep a copy.
//!
//! See the kernel's `Documentation/filesystems/ext4/super.rst`.
//!
//! Left zero, and why: the reserved blocks and their owners (a disk made from an image is the
//! image's alone; root needs no share of it); mount time, mount count, last mount point, errors and
//! kilobytes written (nothing has happened yet); the check interval (mke2fs sets none either); RAID
//! geometry, snapshots, quotas, multi-mount protection, encryption, case folding, projects, orphan
//! file, external journal (features we don't use); `s_first_meta_bg`, `s_backup_bgs`,
//! `s_checksum_seed` (belong to meta_bg, sparse_super2, metadata_csum_seed); `s_overhead_blocks`
//! (the kernel counts when it finds zero, and every resize would make it wrong); `s_lpf_ino` (for
//! encrypted `lost+found` only).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where the primary superblock stands in block 0; copies stand at the start of their block.
pub(crate) const SUPERBLOCK_OFFSET: usize = 1024;

pub(crate) const EXT4_SUPER_MAGIC: u16 = 0xef53;
/// `s_state`: unmounted cleanly.
pub(crate) const EXT4_VALID_FS: u16 = 1;
/// `s_state`: the kernel found faults.
pub(crate) const EXT4_ERROR_FS: u16 = 2;
/// `s_errors`: carry on.
pub(crate) const EXT4_ERRORS_CONTINUE: u16 = 1;
/// `s_rev_level`: everything as in the first ext2; inode size and features are variable.
pub(crate) const EXT4_GOOD_OLD_REV: u32 = 0;
pub(crate) const EXT4_DYNAMIC_REV: u32 = 1;
/// `s_default_mount_opts`, as mke2fs sets them.
pub(crate) const EXT4_DEFM_XATTR_USER: u32 = 4;
pub(crate) const EXT4_DEFM_ACL: u32 = 8;
/// `s_default_mount_opts`: what Linux does with a journal anyway. Without one it takes
/// `data=ordered` on its command line only where this says the same, and some (WSL) always ask for
/// it.
pub(crate) const EXT4_DEFM_JMODE_ORDERED: u32 = 0x40;
/// `s_flags`: the directory hash takes characters as signed.
pub(crate) const EXT2_FLAGS_SIGNED_HASH: u32 = 1;
/// `s_jnl_backup_type`: `s_jnl_blocks` is a copy of the journal inode's `i_block` and size.
pub(crate) const EXT3_JNL_BACKUP_BLOCKS: u8 = 1;
/// `s_max_mnt_count`: no check after any number of mounts.
pub(crate) const NO_MAX_MOUNT_COUNT: u16 = u16::MAX;
/// Bytes of `s_volume_name`.
pub(crate) const EXT4_LABEL_MAX: usize = 16;

pub(crate) const COMPAT_HAS_JOURNAL: u32 = 0x4;
pub(crate) const COMPAT_EXT_ATTR: u32 = 0x8;
pub(crate) const COMPAT_RESIZE_INODE: u32 = 0x10;
pub(crate) const COMPAT_DIR_INDEX: u32 = 0x20;

pub(crate) const INCOMPAT_FILETYPE: u32 = 0x2;
pub(crate) const INCOMPAT_RECOVER: u32 = 0x4;
pub(crate) const INCOMPAT_META_BG: u32 = 0x10;
pub(crate) const INCOMPAT_EXTENTS: u32 = 0x40;
pub(crate) const INCOMPAT_64BIT: u32 = 0x80;
pub(crate) const INCOMPAT_MMP: u32 = 0x100;
pub(crate) const INCOMPAT_FLEX_BG: u32 = 0x200;
pub(crate) const INCOMPAT_CSUM_SEED: u32 = 0x2000;
pub(crate) const INCOMPAT_LARGEDIR: u32 = 0x4000;
pub(crate) const INCOMPAT_INLINE_DATA: u32 = 0x8000;

pub(crate) const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
pub(crate) const RO_COMPAT_LARGE_FILE: u32 = 0x2;
pub(crate) const RO_COMPAT_HUGE_FILE: u32 = 0x8;
pub(crate) const RO_COMPAT_GDT_CSUM: u32 = 0x10;
pub(crate) const RO_COMPAT_DIR_NLINK: u32 = 0x20;
pub(crate) const RO_COMPAT_EXTRA_ISIZE: u32 = 0x40;
pub(crate) const RO_COMPAT_BIGALLOC: u32 = 0x200;
pub(crate) const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
pub(crate) const RO_COMPAT_SHARED_BLOCKS: u32 = 0x4000;

/// The superblock.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Superblock {
    pub(crate) s_inodes_count: U32,
    pub(crate) s_blocks_count_lo: U32,
    pub(crate) s_r_blocks_count_lo: U32,
    pub(crate) s_free_blocks_count_lo: U32,

    pub(crate) s_free_inodes_count: U32,
    pub(crate) s_first_data_block: U32,
    pub(crate) s_log_block_size: U32,
    pub(crate) s_log_cluster_size: U32,

    pub(crate) s_blocks_per_group: U32,
    pub(crate) s_clusters_per_group: U32,
    pub(crate) s_inodes_per_group: U32,
    pub(crate) s_mtime: U32,

    pub(crate) s_wtime: U32,
    pub(crate) s_mnt_count: U16,
    pub(crate) s_max_mnt_count: U16,
    pub(crate) s_magic: U16,
    pub(crate) s_state: U16,
    pub(crate) s_errors: U16,
    pub(crate) s_minor_rev_level: U16,

    pub(crate) s_lastcheck: U32,
    pub(crate) s_checkinterval: U32,
    pub(crate) s_creator_os: U32,
    pub(crate) s_rev_level: U32,

    pub(crate) s_def_resuid: U16,
    pub(crate) s_def_resgid: U16,
    pub(crate) s_first_ino: U32,
    pub(crate) s_inode_size: U16,
    pub(crate) s_block_group_nr: U16,
    pub(crate) s_feature_compat: U32,

    pub(crate) s_feature_incompat: U32,
    pub(crate) s_feature_ro_compat: U32,
    pub(crate) s_uuid: [u8; 16],
    pub(crate) s_volume_name: [u8; EXT4_LABEL_MAX],
    pub(crate) s_last_mounted: [u8; 64],
    pub(crate) s_algorithm_usage_bitmap: U32,
    pub(crate) s_prealloc_blocks: u8,
    pub(crate) s_prealloc_dir_blocks: u8,
    pub(crate) s_reserved_gdt_blocks: U16,

    pub(crate) s_journal_uuid: [u8; 16],

    pub(crate) s_journal_inum: U32,
    pub(crate) s_journal_dev: U32,
    pub(crate) s_last_orphan: U32,
    pub(crate) s_hash_seed: [u8; 16],
    pub(crate) s_def_hash_version: u8,
    pub(crate) s_jnl_backup_type: u8,
    pub(crate) s_desc_size: U16,

    pub(crate) s_default_mount_opts: U32,
    pub(crate) s_first_meta_bg: U32,
    pub(crate) s_mkfs_time: U32,
    pub(crate) s_jnl_blocks: [U32; 17],

    pub(crate) s_blocks_count_hi: U32,
    pub(crate) s_r_blocks_count_hi: U32,
    pub(crate) s_free_blocks_count_hi: U32,
    pub(crate) s_min_extra_isize: U16,
    pub(crate) s_want_extra_isize: U16,

    pub(crate) s_flags: U32,
    pub(crate) s_raid_stride: U16,
    pub(crate) s_mmp_interval: U16,
    pub(crate) s_mmp_block: U64,

    pub(crate) s_raid_stripe_width: U32,
    pub(crate) s_log_groups_per_flex: u8,
    pub(crate) s_checksum_type: u8,
    pub(crate) s_reserved_pad: U16,
    pub(crate) s_kbytes_written: U64,

    /// Snapshots, errors, mount options, quotas, …: see the module's list.
    pub(crate) unused: [u8; 0xf0],

    pub(crate) s_checksum_seed: U32,
    pub(crate) s_wtime_hi: u8,
    pub(crate) s_mtime_hi: u8,
    pub(crate) s_mkfs_time_hi: u8,
    pub(crate) s_lastcheck_hi: u8,
    pub(crate) s_reserved: [u8; 0x184],
    pub(crate) s_checksum: U32,
}

const _: () = assert!(size_of::<Superblock>() == 1024);
const _: () = assert!(std::mem::offset_of!(Superblock, s_magic) == 0x38);
const _: () = assert!(std::mem::offset_of!(Superblock, s_uuid) == 0x68);
const _: () = assert!(std::mem::offset_of!(Superblock, s_journal_inum) == 0xe0);
const _: () = assert!(std::mem::offset_of!(Superblock, s_blocks_count_hi) == 0x150);
const _: () = assert!(std::mem::offset_of!(Superblock, s_log_groups_per_flex) == 0x174);
const _: () = assert!(std::mem::offset_of!(Superblock, s_checksum_seed) == 0x270);
const _: () = assert!(std::mem::offset_of!(Superblock, s_wtime_hi) == 0x274);
const _: () = assert!(std::mem::offset_of!(Superblock, s_checksum) == 0x3fc);
