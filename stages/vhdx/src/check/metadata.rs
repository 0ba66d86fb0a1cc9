//! The metadata table and the items in it.

use std::io;

use zerocopy::FromBytes as _;

use super::Check;
use crate::format::*;
use crate::locator::{Locator, braced, keys};

/// The longest item that the format allows.
const MAX_ITEM: u32 = 1 << 20;

/// The items that every disk has.
const REQUIRED: [(Guid, &str); 5] = [
    (FILE_PARAMETERS, "file parameters"),
    (VIRTUAL_DISK_SIZE, "size of the disk"),
    (VIRTUAL_DISK_ID, "virtual disk ID"),
    (LOGICAL_SECTOR_SIZE, "logical sector size"),
    (PHYSICAL_SECTOR_SIZE, "physical sector size"),
];

impl Check<'_> {
    pub(super) fn metadata(&mut self, (region, len): (u64, u64)) -> io::Result<()> {
        let table = self.bytes(region, 64 << 10)?;
        let Ok((header, mut rest)) = MetadataTableHeader::read_from_prefix(&table) else { return Ok(()) };
        if header.signature != *b"metadata" {
            let problem = "the metadata table does not begin with \"metadata\"";
            self.faults.add("METADATA_TABLE_SIGNATURE_INVALID", problem);
            return Ok(());
        }
        let count = header.entry_count.get();
        if count > 2047 {
            let problem = format!("the metadata table has {count} entries, expected at most 2047");
            self.faults.add("METADATA_ENTRY_COUNT_EXCEEDS_MAXIMUM", problem);
            return Ok(());
        }
        let mut found: Vec<(Guid, u32, u32)> = Vec::new();
        let mut parts = Vec::new();
        for number in 1..=count {
            let Ok((entry, after)) = MetadataTableEntry::read_from_prefix(rest) else { break };
            rest = after;
            let (offset, item_len, flags) = (entry.offset.get(), entry.length.get(), entry.flags.get());
            self.faults.expect(offset >= METADATA_ITEMS || item_len == 0, "METADATA_ENTRY_OFFSET_MINIMUM", || {
                format!("metadata item {number} is at offset {offset}, expected at least 64 KiB")
            });
            let fits = u64::from(offset) + u64::from(item_len) <= len && item_len <= MAX_ITEM;
            self.faults.expect(fits, "METADATA_ENTRY_INVALID", || {
                format!("metadata item {number} has {item_len} bytes at offset {offset}, expected them in the region")
            });
            let known = IS_USER | IS_VIRTUAL_DISK | IS_REQUIRED;
            self.faults.expect(flags & !known == 0, "METADATA_RESERVED_FLAGS_SET", || {
                format!("metadata item {number} has the flags {flags:#x}, of which three are known")
            });
            self.faults.expect(entry.reserved.get() == 0, "METADATA_ENTRY_RESERVED_NONZERO", || {
                format!("the reserved field of metadata item {number} is not 0")
            });
            parts.push((u64::from(offset), u64::from(item_len)));
            let is_known = flags & IS_USER == 0
                && (entry.item_id == PARENT_LOCATOR || REQUIRED.iter().any(|(id, _)| *id == entry.item_id));
            if !is_known {
                let rule = match flags & IS_REQUIRED {
                    0 => "METADATA_OPTIONAL_UNKNOWN",
                    _ => "METADATA_REQUIRED_UNKNOWN",
                };
                self.faults.add(rule, format!("metadata item {number} is unknown: {}", braced(swapped(entry.item_id))));
                continue;
            }
            let is_new = found.iter().all(|(id, ..)| *id != entry.item_id);
            self.faults.expect(is_new, "METADATA_ITEM_DUPLICATE", || {
                format!("metadata item {number} is there a second time: {}", braced(swapped(entry.item_id)))
            });
            found.push((entry.item_id, offset, if fits { item_len } else { 0 }));
        }
        self.overlaps(&parts, "METADATA_ITEMS_OVERLAP", "metadata items");
        for (id, name) in REQUIRED {
            let is_there = found.iter().any(|(other, ..)| *other == id);
            self.faults.expect(is_there, "METADATA_REQUIRED_MISSING", || format!("it has no {name}"));
        }
        let item = |id: Guid| found.iter().find(|(other, ..)| *other == id);
        let mut has_parent = false;
        if let Some((_, offset, _)) = item(FILE_PARAMETERS) {
            let flags = self.bytes(region + u64::from(*offset) + 4, 4)?;
            let flags = u32::from_le_bytes(flags.try_into().expect("four bytes"));
            has_parent = flags & HAS_PARENT != 0;
            let known = LEAVE_BLOCKS_ALLOCATED | HAS_PARENT;
            self.faults.expect(flags & !known == 0, "METADATA_FILE_PARAMETERS_RESERVED_FLAGS", || {
                format!("the file parameters have the flags {flags:#x}, of which two are known")
            });
        }
        match item(PARENT_LOCATOR) {
            Some((_, offset, len)) if has_parent => {
                let len = usize::try_from(*len).expect("at most 1 MiB");
                let item = self.bytes(region + u64::from(*offset), len)?;
                self.locator(&item);
            }
            None if has_parent => {
                self.faults.add("METADATA_REQUIRED_MISSING", "it has a parent, and no parent locator");
            }
            _ => {}
        }
        Ok(())
    }

    fn locator(&mut self, item: &[u8]) {
        let Some(keys) = keys(item) else {
            self.faults.add("PARENT_LOCATOR_FORMAT_ERROR", "the parent locator is no table of keys and values");
            return;
        };
        let has = |key: &str| keys.iter().any(|found| found == key);
        self.faults.expect(has("parent_linkage"), "PARENT_LOCATOR_MISSING_LINKAGE", || {
            "the parent locator does not say what the parent calls its content".to_owned()
        });
        self.faults.expect(!has("parent_linkage2"), "PARENT_LOCATOR_LINKAGE2_CONFLICT", || {
            "the parent locator has a second linkage: a merge was not finished".to_owned()
        });
        let has_path = ["relative_path", "volume_path", "absolute_win32_path"].into_iter().any(has);
        self.faults.expect(has_path, "PARENT_LOCATOR_NO_VALID_PATH", || "the parent locator has no path".to_owned());
        let is_read = Locator::parse(item).is_some() || !has("parent_linkage");
        self.faults.expect(is_read, "PARENT_LOCATOR_FORMAT_ERROR", || {
            "the linkage in the parent locator is no GUID in braces".to_owned()
        });
    }
}
