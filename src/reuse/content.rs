//! The content of layers on earlier disks: a layer that two images share need not be inflated
//! again, even where neither packs are kept nor blocks can be shared.
//!
//! The store has a note for each layer of some size: which disks have its content, and in which
//! blocks. The note of the disk itself says where the file is, and whether it is unmodified; nobody
//! reads the content to find out. The name of a layer's note follows from the pack, so a note can't
//! mean another layer. It also names the layout of the disk, so a disk under the same path with
//! another layout does not count.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cvbake_disk::Sink;
use cvbake_tree::{BLOCK_SIZE, Placement};
use cvbake_verify::Digest;
use serde::{Deserialize, Serialize};

use super::Reuse;
use super::fingerprint::DiskFingerprint;
use crate::error::Error;
use crate::event::{Event, Observer};

/// How many disks are remembered that have a layer's content, the newest: each may be booted,
/// changed or removed, and then another should be left. Notes stay small.
const DISKS: usize = 3;

/// In how many runs of blocks content is noted; what is in more is hardly worth it, and notes stay
/// small.
pub(crate) const RUNS: usize = 1000;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// A run of a pack's blocks on a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
struct Run {
    pack_block: u64,
    disk_block: u64,
    blocks: u64,
}

impl From<[u64; 3]> for Run {
    fn from([pack_block, disk_block, blocks]: [u64; 3]) -> Run {
        Run { pack_block, disk_block, blocks }
    }
}

impl From<Run> for [u64; 3] {
    fn from(run: Run) -> [u64; 3] {
        [run.pack_block, run.disk_block, run.blocks]
    }
}

impl From<&Placement> for Run {
    fn from(place: &Placement) -> Run {
        Run { pack_block: place.pack_block, disk_block: place.disk_block, blocks: place.blocks }
    }
}

impl Run {
    fn end(self) -> u64 {
        self.pack_block + self.blocks
    }

    /// What it is from a block of the pack on, which is not behind its end.
    fn since(self, pack_block: u64) -> Run {
        let skip = pack_block.saturating_sub(self.pack_block);
        Run { pack_block: self.pack_block + skip, disk_block: self.disk_block + skip, blocks: self.blocks - skip }
    }

    /// Whether it is something that fits a disk of so many blocks.
    fn fits(self, disk_blocks: u64) -> bool {
        let fits = |start: u64, end: u64| start.checked_add(self.blocks).is_some_and(|sum| sum <= end);
        self.blocks > 0 && fits(self.pack_block, u64::MAX) && fits(self.disk_block, disk_blocks)
    }
}

/// Where all that is in `places` stands, each block of the pack once.
fn runs_of(places: &[Placement]) -> Vec<Run> {
    let mut runs: Vec<Run> = places.iter().map(Run::from).collect();
    runs.sort_unstable();
    let mut end = 0;
    runs.retain_mut(|run| {
        let is_more = run.end() > end;
        if is_more {
            *run = run.since(end);
            end = run.end();
        }
        is_more
    });
    runs
}

/// Where all content of a disk stands, in short.
pub(crate) fn layout_name(placements: &[Placement]) -> Digest {
    let mut bytes = Vec::with_capacity(placements.len() * 32);
    for place in placements {
        let numbers = [place.pack.into(), place.pack_block, place.disk_block, place.blocks];
        numbers.into_iter().for_each(|number: u64| bytes.extend_from_slice(&number.to_le_bytes()));
    }
    Digest::sha256(&bytes)
}

/// As it is kept: the last disk first.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    disks: Vec<OnDisk>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    /// The key of its note.
    disk: String,
    /// Which way it is laid out.
    layout: String,
    runs: Vec<Run>,
}

/// A disk that was made before, open.
struct Disk {
    file: File,
    noted: DiskFingerprint,
    /// It can't be read, or was changed.
    spoiled: AtomicBool,
}

/// Disks that were made before, each opened once.
pub(crate) struct Disks<'a> {
    reuse: &'a Reuse<'a>,
    open: HashMap<Digest, Option<Arc<Disk>>>,
}

/// Content of a layer on a disk that was made before.
pub(crate) struct Earlier {
    disk: Arc<Disk>,
    /// As of [`runs_of`].
    runs: Vec<Run>,
}

impl<'a> Disks<'a> {
    pub(crate) fn new(reuse: &'a Reuse<'a>) -> Disks<'a> {
        Disks { reuse, open: HashMap::new() }
    }

    /// Whose disks they are.
    pub(crate) fn reuse(&self) -> &'a Reuse<'a> {
        self.reuse
    }

    /// One that has what of a layer's content is in `places`. `pack` says which layer.
    pub(crate) fn content<'p>(
        &mut self,
        pack: &Digest,
        places: impl Iterator<Item = &'p Placement> + Clone,
        on: Observer<'_>,
    ) -> Option<Earlier> {
        if !self.reuse.wanted {
            return None;
        }
        self.reuse.content_note(pack, on).disks.into_iter().find_map(|OnDisk { disk, layout, runs }| {
            let in_order = runs.is_sorted_by(|one, next| one.end() <= next.pack_block);
            if !in_order || !has_all(&runs, places.clone()) {
                return None;
            }
            let disk = self.disk(disk.parse().ok()?, on)?;
            let fit = runs.iter().all(|run| run.fits(disk.noted.filesystem_bytes() / BLOCK));
            (fit && disk.noted.positions().layout == layout).then(|| Earlier { disk, runs })
        })
    }

    fn disk(&mut self, key: Digest, on: Observer<'_>) -> Option<Arc<Disk>> {
        let disk = |(file, noted)| Arc::new(Disk { file, noted, spoiled: AtomicBool::new(false) });
        let open = || self.reuse.open(&key, on).map(disk);
        self.open.entry(key).or_insert_with(open).clone()
    }
}

impl Reuse<'_> {
    /// Notes where content of a layer stands on the disk that was made, which is laid out in the
    /// way that is named.
    pub(super) fn remember_content(&self, pack: &Digest, layout: &str, places: &[Placement], on: Observer<'_>) {
        let disk = self.key.to_string();
        let mut note = self.content_note(pack, on);
        if note.disks.first().is_some_and(|known| known.disk == disk && known.layout == layout) {
            return;
        }
        let runs = runs_of(places);
        note.disks.retain(|known| known.disk != disk);
        note.disks.insert(0, OnDisk { disk, layout: layout.to_owned(), runs });
        note.disks.truncate(DISKS);
        self.keep(&key(pack), &note, on);
    }

    /// What is noted. A note that can't be read, or says what can't be, counts as none.
    fn content_note(&self, pack: &Digest, on: Observer<'_>) -> Note {
        let note: Option<Note> = self.noted(&key(pack), on);
        let is_sound = |on_disk: &OnDisk| on_disk.runs.iter().all(|run| run.fits(u64::MAX));
        note.filter(|note| note.disks.iter().all(is_sound)).unwrap_or_default()
    }
}

impl Earlier {
    /// Whether it was as it should be, as far as that is known.
    pub(crate) fn is_good(&self) -> bool {
        !self.disk.spoiled.load(Ordering::Relaxed)
    }

    /// The number of the filesystem that it is on.
    pub(crate) fn device(&self) -> u64 {
        self.disk.noted.device()
    }

    /// Copies content to its places, all of which it has; `false` if it can't be read, or the disk
    /// was changed meanwhile: then anything may be there.
    pub(crate) fn copy_to(
        &self,
        places: &[Placement],
        sink: &dyn Sink,
        copied: &dyn Fn(u64) -> Result<(), Error>,
        on: Observer<'_>,
    ) -> Result<bool, Error> {
        let Disk { file, noted, spoiled } = &*self.disk;
        if spoiled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let problem = match self.try_copy_to(places, sink, copied) {
            Ok(()) if noted.is(file) => return Ok(true),
            Ok(()) => format!("{} was changed while it was copied", noted.path().display()),
            Err(error @ Error::Disk(cvbake_disk::Error::Read { .. })) => error.line(),
            Err(error) => return Err(error),
        };
        spoiled.store(true, Ordering::Relaxed);
        on(Event::Note(problem));
        Ok(false)
    }

    fn try_copy_to(
        &self,
        places: &[Placement],
        sink: &dyn Sink,
        copied: &dyn Fn(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for place in places {
            for run in parts(&self.runs, place) {
                let to = place.disk_block + (run.pack_block - place.pack_block);
                let from = self.disk.noted.positions().base + run.disk_block * BLOCK;
                sink.copy_at(to * BLOCK, &self.disk.file, from, run.blocks * BLOCK)?;
                copied(run.blocks * BLOCK)?;
            }
        }
        Ok(())
    }
}

fn key(pack: &Digest) -> Digest {
    Digest::sha256(format!("disks that have content of {pack}").as_bytes())
}

/// What runs have of a placement, in order.
fn parts(runs: &[Run], place: &Placement) -> impl Iterator<Item = Run> {
    let wanted = Run::from(place);
    let first = runs.partition_point(|run| run.end() <= wanted.pack_block);
    runs[first..].iter().take_while(move |run| run.pack_block < wanted.end()).map(move |run| {
        let run = run.since(wanted.pack_block);
        Run { blocks: run.end().min(wanted.end()) - run.pack_block, ..run }
    })
}

fn has_all<'p>(runs: &[Run], mut places: impl Iterator<Item = &'p Placement>) -> bool {
    places.all(|place| parts(runs, place).map(|run| run.blocks).sum::<u64>() == place.blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reuse::Positions;

    fn runs(runs: &[[u64; 3]]) -> Vec<Run> {
        runs.iter().copied().map(Run::from).collect()
    }

    fn place(pack_block: u64, disk_block: u64, blocks: u64) -> Placement {
        Placement { pack: 0, pack_block, disk_block, blocks }
    }

    #[test]
    fn parts_of_a_placement() {
        let known = runs(&[[10, 100, 5], [15, 300, 5], [30, 200, 10]]);
        let found = |start, blocks| parts(&known, &place(start, 9, blocks)).collect::<Vec<_>>();
        assert_eq!(found(0, 10), []);
        assert_eq!(found(0, 11), runs(&[[10, 100, 1]]));
        assert_eq!(found(12, 5), runs(&[[12, 102, 3], [15, 300, 2]]));
        assert_eq!(found(16, 20), runs(&[[16, 301, 4], [30, 200, 6]]));
        assert_eq!(found(40, 1), []);
        assert!(has_all(&known, [place(10, 9, 10), place(31, 9, 9)].iter()));
        assert!(has_all(&known, [].iter()));
        for missing in [place(9, 9, 1), place(19, 9, 2), place(30, 9, 11)] {
            assert!(!has_all(&known, [place(10, 9, 1), missing].iter()));
        }
    }

    #[test]
    fn each_block_once() {
        let given = [place(5, 50, 5), place(0, 90, 3), place(2, 20, 2), place(6, 66, 2), place(8, 80, 4)];
        assert_eq!(runs_of(&given), runs(&[[0, 90, 3], [3, 21, 1], [5, 50, 5], [10, 82, 2]]));
        assert_eq!(runs_of(&[]), []);
    }

    #[test]
    fn runs_that_can_not_be() {
        for (run, fits) in [([0, 0, 8], true), ([3, 7, 1], true), ([3, 8, 1], false), ([0, 0, 0], false)] {
            assert_eq!(Run::from(run).fits(8), fits, "{run:?}");
        }
        assert!(!Run::from([u64::MAX, 0, 1]).fits(8));
        assert!(!Run::from([0, u64::MAX, 2]).fits(u64::MAX));
    }

    /// A disk with a filesystem of eight blocks, each full of its number, behind something else.
    fn earlier(dir: &std::path::Path, base: u64, known: &[[u64; 3]]) -> Earlier {
        let path = dir.join("from");
        let front = vec![9; usize::try_from(base).unwrap()];
        let blocks = (0..8).flat_map(|block| [block; BLOCK_SIZE as usize]);
        std::fs::write(&path, front.into_iter().chain(blocks).collect::<Vec<u8>>()).unwrap();
        let file = File::open(&path).unwrap();
        let noted = DiskFingerprint::new(&path, &file.metadata().unwrap(), &Positions { base, ..Positions::default() });
        Earlier { disk: Arc::new(Disk { file, noted, spoiled: AtomicBool::new(false) }), runs: runs(known) }
    }

    #[test]
    fn what_is_copied_is_what_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        let target = File::create(&to).unwrap();
        let sink = cvbake_disk::Raw::new(&target, &to);
        let copied = std::cell::Cell::new(0);
        let count = |bytes| {
            copied.set(copied.get() + bytes);
            Ok(())
        };
        let copy = |earlier: &Earlier, places: &[Placement]| {
            let good = earlier.copy_to(places, &sink, &count, &|_| {}).unwrap();
            assert_eq!(earlier.is_good(), good);
            good
        };
        for base in [1 << 20, 0] {
            let good = earlier(dir.path(), base, &[[10, 2, 2], [12, 6, 1]]);
            copied.set(0);
            assert!(copy(&good, &[place(11, 1, 2), place(10, 0, 1)]));
            assert_eq!(copied.get(), 3 * BLOCK);
            let expected: Vec<u8> = [2, 3, 6].into_iter().flat_map(|block| [block; BLOCK_SIZE as usize]).collect();
            assert!(std::fs::read(&to).unwrap() == expected);
            target.set_len(0).unwrap();
        }
        let good = earlier(dir.path(), 0, &[[10, 2, 2], [12, 6, 1]]);

        // A length is enough to tell it: the clock may not have gone on.
        File::options().write(true).open(dir.path().join("from")).unwrap().set_len(9 * BLOCK).unwrap();
        assert!(!copy(&good, &[place(11, 1, 1)]), "it was changed");
        assert!(!copy(&earlier(dir.path(), 0, &[[10, 100, 4]]), &[place(11, 1, 1)]), "it can't be read there");
    }
}
