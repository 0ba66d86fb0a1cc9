//! Every rule of the format that a VHDX file breaks, by its name.
//!
//! The names are those that other checkers of VHDX files use, as far as they have one; the rules
//! are those of the specification. A copy of a structure that is damaged is a fault, although the
//! other copy is enough to read the disk.

mod bat;
mod log;
mod metadata;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use cvbake_disk::{Faults, Pages};
use zerocopy::FromBytes as _;

use crate::format::*;
use crate::locator::braced;
use crate::read::{Info, is_sealed};

/// How many regions there may be, by the format.
const MAX_REGIONS: u32 = 2047;

/// Looks at all of a file but the content of its blocks.
///
/// # Errors
/// When it can't be read.
pub fn check(file: &File) -> io::Result<Faults> {
    let len = file.metadata()?.len();
    let mut check = Check { file, len, faults: Faults::default() };
    let found = check.bytes(0, 8)?;
    check.faults.expect(found == b"vhdxfile", "HEADER_FILE_TYPE_ID_INVALID", || {
        format!("the file begins with \"{}\", expected \"vhdxfile\"", found.escape_ascii())
    });
    let header = check.headers()?;
    let Some(regions) = check.region_tables()? else { return Ok(check.faults) };
    if let Some(header) = &header {
        check.log(header, &regions)?;
    }
    if let Some(metadata) = regions.metadata {
        check.metadata(metadata)?;
    }
    match Info::read_tables(file) {
        Ok(info) => check.bat(&info, &Pages::new(Arc::new(file.try_clone()?)))?,
        // What is wrong with it was said, mostly.
        Err(error) if check.faults.is_empty() => check.faults.add("METADATA_ITEM_CORRUPTED", error.to_string()),
        Err(_) => {}
    }
    Ok(check.faults)
}

struct Check<'f> {
    file: &'f File,
    len: u64,
    faults: Faults,
}

/// Where the regions are: offsets and lengths.
struct Regions {
    all: Vec<(u64, u64)>,
    metadata: Option<(u64, u64)>,
}

impl Check<'_> {
    /// Bytes of the file; zeros behind its end.
    fn bytes(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let there = usize::try_from(self.len.saturating_sub(offset)).map_or(len, |there| there.min(len));
        self.file.read_exact_at(&mut bytes[..there], offset)?;
        Ok(bytes)
    }

    /// The current header, if there is one.
    fn headers(&mut self) -> io::Result<Option<Header>> {
        let mut whole: Vec<(Header, Vec<u8>)> = Vec::new();
        for (number, offset) in (1..).zip(HEADERS) {
            let bytes = self.bytes(offset, size_of::<Header>())?;
            let header = Header::read_from_bytes(&bytes).expect("as long as a header");
            if header.signature != *b"head" {
                self.faults.add("HEADER_SIGNATURE_INVALID", format!("header {number} does not begin with \"head\""));
                continue;
            }
            if !is_sealed(bytes.clone()) {
                self.faults.add("HEADER_CHECKSUM_MISMATCH", format!("the checksum of header {number} is wrong"));
                continue;
            }
            let version = header.version.get();
            self.faults.expect(version == 1, "HEADER_VERSION_UNSUPPORTED", || {
                format!("header {number} has version {version}, expected 1")
            });
            let log_version = header.log_version.get();
            self.faults.expect(log_version == 0, "HEADER_LOG_VERSION_UNSUPPORTED", || {
                format!("header {number} has log version {log_version}, expected 0")
            });
            for (rule, what, found) in [
                ("HEADER_LOG_LENGTH_NOT_ALIGNED", "length", u64::from(header.log_length.get())),
                ("HEADER_LOG_OFFSET_NOT_ALIGNED", "offset", header.log_offset.get()),
            ] {
                self.faults.expect(found.is_multiple_of(MIB), rule, || {
                    format!("in header {number}, the {what} of the log is {found}, expected a multiple of 1 MiB")
                });
            }
            whole.push((header, bytes));
        }
        if let [(one, first), (other, second)] = &whole[..] {
            let same_number = one.sequence_number == other.sequence_number;
            self.faults.expect(!same_number || first == second, "HEADER_SEQUENCE_NUMBER_INVALID", || {
                let number = one.sequence_number.get();
                format!("both headers have the sequence number {number}, and are not the same: none is the current one")
            });
        }
        Ok(whole.into_iter().map(|(header, _)| header).max_by_key(|header| header.sequence_number.get()))
    }

    /// Looks at both region tables; what the first whole one says.
    fn region_tables(&mut self) -> io::Result<Option<Regions>> {
        let mut whole: Vec<Vec<u8>> = Vec::new();
        for (number, offset) in (1..).zip(REGION_TABLES) {
            let bytes = self.bytes(offset, REGION_TABLE_LEN)?;
            if !bytes.starts_with(b"regi") {
                self.faults
                    .add("REGION_SIGNATURE_INVALID", format!("region table {number} does not begin with \"regi\""));
            } else if !is_sealed(bytes.clone()) {
                self.faults.add("REGION_CHECKSUM_MISMATCH", format!("the checksum of region table {number} is wrong"));
            } else {
                whole.push(bytes);
            }
        }
        if let [one, other] = &whole[..] {
            self.faults.expect(one == other, "REGION_TABLES_DIFFER", || "the two region tables differ".to_owned());
        }
        let table = whole.into_iter().next();
        Ok(table.and_then(|table| self.regions(&table)))
    }

    fn regions(&mut self, table: &[u8]) -> Option<Regions> {
        let (header, mut rest) = RegionTableHeader::read_from_prefix(table).ok()?;
        let count = header.entry_count.get();
        if count > MAX_REGIONS {
            let problem = format!("the region table has {count} entries, expected at most {MAX_REGIONS}");
            self.faults.add("REGION_ENTRY_COUNT_EXCEEDS_MAXIMUM", problem);
            return None;
        }
        let mut regions = Regions { all: Vec::new(), metadata: None };
        let mut has_bat = false;
        for number in 1..=count {
            let (entry, after) = RegionTableEntry::read_from_prefix(rest).ok()?;
            rest = after;
            let (offset, len) = (entry.file_offset.get(), u64::from(entry.length.get()));
            self.faults.expect(
                offset.is_multiple_of(MIB) && len.is_multiple_of(MIB) && len > 0,
                "REGION_ENTRY_ALIGNMENT",
                || format!("region {number} is at offset {offset} with {len} bytes, expected multiples of 1 MiB"),
            );
            self.faults.expect(offset >= MIB, "REGION_ENTRY_OFFSET_MINIMUM", || {
                format!("region {number} is at offset {offset}, expected at least 1 MiB")
            });
            self.faults.expect(offset.saturating_add(len) <= self.len, "REGION_ENTRY_OUT_OF_RANGE", || {
                format!("region {number} ends behind the file, which has {} bytes", self.len)
            });
            regions.all.push((offset, len));
            match entry.guid {
                BAT_REGION if !has_bat => has_bat = true,
                METADATA_REGION if regions.metadata.is_none() => regions.metadata = Some((offset, len)),
                BAT_REGION | METADATA_REGION => {
                    self.faults.add("REGION_DUPLICATE", format!("region {number} is there a second time"));
                }
                guid => {
                    let rule = match entry.required.get() & 1 {
                        1 => "REGION_REQUIRED_UNKNOWN",
                        _ => "REGION_OPTIONAL_UNKNOWN",
                    };
                    self.faults.add(rule, format!("region {number} is unknown: {}", braced(swapped(guid))));
                }
            }
        }
        self.overlaps(&regions.all, "REGION_ENTRY_OVERLAP", "regions");
        self.faults.expect(has_bat, "REGION_REQUIRED_MISSING", || "there is no block allocation table".to_owned());
        let has_metadata = regions.metadata.is_some();
        self.faults.expect(has_metadata, "REGION_REQUIRED_MISSING", || "there is no metadata region".to_owned());
        Some(regions)
    }

    /// Names the first two of some parts that overlap.
    fn overlaps(&mut self, parts: &[(u64, u64)], rule: &'static str, what: &str) {
        let mut parts: Vec<_> = parts.iter().filter(|(_, len)| *len > 0).collect();
        parts.sort_unstable();
        if let Some(two) = parts.windows(2).find(|two| two[0].0.saturating_add(two[0].1) > two[1].0) {
            let (one, other) = (two[0].0, two[1].0);
            self.faults.add(rule, format!("the {what} at offsets {one} and {other} overlap"));
        }
    }
}
