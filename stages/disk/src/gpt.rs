//! The partition table of disks that firmware boots: GPT.
//!
//! ```text
//! protective MBR │ header │ entries │ … 1 MiB │ partition │ … │ partition │ … │ entries │ header
//! ```
//!
//! * **A table is a list.** [`Table::plan`] takes partitions with their lengths, and places them in
//!   that order; what is at the end can grow.
//! * **Every partition begins at a multiple of 1 MiB**, which is what every tool does: no device
//!   has larger blocks. The disk ends at one as well, as Azure demands.
//! * **Types are those of the Discoverable Partitions Specification** ([`kind`]), so that systemd
//!   finds partitions that nobody names.
//! * **Nothing is random.** Who plans a table says the GUIDs.
//! * **What is read is hostile.** Both copies have checksums, and are checked beyond them: a table
//!   that is returned has partitions within the disk, and none overlaps another.
//!
//! Specification: UEFI 2.10, chapter 5. GUIDs here have their bytes in the order in which they are
//! written. Left zero: the boot code and the disk signature of the MBR; reserved fields.

mod format;
mod read;

use std::ops::Range;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros as _, IntoBytes as _};

use self::format::{EFI_PART, ENTRIES, GptEntry, GptHeader, GptHeaderTail, Mbr, REVISION};
pub use self::read::{Fault, Found, ReadError};
use crate::Piece;

/// The types of partitions: those of the Discoverable Partitions Specification.
pub mod kind {
    /// The EFI system partition, from which firmware boots.
    pub const ESP: [u8; 16] = 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b_u128.to_be_bytes();
    /// The root filesystem of an x86-64 system.
    pub const ROOT_X86_64: [u8; 16] = 0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709_u128.to_be_bytes();
    /// The root filesystem of an arm64 system.
    pub const ROOT_ARM64: [u8; 16] = 0xb921b045_1df0_41c3_af44_4c6f280d3fae_u128.to_be_bytes();
    /// The hash tree over the root filesystem of an x86-64 system.
    pub const ROOT_VERITY_X86_64: [u8; 16] = 0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5_u128.to_be_bytes();
    /// The hash tree over the root filesystem of an arm64 system.
    pub const ROOT_VERITY_ARM64: [u8; 16] = 0xdf3300ce_d69f_4c92_978c_9bfb0f38d820_u128.to_be_bytes();

    /// What a type is called, if it is one of these.
    #[must_use]
    pub fn name(kind: &[u8; 16]) -> Option<&'static str> {
        Some(match *kind {
            ESP => "esp",
            ROOT_X86_64 => "root-x86-64",
            ROOT_ARM64 => "root-arm64",
            ROOT_VERITY_X86_64 => "root-x86-64-verity",
            ROOT_VERITY_ARM64 => "root-arm64-verity",
            _ => return None,
        })
    }
}

/// The flags of partitions: those of the Discoverable Partitions Specification.
pub mod flag {
    /// The filesystem grows to the length of its partition when it is mounted.
    pub const GROW_FILE_SYSTEM: u64 = 1 << 59;
    /// It is mounted to be read only.
    pub const READ_ONLY: u64 = 1 << 60;
    /// It is not mounted by itself.
    pub const NO_AUTO: u64 = 1 << 63;
}

/// Where partitions begin, and where the disk ends: at multiples of this many bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// How many UTF-16 units the name of a partition has at most.
pub const NAME_UNITS: usize = 36;

/// A partition, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for: one of [`kind`], or another.
    pub kind: [u8; 16],
    /// Its own identity, the PARTUUID of Linux.
    pub guid: [u8; 16],
    /// Any of [`flag`], and others.
    pub flags: u64,
    /// Its name, of at most [`NAME_UNITS`] UTF-16 units.
    pub name: String,
}

/// A partition at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What it is.
    pub partition: Partition,
    /// Where it is on the disk, in bytes.
    pub range: Range<u64>,
}

/// A disk's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's identity.
    pub guid: [u8; 16],
    /// How many bytes a sector has: 512 or 4096.
    pub sector_size: u32,
    /// How long the disk is, in bytes.
    pub len_bytes: u64,
    /// The partitions, in the order of their numbers in the table.
    pub partitions: Vec<Placed>,
}

/// Why there is no such table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Sectors of a size that no disk has.
    #[error("a partition table for sectors of {sector_size} bytes: expected 512 or 4096")]
    SectorSize {
        /// How many bytes they would have.
        sector_size: u32,
    },
    /// More partitions than the table that everybody writes has entries.
    #[error("{count} partitions, expected at most {ENTRIES}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A partition without a sector.
    #[error("partition {number} is empty")]
    Empty {
        /// Which, counted from 1.
        number: usize,
    },
    /// A partition with a name that its entry does not hold.
    #[error("partition {number}: its name has {units} UTF-16 units, expected at most {NAME_UNITS}")]
    Name {
        /// Which, counted from 1.
        number: usize,
        /// How long the name is.
        units: usize,
    },
    /// A disk whose length can't be said in bytes.
    #[error("the partitions are longer than any disk")]
    TooLarge,
}

impl Table {
    /// A disk for partitions of these lengths, in this order: as short as it can be.
    ///
    /// # Errors
    /// When no table says that.
    pub fn plan(guid: [u8; 16], sector_size: u32, partitions: Vec<(Partition, u64)>) -> Result<Table, Error> {
        if !matches!(sector_size, 512 | 4096) {
            return Err(Error::SectorSize { sector_size });
        }
        if partitions.len() > ENTRIES {
            return Err(Error::TooMany { count: partitions.len() });
        }
        let mut at = ALIGNMENT;
        let mut placed = Vec::with_capacity(partitions.len());
        for (number, (partition, len_bytes)) in (1..).zip(partitions) {
            let units = partition.name.encode_utf16().count();
            if units > NAME_UNITS {
                return Err(Error::Name { number, units });
            }
            if len_bytes == 0 {
                return Err(Error::Empty { number });
            }
            let sectors = len_bytes.checked_next_multiple_of(sector_size.into());
            let end = sectors.and_then(|len| at.checked_add(len)).ok_or(Error::TooLarge)?;
            placed.push(Placed { partition, range: at..end });
            at = end.checked_next_multiple_of(ALIGNMENT).ok_or(Error::TooLarge)?;
        }
        let len_bytes = at.checked_add(ALIGNMENT).ok_or(Error::TooLarge)?;
        Ok(Table { guid, sector_size, len_bytes, partitions: placed })
    }

    /// The table's own bytes on the disk, both copies.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let sector = u64::from(self.sector_size);
        let entries = self.entries();
        let entry_sectors = entries.len() as u64 / sector;
        let last_lba = self.len_bytes / sector - 1;
        let usable = 2 + entry_sectors..last_lba - entry_sectors;
        let header = |my_lba, alternate_lba, partition_entry_lba| {
            let mut header = GptHeader {
                signature: *EFI_PART,
                revision: U32::new(REVISION),
                header_size: U32::new(format::HEADER_SIZE),
                my_lba: U64::new(my_lba),
                alternate_lba: U64::new(alternate_lba),
                first_usable_lba: U64::new(usable.start),
                last_usable_lba: U64::new(usable.end - 1),
                disk_guid: swapped(self.guid),
                partition_entry_lba: U64::new(partition_entry_lba),
                tail: GptHeaderTail {
                    number_of_partition_entries: U32::new(format::ENTRIES_U32),
                    size_of_partition_entry: U32::new(format::ENTRY_SIZE),
                    partition_entry_array_crc32: U32::new(crc32fast::hash(&entries)),
                },
                ..GptHeader::new_zeroed()
            };
            header.header_crc32 = U32::new(crc32fast::hash(header.as_bytes()));
            header.as_bytes().to_vec()
        };
        let last_entries = last_lba - entry_sectors;
        vec![
            Piece { offset: 0, bytes: Mbr::protecting(last_lba).as_bytes().to_vec() },
            Piece { offset: sector, bytes: header(1, last_lba, 2) },
            Piece { offset: 2 * sector, bytes: entries.clone() },
            Piece { offset: last_lba * sector, bytes: header(last_lba, 1, last_entries) },
            Piece { offset: last_entries * sector, bytes: entries },
        ]
    }

    fn entries(&self) -> Vec<u8> {
        let sector = u64::from(self.sector_size);
        let entry = |Placed { partition, range }: &Placed| {
            let mut name = [U16::ZERO; NAME_UNITS];
            name.iter_mut().zip(partition.name.encode_utf16()).for_each(|(to, unit)| *to = U16::new(unit));
            GptEntry {
                partition_type_guid: swapped(partition.kind),
                unique_partition_guid: swapped(partition.guid),
                starting_lba: U64::new(range.start / sector),
                ending_lba: U64::new(range.end / sector - 1),
                attributes: U64::new(partition.flags),
                partition_name: name,
            }
        };
        let mut bytes: Vec<u8> = self.partitions.iter().flat_map(|placed| entry(placed).as_bytes().to_vec()).collect();
        bytes.resize(ENTRIES * size_of::<GptEntry>(), 0);
        bytes
    }
}

/// A GUID as it is stored, of one as it is written, and the other way round: the first three
/// fields are little-endian.
fn swapped(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let mut stored = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    stored[8..].copy_from_slice(&rest);
    stored
}

#[cfg(test)]
mod tests;
