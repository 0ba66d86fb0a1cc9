//! A partition table as it is stored.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::NAME_UNITS;

pub(super) const EFI_PART: &[u8; 8] = b"EFI PART";
pub(super) const REVISION: u32 = 0x0001_0000;

/// What everybody writes, and the least that the specification reserves room for.
pub(super) const ENTRIES: usize = 128;
pub(super) const ENTRIES_U32: u32 = 128;

pub(super) const ENTRY_SIZE: u32 = 128;
pub(super) const HEADER_SIZE: u32 = 92;

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout, Debug, Clone)]
#[repr(C)]
pub(super) struct GptHeader {
    pub(super) signature: [u8; 8],
    pub(super) revision: U32,
    pub(super) header_size: U32,

    pub(super) header_crc32: U32,
    pub(super) reserved: U32,
    pub(super) my_lba: U64,

    pub(super) alternate_lba: U64,
    pub(super) first_usable_lba: U64,

    pub(super) last_usable_lba: U64,
    pub(super) disk_guid: [u8; 16],
    pub(super) partition_entry_lba: U64,

    pub(super) tail: GptHeaderTail,
}

/// What is said of the entries.
#[derive(IntoBytes, FromBytes, Immutable, KnownLayout, Debug, Clone)]
#[repr(C)]
pub(super) struct GptHeaderTail {
    pub(super) number_of_partition_entries: U32,
    pub(super) size_of_partition_entry: U32,
    pub(super) partition_entry_array_crc32: U32,
}

const _: () = assert!(size_of::<GptHeader>() == 92);

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout, Debug, Clone)]
#[repr(C)]
pub(super) struct GptEntry {
    pub(super) partition_type_guid: [u8; 16],
    pub(super) unique_partition_guid: [u8; 16],

    pub(super) starting_lba: U64,
    pub(super) ending_lba: U64,

    pub(super) attributes: U64,
    pub(super) partition_name: [U16; NAME_UNITS],
}

const _: () = assert!(size_of::<GptEntry>() == 128);

/// The first sector, for programs that know no GPT.
#[derive(IntoBytes, Immutable, KnownLayout, Debug)]
#[repr(C)]
pub(super) struct Mbr {
    boot_code: [u8; 440],
    unique_mbr_disk_signature: U32,
    unknown: U16,
    partition_record: [MbrPartition; 4],
    signature: U16,
}

const _: () = assert!(size_of::<Mbr>() == 512);

#[derive(IntoBytes, Immutable, KnownLayout, Debug, Clone, Copy)]
#[repr(C)]
struct MbrPartition {
    boot_indicator: u8,
    starting_chs: [u8; 3],
    os_type: u8,
    ending_chs: [u8; 3],
    starting_lba: U32,
    size_in_lba: U32,
}

impl Mbr {
    /// One that says that all of the disk is in use, up to this sector.
    pub(super) fn protecting(last_lba: u64) -> Mbr {
        const GPT_PROTECTIVE: u8 = 0xee;
        let unused = MbrPartition {
            boot_indicator: 0,
            starting_chs: [0; 3],
            os_type: 0,
            ending_chs: [0; 3],
            starting_lba: U32::ZERO,
            size_in_lba: U32::ZERO,
        };
        let whole = MbrPartition {
            starting_chs: [0, 2, 0],
            os_type: GPT_PROTECTIVE,
            ending_chs: [0xff; 3],
            starting_lba: U32::new(1),
            // As much as can be said.
            size_in_lba: U32::new(u32::try_from(last_lba).unwrap_or(u32::MAX)),
            ..unused
        };
        Mbr {
            boot_code: [0; 440],
            unique_mbr_disk_signature: U32::ZERO,
            unknown: U16::ZERO,
            partition_record: [whole, unused, unused, unused],
            signature: U16::new(0xaa55),
        }
    }
}
