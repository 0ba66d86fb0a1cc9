//! Two trees with their content, compared: what one has and the other has not, and what differs.

use std::collections::HashMap;
use std::io;

use crate::{BLOCK_SIZE, FileData, Ino, Inode, Kind, Packs, Segment, Tree, escape};

/// A tree and its content.
#[derive(Clone, Copy)]
pub struct Side<'t> {
    /// The names and attributes.
    pub tree: &'t Tree,
    /// The content that it refers to.
    pub packs: &'t dyn Packs,
}

/// What two files of one path can differ in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// What kind of file it is.
    Kind,
    /// The permission bits.
    Mode,
    /// User and group.
    Owner,
    /// When the content last changed.
    Mtime,
    /// When it was last read.
    Atime,
    /// When the inode last changed.
    Ctime,
    /// A file's length.
    Size,
    /// A file's bytes.
    Content,
    /// A symbolic link's target.
    Target,
    /// A device's number.
    Device,
    /// Extended attributes.
    Xattr,
    /// Which other names the inode has.
    Link,
}

impl Field {
    /// As listings call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Kind => "kind",
            Field::Mode => "mode",
            Field::Owner => "owner",
            Field::Mtime => "mtime",
            Field::Atime => "atime",
            Field::Ctime => "ctime",
            Field::Size => "size",
            Field::Content => "content",
            Field::Target => "target",
            Field::Device => "device",
            Field::Xattr => "xattr",
            Field::Link => "link",
        }
    }
}

/// Something that two files of one path differ in; the texts are written as in listings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What it is.
    pub field: Field,
    /// How it is in the first tree.
    pub old: String,
    /// How it is in the second tree.
    pub new: String,
}

/// A path at which two trees differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference<'t> {
    /// Only the first tree has it. What is below it follows.
    Removed(Inode<'t>),
    /// Only the second tree has it. What is below it follows.
    Added(Inode<'t>),
    /// Both have it.
    Changed {
        /// What the first has.
        old: Inode<'t>,
        /// What the second has.
        new: Inode<'t>,
        /// What differs: at least one thing.
        changes: Vec<Change>,
    },
}

/// Why two trees could not be compared.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the content of {path}")]
pub struct Uncompared {
    /// The file, escaped.
    pub path: String,
    /// Whether it is the second tree's.
    pub is_second: bool,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Calls `each` with every path at which two trees differ, in the order of their paths, and with
/// the path.
///
/// `looks_at` says which fields count. Content is compared byte for byte, but for what both trees
/// say that is zeros.
///
/// # Errors
/// When content can't be read.
pub fn compare<'t>(
    old: Side<'t>,
    new: Side<'t>,
    looks_at: &dyn Fn(Field) -> bool,
    each: &mut dyn FnMut(&[u8], Difference<'t>),
) -> Result<(), Uncompared> {
    let mut walk = Walk {
        old,
        new,
        looks_at,
        each,
        partners: [vec![None; old.tree.inode_count()], vec![None; new.tree.inode_count()]],
        first_names: [HashMap::new(), HashMap::new()],
        path: Vec::new(),
        buffers: [vec![0; PIECE], vec![0; PIECE]],
    };
    walk.both(old.tree.root(), new.tree.root())?;
    walk.all()
}

/// How much is compared at once.
const PIECE: usize = 256 * 1024;

struct Walk<'t, 'c> {
    old: Side<'t>,
    new: Side<'t>,
    looks_at: &'c dyn Fn(Field) -> bool,
    each: &'c mut dyn FnMut(&[u8], Difference<'t>),
    /// By inode of either tree, the one of the other tree that first had the same path.
    partners: [Vec<Option<Ino>>; 2],
    /// The first paths of inodes with several.
    first_names: [HashMap<Ino, Vec<u8>>; 2],
    path: Vec<u8>,
    buffers: [Vec<u8>; 2],
}

/// What is in a directory, in order; of both trees, or of one.
struct Dir<'t> {
    /// How long the path of the directory is.
    path: usize,
    old: Vec<(&'t [u8], Inode<'t>)>,
    new: Vec<(&'t [u8], Inode<'t>)>,
}

impl<'t> Dir<'t> {
    /// The last names come first.
    fn of(path: usize, old: Option<Inode<'t>>, new: Option<Inode<'t>>) -> Dir<'t> {
        let names = |dir: Option<Inode<'t>>| dir.into_iter().flat_map(|dir| dir.children().rev()).collect();
        Dir { path, old: names(old), new: names(new) }
    }

    /// What is next, in the order of the names.
    fn next(&mut self) -> Option<(&'t [u8], Option<Inode<'t>>, Option<Inode<'t>>)> {
        let (old, new) = (self.old.last().map(|entry| entry.0), self.new.last().map(|entry| entry.0));
        let name = old.into_iter().chain(new).min()?;
        let take = |names: &mut Vec<(&'t [u8], Inode<'t>)>| names.pop_if(|entry| entry.0 == name).map(|entry| entry.1);
        Some((name, take(&mut self.old), take(&mut self.new)))
    }
}

impl<'t> Walk<'t, '_> {
    fn all(&mut self) -> Result<(), Uncompared> {
        let mut dirs = vec![Dir::of(0, Some(self.old.tree.root()), Some(self.new.tree.root()))];
        while let Some(dir) = dirs.last_mut() {
            self.path.truncate(dir.path);
            let Some((name, old, new)) = dir.next() else {
                dirs.pop();
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(name);
            match (old, new) {
                (Some(old), Some(new)) => self.both(old, new)?,
                (Some(old), None) => (self.each)(&self.path, Difference::Removed(old)),
                (None, Some(new)) => (self.each)(&self.path, Difference::Added(new)),
                (None, None) => {}
            }
            let is_dir = |inode: &Inode<'t>| inode.is_dir();
            let below = Dir::of(self.path.len(), old.filter(is_dir), new.filter(is_dir));
            if !below.old.is_empty() || !below.new.is_empty() {
                dirs.push(below);
            }
        }
        Ok(())
    }

    fn both(&mut self, old: Inode<'t>, new: Inode<'t>) -> Result<(), Uncompared> {
        let partners = [self.partners[0][old.ino().index()], self.partners[1][new.ino().index()]];
        let first = [self.first_name(0, old), self.first_name(1, new)];
        let mut changes = Vec::new();
        match partners {
            [None, None] => {
                self.partners[0][old.ino().index()] = Some(new.ino());
                self.partners[1][new.ino().index()] = Some(old.ino());
            }
            [Some(partner), Some(_)] if partner == new.ino() => return Ok(()),
            _ if (self.looks_at)(Field::Link) => {
                let [old, new] = first.map(|path| path.map_or_else(|| "-".to_owned(), |path| escape(&path)));
                changes.push(Change { field: Field::Link, old, new });
            }
            _ => {}
        }
        attributes(old, new, &mut |field, old, new| {
            if (self.looks_at)(field) {
                changes.push(Change { field, old, new });
            }
        });
        if let (Kind::File(one), Kind::File(other)) = (old.kind(), new.kind())
            && one.size == other.size
            && (self.looks_at)(Field::Content)
            && let Some(at) = self.content(&one, &other)?
        {
            let [old, new] = self.bytes_at(at, one.size);
            changes.push(Change { field: Field::Content, old, new });
        }
        if !changes.is_empty() {
            (self.each)(
                if self.path.is_empty() { b"/" } else { &self.path },
                Difference::Changed { old, new, changes },
            );
        }
        Ok(())
    }

    /// The first path of an inode, if this is a further one.
    fn first_name(&mut self, side: usize, inode: Inode<'_>) -> Option<Vec<u8>> {
        if inode.name_count() < 2 {
            return None;
        }
        let names = &mut self.first_names[side];
        match names.get(&inode.ino()) {
            Some(path) => Some(path.clone()),
            None => {
                names.insert(inode.ino(), self.path.clone());
                None
            }
        }
    }

    /// Where two files of one size differ first; the bytes are then in the buffers.
    fn content(&mut self, old: &FileData<'_>, new: &FileData<'_>) -> Result<Option<u64>, Uncompared> {
        let Walk { old: one, new: other, path, buffers: [left, right], .. } = self;
        let failed = |is_second| {
            let path = escape(path);
            move |source| Uncompared { path, is_second, source }
        };
        let (mut old, mut new) = (Reader::new(old, one.packs), Reader::new(new, other.packs));
        let mut at = 0;
        loop {
            let next = [old.next_content(at), new.next_content(at)].into_iter().flatten().min();
            let Some(start) = next else { return Ok(None) };
            let len = usize::try_from(old.size - start).map_or(PIECE, |rest| rest.min(PIECE));
            old.read_at(start, &mut left[..len]).map_err(failed(false))?;
            new.read_at(start, &mut right[..len]).map_err(failed(true))?;
            if left[..len] != right[..len] {
                let same = left.iter().zip(right.iter()).take_while(|(one, other)| one == other).count();
                return Ok(Some(start + same as u64));
            }
            at = start + len as u64;
        }
    }

    /// A few bytes of both files from the place where they differ.
    fn bytes_at(&self, at: u64, size: u64) -> [String; 2] {
        const SHOWN: u64 = 8;
        let [left, right] = &self.buffers;
        let same = left.iter().zip(right).take_while(|(one, other)| one == other).count();
        let count = usize::try_from((size - at).min(SHOWN)).expect("eight at most");
        [left, right].map(|buffer| {
            let bytes: String = buffer[same..].iter().take(count).map(|byte| format!("{byte:02x}")).collect();
            format!("{at}:{bytes}")
        })
    }
}

/// Compares all but names and content.
fn attributes(old: Inode<'_>, new: Inode<'_>, each: &mut dyn FnMut(Field, String, String)) {
    let mut text = |field, old: String, new: String| {
        if old != new {
            each(field, old, new);
        }
    };
    text(Field::Kind, kind(old).to_owned(), kind(new).to_owned());
    text(Field::Mode, format!("{:04o}", old.mode()), format!("{:04o}", new.mode()));
    let owner = |inode: Inode<'_>| format!("{}:{}", inode.uid(), inode.gid());
    text(Field::Owner, owner(old), owner(new));
    text(Field::Mtime, old.mtime().to_string(), new.mtime().to_string());
    text(Field::Atime, old.atime().to_string(), new.atime().to_string());
    text(Field::Ctime, old.ctime().to_string(), new.ctime().to_string());
    match (old.kind(), new.kind()) {
        (Kind::File(old), Kind::File(new)) => text(Field::Size, old.size.to_string(), new.size.to_string()),
        (Kind::Symlink(old), Kind::Symlink(new)) => text(Field::Target, escape(old), escape(new)),
        (Kind::CharDevice(old), Kind::CharDevice(new)) | (Kind::BlockDevice(old), Kind::BlockDevice(new)) => {
            let number = |device: crate::Device| format!("{}:{}", device.major, device.minor);
            text(Field::Device, number(old), number(new));
        }
        _ => {}
    }
    let value = |inode: Inode<'_>, name: &[u8]| {
        let xattr = inode.xattrs().iter().find(|xattr| &*xattr.name == name);
        xattr.map(|xattr| xattr.value.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let mut names: Vec<&[u8]> = [old, new].iter().flat_map(|inode| inode.xattrs()).map(|xattr| &*xattr.name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let shown = |value: Option<String>| match value {
            Some(value) => format!("{}={value}", escape(name)),
            None => "-".to_owned(),
        };
        text(Field::Xattr, shown(value(old, name)), shown(value(new, name)));
    }
}

fn kind(inode: Inode<'_>) -> &'static str {
    match inode.kind() {
        Kind::Directory => "dir",
        Kind::File(_) => "file",
        Kind::Symlink(_) => "link",
        Kind::CharDevice(_) => "char",
        Kind::BlockDevice(_) => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

/// Reads a file in ascending order.
struct Reader<'t> {
    size: u64,
    packs: &'t dyn Packs,
    pack: u32,
    /// Where in the pack the first of the segments starts that are still to come.
    pack_offset: u64,
    segments: &'t [Segment],
}

impl<'t> Reader<'t> {
    fn new(data: &FileData<'t>, packs: &'t dyn Packs) -> Reader<'t> {
        let pack_offset = data.pack_block * u64::from(BLOCK_SIZE);
        Reader { size: data.size, packs, pack: data.pack, pack_offset, segments: data.segments }
    }

    fn range(segment: &Segment) -> std::ops::Range<u64> {
        let block = u64::from(BLOCK_SIZE);
        let start = u64::from(segment.file_block) * block;
        start..start + u64::from(segment.blocks) * block
    }

    /// Where at or behind `at` there is content, if there is.
    fn next_content(&mut self, at: u64) -> Option<u64> {
        while let Some((first, rest)) = self.segments.split_first() {
            let range = Reader::range(first);
            if range.end > at {
                return Some(range.start.max(at)).filter(|&start| start < self.size);
            }
            self.pack_offset += range.end - range.start;
            self.segments = rest;
        }
        None
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(0);
        let end = offset + bytes.len() as u64;
        let mut pack_offset = self.pack_offset;
        for segment in self.segments {
            let range = Reader::range(segment);
            let (from, to) = (range.start.max(offset), range.end.min(end));
            if range.start >= end {
                break;
            }
            if from < to {
                let at = |position: u64| usize::try_from(position - offset).expect("within the buffer");
                let part = &mut bytes[at(from)..at(to)];
                self.packs.read_at(self.pack, pack_offset + (from - range.start), part)?;
            }
            pack_offset += range.end - range.start;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Meta, Time, Xattr};

    fn meta(mode: u16) -> Meta {
        Meta { mode, ..Meta::default() }
    }

    fn file<'s>(size: u64, pack_block: u64, segments: &'s [Segment]) -> Kind<'s> {
        Kind::File(FileData { size, pack: 0, pack_block, segments })
    }

    fn differences(old: &Tree, new: &Tree, packs: [&Vec<Vec<u8>>; 2]) -> Vec<String> {
        let mut lines = Vec::new();
        let sides = [Side { tree: old, packs: packs[0] }, Side { tree: new, packs: packs[1] }];
        compare(sides[0], sides[1], &|_| true, &mut |path, difference| {
            let path = escape(path);
            lines.push(match difference {
                Difference::Removed(_) => format!("-{path}"),
                Difference::Added(_) => format!("+{path}"),
                Difference::Changed { changes, .. } => {
                    let change = |change: &Change| format!(" {}:{}>{}", change.field.name(), change.old, change.new);
                    format!("{path}{}", changes.iter().map(change).collect::<String>())
                }
            });
        })
        .unwrap();
        lines
    }

    #[test]
    fn every_difference_is_told_once() {
        let build = |second: bool| {
            macro_rules! pick {
                ($one:expr, $other:expr) => {
                    if second { $other } else { $one }
                };
            }
            let mut builder = Builder::new(&meta(pick!(0o755, 0o700)));
            let dir = builder.add(Ino::ROOT, b"dir", Kind::Directory, &meta(0o755)).unwrap();
            builder.add(dir, pick!(&b"a"[..], b"b"), Kind::Fifo, &meta(0o600)).unwrap();
            let gone = builder.add(Ino::ROOT, pick!(&b"gone"[..], b"new"), Kind::Directory, &meta(0o755)).unwrap();
            builder.add(gone, b"in", Kind::Fifo, &meta(0)).unwrap();
            builder.add(Ino::ROOT, b"kind", pick!(Kind::Fifo, Kind::Directory), &meta(0o644)).unwrap();
            builder.add(Ino::ROOT, b"link", Kind::Symlink(pick!(&b"x"[..], b"y")), &meta(0o777)).unwrap();
            let xattr = Xattr { name: (*b"user.a").into(), value: [pick!(1, 2)][..].into() };
            let xattrs = Meta { xattrs: vec![xattr], mtime: Time::from_secs(pick!(1, 2)), ..meta(0o644) };
            builder.add(Ino::ROOT, b"meta", Kind::Socket, &xattrs).unwrap();
            let one = builder.add(Ino::ROOT, b"one", Kind::Fifo, &meta(0o644)).unwrap();
            match second {
                false => builder.link(Ino::ROOT, b"two", one).unwrap(),
                true => drop(builder.add(Ino::ROOT, b"two", Kind::Fifo, &meta(0o644)).unwrap()),
            }
            builder.finish().unwrap()
        };
        let packs = vec![Vec::new()];
        let (one, other) = (build(false), build(true));
        assert_eq!(
            differences(&one, &other, [&packs, &packs]),
            [
                "/ mode:0755>0700",
                "-/dir/a",
                "+/dir/b",
                "-/gone",
                "-/gone/in",
                "/kind kind:fifo>dir",
                "/link target:x>y",
                "/meta mtime:1.000000000>2.000000000 atime:1.000000000>2.000000000 ctime:1.000000000>2.000000000 \
                 xattr:user.a\\x3d01>user.a\\x3d02"
                    .replace("\\x3d", "=")
                    .as_str(),
                "+/new",
                "+/new/in",
                "/two link:/one>-",
            ]
        );
        assert_eq!(differences(&one, &one, [&packs, &packs]), Vec::<String>::new());
    }

    #[test]
    fn content_counts_and_not_where_it_is() {
        let tree = |pack_block, segments: &[Segment]| {
            let mut builder = Builder::new(&meta(0o755));
            builder.add(Ino::ROOT, b"f", file(3 * 4096, pack_block, segments), &meta(0o644)).unwrap();
            builder.finish().unwrap()
        };
        let hole = tree(1, &[Segment { file_block: 1, blocks: 1 }]);
        let full = tree(0, &[Segment { file_block: 0, blocks: 3 }]);
        let one = vec![[vec![9; 4096], vec![1; 4096]].concat()];
        let mut other = vec![[vec![0; 4096], vec![1; 4096], vec![0; 4096]].concat()];
        assert_eq!(differences(&hole, &full, [&one, &other]), Vec::<String>::new());
        other[0][3 * 4096 - 2] = 5;
        assert_eq!(differences(&hole, &full, [&one, &other]), ["/f content:12286:0000>12286:0500"]);
        assert_eq!(differences(&full, &hole, [&other, &one]), ["/f content:12286:0500>12286:0000"]);
        let short = vec![vec![0; 4096]];
        let sides = [Side { tree: &hole, packs: &one }, Side { tree: &full, packs: &short }];
        let error = compare(sides[0], sides[1], &|_| true, &mut |_, _| {}).unwrap_err();
        assert!(error.is_second && error.path == "/f");
    }
}
