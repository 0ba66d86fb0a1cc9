//! Extended attributes as bytes.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::format::checksum::Checksum;
use crate::format::xattr as format;
use crate::format::{BLOCK_LEN, ZEROS, inode};
use crate::layout::xattr::Attribute;

/// What goes into an inode behind its fields.
pub(super) fn in_inode(attributes: &[Attribute<'_>]) -> [u8; inode::XATTR_SPACE] {
    let mut space = [0; inode::XATTR_SPACE];
    if !attributes.is_empty() {
        space[..4].copy_from_slice(&format::EXT4_XATTR_MAGIC.to_le_bytes());
        // Offsets count from the first entry.
        put(&mut space[4..], 0, attributes);
    }
    space
}

/// A block of attributes, and how many inodes share it.
pub(super) fn block(attributes: &[Attribute<'_>], refcount: u32, disk_block: u64, seed: Checksum) -> [u8; BLOCK_LEN] {
    const HEADER: usize = size_of::<format::XattrHeader>();
    let mut block = ZEROS;
    put(&mut block, HEADER, attributes);
    let hashes = attributes.iter().map(|attribute| format::entry_hash(attribute.suffix, &attribute.value));
    let mut header = format::XattrHeader {
        h_magic: U32::new(format::EXT4_XATTR_MAGIC),
        h_refcount: U32::new(refcount),
        h_blocks: U32::new(1),
        h_hash: U32::new(format::block_hash(hashes)),
        h_checksum: U32::new(0),
        h_reserved: [U32::new(0); 3],
    };
    block[..HEADER].copy_from_slice(header.as_bytes());
    header.h_checksum = U32::new(seed.with(&disk_block.to_le_bytes()).with(&block).value());
    block[..HEADER].copy_from_slice(header.as_bytes());
    block
}

/// Entries from `at` up, values from the end down.
fn put(space: &mut [u8], mut at: usize, attributes: &[Attribute<'_>]) {
    let mut end = space.len();
    for Attribute { index, suffix, value, .. } in attributes {
        let mut offset = 0;
        if !value.is_empty() {
            end -= value.len().next_multiple_of(4);
            space[end..end + value.len()].copy_from_slice(value);
            offset = u16::try_from(end).expect("within a block");
        }
        let entry = format::XattrEntry {
            e_name_len: u8::try_from(suffix.len()).expect("a name has at most 255 bytes"),
            e_name_index: *index,
            e_value_offs: U16::new(offset),
            e_value_inum: U32::new(0),
            e_value_size: U32::new(u32::try_from(value.len()).expect("within a block")),
            e_hash: U32::new(format::entry_hash(suffix, value)),
        };
        let name = at + size_of::<format::XattrEntry>();
        space[at..name].copy_from_slice(entry.as_bytes());
        space[name..name + suffix.len()].copy_from_slice(suffix);
        at = name + suffix.len().next_multiple_of(4);
    }
}
