//! Where everything in a VHDX file is.

use std::ops::Range;

use cvbake_disk::{Container, Piece, Run, Subformat, TooLarge, units, with_first};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::format::*;
use crate::locator::Locator;
use crate::read::Info;

/// The longest disk of the format.
const MAX: u64 = 64 << 40;

const LOG: u64 = MIB;
const LOG_LEN: u64 = MIB;
const METADATA: u64 = LOG + LOG_LEN;
const METADATA_LEN: u64 = MIB;
/// Where blocks, or the block allocation table, may begin.
const REST: u64 = METADATA + METADATA_LEN;

/// What a VHDX file is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether it has all blocks.
    pub subformat: Subformat,
    /// How many bytes of the disk a block has: a power of two from 1 MiB to 256 MiB.
    pub block_size: u32,
    /// How many bytes a sector of the disk has: 512 or 4096.
    pub logical_sector_size: u32,
}

/// What names a VHDX file, as UUIDs are written: three different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The file as it is.
    pub file_write: [u8; 16],
    /// What is on the disk: a differencing disk names its parent by it.
    pub data_write: [u8; 16],
    /// The disk, which a guest sees as its identification.
    pub virtual_disk: [u8; 16],
}

/// Why there is no such file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A block that the format does not have.
    #[error("a VHDX block of {block_size} bytes: expected a power of two from 1 MiB to 256 MiB")]
    BlockSize {
        /// Its size.
        block_size: u32,
    },
    /// A sector that the format does not have.
    #[error("a VHDX sector of {sector_size} bytes: expected 512 or 4096")]
    SectorSize {
        /// Its size.
        sector_size: u32,
    },
    /// A disk that the format can't hold.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Default for Options {
    fn default() -> Options {
        Options { subformat: Subformat::default(), block_size: 1 << 20, logical_sector_size: 512 }
    }
}

impl Options {
    /// Where in the file the disk begins, if it is there in one piece.
    #[must_use]
    pub fn base(&self) -> Option<u64> {
        (self.subformat == Subformat::Fixed).then(|| self.first_block(REST))
    }

    /// Where the first block is, behind what ends there.
    fn first_block(&self, end: u64) -> u64 {
        end.next_multiple_of(self.block_size.into())
    }

    /// Where in a file that has not all blocks the first byte of a part of the disk is that comes
    /// first.
    #[must_use]
    pub fn place(&self, start: u64) -> u64 {
        self.first_block(REST) + start % u64::from(self.block_size)
    }

    /// The file for a disk of this length, of which these ranges are written. A length that is no
    /// multiple of a sector is rounded up. One part may be wanted in one piece at a place that is
    /// known before anything else is ([`Options::place`]): then it comes first, and the block
    /// allocation table is behind it.
    ///
    /// # Errors
    /// When the options or the length are none that the format has.
    pub fn plan(
        &self,
        len_bytes: u64,
        used: impl IntoIterator<Item = Range<u64>>,
        first: Option<Range<u64>>,
        identity: &Identity,
    ) -> Result<Container, Error> {
        self.check()?;
        let &Options { subformat, block_size, logical_sector_size } = self;
        let sector = u64::from(logical_sector_size);
        if len_bytes > MAX {
            return Err(TooLarge { format: "VHDX", len_bytes, max: MAX }.into());
        }
        let size = len_bytes.next_multiple_of(sector);
        let block = u64::from(block_size);
        let blocks = size.div_ceil(block);
        let chunk_ratio = CHUNK_SECTORS * sector / block;
        // Each chunk but the last has an entry for a sector bitmap behind those of its blocks.
        let entries = blocks + blocks.saturating_sub(1) / chunk_ratio;
        let bat_len = (entries * 8).next_multiple_of(MIB).max(MIB);

        let first = match subformat {
            Subformat::Dynamic => first,
            Subformat::Fixed => Some(0..size),
        };
        let first = units(first, block).pop();
        let written = with_first(&units(used, block), first.as_ref());
        let first_place = self.first_block(REST);
        let bat = first.as_ref().map_or(REST, |first| first_place + (first.end - first.start) * block);
        let entry_of = |number: u64| number + number / chunk_ratio;
        let mut end = bat + bat_len;
        let mut next = self.first_block(end);
        let (mut runs, mut pieces) = (Vec::new(), Vec::new());
        for range in written {
            let len = (range.end - range.start) * block;
            let mut at = next;
            if first.as_ref() == Some(&range) {
                at = first_place;
            } else {
                next += len;
                end = next;
            }
            runs.push(Run { from: range.start * block, to: at, len });
            let first_entry = entry_of(range.start);
            let mut bytes = Vec::new();
            for number in range {
                bytes.resize(usize::try_from((entry_of(number) - first_entry) * 8).expect("a table in memory"), 0);
                bytes.extend_from_slice(&(at | PAYLOAD_BLOCK_FULLY_PRESENT).to_le_bytes());
                at += block;
            }
            pieces.push(Piece { offset: bat + first_entry * 8, bytes });
        }
        let flags = if subformat == Subformat::Fixed { LEAVE_BLOCKS_ALLOCATED } else { 0 };
        pieces.extend(metadata(&self.items(flags, size, 4096, &identity.virtual_disk)));
        pieces.extend(headers(bat, bat_len, identity));
        Ok(Container::new(end, runs, pieces))
    }

    /// The file of a disk that has nothing of its own yet: all is in `parent`, which is found and
    /// recognised by `locator`. The options are the parent's, but for the size of blocks.
    ///
    /// # Errors
    /// When the size of blocks is none that the format has.
    pub fn plan_child(&self, parent: &Info, locator: &Locator, identity: &Identity) -> Result<Container, Error> {
        self.check()?;
        let size = parent.virtual_disk_size;
        let chunk_ratio = CHUNK_SECTORS * u64::from(self.logical_sector_size) / u64::from(self.block_size);
        // Each chunk, the last too, has a sector bitmap, and an entry for it behind those of its
        // blocks: it says which sectors of a block are in this file. None are yet. The format lets
        // a bitmap be absent until then; libvhdi reads it all the same.
        let chunks = size.div_ceil(self.block_size.into()).div_ceil(chunk_ratio);
        let bat_len = (chunks * (chunk_ratio + 1) * 8).next_multiple_of(MIB).max(MIB);
        let bitmaps = REST + bat_len;
        let entry = |chunk: u64| {
            let bitmap = bitmaps + chunk * MIB;
            let offset = REST + ((chunk + 1) * (chunk_ratio + 1) - 1) * 8;
            Piece { offset, bytes: (bitmap | SECTOR_BITMAP_PRESENT).to_le_bytes().to_vec() }
        };
        let mut pieces: Vec<Piece> = (0..chunks).map(entry).collect();
        let mut items = self.items(HAS_PARENT, size, parent.physical_sector_size, &identity.virtual_disk);
        items.push((PARENT_LOCATOR, IS_REQUIRED, locator.item()));
        pieces.extend(metadata(&items));
        pieces.extend(headers(REST, bat_len, identity));
        Ok(Container::new(bitmaps + chunks * MIB, Vec::new(), pieces))
    }

    fn check(&self) -> Result<(), Error> {
        let &Options { block_size, logical_sector_size, .. } = self;
        if !block_size.is_power_of_two() || !(1 << 20..=256 << 20).contains(&block_size) {
            return Err(Error::BlockSize { block_size });
        }
        if ![512, 4096].contains(&logical_sector_size) {
            return Err(Error::SectorSize { sector_size: logical_sector_size });
        }
        Ok(())
    }

    /// The metadata items that every disk has: what each is, what a reader must know of it, and its
    /// bytes.
    fn items(&self, flags: u32, size: u64, physical_sector_size: u32, virtual_disk: &[u8; 16]) -> Vec<Item> {
        let parameters = [self.block_size.to_le_bytes(), flags.to_le_bytes()].concat();
        let of_the_disk = IS_VIRTUAL_DISK | IS_REQUIRED;
        vec![
            (FILE_PARAMETERS, IS_REQUIRED, parameters),
            (VIRTUAL_DISK_SIZE, of_the_disk, size.to_le_bytes().to_vec()),
            (VIRTUAL_DISK_ID, of_the_disk, swapped(*virtual_disk).to_vec()),
            (LOGICAL_SECTOR_SIZE, of_the_disk, self.logical_sector_size.to_le_bytes().to_vec()),
            (PHYSICAL_SECTOR_SIZE, of_the_disk, physical_sector_size.to_le_bytes().to_vec()),
        ]
    }
}

type Item = (Guid, u32, Vec<u8>);

/// The metadata region: the table, and the items.
fn metadata(items: &[Item]) -> [Piece; 2] {
    let header = MetadataTableHeader {
        signature: *b"metadata",
        entry_count: U16::new(u16::try_from(items.len()).expect("a handful")),
        ..MetadataTableHeader::new_zeroed()
    };
    let mut table = header.as_bytes().to_vec();
    let mut bytes = Vec::new();
    let narrow = |number: usize| u32::try_from(number).expect("items are short");
    for (item_id, flags, item) in items {
        let entry = MetadataTableEntry {
            item_id: *item_id,
            offset: U32::new(METADATA_ITEMS + narrow(bytes.len())),
            length: U32::new(narrow(item.len())),
            flags: U32::new(*flags),
            reserved: U32::ZERO,
        };
        table.extend_from_slice(entry.as_bytes());
        bytes.extend_from_slice(item);
    }
    [Piece { offset: METADATA, bytes: table }, Piece { offset: METADATA + u64::from(METADATA_ITEMS), bytes }]
}

/// The header section; what a reader looks at first comes last.
fn headers(bat: u64, bat_len: u64, identity: &Identity) -> Vec<Piece> {
    let regions = region_table(bat, bat_len);
    let mut pieces: Vec<Piece> = REGION_TABLES.map(|offset| Piece { offset, bytes: regions.clone() }).into();
    pieces
        .extend(HEADERS.into_iter().zip(1..).map(|(offset, number)| Piece { offset, bytes: header(number, identity) }));
    pieces.push(Piece { offset: 0, bytes: file_type_identifier() });
    pieces
}

fn region_table(bat: u64, bat_len: u64) -> Vec<u8> {
    let header = RegionTableHeader { signature: *b"regi", entry_count: U32::new(2), ..RegionTableHeader::new_zeroed() };
    let region = |guid, file_offset, length| RegionTableEntry {
        guid,
        file_offset: U64::new(file_offset),
        length: U32::new(u32::try_from(length).expect("limited by the length of the disk")),
        required: U32::new(1),
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(region(BAT_REGION, bat, bat_len).as_bytes());
    bytes.extend_from_slice(region(METADATA_REGION, METADATA, METADATA_LEN).as_bytes());
    bytes.resize(REGION_TABLE_LEN, 0);
    sealed(bytes)
}

fn header(sequence_number: u64, identity: &Identity) -> Vec<u8> {
    let header = Header {
        signature: *b"head",
        sequence_number: U64::new(sequence_number),
        file_write_guid: swapped(identity.file_write),
        data_write_guid: swapped(identity.data_write),
        version: U16::new(1),
        log_length: U32::new(u32::try_from(LOG_LEN).expect("1 MiB")),
        log_offset: U64::new(LOG),
        ..Header::new_zeroed()
    };
    sealed(header.as_bytes().to_vec())
}

/// Puts the checksum, behind the signature, into a structure that has zeros there.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn file_type_identifier() -> Vec<u8> {
    let creator = concat!("cvbake ", env!("CARGO_PKG_VERSION"));
    let mut bytes = b"vhdxfile".to_vec();
    bytes.extend(creator.encode_utf16().flat_map(u16::to_le_bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { file_write: [1; 16], data_write: [2; 16], virtual_disk: [3; 16] };

    fn plan(options: Options, len: u64, used: &[Range<u64>]) -> Container {
        options.plan(len, used.iter().cloned(), None, &IDENTITY).unwrap()
    }

    fn bytes_at(container: &Container, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for piece in container.pieces() {
            for (at, byte) in (piece.offset..).zip(&piece.bytes) {
                if let Some(slot) = at.checked_sub(offset).and_then(|at| bytes.get_mut(usize::try_from(at).unwrap())) {
                    *slot = *byte;
                }
            }
        }
        bytes
    }

    #[test]
    fn a_guid_has_three_fields_the_other_way_round() {
        let bytes = [0x66, 0x77, 0xC2, 0x2D, 0x23, 0xF6, 0x00, 0x42, 0x9D, 0x64, 0x11, 0x5E, 0x9B, 0xFD, 0x4A, 0x08];
        assert_eq!(BAT_REGION, bytes);
    }

    #[test]
    fn dynamic_has_what_is_written() {
        let options = Options::default();
        let container = plan(options, 5 << 30, &[0..4096, (3 << 20)..(5 << 20), ((5 << 30) - 4096)..(5 << 30)]);
        let run = |from: u64, to: u64, len: u64| Run { from: from << 20, to: to << 20, len: len << 20 };
        assert_eq!(container.runs(), [run(0, 4, 1), run(3, 5, 2), run(5 * 1024 - 1, 7, 1)]);
        assert_eq!(container.len_bytes(), 8 << 20);
        // One entry for a sector bitmap behind each 4096 blocks.
        assert_eq!(bytes_at(&container, (3 << 20) + (5 * 1024 - 1 + 1) * 8, 8), ((7_u64 << 20) | 6).to_le_bytes());
        assert_eq!(options.base(), None);
    }

    /// Its place depends on nothing but where it begins.
    #[test]
    fn a_part_comes_first() {
        let used = [0..4096, (9 << 20)..(10 << 20)];
        let run = |from: u64, to: u64, len: u64| Run { from: from << 20, to: to << 20, len: len << 20 };
        // The table is behind it, where it ends at 6 MiB or at 8 MiB of the file.
        for (block_size, place, expected) in [
            (1_u32 << 20, 3_u64 << 20, [run(0, 7, 1), run(5, 3, 3), run(9, 8, 1)]),
            (4 << 20, 5 << 20, [run(0, 12, 4), run(4, 4, 4), run(8, 16, 4)]),
        ] {
            let options = Options { block_size, ..Options::default() };
            assert_eq!(options.place(5 << 20), place);
            let container = options.plan(1 << 30, used.clone(), Some(5 << 20..8 << 20), &IDENTITY).unwrap();
            assert_eq!(container.runs(), expected, "{block_size}");
        }
    }

    /// Where the disk begins does not depend on its length.
    #[test]
    fn fixed_has_all_of_it_in_one_piece() {
        for (block_size, base) in [(1_u32 << 20, 3_u64 << 20), (32 << 20, 32 << 20), (256 << 20, 256 << 20)] {
            let options = Options { subformat: Subformat::Fixed, block_size, ..Options::default() };
            assert_eq!(options.base(), Some(base));
            for len in [4096, (40 << 20) + 512, 3 << 40] {
                let container = plan(options, len, &[]);
                let whole = len.next_multiple_of(block_size.into());
                assert_eq!(container.runs(), [Run { from: 0, to: base, len: whole }]);
                assert!(container.len_bytes().is_multiple_of(1 << 20) && container.len_bytes() > base + whole);
            }
        }
    }

    #[test]
    fn checksums_are_right() {
        let container = plan(Options::default(), 1 << 30, &[]);
        for (offset, len) in [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)] {
            let mut bytes = bytes_at(&container, offset, len);
            let sum = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
            bytes[4..8].fill(0);
            assert_eq!(crc32c::crc32c(&bytes), sum);
        }
    }

    #[test]
    fn what_the_format_does_not_have() {
        let fails = |options: Options, len: u64| options.plan(len, [], None, &IDENTITY).unwrap_err().to_string();
        let plain = Options::default();
        assert!(fails(Options { block_size: 3 << 20, ..plain }, 1).contains("3145728 bytes: expected a power of two"));
        assert!(fails(Options { block_size: 1 << 19, ..plain }, 1).contains("expected a power of two"));
        assert!(fails(Options { logical_sector_size: 1024, ..plain }, 1).contains("1024 bytes: expected 512 or 4096"));
        assert!(fails(plain, (64 << 40) + 1).contains("is too large for VHDX, expected at most 65536 GiB"));
    }
}
