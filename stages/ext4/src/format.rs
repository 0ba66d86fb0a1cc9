//! The on-disk format: structures and constants with the names that the kernel's documentation
//! (`Documentation/filesystems/ext4`) and the headers of the kernel and of e2fsprogs give them, and
//! nothing else.
//!
//! All numbers are little-endian, but those of the journal. One block is 4096 bytes, one block
//! group is as many blocks as one block of bitmap has bits:
//!
//! ```text
//!      0        1               1+d                  1+d+r
//! ┌────────────┬───────────────┬────────────────────┬──────────────────────────────────────────────────────────┐
//! │ superblock │ group         │ reserved for more  │ all block bitmaps │ all inode bitmaps │ all inode tables │ …
//! │ (at 1024)  │ descriptors   │ group descriptors  │ (in the front: flex_bg allows it)                        │
//! └────────────┴───────────────┴────────────────────┴──────────────────────────────────────────────────────────┘
//!   … and again, up to here, at the start of groups 1, 3^n, 5^n and 7^n (sparse_super)
//! ```

pub(crate) mod checksum;
pub(crate) mod directory;
pub(crate) mod extent;
pub(crate) mod group;
pub(crate) mod hash;
pub(crate) mod inode;
pub(crate) mod journal;
pub(crate) mod superblock;
pub(crate) mod xattr;

/// The only block size of this writer: it is the page size of every machine that boots these disks.
pub(crate) const BLOCK_SIZE: u64 = 4096;
/// [`BLOCK_SIZE`] as a length of buffers.
pub(crate) const BLOCK_LEN: usize = 4096;
/// As many blocks as one block of bitmap has bits.
pub(crate) const BLOCKS_PER_GROUP: u64 = BLOCK_SIZE * 8;
/// As many inodes as one block of bitmap has bits.
pub(crate) const MAX_INODES_PER_GROUP: u64 = BLOCK_SIZE * 8;
/// Inodes in a block of an inode table.
pub(crate) const INODES_PER_BLOCK: u64 = BLOCK_SIZE / inode::INODE_SIZE as u64;

/// Special inodes.
pub(crate) const EXT4_ROOT_INO: u32 = 2;
pub(crate) const EXT4_RESIZE_INO: u32 = 7;
pub(crate) const EXT4_JOURNAL_INO: u32 = 8;
/// The first inode that is not reserved; `lost+found` where we make it.
pub(crate) const EXT4_GOOD_OLD_FIRST_INO: u32 = 11;

/// The most names of an inode, and the most subdirectories that a directory counts.
pub(crate) const EXT4_LINK_MAX: u32 = 65000;

/// A block of zeros.
pub(crate) const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
