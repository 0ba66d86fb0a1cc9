//! An ext4 reader that shares nothing with the writer: it is written from the kernel's
//! documentation (`Documentation/filesystems/ext4`), reads a disk back as a listing, and checks
//! every checksum on its way.

mod inode;
mod tree;
mod xattr;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::SeekFrom;

use super::image::digest;

pub(crate) use tree::listing;

/// A filesystem, opened for reading.
#[derive(Debug)]
pub(crate) struct Ext4 {
    file: File,
    /// The 1024 bytes at offset 1024.
    pub(crate) superblock: Vec<u8>,
    pub(crate) block_size: u64,
    pub(crate) blocks: u64,
    blocks_per_group: u64,
    inodes_per_group: u32,
    inode_size: u64,
    groups: Vec<Group>,
    /// What all checksums but the superblock's start from.
    seed: u32,
}

#[derive(Debug)]
struct Group {
    block_bitmap: u64,
    inode_table: u64,
    flags: u16,
}

/// Group flag: the block bitmap on the disk means nothing; only metadata of the group itself is in
/// use.
const BLOCK_UNINIT: u16 = 2;

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The kernel's `crc32c`: no inversion before and after.
fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// `bytes` with one range read as zeros.
fn masked(bytes: &[u8], range: Range<usize>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[range].fill(0);
    bytes
}

/// The parts of a file that are not holes.
pub(crate) fn data_runs(file: &File) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    // SEEK_DATA fails where nothing but a hole is left.
    while let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(runs.last().map_or(0, |run| run.end))) {
        runs.push(start..rustix::fs::seek(file, SeekFrom::Hole(start)).expect("a hole, or the end"));
    }
    runs
}

/// What the bytes of a disk are: a digest of its length, and of all blocks that have anything in
/// them, with their places. Holes, which are most of a disk, are not read.
pub(crate) fn bytes_of(disk: &Path) -> String {
    let file = File::open(disk).unwrap_or_else(|error| panic!("{}: {error}", disk.display()));
    let mut content = file.metadata().expect("a length").len().to_le_bytes().to_vec();
    let mut block = Vec::new();
    for run in data_runs(&file) {
        let mut at = run.start;
        while at < run.end {
            block.resize(usize::try_from((run.end - at).min(4096)).expect("at most a block"), 0);
            file.read_exact_at(&mut block, at).expect("a disk can be read");
            if block.iter().any(|&byte| byte != 0) {
                content.extend_from_slice(&at.to_le_bytes());
                content.extend_from_slice(&block);
            }
            at += block.len() as u64;
        }
    }
    digest("sha256", &content)
}

impl Ext4 {
    pub(crate) fn open(path: &Path) -> Ext4 {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut superblock = vec![0; 1024];
        file.read_exact_at(&mut superblock, 1024).expect("a disk holds a superblock");
        let sb = &superblock;
        assert_eq!(le16(sb, 0x38), 0xef53, "s_magic");
        assert_eq!(le16(sb, 0x3a), 1, "s_state: cleanly unmounted");
        let (incompat, ro_compat) = (le32(sb, 0x60), le32(sb, 0x64));
        assert!(ro_compat & 0x400 != 0, "metadata_csum is on");
        assert_eq!(crc(!0, &sb[..0x3fc]), le32(sb, 0x3fc), "s_checksum");
        // filetype, extents, 64bit, flex_bg, csum_seed: what this reader knows; `recover` would
        // mean a dirty journal.
        assert_eq!(incompat & !(0x2 | 0x40 | 0x80 | 0x200 | 0x2000), 0, "s_feature_incompat {incompat:#x}");
        let wide = incompat & 0x80 != 0;
        let block_size = 1024 << le32(sb, 0x18);
        let high = |at: usize| if wide { u64::from(le32(sb, at)) << 32 } else { 0 };
        let blocks = u64::from(le32(sb, 4)) | high(0x150);
        let blocks_per_group = u64::from(le32(sb, 0x20));
        let first_data_block = u64::from(le32(sb, 0x14));
        let seed = if incompat & 0x2000 != 0 { le32(sb, 0x270) } else { crc(!0, &sb[0x68..0x78]) };
        let len = file.metadata().unwrap().len();
        assert!(blocks * block_size <= len, "s_blocks_count {blocks} × {block_size} fits the disk's {len} bytes");

        let desc_size = if wide { u64::from(le16(sb, 0xfe)) } else { 32 };
        let count = (blocks - first_data_block).div_ceil(blocks_per_group);
        let mut groups = Vec::new();
        for group in 0..count {
            let mut desc = vec![0; usize::try_from(desc_size).unwrap()];
            let table = (first_data_block + 1) * block_size;
            file.read_exact_at(&mut desc, table + group * desc_size).expect("a group descriptor");
            let number = u32::try_from(group).expect("fewer than 2^32 groups").to_le_bytes();
            let found = crc(crc(seed, &number), &masked(&desc, 0x1e..0x20)) & 0xffff;
            assert_eq!(u32::from(le16(&desc, 0x1e)), found, "bg_checksum of group {group}");
            let block = |lo: usize, hi: usize| {
                u64::from(le32(&desc, lo)) | if wide { u64::from(le32(&desc, hi)) << 32 } else { 0 }
            };
            let flags = le16(&desc, 0x12);
            groups.push(Group { block_bitmap: block(0, 0x20), inode_table: block(8, 0x28), flags });
        }
        let inodes_per_group = le32(sb, 0x28);
        let inode_size = u64::from(le16(sb, 0x58));
        Ext4 { file, block_size, blocks, blocks_per_group, inodes_per_group, inode_size, groups, seed, superblock }
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, number: u64) -> Vec<u8> {
        assert!(number < self.blocks, "block {number} of {}", self.blocks);
        let mut block = vec![0; usize::try_from(self.block_size).unwrap()];
        self.file.read_exact_at(&mut block, number * self.block_size).expect("a block of the disk");
        block
    }

    /// Every block that the bitmaps call free, and that holds anything but zeros.
    pub(crate) fn dirty_free_blocks(&self) -> Vec<u64> {
        let first = u64::from(le32(&self.superblock, 0x14));
        let mut bitmap = (u64::MAX, Vec::new());
        let mut dirty = Vec::new();
        for run in data_runs(&self.file) {
            for block in (run.start / self.block_size).max(first)..run.end.div_ceil(self.block_size).min(self.blocks) {
                let (group, at) = ((block - first) / self.blocks_per_group, (block - first) % self.blocks_per_group);
                let of_group = &self.groups[usize::try_from(group).unwrap()];
                if of_group.flags & BLOCK_UNINIT != 0 {
                    continue;
                }
                if bitmap.0 != group {
                    bitmap = (group, self.block(of_group.block_bitmap));
                }
                let used = bitmap.1[usize::try_from(at / 8).unwrap()] & 1 << (at % 8) != 0;
                if !used && self.block(block).iter().any(|&byte| byte != 0) {
                    dirty.push(block);
                }
            }
        }
        dirty
    }

    pub(crate) fn label(&self) -> Vec<u8> {
        self.superblock[0x78..0x88].iter().copied().take_while(|&byte| byte != 0).collect()
    }

    pub(crate) fn uuid(&self) -> &[u8] {
        &self.superblock[0x68..0x78]
    }

    pub(crate) fn has_journal(&self) -> bool {
        le32(&self.superblock, 0x5c) & 4 != 0
    }

    /// `s_default_mount_opts`.
    pub(crate) fn default_mount_options(&self) -> u32 {
        le32(&self.superblock, 0x100)
    }

    pub(crate) fn free_blocks(&self) -> u64 {
        u64::from(le32(&self.superblock, 0xc)) | u64::from(le32(&self.superblock, 0x158)) << 32
    }

    pub(crate) fn inode_counts(&self) -> (u32, u32) {
        (le32(&self.superblock, 0), le32(&self.superblock, 0x10))
    }
}
