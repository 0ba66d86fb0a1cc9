//! From calls in any order to a canonical [`Tree`].

use crate::{Entry, FileData, Ino, InodeRecord, Kind, KindRecord, Meta, Segment, Texts, Time, Tree, XattrSets};

/// Why files do not make a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A name that no directory entry can have.
    #[error("\"{name}\" is not a file name: 1 to 255 bytes without '/' and NUL, and neither '.' nor '..'")]
    Name {
        /// The name, escaped.
        name: String,
    },
    /// Two entries of one name.
    #[error("two entries named \"{name}\" in one directory")]
    Duplicate {
        /// The name, escaped.
        name: String,
    },
    /// An entry in something that is not a directory.
    #[error("the parent of \"{name}\" is not a directory")]
    Parent {
        /// The name, escaped.
        name: String,
    },
    /// A second name for a directory.
    #[error("\"{name}\" is a hard link to a directory")]
    DirectoryLink {
        /// The name, escaped.
        name: String,
    },
    /// More than the 32-bit numbers of a tree can count.
    #[error("more than 2^32 {what} in one tree")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
}

/// Collects files for a [`Tree`].
///
/// Files that are added in canonical order (that of [`Tree::inodes`]) become a tree as they are;
/// others are copied once more, which takes as much memory again.
#[derive(Debug)]
pub struct Builder {
    inodes: Vec<InodeRecord>,
    /// In the order of the calls.
    entries: Vec<Entry>,
    names: Vec<u8>,
    /// Where among the names targets of symbolic links stand.
    targets: Texts,
    segments: Vec<Segment>,
    xattrs: XattrSets,
    extra_times: Vec<(Ino, Time, Time)>,
}

/// The longest name of a directory entry that Linux filesystems hold.
const NAME_MAX: usize = 255;

impl Builder {
    /// A tree of nothing but a root directory.
    #[must_use]
    pub fn new(root: &Meta) -> Builder {
        let mut builder = Builder {
            inodes: Vec::new(),
            entries: Vec::new(),
            names: Vec::new(),
            targets: Texts::default(),
            segments: Vec::new(),
            xattrs: XattrSets::new(),
            extra_times: Vec::new(),
        };
        let root = builder.inode(Kind::Directory, root);
        assert_eq!(root, Ok(Ino::ROOT), "the first inode has number 0");
        builder
    }

    /// Makes room for so many inodes and entries, bytes of names and runs of content: lists that
    /// grow to their size leave holes behind, which for millions of files cost more than the list.
    /// Room that is not used costs addresses only.
    pub fn reserve(&mut self, inodes: usize, entries: usize, names: usize, segments: usize) {
        self.inodes.reserve_exact(inodes);
        self.entries.reserve_exact(entries);
        self.names.reserve_exact(names);
        self.segments.reserve_exact(segments);
    }

    /// Adds an inode under its first name.
    ///
    /// # Errors
    /// When the name is none, the parent is not a directory, or there are too many.
    pub fn add(&mut self, parent: Ino, name: &[u8], kind: Kind<'_>, meta: &Meta) -> Result<Ino, BuildError> {
        self.check_entry(parent, name)?;
        let ino = self.inode(kind, meta)?;
        self.entry(parent, name, ino)?;
        Ok(ino)
    }

    /// Gives an inode one more name.
    ///
    /// # Errors
    /// As [`Builder::add`], and when the inode is a directory.
    pub fn link(&mut self, parent: Ino, name: &[u8], to: Ino) -> Result<(), BuildError> {
        self.check_entry(parent, name)?;
        if self.is_dir(to) {
            return Err(BuildError::DirectoryLink { name: crate::escape(name) });
        }
        self.entry(parent, name, to)
    }

    fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.inodes[ino.index()].kind, KindRecord::Directory { .. })
    }

    fn check_entry(&self, parent: Ino, name: &[u8]) -> Result<(), BuildError> {
        let invalid = matches!(name, b"" | b"." | b"..") || name.len() > NAME_MAX;
        if invalid || name.iter().any(|&byte| byte == b'/' || byte == 0) {
            return Err(BuildError::Name { name: crate::escape(name) });
        }
        if !self.is_dir(parent) {
            return Err(BuildError::Parent { name: crate::escape(name) });
        }
        Ok(())
    }

    fn entry(&mut self, parent: Ino, name: &[u8], child: Ino) -> Result<(), BuildError> {
        let start = count(self.names.len(), "bytes of names")?;
        self.names.extend_from_slice(name);
        count(self.names.len(), "bytes of names")?;
        let len = u16::try_from(name.len()).expect("names are checked against NAME_MAX");
        self.entries.push(Entry { parent, name: start, len, ino: child });
        self.inodes[child.index()].names += 1;
        Ok(())
    }

    fn inode(&mut self, kind: Kind<'_>, meta: &Meta) -> Result<Ino, BuildError> {
        let ino = Ino(count(self.inodes.len(), "inodes")?);
        let kind = match kind {
            Kind::Directory => KindRecord::Directory { first_entry: 0, entries: 0, parent: Ino::ROOT },
            Kind::File(FileData { size, pack, pack_block, segments }) => {
                let first_segment = count(self.segments.len(), "runs of content")?;
                self.segments.extend_from_slice(segments);
                count(self.segments.len(), "runs of content")?;
                let segments = count(segments.len(), "runs of content")?;
                let pack_block =
                    u32::try_from(pack_block).map_err(|_| BuildError::TooMany { what: "blocks of content" })?;
                KindRecord::File { size: size.into(), pack, pack_block, first_segment, segments }
            }
            Kind::Symlink(target) => {
                let place = self.targets.place(&mut self.names, target);
                let (name, len) = place.ok_or(BuildError::TooMany { what: "bytes of link targets" })?;
                KindRecord::Symlink { name, len }
            }
            Kind::CharDevice(device) => KindRecord::CharDevice(device),
            Kind::BlockDevice(device) => KindRecord::BlockDevice(device),
            Kind::Fifo => KindRecord::Fifo,
            Kind::Socket => KindRecord::Socket,
        };
        let xattrs = self.xattrs.number(meta.xattrs.clone());
        let xattrs = xattrs.ok_or(BuildError::TooMany { what: "sets of extended attributes" })?;
        if meta.atime.is_some() || meta.ctime.is_some() {
            let (atime, ctime) = (meta.atime.unwrap_or(meta.mtime), meta.ctime.unwrap_or(meta.mtime));
            if (atime, ctime) != (meta.mtime, meta.mtime) {
                self.extra_times.push((ino, atime, ctime));
            }
        }
        let &Meta { mode, uid, gid, mtime, .. } = meta;
        let (mtime_secs, mtime_nanos) = (mtime.secs.cast_unsigned().into(), mtime.nanos);
        let mode = mode & 0o7777;
        self.inodes.push(InodeRecord { kind, mode, uid, gid, mtime_secs, mtime_nanos, xattrs, names: 0 });
        Ok(ino)
    }

    /// Sorts and numbers everything.
    ///
    /// # Errors
    /// When two entries of a directory have the same name.
    pub fn finish(mut self) -> Result<Tree, BuildError> {
        if !self.is_canonical() {
            self = self.in_canonical_order()?;
        }
        let Builder { mut inodes, entries, names, segments, xattrs, mut extra_times, .. } = self;
        for (at, entry) in entries.iter().enumerate() {
            if let KindRecord::Directory { first_entry, entries, .. } = &mut inodes[entry.parent.index()].kind {
                if *entries == 0 {
                    *first_entry = position(at);
                }
                *entries += 1;
            }
            if let KindRecord::Directory { parent, .. } = &mut inodes[entry.ino.index()].kind {
                *parent = entry.parent;
            }
        }
        extra_times.sort_unstable_by_key(|times| times.0);
        Ok(Tree { inodes, entries, names, segments, xattrs: xattrs.into_sets(), extra_times })
    }

    fn name(&self, entry: &Entry) -> &[u8] {
        &self.names[entry.name as usize..entry.name as usize + usize::from(entry.len)]
    }

    /// Whether the calls came in canonical order.
    fn is_canonical(&self) -> bool {
        let mut entries = self.entries.iter().peekable();
        let mut inodes = 1;
        let mut directories = vec![Ino::ROOT];
        while let Some(directory) = directories.pop() {
            let waiting = directories.len();
            let mut last: Option<&Entry> = None;
            while let Some(entry) = entries.next_if(|entry| entry.parent == directory) {
                if last.is_some_and(|last| self.name(last) >= self.name(entry)) || entry.ino.index() > inodes {
                    return false;
                }
                inodes = inodes.max(entry.ino.index() + 1);
                if self.is_dir(entry.ino) {
                    directories.push(entry.ino);
                }
                last = Some(entry);
            }
            directories[waiting..].reverse();
        }
        entries.next().is_none()
    }

    /// The same files once more, with the calls in canonical order.
    fn in_canonical_order(mut self) -> Result<Builder, BuildError> {
        let mut entries = std::mem::take(&mut self.entries);
        let by_name = |a: &Entry, b: &Entry| (a.parent, self.name(a)).cmp(&(b.parent, self.name(b)));
        entries.sort_unstable_by(by_name);
        if let Some(pair) = entries.windows(2).find(|pair| by_name(&pair[0], &pair[1]).is_eq()) {
            return Err(BuildError::Duplicate { name: crate::escape(self.name(&pair[0])) });
        }
        self.extra_times.sort_unstable_by_key(|times| times.0);
        let mut copy = Builder::new(&self.meta(Ino::ROOT));
        let mut copies: Vec<Option<Ino>> = vec![None; self.inodes.len()];
        let mut directories = vec![(Ino::ROOT, Ino::ROOT)];
        while let Some((old, new)) = directories.pop() {
            let waiting = directories.len();
            let start = entries.partition_point(|entry| entry.parent < old);
            for entry in entries[start..].iter().take_while(|entry| entry.parent == old) {
                let name = self.name(entry);
                if let Some(known) = copies[entry.ino.index()] {
                    copy.link(new, name, known)?;
                    continue;
                }
                let ino = copy.add(new, name, self.kind(entry.ino), &self.meta(entry.ino))?;
                copies[entry.ino.index()] = Some(ino);
                if self.is_dir(entry.ino) {
                    directories.push((entry.ino, ino));
                }
            }
            directories[waiting..].reverse();
        }
        Ok(copy)
    }

    fn kind(&self, ino: Ino) -> Kind<'_> {
        match self.inodes[ino.index()].kind {
            KindRecord::Directory { .. } => Kind::Directory,
            KindRecord::File { size, pack, pack_block, first_segment, segments } => {
                let first = first_segment as usize;
                let segments = &self.segments[first..first + segments as usize];
                Kind::File(FileData { size: size.into(), pack, pack_block: pack_block.into(), segments })
            }
            KindRecord::Symlink { name, len } => {
                Kind::Symlink(&self.names[name as usize..name as usize + usize::from(len)])
            }
            KindRecord::CharDevice(device) => Kind::CharDevice(device),
            KindRecord::BlockDevice(device) => Kind::BlockDevice(device),
            KindRecord::Fifo => Kind::Fifo,
            KindRecord::Socket => Kind::Socket,
        }
    }

    /// Needs the extra times sorted.
    fn meta(&self, ino: Ino) -> Meta {
        let &InodeRecord { mode, uid, gid, mtime_secs, mtime_nanos, xattrs, .. } = &self.inodes[ino.index()];
        let times = self.extra_times.binary_search_by_key(&ino, |times| times.0).map(|at| self.extra_times[at]);
        Meta {
            mode,
            uid,
            gid,
            mtime: Time { secs: u64::from(mtime_secs).cast_signed(), nanos: mtime_nanos },
            atime: times.ok().map(|times| times.1),
            ctime: times.ok().map(|times| times.2),
            xattrs: self.xattrs.get(xattrs).to_vec(),
        }
    }
}

fn count(number: usize, what: &'static str) -> Result<u32, BuildError> {
    match u32::try_from(number) {
        Ok(number) if number < u32::MAX => Ok(number),
        _ => Err(BuildError::TooMany { what }),
    }
}

/// A position that the builder has already counted.
fn position(number: usize) -> u32 {
    u32::try_from(number).expect("the builder counted it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Xattr;

    fn meta(mode: u16) -> Meta {
        Meta { mode, ..Meta::default() }
    }

    #[test]
    fn order_of_calls_does_not_matter() {
        let xattr = Xattr { name: (*b"user.a").into(), value: (*b"1").into() };
        let with_xattr = Meta { xattrs: vec![xattr], atime: Some(Time::from_secs(9)), ..meta(0o600) };
        let segments = [Segment { file_block: 3, blocks: 1 }];
        let file = Kind::File(FileData { size: 16384, pack: 0, pack_block: 7, segments: &segments });

        let mut one = Builder::new(&meta(0o755));
        let b = one.add(Ino::ROOT, b"b", Kind::Directory, &meta(0o700)).unwrap();
        let f = one.add(b, b"f", file, &with_xattr).unwrap();
        one.add(Ino::ROOT, b"s", Kind::Symlink(b"b/f"), &meta(0o777)).unwrap();
        one.link(Ino::ROOT, b"a", f).unwrap();

        let mut two = Builder::new(&meta(0o755));
        two.add(Ino::ROOT, b"s", Kind::Symlink(b"b/f"), &meta(0o777)).unwrap();
        let f = two.add(Ino::ROOT, b"a", file, &with_xattr).unwrap();
        let b = two.add(Ino::ROOT, b"b", Kind::Directory, &meta(0o700)).unwrap();
        two.link(b, b"f", f).unwrap();

        let (one, two) = (one.finish().unwrap(), two.finish().unwrap());
        assert_eq!(one, two);
        let names: Vec<_> = one.root().children().map(|(name, inode)| (name.to_vec(), inode.ino().index())).collect();
        assert_eq!(names, [(b"a".to_vec(), 1), (b"b".to_vec(), 2), (b"s".to_vec(), 3)]);
        assert_eq!(one.lookup(b"b/f").unwrap().ino().index(), 1);
        assert_eq!(one.inodes().map(|inode| inode.is_dir()).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!(one.lookup(b"/b/f").unwrap().name_count(), 2);
        assert_eq!(one.lookup(b"a").unwrap().atime(), Time::from_secs(9));
        assert_eq!(one.lookup(b"b").unwrap().parent().unwrap().ino(), Ino::ROOT);
    }

    #[test]
    fn impossible_entries_are_refused() {
        let mut builder = Builder::new(&meta(0o755));
        let file = builder.add(Ino::ROOT, b"file", Kind::Fifo, &meta(0)).unwrap();
        let dir = builder.add(Ino::ROOT, b"dir", Kind::Directory, &meta(0)).unwrap();
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
            let error = builder.add(Ino::ROOT, name, Kind::Fifo, &meta(0)).unwrap_err();
            assert_eq!(error, BuildError::Name { name: crate::escape(name) });
        }
        assert!(matches!(builder.add(file, b"x", Kind::Fifo, &meta(0)), Err(BuildError::Parent { .. })));
        assert!(matches!(builder.link(Ino::ROOT, b"x", dir), Err(BuildError::DirectoryLink { .. })));
        builder.link(Ino::ROOT, b"dir", file).unwrap();
        assert!(matches!(builder.finish(), Err(BuildError::Duplicate { .. })));
    }

    #[test]
    fn depth_is_not_recursion() {
        let mut builder = Builder::new(&meta(0o755));
        let mut dir = Ino::ROOT;
        for _ in 0..200_000 {
            dir = builder.add(dir, b"d", Kind::Directory, &meta(0o755)).unwrap();
        }
        assert_eq!(builder.finish().unwrap().inode_count(), 200_001);
    }
}
