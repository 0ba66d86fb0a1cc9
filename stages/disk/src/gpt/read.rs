//! A partition table, read from a disk that anybody may have made.

use std::io;

use zerocopy::{FromBytes as _, IntoBytes as _};

use super::format::{EFI_PART, GptEntry, GptHeader, HEADER_SIZE};
use super::{Partition, Placed, Table, swapped};
use crate::ReadAt;

/// Eight times as many entries as everybody writes: 128 KiB of them.
const MAX_ENTRIES: u32 = 1024;

/// The largest entry: the specification has 128 bytes and lets it grow, and nobody does.
const MAX_ENTRY_SIZE: u32 = 1024;

/// A table that was found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub table: Table,
    /// What is wrong with the copy at the beginning of the disk, if the one at the end was used.
    pub damage: Option<Fault>,
}

/// What is wrong with a copy of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is none.
    #[error("the signature is missing")]
    NoSignature,
    /// The header says that it is longer or shorter than one can be.
    #[error("the header has {found} bytes, expected {HEADER_SIZE} to {max}")]
    HeaderSize {
        /// What it says.
        found: u32,
        /// How many bytes a sector has.
        max: u32,
    },
    /// The header is not the one that was written.
    #[error("the checksum of the header is {found:08x}, expected {expected:08x}")]
    HeaderChecksum {
        /// What it says.
        found: u32,
        /// What it should be.
        expected: u32,
    },
    /// The header is a copy of one from elsewhere.
    #[error("the header says that it is in sector {found}, expected {expected}")]
    Place {
        /// Where it says that it is.
        found: u64,
        /// Where it is.
        expected: u64,
    },
    /// There are more entries, or larger ones, than anybody needs.
    #[error(
        "{count} entries of {size} bytes, expected at most {MAX_ENTRIES} of a multiple of 128 up to {MAX_ENTRY_SIZE}"
    )]
    Entries {
        /// How many.
        count: u32,
        /// How large each is.
        size: u32,
    },
    /// The entries, or what may be used for partitions, are not on the disk.
    #[error("{what} {first} to {last} are not within the {sectors} sectors of the disk")]
    Outside {
        /// Which sectors.
        what: &'static str,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
        /// How many there are.
        sectors: u64,
    },
    /// The entries are not those that were written.
    #[error("the checksum of the entries is {found:08x}, expected {expected:08x}")]
    EntriesChecksum {
        /// What the header says.
        found: u32,
        /// What it should be.
        expected: u32,
    },
    /// A partition is where none may be.
    #[error("partition {number} has the sectors {first} to {last}, expected some of {usable_first} to {usable_last}")]
    Partition {
        /// Which, counted from 1.
        number: usize,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// The first that may be used.
        usable_first: u64,
        /// The last that may be used.
        usable_last: u64,
    },
    /// Two partitions have a sector in common.
    #[error("partitions {number} and {other} overlap")]
    Overlap {
        /// One, counted from 1.
        number: usize,
        /// The other.
        other: usize,
    },
}

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk could not.
    #[error("cannot read the partition table")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// There is one, and neither copy can be used.
    #[error("the partition table is damaged: at the beginning of the disk, {primary}; at its end, {backup}")]
    Damaged {
        /// What is wrong with the first copy.
        primary: Fault,
        /// What is wrong with the second.
        backup: Fault,
    },
}

/// What comes of looking at a copy.
enum Problem {
    Fault(Fault),
    Read(io::Error),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Fault(fault)
    }
}

impl From<io::Error> for Problem {
    fn from(source: io::Error) -> Problem {
        Problem::Read(source)
    }
}

impl Table {
    /// The partition table of a disk, if it has one: the copy at its beginning, or else the one at
    /// its end. Sectors have the size with which there is one.
    ///
    /// # Errors
    /// When the disk can't be read, or both copies are damaged.
    pub fn read(disk: &dyn ReadAt) -> Result<Option<Found>, ReadError> {
        let mut damaged = None;
        for sector_size in [512, 4096] {
            let sectors = disk.len_bytes() / u64::from(sector_size);
            // The least that holds both copies.
            if sectors < 4 {
                continue;
            }
            let copy = |lba| match copy(disk, sector_size, lba, sectors) {
                Ok(table) => Ok(Ok(table)),
                Err(Problem::Fault(fault)) => Ok(Err(fault)),
                Err(Problem::Read(source)) => Err(ReadError::Read { source }),
            };
            let primary = match copy(1)? {
                Ok(table) => return Ok(Some(Found { table, damage: None })),
                Err(fault) => fault,
            };
            match copy(sectors - 1)? {
                Ok(table) => return Ok(Some(Found { table, damage: Some(primary) })),
                Err(Fault::NoSignature) if primary == Fault::NoSignature => {}
                Err(backup) => damaged = damaged.or(Some(ReadError::Damaged { primary, backup })),
            }
        }
        damaged.map_or(Ok(None), Err)
    }
}

/// The copy whose header is in a sector.
fn copy(disk: &dyn ReadAt, sector_size: u32, lba: u64, sectors: u64) -> Result<Table, Problem> {
    let sector = u64::from(sector_size);
    let mut bytes = vec![0; usize::try_from(sector_size).expect("a sector fits memory")];
    disk.read_at(lba * sector, &mut bytes)?;
    let (header, _) = GptHeader::read_from_prefix(&bytes).expect("a sector holds a header");
    check_header(&header, &mut bytes, lba)?;
    let (count, size) = (header.tail.number_of_partition_entries.get(), header.tail.size_of_partition_entry.get());
    if count > MAX_ENTRIES || size > MAX_ENTRY_SIZE || size == 0 || !size.is_multiple_of(128) {
        return Err(Fault::Entries { count, size }.into());
    }
    let within = |what, first: u64, last: u64| match first <= last && last < sectors {
        true => Ok(()),
        false => Err(Fault::Outside { what, first, last, sectors }),
    };
    let (usable_first, usable_last) = (header.first_usable_lba.get(), header.last_usable_lba.get());
    within("the usable sectors", usable_first, usable_last)?;
    let entries_len = u64::from(count) * u64::from(size);
    let first = header.partition_entry_lba.get();
    within("the sectors of the entries", first, first.saturating_add(entries_len.div_ceil(sector).saturating_sub(1)))?;
    let mut entries = vec![0; usize::try_from(entries_len).expect("limited above")];
    disk.read_at(first * sector, &mut entries)?;
    let (found, expected) = (header.tail.partition_entry_array_crc32.get(), crc32fast::hash(&entries));
    if found != expected {
        return Err(Fault::EntriesChecksum { found, expected }.into());
    }
    let mut partitions = Vec::new();
    let mut numbers = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(usize::try_from(size).expect("limited above"))) {
        let (entry, _) = GptEntry::read_from_prefix(entry).expect("at least 128 bytes");
        if entry.partition_type_guid == [0; 16] {
            continue;
        }
        let (first, last) = (entry.starting_lba.get(), entry.ending_lba.get());
        if first > last || first < usable_first || last > usable_last {
            return Err(Fault::Partition { number, first, last, usable_first, usable_last }.into());
        }
        let units = entry.partition_name.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0);
        let name = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        let partition = Partition {
            kind: swapped(entry.partition_type_guid),
            guid: swapped(entry.unique_partition_guid),
            flags: entry.attributes.get(),
            name,
        };
        partitions.push(Placed { partition, range: first * sector..(last + 1) * sector });
        numbers.push((first, last, number));
    }
    numbers.sort_unstable();
    if let Some(pair) = numbers.windows(2).find(|pair| pair[0].1 >= pair[1].0) {
        return Err(Fault::Overlap { number: pair[0].2, other: pair[1].2 }.into());
    }
    Ok(Table { guid: swapped(header.disk_guid), sector_size, len_bytes: sectors * sector, partitions })
}

/// `sector` is the one that the header is in; it comes back without the checksum.
fn check_header(header: &GptHeader, sector: &mut [u8], lba: u64) -> Result<(), Fault> {
    if header.signature != *EFI_PART {
        return Err(Fault::NoSignature);
    }
    let max = u32::try_from(sector.len()).expect("a sector");
    let header_size = header.header_size.get();
    if !(HEADER_SIZE..=max).contains(&header_size) {
        return Err(Fault::HeaderSize { found: header_size, max });
    }
    let clean = GptHeader { header_crc32: 0.into(), ..header.clone() };
    sector[..size_of::<GptHeader>()].copy_from_slice(clean.as_bytes());
    let expected = crc32fast::hash(&sector[..usize::try_from(header_size).expect("at most a sector")]);
    let found = header.header_crc32.get();
    if found != expected {
        return Err(Fault::HeaderChecksum { found, expected });
    }
    match header.my_lba.get() {
        found if found != lba => Err(Fault::Place { found, expected: lba }),
        _ => Ok(()),
    }
}
