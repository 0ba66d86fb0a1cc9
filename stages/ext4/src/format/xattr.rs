//! Extended attributes: in what an inode has left, then in one block of its own.
//!
//! ```text
//! in an inode:  ┌───────┬─────────┬─────────┬────────────┬──        ──┬─────────┬─────────┐
//!               │ magic │ entry 1 │ entry 2 │ four zeros │            │ value 2 │ value 1 │
//!               └───────┴─────────┴─────────┴────────────┴──        ──┴─────────┴─────────┘
//! in a block:   the same, with a header of 32 bytes in the place of the magic number
//! ```
//!
//! See the kernel's `Documentation/filesystems/ext4/attributes.rst`. Offsets of values count from
//! the first entry in an inode, from the start in a block. In a block the entries are sorted: the
//! kernel's search relies on it. Names and values are filled up to a multiple of 4.
//!
//! Left zero: `e_value_inum` (values in inodes of their own are a feature we don't use),
//! `h_reserved`, and the offset of an empty value (the kernel writes none either).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) const EXT4_XATTR_MAGIC: u32 = 0xea02_0000;
/// The most inodes that share a block.
pub(crate) const EXT4_XATTR_REFCOUNT_MAX: u32 = 1024;

pub(crate) const EXT4_XATTR_INDEX_USER: u8 = 1;
pub(crate) const EXT4_XATTR_INDEX_POSIX_ACL_ACCESS: u8 = 2;
pub(crate) const EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT: u8 = 3;
pub(crate) const EXT4_XATTR_INDEX_TRUSTED: u8 = 4;
pub(crate) const EXT4_XATTR_INDEX_SECURITY: u8 = 6;
pub(crate) const EXT4_XATTR_INDEX_SYSTEM: u8 = 7;
pub(crate) const EXT4_XATTR_INDEX_HURD: u8 = 10;
/// Not ext4's: names in namespaces that have no number stand whole under this one. e2fsprogs writes
/// them under 0, but its e2fsck takes that in a block for corruption; every other number it leaves
/// alone, and no Linux will ever reach this one.
pub(crate) const XATTR_INDEX_WHOLE_NAME: u8 = 255;

/// The longest name that Linux takes, namespace included (`XATTR_NAME_MAX`).
pub(crate) const XATTR_NAME_MAX: usize = 255;

/// Version numbers of an access control list: as the kernel hands it out, and as ext4 stores it.
pub(crate) const POSIX_ACL_XATTR_VERSION: u32 = 2;
pub(crate) const EXT4_ACL_VERSION: u32 = 1;
/// Tags of its entries. Those of a named user and a named group are followed by its id.
pub(crate) const ACL_USER_OBJ: u16 = 0x01;
pub(crate) const ACL_USER: u16 = 0x02;
pub(crate) const ACL_GROUP_OBJ: u16 = 0x04;
pub(crate) const ACL_GROUP: u16 = 0x08;
pub(crate) const ACL_MASK: u16 = 0x10;
pub(crate) const ACL_OTHER: u16 = 0x20;

/// The header of a block.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct XattrHeader {
    pub(crate) h_magic: U32,
    pub(crate) h_refcount: U32,
    pub(crate) h_blocks: U32,
    pub(crate) h_hash: U32,

    pub(crate) h_checksum: U32,
    pub(crate) h_reserved: [U32; 3],
}

/// An attribute; its name follows.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct XattrEntry {
    pub(crate) e_name_len: u8,
    pub(crate) e_name_index: u8,
    pub(crate) e_value_offs: U16,
    pub(crate) e_value_inum: U32,
    pub(crate) e_value_size: U32,
    pub(crate) e_hash: U32,
}

const _: () = assert!(size_of::<XattrHeader>() == 32);
const _: () = assert!(std::mem::offset_of!(XattrHeader, h_checksum) == 16);
const _: () = assert!(size_of::<XattrEntry>() == 16);

/// `e_hash`, over unsigned characters, as all architectures do since Linux 6.2 (readers accept
/// both).
pub(crate) fn entry_hash(name: &[u8], value: &[u8]) -> u32 {
    let name = name.iter().fold(0u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
    value.chunks(4).fold(name, |hash, bytes| {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

/// `h_hash`, over the hashes of the entries; zero when one of them is, which means "do not share".
pub(crate) fn block_hash(entries: impl IntoIterator<Item = u32>) -> u32 {
    let mut hash = 0u32;
    for entry in entries {
        if entry == 0 {
            return 0;
        }
        hash = hash.rotate_left(16) ^ entry;
    }
    hash
}
