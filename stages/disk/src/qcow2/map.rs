//! Where each cluster of the disk is.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::header::Info;
use super::unpack::Unpacker;
use crate::format::qcow2::*;
use crate::mapped::{Extent, Map, Mapped, Place};
use crate::pages::Pages;
use crate::{FormatError, ReadAt};

impl Info {
    /// The disk in the file that this was read from. `parent` is the disk in the backing file, if
    /// there is one; what this file does not have reads as zeros without it.
    ///
    /// # Errors
    /// When the L1 table can't be read, or points to what can't be L2 tables.
    pub fn disk(&self, file: File, parent: Option<Arc<dyn ReadAt>>) -> Result<impl ReadAt + use<>, FormatError> {
        let l1 = self.l1(&file)?;
        let file = Arc::new(file);
        let pages = Pages::new(Arc::clone(&file));
        let unpacker = Unpacker::new(Arc::clone(&file), self.compression, self.cluster_size);
        Ok(Mapped::new(file, Qcow2 { info: self.clone(), l1, pages, unpacker }, parent))
    }

    /// Where the L2 tables are, 0 for those that are not there.
    pub(super) fn l1(&self, file: &File) -> Result<Vec<u64>, FormatError> {
        let header = &self.header;
        let needed = self.virtual_size.div_ceil(self.cluster_size).div_ceil(self.entries());
        let needed = usize::try_from(needed).expect("at most 4194304");
        let mut bytes = vec![0; needed * 8];
        let (offset, len) = (header.l1_table_offset, bytes.len() as u64);
        file.read_exact_at(&mut bytes, offset).map_err(|source| FormatError::Read { offset, len, source })?;
        let entries = bytes.chunks_exact(8).map(|entry| u64::from_be_bytes(entry.try_into().expect("eight bytes")));
        let l1: Vec<u64> = entries.map(|entry| entry & L2E_OFFSET_MASK).collect();
        let mut tables = Vec::new();
        for (number, &offset) in (0..).zip(&l1).filter(|(_, offset)| **offset != 0) {
            let at = number * self.entries() * self.cluster_size;
            self.check_place("L2 table", at, offset, self.cluster_size)?;
            tables.push((offset, at));
        }
        tables.sort_unstable();
        match tables.windows(2).find(|two| two[0].0 == two[1].0) {
            Some(two) => {
                let (offset, at) = two[1];
                Err(FormatError::Overlap { what: "L2 table", at, other: "one of another part", offset })
            }
            None => Ok(l1),
        }
    }

    /// Whether the file that this was read from has a compressed cluster.
    ///
    /// # Errors
    /// When its tables can't be read.
    pub fn is_compressed(&self, file: &File) -> io::Result<bool> {
        let pages = Pages::new(Arc::new(file.try_clone()?));
        for l2 in self.l1(file)?.into_iter().filter(|l2| *l2 != 0) {
            for number in 0..self.entries() {
                let (page, within) = pages.page(l2 + number * 8)?;
                let entry = u64::from_be_bytes(page[within..within + 8].try_into().expect("entries are aligned"));
                if entry & QCOW_OFLAG_COMPRESSED != 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// How many entries an L2 table has.
    pub(super) fn entries(&self) -> u64 {
        self.cluster_size / 8
    }

    /// The parts of the file that can be neither clusters nor L2 tables, and what they are.
    pub(super) fn reserved(&self) -> [(Range<u64>, &'static str); 3] {
        let header = &self.header;
        let clusters = |start: u64, len: u64| start..start.saturating_add(len.next_multiple_of(self.cluster_size));
        let refcounts = u64::from(header.refcount_table_clusters) * self.cluster_size;
        [
            (clusters(0, self.cluster_size), "header"),
            (clusters(header.l1_table_offset, u64::from(header.l1_size) * 8), "L1 table"),
            (clusters(header.refcount_table_offset, refcounts), "refcount table"),
        ]
    }

    /// Whether a cluster can be where an entry says that it is; `least` bytes of it must be in the
    /// file.
    pub(super) fn check_place(&self, what: &'static str, at: u64, offset: u64, least: u64) -> Result<(), FormatError> {
        if !offset.is_multiple_of(self.cluster_size) {
            return Err(FormatError::Place { what, at, offset, expected: "a multiple of a cluster" });
        }
        if offset.saturating_add(least) > self.header.file_len {
            return Err(FormatError::Place { what, at, offset, expected: "a place within the file" });
        }
        match self.reserved().into_iter().find(|(range, _)| range.contains(&offset)) {
            Some((_, other)) => Err(FormatError::Overlap { what, at, other, offset }),
            None => Ok(()),
        }
    }

    /// What an entry of an L2 table says of a cluster.
    pub(super) fn cluster(&self, at: u64, entry: u64) -> Result<Cluster, FormatError> {
        if entry & QCOW_OFLAG_COMPRESSED != 0 {
            return self.packed(at, entry).map(Cluster::Packed);
        }
        let offset = entry & L2E_OFFSET_MASK;
        if entry & QCOW_OFLAG_ZERO != 0 {
            return match self.version {
                2 => {
                    Err(FormatError::Field { what: "an L2 entry", found: entry, expected: "no zero flag in version 2" })
                }
                _ => Ok(Cluster::Zeros),
            };
        }
        if offset == 0 {
            return Ok(Cluster::Absent);
        }
        // The last one may end with the file.
        self.check_place("cluster", at, offset, 1)?;
        Ok(Cluster::Plain(offset))
    }

    /// Where in the file a compressed cluster is. It may claim more bytes than it has.
    fn packed(&self, at: u64, entry: u64) -> Result<Range<u64>, FormatError> {
        let offset_bits = 62 - (self.header.cluster_bits - 8);
        let offset = entry & ((1 << offset_bits) - 1);
        let sectors = (entry & !(QCOW_OFLAG_COPIED | QCOW_OFLAG_COMPRESSED)) >> offset_bits;
        let what = "compressed cluster";
        if offset < self.cluster_size || offset >= self.header.file_len {
            return Err(FormatError::Place {
                what,
                at,
                offset,
                expected: "a place within the file, behind the header",
            });
        }
        let end = (offset / 512 + sectors + 1) * 512;
        Ok(offset..end.min(self.header.file_len))
    }
}

/// Where a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cluster {
    Absent,
    Zeros,
    Plain(u64),
    Packed(Range<u64>),
}

struct Qcow2 {
    info: Info,
    l1: Vec<u64>,
    pages: Pages,
    unpacker: Unpacker,
}

impl Qcow2 {
    fn l2(&self, offset: u64) -> u64 {
        let number = offset / self.info.cluster_size / self.info.entries();
        self.l1[usize::try_from(number).expect("an entry of a table in memory")]
    }

    /// The entry of a cluster in an L2 table.
    fn position(&self, l2: u64, offset: u64) -> u64 {
        l2 + offset / self.info.cluster_size % self.info.entries() * 8
    }
}

impl Map for Qcow2 {
    fn len_bytes(&self) -> u64 {
        self.info.virtual_size
    }

    fn extent(&self, offset: u64) -> io::Result<Extent> {
        let info = &self.info;
        let cluster_size = info.cluster_size;
        let table_covers = info.entries() * cluster_size;
        let l2 = self.l2(offset);
        if l2 == 0 {
            let first = usize::try_from(offset / table_covers).expect("an entry of a table in memory");
            let absent = self.l1[first..].iter().take_while(|l2| **l2 == 0).count() as u64;
            let end = (offset / table_covers + absent).saturating_mul(table_covers);
            return Ok(Extent { place: Place::Parent, len: end - offset });
        }
        let (page, within) = self.pages.page(self.position(l2, offset))?;
        let table_end = (offset / table_covers + 1) * table_covers;
        let start = offset - offset % cluster_size;
        let mut end = start;
        let mut place = None;
        // As far as it goes on in this page of the table.
        for entry in page[within..].chunks_exact(8) {
            if end >= table_end {
                break;
            }
            let entry = u64::from_be_bytes(entry.try_into().expect("eight bytes"));
            let next = match info.cluster(end, entry) {
                Ok(Cluster::Absent) => Place::Parent,
                Ok(Cluster::Zeros) => Place::Zeros,
                Ok(Cluster::Plain(at)) => Place::File(at),
                Ok(Cluster::Packed(_)) => Place::Packed,
                // That of what was asked for; what follows will be asked for.
                Err(error) if place.is_none() => return Err(error.into()),
                Err(_) => break,
            };
            let continues = match (place, next) {
                (None, _) => true,
                (Some(Place::File(at)), Place::File(next)) => next == at + (end - start),
                (Some(place), next) => place == next,
            };
            if !continues {
                break;
            }
            place = place.or(Some(next));
            end += cluster_size;
        }
        let place = match place.expect("a page has at least an entry") {
            Place::File(at) => Place::File(at + (offset - start)),
            place => place,
        };
        Ok(Extent { place, len: end - offset })
    }

    fn unpack(&self, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        let cluster_size = self.info.cluster_size;
        while !bytes.is_empty() {
            let at = offset - offset % cluster_size;
            let (page, within) = self.pages.page(self.position(self.l2(offset), offset))?;
            let entry = u64::from_be_bytes(page[within..within + 8].try_into().expect("eight bytes"));
            let Cluster::Packed(range) = self.info.cluster(at, entry)? else {
                return Err(FormatError::Compressed { at }.into());
            };
            let rest = at + cluster_size - offset;
            let len = usize::try_from(rest).expect("a cluster").min(bytes.len());
            let (front, rest) = bytes.split_at_mut(len);
            self.unpacker.read(at, range, offset - at, front)?;
            offset += len as u64;
            bytes = rest;
        }
        Ok(())
    }
}
