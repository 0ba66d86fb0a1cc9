//! What a VHD file says of itself.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use zerocopy::FromBytes as _;

use crate::FormatError;
use crate::format::vhd::*;

/// What a VHD file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// What kind of disk it is.
    pub kind: Kind,
    /// How long the disk is.
    pub virtual_size: u64,
    /// What names it, as a UUID is written.
    pub unique_id: [u8; 16],
    /// How long a block is, in disks that have blocks.
    pub block_size: Option<u32>,
    /// The disk that has what this one does not.
    pub parent: Option<Parent>,
    pub(super) layout: Layout,
}

/// Where the parts of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where blocks end: at the footer, if it is at the end.
    pub(super) end: u64,
    pub(super) header: u64,
    pub(super) table: u64,
    pub(super) entries: u32,
}

/// A kind of disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has all of its blocks, in one piece.
    Fixed,
    /// It has those that were written.
    Dynamic,
    /// What it does not have is on its parent.
    Differencing,
}

/// How a differencing disk names its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The unique ID of the parent.
    pub unique_id: [u8; 16],
    /// When its file was written last, in seconds since 2000.
    pub time_stamp: u32,
    /// The name of its file.
    pub name: String,
    /// Where it is, seen from the child, with `\\` between names.
    pub relative_path: Option<String>,
    /// Where it is on a machine with Windows.
    pub absolute_path: Option<String>,
}

const COOKIE: &[u8; 8] = b"conectix";
const FOOTER: u64 = 512;
const HEADER: u64 = 1024;

/// The shortest and the longest block that are read: writers make such of 512 KiB and 2 MiB; with
/// shorter ones the table of a long disk has no end.
const BLOCKS: std::ops::RangeInclusive<u32> = 64 << 10..=256 << 20;

/// How long the path of a parent may be: what Windows has, in UTF-16.
const MAX_PATH: u32 = 2 * 32767;

/// Parent locators: relative and absolute paths of Windows, in UTF-16.
const W2RU: [u8; 4] = *b"W2ru";
const W2KU: [u8; 4] = *b"W2ku";

impl Info {
    /// Whether a file has a footer at its end, or a copy of one at its beginning: then it is a VHD,
    /// damaged perhaps.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn is_vhd(file: &File) -> Result<bool, FormatError> {
        let len = length(file)?;
        let places = [Some(0), len.checked_sub(FOOTER)];
        for offset in places.into_iter().flatten().filter(|offset| offset + FOOTER <= len) {
            if bytes(file, offset, 8)? == COOKIE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the footer, and the header of a disk that has one.
    ///
    /// # Errors
    /// When it is no VHD file, or one that can't be trusted to be what it says.
    pub fn read(file: &File) -> Result<Info, FormatError> {
        let len = length(file)?;
        if len < FOOTER {
            return Err(FormatError::CutOff { found: len, expected: FOOTER });
        }
        let last = len - FOOTER;
        let (footer, end) = match footer(file, last) {
            Ok(footer) => (footer, last),
            // Whoever writes a dynamic disk and is ended may leave it without the one at its end.
            Err(error) => match footer(file, 0) {
                Ok(footer) if footer.disk_type.get() != FIXED => (footer, len),
                _ => return Err(error),
            },
        };
        let virtual_size = footer.current_size.get();
        let kind = match footer.disk_type.get() {
            FIXED => Kind::Fixed,
            DYNAMIC => Kind::Dynamic,
            DIFFERENCING => Kind::Differencing,
            other => {
                let expected = "2 (fixed), 3 (dynamic) or 4 (differencing)";
                return Err(FormatError::Field { what: "the disk type", found: other.into(), expected });
            }
        };
        if virtual_size > MAX || !virtual_size.is_multiple_of(SECTOR) {
            let expected = "a multiple of 512, at most 2040 GiB";
            return Err(FormatError::Field { what: "the current size", found: virtual_size, expected });
        }
        let mut info = Info {
            kind,
            virtual_size,
            unique_id: footer.unique_id,
            block_size: None,
            parent: None,
            layout: Layout { end, header: 0, table: 0, entries: 0 },
        };
        match kind {
            Kind::Fixed if virtual_size > end => {
                Err(FormatError::CutOff { found: len, expected: virtual_size + FOOTER })
            }
            Kind::Fixed => Ok(info),
            Kind::Dynamic | Kind::Differencing => {
                info.read_header(file, footer.data_offset.get())?;
                Ok(info)
            }
        }
    }

    fn read_header(&mut self, file: &File, offset: u64) -> Result<(), FormatError> {
        let end = self.layout.end;
        if offset < FOOTER || offset.saturating_add(HEADER) > end {
            return Err(FormatError::Field {
                what: "the offset of the dynamic header",
                found: offset,
                expected: "512 or more, with all of the header in the file",
            });
        }
        let mut raw = bytes(file, offset, HEADER)?;
        let header = DynamicDiskHeader::read_from_bytes(&raw).expect("1024 bytes");
        if header.cookie != *b"cxsparse" {
            return Err(FormatError::NotIt {
                expected: "\"cxsparse\" in the dynamic header",
                found: header.cookie.into(),
            });
        }
        raw[36..40].fill(0);
        if checksum(&raw) != header.checksum.get() {
            return Err(FormatError::Checksum { what: "dynamic header" });
        }
        let block_size = header.block_size.get();
        if !block_size.is_power_of_two() || !BLOCKS.contains(&block_size) {
            let expected = "a power of two from 64 KiB to 256 MiB";
            return Err(FormatError::Field { what: "the block size", found: block_size.into(), expected });
        }
        let (table, entries) = (header.table_offset.get(), header.max_table_entries.get());
        let needed = self.virtual_size.div_ceil(block_size.into());
        if u64::from(entries) < needed {
            let expected = "as many as the disk has blocks";
            return Err(FormatError::Field { what: "the number of table entries", found: entries.into(), expected });
        }
        if table < FOOTER || !table.is_multiple_of(4) || table.saturating_add(needed * 4) > end {
            return Err(FormatError::Field {
                what: "the offset of the block allocation table",
                found: table,
                expected: "512 or more, with all of the table in the file",
            });
        }
        self.block_size = Some(block_size);
        self.layout = Layout { end, header: offset, table, entries };
        if self.kind == Kind::Differencing {
            self.parent = Some(parent(file, &header, end)?);
        }
        Ok(())
    }
}

fn length(file: &File) -> Result<u64, FormatError> {
    Ok(file.metadata().map_err(|source| FormatError::Read { offset: 0, len: 0, source })?.len())
}

fn bytes(file: &File, offset: u64, len: u64) -> Result<Vec<u8>, FormatError> {
    let mut bytes = vec![0; usize::try_from(len).expect("a structure")];
    file.read_exact_at(&mut bytes, offset).map_err(|source| FormatError::Read { offset, len, source })?;
    Ok(bytes)
}

/// The footer at an offset, if it is one.
pub(super) fn footer(file: &File, offset: u64) -> Result<HardDiskFooter, FormatError> {
    let mut raw = bytes(file, offset, FOOTER)?;
    let footer = HardDiskFooter::read_from_bytes(&raw).expect("512 bytes");
    if footer.cookie != *COOKIE {
        return Err(FormatError::NotIt { expected: "\"conectix\" in the footer", found: footer.cookie.into() });
    }
    raw[64..68].fill(0);
    if checksum(&raw) != footer.checksum.get() {
        return Err(FormatError::Checksum { what: "footer" });
    }
    Ok(footer)
}

fn parent(file: &File, header: &DynamicDiskHeader, end: u64) -> Result<Parent, FormatError> {
    let path = |code: [u8; 4]| {
        let locators = header.parent_locators.chunks_exact(24);
        let Some(locator) = locators.into_iter().find(|locator| locator[..4] == code) else { return Ok(None) };
        let len = u32::from_be_bytes(locator[8..12].try_into().expect("four bytes"));
        let offset = u64::from_be_bytes(locator[16..24].try_into().expect("eight bytes"));
        if len > MAX_PATH || offset.saturating_add(len.into()) > end {
            let expected = "at most 65534, with all of the path in the file";
            return Err(FormatError::Field { what: "the length of a parent's path", found: len.into(), expected });
        }
        Ok(Some(text(&bytes(file, offset, len.into())?, u16::from_le_bytes)))
    };
    Ok(Parent {
        unique_id: header.parent_unique_id,
        time_stamp: header.parent_time_stamp.get(),
        name: text(&header.parent_unicode_name, u16::from_be_bytes),
        relative_path: path(W2RU)?,
        absolute_path: path(W2KU)?,
    })
}

/// A text in UTF-16, up to its first NUL.
fn text(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    String::from_utf16_lossy(&units.take_while(|unit| *unit != 0).collect::<Vec<u16>>())
}
