//! Bitmaps and group descriptors as bytes.

use std::ops::Range;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::{Batch, Writer};
use crate::Error;
use crate::format::checksum::Checksum;
use crate::format::group as format;
use crate::format::{BLOCK_LEN, BLOCKS_PER_GROUP, EXT4_GOOD_OLD_FIRST_INO, ZEROS};
use crate::layout::space::merge;

impl Writer<'_> {
    /// Writes bitmaps, group descriptors and superblocks, those of the first group last.
    pub(super) fn write_groups(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let (geometry, placed) = (&self.layout.geometry, &self.layout.placed);
        let used = self.used_blocks();
        let mut dirs = self.dirs_by_group();
        let desc_size = usize::from(geometry.desc_size());
        let mut descriptors = vec![0; usize::try_from(geometry.desc_blocks()).expect("fewer than 2^14") * BLOCK_LEN];
        // Inode bitmaps stand behind all block bitmaps.
        let mut inode_bitmaps = Vec::new();
        for (group, &[block_bitmap, inode_bitmap, inode_table]) in placed.tables.groups.iter().enumerate() {
            let number = group as u64;
            let mut descriptor = Descriptor::new([block_bitmap, inode_bitmap, inode_table]);

            let blocks = geometry.group_blocks(number);
            let bits = used_in(&used, blocks.clone());
            let taken: u64 = bits.clone().map(|range| range.end - range.start).sum();
            descriptor.free_blocks(blocks.end - blocks.start - taken);
            if self.layout.has_block_bitmap(number) {
                let mut bitmap = ZEROS;
                bits.for_each(|range| set(&mut bitmap, range));
                set(&mut bitmap, blocks.end - blocks.start..BLOCKS_PER_GROUP);
                descriptor.block_bitmap_checksum(self.seed.with(&bitmap));
                batch.put(block_bitmap, &bitmap)?;
            } else {
                descriptor.flag(format::EXT4_BG_BLOCK_UNINIT);
            }

            let inodes = self.layout.used_inodes(number);
            descriptor.inodes(inodes, geometry.inodes_per_group, std::mem::take(&mut dirs[group]));
            if inodes > 0 {
                let mut bitmap = ZEROS;
                set(&mut bitmap, 0..inodes);
                set(&mut bitmap, geometry.inodes_per_group..BLOCKS_PER_GROUP);
                let len = usize::try_from(geometry.inodes_per_group / 8).expect("at most a block");
                descriptor.inode_bitmap_checksum(self.seed.with(&bitmap[..len]));
                inode_bitmaps.push((inode_bitmap, bitmap));
            } else {
                descriptor.flag(format::EXT4_BG_INODE_UNINIT);
            }

            let number = u32::try_from(number).expect("fewer than 2^20 groups");
            let bytes = descriptor.sealed(number, desc_size, self.seed);
            descriptors[group * desc_size..(group + 1) * desc_size].copy_from_slice(&bytes.as_bytes()[..desc_size]);
        }
        for (block, bitmap) in inode_bitmaps {
            batch.put(block, &bitmap)?;
        }
        self.write_superblocks(&descriptors, batch)
    }

    /// All blocks that are not free.
    fn used_blocks(&self) -> Vec<Range<u64>> {
        let mut used = self.layout.used_space();
        used.extend_from_slice(self.layout.placed.space.taken());
        merge(used)
    }

    /// How many directories each group of inodes has.
    fn dirs_by_group(&self) -> Vec<u64> {
        let (content, geometry) = (&self.layout.content, &self.layout.geometry);
        let mut groups = vec![0; self.layout.placed.tables.groups.len()];
        let per_group = u32::try_from(geometry.inodes_per_group).expect("at most 32768");
        let lost_found = content.numbers.lost_found().map(|_| EXT4_GOOD_OLD_FIRST_INO);
        let dirs = content.dirs.iter();
        let dirs = dirs.map(|dir| content.numbers.ino(cvbake_tree::Ino::from_index(dir.inode as usize)));
        for ino in dirs.chain(lost_found) {
            groups[((ino - 1) / per_group) as usize] += 1;
        }
        groups
    }
}

/// The parts of sorted ranges within another, counted from its start.
fn used_in(used: &[Range<u64>], within: Range<u64>) -> impl Iterator<Item = Range<u64>> + Clone {
    let first = used.partition_point(|range| range.end <= within.start);
    let Range { start, end } = within;
    used[first..]
        .iter()
        .take_while(move |range| range.start < end)
        .map(move |range| range.start.max(start) - start..range.end.min(end) - start)
}

/// Sets a range of bits.
fn set(bitmap: &mut [u8; BLOCK_LEN], range: Range<u64>) {
    let mut range =
        usize::try_from(range.start).expect("within a block")..usize::try_from(range.end).expect("within a block");
    while !range.is_empty() && range.start % 8 != 0 {
        bitmap[range.start / 8] |= 1 << (range.start % 8);
        range.start += 1;
    }
    while !range.is_empty() && range.end % 8 != 0 {
        range.end -= 1;
        bitmap[range.end / 8] |= 1 << (range.end % 8);
    }
    if !range.is_empty() {
        bitmap[range.start / 8..range.end / 8].fill(0xff);
    }
}

/// A group descriptor under construction.
struct Descriptor(format::GroupDescriptor);

impl Descriptor {
    fn new(tables: [u64; 3]) -> Descriptor {
        let mut raw = format::GroupDescriptor::new_zeroed();
        let [(a, a_hi), (b, b_hi), (c, c_hi)] = tables.map(halves);
        (raw.bg_block_bitmap_lo, raw.bg_block_bitmap_hi) = (a, a_hi);
        (raw.bg_inode_bitmap_lo, raw.bg_inode_bitmap_hi) = (b, b_hi);
        (raw.bg_inode_table_lo, raw.bg_inode_table_hi) = (c, c_hi);
        // Nothing was ever written there, so that nobody needs to zero it.
        raw.bg_flags = U16::new(format::EXT4_BG_INODE_ZEROED);
        Descriptor(raw)
    }

    fn flag(&mut self, flag: u16) {
        self.0.bg_flags = U16::new(self.0.bg_flags.get() | flag);
    }

    /// All counts are at most the bits of a bitmap, 32768: the upper halves stay zero.
    fn free_blocks(&mut self, free: u64) {
        self.0.bg_free_blocks_count_lo = small(free);
    }

    fn inodes(&mut self, used: u64, all: u64, dirs: u64) {
        self.0.bg_free_inodes_count_lo = small(all - used);
        self.0.bg_itable_unused_lo = small(all - used);
        self.0.bg_used_dirs_count_lo = small(dirs);
    }

    fn block_bitmap_checksum(&mut self, checksum: Checksum) {
        self.0.bg_block_bitmap_csum_lo = U16::new(checksum.low());
        self.0.bg_block_bitmap_csum_hi = U16::new(checksum.high());
    }

    fn inode_bitmap_checksum(&mut self, checksum: Checksum) {
        self.0.bg_inode_bitmap_csum_lo = U16::new(checksum.low());
        self.0.bg_inode_bitmap_csum_hi = U16::new(checksum.high());
    }

    /// With its checksum, over as much of it as is on the disk.
    fn sealed(mut self, group: u32, desc_size: usize, seed: Checksum) -> format::GroupDescriptor {
        let checksum = seed.with(&group.to_le_bytes()).with(&self.0.as_bytes()[..desc_size]);
        self.0.bg_checksum = U16::new(checksum.low());
        self.0
    }
}

fn small(count: u64) -> U16 {
    U16::new(u16::try_from(count).expect("at most the bits of a bitmap"))
}

fn halves(number: u64) -> (U32, U32) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    (U32::from_bytes([a, b, c, d]), U32::from_bytes([e, f, g, h]))
}
