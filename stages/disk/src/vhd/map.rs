//! Where each block of the disk is.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::header::{Info, Kind};
use crate::format::vhd::{SECTOR, UNUSED};
use crate::mapped::{Extent, Map, Mapped, Place};
use crate::pages::Pages;
use crate::{FormatError, ReadAt};

impl Info {
    /// The disk in the file that this was read from. `parent` is the disk that a differencing one
    /// is the child of; what this file does not have reads as zeros without it.
    #[must_use]
    pub fn disk(&self, file: File, parent: Option<Arc<dyn ReadAt>>) -> impl ReadAt + use<> {
        let file = Arc::new(file);
        let pages = Pages::new(Arc::clone(&file));
        Mapped::new(file, Vhd { info: self.clone(), pages }, parent)
    }

    /// How long the bitmap in front of a block is.
    pub(super) fn bitmap_len(&self) -> u64 {
        (u64::from(self.block_size.unwrap_or(0)) / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }

    /// Where the bitmap and the block are that an entry says to be there.
    pub(super) fn place(&self, at: u64, entry: u32) -> Result<u64, FormatError> {
        let offset = u64::from(entry) * SECTOR;
        let end = offset + self.bitmap_len() + u64::from(self.block_size.unwrap_or(0));
        if end > self.layout.end {
            let expected = "a place within the file, in front of the footer";
            return Err(FormatError::Place { what: "block", at, offset, expected });
        }
        let layout = &self.layout;
        let reserved: [(Range<u64>, &'static str); 3] = [
            (0..SECTOR, "copy of the footer"),
            (layout.header..layout.header + 1024, "dynamic header"),
            (layout.table..layout.table + u64::from(layout.entries) * 4, "block allocation table"),
        ];
        match reserved.into_iter().find(|(range, _)| offset < range.end && range.start < end) {
            Some((_, other)) => Err(FormatError::Overlap { what: "block", at, other, offset }),
            None => Ok(offset),
        }
    }
}

struct Vhd {
    info: Info,
    pages: Pages,
}

impl Map for Vhd {
    fn len_bytes(&self) -> u64 {
        self.info.virtual_size
    }

    fn extent(&self, offset: u64) -> io::Result<Extent> {
        let Some(block_size) = self.info.block_size.map(u64::from) else {
            return Ok(Extent { place: Place::File(offset), len: self.info.virtual_size - offset });
        };
        let number = offset / block_size;
        let (page, within) = self.pages.page(self.info.layout.table + number * 4)?;
        let entries = page[within..].chunks_exact(4);
        let mut entries = entries.map(|entry| u32::from_be_bytes(entry.try_into().expect("four bytes")));
        let rest = block_size - offset % block_size;
        let entry = entries.next().expect("a table is aligned, so a page has all of an entry");
        if entry == UNUSED {
            let more = entries.take_while(|entry| *entry == UNUSED).count() as u64;
            return Ok(Extent { place: Place::Parent, len: rest + more * block_size });
        }
        let start = number * block_size;
        let bitmap = self.info.place(start, entry)?;
        let within = offset - start;
        let data = bitmap + self.info.bitmap_len() + within;
        if self.info.kind != Kind::Differencing {
            return Ok(Extent { place: Place::File(data), len: rest });
        }
        let (is_here, sectors) = run(&self.pages, bitmap, within / SECTOR, block_size / SECTOR)?;
        let place = if is_here { Place::File(data) } else { Place::Parent };
        Ok(Extent { place, len: sectors * SECTOR - within % SECTOR })
    }
}

/// Whether a bit of a bitmap is set, and how many from it on are the same, at least as far as a
/// page goes. The first bit is the highest of the first byte.
fn run(pages: &Pages, bitmap: u64, first: u64, bits: u64) -> io::Result<(bool, u64)> {
    let (page, within) = pages.page(bitmap + first / 8)?;
    let bit = |number: u64| {
        let byte = within + usize::try_from(number / 8 - first / 8).expect("within a bitmap");
        page.get(byte).map(|byte| byte >> (7 - number % 8) & 1 == 1)
    };
    let is_set = bit(first).expect("the page has the first one");
    let mut end = first + 1;
    while end < bits && bit(end) == Some(is_set) {
        end += 1;
    }
    Ok((is_set, end - first))
}
