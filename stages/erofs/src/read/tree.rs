//! All names and attributes of a filesystem at once.

use std::collections::HashMap;
use std::sync::Arc;

use cvbake_disk::Claims;
use cvbake_tree::read::{NodeKind, Packed, segments};
use cvbake_tree::{Builder, FileData, Ino, Kind, Meta, Segment};

use super::{Entry, Error, Files, Filesystem, Node, Object};
use crate::format as f;

/// How many bytes of extended attributes inodes may have for each byte of the filesystem: an inode
/// with one that it shares takes 48 bytes, and no label is longer than 64 times that.
const ATTRIBUTES_PER_BYTE: u64 = 64;

impl Filesystem {
    /// Reads all names and attributes, and where the content of every file is.
    ///
    /// # Errors
    /// At the first thing that is not as it must be. A directory with two names is an error, and so
    /// is a place that two inodes have, but for chunks of files.
    pub fn tree(self: &Arc<Filesystem>) -> Result<Files, Error> {
        let at_root = |error: Error| error.at(b"/");
        let root = self.root().map_err(at_root)?;
        let meta = self.meta(&root).map_err(at_root)?;
        let mut walk = Walk {
            filesystem: self,
            builder: Builder::new(&meta),
            known: HashMap::from([(root.nid, Known { ino: Ino::ROOT, is_dir: true, names: 1, links: 1 })]),
            claims: Claims::default(),
            packed: Packed::default(),
            segments: Vec::new(),
            attributes: 0,
            dirs: vec![Dir { nid: root.nid, ino: Ino::ROOT, parent: 0, name: Vec::new() }],
        };
        let superblock = f::EROFS_SUPER_OFFSET as u64;
        let superblock = superblock..superblock + size_of::<f::SuperBlock>() as u64;
        walk.claims.take(superblock).expect("nothing is taken yet");
        walk.claim(&root).map_err(at_root)?;
        walk.all()?;
        walk.check_links()?;
        let Walk { builder, packed, .. } = walk;
        let tree = builder.finish().map_err(|source| Error::Tree { source })?;
        Ok(Files::new(self.clone(), tree, packed))
    }

    /// The attributes of an inode, as a tree has them.
    ///
    /// # Errors
    /// When the extended attributes can't be read.
    pub fn meta(&self, node: &Node) -> Result<Meta, Error> {
        Ok(Meta {
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            mtime: node.mtime,
            atime: None,
            ctime: None,
            xattrs: self.xattrs(node)?,
        })
    }
}

/// An inode that was met.
struct Known {
    ino: Ino,
    is_dir: bool,
    /// How many names there are, and how many the inode says that there are.
    names: u32,
    links: u32,
}

/// A directory, to tell its path.
struct Dir {
    nid: u64,
    ino: Ino,
    /// The position of the one that it is in.
    parent: usize,
    name: Vec<u8>,
}

struct Walk<'f> {
    filesystem: &'f Filesystem,
    builder: Builder,
    known: HashMap<u64, Known>,
    /// In bytes.
    claims: Claims,
    packed: Packed,
    /// Of the file at hand.
    segments: Vec<Segment>,
    /// The bytes of all extended attributes so far.
    attributes: u64,
    dirs: Vec<Dir>,
}

impl Walk<'_> {
    /// Directory by directory in the tree's order, so that the tree needs no second copy.
    fn all(&mut self) -> Result<(), Error> {
        let mut waiting = vec![0];
        while let Some(dir) = waiting.pop() {
            let before = waiting.len();
            let entries = self.entries(dir).map_err(|error| error.at(&self.path(dir, None)))?;
            for entry in entries {
                let is_dir = self.add(dir, &entry).map_err(|error| error.at(&self.path(dir, Some(&entry.name))))?;
                if let Some(ino) = is_dir {
                    waiting.push(self.dirs.len());
                    self.dirs.push(Dir { nid: entry.nid, ino, parent: dir, name: entry.name });
                }
            }
            waiting[before..].reverse();
        }
        Ok(())
    }

    /// Compares how many names each file has with what its inode says. Of directories that is how
    /// many are in it, which nothing needs.
    fn check_links(&self) -> Result<(), Error> {
        let wrong = |(_, known): &(&u64, &Known)| !known.is_dir && known.names != known.links;
        // The first by its number: a table has no order.
        match self.known.iter().filter(wrong).min_by_key(|(nid, _)| **nid) {
            Some((&nid, known)) => {
                let expected = format!("{}, as many as it has names", known.names);
                Err(Object::Inode(nid).value("i_nlink", known.links, expected))
            }
            None => Ok(()),
        }
    }

    fn entries(&self, dir: usize) -> Result<Vec<Entry>, Error> {
        let Dir { nid, parent, .. } = self.dirs[dir];
        let directory = self.filesystem.directory(&self.filesystem.node(nid)?)?;
        let expected = self.dirs[parent].nid;
        if directory.parent != expected {
            let object = Object::Directory { nid, block: 0 };
            return Err(object.value("the inode of \"..\"", directory.parent, expected.to_string()));
        }
        Ok(directory.entries)
    }

    /// Adds what an entry names; gives the number of a directory.
    fn add(&mut self, dir: usize, entry: &Entry) -> Result<Option<Ino>, Error> {
        let parent = self.dirs[dir].ino;
        if let Some(known) = self.known.get_mut(&entry.nid) {
            if known.is_dir {
                return Err(Object::Inode(entry.nid).rule("the directory has a second name"));
            }
            known.names += 1;
            let ino = known.ino;
            self.builder.link(parent, &entry.name, ino).map_err(|source| Error::Tree { source })?;
            return Ok(None);
        }
        let filesystem = self.filesystem;
        let node = filesystem.node(entry.nid)?;
        entry.check(&node)?;
        self.claim(&node)?;
        let meta = filesystem.meta(&node)?;
        self.count(&node, &meta)?;
        let target;
        let kind = match node.kind {
            NodeKind::Directory => Kind::Directory,
            NodeKind::File => {
                let data = self.file(&node)?;
                Kind::File(FileData { segments: &self.segments, ..data })
            }
            NodeKind::Symlink => {
                target = filesystem.target(&node)?;
                Kind::Symlink(&target)
            }
            NodeKind::CharDevice(device) => Kind::CharDevice(device),
            NodeKind::BlockDevice(device) => Kind::BlockDevice(device),
            NodeKind::Fifo => Kind::Fifo,
            NodeKind::Socket => Kind::Socket,
        };
        let added = self.builder.add(parent, &entry.name, kind, &meta).map_err(|source| Error::Tree { source })?;
        let is_dir = node.kind == NodeKind::Directory;
        self.known.insert(entry.nid, Known { ino: added, is_dir, names: 1, links: node.links });
        Ok(is_dir.then_some(added))
    }

    fn claim(&mut self, node: &Node) -> Result<(), Error> {
        self.filesystem.claim(node, &mut self.claims)
    }

    fn count(&mut self, node: &Node, meta: &Meta) -> Result<(), Error> {
        let bytes: usize = meta.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        self.attributes += bytes as u64;
        let max = self.filesystem.info().len_bytes().saturating_mul(ATTRIBUTES_PER_BYTE);
        if self.attributes > max {
            let object = Object::Attributes(node.nid);
            return Err(object.rule(format!("all inodes up to this one have more than {max} bytes of them")));
        }
        Ok(())
    }

    /// What the tree says of a file; its segments are left in `self.segments`.
    fn file(&mut self, node: &Node) -> Result<FileData<'static>, Error> {
        let too_large = || node.object().value("i_size", node.size, "fewer than 2^32 blocks of 4096 bytes");
        if node.size > f::MAX_FILE_SIZE {
            return Err(too_large());
        }
        let content = self.filesystem.content(node)?;
        self.segments.clear();
        segments(&content, &mut self.segments).ok_or_else(too_large)?;
        let (pack, pack_block) = self.packed.add(node.nid, &self.segments).ok_or_else(too_large)?;
        Ok(FileData { size: node.size, pack, pack_block, segments: &[] })
    }

    fn path(&self, mut dir: usize, name: Option<&[u8]>) -> Vec<u8> {
        let mut names: Vec<&[u8]> = name.into_iter().collect();
        while dir != 0 {
            names.push(&self.dirs[dir].name);
            dir = self.dirs[dir].parent;
        }
        let path: Vec<u8> = names.iter().rev().flat_map(|name| [b"/", *name].concat()).collect();
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}
