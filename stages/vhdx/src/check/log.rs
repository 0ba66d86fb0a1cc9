//! The log: it is empty in a file that was closed.

use std::io;

use super::{Check, Regions};
use crate::format::{Header, MIB};

/// The unit of the log.
const SECTOR: u64 = 4096;

/// How much of a log is looked at; writers make logs of 1 MiB, and read all of it at once.
const MAX_LOG: u64 = 64 << 20;

impl Check<'_> {
    pub(super) fn log(&mut self, header: &Header, regions: &Regions) -> io::Result<()> {
        let (offset, len) = (header.log_offset.get(), u64::from(header.log_length.get()));
        if len > 0 {
            self.faults.expect(offset >= MIB && offset.saturating_add(len) <= self.len, "LOG_OUT_OF_RANGE", || {
                format!(
                    "the log is at offset {offset} with {len} bytes, expected a place within the file, behind 1 MiB"
                )
            });
            let mut parts = regions.all.clone();
            parts.push((offset, len));
            self.overlaps(&parts, "LOG_OVERLAP", "log and the regions");
        }
        if header.log_guid == [0; 16] {
            return Ok(());
        }
        let mut entries = 0;
        let mut at = 0;
        while at < len.min(MAX_LOG) {
            at += match self.log_entry(header, offset + at, len)? {
                Some(entry_len) => {
                    entries += 1;
                    entry_len
                }
                None => SECTOR,
            };
        }
        match entries {
            0 => {
                self.faults.add("LOG_ACTIVE_SEQUENCE_EMPTY", "the header says that there is a log, and it has no entry")
            }
            _ => self.faults.add(
                "LOG_REPLAY_REQUIRED",
                format!("its log has {entries} entries of writes: it was not closed, or is in use"),
            ),
        }
        Ok(())
    }

    /// The length of the entry at an offset of the file, if there is one of this log.
    fn log_entry(&mut self, header: &Header, at: u64, log_len: u64) -> io::Result<Option<u64>> {
        let head = self.bytes(at, 64)?;
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        if !head.starts_with(b"loge") || head[32..48] != header.log_guid {
            return Ok(None);
        }
        let (len, tail) = (u64::from(number(8)), u64::from(number(12)));
        if len == 0 || !len.is_multiple_of(SECTOR) || len > log_len.min(MAX_LOG) {
            let problem =
                format!("the log entry at offset {at} has {len} bytes, expected a multiple of 4096 in the log");
            self.faults.add("LOG_ENTRY_LENGTH_INVALID", problem);
            return Ok(None);
        }
        self.faults.expect(tail.is_multiple_of(SECTOR) && tail < log_len, "LOG_ENTRY_TAIL_INVALID", || {
            format!("the tail of the log entry at offset {at} is {tail}, expected a multiple of 4096 in the log")
        });
        // One that goes on at the beginning of the log is only known to be there.
        let log_end = header.log_offset.get() + log_len;
        if at + len > log_end {
            return Ok(Some(len));
        }
        let mut entry = self.bytes(at, usize::try_from(len).expect("at most 64 MiB"))?;
        entry[4..8].fill(0);
        if crc32c::crc32c(&entry) != number(4) {
            self.faults
                .add("LOG_ENTRY_CHECKSUM_MISMATCH", format!("the checksum of the log entry at offset {at} is wrong"));
            return Ok(None);
        }
        let descriptors = u64::from(number(24));
        if 64 + descriptors * 32 > len {
            let problem =
                format!("the log entry at offset {at} has {descriptors} descriptors, more than it has room for");
            self.faults.add("LOG_DESCRIPTOR_COUNT_MISMATCH", problem);
            return Ok(Some(len));
        }
        for descriptor in entry[64..].chunks_exact(32).take(usize::try_from(descriptors).expect("they are in memory")) {
            self.faults.expect(
                descriptor.starts_with(b"desc") || descriptor.starts_with(b"zero"),
                "LOG_DESCRIPTOR_SIGNATURE_INVALID",
                || format!("a descriptor of the log entry at offset {at} begins with neither \"desc\" nor \"zero\""),
            );
            self.faults.expect(descriptor[24..32] == entry[16..24], "LOG_DESCRIPTOR_SEQUENCE_MISMATCH", || {
                format!("a descriptor of the log entry at offset {at} has another sequence number")
            });
        }
        Ok(Some(len))
    }
}
