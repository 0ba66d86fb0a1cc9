//! How large everything is, and where the parts stand that depend on nothing but sizes.

use std::ops::Range;

use crate::format::group::{EXT4_MIN_DESC_SIZE, EXT4_MIN_DESC_SIZE_64BIT};
use crate::format::journal::journal_blocks;
use crate::format::{BLOCK_SIZE, BLOCKS_PER_GROUP, INODES_PER_BLOCK, MAX_INODES_PER_GROUP};

use super::space::Space;

/// The largest filesystem that we make, in blocks: 64 TiB. Its group descriptors are 32 MiB, with a
/// copy in each of 28 groups; what is larger should have them spread (`meta_bg`), which this writer
/// does not know.
pub(crate) const MAX_BLOCKS: u64 = 1 << 34;

/// Blocks that a last group must have besides copies of the superblock and the descriptors. mke2fs
/// and resize2fs drop a smaller rest too, so that the two never disagree about where a filesystem
/// ends.
const LAST_GROUP_MIN: u64 = 50;

/// Blocks that can be addressed by the 32-bit pointers of the resize inode.
const MAX_BLOCKS_32BIT: u64 = u32::MAX as u64;

/// The sizes of a filesystem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    pub(crate) blocks: u64,
    pub(crate) groups: u64,
    pub(crate) inodes_per_group: u64,
    pub(crate) journal_blocks: u64,
}

impl Geometry {
    /// A filesystem of at least so many blocks and inodes: more where the last group would be too
    /// small, or where the groups are too few for the inodes.
    pub(crate) fn at_least(blocks: u64, inodes: u64, journal: bool) -> Geometry {
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP).max(inodes.div_ceil(MAX_INODES_PER_GROUP)).max(1);
        let mut blocks = blocks.max((groups - 1) * BLOCKS_PER_GROUP + 1);
        while is_cut_short(blocks) {
            blocks += 1;
        }
        Geometry::new(blocks, inodes, journal)
    }

    /// The largest filesystem within so many blocks. The number of inodes must be possible in it.
    pub(crate) fn within(blocks: u64, inodes: u64, journal: bool) -> Geometry {
        Geometry::new(usable(blocks), inodes, journal)
    }

    fn new(blocks: u64, inodes: u64, journal: bool) -> Geometry {
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP).max(1);
        let inodes_per_group = inodes.div_ceil(groups).next_multiple_of(INODES_PER_BLOCK).max(INODES_PER_BLOCK);
        let journal_blocks = if journal { journal_blocks(blocks) } else { 0 };
        Geometry { blocks, groups, inodes_per_group, journal_blocks }
    }

    /// Whether it has not even one group that is worth its tables.
    pub(crate) fn is_too_small(&self) -> bool {
        is_cut_short(self.blocks)
    }

    /// Whether block numbers take more than 32 bits.
    pub(crate) fn is_64bit(&self) -> bool {
        self.blocks > MAX_BLOCKS_32BIT
    }

    pub(crate) fn desc_size(&self) -> u16 {
        if self.is_64bit() { EXT4_MIN_DESC_SIZE_64BIT } else { EXT4_MIN_DESC_SIZE }
    }

    /// Blocks of group descriptors.
    pub(crate) fn desc_blocks(&self) -> u64 {
        desc_blocks(self.blocks)
    }

    /// Blocks kept for more group descriptors.
    pub(crate) fn reserved_gdt_blocks(&self) -> u64 {
        reserved_gdt_blocks(self.blocks)
    }

    /// Blocks of an inode table.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    pub(crate) fn inodes(&self) -> u64 {
        self.groups * self.inodes_per_group
    }

    /// The blocks of a group.
    pub(crate) fn group_blocks(&self, group: u64) -> Range<u64> {
        group * BLOCKS_PER_GROUP..((group + 1) * BLOCKS_PER_GROUP).min(self.blocks)
    }

    /// Blocks at the start of a group that hold the superblock, the descriptors and room for more
    /// of them.
    pub(crate) fn super_blocks(&self, group: u64) -> u64 {
        super_blocks(group, self.blocks)
    }

    /// The groups that keep a copy of the superblock, the first one included.
    pub(crate) fn super_groups(&self) -> impl Iterator<Item = u64> {
        super_groups(self.groups)
    }
}

/// Where the bitmaps and the inode table of every group stand.
#[derive(Debug)]
pub(crate) struct Tables {
    /// The block bitmap, the inode bitmap and the first block of the inode table of each group.
    pub(crate) groups: Vec<[u64; 3]>,
}

impl Tables {
    /// Packs all tables into the front of what the superblocks and other things that stand already
    /// leave; also gives the space that remains.
    pub(crate) fn pack(geometry: &Geometry, in_place: &[Range<u64>]) -> (Tables, Space) {
        let fixed = Space::new(supers(geometry).chain(in_place.iter().cloned()).collect());
        let mut groups = vec![[0; 3]; usize::try_from(geometry.groups).expect("fewer than 2^20 groups")];
        let mut taken = Vec::new();
        let mut at = 0;
        for (which, len) in [(0, 1), (1, 1), (2, geometry.inode_table_blocks())] {
            for group in &mut groups {
                at = fixed.first_fit(at, len);
                group[which] = at;
                taken.push(at..at + len);
                at += len;
            }
        }
        taken.extend_from_slice(fixed.taken());
        (Tables { groups }, Space::new(taken))
    }
}

/// The blocks of the superblocks and descriptors, which have a fixed place.
pub(crate) fn supers(geometry: &Geometry) -> impl Iterator<Item = Range<u64>> {
    geometry.super_groups().map(|group| {
        let start = group * BLOCKS_PER_GROUP;
        start..start + geometry.super_blocks(group)
    })
}

/// All but a last group that is too small to be worth its tables.
fn usable(blocks: u64) -> u64 {
    if blocks > BLOCKS_PER_GROUP && is_cut_short(blocks) { blocks - blocks % BLOCKS_PER_GROUP } else { blocks }
}

/// Whether the last group is too small to be worth its tables.
fn is_cut_short(blocks: u64) -> bool {
    let rest = blocks % BLOCKS_PER_GROUP;
    blocks == 0 || (rest != 0 && rest < super_blocks(blocks / BLOCKS_PER_GROUP, blocks) + LAST_GROUP_MIN)
}

fn descs_per_block(blocks: u64) -> u64 {
    let size = if blocks > MAX_BLOCKS_32BIT { EXT4_MIN_DESC_SIZE_64BIT } else { EXT4_MIN_DESC_SIZE };
    BLOCK_SIZE / u64::from(size)
}

fn desc_blocks(blocks: u64) -> u64 {
    blocks.div_ceil(BLOCKS_PER_GROUP).div_ceil(descs_per_block(blocks)).max(1)
}

/// mke2fs's rule: room to grow by a factor of 1024, as far as 32-bit block numbers and the one
/// double indirect block of the resize inode allow; but always one block, so that the smallest
/// filesystem can become one of 32 GiB.
fn reserved_gdt_blocks(blocks: u64) -> u64 {
    const POINTERS_PER_BLOCK: u64 = BLOCK_SIZE / 4;
    if blocks > MAX_BLOCKS_32BIT {
        return 0;
    }
    let grown = (blocks * 1024).min(MAX_BLOCKS_32BIT);
    desc_blocks(grown).saturating_sub(desc_blocks(blocks)).clamp(1, POINTERS_PER_BLOCK)
}

fn super_blocks(group: u64, blocks: u64) -> u64 {
    if has_super(group) { 1 + desc_blocks(blocks) + reserved_gdt_blocks(blocks) } else { 0 }
}

/// sparse_super: the groups 0 and 1, and the powers of 3, 5 and 7.
fn has_super(group: u64) -> bool {
    let is_power = |base: u64| {
        let mut power = base;
        while power < group {
            power *= base;
        }
        power == group
    };
    group <= 1 || is_power(3) || is_power(5) || is_power(7)
}

fn super_groups(groups: u64) -> impl Iterator<Item = u64> {
    // Powers of odd numbers are odd.
    std::iter::once(0).chain((1..groups).step_by(2)).filter(|&group| has_super(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_the_superblock() {
        let groups: Vec<u64> = super_groups(130).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn room_to_grow_as_mke2fs_leaves_it() {
        const GIB: u64 = 1 << 18;
        // What dumpe2fs says of filesystems of `mke2fs -b 4096 -O ^64bit`, but of the smallest,
        // which have none there.
        for (blocks, expected) in
            [(1000, 1), (GIB / 4, 15), (GIB, 63), (2 * GIB, 127), (16 * GIB, 1023), (100 * GIB, 1017)]
        {
            assert_eq!(reserved_gdt_blocks(blocks), expected, "{blocks}");
        }
        assert_eq!(reserved_gdt_blocks(1 << 32), 0);
    }

    #[test]
    fn a_last_group_is_worth_its_tables() {
        for blocks in (1..70_000).chain(90_000..140_000) {
            let least = Geometry::at_least(blocks, 100, true);
            assert!(least.blocks >= blocks && !is_cut_short(least.blocks));
            assert_eq!(Geometry::within(least.blocks, 100, true), least);
            let within = Geometry::within(blocks, 100, true);
            assert!(within.blocks <= blocks && (blocks < 60 || !is_cut_short(within.blocks)), "{blocks}");
        }
    }
}
