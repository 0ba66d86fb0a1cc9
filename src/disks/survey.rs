//! What of a disk is not zeros, and what names it.
//!
//! A disk is read twice: to see what there is, which the tables of the new disk follow from, and to
//! write it. The second time it is in the cache of the kernel, or the disk is so large that nobody
//! waits for a second of its tables.

use std::ops::Range;
use std::path::Path;

use cvbake_disk::{ReadAt, Sink};
use cvbake_verify::{Algorithm, Digest, Hasher};

use super::open::OpenDisk;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::format::FileFormat;
use crate::parallel::in_parallel;

/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// What is written or left out as a whole: a block of most filesystems.
const GRAIN: usize = 4096;

/// How much content a file can stand for that may have compressed clusters: a cluster of 2 MiB that
/// is one byte over and over is compressed to a hundred bytes.
const MAX_RATIO: u64 = 1 << 15;

/// The parts of a disk that are not zeros.
pub(super) struct Survey {
    pieces: Vec<Piece>,
    len_bytes: u64,
    /// How many bytes of it are not left out.
    pub(super) content_bytes: u64,
}

/// A part of a disk, of which something is not zeros.
struct Piece {
    number: u64,
    /// A bit for each grain.
    written: [u64; 4],
    digest: Option<Digest>,
}

impl Survey {
    /// Reads a disk, of which no more than `len_bytes` are wanted; `hashed` says whether its
    /// content is to be named.
    pub(super) fn of(
        disk: &OpenDisk,
        len_bytes: u64,
        hashed: bool,
        jobs: usize,
        control: &Control,
    ) -> Result<Survey, Error> {
        let path = &disk.file().path;
        let numbers = numbers(disk)?;
        let len_bytes = len_bytes.min(disk.disk.len_bytes());
        let look = |&number: &u64, stop: &crate::parallel::Stop<'_>| {
            stop.check()?;
            let bytes = read(&*disk.disk, path, number)?;
            let mut written = [0; 4];
            for (at, grain) in bytes.chunks(GRAIN).enumerate() {
                if grain.iter().any(|byte| *byte != 0) {
                    written[at / 64] |= 1_u64 << (at % 64);
                }
            }
            let is_written = written != [0; 4];
            Ok(is_written.then(|| Piece { number, written, digest: hashed.then(|| Digest::sha256(&bytes)) }))
        };
        let found = in_parallel(control, jobs, &numbers, &look)?;
        let pieces: Vec<Piece> = found.into_iter().flatten().collect();
        let mut survey = Survey { pieces, len_bytes, content_bytes: 0 };
        survey.content_bytes = survey.used().map(|range| range.end - range.start).sum();
        Ok(survey)
    }

    /// What is not zeros, in its order.
    pub(super) fn used(&self) -> impl Iterator<Item = Range<u64>> {
        self.pieces.iter().flat_map(|piece| piece.runs(self.len_bytes))
    }

    /// A digest of all of the content: the same for a disk whatever it is stored as.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for piece in &self.pieces {
            hasher.update(&piece.number.to_le_bytes());
            if let Some(digest) = &piece.digest {
                hasher.update(digest.bytes());
            }
        }
        hasher.finish()
    }

    /// Writes it all.
    pub(super) fn copy(
        &self,
        disk: &OpenDisk,
        to: &dyn Sink,
        jobs: usize,
        control: &Control,
        on: Observer<'_>,
    ) -> Result<(), Error> {
        let path = &disk.file().path;
        let copy = |piece: &Piece, stop: &crate::parallel::Stop<'_>| {
            stop.check()?;
            let bytes = read(&*disk.disk, path, piece.number)?;
            let start = piece.number * PIECE;
            for run in piece.runs(self.len_bytes) {
                let within = |offset: u64| usize::try_from(offset - start).expect("within a piece");
                to.write_at(run.start, &bytes[within(run.start)..within(run.end)])?;
                on(Event::Wrote { bytes: run.end - run.start });
            }
            Ok(())
        };
        in_parallel(control, jobs, &self.pieces, &copy).map(drop)
    }
}

impl Piece {
    /// Its parts that are not zeros.
    fn runs(&self, len_bytes: u64) -> impl Iterator<Item = Range<u64>> {
        let start = self.number * PIECE;
        let is_written = |at: usize| at < 256 && self.written[at / 64] >> (at % 64) & 1 == 1;
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < 256 && !is_written(at) {
                at += 1;
            }
            let first = at;
            while is_written(at) {
                at += 1;
            }
            let offset = |at: usize| (start + (at * GRAIN) as u64).min(len_bytes);
            (first < at).then(|| offset(first)..offset(at))
        })
    }
}

/// The pieces with something that is no hole.
fn numbers(disk: &OpenDisk) -> Result<Vec<u64>, Error> {
    let path = &disk.file().path;
    let failed = |source| Error::disk_content(path, source);
    let can_have = |file: &super::open::ChainFile| match file.info.format() {
        FileFormat::Qcow2 => file.file_bytes.saturating_mul(MAX_RATIO),
        _ => file.file_bytes,
    };
    let mut left = disk.chain.iter().map(can_have).fold(0, u64::saturating_add);
    let (mut numbers, mut at) = (Vec::new(), 0);
    while let Some(range) = disk.disk.next_content(at).map_err(failed)? {
        left = left.checked_sub(range.end - range.start).ok_or_else(|| Error::Overlaps { path: path.clone() })?;
        let first = numbers.last().map_or(0, |last| last + 1).max(range.start / PIECE);
        numbers.extend(first..range.end.div_ceil(PIECE));
        at = range.end;
    }
    Ok(numbers)
}

fn read(disk: &dyn ReadAt, path: &Path, number: u64) -> Result<Vec<u8>, Error> {
    let start = number * PIECE;
    let len = (disk.len_bytes() - start).min(PIECE);
    let mut bytes = vec![0; usize::try_from(len).expect("at most a piece")];
    disk.read_at(start, &mut bytes).map_err(|source| Error::disk_content(path, source))?;
    Ok(bytes)
}
