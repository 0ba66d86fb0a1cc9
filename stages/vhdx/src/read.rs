//! What a VHDX file says of itself. Everything in it is hostile until checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use zerocopy::FromBytes as _;

use crate::format::*;
use crate::locator::{Locator, braced};

/// What a VHDX file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// What names its content, as a UUID is written.
    pub data_write: [u8; 16],
    /// What names the disk.
    pub virtual_disk: [u8; 16],
    /// How long the disk is.
    pub virtual_disk_size: u64,
    /// How long a block is.
    pub block_size: u32,
    /// How long a sector of the disk is.
    pub logical_sector_size: u32,
    /// How long a sector of the device is that it stands for.
    pub physical_sector_size: u32,
    /// Whether all blocks stay in the file.
    pub is_fixed: bool,
    /// The disk that has what this one does not.
    pub parent: Option<Locator>,
    /// Where the tables are.
    pub(crate) layout: Layout,
}

/// Where in the file the parts are that are read later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    pub(crate) file_len: u64,
    /// The block allocation table: its offset and its length.
    pub(crate) bat: (u64, u64),
    pub(crate) metadata: (u64, u64),
    pub(crate) log: (u64, u64),
}

/// Why a file can't be read as a VHDX.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It can't be opened.
    #[error("cannot open it")]
    Open {
        /// Why.
        source: io::Error,
    },
    /// A part of it can't be read.
    #[error("cannot read {len} bytes at offset {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// How much.
        len: usize,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("expected \"vhdxfile\" at its beginning, found {}", shown(found))]
    NotVhdx {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// It ends before something that it says it has.
    #[error("the file has {found} bytes, expected at least {expected}")]
    CutOff {
        /// How many bytes it has.
        found: u64,
        /// How many it says that it has.
        expected: u64,
    },
    /// Neither copy of a structure is whole.
    #[error("both copies of the {what} are damaged")]
    Damaged {
        /// Which structure.
        what: &'static str,
    },
    /// Writes that were logged and not carried out.
    #[error("its log has writes that are not in its blocks yet: it was not closed, or is in use")]
    Log,
    /// A version that is not known.
    #[error("version {found}, expected 1")]
    Version {
        /// The version.
        found: u16,
    },
    /// Something that must be known, and is not.
    #[error("an unknown {what} that readers must know: {guid}")]
    Unknown {
        /// A region or a metadata item.
        what: &'static str,
        /// Its identification.
        guid: String,
    },
    /// Something that may be there once.
    #[error("it has the metadata item {guid} twice")]
    Twice {
        /// Its identification.
        guid: String,
    },
    /// Something that must be there, and is not.
    #[error("it has no {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// A field with a value that it can't have.
    #[error("{what} is {found}, expected {expected}")]
    Field {
        /// Which field.
        what: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// An entry of the block allocation table that it can't have.
    #[error("the entry of the {what} at offset {at} of the disk is {found:#x}, expected {expected}")]
    Entry {
        /// A block, or a sector bitmap.
        what: &'static str,
        /// Of which part of the disk.
        at: u64,
        /// The entry.
        found: u64,
        /// What it may be.
        expected: &'static str,
    },
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// How many regions and metadata items there may be, by the format.
const MAX_ENTRIES: u32 = 2047;
/// How long a metadata item may be that is read whole; the format allows 1 MiB.
const MAX_ITEM: u32 = 1 << 20;

impl Info {
    /// Reads the headers and the metadata of a file.
    ///
    /// # Errors
    /// When it is no VHDX file, or one that can't be trusted to be what it says.
    pub fn read(file: &File) -> Result<Info, ReadError> {
        let info = Info::read_tables(file)?;
        info.check_bat()?;
        Ok(info)
    }

    /// The same, but for the length of the block allocation table.
    pub(crate) fn read_tables(file: &File) -> Result<Info, ReadError> {
        let len = file.metadata().map_err(|source| ReadError::Open { source })?.len();
        let reader = Reader { file, len };
        let found = reader.bytes(0, usize::try_from(len.min(8)).expect("at most 8"))?;
        if found != b"vhdxfile" {
            return Err(ReadError::NotVhdx { found });
        }
        let header = reader.header()?;
        if header.version.get() != 1 {
            return Err(ReadError::Version { found: header.version.get() });
        }
        if header.log_guid != [0; 16] {
            return Err(ReadError::Log);
        }
        let (bat, metadata) = reader.regions()?;
        let log = (header.log_offset.get(), u64::from(header.log_length.get()));
        let layout = Layout { file_len: len, bat, metadata, log };
        let metadata = Metadata { reader: &reader, offset: metadata.0, len: metadata.1 };
        metadata.info(swapped(header.data_write_guid), layout)
    }
}

/// An offset in the file, and a length.
type Region = (u64, u64);

struct Reader<'f> {
    file: &'f File,
    len: u64,
}

impl Reader<'_> {
    fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(|source| ReadError::Read { offset, len, source })?;
        Ok(bytes)
    }

    /// The current header: of those that are whole, the one with the larger sequence number.
    fn header(&self) -> Result<Header, ReadError> {
        let whole = |offset: &u64| {
            let bytes = self.bytes(*offset, size_of::<Header>()).ok()?;
            let header = Header::read_from_bytes(&bytes).ok()?;
            (header.signature == *b"head" && is_sealed(bytes)).then_some(header)
        };
        let headers = HEADERS.iter().filter_map(whole);
        headers.max_by_key(|header| header.sequence_number.get()).ok_or(ReadError::Damaged { what: "header" })
    }

    /// Where the block allocation table and the metadata are. Of the two copies of the region
    /// table, one must be whole.
    fn regions(&self) -> Result<(Region, Region), ReadError> {
        let whole = |offset: &u64| {
            let bytes = self.bytes(*offset, REGION_TABLE_LEN).ok()?;
            (bytes.starts_with(b"regi") && is_sealed(bytes.clone())).then_some(bytes)
        };
        let table = REGION_TABLES.iter().find_map(whole).ok_or(ReadError::Damaged { what: "region table" })?;
        let (header, mut rest) =
            RegionTableHeader::read_from_prefix(&table).expect("a table is longer than its header");
        let entries = limited("the number of regions", header.entry_count.get())?;
        let (mut bat, mut metadata) = (None, None);
        for _ in 0..entries {
            let (entry, after) = RegionTableEntry::read_from_prefix(rest).expect("the table has room for all");
            rest = after;
            let (offset, len) = (entry.file_offset.get(), u64::from(entry.length.get()));
            let is_aligned = offset.is_multiple_of(MIB) && offset >= MIB && len.is_multiple_of(MIB) && len > 0;
            let end = offset.checked_add(len).filter(|_| is_aligned);
            let end = end.ok_or(ReadError::Field {
                what: "the offset or the length of a region",
                found: if offset.is_multiple_of(MIB) && offset > 0 { len } else { offset },
                expected: "a multiple of 1 MiB",
            })?;
            if end > self.len {
                return Err(ReadError::CutOff { found: self.len, expected: end });
            }
            match entry.guid {
                BAT_REGION if bat.is_none() => bat = Some((offset, len)),
                METADATA_REGION if metadata.is_none() => metadata = Some((offset, len)),
                guid if entry.required.get() & 1 == 1 => return Err(unknown("region", guid)),
                _ => {}
            }
        }
        let bat = bat.ok_or(ReadError::Missing { what: "block allocation table" })?;
        Ok((bat, metadata.ok_or(ReadError::Missing { what: "metadata region" })?))
    }
}

struct Metadata<'r, 'f> {
    reader: &'r Reader<'f>,
    offset: u64,
    len: u64,
}

impl Metadata<'_, '_> {
    fn info(&self, data_write: [u8; 16], layout: Layout) -> Result<Info, ReadError> {
        let table = self.reader.bytes(self.offset, 64 << 10)?;
        let (header, mut rest) =
            MetadataTableHeader::read_from_prefix(&table).expect("a table is longer than its header");
        if header.signature != *b"metadata" {
            return Err(ReadError::Missing { what: "metadata table" });
        }
        let entries = limited("the number of metadata items", header.entry_count.get().into())?;
        let (mut parameters, mut size, mut disk, mut logical, mut physical, mut locator) =
            (None, None, None, None, None, None);
        for _ in 0..entries {
            let (entry, after) = MetadataTableEntry::read_from_prefix(rest).expect("the table has room for all");
            rest = after;
            let flags = entry.flags.get();
            // A user's item may have the identification of one of the format, and is another one.
            let wanted = match (flags & IS_USER == 0).then_some(entry.item_id) {
                Some(FILE_PARAMETERS) => &mut parameters,
                Some(VIRTUAL_DISK_SIZE) => &mut size,
                Some(VIRTUAL_DISK_ID) => &mut disk,
                Some(LOGICAL_SECTOR_SIZE) => &mut logical,
                Some(PHYSICAL_SECTOR_SIZE) => &mut physical,
                Some(PARENT_LOCATOR) => &mut locator,
                _ if flags & IS_REQUIRED != 0 => return Err(unknown("metadata item", entry.item_id)),
                _ => continue,
            };
            // Which of two counts is anybody's guess, and reading thousands takes its time.
            if wanted.replace(self.item(&entry)?).is_some() {
                return Err(ReadError::Twice { guid: braced(swapped(entry.item_id)) });
            }
        }
        let parameters = exactly::<8>(parameters, "file parameters")?;
        let [block_size, flags] = [&parameters[..4], &parameters[4..]].map(number);
        let size = u64::from_le_bytes(exactly(size, "size of the disk")?);
        let logical_sector_size = number(&exactly::<4>(logical, "logical sector size")?);
        let physical_sector_size = number(&exactly::<4>(physical, "physical sector size")?);
        let field = |what, found: u64, expected| Err(ReadError::Field { what, found, expected });
        if !block_size.is_power_of_two() || !(1 << 20..=256 << 20).contains(&block_size) {
            return field("the block size", block_size.into(), "a power of two from 1 MiB to 256 MiB");
        }
        for (what, found) in
            [("the logical sector size", logical_sector_size), ("the physical sector size", physical_sector_size)]
        {
            if ![512, 4096].contains(&found) {
                return field(what, found.into(), "512 or 4096");
            }
        }
        if size > 64 << 40 || !size.is_multiple_of(logical_sector_size.into()) {
            return field("the size of the disk", size, "a multiple of its sectors, at most 64 TiB");
        }
        let parent = match flags & HAS_PARENT {
            0 => None,
            _ => {
                let item = locator.ok_or(ReadError::Missing { what: "parent locator" })?;
                Some(Locator::parse(&item).ok_or(ReadError::Damaged { what: "parent locator" })?)
            }
        };
        Ok(Info {
            data_write,
            virtual_disk: swapped(exactly(disk, "virtual disk ID")?),
            virtual_disk_size: size,
            block_size,
            logical_sector_size,
            physical_sector_size,
            is_fixed: flags & LEAVE_BLOCKS_ALLOCATED != 0 && parent.is_none(),
            parent,
            layout,
        })
    }

    fn item(&self, entry: &MetadataTableEntry) -> Result<Vec<u8>, ReadError> {
        let (offset, len) = (entry.offset.get(), entry.length.get());
        let end = u64::from(offset) + u64::from(len);
        if offset < METADATA_ITEMS || len > MAX_ITEM || end > self.len {
            let expected = "64 KiB or more, with all of the item in the metadata region";
            return Err(ReadError::Field { what: "the offset of a metadata item", found: offset.into(), expected });
        }
        self.reader.bytes(self.offset + u64::from(offset), len as usize)
    }
}

/// The beginning of a file, for people.
fn shown(found: &[u8]) -> String {
    if found.is_empty() { "nothing".to_owned() } else { format!("\"{}\"", found.escape_ascii()) }
}

fn exactly<const LEN: usize>(item: Option<Vec<u8>>, what: &'static str) -> Result<[u8; LEN], ReadError> {
    let item = item.ok_or(ReadError::Missing { what })?;
    <[u8; LEN]>::try_from(item).map_err(|item| ReadError::Field {
        what: "the length of a metadata item",
        found: item.len() as u64,
        expected: "that of its kind",
    })
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

fn limited(what: &'static str, found: u32) -> Result<u32, ReadError> {
    match found {
        0..=MAX_ENTRIES => Ok(found),
        _ => Err(ReadError::Field { what, found: found.into(), expected: "at most 2047" }),
    }
}

fn unknown(what: &'static str, guid: Guid) -> ReadError {
    ReadError::Unknown { what, guid: braced(swapped(guid)) }
}

/// Whether the checksum of a structure, behind its signature, is right.
pub(crate) fn is_sealed(mut bytes: Vec<u8>) -> bool {
    let found = number(&bytes[4..8]);
    bytes[4..8].fill(0);
    crc32c::crc32c(&bytes) == found
}
