//! A VHDX file → the disk in it.
//!
//! The block allocation table is read a page at a time: that of the longest disk has 512 MiB.

use std::fs::File;
use std::io;
use std::sync::Arc;

use cvbake_disk::{Extent, Map, Mapped, Pages, Place, ReadAt};

use crate::format::*;
use crate::read::{Info, ReadError};

impl Info {
    /// The disk in the file that this was read from. `parent` is the disk that a differencing one
    /// is the child of; what this file does not have reads as zeros without it.
    #[must_use]
    pub fn disk(&self, file: File, parent: Option<Arc<dyn ReadAt>>) -> impl ReadAt + use<> {
        let file = Arc::new(file);
        let pages = Pages::new(Arc::clone(&file));
        Mapped::new(file, Vhdx { info: self.clone(), pages }, parent)
    }

    /// How many blocks belong to a chunk, which has a sector bitmap in a differencing disk.
    pub(crate) fn chunk_ratio(&self) -> u64 {
        CHUNK_SECTORS * u64::from(self.logical_sector_size) / u64::from(self.block_size)
    }

    /// How many blocks the disk has.
    pub(crate) fn blocks(&self) -> u64 {
        self.virtual_disk_size.div_ceil(self.block_size.into())
    }

    /// How many entries the block allocation table has at least.
    pub(crate) fn entries(&self) -> u64 {
        match self.parent {
            Some(_) => self.blocks().div_ceil(self.chunk_ratio()) * (self.chunk_ratio() + 1),
            None => self.blocks() + self.blocks().saturating_sub(1) / self.chunk_ratio(),
        }
    }

    /// Whether the block allocation table has all of its entries.
    pub(crate) fn check_bat(&self) -> Result<(), ReadError> {
        let (_, found) = self.layout.bat;
        match found >= self.entries() * 8 {
            true => Ok(()),
            false => Err(ReadError::Field {
                what: "the length of the block allocation table",
                found,
                expected: "8 bytes for each block and each sector bitmap",
            }),
        }
    }

    /// What an entry says of a block at an offset of the disk.
    pub(crate) fn block(&self, at: u64, entry: u64) -> Result<Block, ReadError> {
        let wrong = |expected| Err(ReadError::Entry { what: "block", at, found: entry, expected });
        let offset = entry & BAT_OFFSET;
        let state = entry & BAT_STATE;
        if matches!(state, PAYLOAD_BLOCK_FULLY_PRESENT | PAYLOAD_BLOCK_PARTIALLY_PRESENT)
            && let Some(expected) = self.misplaced(offset, self.block_size.into())
        {
            return wrong(expected);
        }
        match state {
            PAYLOAD_BLOCK_NOT_PRESENT => Ok(Block::Absent),
            // What was trimmed need not be what it was; zeros are what everybody reads there.
            PAYLOAD_BLOCK_UNDEFINED | PAYLOAD_BLOCK_ZERO | PAYLOAD_BLOCK_UNMAPPED => Ok(Block::Zeros),
            PAYLOAD_BLOCK_FULLY_PRESENT => Ok(Block::Whole(offset)),
            PAYLOAD_BLOCK_PARTIALLY_PRESENT if self.parent.is_some() => Ok(Block::InPart(offset)),
            PAYLOAD_BLOCK_PARTIALLY_PRESENT => wrong("no block that is there in part, on a disk without a parent"),
            _ => wrong("a state that the format has"),
        }
    }

    /// Where the sector bitmap of a chunk is.
    pub(crate) fn bitmap(&self, at: u64, entry: u64) -> Result<u64, ReadError> {
        let wrong = |expected| Err(ReadError::Entry { what: "sector bitmap", at, found: entry, expected });
        let offset = entry & BAT_OFFSET;
        if entry & BAT_STATE != SECTOR_BITMAP_PRESENT {
            return wrong("one that is there, for a block that is there in part");
        }
        match self.misplaced(offset, MIB) {
            Some(expected) => wrong(expected),
            None => Ok(offset),
        }
    }

    /// What is expected of a place in the file instead, if it can't be one of a block or a bitmap.
    pub(crate) fn misplaced(&self, offset: u64, len: u64) -> Option<&'static str> {
        let layout = &self.layout;
        if offset.checked_add(len).is_none_or(|end| end > layout.file_len) {
            return Some("a place within the file");
        }
        let overlaps = |(start, region): (u64, u64)| offset < start.saturating_add(region) && start < offset + len;
        if offset < MIB || [layout.bat, layout.metadata, layout.log].into_iter().any(overlaps) {
            return Some("a place outside of the headers, the log, the table and the metadata");
        }
        None
    }
}

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    Absent,
    Zeros,
    Whole(u64),
    /// The sectors that a sector bitmap says are here; the others are on the parent.
    InPart(u64),
}

struct Vhdx {
    info: Info,
    pages: Pages,
}

impl Vhdx {
    /// Whether a sector is in this file, and how many from it on are the same, as far as the block
    /// and a page of the bitmap go. The first bit is the lowest of the first byte.
    fn sectors(&self, offset: u64) -> io::Result<(bool, u64)> {
        let info = &self.info;
        let (block_size, ratio) = (u64::from(info.block_size), info.chunk_ratio());
        let (number, sector_size) = (offset / block_size, u64::from(info.logical_sector_size));
        let chunk = number / ratio;
        let entry = info.layout.bat.0 + (chunk * (ratio + 1) + ratio) * 8;
        let (page, within) = self.pages.page(entry)?;
        let bitmap = info.bitmap(chunk * ratio * block_size, le(&page[within..]))?;
        let first = offset / sector_size % CHUNK_SECTORS;
        let (page, within) = self.pages.page(bitmap + first / 8)?;
        let bit = |number: u64| {
            let byte = within + usize::try_from(number / 8 - first / 8).expect("within a bitmap");
            page.get(byte).map(|byte| byte >> (number % 8) & 1 == 1)
        };
        let is_here = bit(first).expect("the page has the first one");
        let rest = (block_size - offset % block_size).div_ceil(sector_size);
        let mut count = 1;
        while count < rest && bit(first + count) == Some(is_here) {
            count += 1;
        }
        Ok((is_here, count * sector_size - offset % sector_size))
    }
}

fn le(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

impl Map for Vhdx {
    fn len_bytes(&self) -> u64 {
        self.info.virtual_disk_size
    }

    fn extent(&self, offset: u64) -> io::Result<Extent> {
        let info = &self.info;
        let (block_size, ratio) = (u64::from(info.block_size), info.chunk_ratio());
        let mut number = offset / block_size;
        let (page, within) = self.pages.page(info.layout.bat.0 + (number + number / ratio) * 8)?;
        let start = number * block_size;
        let mut end = start;
        let mut first: Option<Block> = None;
        // As far as it goes on in this page of the table.
        let mut entries = page[within..].chunks_exact(8);
        while number < info.blocks()
            && let Some(entry) = entries.next()
        {
            let block = match info.block(number * block_size, le(entry)) {
                Ok(block) => block,
                // That of what was asked for; what follows will be asked for.
                Err(error) if first.is_none() => return Err(error.into()),
                Err(_) => break,
            };
            let continues = match (first, block) {
                (None, _) => true,
                (Some(Block::Whole(at)), Block::Whole(next)) => next == at + (end - start),
                (Some(Block::InPart(_)), _) => false,
                (Some(first), block) => first == block,
            };
            if !continues {
                break;
            }
            first = first.or(Some(block));
            number += 1;
            end += block_size;
            if number.is_multiple_of(ratio) {
                // That of the sector bitmap.
                entries.next();
            }
        }
        let within = offset - start;
        let place = match first.expect("the offset is on the disk") {
            Block::Absent => Place::Parent,
            Block::Zeros => Place::Zeros,
            Block::Whole(at) => Place::File(at + within),
            Block::InPart(at) => {
                let (is_here, len) = self.sectors(offset)?;
                let place = if is_here { Place::File(at + within) } else { Place::Parent };
                return Ok(Extent { place, len });
            }
        };
        Ok(Extent { place, len: end - offset })
    }
}
