//! Superblocks as bytes.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::{Batch, Writer};
use crate::Error;
use crate::format::checksum::{Checksum, EXT4_CRC32C_CHKSUM};
use crate::format::group::LOG_GROUPS_PER_FLEX;
use crate::format::hash::DX_HASH_HALF_MD4;
use crate::format::inode::{EXTRA_ISIZE, I_BLOCK_LEN, INODE_SIZE};
use crate::format::superblock as format;
use crate::format::{BLOCK_LEN, BLOCKS_PER_GROUP, EXT4_GOOD_OLD_FIRST_INO, EXT4_JOURNAL_INO, ZEROS};

impl Writer<'_> {
    /// Writes the superblock and the descriptors, and their copies.
    pub(super) fn write_superblocks(&self, descriptors: &[u8], batch: &mut Batch<'_>) -> Result<(), Error> {
        let superblock = self.superblock();
        for group in self.layout.geometry.super_groups() {
            let mut copy = superblock.clone();
            // Sixteen bits: a number for people, and the copies of larger ones just don't say
            // theirs.
            copy.s_block_group_nr = U16::new(u16::try_from(group).unwrap_or(0));
            let checksum =
                Checksum::START.with(&copy.as_bytes()[..std::mem::offset_of!(format::Superblock, s_checksum)]);
            copy.s_checksum = U32::new(checksum.value());
            let at = if group == 0 { format::SUPERBLOCK_OFFSET } else { 0 };
            let mut block = ZEROS;
            block[at..at + size_of::<format::Superblock>()].copy_from_slice(copy.as_bytes());
            let first = group * BLOCKS_PER_GROUP;
            batch.put(first, &block)?;
            for (number, bytes) in (first + 1..).zip(descriptors.chunks_exact(BLOCK_LEN)) {
                batch.put(number, bytes.try_into().expect("chunks of a block"))?;
            }
        }
        Ok(())
    }

    fn superblock(&self) -> format::Superblock {
        let layout = self.layout;
        let (geometry, options) = (&layout.geometry, &layout.options);
        let mut raw = format::Superblock::new_zeroed();
        let count = |count: u64| U32::new(u32::try_from(count).expect("inode numbers have 32 bits"));
        raw.s_inodes_count = count(geometry.inodes());
        raw.s_free_inodes_count = count(layout.free_inodes());
        raw.s_inodes_per_group = count(geometry.inodes_per_group);
        (raw.s_blocks_count_lo, raw.s_blocks_count_hi) = halves(geometry.blocks);
        (raw.s_free_blocks_count_lo, raw.s_free_blocks_count_hi) = halves(layout.free_blocks());
        raw.s_blocks_per_group = count(BLOCKS_PER_GROUP);
        raw.s_clusters_per_group = count(BLOCKS_PER_GROUP);
        raw.s_log_block_size = U32::new(LOG_BLOCK_SIZE);
        raw.s_log_cluster_size = U32::new(LOG_BLOCK_SIZE);
        raw.s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
        raw.s_desc_size = if geometry.is_64bit() { U16::new(geometry.desc_size()) } else { U16::new(0) };
        raw.s_reserved_gdt_blocks = U16::new(u16::try_from(geometry.reserved_gdt_blocks()).expect("at most 1024"));

        raw.s_magic = U16::new(format::EXT4_SUPER_MAGIC);
        raw.s_rev_level = U32::new(format::EXT4_DYNAMIC_REV);
        raw.s_state = U16::new(format::EXT4_VALID_FS);
        raw.s_errors = U16::new(format::EXT4_ERRORS_CONTINUE);
        raw.s_max_mnt_count = U16::new(format::NO_MAX_MOUNT_COUNT);
        raw.s_default_mount_opts =
            U32::new(format::EXT4_DEFM_XATTR_USER | format::EXT4_DEFM_ACL | format::EXT4_DEFM_JMODE_ORDERED);
        raw.s_first_ino = U32::new(EXT4_GOOD_OLD_FIRST_INO);
        raw.s_inode_size = U16::new(INODE_SIZE);
        raw.s_min_extra_isize = U16::new(EXTRA_ISIZE);
        raw.s_want_extra_isize = U16::new(EXTRA_ISIZE);
        raw.s_checksum_type = EXT4_CRC32C_CHKSUM;

        raw.s_uuid = options.uuid;
        raw.s_volume_name[..options.label.len()].copy_from_slice(&options.label);
        raw.s_hash_seed = options.hash_seed;
        raw.s_def_hash_version = DX_HASH_HALF_MD4;
        raw.s_flags = U32::new(format::EXT2_FLAGS_SIGNED_HASH);

        let [a, b, c, d, e, ..] = options.epoch.clamp(0, (1 << 40) - 1).to_le_bytes();
        let (time, time_hi) = (U32::from_bytes([a, b, c, d]), e);
        (raw.s_mkfs_time, raw.s_mkfs_time_hi) = (time, time_hi);
        (raw.s_wtime, raw.s_wtime_hi) = (time, time_hi);
        (raw.s_lastcheck, raw.s_lastcheck_hi) = (time, time_hi);

        self.set_features(&mut raw);
        self.set_journal(&mut raw);
        raw
    }

    fn set_features(&self, raw: &mut format::Superblock) {
        let layout = self.layout;
        let when = |condition: bool, feature: u32| if condition { feature } else { 0 };
        raw.s_feature_compat = U32::new(
            format::COMPAT_EXT_ATTR
                | format::COMPAT_DIR_INDEX
                | when(layout.placed.journal.is_some(), format::COMPAT_HAS_JOURNAL)
                | when(layout.placed.resize_block.is_some(), format::COMPAT_RESIZE_INODE),
        );
        raw.s_feature_incompat = U32::new(
            format::INCOMPAT_FILETYPE
                | format::INCOMPAT_EXTENTS
                | format::INCOMPAT_FLEX_BG
                | when(layout.geometry.is_64bit(), format::INCOMPAT_64BIT)
                | when(layout.content.large_dir, format::INCOMPAT_LARGEDIR),
        );
        raw.s_feature_ro_compat = U32::new(
            format::RO_COMPAT_SPARSE_SUPER
                | format::RO_COMPAT_LARGE_FILE
                | format::RO_COMPAT_HUGE_FILE
                | format::RO_COMPAT_DIR_NLINK
                | format::RO_COMPAT_EXTRA_ISIZE
                | format::RO_COMPAT_METADATA_CSUM,
        );
    }

    /// The journal's inode number, and a copy of its map and size for the case that the inode is
    /// lost.
    fn set_journal(&self, raw: &mut format::Superblock) {
        let Some(journal) = &self.layout.placed.journal else { return };
        let inode = self.journal_inode(journal);
        raw.s_journal_inum = U32::new(EXT4_JOURNAL_INO);
        raw.s_jnl_backup_type = format::EXT3_JNL_BACKUP_BLOCKS;
        for (word, bytes) in raw.s_jnl_blocks.iter_mut().zip(inode.i_block.chunks_exact(4)) {
            *word = U32::from_bytes(bytes.try_into().expect("chunks of four"));
        }
        raw.s_jnl_blocks[I_BLOCK_LEN / 4] = inode.i_size_high;
        raw.s_jnl_blocks[I_BLOCK_LEN / 4 + 1] = inode.i_size_lo;
    }
}

/// `s_log_block_size`: how often 1024 is doubled.
const LOG_BLOCK_SIZE: u32 = 2;

fn halves(number: u64) -> (U32, U32) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    (U32::from_bytes([a, b, c, d]), U32::from_bytes([e, f, g, h]))
}
