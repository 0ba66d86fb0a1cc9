//! What the caller decides about a filesystem.

/// How large the filesystem is to be, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Size {
    /// Room to work in, by [`Size::AUTO_POLICY`].
    #[default]
    Auto,
    /// The smallest that holds everything.
    Min,
    /// So much more than [`Size::Min`].
    Extra(u64),
    /// Exactly so long. The filesystem is rounded down to whole blocks, and to a last block group
    /// that is worth its own tables; what is left over at the end stays unused, so the disk is as
    /// long as was asked for.
    Exact(u64),
}

impl Size {
    /// What [`Size::Auto`] means, for a help text.
    pub const AUTO_POLICY: &str =
        "the smallest size that holds everything, plus a quarter of it, plus 256 MiB, rounded up to a whole MiB";

    /// The policy of [`Size::Auto`]: the size that goes with a smallest size, in bytes.
    #[must_use]
    pub fn auto_bytes(smallest: u64) -> u64 {
        const MIB: u64 = 1024 * 1024;
        (smallest + smallest.div_ceil(4) + 256 * MIB).next_multiple_of(MIB)
    }
}

/// How many inodes the filesystem is to have. More than was asked for may fill up the last block of
/// each inode table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Inodes {
    /// Enough to work with, by [`Inodes::AUTO_POLICY`].
    #[default]
    Auto,
    /// At least so many.
    Count(u32),
    /// One for every so many bytes of the filesystem.
    BytesPerInode(u64),
}

impl Inodes {
    /// What [`Inodes::Auto`] means, for a help text.
    pub const AUTO_POLICY: &str = "one inode per 16 KiB of disk, at least a quarter and 8192 more than the files need; \
                                   hardly more than they need on a disk of the smallest size";

    /// The policy of [`Inodes::Auto`] on a disk with room: how many for a filesystem that needs so
    /// many.
    #[must_use]
    pub fn auto_count(needed: u64, disk_bytes: u64) -> u64 {
        (needed + needed.div_ceil(4) + 8192).max(disk_bytes / (16 * 1024))
    }

    /// The policy of [`Inodes::Auto`] on a disk without: how many for a filesystem that needs so
    /// many.
    #[must_use]
    pub fn fewest(needed: u64) -> u64 {
        needed + 16
    }
}

/// Everything about a filesystem that its tree does not say.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Options {
    /// How large it is.
    pub size: Size,
    /// How many inodes it has.
    pub inodes: Inodes,
    /// Its name, at most 16 bytes.
    pub label: Vec<u8>,
    /// Its identity, which also seeds the checksums.
    pub uuid: [u8; 16],
    /// What the hashes of names in large directories start from; all zeros is ext4's own default.
    pub hash_seed: [u8; 16],
    /// Whether it has a journal.
    pub journal: bool,
    /// When it was made, in seconds since 1970, and the times of what only the filesystem has
    /// (`lost+found`, the journal). Kept within 0 to 2^40 - 1, which is what a superblock holds.
    pub epoch: i64,
    /// The pack whose content stands together, in the pack's own order and from
    /// [`BASE_PACK_BLOCK`](crate::BASE_PACK_BLOCK) on, so that a file which begins as that pack can
    /// become the disk. Where much of it is dead, it is placed like the others.
    pub base_pack: Option<u32>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            size: Size::default(),
            inodes: Inodes::default(),
            label: Vec::new(),
            uuid: [0; 16],
            hash_seed: [0; 16],
            journal: true,
            epoch: 0,
            base_pack: None,
        }
    }
}
