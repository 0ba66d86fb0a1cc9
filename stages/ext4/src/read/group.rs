//! Group descriptors: read when an inode of the group is.

use std::ops::Range;

use zerocopy::FromBytes as _;
use zerocopy::little_endian::U32;

use super::superblock::Superblock;
use super::{Error, Filesystem, Object};
use crate::format::checksum::crc16;
use crate::format::group::{EXT4_MIN_DESC_SIZE, GroupDescriptor};
use crate::format::superblock::{INCOMPAT_64BIT, INCOMPAT_META_BG};

impl Filesystem {
    /// The first block of a group's inode table.
    pub(super) fn inode_table(&self, group: u64) -> Result<u64, Error> {
        self.table_of(group, &self.descriptor(group)?)
    }

    /// The descriptor of a group.
    pub(super) fn descriptor(&self, group: u64) -> Result<GroupDescriptor, Error> {
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
        if superblock.incompat & INCOMPAT_64BIT == 0 {
            whole[usize::from(EXT4_MIN_DESC_SIZE)..].fill(0);
        }
        Ok(GroupDescriptor::read_from_bytes(&whole).expect("as many bytes"))
    }

    /// The first block of the inode table, as a descriptor says it.
    pub(super) fn table_of(&self, group: u64, raw: &GroupDescriptor) -> Result<u64, Error> {
        let superblock = &self.superblock;
        let table = wide(raw.bg_inode_table_lo, raw.bg_inode_table_hi);
        if !superblock.has_blocks(table, superblock.table_blocks()) {
            let expected = format!("a table within {} blocks", superblock.info.blocks);
            return Err(Object::Group(group).value("bg_inode_table", table, expected));
        }
        Ok(table)
    }

    /// The blocks with the block bitmap and the inode bitmap.
    pub(super) fn bitmaps(&self, group: u64, raw: &GroupDescriptor) -> Result<[u64; 2], Error> {
        let blocks = wide(raw.bg_block_bitmap_lo, raw.bg_block_bitmap_hi);
        let inodes = wide(raw.bg_inode_bitmap_lo, raw.bg_inode_bitmap_hi);
        for (field, block) in [("bg_block_bitmap", blocks), ("bg_inode_bitmap", inodes)] {
            if !self.superblock.has_block(block) {
                let expected = format!("less than {}", self.superblock.info.blocks);
                return Err(Object::Group(group).value(field, block, expected));
            }
        }
        Ok([blocks, inodes])
    }
}

fn wide(low: U32, high: U32) -> u64 {
    u64::from(high.get()) << 32 | u64::from(low.get())
}

impl Superblock {
    pub(super) fn groups(&self) -> u64 {
        (self.info.blocks - self.first_data_block).div_ceil(self.blocks_per_group)
    }

    /// The blocks of a group.
    pub(super) fn group_blocks(&self, group: u64) -> Range<u64> {
        let start = self.first_data_block + group * self.blocks_per_group;
        start..(start + self.blocks_per_group).min(self.info.blocks)
    }

    /// How many blocks an inode table has.
    pub(super) fn table_blocks(&self) -> u64 {
        let bytes = u64::from(self.inodes_per_group) * u64::from(self.info.inode_size);
        bytes.div_ceil(self.info.block_size)
    }

    /// The superblock of a group, with the descriptors and the room for more of these; none where
    /// there is no copy. Those that `sparse_super2` and `meta_bg` put elsewhere are not told.
    pub(super) fn supers(&self, group: u64) -> Option<Range<u64>> {
        let all = self.group_blocks(group);
        let per_block = self.info.block_size / u64::from(self.desc_size);
        let behind = match self.incompat & INCOMPAT_META_BG {
            0 => self.groups().div_ceil(per_block) + self.reserved_gdt_blocks,
            _ => self.first_meta_bg,
        };
        let has_copy = group == 0 || !self.is_sparse2 && (!self.is_sparse || has_super(group));
        // Blocks of 64 KiB have the first superblock within the first of them, as all others do.
        has_copy.then(|| all.start..all.start.saturating_add(1).saturating_add(behind).min(all.end))
    }

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
