//! All names and attributes of a filesystem at once.

use std::collections::{BTreeSet, HashMap};

use cvbake_disk::Claims;
use cvbake_tree::read::{Packed, segments};
use cvbake_tree::{Builder, FileData, Ino, Kind, Meta, Segment};

use super::{Entry, Error, Files, Filesystem, Node, NodeKind, Object};
use crate::format::EXT4_ROOT_INO;

impl Filesystem {
    /// Reads all names and attributes, and where the content of every file is.
    ///
    /// # Errors
    /// At the first thing that is not as it must be. A directory with two names is an error, and so
    /// is a block that two files have.
    pub fn tree(self: &std::sync::Arc<Filesystem>) -> Result<Files, Error> {
        let root = self.root().map_err(|error| error.at(b"/"))?;
        let meta = self.meta(&root).map_err(|error| error.at(b"/"))?;
        let mut walk = Walk {
            filesystem: self,
            builder: Builder::new(&meta),
            known: HashMap::from([(EXT4_ROOT_INO, Known { ino: Ino::ROOT, is_dir: true, names: 1, links: 1 })]),
            claims: Claims::default(),
            attribute_blocks: BTreeSet::new(),
            attribute_bytes: 0,
            packed: Packed::default(),
            segments: Vec::new(),
            dirs: vec![Dir { node: EXT4_ROOT_INO, ino: Ino::ROOT, parent: 0, name: Vec::new() }],
        };
        walk.all(root)?;
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
            atime: Some(node.atime),
            ctime: Some(node.ctime),
            xattrs: self.xattrs(node)?,
        })
    }
}

/// So many bytes of attributes are few on any disk.
const FEW_ATTRIBUTES: u64 = 64 << 20;

/// An inode that was met.
struct Known {
    ino: Ino,
    is_dir: bool,
    /// How many names there are, and how many the inode says that there are.
    names: u32,
    links: u16,
}

/// A directory, to tell its path.
struct Dir {
    node: u32,
    ino: Ino,
    /// The position of the one that it is in.
    parent: usize,
    name: Vec<u8>,
}

struct Walk<'f> {
    filesystem: &'f Filesystem,
    builder: Builder,
    known: HashMap<u32, Known>,
    claims: Claims,
    attribute_blocks: BTreeSet<u64>,
    attribute_bytes: u64,
    packed: Packed,
    /// Of the file at hand.
    segments: Vec<Segment>,
    dirs: Vec<Dir>,
}

impl Walk<'_> {
    /// Directory by directory in the tree's order, so that the tree needs no second copy.
    fn all(&mut self, root: Node) -> Result<(), Error> {
        self.claim(&root).map_err(|error| error.at(b"/"))?;
        drop(root);
        let mut waiting = vec![0];
        while let Some(dir) = waiting.pop() {
            let before = waiting.len();
            let entries = self.entries(dir).map_err(|error| error.at(&self.path(dir, None)))?;
            for entry in entries {
                let is_dir = self.add(dir, &entry).map_err(|error| error.at(&self.path(dir, Some(&entry.name))))?;
                if let Some((node, ino)) = is_dir {
                    waiting.push(self.dirs.len());
                    self.dirs.push(Dir { node, ino, parent: dir, name: entry.name });
                }
            }
            waiting[before..].reverse();
        }
        Ok(())
    }

    /// Compares how many names each inode has with what it says. Of directories that is how many
    /// are in it, up to a number that stands for more.
    fn check_links(&self) -> Result<(), Error> {
        let wrong = |(_, known): &(&u32, &Known)| !known.is_dir && known.names != u32::from(known.links);
        // The first by its number: a table has no order.
        match self.known.iter().filter(wrong).min_by_key(|(ino, _)| **ino) {
            Some((&ino, known)) => {
                let expected = format!("{}, as many as it has names", known.names);
                Err(Object::Inode(ino).value("i_links_count", known.links, expected))
            }
            None => Ok(()),
        }
    }

    fn entries(&self, dir: usize) -> Result<Vec<Entry>, Error> {
        let Dir { node, parent, .. } = self.dirs[dir];
        let directory = self.filesystem.directory(&self.filesystem.node(node)?)?;
        let expected = self.dirs[parent].node;
        if directory.parent != expected {
            let object = Object::Directory { ino: node, block: 0 };
            return Err(object.value("the inode of \"..\"", directory.parent, expected.to_string()));
        }
        Ok(directory.entries)
    }

    /// Adds what an entry names; says which inode is a directory.
    fn add(&mut self, dir: usize, entry: &Entry) -> Result<Option<(u32, Ino)>, Error> {
        let parent = self.dirs[dir].ino;
        if let Some(known) = self.known.get_mut(&entry.ino) {
            if known.is_dir {
                return Err(Object::Inode(entry.ino).rule("the directory has a second name"));
            }
            known.names += 1;
            let ino = known.ino;
            self.builder.link(parent, &entry.name, ino).map_err(|source| Error::Tree { source })?;
            return Ok(None);
        }
        let filesystem = self.filesystem;
        let node = filesystem.node(entry.ino)?;
        entry.check(&node)?;
        let meta = filesystem.meta(&node)?;
        self.count_attributes(&node, &meta)?;
        let target;
        let kind = match node.kind {
            NodeKind::Directory => {
                self.claim(&node)?;
                Kind::Directory
            }
            NodeKind::File => {
                let data = self.file(&node)?;
                Kind::File(FileData { segments: &self.segments, ..data })
            }
            NodeKind::Symlink => {
                target = filesystem.target(&node)?;
                let is_fast = filesystem.is_fast_symlink(&node, target.len());
                if !is_fast {
                    self.claim(&node)?;
                }
                Kind::Symlink(&target)
            }
            NodeKind::CharDevice(device) => Kind::CharDevice(device),
            NodeKind::BlockDevice(device) => Kind::BlockDevice(device),
            NodeKind::Fifo => Kind::Fifo,
            NodeKind::Socket => Kind::Socket,
        };
        let added = self.builder.add(parent, &entry.name, kind, &meta).map_err(|source| Error::Tree { source })?;
        let is_dir = node.kind == NodeKind::Directory;
        self.known.insert(entry.ino, Known { ino: added, is_dir, names: 1, links: node.links });
        Ok(is_dir.then_some((entry.ino, added)))
    }

    /// Takes the blocks of an inode, which are nobody else's.
    fn claim(&mut self, node: &Node) -> Result<(), Error> {
        self.filesystem.claim(node, &mut self.claims)
    }

    /// Counts the attributes of an inode. Many inodes may have one block of them, which a tree
    /// keeps once; but each that has others in itself as well is kept with all of them, and those
    /// would be far more than the disk has.
    fn count_attributes(&mut self, node: &Node, meta: &Meta) -> Result<(), Error> {
        let is_known = node.file_acl != 0 && !self.attribute_blocks.insert(node.file_acl);
        if is_known && !node.has_inner_attributes() {
            return Ok(());
        }
        let bytes: usize = meta.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        self.attribute_bytes += bytes as u64;
        let max = self.filesystem.info().len_bytes().max(FEW_ATTRIBUTES);
        match self.attribute_bytes <= max {
            true => Ok(()),
            false => {
                Err(node.object().value("the sum of all attributes", self.attribute_bytes, format!("at most {max}")))
            }
        }
    }

    /// What the tree says of a file; its segments are left in `self.segments`.
    fn file(&mut self, node: &Node) -> Result<FileData<'static>, Error> {
        self.claim(node)?;
        let content = self.filesystem.content(node)?;
        self.segments.clear();
        let too_large =
            || node.object().value("i_size", node.size, "content within the first 2^32 blocks of 4096 bytes");
        segments(&content, &mut self.segments).ok_or_else(too_large)?;
        let (pack, pack_block) = self.packed.add(node.ino.into(), &self.segments).ok_or_else(too_large)?;
        Ok(FileData { size: node.size, pack, pack_block, segments: &[] })
    }

    fn path(&self, mut dir: usize, name: Option<&[u8]>) -> Vec<u8> {
        let mut names: Vec<&[u8]> = name.into_iter().collect();
        while dir != 0 {
            names.push(&self.dirs[dir].name);
            dir = self.dirs[dir].parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}
