//! The superblock, checked.

use cvbake_disk::ReadAt;
use zerocopy::FromBytes as _;

use super::{Error, Object};
use crate::format::checksum::{Checksum, EXT4_CRC32C_CHKSUM};
use crate::format::group::{EXT4_MIN_DESC_SIZE, EXT4_MIN_DESC_SIZE_64BIT};
use crate::format::inode::EXT4_GOOD_OLD_INODE_SIZE;
use crate::format::{EXT4_GOOD_OLD_FIRST_INO, superblock as format};

/// `s_log_block_size` of the largest blocks: 64 KiB.
const MAX_LOG_BLOCK_SIZE: u32 = 6;

/// What a filesystem says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The bytes of a block.
    pub block_size: u64,
    /// How many blocks there are.
    pub blocks: u64,
    /// How many of them are free.
    pub free_blocks: u64,
    /// How many inodes there are.
    pub inodes: u32,
    /// How many of them are free.
    pub free_inodes: u32,
    /// The bytes of an inode.
    pub inode_size: u16,
    /// Its name.
    pub label: Vec<u8>,
    /// Its identity.
    pub uuid: [u8; 16],
    /// What it has beyond the first ext2, as `mke2fs -O` calls it.
    pub features: Vec<String>,
    /// Whether its journal has something that its blocks do not have yet. What is read is then what
    /// the blocks have.
    pub needs_recovery: bool,
    /// Whether the kernel found faults in it, and nobody looked since.
    pub has_errors: bool,
    /// When it was made, in seconds since 1970.
    pub made: i64,
    /// How often it was mounted since it was checked last.
    pub mounts: u16,
}

impl Info {
    /// The length of the filesystem.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.blocks * self.block_size
    }
}

/// What reading needs of the superblock.
pub(super) struct Superblock {
    pub(super) info: Info,
    pub(super) incompat: u32,
    pub(super) ro_compat: u32,
    pub(super) seed: Option<Checksum>,
    pub(super) uuid_crc16: Option<u16>,
    pub(super) first_data_block: u64,
    pub(super) blocks_per_group: u64,
    pub(super) inodes_per_group: u32,
    pub(super) first_ino: u32,
    pub(super) desc_size: u16,
    pub(super) first_meta_bg: u64,
    pub(super) is_sparse: bool,
    /// Whether copies of the superblock are only where the superblock says.
    pub(super) is_sparse2: bool,
    pub(super) reserved_gdt_blocks: u64,
    /// How many blocks a bit of a block bitmap stands for.
    pub(super) blocks_per_bit: u64,
    /// The inode of the journal; 0 if there is none.
    pub(super) journal_inum: u32,
}

pub(super) fn has_magic(disk: &dyn ReadAt) -> std::io::Result<bool> {
    let offset = format::SUPERBLOCK_OFFSET + std::mem::offset_of!(format::Superblock, s_magic);
    let mut magic = [0; 2];
    if disk.len_bytes() < (format::SUPERBLOCK_OFFSET + size_of::<format::Superblock>()) as u64 {
        return Ok(false);
    }
    disk.read_at(offset as u64, &mut magic)?;
    Ok(u16::from_le_bytes(magic) == format::EXT4_SUPER_MAGIC)
}

impl Superblock {
    pub(super) fn read(disk: &dyn ReadAt) -> Result<Superblock, Error> {
        const OBJECT: Object = Object::Superblock;
        let mut bytes = [0; size_of::<format::Superblock>()];
        let offset = format::SUPERBLOCK_OFFSET as u64;
        if disk.len_bytes() < offset + bytes.len() as u64 {
            return Err(Error::Short { len_bytes: disk.len_bytes() });
        }
        disk.read_at(offset, &mut bytes).map_err(|source| OBJECT.unreadable(source))?;
        let raw = format::Superblock::read_from_bytes(&bytes).expect("as many bytes");
        if raw.s_magic.get() != format::EXT4_SUPER_MAGIC {
            return Err(Error::Magic { found: raw.s_magic.get() });
        }
        let is_old = raw.s_rev_level.get() == format::EXT4_GOOD_OLD_REV;
        if raw.s_rev_level.get() > format::EXT4_DYNAMIC_REV {
            return Err(OBJECT.value("s_rev_level", raw.s_rev_level.get(), "0 or 1"));
        }
        let feature = |word: zerocopy::little_endian::U32| if is_old { 0 } else { word.get() };
        let compat = feature(raw.s_feature_compat);
        let incompat = feature(raw.s_feature_incompat);
        let ro_compat = feature(raw.s_feature_ro_compat);
        let unknown = incompat & !READ;
        if unknown != 0 {
            return Err(Error::Features { features: names(&INCOMPAT, unknown).join(", ") });
        }
        let seed = checksum_seed(&raw, &bytes, incompat, ro_compat)?;

        let log = raw.s_log_block_size.get();
        if log > MAX_LOG_BLOCK_SIZE {
            return Err(OBJECT.value("s_log_block_size", log, "at most 6"));
        }
        let block_size = 1024u64 << log;
        let wide = |low: u32, high: u32| match incompat & format::INCOMPAT_64BIT {
            0 => u64::from(low),
            _ => u64::from(high) << 32 | u64::from(low),
        };
        let blocks = wide(raw.s_blocks_count_lo.get(), raw.s_blocks_count_hi.get());
        if blocks == 0 || blocks > disk.len_bytes() / block_size {
            let expected = format!("1 to {}, which is what the disk has", disk.len_bytes() / block_size);
            return Err(OBJECT.value("s_blocks_count", blocks, expected));
        }
        let first_data_block = u64::from(raw.s_first_data_block.get());
        if first_data_block >= blocks || first_data_block > 1 {
            return Err(OBJECT.value("s_first_data_block", first_data_block, "0 or 1"));
        }
        let inode_size = if is_old { EXT4_GOOD_OLD_INODE_SIZE } else { raw.s_inode_size.get() };
        if inode_size < EXT4_GOOD_OLD_INODE_SIZE || u64::from(inode_size) > block_size || !inode_size.is_power_of_two()
        {
            return Err(OBJECT.value("s_inode_size", inode_size, "a power of two from 128 to the size of a block"));
        }
        let (blocks_per_group, inodes_per_group) = group_size(&raw, block_size, ro_compat)?;
        let groups = (blocks - first_data_block).div_ceil(blocks_per_group);
        let inodes = raw.s_inodes_count.get();
        if Some(u64::from(inodes)) != groups.checked_mul(u64::from(inodes_per_group)) {
            let expected = format!("{groups} groups of {inodes_per_group}");
            return Err(OBJECT.value("s_inodes_count", inodes, expected));
        }
        let first_ino = if is_old { EXT4_GOOD_OLD_FIRST_INO } else { raw.s_first_ino.get() };
        if first_ino < EXT4_GOOD_OLD_FIRST_INO {
            return Err(OBJECT.value("s_first_ino", first_ino, "at least 11"));
        }
        let desc_size = match incompat & format::INCOMPAT_64BIT {
            0 => EXT4_MIN_DESC_SIZE,
            _ => raw.s_desc_size.get(),
        };
        if incompat & format::INCOMPAT_64BIT != 0
            && (!(EXT4_MIN_DESC_SIZE_64BIT..=1024).contains(&desc_size) || !desc_size.is_power_of_two())
        {
            return Err(OBJECT.value("s_desc_size", desc_size, "a power of two from 64 to 1024"));
        }
        let mut features = names(&COMPAT, compat);
        features.extend(names(&INCOMPAT, incompat));
        features.extend(names(&RO_COMPAT, ro_compat));
        let label = raw.s_volume_name.iter().copied().take_while(|&byte| byte != 0).collect();
        let free_blocks = wide(raw.s_free_blocks_count_lo.get(), raw.s_free_blocks_count_hi.get());
        let old_checksums = seed.is_none() && ro_compat & format::RO_COMPAT_GDT_CSUM != 0;
        Ok(Superblock {
            info: Info {
                block_size,
                blocks,
                free_blocks: free_blocks.min(blocks),
                inodes,
                free_inodes: raw.s_free_inodes_count.get(),
                inode_size,
                label,
                uuid: raw.s_uuid,
                features,
                needs_recovery: incompat & format::INCOMPAT_RECOVER != 0,
                has_errors: raw.s_state.get() & format::EXT4_ERROR_FS != 0,
                made: i64::from(raw.s_mkfs_time_hi) << 32 | i64::from(raw.s_mkfs_time.get()),
                mounts: raw.s_mnt_count.get(),
            },
            incompat,
            ro_compat,
            seed,
            uuid_crc16: old_checksums.then(|| crate::format::checksum::crc16(!0, &raw.s_uuid)),
            first_data_block,
            blocks_per_group,
            inodes_per_group,
            first_ino,
            desc_size,
            first_meta_bg: u64::from(raw.s_first_meta_bg.get()),
            is_sparse: ro_compat & format::RO_COMPAT_SPARSE_SUPER != 0,
            is_sparse2: compat & COMPAT_SPARSE_SUPER2 != 0,
            reserved_gdt_blocks: raw.s_reserved_gdt_blocks.get().into(),
            blocks_per_bit: match ro_compat & format::RO_COMPAT_BIGALLOC {
                0 => 1,
                _ => blocks_per_group / u64::from(raw.s_clusters_per_group.get()),
            },
            journal_inum: if compat & format::COMPAT_HAS_JOURNAL == 0 { 0 } else { raw.s_journal_inum.get() },
        })
    }

    /// Whether there is such a block, and it is not one of those before the filesystem.
    pub(super) fn has_block(&self, number: u64) -> bool {
        (self.first_data_block..self.info.blocks).contains(&number)
    }

    /// Whether all blocks of a range are there.
    pub(super) fn has_blocks(&self, start: u64, count: u64) -> bool {
        start >= self.first_data_block && start.checked_add(count).is_some_and(|end| end <= self.info.blocks)
    }
}

/// Compares the superblock's checksum, and finds the seed of all others.
fn checksum_seed(
    raw: &format::Superblock,
    bytes: &[u8],
    incompat: u32,
    ro_compat: u32,
) -> Result<Option<Checksum>, Error> {
    if ro_compat & format::RO_COMPAT_METADATA_CSUM == 0 {
        return Ok(None);
    }
    if raw.s_checksum_type != EXT4_CRC32C_CHKSUM {
        return Err(Object::Superblock.value("s_checksum_type", raw.s_checksum_type, "1, CRC-32C"));
    }
    let covered = &bytes[..std::mem::offset_of!(format::Superblock, s_checksum)];
    Object::Superblock.check(Checksum::START.with(covered).value(), raw.s_checksum.get())?;
    Ok(Some(match incompat & format::INCOMPAT_CSUM_SEED {
        0 => Checksum::of_filesystem(&raw.s_uuid),
        _ => Checksum::seeded(raw.s_checksum_seed.get()),
    }))
}

/// Blocks and inodes of a group: as many as a block of bitmap has bits, where a bit may stand for
/// several blocks.
fn group_size(raw: &format::Superblock, block_size: u64, ro_compat: u32) -> Result<(u64, u32), Error> {
    let bits = block_size * 8;
    let (field, units) = match ro_compat & format::RO_COMPAT_BIGALLOC {
        0 => ("s_blocks_per_group", raw.s_blocks_per_group.get()),
        _ => ("s_clusters_per_group", raw.s_clusters_per_group.get()),
    };
    let blocks = raw.s_blocks_per_group.get();
    if units == 0 || u64::from(units) > bits || blocks < units {
        return Err(Object::Superblock.value(field, units, format!("1 to {bits}")));
    }
    let inodes = raw.s_inodes_per_group.get();
    if inodes == 0 || u64::from(inodes) > bits {
        return Err(Object::Superblock.value("s_inodes_per_group", inodes, format!("1 to {bits}")));
    }
    Ok((blocks.into(), inodes))
}

/// The incompatible features that this reader knows. Names in directories that are folded
/// (`casefold`) are read as they stand there.
const READ: u32 = format::INCOMPAT_FILETYPE
    | format::INCOMPAT_RECOVER
    | format::INCOMPAT_META_BG
    | format::INCOMPAT_EXTENTS
    | format::INCOMPAT_64BIT
    | format::INCOMPAT_MMP
    | format::INCOMPAT_FLEX_BG
    | format::INCOMPAT_CSUM_SEED
    | format::INCOMPAT_LARGEDIR
    | format::INCOMPAT_INLINE_DATA;

/// The superblock has the groups with copies of it.
const COMPAT_SPARSE_SUPER2: u32 = 0x200;

/// The names of features, as e2fsprogs gives them, by bit.
const COMPAT: [&str; 14] = [
    "dir_prealloc",
    "imagic_inodes",
    "has_journal",
    "ext_attr",
    "resize_inode",
    "dir_index",
    "lazy_bg",
    "",
    "exclude_bitmap",
    "sparse_super2",
    "fast_commit",
    "stable_inodes",
    "orphan_file",
    "",
];
const INCOMPAT: [&str; 18] = [
    "compression",
    "filetype",
    "needs_recovery",
    "journal_dev",
    "meta_bg",
    "",
    "extent",
    "64bit",
    "mmp",
    "flex_bg",
    "ea_inode",
    "",
    "dirdata",
    "metadata_csum_seed",
    "large_dir",
    "inline_data",
    "encrypt",
    "casefold",
];
const RO_COMPAT: [&str; 17] = [
    "sparse_super",
    "large_file",
    "",
    "huge_file",
    "uninit_bg",
    "dir_nlink",
    "extra_isize",
    "has_snapshot",
    "quota",
    "bigalloc",
    "metadata_csum",
    "replica",
    "read-only",
    "project",
    "shared_blocks",
    "verity",
    "orphan_present",
];

fn names(names: &[&str], bits: u32) -> Vec<String> {
    let name = |bit: u32| match names.get(bit as usize) {
        None | Some(&"") => format!("bit {bit}"),
        Some(name) => (*name).to_owned(),
    };
    (0..32).filter(|bit| bits & 1 << bit != 0).map(name).collect()
}
