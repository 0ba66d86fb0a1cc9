//! Inodes: 256 bytes each, of which 128 + 32 are fields and the rest holds extended attributes.
//!
//! See the kernel's `Documentation/filesystems/ext4/inodes.rst`.
//!
//! Left zero, and why: `i_dtime` (nothing was deleted); the versions, `i_generation` (NFS handles
//! of a filesystem that was never mounted have no past to be told from); `i_obso_faddr`, `i_projid`
//! (unused, and project quotas are off).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `s_inode_size`.
pub(crate) const INODE_SIZE: u16 = 256;
/// `i_extra_isize`: the fields after the first 128 bytes, up to and with `i_projid`.
pub(crate) const EXTRA_ISIZE: u16 = 32;
/// What the fields leave for extended attributes.
pub(crate) const XATTR_SPACE: usize = INODE_SIZE as usize - 128 - EXTRA_ISIZE as usize;

pub(crate) const S_IFIFO: u16 = 0x1000;
pub(crate) const S_IFCHR: u16 = 0x2000;
pub(crate) const S_IFDIR: u16 = 0x4000;
pub(crate) const S_IFBLK: u16 = 0x6000;
pub(crate) const S_IFREG: u16 = 0x8000;
pub(crate) const S_IFLNK: u16 = 0xa000;
pub(crate) const S_IFSOCK: u16 = 0xc000;

/// `i_flags`: the directory has a hash index.
pub(crate) const EXT4_INDEX_FL: u32 = 0x1000;
/// `i_flags`: the content is encrypted.
pub(crate) const EXT4_ENCRYPT_FL: u32 = 0x800;
/// `i_flags`: `i_block` is an extent tree.
pub(crate) const EXT4_EXTENTS_FL: u32 = 0x80000;
/// `i_flags`: `i_block` has the content, and the attribute `system.data` what did not fit.
pub(crate) const EXT4_INLINE_DATA_FL: u32 = 0x1000_0000;
/// The bits of `i_mode` that say what kind of file it is.
pub(crate) const S_IFMT: u16 = 0xf000;
/// The bytes of an inode that every filesystem has.
pub(crate) const EXT4_GOOD_OLD_INODE_SIZE: u16 = 128;

/// Bytes of `i_block`: a shorter symbolic link's target is kept there.
pub(crate) const I_BLOCK_LEN: usize = 60;
/// How many of the words of `i_block` are blocks of the file, where it is no extent tree. The three
/// that follow lead to blocks of further words: over one level, over two and over three.
pub(crate) const EXT4_NDIR_BLOCKS: usize = 12;
/// The position of the pointer to the double indirect block in `i_block`.
pub(crate) const EXT4_DIND_BLOCK: usize = 13;

/// The longest target of a symbolic link: Linux's `PATH_MAX` with its NUL.
pub(crate) const SYMLINK_MAX: usize = 4095;
/// The largest file: 2^32 - 1 blocks, the most that 32-bit block numbers within a file can count.
pub(crate) const MAX_FILE_SIZE: u64 = (u32::MAX as u64) * super::BLOCK_SIZE;

/// The largest device numbers of Linux.
pub(crate) const MAX_MAJOR: u32 = 0xfff;
pub(crate) const MAX_MINOR: u32 = 0xf_ffff;

/// An inode.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Inode {
    pub(crate) i_mode: U16,
    pub(crate) i_uid: U16,
    pub(crate) i_size_lo: U32,
    pub(crate) i_atime: U32,
    pub(crate) i_ctime: U32,

    pub(crate) i_mtime: U32,
    pub(crate) i_dtime: U32,
    pub(crate) i_gid: U16,
    pub(crate) i_links_count: U16,
    pub(crate) i_blocks_lo: U32,

    pub(crate) i_flags: U32,
    pub(crate) l_i_version: U32,
    pub(crate) i_block: [u8; I_BLOCK_LEN],
    pub(crate) i_generation: U32,
    pub(crate) i_file_acl_lo: U32,
    pub(crate) i_size_high: U32,

    pub(crate) i_obso_faddr: U32,
    pub(crate) l_i_blocks_high: U16,
    pub(crate) l_i_file_acl_high: U16,
    pub(crate) l_i_uid_high: U16,
    pub(crate) l_i_gid_high: U16,
    pub(crate) l_i_checksum_lo: U16,
    pub(crate) l_i_reserved: U16,

    pub(crate) i_extra_isize: U16,
    pub(crate) i_checksum_hi: U16,
    pub(crate) i_ctime_extra: U32,
    pub(crate) i_mtime_extra: U32,
    pub(crate) i_atime_extra: U32,

    pub(crate) i_crtime: U32,
    pub(crate) i_crtime_extra: U32,
    pub(crate) i_version_hi: U32,
    pub(crate) i_projid: U32,

    pub(crate) xattrs: [u8; XATTR_SPACE],
}

const _: () = assert!(size_of::<Inode>() == INODE_SIZE as usize);
const _: () = assert!(std::mem::offset_of!(Inode, i_block) == 0x28);
const _: () = assert!(std::mem::offset_of!(Inode, i_extra_isize) == 0x80);
const _: () = assert!(std::mem::offset_of!(Inode, xattrs) == 128 + EXTRA_ISIZE as usize);

/// The first and the last second that an inode can hold: 1901-12-13 and 2446-05-10.
const MIN_TIME: i64 = -(1 << 31);
const MAX_TIME: i64 = (1 << 34) - (1 << 31) - 1;
/// Seconds between that an inode should not hold, 2310-04-04 to 2378-04-22: old kernels wrote times
/// before 1970 in such a way, so e2fsck takes these for damage and makes them those.
const DOUBTED_FROM: i64 = (3 << 32) - (1 << 31);
const DOUBTED_TO: i64 = 3 << 32;

/// The seconds and the extra word of a time: 30 bits of nanoseconds above two more bits of seconds.
/// A time that an inode can't hold becomes the nearest one before it that it can (or the first
/// one), without nanoseconds, as Linux does it.
pub(crate) fn encode_time(secs: i64, nanos: u32) -> (U32, U32) {
    let (secs, nanos) = match secs {
        ..MIN_TIME => (MIN_TIME, 0),
        DOUBTED_FROM..DOUBTED_TO => (DOUBTED_FROM - 1, 0),
        MIN_TIME..=MAX_TIME => (secs, nanos),
        _ => (MAX_TIME, 0),
    };
    let [a, b, c, d, ..] = secs.to_le_bytes();
    let low = i32::from_le_bytes([a, b, c, d]);
    let epoch = u32::try_from((secs - i64::from(low)) >> 32).expect("two bits, because the seconds are in range");
    (U32::from_bytes([a, b, c, d]), U32::new(nanos << 2 | epoch))
}

/// The words of `i_block` for a device: the old 16-bit form where it fits, else the new one in the
/// second word.
pub(crate) fn encode_device(major: u32, minor: u32) -> [u32; 2] {
    if major < 256 && minor < 256 {
        [major << 8 | minor, 0]
    } else {
        [0, (minor & 0xff) | major << 8 | (minor & !0xff) << 12]
    }
}

/// The seconds and nanoseconds that [`encode_time`] wrote. More nanoseconds than a second has are
/// no time.
pub(crate) fn decode_time(low: U32, extra: U32) -> Option<(i64, u32)> {
    let nanos = extra.get() >> 2;
    let secs = i64::from(low.get().cast_signed()) + (i64::from(extra.get() & 3) << 32);
    (nanos < 1_000_000_000).then_some((secs, nanos))
}

/// The device that [`encode_device`] wrote.
pub(crate) fn decode_device(words: [u32; 2]) -> (u32, u32) {
    match words {
        [0, new] => ((new >> 8) & 0xfff, (new & 0xff) | (new >> 12) & 0xf_ff00),
        [old, _] => ((old >> 8) & 0xff, old & 0xff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_or_cut_but_never_wrapped() {
        let cases: [(i64, u32, i64, u32); 13] = [
            (0, 0, 0, 0),
            (-1, 999_999_999, -1, 999_999_999),
            (MIN_TIME, 5, MIN_TIME, 5),
            (MIN_TIME - 1, 5, MIN_TIME, 0),
            (i64::MIN, 5, MIN_TIME, 0),
            ((1 << 31) - 1, 5, (1 << 31) - 1, 5),
            (1 << 31, 5, 1 << 31, 5),
            (1 << 32, 5, 1 << 32, 5),
            (10_737_418_239, 5, 10_737_418_239, 5),
            (10_737_418_240, 5, 10_737_418_239, 0),
            (12_884_901_888, 5, 12_884_901_888, 5),
            (MAX_TIME, 5, MAX_TIME, 5),
            (i64::MAX, 5, MAX_TIME, 0),
        ];
        for (secs, nanos, kept_secs, kept_nanos) in cases {
            let (low, extra) = encode_time(secs, nanos);
            assert_eq!(decode_time(low, extra), Some((kept_secs, kept_nanos)), "{secs}");
        }
    }

    #[test]
    fn devices_have_the_old_form_where_it_fits() {
        assert_eq!(encode_device(1, 3), [0x103, 0]);
        assert_eq!(encode_device(255, 255), [0xffff, 0]);
        assert_eq!(encode_device(256, 1), [0, 0x10001]);
        assert_eq!(encode_device(8, 256), [0, 0x10_0800]);
        assert_eq!(encode_device(MAX_MAJOR, MAX_MINOR), [0, 0xffff_ffff]);
        for (major, minor) in [(0, 0), (1, 3), (255, 255), (256, 1), (8, 256), (MAX_MAJOR, MAX_MINOR)] {
            assert_eq!(decode_device(encode_device(major, minor)), (major, minor));
        }
    }
}
