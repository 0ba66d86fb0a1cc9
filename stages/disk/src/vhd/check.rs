//! Everything in a VHD file that can be wrong and is in its own tables.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::header::{Info, Kind, footer};
use crate::FormatError;
use crate::fault::Faults;
use crate::format::vhd::{SECTOR, UNUSED};
use crate::pages::Pages;

/// Looks at the footer, its copy, the header and the table of blocks.
///
/// # Errors
/// When the file can't be read.
pub fn check(file: &File) -> io::Result<Faults> {
    let mut faults = Faults::default();
    let info = match Info::read(file) {
        Ok(info) => info,
        Err(FormatError::Read { source, .. }) => return Err(source),
        Err(error) => {
            faults.add("VHD_HEADER", error.to_string());
            return Ok(faults);
        }
    };
    let len = file.metadata()?.len();
    let last = footer(file, len - SECTOR);
    if let Err(error) = &last {
        faults.add("VHD_FOOTER", format!("at the end of the file: {error}"));
    }
    if info.kind == Kind::Fixed {
        faults.expect(info.virtual_size == len - SECTOR, "VHD_LENGTH", || {
            format!("the file has {len} bytes, expected {}, the disk and its footer", info.virtual_size + SECTOR)
        });
        return Ok(faults);
    }
    match (footer(file, 0), last) {
        (Err(error), _) => faults.add("VHD_FOOTER_COPY", format!("at the beginning of the file: {error}")),
        (Ok(copy), Ok(last)) => {
            let same = copy.unique_id == last.unique_id && copy.checksum == last.checksum;
            faults.expect(same, "VHD_FOOTER_COPY", || "the footer and its copy differ".to_owned());
        }
        _ => {}
    }
    blocks(&info, file, &mut faults)?;
    Ok(faults)
}

fn blocks(info: &Info, file: &File, faults: &mut Faults) -> io::Result<()> {
    let block_size = u64::from(info.block_size.unwrap_or(0));
    let pages = Pages::new(Arc::new(file.try_clone()?));
    let mut present: Vec<(u32, u32)> = Vec::new();
    for number in 0..info.virtual_size.div_ceil(block_size.max(SECTOR)) {
        let (page, within) = pages.page(info.layout.table + number * 4)?;
        let entry = u32::from_be_bytes(page[within..within + 4].try_into().expect("a table is aligned"));
        if entry == UNUSED {
            continue;
        }
        match info.place(number * block_size, entry) {
            Ok(_) => present.push((entry, u32::try_from(number).expect("fewer blocks than 2^32"))),
            Err(error) => faults.add("VHD_BLOCK", error.to_string()),
        }
    }
    present.sort_unstable();
    let sectors = (info.bitmap_len() + block_size) / SECTOR;
    for two in present.windows(2) {
        let ((first, one), (second, other)) = (two[0], two[1]);
        faults.expect(u64::from(second - first) >= sectors, "VHD_BLOCK_OVERLAP", || {
            let offset = u64::from(second) * SECTOR;
            format!("blocks {one} and {other} of the disk are in the same place, at offset {offset} of the file")
        });
    }
    Ok(())
}
