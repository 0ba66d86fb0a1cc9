//! An ext4 filesystem in → its files out, without a mount, a helper program or root.
//!
//! [`Filesystem::open`] reads the superblock and nothing else; everything after that is read when
//! it is asked for. [`Filesystem::tree`] reads all names and attributes at once, and checks what
//! can only be seen of all of them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cvbake_disk::ReadAt;
//! use cvbake_ext4::read::{Filesystem, Follow};
//!
//! fn issue(disk: Arc<dyn ReadAt>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let filesystem = Filesystem::open(disk)?;
//!     let file = filesystem.lookup(b"/etc/issue", Follow::All)?;
//!     let content = filesystem.content(&file)?;
//!     let mut bytes = vec![0; usize::try_from(content.len_bytes())?.min(4096)];
//!     content.read_at(0, &mut bytes)?;
//!     Ok(bytes)
//! }
//! ```
//!
//! # What is read
//! What Linux reads: blocks of 1 to 64 KiB, extent trees and block maps, inline data, linear
//! and indexed directories, attributes in inodes and blocks. A filesystem with a feature that
//! changes where things are, and that this reader does not know, is refused by the feature's name.
//! A journal is not replayed: what it has is not seen, and [`Info::needs_recovery`] says so.
//!
//! # Whom it trusts
//! Nobody. Checksums are compared where the filesystem has them, but whoever makes a hostile disk
//! computes them, too, so that nothing relies on them:
//!
//! * Every number that is a place is compared with what it is a place in before it is used.
//! * A file has each of its extent blocks, pointer blocks and directory blocks once. So no list is
//!   longer than what is really on the disk: a block that is not written is zeros, and zeros are
//!   neither extents nor names. What is claimed (a size, a count) reserves no memory.
//! * In a [`Filesystem::tree`] each block belongs to one file, and each directory has one name: so
//!   neither a cycle nor many files that share their content make it larger than the disk. Whoever
//!   reads file by file has [`Filesystem::claim`] for the same, and [`Filesystem::lookup`] reads
//!   each directory on its way once.
//! * Nothing recurses by what the disk says; symbolic links are followed
//!   [`LINKS_MAX`](cvbake_tree::read::LINKS_MAX) times.

mod blocks;
mod claim;
mod content;
mod directory;
mod error;
mod extents;
mod files;
mod group;
mod kept;
mod lookup;
mod node;
mod regions;
mod superblock;
mod tree;
mod xattr;

use std::fmt;
use std::sync::{Arc, Mutex};

use cvbake_disk::ReadAt;

use crate::format::checksum::Checksum;
use superblock::Superblock;

pub use content::Content;
pub use cvbake_tree::read::{Follow, NodeKind};
pub use directory::Entry;
pub use error::{Error, Object, Problem};
pub use files::Files;
pub use kept::as_kept;
pub use node::Node;
pub use superblock::Info;

/// A filesystem that is read.
///
/// It can be used from several threads.
pub struct Filesystem {
    disk: Arc<dyn ReadAt>,
    superblock: Superblock,
    /// The block that inodes were read from last: neighbours are asked for one behind the other.
    recent: Mutex<Option<(u64, Arc<[u8]>)>>,
}

impl fmt::Debug for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filesystem").field("info", &self.superblock.info).finish_non_exhaustive()
    }
}

impl Filesystem {
    /// Reads the superblock.
    ///
    /// # Errors
    /// When there is none, or it says what can't be, or the filesystem has a feature that this
    /// reader does not know.
    pub fn open(disk: Arc<dyn ReadAt>) -> Result<Filesystem, Error> {
        let superblock = Superblock::read(&*disk)?;
        Ok(Filesystem { disk, superblock, recent: Mutex::new(None) })
    }

    /// Whether a disk has the magic number of ext2, ext3 and ext4 in its place.
    ///
    /// # Errors
    /// When the disk can't be read.
    pub fn is_on(disk: &dyn ReadAt) -> std::io::Result<bool> {
        superblock::has_magic(disk)
    }

    /// What the superblock says.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.superblock.info
    }

    fn block_size(&self) -> u64 {
        self.superblock.info.block_size
    }

    /// The seed of all checksums but the superblock's, if there are any.
    fn seed(&self) -> Option<Checksum> {
        self.superblock.seed
    }

    /// Reads a block that something of the filesystem is in.
    fn block(&self, number: u64, object: Object) -> Result<Vec<u8>, Error> {
        let size = self.block_size();
        if !self.superblock.has_block(number) {
            return Err(object.value("its block", number, format!("less than {}", self.superblock.info.blocks)));
        }
        let mut block = vec![0; usize::try_from(size).expect("64 KiB at most")];
        self.disk.read_at(number * size, &mut block).map_err(|source| object.unreadable(source))?;
        Ok(block)
    }

    /// The same, of one that may be asked for again at once.
    fn recent_block(&self, number: u64, object: Object) -> Result<Arc<[u8]>, Error> {
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((at, block)) = &*recent
            && *at == number
        {
            return Ok(block.clone());
        }
        let block: Arc<[u8]> = self.block(number, object)?.into();
        *recent = Some((number, block.clone()));
        Ok(block)
    }
}
