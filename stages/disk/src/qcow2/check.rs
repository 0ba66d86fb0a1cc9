//! Everything in a qcow2 file that can be wrong and is in its own tables.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::header::Info;
use super::map::Cluster;
use crate::fault::Faults;
use crate::format::qcow2::*;
use crate::pages::Pages;

/// How many clusters a file may have to be checked: 4 TiB of the usual ones. They are counted in
/// memory, 2 bytes each.
const MAX_CLUSTERS: u64 = 1 << 26;

/// Looks at all tables of a file: whether everything is where it can be, once, and whether the
/// reference counts are as many as there are references. Internal snapshots and bitmaps are not
/// looked into: in a file that has some, a count may be higher.
///
/// # Errors
/// When the file can't be read.
pub fn check(file: &File) -> io::Result<Faults> {
    let mut faults = Faults::default();
    let info = match Info::read(file) {
        Ok(info) => info,
        Err(crate::FormatError::Read { source, .. }) => return Err(source),
        Err(error) => {
            faults.add("QCOW2_HEADER", error.to_string());
            return Ok(faults);
        }
    };
    let clusters = info.header.file_len.div_ceil(info.cluster_size);
    if clusters > MAX_CLUSTERS {
        faults.add("QCOW2_TOO_LARGE", format!("the file has {clusters} clusters, expected at most {MAX_CLUSTERS}"));
        return Ok(faults);
    }
    let counts = vec![0; usize::try_from(clusters).expect("at most 2^26")];
    let pages = Pages::new(Arc::new(file.try_clone()?));
    let mut check = Check { info: &info, pages, counts, faults };
    for (range, what) in info.reserved() {
        let len = range.end.min(info.header.file_len).saturating_sub(range.start);
        check.count(range.start, len, what);
    }
    check.tables(file)?;
    check.refcounts()?;
    Ok(check.faults)
}

struct Check<'i> {
    info: &'i Info,
    pages: Pages,
    /// How often each cluster of the file is referred to.
    counts: Vec<u16>,
    faults: Faults,
}

impl Check<'_> {
    fn number(&self, offset: u64) -> u64 {
        self.info.cluster_size.checked_ilog2().map_or(0, |bits| offset >> bits)
    }

    /// Counts what is in a range; plain clusters and tables must be alone there.
    fn count(&mut self, offset: u64, len: u64, what: &str) {
        for number in self.number(offset)..self.number(offset + len.max(1) - 1) + 1 {
            let Some(count) = usize::try_from(number).ok().and_then(|at| self.counts.get_mut(at)) else { continue };
            *count = count.saturating_add(1);
            if *count > 1 && what != "compressed cluster" {
                let at = number * self.info.cluster_size;
                self.faults
                    .add("QCOW2_OVERLAP", format!("the {what} at offset {at} of the file is something else, too"));
            }
        }
    }

    fn entry(&self, offset: u64) -> io::Result<u64> {
        let (page, within) = self.pages.page(offset)?;
        Ok(u64::from_be_bytes(page[within..within + 8].try_into().expect("entries are aligned")))
    }

    fn tables(&mut self, file: &File) -> io::Result<()> {
        let l1 = match self.info.l1(file) {
            Ok(l1) => l1,
            Err(error) => {
                self.faults.add("QCOW2_L1", error.to_string());
                return Ok(());
            }
        };
        let (entries, cluster_size) = (self.info.entries(), self.info.cluster_size);
        for (number, l2) in (0..).zip(l1).filter(|(_, l2)| *l2 != 0) {
            self.count(l2, cluster_size, "L2 table");
            for entry in 0..entries {
                let at = (number * entries + entry) * cluster_size;
                let found = self.entry(l2 + entry * 8)?;
                if found == 0 {
                    continue;
                }
                match self.info.cluster(at, found) {
                    Err(error) => self.faults.add("QCOW2_L2", error.to_string()),
                    Ok(Cluster::Plain(offset)) => self.count(offset, cluster_size, "cluster"),
                    Ok(Cluster::Packed(range)) => {
                        self.count(range.start, range.end - range.start, "compressed cluster");
                    }
                    Ok(Cluster::Zeros) => {
                        // It may keep a cluster of the file.
                        let offset = found & L2E_OFFSET_MASK;
                        match offset {
                            0 => {}
                            _ => match self.info.check_place("cluster", at, offset, 1) {
                                Ok(()) => self.count(offset, cluster_size, "cluster"),
                                Err(error) => self.faults.add("QCOW2_L2", error.to_string()),
                            },
                        }
                    }
                    Ok(Cluster::Absent) => {}
                }
            }
        }
        Ok(())
    }

    /// Compares the counts with those of the file.
    fn refcounts(&mut self) -> io::Result<()> {
        let header = &self.info.header;
        let cluster_size = self.info.cluster_size;
        let bits = 1_u64 << header.refcount_order;
        let per_block = cluster_size * 8 / bits;
        let blocks = (self.counts.len() as u64).div_ceil(per_block);
        let entries = u64::from(header.refcount_table_clusters) * (cluster_size / 8);
        let mut places = Vec::new();
        for number in 0..blocks.min(entries) {
            let block = self.entry(header.refcount_table_offset + number * 8)?;
            if block == 0 {
                places.push(None);
                continue;
            }
            match self.info.check_place("refcount block", number * per_block * cluster_size, block, 1) {
                Ok(()) => {
                    self.count(block, cluster_size, "refcount block");
                    places.push(Some(block));
                }
                Err(error) => {
                    self.faults.add("QCOW2_REFCOUNT_TABLE", error.to_string());
                    places.push(None);
                }
            }
        }
        let may_be_more = self.info.snapshots > 0 || self.info.has_more;
        for at in 0..self.counts.len() {
            let number = at as u64;
            let block = usize::try_from(number / per_block).ok().and_then(|block| places.get(block).copied().flatten());
            let found = match block {
                Some(block) => self.refcount(block, number % per_block, bits)?,
                None => 0,
            };
            let expected = u64::from(self.counts[at]);
            let offset = number * cluster_size;
            if found < expected {
                let problem =
                    format!("the cluster at offset {offset} of the file has the count {found}, expected {expected}");
                self.faults.add("QCOW2_REFCOUNT_TOO_LOW", problem);
            } else if found > expected && !may_be_more {
                let problem =
                    format!("the cluster at offset {offset} of the file has the count {found}, expected {expected}");
                self.faults.add("QCOW2_REFCOUNT_LEAK", problem);
            }
        }
        Ok(())
    }

    /// The count of a cluster in a block, of so many bits.
    fn refcount(&self, block: u64, number: u64, bits: u64) -> io::Result<u64> {
        let (page, within) = self.pages.page(block + number * bits / 8)?;
        Ok(match bits {
            8.. => {
                let len = usize::try_from(bits / 8).expect("at most 8");
                page[within..within + len].iter().fold(0, |count, byte| count << 8 | u64::from(*byte))
            }
            _ => u64::from(page[within]) >> (number * bits % 8) & ((1 << bits) - 1),
        })
    }
}
