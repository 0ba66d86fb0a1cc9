//! Names, metadata and content references in → one frozen, canonical file tree out.
//!
//! ```
//! use cvbake_tree::{Builder, Ino, Kind, Meta};
//!
//! let directory = Meta { mode: 0o755, ..Meta::default() };
//! let mut builder = Builder::new(&directory);
//! let bin = builder.add(Ino::ROOT, b"bin", Kind::Directory, &directory)?;
//! builder.add(bin, b"sh", Kind::Symlink(b"busybox"), &Meta { mode: 0o777, ..Meta::default() })?;
//! let tree = builder.finish()?;
//! let sh = tree.lookup(b"/bin/sh").expect("it was added");
//! assert!(matches!(sh.kind(), Kind::Symlink(b"busybox")));
//! # Ok::<(), cvbake_tree::BuildError>(())
//! ```
//!
//! A [`Tree`] is what a disk will hold, and nothing else: it knows neither archives nor
//! filesystems. Every later stage reads it, none changes it.
//!
//! * **Inodes and names are apart.** An [`Inode`] carries what a file *is* (kind, owner, times,
//!   extended attributes); a directory entry carries a name and points at an inode, so hard links
//!   are ordinary.
//! * **It is canonical.** [`Builder::finish`] sorts every directory by the bytes of its names and
//!   numbers the inodes in the order of [`Tree::inodes`]. Two builders that describe the same files
//!   yield equal trees, whatever the order of the calls; so a number derived from a tree (an inode
//!   number, a block number) is deterministic.
//! * **Content is a reference.** A regular file says which blocks of which *pack* hold its bytes
//!   ([`FileData`]); bytes are only read through [`Packs`]. Blocks of zeros are absent: a file is a
//!   list of [`Segment`]s with holes between them.
//! * **It is small.** Names live in one arena, link targets and extended attributes are interned,
//!   rare times stand in a side table: about 100 bytes per file.
//!
//! [`Tree::listing`] writes a tree as text, one line per inode: the form in which expected results
//! are kept. [`compare`] says where two trees and their content differ. [`read`] has what readers
//! of filesystems share.
#![forbid(unsafe_code)]

mod build;
mod compare;
mod content;
mod listing;
mod meta;
mod place;
pub mod read;
mod readable;
mod texts;
mod xattrs;

pub use build::{BuildError, Builder};
pub use compare::{Change, Difference, Field, Side, Uncompared, compare};
pub use content::{BLOCK_SIZE, FileData, Packs, Placement, Segment};
pub use listing::{escape, escape_short, unescape};
pub use meta::{Device, Kind, Meta, Time, Xattr};
pub use place::Place;
pub use readable::LeftOut;
pub use texts::Texts;
pub use xattrs::XattrSets;

/// Names an inode of one [`Tree`] (or of the [`Builder`] that makes it). The root directory is
/// [`Ino::ROOT`].
///
/// It counts from zero in canonical order and is *not* an inode number of any filesystem.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ino(pub(crate) u32);

impl Ino {
    /// The root directory.
    pub const ROOT: Ino = Ino(0);

    /// The position in canonical order, for tables beside the tree.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The inode at a position below [`Tree::inode_count`].
    ///
    /// # Panics
    /// If `index` does not fit 32 bits, which no tree's index exceeds.
    #[must_use]
    pub fn from_index(index: usize) -> Ino {
        Ino(u32::try_from(index).expect("a tree holds fewer than 2^32 inodes"))
    }
}

/// A file tree, frozen and canonical; made by [`Builder::finish`].
#[derive(Debug, PartialEq, Eq)]
pub struct Tree {
    inodes: Vec<InodeRecord>,
    /// Directory entries, those of one directory side by side and sorted by name, the directories
    /// in canonical order.
    entries: Vec<Entry>,
    names: Vec<u8>,
    segments: Vec<Segment>,
    /// Interned sets; number 0 is the empty one.
    xattrs: Vec<Vec<Xattr>>,
    /// Access and change times of the inodes that have their own, sorted by inode.
    extra_times: Vec<(Ino, Time, Time)>,
}

/// 60 bytes: nothing in it is wider than 32 bits, so that nothing is lost to alignment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InodeRecord {
    kind: KindRecord,
    mode: u16,
    uid: u32,
    gid: u32,
    mtime_secs: Halves,
    mtime_nanos: u32,
    xattrs: u32,
    names: u32,
}

/// 64 bits as two numbers of 32, the low one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Halves(u32, u32);

impl From<u64> for Halves {
    fn from(number: u64) -> Halves {
        let low = u32::try_from(number & u64::from(u32::MAX)).expect("masked to 32 bits");
        let high = u32::try_from(number >> 32).expect("32 bits are left");
        Halves(low, high)
    }
}

impl From<Halves> for u64 {
    fn from(Halves(low, high): Halves) -> u64 {
        u64::from(high) << 32 | u64::from(low)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KindRecord {
    /// `parent` is the directory's own parent (the root's is the root).
    Directory {
        first_entry: u32,
        entries: u32,
        parent: Ino,
    },
    File {
        size: Halves,
        pack: u32,
        pack_block: u32,
        first_segment: u32,
        segments: u32,
    },
    Symlink {
        name: u32,
        len: u16,
    },
    CharDevice(Device),
    BlockDevice(Device),
    Fifo,
    Socket,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    parent: Ino,
    name: u32,
    len: u16,
    ino: Ino,
}

/// One inode of a [`Tree`].
#[derive(Clone, Copy)]
pub struct Inode<'t> {
    tree: &'t Tree,
    ino: Ino,
}

/// Whether they are the same inode of the same tree.
impl PartialEq for Inode<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.tree, other.tree) && self.ino == other.ino
    }
}

impl Eq for Inode<'_> {}

impl std::fmt::Debug for Inode<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inode").field("ino", &self.ino).field("record", self.record()).finish()
    }
}

impl Tree {
    /// How many inodes there are, the root included.
    #[must_use]
    pub fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    /// How many directory entries there are, all directories together.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// All inodes in canonical order: the root; then directory by directory, depth first, the
    /// entries of each by the bytes of their names. An inode of several names stands where its
    /// first one is. So a directory stands before all that is in it, and what is in one directory
    /// stands together.
    pub fn inodes(&self) -> impl ExactSizeIterator<Item = Inode<'_>> + DoubleEndedIterator {
        (0..self.inodes.len()).map(|index| Inode { tree: self, ino: Ino::from_index(index) })
    }

    /// The inode of a number.
    ///
    /// # Panics
    /// If `ino` belongs to another, larger tree.
    #[must_use]
    pub fn inode(&self, ino: Ino) -> Inode<'_> {
        assert!(ino.index() < self.inodes.len(), "inode of another tree");
        Inode { tree: self, ino }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Inode<'_> {
        self.inode(Ino::ROOT)
    }

    /// The inode at a path of plain names separated by `/`; symbolic links are not followed.
    #[must_use]
    pub fn lookup(&self, path: &[u8]) -> Option<Inode<'_>> {
        path.split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
            .try_fold(self.root(), |dir, name| dir.child(name))
    }

    /// Leaves out the extended attributes that are not to be kept, and says of how many inodes.
    ///
    /// # Panics
    /// If there are more sets of attributes than 32 bits count: there are no more than inodes had
    /// before, and as many as lose some.
    pub fn retain_xattrs(&mut self, keep: impl Fn(Inode<'_>, &Xattr) -> bool) -> usize {
        let mut left = XattrSets::new();
        let mut changed: Vec<(Ino, u32)> = Vec::new();
        for inode in self.inodes() {
            let xattrs = inode.xattrs();
            if !xattrs.iter().all(|xattr| keep(inode, xattr)) {
                let set = xattrs.iter().filter(|xattr| keep(inode, xattr)).cloned().collect();
                changed.push((inode.ino(), left.number(set).expect("32 bits count the inodes")));
            }
        }
        if changed.is_empty() {
            return 0;
        }
        // Those that there were keep their numbers: they come first, in the same order.
        let mut sets = XattrSets::new();
        let mut number = |set| sets.number(set).expect("32 bits count the inodes twice, but for absurd ones");
        for set in std::mem::take(&mut self.xattrs) {
            let _as_before = number(set);
        }
        let left: Vec<u32> = left.into_sets().into_iter().map(number).collect();
        for (ino, set) in &changed {
            self.inodes[ino.index()].xattrs = left[*set as usize];
        }
        self.xattrs = sets.into_sets();
        changed.len()
    }

    /// Replaces all extended attributes by what they become: nothing, or another value.
    ///
    /// # Panics
    /// If there are more sets of attributes than 32 bits count: there are no more than before.
    pub fn map_xattrs(&mut self, to: impl Fn(&Xattr) -> Option<Xattr>) {
        let mut sets = XattrSets::new();
        let mut number = |set: &Vec<Xattr>| sets.number(set.iter().filter_map(&to).collect());
        let numbers: Option<Vec<u32>> = self.xattrs.iter().map(&mut number).collect();
        let numbers = numbers.expect("no more than before");
        for inode in &mut self.inodes {
            inode.xattrs = numbers[inode.xattrs as usize];
        }
        self.xattrs = sets.into_sets();
    }

    /// Replaces all times by what they become.
    pub fn map_times(&mut self, to: impl Fn(Time) -> Time) {
        for inode in &mut self.inodes {
            let mtime = to(Time { secs: u64::from(inode.mtime_secs).cast_signed(), nanos: inode.mtime_nanos });
            (inode.mtime_secs, inode.mtime_nanos) = (mtime.secs.cast_unsigned().into(), mtime.nanos);
        }
        for (_, atime, ctime) in &mut self.extra_times {
            (*atime, *ctime) = (to(*atime), to(*ctime));
        }
        let Tree { inodes, extra_times, .. } = self;
        extra_times.retain(|&(ino, atime, ctime)| {
            let inode = &inodes[ino.index()];
            let mtime = Time { secs: u64::from(inode.mtime_secs).cast_signed(), nanos: inode.mtime_nanos };
            (atime, ctime) != (mtime, mtime)
        });
    }

    /// Makes the times of access and of change those of modification.
    pub fn forget_other_times(&mut self) {
        self.extra_times.clear();
    }

    fn name(&self, start: u32, len: u16) -> &[u8] {
        &self.names[start as usize..start as usize + usize::from(len)]
    }
}

impl<'t> Inode<'t> {
    fn record(&self) -> &'t InodeRecord {
        &self.tree.inodes[self.ino.index()]
    }

    /// The number of this inode.
    #[must_use]
    pub fn ino(&self) -> Ino {
        self.ino
    }

    /// What kind of file it is, with what only that kind has.
    #[must_use]
    pub fn kind(&self) -> Kind<'t> {
        match self.record().kind {
            KindRecord::Directory { .. } => Kind::Directory,
            KindRecord::File { size, pack, pack_block, first_segment, segments } => {
                let first = first_segment as usize;
                let segments = &self.tree.segments[first..first + segments as usize];
                Kind::File(FileData { size: size.into(), pack, pack_block: pack_block.into(), segments })
            }
            KindRecord::Symlink { name, len } => Kind::Symlink(self.tree.name(name, len)),
            KindRecord::CharDevice(device) => Kind::CharDevice(device),
            KindRecord::BlockDevice(device) => Kind::BlockDevice(device),
            KindRecord::Fifo => Kind::Fifo,
            KindRecord::Socket => Kind::Socket,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self.record().kind, KindRecord::Directory { .. })
    }

    /// The permission bits with setuid, setgid and sticky: never more than `0o7777`.
    #[must_use]
    pub fn mode(&self) -> u16 {
        self.record().mode
    }

    /// The owner.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.record().uid
    }

    /// The group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.record().gid
    }

    /// When the content last changed.
    #[must_use]
    pub fn mtime(&self) -> Time {
        let record = self.record();
        Time { secs: u64::from(record.mtime_secs).cast_signed(), nanos: record.mtime_nanos }
    }

    /// When it was last read: the modification time unless the image says otherwise.
    #[must_use]
    pub fn atime(&self) -> Time {
        self.extra_times().map_or(self.mtime(), |times| times.0)
    }

    /// When the inode last changed: the modification time unless the image says otherwise.
    #[must_use]
    pub fn ctime(&self) -> Time {
        self.extra_times().map_or(self.mtime(), |times| times.1)
    }

    fn extra_times(&self) -> Option<(Time, Time)> {
        let extra = &self.tree.extra_times;
        extra.binary_search_by_key(&self.ino, |times| times.0).ok().map(|at| (extra[at].1, extra[at].2))
    }

    /// The extended attributes, sorted by name.
    #[must_use]
    pub fn xattrs(&self) -> &'t [Xattr] {
        &self.tree.xattrs[self.record().xattrs as usize]
    }

    /// A number that two inodes share exactly when their extended attributes are equal; 0 where
    /// there are none.
    #[must_use]
    pub fn xattr_set(&self) -> usize {
        self.record().xattrs as usize
    }

    /// How many names the inode has: directory entries that point at it. The root has none.
    #[must_use]
    pub fn name_count(&self) -> u32 {
        self.record().names
    }

    /// A directory's parent; the root's is the root itself. `None` for anything but a directory.
    #[must_use]
    pub fn parent(&self) -> Option<Inode<'t>> {
        match self.record().kind {
            KindRecord::Directory { parent, .. } => Some(self.tree.inode(parent)),
            _ => None,
        }
    }

    /// How many entries a directory has; 0 for anything else.
    #[must_use]
    pub fn child_count(&self) -> usize {
        self.entry_records().len()
    }

    fn entry_records(&self) -> &'t [Entry] {
        match self.record().kind {
            KindRecord::Directory { first_entry, entries, .. } => {
                let first = first_entry as usize;
                &self.tree.entries[first..first + entries as usize]
            }
            _ => &[],
        }
    }

    /// The entries of a directory, sorted by the bytes of their names; none for anything else.
    pub fn children(&self) -> impl ExactSizeIterator<Item = (&'t [u8], Inode<'t>)> + DoubleEndedIterator + use<'t> {
        let tree = self.tree;
        self.entry_records().iter().map(move |entry| (tree.name(entry.name, entry.len), tree.inode(entry.ino)))
    }

    /// The entry of a directory with this name.
    #[must_use]
    pub fn child(&self, name: &[u8]) -> Option<Inode<'t>> {
        let entries = self.entry_records();
        let at = entries.binary_search_by(|entry| self.tree.name(entry.name, entry.len).cmp(name)).ok()?;
        Some(self.tree.inode(entries[at].ino))
    }
}
