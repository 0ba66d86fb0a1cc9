//! The entries of a layer while it is read: what a later one overwrites is dropped, wherever that
//! makes no difference.
//!
//! That the later one of two entries of one path counts is the easy half. The other is whether the
//! earlier one has left traces: paths lead over symbolic links, also those of layers below, which
//! nobody knows here. So an entry is dropped only if
//!
//! * its path is **literal**: every directory on the way has an entry of its own in this layer,
//!   which takes the place of any link;
//! * every entry since was literal, too, and no directory was replaced by something else: so the
//!   path still leads to the same place, and nothing has gone through it (such stretches of a layer
//!   are *turns*; what was there in an earlier one stays);
//! * nothing **needs** it: no hard link was made to it, and its file has no blocks in the pack,
//!   which are there whether or not anything leads to them, and have to be found again when the
//!   pack is made again;
//! * neither of the two is a directory. A directory in the place of anything else, or the other way
//!   round, hides what the layers below have in it. A directory over a directory only has other
//!   attributes: the first entry gets them.
//!
//! Of several equal markers, the first stays: all of them act before the first entry. What is
//! overwritten and stays for one of these reasons counts as a burden, see [`Records::burden`].

use std::mem;

use cvbake_tree::{Segment, Time};

use crate::Error;
use crate::index::{Record, RecordKind, Sparse};
use crate::path::{PathId, Paths};

/// No such record.
const NONE: u32 = u32::MAX;

/// How many dropped records wait to be removed together, beside a quarter of all: then each costs
/// some moves of others.
const SLACK: usize = 4096;

/// What an overwritten record takes in memory: itself, and as much again for the inode and the name
/// that a merge makes of it.
const OVERWRITTEN: usize = 2 * size_of::<Record>();

/// A record's access and change time.
type Times = (u32, Option<Time>, Option<Time>);

/// What a path has so far.
#[derive(Clone, Copy)]
struct Last {
    /// Its last entry.
    record: u32,
    /// In which turn that came to stand where the path says; 0 if it may stand elsewhere.
    turn: u32,
    /// Whether that is needed whatever comes.
    needed: bool,
    whiteout: bool,
    opaque: bool,
}

/// Records in archive order, and what is beside them.
pub(crate) struct Records {
    list: Vec<Record>,
    segments: Vec<Segment>,
    sparse: Vec<Sparse>,
    /// The parts in all of `sparse`.
    parts: usize,
    extra_times: Vec<Times>,
    /// Those in `list` that are dropped.
    dropped: Vec<u32>,
    /// How many are overwritten and not dropped.
    overwritten: usize,
    /// By path.
    last: Vec<Last>,
    turn: u32,
}

/// What remains of [`Records`] in the end.
pub(crate) struct Kept {
    pub(crate) records: Vec<Record>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sparse: Vec<Sparse>,
    pub(crate) extra_times: Vec<Times>,
}

impl Records {
    pub(crate) fn new() -> Records {
        Records {
            list: Vec::new(),
            segments: Vec::new(),
            sparse: Vec::new(),
            parts: 0,
            extra_times: Vec::new(),
            dropped: Vec::new(),
            overwritten: 0,
            last: Vec::new(),
            turn: 1,
        }
    }

    /// How many are in force.
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.dropped.len() - self.overwritten
    }

    /// How many runs of content there are.
    pub(crate) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The bytes of memory that are not a record in force: records that are none, and what is
    /// beside all records.
    pub(crate) fn burden(&self) -> usize {
        self.dropped.len() * size_of::<Record>()
            + self.overwritten * OVERWRITTEN
            + self.segments.len() * size_of::<Segment>()
            + self.sparse.len() * size_of::<Sparse>()
            + self.parts * size_of::<(u64, u64)>()
            + self.extra_times.len() * size_of::<Times>()
            + self.last.len() * size_of::<Last>()
    }

    /// Adds an entry.
    pub(crate) fn push(
        &mut self,
        paths: &Paths,
        record: Record,
        times: (Option<Time>, Option<Time>),
    ) -> Result<(), Error> {
        if self.dropped.len() > SLACK + self.list.len() / 4 {
            self.compact();
        }
        let none = Last { record: NONE, turn: 0, needed: false, whiteout: false, opaque: false };
        self.last.resize(paths.nodes.len(), none);
        let last = &mut self.last[record.path.index()];
        match record.kind {
            RecordKind::Whiteout if mem::replace(&mut last.whiteout, true) => Ok(()),
            RecordKind::Opaque if mem::replace(&mut last.opaque, true) => Ok(()),
            RecordKind::Whiteout | RecordKind::Opaque => self.append(record, times).map(drop),
            _ => self.entry(paths, record, times),
        }
    }

    fn entry(&mut self, paths: &Paths, record: Record, times: (Option<Time>, Option<Time>)) -> Result<(), Error> {
        let path = record.path;
        let is_dir = record.kind == RecordKind::Directory;
        let is_literal = self.is_literal(paths, path) && (path != PathId::ROOT || is_dir);
        let is_certain = match record.kind {
            RecordKind::HardLink(target) => self.need(paths, path, target),
            _ => true,
        };
        if !is_literal || !is_certain {
            self.turn += 1;
        }
        let before = self.last[path.index()];
        let is_known = is_literal && before.turn == self.turn;
        let was_dir = before.record != NONE && self.list[before.record as usize].kind == RecordKind::Directory;
        match (is_known, was_dir, is_dir) {
            (true, true, true) if times == (None, None) && !self.has_times(before.record) => {
                self.list[before.record as usize] = record;
                return Ok(());
            }
            (true, false, false) if !before.needed => self.dropped.push(before.record),
            _ if before.record != NONE => self.overwritten += 1,
            _ => {}
        }
        if is_known && was_dir && !is_dir {
            self.turn += 1;
        }
        let number = self.append(record, times)?;
        let turn = if is_literal { self.turn } else { 0 };
        self.last[path.index()] = Last { record: number, turn, needed: !is_certain, ..before };
        Ok(())
    }

    /// Whether only directories of this layer are on the way to a path, now.
    fn is_literal(&self, paths: &Paths, path: PathId) -> bool {
        let parent = paths.parent(path);
        // A directory that is known to stand where its path says was literal itself.
        parent == PathId::ROOT || self.is_known(parent, |kind| *kind == RecordKind::Directory)
    }

    fn is_known(&self, path: PathId, is: impl Fn(&RecordKind) -> bool) -> bool {
        let last = &self.last[path.index()];
        last.turn == self.turn && is(&self.list[last.record as usize].kind)
    }

    /// Keeps what a hard link points at; `false` if that is not known for certain, or no file.
    fn need(&mut self, paths: &Paths, link: PathId, target: PathId) -> bool {
        let is_file = |kind: &RecordKind| *kind != RecordKind::Directory;
        let is_certain = target != link && self.is_literal(paths, target) && self.is_known(target, is_file);
        self.last[target.index()].needed |= is_certain;
        is_certain
    }

    fn append(&mut self, record: Record, (atime, ctime): (Option<Time>, Option<Time>)) -> Result<u32, Error> {
        let number = u32::try_from(self.list.len()).ok().filter(|&number| number != NONE);
        let number = number.ok_or(Error::TooMany { what: "entries" })?;
        self.list.push(record);
        if atime.is_some() || ctime.is_some() {
            self.extra_times.push((number, atime, ctime));
        }
        Ok(number)
    }

    fn has_times(&self, record: u32) -> bool {
        self.extra_times.binary_search_by_key(&record, |times| times.0).is_ok()
    }

    /// Adds what the file has whose entry came last: its runs of content, and its map if it is
    /// sparse.
    pub(crate) fn content(&mut self, segments: &[Segment], pieces: Option<Vec<(u64, u64)>>) {
        let file = self.list.last().expect("a file's entry was added");
        self.last[file.path.index()].needed |= !segments.is_empty();
        self.segments.extend_from_slice(segments);
        if let Some(pieces) = pieces {
            self.parts += pieces.len();
            self.sparse.push(Sparse { record: self.last[file.path.index()].record, pieces });
        }
    }

    /// Removes what is dropped.
    fn compact(&mut self) {
        let mut dropped = mem::take(&mut self.dropped);
        dropped.sort_unstable();
        let mut going = dropped.iter().copied().peekable();
        let (mut old, mut new) = (0, 0);
        self.list.retain(|record| {
            let stays = going.next_if_eq(&old).is_none();
            let last = &mut self.last[record.path.index()].record;
            if stays && *last == old {
                *last = new;
            }
            old += 1;
            new += u32::from(stays);
            stays
        });
        renumber(&mut self.sparse, &dropped, |sparse| &mut sparse.record);
        renumber(&mut self.extra_times, &dropped, |times| &mut times.0);
        self.parts = self.sparse.iter().map(|sparse| sparse.pieces.len()).sum();
    }

    pub(crate) fn finish(mut self) -> Kept {
        self.compact();
        let Records { list: records, segments, sparse, extra_times, .. } = self;
        Kept { records, segments, sparse, extra_times }
    }
}

/// Takes the numbers of dropped records, sorted, out of a list that is sorted by them.
fn renumber<T>(list: &mut Vec<T>, dropped: &[u32], number: impl Fn(&mut T) -> &mut u32) {
    let mut below = dropped.iter().copied().peekable();
    let mut lower = 0;
    list.retain_mut(|item| {
        let number = number(item);
        while below.next_if(|dropped| dropped < number).is_some() {
            lower += 1;
        }
        let stays = below.peek() != Some(number);
        *number -= lower;
        stays
    });
}
