//! VHD: the format of Virtual PC, Azure and older Hyper-V.
//!
//! ```text
//! fixed     the disk │ footer
//! dynamic   copy of the footer │ header │ block allocation table │ bitmap, block │ bitmap, block │ … │ footer
//! ```
//!
//! * **The length is that of the field `current_size`.** A reader may take it from the geometry
//!   instead, which can't say every length: QEMU does so for writers that it does not know. It
//!   knows Hyper-V, by the `creator_application` that is written here, and takes `current_size`, as
//!   Azure does.
//! * **A block of a dynamic disk begins at a multiple of 4096 bytes**, and its bitmap right in
//!   front of it. The format demands multiples of 512 only; but filesystems share their blocks, and
//!   kernels copy without memory, only between such positions.
//! * **A bitmap says that all sectors of its block are written.** What no one wrote is zeros there,
//!   too.
//!
//! Specification: "Virtual Hard Disk Image Format Specification", version 1.0. Left zero: the time
//! stamp, because a disk is a function of its image; the saved state; in the dynamic header, the
//! parent and its locators, because there is none.

use std::ops::Range;

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Container, Piece, Run, TooLarge, units};
use crate::format::vhd::*;

/// How much of a disk a block is: what every writer uses.
const BLOCK: u64 = 2 << 20;

/// What is in front of a block, with its bitmap at the end.
const BLOCK_FRONT: u64 = 4096;

impl Container {
    /// A fixed VHD: the disk and a footer. A length that is no multiple of a sector is rounded up.
    ///
    /// # Errors
    /// When the disk is too long for the format.
    pub fn fixed_vhd(len_bytes: u64, unique_id: [u8; 16]) -> Result<Container, TooLarge> {
        let size = checked(len_bytes)?;
        let footer = Piece { offset: size, bytes: footer(size, FIXED, NO_OFFSET, unique_id) };
        let whole = Run { from: 0, to: 0, len: size };
        Ok(Container::new(size + SECTOR, vec![whole], vec![footer]))
    }

    /// A dynamic VHD for a disk of this length, of which these ranges are written.
    ///
    /// # Errors
    /// As [`Container::fixed_vhd`].
    pub fn dynamic_vhd(
        len_bytes: u64,
        used: impl IntoIterator<Item = Range<u64>>,
        unique_id: [u8; 16],
    ) -> Result<Container, TooLarge> {
        const HEADER: u64 = SECTOR;
        const TABLE: u64 = HEADER + 1024;
        let size = checked(len_bytes)?;
        let narrow = |number: u64| u32::try_from(number).expect("limited by the length of the disk");
        let entries = size.div_ceil(BLOCK);
        let mut header = DynamicDiskHeader {
            cookie: *b"cxsparse",
            data_offset: U64::new(NO_OFFSET),
            table_offset: U64::new(TABLE),
            header_version: U32::new(0x0001_0000),
            max_table_entries: U32::new(narrow(entries)),
            block_size: U32::new(narrow(BLOCK)),
            ..DynamicDiskHeader::new_zeroed()
        };
        header.checksum = U32::new(checksum(header.as_bytes()));

        let table_len = (entries * 4).next_multiple_of(SECTOR);
        let mut table = vec![UNUSED; usize::try_from(table_len / 4).expect("a table in memory")];
        let mut at = (TABLE + table_len).next_multiple_of(BLOCK_FRONT);
        let (mut runs, mut pieces) = (Vec::new(), Vec::new());
        for block in units(used, BLOCK).into_iter().flatten() {
            let bitmap = at + BLOCK_FRONT - SECTOR;
            table[usize::try_from(block).expect("an entry of the table")] = narrow(bitmap / SECTOR);
            pieces.push(Piece { offset: bitmap, bytes: vec![0xff; 512] });
            runs.push(Run { from: block * BLOCK, to: at + BLOCK_FRONT, len: BLOCK });
            at += BLOCK_FRONT + BLOCK;
        }
        let footer = footer(size, DYNAMIC, HEADER, unique_id);
        let table = table.into_iter().flat_map(u32::to_be_bytes).collect();
        pieces.extend([
            Piece { offset: at, bytes: footer.clone() },
            Piece { offset: TABLE, bytes: table },
            Piece { offset: HEADER, bytes: header.as_bytes().to_vec() },
            Piece { offset: 0, bytes: footer },
        ]);
        Ok(Container::new(at + SECTOR, runs, pieces))
    }
}

fn checked(len_bytes: u64) -> Result<u64, TooLarge> {
    match len_bytes <= MAX {
        true => Ok(len_bytes.next_multiple_of(SECTOR)),
        false => Err(TooLarge { format: "VHD", len_bytes, max: MAX }),
    }
}

fn footer(size: u64, disk_type: u32, data_offset: u64, unique_id: [u8; 16]) -> Vec<u8> {
    let (cylinders, heads, sectors_per_track) = geometry(size / SECTOR);
    let mut footer = HardDiskFooter {
        cookie: *b"conectix",
        // Bit 1 is reserved, and always set.
        features: U32::new(2),
        file_format_version: U32::new(0x0001_0000),
        data_offset: U64::new(data_offset),
        creator_application: *b"win ",
        creator_version: U32::new(0x0006_0003),
        creator_host_os: *b"Wi2k",
        original_size: U64::new(size),
        current_size: U64::new(size),
        cylinders: U16::new(cylinders),
        heads,
        sectors_per_track,
        disk_type: U32::new(disk_type),
        unique_id,
        ..HardDiskFooter::new_zeroed()
    };
    footer.checksum = U32::new(checksum(footer.as_bytes()));
    footer.as_bytes().to_vec()
}

/// Cylinders, heads and sectors, as the specification's appendix calculates them.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let total = sectors.min(65535 * 16 * 255);
    let (heads, per_track, cylinders_by_heads);
    if total >= 65535 * 16 * 63 {
        (per_track, heads) = (255, 16);
        cylinders_by_heads = total / per_track;
    } else {
        let few = total / 17;
        let needed = few.div_ceil(1024).max(4);
        if few >= needed * 1024 || needed > 16 {
            let some = total / 31;
            if some >= 16 * 1024 {
                (per_track, heads, cylinders_by_heads) = (63, 16, total / 63);
            } else {
                (per_track, heads, cylinders_by_heads) = (31, 16, some);
            }
        } else {
            (per_track, heads, cylinders_by_heads) = (17, needed, few);
        }
    }
    let narrow = |number: u64| u8::try_from(number).expect("at most 255");
    (u16::try_from(cylinders_by_heads / heads).expect("at most 65535"), narrow(heads), narrow(per_track))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the specification's appendix, by its thresholds.
    #[test]
    fn geometries() {
        assert_eq!(geometry(0), (0, 4, 17));
        assert_eq!(geometry(40 << 11), (963, 5, 17));
        assert_eq!(geometry(1 << 21), (2080, 16, 63));
        assert_eq!(geometry(65535 * 16 * 63), (16191, 16, 255));
        assert_eq!(geometry(u64::MAX), (65535, 16, 255));
    }

    #[test]
    fn blocks_are_aligned_and_their_bitmaps_in_front() {
        let container = Container::dynamic_vhd(1 << 40, [0..1, 9 * BLOCK - 1..9 * BLOCK + 1], [7; 16]).unwrap();
        assert_eq!(container.runs().len(), 3);
        for run in container.runs() {
            assert_eq!((run.to % 4096, run.len, run.from % BLOCK), (0, BLOCK, 0));
            let bitmap = container.pieces().iter().find(|piece| piece.offset == run.to - SECTOR).unwrap();
            assert_eq!(bitmap.bytes, [0xff; 512]);
        }
        let footers: Vec<&Piece> =
            container.pieces().iter().filter(|piece| piece.bytes.starts_with(b"conectix")).collect();
        assert_eq!((footers[0].offset, footers[1].offset), (container.len_bytes() - 512, 0));
        assert_eq!(footers[0].bytes, footers[1].bytes);
    }

    #[test]
    fn a_checksum_counts_all_but_itself() {
        let mut bytes = footer(1 << 30, FIXED, NO_OFFSET, [7; 16]);
        let sum = u32::from_be_bytes(bytes[64..68].try_into().unwrap());
        bytes[64..68].fill(0);
        assert_eq!(sum, checksum(&bytes));
    }

    #[test]
    fn a_disk_may_be_too_large() {
        assert!(Container::fixed_vhd(MAX, [0; 16]).is_ok());
        for len_bytes in [MAX + 1, u64::MAX] {
            assert!(Container::dynamic_vhd(len_bytes, [], [0; 16]).is_err());
        }
    }
}
