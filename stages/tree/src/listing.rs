//! A tree as text, one line per inode.
//!
//! ```text
//! / dir 0755 0:0 mtime=0.000000000
//! /bin dir 0755 0:0 mtime=1700000000.000000000
//! /bin/busybox file 4755 0:0 mtime=1700000000.123456789 size=12 sha256=e3b0… link:/bin/sh xattr:security.capability=0100…
//! /dev/null char 0666 0:0 mtime=0.000000000 device=1:3
//! /lib link 0777 0:0 mtime=0.000000000 target=usr/lib
//! ```
//!
//! Lines stand in the order of the inodes' first paths, depth first. The fields are separated by
//! one space; `atime=` and `ctime=` appear only where they differ from `mtime`; further names of a
//! hard-linked inode follow as `link:`, in order. In paths, targets and names of extended
//! attributes every byte that is not printable ASCII, and space, `\` and `=`, is written `\xNN`;
//! values of extended attributes are hexadecimal.

use std::fmt::Write as _;
use std::io;

use crate::{Ino, Inode, Kind, Time, Tree};

impl Tree {
    /// Writes the tree as text, one line per inode (the format is described at the top of this
    /// module's source).
    ///
    /// `hash` gives the hexadecimal SHA-256 of a regular file's content, or `None` to leave it out.
    ///
    /// # Errors
    /// What `hash` or `out` returns.
    pub fn listing(
        &self,
        hash: &mut dyn FnMut(Inode<'_>) -> io::Result<Option<String>>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let names = Names::collect(self);
        for inode in names.order.iter().map(|&ino| self.inode(ino)) {
            let mut line = names.paths(inode).next().map_or_else(|| "/".to_owned(), |path| escape(&path));
            describe(&mut line, inode, hash)?;
            for path in names.paths(inode).skip(1) {
                write!(line, " link:{}", escape(&path)).expect("a string takes everything");
            }
            inode.put_xattrs(&mut line);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

impl Inode<'_> {
    /// The inode's line of a listing, under a path, without its further names and the digest of its
    /// content.
    #[must_use]
    pub fn line(&self, path: &[u8]) -> String {
        let mut line = escape(path);
        describe(&mut line, *self, &mut |_| Ok(None)).expect("nothing is read");
        self.put_xattrs(&mut line);
        line
    }

    fn put_xattrs(&self, line: &mut String) {
        for xattr in self.xattrs() {
            write!(line, " xattr:{}=", escape(&xattr.name)).expect("a string takes everything");
            for byte in xattr.value.iter() {
                write!(line, "{byte:02x}").expect("a string takes everything");
            }
        }
    }
}

fn describe(
    line: &mut String,
    inode: Inode<'_>,
    hash: &mut dyn FnMut(Inode<'_>) -> io::Result<Option<String>>,
) -> io::Result<()> {
    let kind = match inode.kind() {
        Kind::Directory => "dir",
        Kind::File(_) => "file",
        Kind::Symlink(_) => "link",
        Kind::CharDevice(_) => "char",
        Kind::BlockDevice(_) => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    };
    let mut put = |text: std::fmt::Arguments<'_>| line.write_fmt(text).expect("a string takes everything");
    put(format_args!(" {kind} {:04o} {}:{} mtime={}", inode.mode(), inode.uid(), inode.gid(), inode.mtime()));
    if inode.atime() != inode.mtime() {
        put(format_args!(" atime={}", inode.atime()));
    }
    if inode.ctime() != inode.mtime() {
        put(format_args!(" ctime={}", inode.ctime()));
    }
    match inode.kind() {
        Kind::File(data) => {
            put(format_args!(" size={}", data.size));
            if let Some(hash) = hash(inode)? {
                put(format_args!(" sha256={hash}"));
            }
        }
        Kind::Symlink(target) => put(format_args!(" target={}", escape(target))),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            put(format_args!(" device={}:{}", device.major, device.minor));
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    Ok(())
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.secs, self.nanos)
    }
}

/// A text for bytes that need not be text: printable ASCII but space, `\` and `=` as it is, all
/// else as `\xNN`.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' | b'=' | ..=b' ' | 0x7f.. => write!(text, "\\x{byte:02x}").expect("a string takes everything"),
            _ => text.push(char::from(byte)),
        }
    }
    text
}

/// As [`escape`], for a message to a person: what is very long is cut, and ends with `…`.
#[must_use]
pub fn escape_short(bytes: &[u8]) -> String {
    const SHOWN: usize = 512;
    match bytes.get(..SHOWN) {
        Some(start) if bytes.len() > SHOWN => escape(start) + "…",
        _ => escape(bytes),
    }
}

/// The bytes that [`escape`] wrote; `None` for a text it can't have written.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let [b'x', high, low, tail @ ..] = tail else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = tail;
    }
    Some(bytes)
}

/// All names of all inodes, to print paths from.
struct Names<'t> {
    tree: &'t Tree,
    /// The inodes in depth-first order of their first paths.
    order: Vec<Ino>,
    /// (inode, its directory, name), sorted by inode; within one inode in depth-first order of the
    /// paths.
    names: Vec<(u32, u32, &'t [u8])>,
}

impl<'t> Names<'t> {
    fn collect(tree: &'t Tree) -> Names<'t> {
        let mut names = Vec::with_capacity(tree.entry_count());
        let mut order = vec![Ino::ROOT];
        let mut seen = vec![false; tree.inode_count()];
        let mut stack = vec![tree.root().children()];
        let mut dirs = vec![0];
        while let (Some(children), Some(&dir)) = (stack.last_mut(), dirs.last()) {
            if let Some((name, inode)) = children.next() {
                names.push((inode.ino().0, dir, name));
                if !std::mem::replace(&mut seen[inode.ino().index()], true) {
                    order.push(inode.ino());
                }
                if inode.is_dir() {
                    stack.push(inode.children());
                    dirs.push(inode.ino().0);
                }
            } else {
                stack.pop();
                dirs.pop();
            }
        }
        names.sort_by_key(|name| name.0);
        Names { tree, order, names }
    }

    fn paths(&self, inode: Inode<'t>) -> impl Iterator<Item = Vec<u8>> {
        let start = self.names.partition_point(|name| name.0 < inode.ino().0);
        self.names[start..].iter().take_while(move |name| name.0 == inode.ino().0).map(|name| self.path(name))
    }

    fn path(&self, &(_, mut dir, name): &(u32, u32, &'t [u8])) -> Vec<u8> {
        let mut parts = vec![name];
        while dir != 0 {
            // A directory has exactly one name, and the table is sorted by inode.
            let (_, parent, name) = self.names[self.names.partition_point(|name| name.0 < dir)];
            debug_assert!(self.tree.inodes[dir as usize].names == 1, "a directory has one name");
            parts.push(name);
            dir = parent;
        }
        let mut path = Vec::new();
        for part in parts.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(part);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Device, FileData, Meta, Segment, Xattr};

    #[test]
    fn a_line_per_inode() {
        let meta = Meta { mode: 0o755, mtime: Time { secs: -1, nanos: 5 }, ..Meta::default() };
        let mut builder = Builder::new(&meta);
        let dir = builder.add(Ino::ROOT, b"a dir", Kind::Directory, &meta).unwrap();
        let segments = [Segment { file_block: 1, blocks: 1 }];
        let data = Kind::File(FileData { size: 5000, pack: 0, pack_block: 0, segments: &segments });
        let xattr = Xattr { name: (*b"user.x=y").into(), value: (*b"\x00\xff").into() };
        let file = Meta { xattrs: vec![xattr], uid: 1, gid: 2, ctime: Some(Time::from_secs(3)), ..meta.clone() };
        let file = builder.add(dir, b"f", data, &file).unwrap();
        builder.link(Ino::ROOT, b"z", file).unwrap();
        builder.add(Ino::ROOT, b"l", Kind::Symlink(b"a dir/f"), &meta).unwrap();
        builder.add(Ino::ROOT, b"n", Kind::CharDevice(Device { major: 1, minor: 3 }), &meta).unwrap();
        let mut text = Vec::new();
        let tree = builder.finish().unwrap();
        tree.listing(&mut |_| Ok(Some("00".to_owned())), &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "/ dir 0755 0:0 mtime=-1.000000005\n\
             /a\\x20dir dir 0755 0:0 mtime=-1.000000005\n\
             /a\\x20dir/f file 0755 1:2 mtime=-1.000000005 ctime=3.000000000 size=5000 sha256=00 link:/z xattr:user.x\\x3dy=00ff\n\
             /l link 0755 0:0 mtime=-1.000000005 target=a\\x20dir/f\n\
             /n char 0755 0:0 mtime=-1.000000005 device=1:3\n"
        );
    }

    #[test]
    fn content_has_holes() {
        let segments = [Segment { file_block: 1, blocks: 1 }, Segment { file_block: 3, blocks: 1 }];
        let data = FileData { size: 4096 * 3 + 2, pack: 0, pack_block: 1, segments: &segments };
        let packs = vec![[vec![9; 4096], vec![1; 4096], vec![2; 4096]].concat()];
        let mut read = Vec::new();
        data.read(&packs, &mut |bytes| {
            read.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        assert_eq!(read, [vec![0; 4096], vec![1; 4096], vec![0; 4096], vec![2; 2]].concat());
    }

    #[test]
    fn escapes_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&all)).unwrap(), all);
        assert_eq!(unescape("\\x4"), None);
        assert_eq!(escape_short(&all), escape(&all));
        assert_eq!(escape_short(&[b'a'; 1 << 20]), "a".repeat(512) + "…");
    }
}
