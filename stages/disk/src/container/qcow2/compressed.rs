//! qcow2 with compressed clusters.
//!
//! ```text
//! header │ clusters of the disk, in its order: packed, packed, plain, … │ L2 table │ … │ L1 table │ refcounts
//! ```
//!
//! No plan knows how long a compressed cluster is, so this is no [`Container`](crate::Container):
//! it reads a disk that stands, and appends. Compressed clusters lie end to end, across the borders
//! of the file's clusters; one that does not become shorter is stored as it is, and one of zeros is
//! left out.
//!
//! Several threads read and compress, each a mebibyte at a time, and append when it is their turn.
//! So the file is the same for any number of them, and memory is theirs and the tables': the L1
//! table (32 MiB at most), an L2 table, and 2 bytes for each 64 KiB of the file.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use flate2::{Compress, FlushCompress, Status};

use super::{CLUSTER, COMPRESSED_OFFSET_BITS, ENTRIES, Places, REFCOUNTS, checked, header, l1_size, refcount_clusters};
use crate::container::{TooLarge, units};
use crate::format::qcow2::*;
use crate::qcow2::Compression;
use crate::{Draft, Error, Raw, Sink as _};

/// How many clusters a thread reads at once: 1 MiB.
const GROUP: u64 = 16;

/// How hard to try, as `qemu-img` does.
const DEFLATE_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Fills its bytes with what is at an offset of the disk, on any thread.
type ReadDisk<'r, E> = dyn Fn(u64, &mut [u8]) -> Result<(), E> + Sync + 'r;

/// A qcow2 file with compressed clusters, as far as that can be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// How long the disk is to be read.
    len_bytes: u64,
    /// The same in whole sectors.
    size: u64,
    compression: Compression,
    /// Clusters of the disk, in its order, of which some may have other bytes than zeros.
    groups: Vec<Range<u64>>,
}

impl Compressed {
    /// A file for a disk of this length, of which these ranges are written.
    ///
    /// # Errors
    /// When the disk is larger than QEMU opens.
    pub fn plan(
        len_bytes: u64,
        used: impl IntoIterator<Item = Range<u64>>,
        compression: Compression,
    ) -> Result<Compressed, TooLarge> {
        let size = checked(len_bytes)?;
        let split = |clusters: Range<u64>| {
            let Range { start, end } = clusters;
            let borders = (start / GROUP..end.div_ceil(GROUP)).map(|group| group * GROUP);
            borders.map(move |border| border.max(start)..(border + GROUP).min(end))
        };
        let groups = units(used, CLUSTER).into_iter().flat_map(split).collect();
        Ok(Compressed { len_bytes, size, compression, groups })
    }

    /// How many bytes of the disk will be read.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        let of = |group: &Range<u64>| (group.end * CLUSTER).min(self.len_bytes).saturating_sub(group.start * CLUSTER);
        self.groups.iter().map(of).sum()
    }

    /// Reads the disk and writes the file, with so many threads; says how long the file is. `read`
    /// fills its bytes with what is at an offset of the disk.
    ///
    /// # Errors
    /// The first one of `read` in the order of the disk, or when the file can't be written.
    pub fn write<E: From<Error> + Send>(
        &self,
        draft: &Draft,
        jobs: NonZeroUsize,
        read: &ReadDisk<'_, E>,
    ) -> Result<u64, E> {
        let turns = Turns::new(Appender::new(draft.raw(), self.size));
        let next = AtomicUsize::new(0);
        let worker = || {
            let ending = Ending(&turns);
            let mut packer = Packer::new(self.compression);
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(group) = self.groups.get(at)
            {
                let clusters = self.pack(group, &mut packer, read);
                let Some(mut state) = turns.wait(at) else { break };
                let appended = clusters.and_then(|clusters| {
                    let numbered = group.clone().zip(clusters);
                    Ok(numbered.into_iter().try_for_each(|(number, cluster)| state.appender.put(number, &cluster))?)
                });
                match appended {
                    Ok(()) => state.next += 1,
                    Err(error) => state.failed = Some(Some(error)),
                }
                drop(state);
                turns.changed.notify_all();
            }
            std::mem::forget(ending);
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs.get().min(self.groups.len()) {
                // Without another thread, this one does it.
                if std::thread::Builder::new().name("compress".to_owned()).spawn_scoped(scope, worker).is_err() {
                    break;
                }
            }
            worker();
        });
        let State { appender, failed, .. } = turns.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(error) => Err(error.expect("a panic has gone on to the end of the scope")),
            None => {
                let len = appender.finish(self.size, self.compression)?;
                draft.set_len(len)?;
                Ok(len)
            }
        }
    }

    /// Reads some clusters, and compresses them.
    fn pack<E>(&self, group: &Range<u64>, packer: &mut Packer, read: &ReadDisk<'_, E>) -> Result<Vec<Cluster>, E> {
        let (start, end) = (group.start * CLUSTER, group.end * CLUSTER);
        let mut bytes = vec![0; in_memory(end - start)];
        // The last cluster may be longer than the disk.
        let there = in_memory(end.min(self.len_bytes).saturating_sub(start));
        read(start, &mut bytes[..there])?;
        Ok(bytes.chunks_exact(in_memory(CLUSTER)).map(|cluster| packer.pack(cluster)).collect())
    }
}

fn in_memory(len: u64) -> usize {
    usize::try_from(len).expect("a few clusters")
}

/// A cluster, as it is stored.
enum Cluster {
    Zeros,
    Plain(Vec<u8>),
    Packed(Vec<u8>),
}

/// Compresses clusters, one after the other.
struct Packer {
    codec: Codec,
    buffer: Vec<u8>,
}

enum Codec {
    Deflate(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    fn new(compression: Compression) -> Packer {
        let codec = match compression {
            Compression::Zlib => Codec::Deflate(Compress::new_with_window_bits(
                flate2::Compression::new(DEFLATE_LEVEL),
                false,
                DEFLATE_WINDOW_BITS,
            )),
            Compression::Zstd => {
                Codec::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("the level is one of zstd's"))
            }
        };
        Packer { codec, buffer: vec![0; in_memory(CLUSTER - 1)] }
    }

    fn pack(&mut self, cluster: &[u8]) -> Cluster {
        if cluster.iter().all(|byte| *byte == 0) {
            return Cluster::Zeros;
        }
        // What does not fit into the buffer is not shorter than the cluster.
        let len = match &mut self.codec {
            Codec::Deflate(deflate) => {
                deflate.reset();
                match deflate.compress(cluster, &mut self.buffer, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(deflate.total_out()).ok(),
                    _ => None,
                }
            }
            Codec::Zstd(zstd) => zstd.compress_to_buffer(cluster, &mut self.buffer[..]).ok(),
        };
        match len {
            Some(len) => Cluster::Packed(self.buffer[..len].to_vec()),
            None => Cluster::Plain(cluster.to_vec()),
        }
    }
}

/// Whose turn it is to append.
struct Turns<'d, E> {
    state: Mutex<State<'d, E>>,
    changed: Condvar,
}

struct State<'d, E> {
    appender: Appender<'d>,
    next: usize,
    /// Why nobody goes on; without a reason if somebody has panicked.
    failed: Option<Option<E>>,
}

impl<'d, E> Turns<'d, E> {
    fn new(appender: Appender<'d>) -> Turns<'d, E> {
        Turns { state: Mutex::new(State { appender, next: 0, failed: None }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<'d, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; there is none when something has failed.
    fn wait(&self, at: usize) -> Option<MutexGuard<'_, State<'d, E>>> {
        let mut state = self.lock();
        while state.next != at && state.failed.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failed.is_none().then_some(state)
    }
}

/// Lets the others end when a thread panics.
struct Ending<'t, 'd, E>(&'t Turns<'d, E>);

impl<E> Drop for Ending<'_, '_, E> {
    fn drop(&mut self) {
        self.0.lock().failed.get_or_insert(None);
        self.0.changed.notify_all();
    }
}

/// The end of the file, and the tables so far.
struct Appender<'d> {
    file: Raw<'d>,
    /// Where the next compressed cluster goes, if its cluster of the file has room.
    packed: u64,
    /// How often each cluster of the file is referred to; there are as many as these.
    counts: Vec<u16>,
    l1: Vec<u64>,
    l2: Option<(u64, Vec<u64>)>,
}

impl<'d> Appender<'d> {
    fn new(file: Raw<'d>, size: u64) -> Appender<'d> {
        Appender { file, packed: 0, counts: vec![1], l1: vec![0; in_memory(l1_size(size))], l2: None }
    }

    /// How long the file is, in whole clusters.
    fn end(&self) -> u64 {
        self.counts.len() as u64 * CLUSTER
    }

    /// Puts a cluster of the disk into the file. They come in their order.
    fn put(&mut self, number: u64, cluster: &Cluster) -> Result<(), Error> {
        let entry = match cluster {
            Cluster::Zeros => return Ok(()),
            Cluster::Plain(bytes) => self.put_whole(bytes)? | QCOW_OFLAG_COPIED,
            Cluster::Packed(bytes) => self.put_packed(bytes)?,
        };
        let table = number / ENTRIES;
        if self.l2.as_ref().is_some_and(|(of, _)| *of != table) {
            self.put_l2()?;
        }
        let (_, l2) = self.l2.get_or_insert_with(|| (table, vec![0; in_memory(ENTRIES)]));
        l2[in_memory(number % ENTRIES)] = entry;
        Ok(())
    }

    /// Puts bytes at a cluster of the file, and says where.
    fn put_whole(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let offset = self.end();
        self.counts.resize(self.counts.len() + in_memory((bytes.len() as u64).div_ceil(CLUSTER)), 1);
        self.file.write_at(offset, bytes)?;
        Ok(offset)
    }

    /// Puts a compressed cluster behind the last one, and says what its entry is.
    fn put_packed(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let len = bytes.len() as u64;
        let border = self.packed.next_multiple_of(CLUSTER);
        // It goes on in the next cluster of the file, if that is still to come.
        if self.packed + len > border && border != self.end() {
            self.packed = self.end();
        }
        let (start, end) = (self.packed, self.packed + len);
        while self.end() < end {
            self.counts.push(0);
        }
        self.file.write_at(start, bytes)?;
        for cluster in start / CLUSTER..end.div_ceil(CLUSTER) {
            // At most 64 Ki bytes are in one, and no compressed cluster has less than two.
            self.counts[in_memory(cluster)] += 1;
        }
        self.packed = end;
        // How many sectors it has beyond its first one.
        let sectors = (end - 1) / 512 - start / 512;
        Ok(start | sectors << COMPRESSED_OFFSET_BITS | QCOW_OFLAG_COMPRESSED)
    }

    /// Puts the L2 table into the file that has all its entries.
    fn put_l2(&mut self) -> Result<(), Error> {
        if let Some((table, entries)) = self.l2.take() {
            let offset = self.put_whole(&table_bytes(&entries))?;
            self.l1[in_memory(table)] = offset | QCOW_OFLAG_COPIED;
        }
        Ok(())
    }

    /// Writes the tables, and the header last; says how long the file is.
    fn finish(mut self, size: u64, compression: Compression) -> Result<u64, Error> {
        self.put_l2()?;
        let mut l1 = table_bytes(&self.l1);
        // A disk without a cluster has a table, too.
        l1.resize(l1.len().max(1).next_multiple_of(in_memory(CLUSTER)), 0);
        let l1_table = self.put_whole(&l1)? / CLUSTER;
        let (table_clusters, block_clusters) = refcount_clusters(self.counts.len() as u64);
        let refcount_table = self.counts.len() as u64;
        let blocks = refcount_table + table_clusters;
        self.counts.resize(self.counts.len() + in_memory(table_clusters + block_clusters), 1);
        let mut table = vec![0; in_memory(table_clusters * ENTRIES)];
        table.iter_mut().zip(blocks..blocks + block_clusters).for_each(|(entry, block)| *entry = block * CLUSTER);
        self.file.write_at(refcount_table * CLUSTER, &table_bytes(&table))?;
        let mut counts: Vec<u8> = self.counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        counts.resize(in_memory(block_clusters * REFCOUNTS * 2), 0);
        self.file.write_at(blocks * CLUSTER, &counts)?;
        let places = Places { l1_table, refcount_table, table_clusters };
        self.file.write_at(0, &header(size, &places, compression, None))?;
        Ok(self.end())
    }
}

fn table_bytes(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_be_bytes()).collect()
}
