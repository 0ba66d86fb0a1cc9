//! qcow2, version 3: the format of QEMU.
//!
//! ```text
//! header │ refcount table │ refcount blocks │ L1 table │ L2 tables │ clusters of the disk, in its order
//! ```
//!
//! Every part begins at a cluster. A part of the disk may be wanted in one piece at a place that is
//! known before anything else is ([`Container::qcow2_place`]): then it comes first, and all tables
//! are behind it.
//!
//! ```text
//! header │ free │ that part │ refcount table │ refcount blocks │ L1 table │ L2 tables │ other clusters
//! ```
//!
//! An L2 table is there only where the disk has a cluster that is
//! written; so the tables take a thousandth of what is written, however large the disk is. No
//! cluster is in use twice, and none is compressed: how long a compressed one is, no plan knows.
//! [`Compressed`] writes those.
//!
//! Specification: `docs/interop/qcow2.rst` of QEMU. Left zero: snapshots, because there are none;
//! encryption; the feature bits, among them `lazy_refcounts`, because reference counts are right,
//! but for that of zstd; the header extensions, of which only the end is there, and in a child the
//! format of its backing file.

mod compressed;

use std::ops::Range;

use zerocopy::IntoBytes as _;
use zerocopy::byteorder::big_endian::{U32, U64};

pub use self::compressed::Compressed;
use super::{Container, Piece, Run, TooLarge, units, with_first};
use crate::format::qcow2::*;
use crate::qcow2::{Backing, Compression};

/// The unit of the format, in bytes. QEMU's own default: smaller ones make larger tables, larger
/// ones waste more of the last cluster of a run.
const CLUSTER: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;

/// How many bits of an entry are where a compressed cluster is; those behind are how many sectors.
const COMPRESSED_OFFSET_BITS: u32 = 62 - (CLUSTER_BITS - 8);

/// Entries in a cluster of 8-byte entries: of an L1, L2 or refcount table.
const ENTRIES: u64 = CLUSTER / 8;

/// Reference counts have 2 bytes each.
const REFCOUNT_ORDER: u32 = 4;
const REFCOUNTS: u64 = CLUSTER / 2;

/// Where a part of the disk is that comes first. What is in front of it and no header stays free,
/// for QEMU to use: so much that the part may begin with what is a MiB behind the start of a
/// filesystem, and the filesystem itself would still be in the file.
const FIRST_PART: u64 = (1 << 20) / CLUSTER;

impl Container {
    /// Where in a qcow2 file the first byte of a part of the disk is that comes first.
    #[must_use]
    pub fn qcow2_place(start: u64) -> u64 {
        FIRST_PART * CLUSTER + start % CLUSTER
    }

    /// A qcow2 file for a disk of this length, of which these ranges are written, and one part
    /// comes first, if there is one. A length that is no multiple of a sector is rounded up, as the
    /// format demands.
    ///
    /// # Errors
    /// When the disk is larger than QEMU opens.
    pub fn qcow2(
        len_bytes: u64,
        used: impl IntoIterator<Item = Range<u64>>,
        first: Option<Range<u64>>,
    ) -> Result<Container, TooLarge> {
        Container::qcow2_on(len_bytes, used, first, None)
    }

    /// A qcow2 file that has nothing but what will be written to it; all else is in its backing
    /// file, whose name must be no longer than [`Backing::MAX_NAME`].
    ///
    /// # Errors
    /// When the disk is larger than QEMU opens.
    pub fn qcow2_child(len_bytes: u64, backing: &Backing) -> Result<Container, TooLarge> {
        Container::qcow2_on(len_bytes, [], None, Some(backing))
    }

    fn qcow2_on(
        len_bytes: u64,
        used: impl IntoIterator<Item = Range<u64>>,
        first: Option<Range<u64>>,
        backing: Option<&Backing>,
    ) -> Result<Container, TooLarge> {
        let size = checked(len_bytes)?;
        let first = units(first, CLUSTER).pop();
        let used = with_first(&units(used, CLUSTER), first.as_ref());
        let first_clusters = first.as_ref().map_or(0, |first| first.end - first.start);
        let others = used.iter().map(|clusters| clusters.end - clusters.start).sum::<u64>() - first_clusters;
        // One for each part of the disk that an L2 table is about, and has a cluster in use.
        let l2_tables = units(used.iter().cloned(), ENTRIES);
        let l2_clusters: u64 = l2_tables.iter().map(|tables| tables.end - tables.start).sum();
        let l1_clusters = l1_size(size).div_ceil(ENTRIES).max(1);
        let refcount_table = first.as_ref().map_or(1, |_| FIRST_PART + first_clusters);
        let counted = refcount_table + l1_clusters + l2_clusters + others;
        let (table_clusters, block_clusters) = refcount_clusters(counted);

        let refcount_blocks = refcount_table + table_clusters;
        let l1_table = refcount_blocks + block_clusters;
        let first_l2 = l1_table + l1_clusters;
        let first_data = first_l2 + l2_clusters;
        let end = first_data + others;

        let places = Places { l1_table, refcount_table, table_clusters };
        let header = header(size, &places, Compression::Zlib, backing);
        let cluster_at = |cluster: u64| Entries::at(cluster * CLUSTER);
        let mut table = cluster_at(refcount_table);
        (refcount_blocks..l1_table).for_each(|block| table.push(block * CLUSTER));
        let mut l1 = cluster_at(l1_table);
        let mut l2 = cluster_at(first_l2);
        let (mut l2_cluster, mut data_cluster) = (first_l2, first_data);
        for table in l2_tables.iter().cloned().flatten() {
            l1.skip_to(table);
            l1.push((l2_cluster * CLUSTER) | QCOW_OFLAG_COPIED);
            l2_cluster += 1;
        }
        let mut runs = Vec::with_capacity(used.len());
        let mut tables_before = 0;
        let mut tables = l2_tables.iter().cloned().flatten().peekable();
        for clusters in &used {
            let is_first = first.as_ref() == Some(clusters);
            let place = if is_first { FIRST_PART } else { data_cluster };
            let len = clusters.end - clusters.start;
            runs.push(Run { from: clusters.start * CLUSTER, to: place * CLUSTER, len: len * CLUSTER });
            for (cluster, at) in clusters.clone().zip(place..) {
                while tables.next_if(|&table| table < cluster / ENTRIES).is_some() {
                    tables_before += 1;
                }
                l2.skip_to(tables_before * ENTRIES + cluster % ENTRIES);
                l2.push((at * CLUSTER) | QCOW_OFLAG_COPIED);
            }
            data_cluster += if is_first { 0 } else { len };
        }
        let mut counts = vec![[0, 1]; usize::try_from(end).expect("fewer clusters than bytes in memory")];
        if first.is_some() {
            (1..FIRST_PART).zip(counts[1..].iter_mut()).for_each(|(_, count)| *count = [0, 0]);
        }
        let refcounts = Piece { offset: refcount_blocks * CLUSTER, bytes: counts.concat() };
        let header = Piece { offset: 0, bytes: header };
        let pieces = vec![table.into_piece(), refcounts, l1.into_piece(), l2.into_piece(), header];
        // A last cluster may be longer than what the filesystem has of it.
        Ok(Container::new(end * CLUSTER, runs, pieces))
    }
}

/// How long the disk is by its header.
fn checked(len_bytes: u64) -> Result<u64, TooLarge> {
    let max = QCOW_MAX_L1_SIZE / 8 * ENTRIES * CLUSTER;
    match len_bytes {
        0.. if len_bytes > max => Err(TooLarge { format: "qcow2", len_bytes, max }),
        _ => Ok(len_bytes.next_multiple_of(512)),
    }
}

/// How many L2 tables a disk has at most.
fn l1_size(size: u64) -> u64 {
    size.div_ceil(ENTRIES * CLUSTER)
}

/// Where the tables are that the header leads to, in clusters.
struct Places {
    l1_table: u64,
    refcount_table: u64,
    table_clusters: u64,
}

/// The header with all that is behind it in the first cluster.
fn header(size: u64, places: &Places, compression: Compression, backing: Option<&Backing>) -> Vec<u8> {
    let narrow = |count: u64| U32::new(u32::try_from(count).expect("limited by the length of the disk"));
    // The compression type is behind the fields that every file of version 3 has.
    let (incompatible, kind) = match compression {
        Compression::Zlib => (0, None),
        Compression::Zstd => (INCOMPAT_COMPRESSION, Some([COMPRESSION_ZSTD, 0, 0, 0, 0, 0, 0, 0])),
    };
    let fields = size_of::<QCowHeader>() as u64 + kind.map_or(0, |kind| kind.len() as u64);
    let extension = backing.and_then(|backing| backing.format.as_ref()).map(|format| {
        let mut bytes = EXT_BACKING_FORMAT.to_be_bytes().to_vec();
        bytes.extend(narrow(format.len() as u64).as_bytes());
        bytes.extend(format.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    });
    let end_of_extensions = [0; 8];
    let behind = [extension.unwrap_or_default(), end_of_extensions.to_vec()].concat();
    let name = backing.map(|backing| &backing.name[..]).unwrap_or_default();
    assert!(name.len() <= Backing::MAX_NAME, "whoever says the name has seen to that");
    let header = QCowHeader {
        magic: MAGIC,
        version: U32::new(3),
        backing_file_offset: U64::new(if name.is_empty() { 0 } else { fields + behind.len() as u64 }),
        backing_file_size: narrow(name.len() as u64),
        cluster_bits: U32::new(CLUSTER_BITS),
        size: U64::new(size),
        crypt_method: U32::ZERO,
        l1_size: narrow(l1_size(size)),
        l1_table_offset: U64::new(places.l1_table * CLUSTER),
        refcount_table_offset: U64::new(places.refcount_table * CLUSTER),
        refcount_table_clusters: narrow(places.table_clusters),
        nb_snapshots: U32::ZERO,
        snapshots_offset: U64::ZERO,
        incompatible_features: U64::new(incompatible),
        compatible_features: U64::ZERO,
        autoclear_features: U64::ZERO,
        refcount_order: U32::new(REFCOUNT_ORDER),
        header_length: narrow(fields),
    };
    [header.as_bytes(), kind.as_ref().map_or(&[], |kind| &kind[..]), &behind, name].concat()
}

/// How many clusters the refcount table and the refcount blocks take, beside others that they
/// count too.
fn refcount_clusters(others: u64) -> (u64, u64) {
    let (mut table, mut blocks) = (1, 1);
    loop {
        let needed_blocks = (others + table + blocks).div_ceil(REFCOUNTS);
        let needed_table = needed_blocks.div_ceil(ENTRIES);
        if (needed_table, needed_blocks) == (table, blocks) {
            return (table, blocks);
        }
        (table, blocks) = (needed_table.max(table), needed_blocks.max(blocks));
    }
}

/// A table of 8-byte entries.
struct Entries {
    offset: u64,
    bytes: Vec<u8>,
}

impl Entries {
    fn at(offset: u64) -> Entries {
        Entries { offset, bytes: Vec::new() }
    }

    /// Leaves the entries before a number zero.
    fn skip_to(&mut self, number: u64) {
        self.bytes.resize(usize::try_from(number * 8).expect("a table in memory"), 0);
    }

    fn push(&mut self, entry: u64) {
        self.bytes.extend_from_slice(&entry.to_be_bytes());
    }

    fn into_piece(self) -> Piece {
        Piece { offset: self.offset, bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables count themselves.
    #[test]
    fn reference_counts_are_of_all_clusters() {
        for others in [1, REFCOUNTS - 3, REFCOUNTS - 2, REFCOUNTS - 1, REFCOUNTS * ENTRIES, REFCOUNTS * ENTRIES * 3] {
            let (table, blocks) = refcount_clusters(others);
            assert!(blocks * REFCOUNTS >= others + table + blocks && table * ENTRIES >= blocks, "{others}");
            assert!((blocks - 1) * REFCOUNTS < others + table + blocks, "{others}: no more than needed");
        }
    }

    #[test]
    fn tables_are_there_where_something_is_written() {
        const GIB: u64 = 1 << 30;
        let container =
            Container::qcow2(100 * GIB, [4096..8192, 7 * GIB - 1..7 * GIB + 1, 99 * GIB..99 * GIB + 1], None);
        let container = container.unwrap();
        // The header, the refcount table and block, L1, four L2 tables.
        let data = 8 * CLUSTER;
        let run = |from, number, clusters| Run { from, to: data + number * CLUSTER, len: clusters * CLUSTER };
        assert_eq!(container.runs(), [run(0, 0, 1), run(7 * GIB - CLUSTER, 1, 2), run(99 * GIB, 3, 1)]);
        assert_eq!(container.len_bytes(), 12 * CLUSTER);
        let empty = Container::qcow2(0, [], None).unwrap();
        assert_eq!((empty.runs(), empty.len_bytes()), (&[][..], 4 * CLUSTER));
    }

    /// Its place depends on nothing but where it begins.
    #[test]
    fn a_part_comes_first() {
        const MIB: u64 = 1 << 20;
        let first = 5 * MIB + 4096..8 * MIB;
        let used = [0..1, 6 * MIB..9 * MIB, 20 * MIB..21 * MIB];
        let container = Container::qcow2(1 << 30, used, Some(first.clone())).unwrap();
        // Behind it: the refcount table and block, L1, an L2 table for each 512 MiB.
        let behind = 4 * MIB + 4 * CLUSTER;
        let run = |from, to, len| Run { from, to, len };
        let expected = [
            run(0, behind, CLUSTER),
            run(5 * MIB, MIB, 3 * MIB),
            run(8 * MIB, behind + CLUSTER, MIB),
            run(20 * MIB, behind + CLUSTER + MIB, MIB),
        ];
        assert_eq!(container.runs(), expected);
        assert_eq!(Container::qcow2_place(first.start), MIB + 4096);
        assert_eq!(container.len_bytes(), behind + CLUSTER + 2 * MIB);
    }

    #[test]
    fn a_disk_may_be_too_large() {
        assert!(Container::qcow2(2 << 50, [], None).is_ok());
        let error = Container::qcow2((2 << 50) + 1, [], None).unwrap_err();
        assert_eq!(error.to_string(), "a disk of 2097153 GiB is too large for qcow2, expected at most 2097152 GiB");
    }
}
