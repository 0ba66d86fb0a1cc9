//! A FAT32 filesystem with files in it, planned whole: what firmware boots from.
//!
//! ```text
//! boot sector, information, copies of both │ FAT │ FAT │ root directory │ directories and files
//! ```
//!
//! * **It is made and never changed here**, so every file and directory is in one piece, one after
//!   the other in the order of the list, and nothing has to be looked for.
//! * **It is FAT32 by the rule of its specification**: readers count clusters, and one with fewer
//!   than 65525 is FAT16 to them, whatever it says.
//! * **Nothing is random, and no clock is read**: who plans it says its serial number and the time
//!   of everything.
//!
//! Specification: "Microsoft Extensible Firmware Initiative FAT32 File System Specification",
//! version 1.03. Left zero: the boot code, because UEFI has no use for any; tenths of seconds; the
//! geometry of a disk from before there were sectors with numbers.

mod format;
mod name;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use zerocopy::IntoBytes as _;
use zerocopy::byteorder::little_endian::{U16, U32};

use self::format::{ATTR_DIRECTORY, ATTR_VOLUME_ID, BootSector, DirectoryEntry, EOC, FsInfo, MAX_CLUSTERS};
use crate::Piece;

pub use self::format::MIN_CLUSTERS;

/// In front of the tables: what every writer leaves, of which eight sectors are used.
const RESERVED: u32 = 32;
const FATS: u32 = 2;
/// The cluster that the first entry of the table is about that is about one.
const FIRST_CLUSTER: u32 = 2;
const ROOT: u32 = FIRST_CLUSTER;
/// Larger clusters save little of the table and waste more of each file.
const MAX_CLUSTER_BYTES: u32 = 4096;
/// More files than any boot partition has.
const MAX_FILES: usize = 1000;

/// What a filesystem is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long its partition is.
    pub len_bytes: u64,
    /// How many bytes a sector has: 512 or 4096.
    pub sector_size: u32,
    /// How far into the disk it begins, which it notes.
    pub offset: u64,
    /// Its serial number.
    pub volume_id: u32,
    /// Its name: at most 11 upper-case letters, digits and spaces.
    pub label: &'static str,
    /// The time of all that is in it, in seconds since 1970. It has none before 1980.
    pub epoch: i64,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, with `/` between the names. Directories need not be said.
    pub path: String,
    /// What is in it.
    pub content: Arc<[u8]>,
}

/// Why there is no such filesystem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The partition is too short or too long for FAT32.
    #[error(
        "a FAT32 filesystem of {len_bytes} bytes with sectors of {sector_size}: it would have {clusters} clusters, expected {MIN_CLUSTERS} to {MAX_CLUSTERS}"
    )]
    Clusters {
        /// How long it would be.
        len_bytes: u64,
        /// How long its sectors would be.
        sector_size: u32,
        /// How many clusters it would have.
        clusters: u64,
    },
    /// The files are larger than the partition.
    #[error("the files take {} MiB, and the partition has room for {} MiB", needed.div_ceil(1 << 20), free >> 20)]
    NoRoom {
        /// How many bytes they take.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// A path that can't be in such a filesystem.
    #[error("{path:?} is no path in a FAT32 filesystem: {problem}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There are more files than anybody needs.
    #[error("{count} files, expected at most {MAX_FILES}")]
    TooMany {
        /// How many.
        count: usize,
    },
}

/// Where its parts are.
struct Geometry {
    sector_size: u32,
    cluster_bytes: u32,
    sectors: u32,
    fat_sectors: u32,
    clusters: u32,
}

impl Geometry {
    fn plan(options: &Options) -> Result<Geometry, Error> {
        let &Options { len_bytes, sector_size, .. } = options;
        assert!(matches!(sector_size, 512 | 4096), "a table has no other sectors");
        let sectors = len_bytes / u64::from(sector_size);
        let with = |cluster_bytes: u32| {
            let per_cluster = u64::from(cluster_bytes / sector_size);
            let data = sectors.saturating_sub(RESERVED.into());
            // The tables take four bytes for each cluster, so a little more than they need.
            let fat_sectors = (data / per_cluster + 2).div_ceil(u64::from(sector_size / 4));
            let clusters = data.saturating_sub(u64::from(FATS) * fat_sectors) / per_cluster;
            (cluster_bytes, fat_sectors, clusters)
        };
        let sizes = std::iter::successors(Some(MAX_CLUSTER_BYTES), |bytes| Some(bytes / 2));
        let mut sizes = sizes.take_while(|bytes| *bytes >= sector_size).map(with);
        let fits = |&(_, _, clusters): &(u32, u64, u64)| (MIN_CLUSTERS..=MAX_CLUSTERS).contains(&clusters);
        let found = sizes.find(fits);
        let narrow = |number: u64| u32::try_from(number).ok();
        let geometry = found.and_then(|(cluster_bytes, fat_sectors, clusters)| {
            let (sectors, fat_sectors, clusters) = (narrow(sectors)?, narrow(fat_sectors)?, narrow(clusters)?);
            Some(Geometry { sector_size, cluster_bytes, sectors, fat_sectors, clusters })
        });
        geometry.ok_or_else(|| Error::Clusters { len_bytes, sector_size, clusters: with(sector_size).2 })
    }

    /// How many clusters that many bytes take.
    fn clusters_of(&self, len: usize) -> u64 {
        (len as u64).div_ceil(self.cluster_bytes.into())
    }

    /// Where a cluster is, in bytes.
    fn offset(&self, cluster: u32) -> u64 {
        let first = u64::from(RESERVED + FATS * self.fat_sectors) * u64::from(self.sector_size);
        first + u64::from(cluster - FIRST_CLUSTER) * u64::from(self.cluster_bytes)
    }
}

/// A directory or a file, by its name.
enum Node {
    Directory(BTreeMap<String, Node>),
    File(Arc<[u8]>),
}

/// Clusters, given out one after the other.
struct Writer<'a> {
    geometry: &'a Geometry,
    stamp: time::Stamp,
    next: u32,
    /// Where each chain begins, and how many clusters it has.
    chains: Vec<(u32, u32)>,
    pieces: Vec<Piece>,
}

/// The bytes of a filesystem with these files; what is in no piece is zeros.
///
/// # Errors
/// When they can't be in one.
pub fn plan(files: &[File], options: &Options) -> Result<Vec<Piece>, Error> {
    if files.len() > MAX_FILES {
        return Err(Error::TooMany { count: files.len() });
    }
    let geometry = Geometry::plan(options)?;
    let tree = tree(files)?;
    let mut needed = 0;
    clusters(&tree, true, &geometry, &mut needed);
    if needed > u64::from(geometry.clusters) {
        let bytes = u64::from(geometry.cluster_bytes);
        return Err(Error::NoRoom { needed: needed * bytes, free: u64::from(geometry.clusters) * bytes });
    }
    let mut writer = Writer {
        geometry: &geometry,
        stamp: time::Stamp::of(options.epoch),
        next: ROOT,
        chains: Vec::new(),
        pieces: Vec::new(),
    };
    let label = name::padded(options.label);
    let mut entry = DirectoryEntry::new(label, ATTR_VOLUME_ID, 0, 0);
    entry.set_times(writer.stamp);
    writer.directory(&tree, None, vec![entry]);
    let Writer { next, chains, mut pieces, .. } = writer;

    let boot = BootSector::new(options.volume_id, label);
    let boot = BootSector {
        bpb_byts_per_sec: U16::new(u16::try_from(geometry.sector_size).expect("512 or 4096")),
        bpb_sec_per_clus: u8::try_from(geometry.cluster_bytes / geometry.sector_size).expect("at most 8"),
        bpb_rsvd_sec_cnt: U16::new(u16::try_from(RESERVED).expect("32")),
        bpb_num_fats: u8::try_from(FATS).expect("2"),
        bpb_hidd_sec: U32::new(u32::try_from(options.offset / u64::from(geometry.sector_size)).unwrap_or(0)),
        bpb_tot_sec32: U32::new(geometry.sectors),
        bpb_fat_sz32: U32::new(geometry.fat_sectors),
        bpb_root_clus: U32::new(ROOT),
        ..boot
    };
    let info = FsInfo::new(geometry.clusters - (next - FIRST_CLUSTER), next);
    let sector = u64::from(geometry.sector_size);
    for copy in [0, u64::from(format::BACKUP_BOOT_SECTOR)] {
        pieces.push(Piece { offset: copy * sector, bytes: boot.as_bytes().to_vec() });
        pieces.push(Piece { offset: (copy + 1) * sector, bytes: info.as_bytes().to_vec() });
    }
    let fat = table(&chains);
    for number in 0..FATS {
        let offset = u64::from(RESERVED + number * geometry.fat_sectors) * sector;
        pieces.push(Piece { offset, bytes: fat.clone() });
    }
    Ok(pieces)
}

/// The table of clusters: each entry says which cluster is next.
fn table(chains: &[(u32, u32)]) -> Vec<u8> {
    let mut entries = vec![0x0fff_fff8, EOC];
    for &(first, count) in chains {
        entries.extend(first + 1..first + count);
        entries.push(EOC);
    }
    entries.iter().flat_map(|entry| entry.to_le_bytes()).collect()
}

fn tree(files: &[File]) -> Result<BTreeMap<String, Node>, Error> {
    let mut root = BTreeMap::new();
    for File { path, content } in files {
        let wrong = |problem| Error::Path { path: path.clone(), problem };
        if u32::try_from(content.len()).is_err() {
            return Err(wrong("the file has 4 GiB or more"));
        }
        let mut directory = &mut root;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            name::check(name).map_err(wrong)?;
            // Names that differ by case alone are one.
            let same = |other: &&String| other.eq_ignore_ascii_case(name) && *other != name;
            if directory.keys().any(|other| same(&other)) {
                return Err(wrong("another name differs by case alone"));
            }
            let is_last = names.peek().is_none();
            let is_new = !directory.contains_key(name);
            let node = directory.entry(name.to_owned()).or_insert_with(|| match is_last {
                true => Node::File(Arc::clone(content)),
                false => Node::Directory(BTreeMap::new()),
            });
            match node {
                Node::Directory(below) if !is_last => directory = below,
                Node::File(_) if is_last && is_new => break,
                _ => return Err(wrong("it is there twice")),
            }
        }
    }
    Ok(root)
}

/// How many entries a directory has.
fn entries(directory: &BTreeMap<String, Node>) -> usize {
    // The root has an entry for the label, and others have two, for themselves and their parent.
    2 + directory.keys().map(|name| name::entries(name)).sum::<usize>()
}

fn clusters(directory: &BTreeMap<String, Node>, is_root: bool, geometry: &Geometry, sum: &mut u64) {
    let count = entries(directory) - usize::from(is_root);
    *sum += geometry.clusters_of(count * size_of::<DirectoryEntry>());
    for node in directory.values() {
        match node {
            Node::Directory(below) => clusters(below, false, geometry, sum),
            Node::File(content) => *sum += geometry.clusters_of(content.len()),
        }
    }
}

impl Writer<'_> {
    /// Room for that many bytes; an empty file has none.
    fn take(&mut self, len: usize) -> u32 {
        let count = u32::try_from(self.geometry.clusters_of(len)).expect("counted before");
        if count == 0 {
            return 0;
        }
        let first = self.next;
        self.chains.push((first, count));
        self.next += count;
        first
    }

    /// Places a directory and all below it; `entries` are there already.
    fn directory(
        &mut self,
        directory: &BTreeMap<String, Node>,
        parent: Option<u32>,
        mut list: Vec<DirectoryEntry>,
    ) -> u32 {
        let is_root = parent.is_none();
        let first = self.take((entries(directory) - usize::from(is_root)) * size_of::<DirectoryEntry>());
        if let Some(parent) = parent {
            for (name, cluster) in [(".", first), ("..", parent)] {
                let mut entry = DirectoryEntry::new(name::padded(name), ATTR_DIRECTORY, cluster, 0);
                entry.set_times(self.stamp);
                list.push(entry);
            }
        }
        let mut bytes: Vec<u8> = list.iter().flat_map(|entry| entry.as_bytes().to_vec()).collect();
        for (name, short) in name::shorts(directory.keys()) {
            let mut entry = match &directory[name] {
                Node::Directory(below) => {
                    // To its children, the root is number 0.
                    let here = if is_root { 0 } else { first };
                    let cluster = self.directory(below, Some(here), Vec::new());
                    DirectoryEntry::new(short, ATTR_DIRECTORY, cluster, 0)
                }
                Node::File(content) => {
                    let cluster = self.take(content.len());
                    if cluster != 0 {
                        self.pieces.push(Piece { offset: self.geometry.offset(cluster), bytes: content.to_vec() });
                    }
                    let len = u32::try_from(content.len()).expect("checked before");
                    DirectoryEntry::new(short, format::ATTR_ARCHIVE, cluster, len)
                }
            };
            entry.set_times(self.stamp);
            bytes.extend(name::long_entries(name, short));
            bytes.extend(entry.as_bytes());
        }
        self.pieces.push(Piece { offset: self.geometry.offset(first), bytes });
        first
    }
}

#[cfg(test)]
mod tests;
