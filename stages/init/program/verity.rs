//! dm-verity: the superblock of a hash tree, and what the kernel is told of it.

use super::identify::{Wanted, stored, uuid};

/// The superblock of a hash tree, as `veritysetup` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock<'b> {
    pub(crate) hash_type: u32,
    pub(crate) algorithm: &'b [u8],
    pub(crate) data_block_size: u32,
    pub(crate) hash_block_size: u32,
    pub(crate) data_blocks: u64,
    pub(crate) salt: &'b [u8],
}

impl<'b> Superblock<'b> {
    pub(crate) fn parse(bytes: &'b [u8; 512]) -> Option<Superblock<'b>> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..8] != *b"verity\0\0" || word(8) != 1 {
            return None;
        }
        let name = &bytes[32..64];
        let end = name.iter().position(|byte| *byte == 0)?;
        let algorithm = &name[..end];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_()".contains(byte);
        let salt_size = usize::from(u16::from_le_bytes([bytes[80], bytes[81]]));
        let superblock = Superblock {
            hash_type: word(12),
            algorithm,
            data_block_size: word(64),
            hash_block_size: word(68),
            data_blocks: u64::from(word(72)) | u64::from(word(76)) << 32,
            salt: bytes.get(88..88 + salt_size).filter(|_| salt_size <= 256)?,
        };
        let is_size = |size: u32| size.is_power_of_two() && (512..=65536).contains(&size);
        let fits = is_size(superblock.data_block_size)
            && is_size(superblock.hash_block_size)
            && !algorithm.is_empty()
            && algorithm.iter().all(is_name)
            && superblock.sectors().is_some();
        fits.then_some(superblock)
    }

    /// How many sectors of 512 bytes the data has.
    pub(crate) fn sectors(&self) -> Option<u64> {
        self.data_blocks.checked_mul(u64::from(self.data_block_size / 512))
    }

    /// The first block of the tree, counted from the beginning of its device, where the superblock
    /// is at this byte: it has the first block for itself, or what is left of it.
    pub(crate) fn first_block(&self, offset: u64) -> Option<u64> {
        Some(offset.checked_add(512)?.div_ceil(u64::from(self.hash_block_size)))
    }
}

/// The partitions that a root hash names: that of the data, and that of the hash tree.
pub(crate) fn partitions(root_hash: &[u8]) -> Option<(Wanted<'static>, Wanted<'static>)> {
    // What is shorter has no two halves that differ.
    if root_hash.len() < 64 || !root_hash.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let half = |text| uuid(text).map(|guid| Wanted::PartUuid(stored(guid)));
    Some((half(&root_hash[..32])?, half(&root_hash[root_hash.len() - 32..])?))
}
