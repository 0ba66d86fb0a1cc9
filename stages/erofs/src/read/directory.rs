//! Directories, checked, and from a path to an inode.

use cvbake_disk::Claims;
use cvbake_tree::escape_short;
use cvbake_tree::read::{Directories, Follow, LINKS_MAX, Missed, NodeKind, lookup};
use zerocopy::FromBytes as _;

use super::{Error, Filesystem, Node, Object};
use crate::format as f;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name: 1 to 255 bytes without `/` and NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The inode's number.
    pub nid: u64,
    /// What the directory says that it is; 0 where it says nothing.
    file_type: u8,
}

impl Entry {
    /// Compares what the directory says of an inode with what it is.
    pub(super) fn check(&self, node: &Node) -> Result<(), Error> {
        let file_type = match node.kind {
            NodeKind::Directory => f::FT_DIR,
            NodeKind::File => f::FT_REG_FILE,
            NodeKind::Symlink => f::FT_SYMLINK,
            NodeKind::CharDevice(_) => f::FT_CHRDEV,
            NodeKind::BlockDevice(_) => f::FT_BLKDEV,
            NodeKind::Fifo => f::FT_FIFO,
            NodeKind::Socket => f::FT_SOCK,
        };
        if self.file_type == 0 || self.file_type == file_type {
            return Ok(());
        }
        let expected = format!("{file_type}, {}", node.kind.words());
        Err(node.object().value("file_type in its directory", self.file_type, expected))
    }
}

/// A directory: what is in it, sorted by name, and the directory that it is in.
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    pub(super) parent: u64,
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
        let content = self.content_of(node)?;
        let (mut entries, mut last) = (Vec::new(), Vec::new());
        let (mut dot, mut parent) = (None, None);
        let block_size = self.info().block_size;
        for block in 0..node.size.div_ceil(block_size) {
            let object = Object::Directory { nid: node.nid, block };
            let at = block * block_size;
            let len = block_size.min(node.size - at);
            let mut bytes = vec![0; usize::try_from(len).expect("64 KiB at most")];
            content.read_at(at, &mut bytes)?;
            for entry in list(&bytes, object)? {
                // Linux looks for names where their order says that they are. No block, and no
                // name, is there twice either.
                if !last.is_empty() && entry.name <= last {
                    let name = escape_short(&entry.name);
                    return Err(object.rule(format!("\"{name}\" is not behind \"{}\"", escape_short(&last))));
                }
                last.clone_from(&entry.name);
                match &*entry.name {
                    b"." => dot = Some(entry.nid),
                    b".." => parent = Some(entry.nid),
                    name if name.is_empty() || name.len() > 255 || name.iter().any(|byte| matches!(byte, b'/' | 0)) => {
                        return Err(object.rule(format!("\"{}\" is no name of a file", escape_short(name))));
                    }
                    _ => entries.push(entry),
                }
            }
        }
        let object = Object::Directory { nid: node.nid, block: 0 };
        if dot != Some(node.nid) {
            return Err(object.rule("its \".\" is not the directory itself"));
        }
        let parent = parent.ok_or_else(|| object.rule("there is no \"..\""))?;
        Ok(Directory { entries, parent })
    }

    /// The inode at a path; whether it starts with `/` does not matter.
    ///
    /// # Errors
    /// When there is none, or something on the way is no directory, or can't be read.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Node, Error> {
        let shown = || escape_short(path);
        lookup(self, path, follow).map_err(|missed| match missed {
            Missed::NotFound => Error::NotFound { path: shown() },
            Missed::NoDirectory(kind) => {
                Error::NotA { path: shown(), expected: "a path through directories", found: kind.words() }
            }
            Missed::Links => Error::Links { path: shown(), max: LINKS_MAX },
            Missed::Unread(error) => error.at(path),
        })
    }
}

/// The entries of a block: as many as stand in front of the first name.
fn list(bytes: &[u8], object: Object) -> Result<Vec<Entry>, Error> {
    let entry = |at: usize| {
        let raw = bytes.get(at * f::DIRENT_LEN..).and_then(|rest| f::Dirent::read_from_prefix(rest).ok());
        raw.map(|(raw, _)| raw).ok_or_else(|| object.rule("its entries are cut off"))
    };
    let first = usize::from(entry(0)?.nameoff.get());
    if first < f::DIRENT_LEN || !first.is_multiple_of(f::DIRENT_LEN) || first >= bytes.len() {
        let expected = format!("a multiple of 12, less than {}", bytes.len());
        return Err(object.value("nameoff", first as u64, expected));
    }
    let count = first / f::DIRENT_LEN;
    let mut entries = Vec::with_capacity(count);
    for at in 0..count {
        let raw = entry(at)?;
        let start = usize::from(raw.nameoff.get());
        let is_last = at + 1 == count;
        let end = if is_last { bytes.len() } else { usize::from(entry(at + 1)?.nameoff.get()) };
        let Some(mut name) = bytes.get(start..end).filter(|_| start >= first) else {
            return Err(object.value("nameoff", end as u64, format!("{start} to {}", bytes.len())));
        };
        if is_last {
            // What is left of a block is zeros.
            name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        }
        entries.push(Entry { name: name.to_vec(), nid: raw.nid.get(), file_type: raw.file_type });
    }
    Ok(entries)
}

impl Directories for Filesystem {
    type Node = Node;
    type Listing = Vec<Entry>;
    type Books = Claims;
    type Error = Error;

    fn root(&self) -> Result<Node, Error> {
        self.root()
    }

    fn kind(&self, node: &Node) -> NodeKind {
        node.kind
    }

    fn number(&self, node: &Node) -> u64 {
        node.nid
    }

    fn list(&self, dir: &Node, books: &mut Claims) -> Result<Vec<Entry>, Error> {
        self.claim(dir, books)?;
        self.read_dir(dir)
    }

    fn child(&self, entries: &Vec<Entry>, name: &[u8]) -> Result<Option<Node>, Error> {
        let Ok(found) = entries.binary_search_by(|entry| (*entry.name).cmp(name)) else { return Ok(None) };
        let node = self.node(entries[found].nid)?;
        entries[found].check(&node)?;
        Ok(Some(node))
    }

    fn target(&self, link: &Node) -> Result<Vec<u8>, Error> {
        self.target(link)
    }
}
