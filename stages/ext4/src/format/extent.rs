//! Extent trees: which blocks of the disk are which blocks of a file.
//!
//! ```text
//! i_block:  ┌────────┬────────┬────────┬────────┬────────┐
//!           │ header │ up to 4 extents, or indexes        │
//!           └────────┴────────┴────────┴────────┴────────┘
//! a block:  ┌────────┬────────┬─────                  ───┬──────┐
//!           │ header │ up to 340 extents, or indexes     │ tail │
//!           └────────┴────────┴─────                  ───┴──────┘
//! ```
//!
//! See the kernel's `Documentation/filesystems/ext4/ifork.rst`. Every piece is 12 bytes long. Left
//! zero: `eh_generation` (Lustre's), `ei_unused`, and the room behind the last entry.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) const EXT4_EXT_MAGIC: u16 = 0xf30a;
/// Entries that fit beside the header in `i_block`.
pub(crate) const EXTENTS_IN_INODE: usize = 4;
/// Entries that fit beside the header and the tail in a block.
pub(crate) const EXTENTS_IN_BLOCK: usize = (super::BLOCK_LEN - 12 - 4) / 12;
/// The longest extent: a larger number of blocks means an unwritten one.
pub(crate) const EXT_INIT_MAX_LEN: u64 = 1 << 15;

/// The most levels of blocks below `i_block` that any file can need.
pub(crate) const EXT4_MAX_EXTENT_DEPTH: u16 = 5;

/// In front of the entries.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ExtentHeader {
    pub(crate) eh_magic: U16,
    pub(crate) eh_entries: U16,
    pub(crate) eh_max: U16,
    pub(crate) eh_depth: U16,
    pub(crate) eh_generation: U32,
}

/// Blocks of the file that are on the disk one behind the other.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Extent {
    pub(crate) ee_block: U32,
    pub(crate) ee_len: U16,
    pub(crate) ee_start_hi: U16,
    pub(crate) ee_start_lo: U32,
}

/// A block of the tree, and the first block of the file that it is about.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ExtentIndex {
    pub(crate) ei_block: U32,
    pub(crate) ei_leaf_lo: U32,
    pub(crate) ei_leaf_hi: U16,
    pub(crate) ei_unused: U16,
}

const _: () = assert!(size_of::<ExtentHeader>() == 12);
const _: () = assert!(size_of::<Extent>() == 12);
const _: () = assert!(size_of::<ExtentIndex>() == 12);
const _: () = assert!(EXTENTS_IN_BLOCK == 340);
