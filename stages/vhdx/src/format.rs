//! The structures of a VHDX file, byte for byte. All numbers are little-endian.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// Where the parts of the header section are. The file type identifier is at 0.
pub(crate) const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
pub(crate) const REGION_TABLES: [u64; 2] = [192 * KIB, 256 * KIB];

/// How long a region table is: its checksum is of all of it.
pub(crate) const REGION_TABLE_LEN: usize = 64 << 10;

/// Where metadata items begin, counted from the table: what is before belongs to the table.
pub(crate) const METADATA_ITEMS: u32 = 64 << 10;

/// A GUID in its binary form.
pub(crate) type Guid = [u8; 16];

/// The binary form of a GUID that is written as text: the first three fields are little-endian.
pub(crate) const fn guid(text: u128) -> Guid {
    swapped(text.to_be_bytes())
}

/// A GUID as it is written, from its binary form, and the other way round.
pub(crate) const fn swapped(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

pub(crate) const BAT_REGION: Guid = guid(0x2DC27766_F623_4200_9D64_115E9BFD4A08);
pub(crate) const METADATA_REGION: Guid = guid(0x8B7CA206_4790_4B9A_B8FE_575F050F886E);

pub(crate) const FILE_PARAMETERS: Guid = guid(0xCAA16737_FA36_4D43_B3B6_33F0AA44E76B);
pub(crate) const VIRTUAL_DISK_SIZE: Guid = guid(0x2FA54224_CD1B_4876_B211_5DBED83BF4B8);
pub(crate) const VIRTUAL_DISK_ID: Guid = guid(0xBECA12AB_B2E6_4523_93EF_C309E000C746);
pub(crate) const LOGICAL_SECTOR_SIZE: Guid = guid(0x8141BF1D_A96F_4709_BA47_F233A8FAAB5F);
pub(crate) const PHYSICAL_SECTOR_SIZE: Guid = guid(0xCDA348C7_445D_4471_9CC9_E9885251C556);
pub(crate) const PARENT_LOCATOR: Guid = guid(0xA8D35F2D_B30B_454D_ABF7_D3D84834AB0C);

/// The one type of parent locator that there is.
pub(crate) const VHDX_LOCATOR: Guid = guid(0xB04AEFB7_D19E_4A81_B789_25B8E9445913);

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: U32,
    pub(crate) sequence_number: U64,

    pub(crate) file_write_guid: Guid,

    pub(crate) data_write_guid: Guid,

    /// Zeros: the log is empty.
    pub(crate) log_guid: Guid,

    pub(crate) log_version: U16,
    pub(crate) version: U16,
    pub(crate) log_length: U32,
    pub(crate) log_offset: U64,

    pub(crate) reserved: [u8; 4016],
}

const _: () = assert!(size_of::<Header>() == 4096);

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct RegionTableHeader {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: U32,
    pub(crate) entry_count: U32,
    pub(crate) reserved: U32,
}

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct RegionTableEntry {
    pub(crate) guid: Guid,

    pub(crate) file_offset: U64,
    pub(crate) length: U32,
    pub(crate) required: U32,
}

const _: () = assert!(size_of::<RegionTableHeader>() == 16 && size_of::<RegionTableEntry>() == 32);

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct MetadataTableHeader {
    pub(crate) signature: [u8; 8],
    pub(crate) reserved: U16,
    pub(crate) entry_count: U16,
    pub(crate) reserved_2: [u8; 20],
}

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct MetadataTableEntry {
    pub(crate) item_id: Guid,

    pub(crate) offset: U32,
    pub(crate) length: U32,
    pub(crate) flags: U32,
    pub(crate) reserved: U32,
}

const _: () = assert!(size_of::<MetadataTableHeader>() == 32 && size_of::<MetadataTableEntry>() == 32);

/// Flags of a metadata entry: it is the user's and nothing of the format; it is about the disk, not
/// the file; a reader must know it.
pub(crate) const IS_USER: u32 = 1;
pub(crate) const IS_VIRTUAL_DISK: u32 = 1 << 1;
pub(crate) const IS_REQUIRED: u32 = 1 << 2;

/// A file parameter: blocks stay allocated, so the disk is a fixed one.
pub(crate) const LEAVE_BLOCKS_ALLOCATED: u32 = 1;

/// A file parameter: what is not in this file is in another.
pub(crate) const HAS_PARENT: u32 = 1 << 1;

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ParentLocatorHeader {
    pub(crate) locator_type: Guid,
    pub(crate) reserved: U16,
    pub(crate) key_value_count: U16,
}

#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ParentLocatorEntry {
    pub(crate) key_offset: U32,
    pub(crate) value_offset: U32,
    pub(crate) key_length: U16,
    pub(crate) value_length: U16,
}

const _: () = assert!(size_of::<ParentLocatorHeader>() == 20 && size_of::<ParentLocatorEntry>() == 12);

/// The states of a payload block: the lowest bits of its entry.
pub(crate) const PAYLOAD_BLOCK_NOT_PRESENT: u64 = 0;
pub(crate) const PAYLOAD_BLOCK_UNDEFINED: u64 = 1;
pub(crate) const PAYLOAD_BLOCK_ZERO: u64 = 2;
pub(crate) const PAYLOAD_BLOCK_UNMAPPED: u64 = 3;
pub(crate) const PAYLOAD_BLOCK_FULLY_PRESENT: u64 = 6;
pub(crate) const PAYLOAD_BLOCK_PARTIALLY_PRESENT: u64 = 7;

/// The states of a sector bitmap: not there, or in this file.
pub(crate) const SECTOR_BITMAP_NOT_PRESENT: u64 = 0;
pub(crate) const SECTOR_BITMAP_PRESENT: u64 = 6;

/// The bits of an entry that are its state, and those that are a position in the file.
pub(crate) const BAT_STATE: u64 = 7;
pub(crate) const BAT_OFFSET: u64 = !(MIB - 1);

/// The bits of an entry that are neither.
pub(crate) const BAT_RESERVED: u64 = !(BAT_STATE | BAT_OFFSET);

/// How many sectors a sector bitmap block describes: so many belong to a chunk.
pub(crate) const CHUNK_SECTORS: u64 = 1 << 23;
