//! A filesystem that can be read, whichever it is: what commands and comparisons know of one.

use std::io;
use std::sync::Arc;

use cvbake_disk::{Claims, ReadAt};
use cvbake_erofs::read as erofs;
use cvbake_ext4::read as ext4;
use cvbake_tree::read::{Content, Follow, NodeKind};
use cvbake_tree::{Packs, Time, Tree};
use cvbake_verify::Digest;
use cvbake_verity::BLOCK;

use crate::error::FilesystemError;
use crate::recipe::{erofs_uuid, filesystem_uuid};

/// A filesystem on a disk.
#[derive(Debug, Clone)]
pub enum Filesystem {
    /// ext2, ext3 or ext4.
    Ext4(Arc<ext4::Filesystem>),
    /// EROFS.
    Erofs(Arc<erofs::Filesystem>),
}

/// An inode: what every filesystem says of one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its number in the filesystem.
    pub number: u64,
    /// What kind of file it is.
    pub kind: NodeKind,
    /// The permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length of a file, of a symbolic link's target, or of what a directory has for names.
    pub size: u64,
    /// How many names it has, as it says itself.
    pub links: u32,
    /// When its content last changed.
    pub mtime: Time,
    /// When it was last read; the modification time where the filesystem has no other.
    pub atime: Time,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name: 1 to 255 bytes without `/` and NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The inode's number.
    pub number: u64,
}

/// All files of a filesystem: a tree, whose content they have as packs.
#[derive(Debug)]
pub enum Files {
    /// Of ext4.
    Ext4(ext4::Files),
    /// Of EROFS.
    Erofs(erofs::Files),
}

impl Filesystem {
    /// Opens whichever is on a disk. Where none is, the error is about ext4, which has the weaker
    /// mark.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn open(disk: Arc<dyn ReadAt>) -> Result<Filesystem, FilesystemError> {
        // What the reader below says of a disk that can't be read says enough.
        match erofs::Filesystem::is_on(&*disk).unwrap_or_default() {
            true => Ok(Filesystem::Erofs(Arc::new(erofs::Filesystem::open(disk)?))),
            false => Ok(Filesystem::Ext4(Arc::new(ext4::Filesystem::open(disk)?))),
        }
    }

    /// The name of the one that is on a disk, as its magic number says.
    #[must_use]
    pub fn name_of(disk: &dyn ReadAt) -> Option<&'static str> {
        if erofs::Filesystem::is_on(disk).unwrap_or_default() {
            return Some("erofs");
        }
        ext4::Filesystem::is_on(disk).unwrap_or_default().then_some("ext4")
    }

    /// Its name, as Linux calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Filesystem::Ext4(_) => "ext4",
            Filesystem::Erofs(_) => "erofs",
        }
    }

    /// How long it is.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        match self {
            Filesystem::Ext4(ext4) => ext4.info().len_bytes(),
            Filesystem::Erofs(erofs) => erofs.info().len_bytes(),
        }
    }

    /// Where a hash tree is that was made for it.
    pub(super) fn hash_tree_at(&self) -> Option<u64> {
        self.len_bytes().checked_next_multiple_of(BLOCK)
    }

    /// The inode at a path; whether it starts with `/` does not matter.
    ///
    /// # Errors
    /// When there is none, or something on the way is no directory, or can't be read.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Node, FilesystemError> {
        match self {
            Filesystem::Ext4(ext4) => Ok(of_ext4(&ext4.lookup(path, follow)?)),
            Filesystem::Erofs(erofs) => Ok(of_erofs(&erofs.lookup(path, follow)?)),
        }
    }

    /// An inode by its number.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn node(&self, number: u64) -> Result<Node, FilesystemError> {
        match self {
            Filesystem::Ext4(ext4) => Ok(of_ext4(&ext4.node(ino(number))?)),
            Filesystem::Erofs(erofs) => Ok(of_erofs(&erofs.node(number)?)),
        }
    }

    /// What is in a directory, sorted by the bytes of the names.
    ///
    /// # Errors
    /// When it is none, or can't be read.
    pub fn read_dir(&self, node: &Node) -> Result<Vec<Entry>, FilesystemError> {
        Ok(match self {
            Filesystem::Ext4(ext4) => {
                let entries = ext4.read_dir(&ext4.node(ino(node.number))?)?.into_iter();
                entries.map(|entry| Entry { name: entry.name, number: entry.ino.into() }).collect()
            }
            Filesystem::Erofs(erofs) => {
                let entries = erofs.read_dir(&erofs.node(node.number)?)?.into_iter();
                entries.map(|entry| Entry { name: entry.name, number: entry.nid }).collect()
            }
        })
    }

    /// Takes what of the disk is an inode's own: many together are no more than the disk then.
    ///
    /// # Errors
    /// When some of it is another's, too, or where it is can't be read.
    pub(crate) fn claim(&self, node: &Node, claims: &mut Claims) -> Result<(), FilesystemError> {
        match self {
            Filesystem::Ext4(ext4) => Ok(ext4.claim(&ext4.node(ino(node.number))?, claims)?),
            Filesystem::Erofs(erofs) => Ok(erofs.claim(&erofs.node(node.number)?, claims)?),
        }
    }

    /// The content of a regular file.
    ///
    /// # Errors
    /// When it is none, or where its content is can't be read.
    pub fn content(&self, node: &Node) -> Result<Arc<dyn Content>, FilesystemError> {
        match self {
            Filesystem::Ext4(ext4) => Ok(Arc::new(ext4.content(&ext4.node(ino(node.number))?)?)),
            Filesystem::Erofs(erofs) => Ok(Arc::new(erofs.content(&erofs.node(node.number)?)?)),
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// When it is none, or its target can't be one.
    pub fn target(&self, node: &Node) -> Result<Vec<u8>, FilesystemError> {
        match self {
            Filesystem::Ext4(ext4) => Ok(ext4.target(&ext4.node(ino(node.number))?)?),
            Filesystem::Erofs(erofs) => Ok(erofs.target(&erofs.node(node.number)?)?),
        }
    }

    /// Reads all names and attributes, and where the content of every file is.
    ///
    /// # Errors
    /// At the first thing that is not as it must be.
    pub fn files(&self) -> Result<Files, FilesystemError> {
        match self {
            Filesystem::Ext4(ext4) => Ok(Files::Ext4(ext4.tree()?)),
            Filesystem::Erofs(erofs) => Ok(Files::Erofs(erofs.tree()?)),
        }
    }
}

impl Files {
    /// The names and attributes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        match self {
            Files::Ext4(files) => files.tree(),
            Files::Erofs(files) => files.tree(),
        }
    }

    /// Whether it has the UUID that a filesystem of such content has if nobody gives another.
    pub(crate) fn has_uuid_of(&self, content: &Digest) -> bool {
        match self {
            Files::Ext4(files) => files.filesystem().info().uuid == filesystem_uuid(content),
            Files::Erofs(files) => files.filesystem().info().uuid == erofs_uuid(content),
        }
    }

    /// Makes the tree that a disk was made of the tree that is read from it.
    pub(crate) fn as_kept(&self, tree: &mut Tree) {
        match self {
            Files::Ext4(_) => ext4::as_kept(tree),
            Files::Erofs(_) => erofs::as_kept(tree),
        }
    }
}

impl Packs for Files {
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Files::Ext4(files) => files.read_at(pack, offset, buffer),
            Files::Erofs(files) => files.read_at(pack, offset, buffer),
        }
    }
}

/// The number of one of ext4's inodes. Another filesystem's, which nobody asks it for, is that of
/// none.
fn ino(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn of_ext4(node: &ext4::Node) -> Node {
    Node {
        number: node.ino.into(),
        kind: node.kind,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        size: node.size,
        links: node.links.into(),
        mtime: node.mtime,
        atime: node.atime,
    }
}

fn of_erofs(node: &erofs::Node) -> Node {
    Node {
        number: node.nid,
        kind: node.kind,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        size: node.size,
        links: node.links,
        mtime: node.mtime,
        atime: node.mtime,
    }
}
