//! The structures of a qcow2 file. All numbers are big-endian.
//!
//! Specification: `docs/interop/qcow2.rst` of QEMU.

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bit 63 of an entry: what it points to is in use exactly once.
pub(crate) const QCOW_OFLAG_COPIED: u64 = 1 << 63;

/// Bit 62 of an entry of an L2 table: the cluster is compressed.
pub(crate) const QCOW_OFLAG_COMPRESSED: u64 = 1 << 62;

/// Bit 0 of an entry of an L2 table: the cluster reads as zeros.
pub(crate) const QCOW_OFLAG_ZERO: u64 = 1;

/// The bits of an entry that are a position in the file.
pub(crate) const L2E_OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

/// How QEMU limits the L1 table, in bytes, and with it the disk: 2 PiB with these clusters.
pub(crate) const QCOW_MAX_L1_SIZE: u64 = 32 << 20;

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct QCowHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) version: U32,
    pub(crate) backing_file_offset: U64,

    pub(crate) backing_file_size: U32,
    pub(crate) cluster_bits: U32,
    pub(crate) size: U64,

    pub(crate) crypt_method: U32,
    pub(crate) l1_size: U32,
    pub(crate) l1_table_offset: U64,

    pub(crate) refcount_table_offset: U64,
    pub(crate) refcount_table_clusters: U32,
    pub(crate) nb_snapshots: U32,

    pub(crate) snapshots_offset: U64,
    pub(crate) incompatible_features: U64,

    pub(crate) compatible_features: U64,
    pub(crate) autoclear_features: U64,

    pub(crate) refcount_order: U32,
    pub(crate) header_length: U32,
}

const _: () = assert!(size_of::<QCowHeader>() == 104);

/// How long the header of version 2 is: as much of the structure.
pub(crate) const VERSION_2_HEADER: usize = 72;

/// Where the compression type is, in headers that are long enough to have it.
pub(crate) const COMPRESSION_TYPE: u64 = 104;

/// The compression type of zstd; that of deflate is 0.
pub(crate) const COMPRESSION_ZSTD: u8 = 1;

/// How deflate looks back in compressed clusters, as a power of two: QEMU reads no more.
pub(crate) const DEFLATE_WINDOW_BITS: u8 = 12;

/// Bits of `incompatible_features`.
pub(crate) const INCOMPAT_DIRTY: u64 = 1;
pub(crate) const INCOMPAT_CORRUPT: u64 = 1 << 1;
pub(crate) const INCOMPAT_DATA_FILE: u64 = 1 << 2;
pub(crate) const INCOMPAT_COMPRESSION: u64 = 1 << 3;
pub(crate) const INCOMPAT_EXTL2: u64 = 1 << 4;

/// Header extensions: the end of them, and the format of the backing file.
pub(crate) const EXT_END: u32 = 0;
pub(crate) const EXT_BACKING_FORMAT: u32 = 0xe279_2aca;
