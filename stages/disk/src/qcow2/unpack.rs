//! Compressed clusters.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::header::Compression;
use crate::FormatError;

/// How much a zstd decoder may look back: 8 MiB, four times the longest cluster.
const WINDOW_LOG: u32 = 23;

/// Unpacks clusters, and keeps the last ones: who reads a disk in small pieces asks for one often.
pub(super) struct Unpacker {
    file: Arc<File>,
    compression: Compression,
    cluster_size: usize,
    kept: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

impl Unpacker {
    /// How many clusters are kept: 8 MiB of the longest ones.
    const KEPT: usize = 4;

    pub(super) fn new(file: Arc<File>, compression: Compression, cluster_size: u64) -> Unpacker {
        let cluster_size = usize::try_from(cluster_size).expect("at most 2 MiB");
        Unpacker { file, compression, cluster_size, kept: Mutex::default() }
    }

    /// Fills `bytes` with what is `within` the cluster at an offset of the disk, which is packed in
    /// a range of the file.
    pub(super) fn read(&self, at: u64, range: Range<u64>, within: u64, bytes: &mut [u8]) -> io::Result<()> {
        if bytes.len() == self.cluster_size {
            return self.unpack(at, range, bytes);
        }
        let within = usize::try_from(within).expect("within a cluster");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = match kept.iter().find(|(other, _)| *other == at) {
            Some((_, cluster)) => Arc::clone(cluster),
            None => {
                drop(kept);
                let mut cluster = vec![0; self.cluster_size];
                self.unpack(at, range, &mut cluster)?;
                let cluster: Arc<[u8]> = cluster.into();
                kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.insert(0, (at, Arc::clone(&cluster)));
                kept.truncate(Unpacker::KEPT);
                cluster
            }
        };
        drop(kept);
        bytes.copy_from_slice(&cluster[within..within + bytes.len()]);
        Ok(())
    }

    fn unpack(&self, at: u64, range: Range<u64>, cluster: &mut [u8]) -> io::Result<()> {
        let mut packed = vec![0; usize::try_from(range.end - range.start).expect("little more than a cluster")];
        self.file.read_exact_at(&mut packed, range.start)?;
        let unpacked = match self.compression {
            Compression::Zlib => inflate(&packed, cluster),
            Compression::Zstd => unzstd(&packed, cluster),
        };
        unpacked.ok_or_else(|| FormatError::Compressed { at }.into())
    }
}

/// Both are done when the cluster is full: what is behind belongs to the next one.
fn inflate(packed: &[u8], cluster: &mut [u8]) -> Option<()> {
    let mut inflater = Decompress::new(false);
    inflater.decompress(packed, cluster, FlushDecompress::Finish).ok()?;
    (inflater.total_out() == cluster.len() as u64).then_some(())
}

fn unzstd(packed: &[u8], cluster: &mut [u8]) -> Option<()> {
    let mut decoder = Decoder::new().ok()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).ok()?;
    let len = cluster.len();
    let (mut input, mut output) = (InBuffer::around(packed), OutBuffer::around(cluster));
    while output.pos() < len {
        let before = (input.pos(), output.pos());
        decoder.run(&mut input, &mut output).ok()?;
        if (input.pos(), output.pos()) == before {
            return None;
        }
    }
    Some(())
}
