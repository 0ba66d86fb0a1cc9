//! Directories, checked: all blocks are read one behind the other, and an index is stepped over.

use zerocopy::{FromBytes as _, IntoBytes as _};

use super::extents::Run;
use super::{Error, Filesystem, Node, NodeKind, Object};
use crate::format::directory as format;
use crate::format::inode::{EXT4_INDEX_FL, EXT4_INLINE_DATA_FL, I_BLOCK_LEN};
use crate::format::superblock::INCOMPAT_FILETYPE;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The name: 1 to 255 bytes without `/` and NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The inode's number.
    pub ino: u32,
    /// What the directory says that it is; 0 where it says nothing.
    file_type: u8,
}

impl Entry {
    /// Compares what the directory says of an inode with what it is.
    pub(super) fn check(&self, node: &Node) -> Result<(), Error> {
        let file_type = match node.kind {
            NodeKind::Directory => format::EXT4_FT_DIR,
            NodeKind::File => format::EXT4_FT_REG_FILE,
            NodeKind::Symlink => format::EXT4_FT_SYMLINK,
            NodeKind::CharDevice(_) => format::EXT4_FT_CHRDEV,
            NodeKind::BlockDevice(_) => format::EXT4_FT_BLKDEV,
            NodeKind::Fifo => format::EXT4_FT_FIFO,
            NodeKind::Socket => format::EXT4_FT_SOCK,
        };
        if self.file_type == format::EXT4_FT_UNKNOWN || self.file_type == file_type {
            return Ok(());
        }
        Err(node.object().value(
            "file_type in its directory",
            self.file_type,
            format!("{file_type}, {}", node.kind.words()),
        ))
    }
}

/// A directory: what is in it, sorted by name, and the directory that it is in.
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    pub(super) parent: u32,
}

impl Filesystem {
    /// What is in a directory, sorted by the bytes of the names.
    ///
    /// # Errors
    /// When it is none, or can't be read.
    pub fn read_dir(&self, node: &Node) -> Result<Vec<Entry>, Error> {
        Ok(self.directory(node)?.entries)
    }

    pub(super) fn directory(&self, node: &Node) -> Result<Directory, Error> {
        if node.kind != NodeKind::Directory {
            return Err(node.object().rule(format!("it is {}, expected a directory", node.kind.words())));
        }
        let mut found = Found { filesystem: self, node, entries: Vec::new(), parent: None };
        if node.has(EXT4_INLINE_DATA_FL) {
            found.inline()?;
        } else {
            let map = self.map(node)?;
            found.blocks(&map.runs)?;
        }
        let Found { mut entries, parent, .. } = found;
        let object = Object::Directory { ino: node.ino, block: 0 };
        let parent = parent.ok_or_else(|| object.rule("there is no \"..\""))?;
        entries.sort();
        match entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => {
                let name = cvbake_tree::escape_short(&pair[0].name);
                Err(node.object().rule(format!("\"{name}\" is in the directory twice")))
            }
            None => Ok(Directory { entries, parent }),
        }
    }
}

/// A name as it stands in a block, the inode's number, and what kind of file it is said to be.
type Named<'b> = (&'b [u8], u32, u8);

struct Found<'f> {
    filesystem: &'f Filesystem,
    node: &'f Node,
    entries: Vec<Entry>,
    /// Whom ".." names.
    parent: Option<u32>,
}

impl Found<'_> {
    /// The parent's number and a few entries in `i_block`, and more in an attribute.
    fn inline(&mut self) -> Result<(), Error> {
        let bytes = self.filesystem.inline_data(self.node)?;
        let object = Object::Directory { ino: self.node.ino, block: 0 };
        let Some((parent, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(self.node.object().value("i_size", self.node.size, "at least 4"));
        };
        self.parent = Some(u32::from_le_bytes(*parent));
        let (first, second) = rest.split_at(rest.len().min(I_BLOCK_LEN - 4));
        self.list(first, object)?;
        self.list(second, object)
    }

    fn blocks(&mut self, runs: &[Run]) -> Result<(), Error> {
        let Found { filesystem, node, .. } = *self;
        let size = filesystem.block_size();
        if node.size == 0 || !node.size.is_multiple_of(size) {
            return Err(node.object().value("i_size", node.size, format!("a multiple of {size}")));
        }
        let end = node.size / size;
        let mut next = 0;
        for run in runs {
            let start = u64::from(run.file_block);
            for block in start..(start + u64::from(run.blocks)).min(end) {
                let object = Object::Directory { ino: node.ino, block };
                if block != next {
                    break;
                }
                let bytes = filesystem.block(run.disk_block + (block - start), object)?;
                self.block(&bytes, object, block == 0)?;
                next += 1;
            }
        }
        if next < end {
            return Err(Object::Directory { ino: node.ino, block: next }.rule("the directory has a hole there"));
        }
        Ok(())
    }

    fn block(&mut self, bytes: &[u8], object: Object, is_first: bool) -> Result<(), Error> {
        let is_indexed = self.node.has(EXT4_INDEX_FL);
        let at = if is_indexed { index_at(bytes, is_first) } else { None };
        let mut list = bytes;
        if let Some(seed) = self.node.seed {
            if let Some(at) = at {
                check_index(bytes, at, seed, object)?;
            } else {
                let (entries, tail) = bytes.split_at(bytes.len() - size_of::<format::DirTail>());
                let raw = format::DirTail::read_from_bytes(tail).expect("as many bytes");
                if raw.det_rec_len.get() != 12 || raw.det_reserved_ft != format::EXT4_FT_DIR_CSUM {
                    return Err(object.rule("it has no checksum"));
                }
                object.check(seed.with(entries).value(), raw.det_checksum.get())?;
                list = entries;
            }
        }
        if is_first {
            list = self.dots(list, object)?;
        }
        // All that is left of a block of an index is the index.
        if at.is_some() { Ok(()) } else { self.list(list, object) }
    }

    /// "." and "..", in front of everything else.
    fn dots<'b>(&mut self, bytes: &'b [u8], object: Object) -> Result<&'b [u8], Error> {
        let (dot, rest) = self.entry(bytes, object)?;
        let Some((b".", ino)) = dot.map(|entry| (entry.0, entry.1)) else {
            return Err(object.rule("it does not begin with \".\""));
        };
        if ino != self.node.ino {
            return Err(object.value("the inode of \".\"", ino, self.node.ino.to_string()));
        }
        let (dot_dot, rest) = self.entry(rest, object)?;
        let Some((b"..", parent)) = dot_dot.map(|entry| (entry.0, entry.1)) else {
            return Err(object.rule("\"..\" does not follow \".\""));
        };
        self.parent = Some(parent);
        Ok(rest)
    }

    /// Entries up to the end.
    fn list(&mut self, mut bytes: &[u8], object: Object) -> Result<(), Error> {
        while !bytes.is_empty() {
            let (entry, rest) = self.entry(bytes, object)?;
            bytes = rest;
            let Some((name, ino, file_type)) = entry else { continue };
            if matches!(name, b"" | b"." | b"..") || name.iter().any(|&byte| byte == b'/' || byte == 0) {
                let name = cvbake_tree::escape_short(name);
                return Err(object.rule(format!("\"{name}\" is no name of a file")));
            }
            self.entries.push(Entry { name: name.to_vec(), ino, file_type });
        }
        Ok(())
    }

    /// The first entry and what is behind it; `None` for one that is not
    /// used.
    fn entry<'b>(&self, bytes: &'b [u8], object: Object) -> Result<(Option<Named<'b>>, &'b [u8]), Error> {
        let superblock = &self.filesystem.superblock;
        let Ok((raw, rest)) = format::DirEntry::read_from_prefix(bytes) else {
            return Err(object.value("the room for its last entry", bytes.len() as u64, "at least 8"));
        };
        let len = record_len(raw.rec_len.get(), superblock.info.block_size);
        let ino = raw.inode.get();
        // Without the feature, the type's byte is the upper half of the name's length.
        let (name_len, file_type) = match superblock.incompat & INCOMPAT_FILETYPE {
            0 => (usize::from(u16::from_le_bytes([raw.name_len, raw.file_type])), 0),
            _ => (usize::from(raw.name_len), raw.file_type),
        };
        let needed = if ino == 0 { 8 } else { (8 + name_len).next_multiple_of(4) };
        if len < needed || len > bytes.len() || !len.is_multiple_of(4) {
            let expected = format!("a multiple of 4, {needed} to {}", bytes.len());
            return Err(object.value("rec_len", len as u64, expected));
        }
        if ino != 0 && (name_len > 255 || ino > superblock.info.inodes) {
            let expected = format!("at most {}, of a name of at most 255 bytes", superblock.info.inodes);
            return Err(object.value("inode", ino, expected));
        }
        let entry = (ino != 0).then(|| (&rest[..name_len], ino, file_type));
        Ok((entry, &bytes[len..]))
    }
}

/// `rec_len` of blocks of 64 KiB has two bits more at its lower end.
fn record_len(raw: u16, block_size: u64) -> usize {
    let raw = usize::from(raw);
    let block = usize::try_from(block_size).expect("64 KiB at most");
    match raw {
        _ if block < 1 << 16 => raw,
        0 | 0xffff => block,
        _ => raw & !3 | (raw & 3) << 16,
    }
}

/// Where in a block of an indexed directory limit and count stand, if it is one of the index.
fn index_at(bytes: &[u8], is_first: bool) -> Option<usize> {
    let is_node = |at: usize| {
        let Ok((raw, _)) = format::DirEntry::read_from_prefix(&bytes[at..]) else { return false };
        let len = record_len(raw.rec_len.get(), bytes.len() as u64);
        at + len == bytes.len() && (is_first || raw.inode.get() == 0)
    };
    match is_first {
        true => is_node(12).then_some(format::DX_ROOT_COUNT_OFFSET),
        false => is_node(0).then_some(format::DX_NODE_COUNT_OFFSET),
    }
}

/// Compares the checksum of a block of an index.
fn check_index(bytes: &[u8], at: usize, seed: crate::format::checksum::Checksum, object: Object) -> Result<(), Error> {
    let (raw, _) = format::DxCountLimit::read_from_prefix(&bytes[at..]).expect("in the front of a block");
    let (limit, count) = (usize::from(raw.limit.get()), usize::from(raw.count.get()));
    let tail = at + limit * size_of::<format::DxEntry>();
    let stored = bytes.get(tail..).and_then(|tail| format::DxTail::read_from_prefix(tail).ok());
    let Some((raw, _)) = stored.filter(|_| count <= limit) else {
        return Err(object.value("limit", limit as u64, "entries that fit into a block"));
    };
    let used = at + count * size_of::<format::DxEntry>();
    let found = seed.with(&bytes[..used]).with(raw.dt_reserved.as_bytes()).with(&[0; 4]);
    object.check(found.value(), raw.dt_checksum.get())
}
