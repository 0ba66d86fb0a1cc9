//! The journal's superblock, the only block of a journal with nothing in it that is not zero.
//!
//! See the kernel's `Documentation/filesystems/ext4/journal.rst`. Numbers are big-endian here.
//!
//! Left zero, and why: `s_start` (nothing to replay), `s_errno`, the features (the kernel sets
//! those it wants at the first mount), `s_uuid` and `s_users` (they tell the filesystems of an
//! external journal apart), transaction limits (unused), and the fields of features that are off.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) const JBD2_MAGIC_NUMBER: u32 = 0xc03b_3998;
pub(crate) const JBD2_SUPERBLOCK_V2: u32 = 4;

/// The journal's superblock; the rest of its block is zero.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct JournalSuperblock {
    pub(crate) h_magic: U32,
    pub(crate) h_blocktype: U32,
    pub(crate) h_sequence: U32,
    pub(crate) s_blocksize: U32,

    pub(crate) s_maxlen: U32,
    pub(crate) s_first: U32,
    pub(crate) s_sequence: U32,
    pub(crate) s_start: U32,

    pub(crate) s_errno: U32,
    pub(crate) s_feature_compat: U32,
    pub(crate) s_feature_incompat: U32,
    pub(crate) s_feature_ro_compat: U32,

    pub(crate) s_uuid: [u8; 16],

    pub(crate) s_nr_users: U32,
}

const _: () = assert!(size_of::<JournalSuperblock>() == 0x44);

/// How many blocks the journal of a filesystem of so many blocks has: mke2fs's table for blocks of
/// 4 KiB, but that the smallest filesystems, which mke2fs gives none, have the smallest that jbd2
/// takes.
pub(crate) fn journal_blocks(blocks: u64) -> u64 {
    const K: u64 = 1024;
    match blocks {
        _ if blocks < 32 * K => K,
        _ if blocks < 256 * K => 4 * K,
        _ if blocks < 512 * K => 8 * K,
        _ if blocks < 4096 * K => 16 * K,
        _ if blocks < 8192 * K => 32 * K,
        _ if blocks < 16384 * K => 64 * K,
        _ if blocks < 32768 * K => 128 * K,
        _ => 256 * K,
    }
}
