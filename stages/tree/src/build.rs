//! From calls in any order to a canonical [`Tree`].

use std::collections::HashMap;

use crate::{Entry, FileData, Ino, InodeRecord, Kind, KindRecord, Meta, Segment, Time, Tree, Xattr};

/// Why files do not make a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A name that no directory entry can have.
    #[error("{name:?} is not a file name: 1 to 255 bytes without '/' and NUL, and neither '.' nor '..'")]
    Name {
        /// The name, escaped.
        name: String,
    },
    /// Two entries of one name.
    #[error("two entries named {name:?} in one directory")]
    Duplicate {
        /// The name, escaped.
        name: String,
    },
    /// An entry in something that is not a directory.
    #[error("the parent of {name:?} is not a directory")]
    Parent {
        /// The name, escaped.
        name: String,
    },
    /// A second name for a directory.
    #[error("{name:?} is a hard link to a directory")]
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
#[derive(Debug)]
pub struct Builder {
    inodes: Vec<InodeRecord>,
    entries: Vec<Named>,
    names: Vec<u8>,
    segments: Vec<Segment>,
    xattrs: Vec<Vec<Xattr>>,
    xattr_numbers: HashMap<Vec<Xattr>, u32>,
    extra_times: Vec<(Ino, Time, Time)>,
}

#[derive(Debug)]
struct Named {
    parent: u32,
    name: u32,
    len: u16,
    child: u32,
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
            segments: Vec::new(),
            xattrs: vec![Vec::new()],
            xattr_numbers: HashMap::from([(Vec::new(), 0)]),
            extra_times: Vec::new(),
        };
        let root = builder.inode(Kind::Directory, root);
        assert_eq!(root, Ok(Ino::ROOT), "the first inode has number 0");
        builder
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
        let (name, len) = self.text(name)?;
        self.entries.push(Named { parent: parent.0, name, len, child: child.0 });
        self.inodes[child.index()].names += 1;
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<(u32, u16), BuildError> {
        let start = count(self.names.len(), "bytes of names")?;
        self.names.extend_from_slice(text);
        count(self.names.len(), "bytes of names")?;
        Ok((start, u16::try_from(text.len()).map_err(|_| BuildError::TooMany { what: "bytes in a link target" })?))
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
                KindRecord::File { size, pack, pack_block, first_segment, segments }
            }
            Kind::Symlink(target) => {
                let (name, len) = self.text(target)?;
                KindRecord::Symlink { name, len }
            }
            Kind::CharDevice(device) => KindRecord::CharDevice(device),
            Kind::BlockDevice(device) => KindRecord::BlockDevice(device),
            Kind::Fifo => KindRecord::Fifo,
            Kind::Socket => KindRecord::Socket,
        };
        let xattrs = self.xattr_set(&meta.xattrs)?;
        if meta.atime.is_some() || meta.ctime.is_some() {
            let (atime, ctime) = (meta.atime.unwrap_or(meta.mtime), meta.ctime.unwrap_or(meta.mtime));
            if (atime, ctime) != (meta.mtime, meta.mtime) {
                self.extra_times.push((ino, atime, ctime));
            }
        }
        let &Meta { mode, uid, gid, mtime, .. } = meta;
        self.inodes.push(InodeRecord { kind, mode: mode & 0o7777, uid, gid, mtime, xattrs, names: 0 });
        Ok(ino)
    }

    fn xattr_set(&mut self, xattrs: &[Xattr]) -> Result<u32, BuildError> {
        if xattrs.is_empty() {
            return Ok(0);
        }
        let mut set = xattrs.to_vec();
        set.sort();
        if let Some(&number) = self.xattr_numbers.get(&set) {
            return Ok(number);
        }
        let number = count(self.xattrs.len(), "sets of extended attributes")?;
        self.xattrs.push(set.clone());
        self.xattr_numbers.insert(set, number);
        Ok(number)
    }

    /// Sorts and numbers everything.
    ///
    /// # Errors
    /// When two entries of a directory have the same name.
    pub fn finish(mut self) -> Result<Tree, BuildError> {
        drop(std::mem::take(&mut self.xattr_numbers));
        let names = &self.names;
        let name = |entry: &Named| &names[entry.name as usize..entry.name as usize + usize::from(entry.len)];
        self.entries.sort_unstable_by(|a, b| a.parent.cmp(&b.parent).then_with(|| name(a).cmp(name(b))));
        if let Some(pair) = self.entries.windows(2).find(|p| p[0].parent == p[1].parent && name(&p[0]) == name(&p[1])) {
            return Err(BuildError::Duplicate { name: crate::escape(name(&pair[0])) });
        }
        let mut first_entry = vec![0u32; self.inodes.len() + 1];
        for entry in &self.entries {
            first_entry[entry.parent as usize + 1] += 1;
        }
        for at in 1..first_entry.len() {
            first_entry[at] += first_entry[at - 1];
        }
        Ok(Canonical::new(self, first_entry).run())
    }
}

/// Copies a builder's content in canonical order.
struct Canonical {
    from: Builder,
    /// Where the sorted entries of each old inode start.
    first_entry: Vec<u32>,
    /// New numbers by old ones.
    numbers: Vec<u32>,
    /// New numbers of extended attribute sets by old ones.
    xattr_numbers: Vec<u32>,
    to: Tree,
}

const UNNUMBERED: u32 = u32::MAX;

impl Canonical {
    fn new(mut from: Builder, first_entry: Vec<u32>) -> Canonical {
        from.extra_times.sort_unstable_by_key(|times| times.0);
        let mut xattr_numbers = vec![UNNUMBERED; from.xattrs.len()];
        xattr_numbers[0] = 0;
        let to = Tree {
            inodes: Vec::with_capacity(from.inodes.len()),
            entries: Vec::with_capacity(from.entries.len()),
            names: Vec::with_capacity(from.names.len()),
            segments: Vec::with_capacity(from.segments.len()),
            xattrs: vec![Vec::new()],
            extra_times: Vec::with_capacity(from.extra_times.len()),
        };
        Canonical { numbers: vec![UNNUMBERED; from.inodes.len()], from, first_entry, xattr_numbers, to }
    }

    fn run(mut self) -> Tree {
        // A stack of (old inode, new parent), topmost next: its own stack, because an image chooses the depth.
        let mut stack = vec![(0u32, Ino::ROOT)];
        while let Some((old, parent)) = stack.pop() {
            if self.numbers[old as usize] != UNNUMBERED {
                continue;
            }
            let new = Ino::from_index(self.to.inodes.len());
            self.numbers[old as usize] = new.0;
            let range = self.first_entry[old as usize] as usize..self.first_entry[old as usize + 1] as usize;
            self.copy_inode(old, parent, range.len());
            for at in range.clone() {
                let Named { name, len, child, .. } = self.from.entries[at];
                let (name, len) = self.copy_text(name, len);
                self.to.entries.push(Entry { name, len, ino: Ino(child) });
            }
            stack.extend(range.rev().map(|at| (self.from.entries[at].child, new)));
        }
        for entry in &mut self.to.entries {
            entry.ino = Ino(self.numbers[entry.ino.index()]);
        }
        self.to.extra_times.sort_unstable_by_key(|times| times.0);
        self.to
    }

    fn copy_text(&mut self, start: u32, len: u16) -> (u32, u16) {
        let new = position(self.to.names.len());
        let start = start as usize;
        self.to.names.extend_from_slice(&self.from.names[start..start + usize::from(len)]);
        (new, len)
    }

    fn copy_inode(&mut self, old: u32, new_parent: Ino, children: usize) {
        let new = Ino::from_index(self.to.inodes.len());
        let mut record = self.from.inodes[old as usize].clone();
        match &mut record.kind {
            KindRecord::Directory { first_entry, entries, parent } => {
                *first_entry = position(self.to.entries.len());
                *entries = position(children);
                *parent = new_parent;
            }
            KindRecord::File { first_segment, segments, .. } => {
                let first = *first_segment as usize;
                *first_segment = position(self.to.segments.len());
                self.to.segments.extend_from_slice(&self.from.segments[first..first + *segments as usize]);
            }
            KindRecord::Symlink { name, len } => (*name, *len) = self.copy_text(*name, *len),
            KindRecord::CharDevice(_) | KindRecord::BlockDevice(_) | KindRecord::Fifo | KindRecord::Socket => {}
        }
        let number = &mut self.xattr_numbers[record.xattrs as usize];
        if *number == UNNUMBERED {
            *number = position(self.to.xattrs.len());
            self.to.xattrs.push(std::mem::take(&mut self.from.xattrs[record.xattrs as usize]));
        }
        record.xattrs = *number;
        if let Ok(at) = self.from.extra_times.binary_search_by_key(&Ino(old), |times| times.0) {
            let (_, atime, ctime) = self.from.extra_times[at];
            self.to.extra_times.push((new, atime, ctime));
        }
        self.to.inodes.push(record);
    }
}

fn count(number: usize, what: &'static str) -> Result<u32, BuildError> {
    match u32::try_from(number) {
        Ok(number) if number < UNNUMBERED => Ok(number),
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
