//! The structures of a VHD file. All numbers are big-endian.
//!
//! Specification: "Virtual Hard Disk Image Format Specification", version 1.0.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The unit of lengths and positions.
pub(crate) const SECTOR: u64 = 512;

/// The longest disk: Microsoft's own limit of 2040 GiB, within which all positions fit 32 bits.
pub(crate) const MAX: u64 = 2040 << 30;

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct HardDiskFooter {
    pub(crate) cookie: [u8; 8],
    pub(crate) features: U32,
    pub(crate) file_format_version: U32,

    pub(crate) data_offset: U64,
    pub(crate) time_stamp: U32,
    pub(crate) creator_application: [u8; 4],

    pub(crate) creator_version: U32,
    pub(crate) creator_host_os: [u8; 4],
    pub(crate) original_size: U64,

    pub(crate) current_size: U64,
    pub(crate) cylinders: U16,
    pub(crate) heads: u8,
    pub(crate) sectors_per_track: u8,
    pub(crate) disk_type: U32,

    pub(crate) checksum: U32,
    pub(crate) unique_id: [u8; 16],
    pub(crate) saved_state: u8,
    pub(crate) reserved: [u8; 427],
}

const _: () = assert!(size_of::<HardDiskFooter>() == 512);

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DynamicDiskHeader {
    pub(crate) cookie: [u8; 8],
    pub(crate) data_offset: U64,

    pub(crate) table_offset: U64,
    pub(crate) header_version: U32,
    pub(crate) max_table_entries: U32,

    pub(crate) block_size: U32,
    pub(crate) checksum: U32,
    pub(crate) parent_unique_id: [u8; 16],
    pub(crate) parent_time_stamp: U32,
    pub(crate) reserved_1: U32,
    pub(crate) parent_unicode_name: [u8; 512],
    pub(crate) parent_locators: [u8; 192],
    pub(crate) reserved_2: [u8; 256],
}

const _: () = assert!(size_of::<DynamicDiskHeader>() == 1024);

pub(crate) const FIXED: u32 = 2;
pub(crate) const DYNAMIC: u32 = 3;
pub(crate) const NO_OFFSET: u64 = u64::MAX;
pub(crate) const UNUSED: u32 = u32::MAX;
pub(crate) const DIFFERENCING: u32 = 4;

/// The one's complement of the sum of all bytes, with zeros for the checksum itself.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>()
}
