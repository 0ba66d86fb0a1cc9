//! The superblock, checked.

use std::io;

use cvbake_disk::ReadAt;
use cvbake_tree::Time;
use zerocopy::FromBytes as _;

use super::error::Problem;
use super::{Error, Object};
use crate::format as f;

/// What the superblock says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The bytes of a block.
    pub block_size: u64,
    /// How many blocks there are.
    pub blocks: u64,
    /// How many inodes there are said to be.
    pub inodes: u64,
    /// The label, without the zeros behind it.
    pub label: Vec<u8>,
    /// The UUID.
    pub uuid: [u8; 16],
    /// When it was made, as it says: the modification time of small inodes.
    pub made: Time,
    /// The names of its features.
    pub features: Vec<String>,
}

impl Info {
    /// How long the filesystem is.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.blocks * self.block_size
    }
}

/// What is read by.
pub(super) struct Superblock {
    pub(super) info: Info,
    pub(super) root_nid: u64,
    /// Where the metadata area starts, from which nids count.
    pub(super) meta_at: u64,
    /// Where shared attributes are counted from.
    pub(super) xattr_at: u64,
}

/// Blocks of 512 bytes to 64 KiB: what Linux reads, on machines of whichever pages.
const BLOCK_BITS: std::ops::RangeInclusive<u8> = 9..=16;

const AT: u64 = f::EROFS_SUPER_OFFSET as u64;
const LEN: usize = size_of::<f::SuperBlock>();

/// Whether the magic number is there.
pub(super) fn has_magic(disk: &dyn ReadAt) -> io::Result<bool> {
    let mut magic = [0; 4];
    if disk.len_bytes() < AT + magic.len() as u64 {
        return Ok(false);
    }
    disk.read_at(AT, &mut magic)?;
    Ok(u32::from_le_bytes(magic) == f::EROFS_SUPER_MAGIC_V1)
}

impl Superblock {
    pub(super) fn read(disk: &dyn ReadAt) -> Result<Superblock, Error> {
        const OBJECT: Object = Object::Superblock;
        let len_bytes = disk.len_bytes();
        if len_bytes < AT + LEN as u64 {
            return Err(Error::Short { len_bytes });
        }
        let mut bytes = [0; LEN];
        let unreadable = |source| Error::Read { object: OBJECT, source };
        disk.read_at(AT, &mut bytes).map_err(unreadable)?;
        let raw = f::SuperBlock::read_from_bytes(&bytes).expect("as many bytes");
        if raw.magic.get() != f::EROFS_SUPER_MAGIC_V1 {
            return Err(Error::Magic { found: raw.magic.get() });
        }
        let incompat = raw.feature_incompat.get();
        let unknown = names(incompat & !f::INCOMPAT_KNOWN, &f::INCOMPAT_NAMES);
        if !unknown.is_empty() {
            return Err(Error::Features { features: unknown.join(", ") });
        }
        if !BLOCK_BITS.contains(&raw.blkszbits) {
            return Err(OBJECT.value("blkszbits", raw.blkszbits, "9 to 16"));
        }
        let block_size = 1u64 << raw.blkszbits;
        let blocks = u64::from(raw.blocks.get());
        if blocks == 0 || blocks * block_size > len_bytes {
            let expected = format!("1 to {}, as many as the disk has", len_bytes / block_size);
            return Err(OBJECT.value("blocks", blocks, expected));
        }
        if raw.feature_compat.get() & f::EROFS_FEATURE_COMPAT_SB_CHKSUM != 0 {
            // Linux: up to the end of block 0, or as much where that ends before the superblock.
            let covered = if block_size > AT { block_size - AT } else { block_size };
            if covered < LEN as u64 || AT + covered > len_bytes {
                return Err(OBJECT.value("blkszbits", raw.blkszbits, "a disk that has all of the block"));
            }
            let mut bytes = vec![0; usize::try_from(covered).expect("64 KiB at most")];
            disk.read_at(AT, &mut bytes).map_err(unreadable)?;
            bytes[4..8].fill(0);
            let (found, expected) = (f::checksum(&bytes), raw.checksum.get());
            if found != expected {
                return Err(OBJECT.damaged(Problem::Checksum { found, expected }));
            }
        }
        if raw.build_time_nsec.get() >= 1_000_000_000 {
            return Err(OBJECT.value("build_time_nsec", raw.build_time_nsec.get(), "less than 1000000000"));
        }
        let label = raw.volume_name.split(|&byte| byte == 0).next().unwrap_or_default();
        let mut features = names(raw.feature_compat.get(), &f::COMPAT_NAMES);
        features.extend(names(incompat, &f::INCOMPAT_NAMES));
        let info = Info {
            block_size,
            blocks,
            inodes: raw.inos.get(),
            label: label.to_vec(),
            uuid: raw.uuid,
            made: Time { secs: raw.build_time.get().cast_signed(), nanos: raw.build_time_nsec.get() },
            features,
        };
        Ok(Superblock {
            info,
            root_nid: raw.root_nid.get().into(),
            meta_at: u64::from(raw.meta_blkaddr.get()) * block_size,
            xattr_at: u64::from(raw.xattr_blkaddr.get()) * block_size,
        })
    }
}

/// The names of the bits that are set.
fn names(bits: u32, known: &[&str]) -> Vec<String> {
    let set = (0..u32::BITS).filter(|bit| bits >> bit & 1 == 1);
    let name = |bit: u32| {
        let known = usize::try_from(bit).ok().and_then(|bit| known.get(bit));
        known.map_or_else(|| format!("bit {bit}"), |name| (*name).to_owned())
    };
    set.map(name).collect()
}
