//! Group descriptors: read when an inode of the group is.

use zerocopy::FromBytes as _;

use super::superblock::Superblock;
use super::{Error, Filesystem, Object};
use crate::format::checksum::crc16;
use crate::format::group::GroupDescriptor;
use crate::format::superblock::{INCOMPAT_64BIT, INCOMPAT_META_BG};

impl Filesystem {
    /// The first block of a group's inode table.
    pub(super) fn inode_table(&self, group: u64) -> Result<u64, Error> {
        let object = Object::Group(group);
        let superblock = &self.superblock;
        let size = usize::from(superblock.desc_size);
        let (block, at) = superblock.descriptor(group);
        if !superblock.has_block(block) {
            return Err(object.value("its block", block, format!("less than {}", superblock.info.blocks)));
        }
        let mut bytes = vec![0; size];
        let offset = block * superblock.info.block_size + at;
        self.disk.read_at(offset, &mut bytes).map_err(|source| object.unreadable(source))?;
        superblock.check_descriptor(group, &bytes)?;
        let mut whole = [0; size_of::<GroupDescriptor>()];
        let known = size.min(whole.len());
        whole[..known].copy_from_slice(&bytes[..known]);
        let raw = GroupDescriptor::read_from_bytes(&whole).expect("as many bytes");
        let high = if superblock.incompat & INCOMPAT_64BIT == 0 { 0 } else { raw.bg_inode_table_hi.get() };
        let table = u64::from(high) << 32 | u64::from(raw.bg_inode_table_lo.get());
        let bytes = u64::from(superblock.inodes_per_group) * u64::from(superblock.info.inode_size);
        if !superblock.has_blocks(table, bytes.div_ceil(superblock.info.block_size)) {
            let expected = format!("a table within {} blocks", superblock.info.blocks);
            return Err(object.value("bg_inode_table", table, expected));
        }
        Ok(table)
    }
}

impl Superblock {
    /// The block and the byte in it where the descriptor of a group is.
    ///
    /// They stand behind the superblock; with `meta_bg`, those of as many groups as a block has
    /// room for stand in the first of these groups, from a group on.
    fn descriptor(&self, group: u64) -> (u64, u64) {
        let size = u64::from(self.desc_size);
        let per_block = self.info.block_size / size;
        let (meta_group, at) = (group / per_block, group % per_block * size);
        if self.incompat & INCOMPAT_META_BG == 0 || meta_group < self.first_meta_bg {
            // Block 0 is the first block of the disk, where the superblock may be, too.
            let superblock = 1024 / self.info.block_size;
            return (superblock.max(self.first_data_block) + 1 + meta_group, at);
        }
        let first = meta_group * per_block;
        let copy = if !self.is_sparse || has_super(first) { 1 } else { 0 };
        // The first group of a filesystem with small blocks begins behind the boot block.
        (self.first_data_block + first.saturating_mul(self.blocks_per_group) + copy, at)
    }

    fn check_descriptor(&self, group: u64, bytes: &[u8]) -> Result<(), Error> {
        const AT: usize = std::mem::offset_of!(GroupDescriptor, bg_checksum);
        let stored = u16::from_le_bytes([bytes[AT], bytes[AT + 1]]);
        let number = u32::try_from(group).unwrap_or(u32::MAX).to_le_bytes();
        let found = if let Some(seed) = self.seed {
            seed.with(&number).with(&bytes[..AT]).with(&[0; 2]).with(&bytes[AT + 2..]).low()
        } else if let Some(crc) = self.uuid_crc16 {
            let crc = crc16(crc16(crc, &number), &bytes[..AT]);
            if self.incompat & INCOMPAT_64BIT == 0 { crc } else { crc16(crc, &bytes[AT + 2..]) }
        } else {
            return Ok(());
        };
        Object::Group(group).check(found.into(), stored.into())
    }
}

/// sparse_super: the groups 0 and 1, and the powers of 3, 5 and 7.
fn has_super(group: u64) -> bool {
    let is_power = |base: u64| {
        let power = std::iter::successors(Some(base), |power| power.checked_mul(base)).find(|&power| power >= group);
        power == Some(group)
    };
    group <= 1 || is_power(3) || is_power(5) || is_power(7)
}
