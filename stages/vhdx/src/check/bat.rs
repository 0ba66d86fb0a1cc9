//! The block allocation table.

use std::io;

use cvbake_disk::Pages;

use super::Check;
use crate::disk::Block;
use crate::format::*;
use crate::read::Info;

/// How long a file may be so that its table is checked: a bit for each MiB is kept, 16 MiB of them.
/// That is twice the longest disk.
const MAX_FILE: u64 = 128 << 40;

impl Check<'_> {
    pub(super) fn bat(&mut self, info: &Info, pages: &Pages) -> io::Result<()> {
        if let Err(error) = info.check_bat() {
            self.faults.add("BAT_ENTRY_COUNT_INSUFFICIENT", error.to_string());
            return Ok(());
        }
        if self.len > MAX_FILE {
            self.faults.add("BAT_NOT_CHECKED", format!("the file has {} bytes, expected at most 128 TiB", self.len));
            return Ok(());
        }
        let mut used = Used(vec![0; usize::try_from(self.len.div_ceil(MIB * 64)).expect("at most 2^21")]);
        let (ratio, block_size) = (info.chunk_ratio(), u64::from(info.block_size));
        for number in 0..info.entries() {
            let (page, within) = pages.page(info.layout.bat.0 + number * 8)?;
            let entry = u64::from_le_bytes(page[within..within + 8].try_into().expect("entries are aligned"));
            let (chunk, slot) = (number / (ratio + 1), number % (ratio + 1));
            let at = (chunk * ratio + slot).saturating_mul(block_size);
            self.faults.expect(entry & BAT_RESERVED == 0, "BAT_ENTRY_RESERVED_NONZERO", || {
                format!("entry {number} is {entry:#x}, with reserved bits that are not 0")
            });
            if slot == ratio {
                self.sector_bitmap(info, number, entry, &mut used);
            } else if at < info.virtual_disk_size {
                self.block(info, number, at, entry, &mut used);
                self.bitmap_of(info, chunk, at, entry, pages)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, info: &Info, number: u64, at: u64, entry: u64, used: &mut Used) {
        let block = match info.block(at, entry) {
            Ok(block) => block,
            Err(error) => {
                let state = entry & BAT_STATE;
                let rule = match state {
                    PAYLOAD_BLOCK_PARTIALLY_PRESENT if info.parent.is_none() => "BAT_ENTRY_STATE_MISMATCH",
                    PAYLOAD_BLOCK_FULLY_PRESENT | PAYLOAD_BLOCK_PARTIALLY_PRESENT => "BAT_ENTRY_OUT_OF_RANGE",
                    _ => "BAT_ENTRY_INVALID_STATE",
                };
                self.faults.add(rule, format!("entry {number}: {error}"));
                return;
            }
        };
        match block {
            Block::Whole(offset) | Block::InPart(offset) => {
                self.faults.expect(used.take(offset, info.block_size.into()), "BAT_FILE_OFFSET_DUPLICATE", || {
                    format!("entry {number}: the block at offset {at} of the disk is where another one is, at {offset}")
                });
            }
            // In a fixed disk, too: blocks that are there stay, and those that never were need not
            // be.
            Block::Absent | Block::Zeros => {}
        }
    }

    /// Whether a block that is there in part has a sector bitmap.
    fn bitmap_of(&mut self, info: &Info, chunk: u64, at: u64, entry: u64, pages: &Pages) -> io::Result<()> {
        if !matches!(info.block(at, entry), Ok(Block::InPart(_))) {
            return Ok(());
        }
        let ratio = info.chunk_ratio();
        let (page, within) = pages.page(info.layout.bat.0 + (chunk * (ratio + 1) + ratio) * 8)?;
        let entry = u64::from_le_bytes(page[within..within + 8].try_into().expect("entries are aligned"));
        if let Err(error) = info.bitmap(at, entry) {
            self.faults.add("BAT_ENTRY_STATE_MISMATCH", error.to_string());
        }
        Ok(())
    }

    fn sector_bitmap(&mut self, info: &Info, number: u64, entry: u64, used: &mut Used) {
        match entry & BAT_STATE {
            SECTOR_BITMAP_NOT_PRESENT => {}
            SECTOR_BITMAP_PRESENT if info.parent.is_none() => self.faults.add(
                "BAT_ENTRY_STATE_MISMATCH",
                format!("entry {number}: a sector bitmap is there, on a disk without a parent"),
            ),
            SECTOR_BITMAP_PRESENT => {
                let offset = entry & BAT_OFFSET;
                match info.misplaced(offset, MIB) {
                    Some(expected) => self.faults.add(
                        "BAT_ENTRY_OUT_OF_RANGE",
                        format!("entry {number}: the sector bitmap is at offset {offset}, expected {expected}"),
                    ),
                    None => self.faults.expect(used.take(offset, MIB), "BAT_FILE_OFFSET_DUPLICATE", || {
                        format!("entry {number}: the sector bitmap is where something else is, at {offset}")
                    }),
                }
            }
            state => self.faults.add(
                "BAT_SECTOR_BITMAP_INVALID_STATE",
                format!("entry {number}: the sector bitmap has the state {state}, expected 0 or 6"),
            ),
        }
    }
}

/// A bit for each MiB of the file that is in use.
struct Used(Vec<u64>);

impl Used {
    /// Takes a part of the file; false if some of it was taken.
    fn take(&mut self, offset: u64, len: u64) -> bool {
        let mut all = true;
        for number in offset / MIB..(offset + len) / MIB {
            let Some(word) = usize::try_from(number / 64).ok().and_then(|at| self.0.get_mut(at)) else { continue };
            let bit = 1 << (number % 64);
            all &= *word & bit == 0;
            *word |= bit;
        }
        all
    }
}
