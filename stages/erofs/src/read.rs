//! An EROFS filesystem in → its files out, without a mount, a helper program or root.
//!
//! [`Filesystem::open`] reads the superblock and nothing else; everything after that is read when
//! it is asked for. [`Filesystem::tree`] reads all names and attributes at once, and checks what
//! can only be seen of all of them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cvbake_disk::ReadAt;
//! use cvbake_erofs::read::{Filesystem, Follow};
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
//! Names, attributes (shared ones too) and plain content: in blocks, behind the inode, in chunks
//! with either map. Blocks have 512 bytes to 64 KiB. A file that is compressed is an error that
//! says so, as is a chunk on another device; the other files of such a filesystem are read. A
//! feature that changes where things are, and that this reader does not know, is refused by name.
//!
//! # Whom it trusts
//! Nobody. Only the superblock has a checksum, and whoever makes a hostile disk computes it, too:
//!
//! * Every number that is a place is compared with the filesystem's length before it is used.
//! * What is claimed (a size, a count) reserves no memory. A chunk map is on the disk, and an entry
//!   of zeros is an error, so that one that was never written has no entries.
//! * In a [`Filesystem::tree`] each byte of inodes, maps, directories and plain files belongs to
//!   one of them, and each directory has one name: so neither a cycle nor many inodes that share
//!   their names make it larger than the disk. Only chunks and attributes may be shared, and the
//!   latter are counted.
//! * Nothing recurses by what the disk says; symbolic links are followed
//!   [`LINKS_MAX`](cvbake_tree::read::LINKS_MAX) times.

mod claim;
mod content;
mod directory;
mod error;
mod kept;
mod node;
mod superblock;
mod tree;
mod xattr;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cvbake_disk::ReadAt;

use superblock::Superblock;

pub use content::Content;
pub use cvbake_tree::read::{Follow, NodeKind};
pub use directory::Entry;
pub use error::{Error, Object, Problem};
pub use kept::as_kept;
pub use node::Node;
pub use superblock::Info;

/// All files of a filesystem.
pub type Files = cvbake_tree::read::Files<Filesystem>;

/// A filesystem that is read.
///
/// It can be used from several threads.
pub struct Filesystem {
    disk: Arc<dyn ReadAt>,
    superblock: Superblock,
    /// What was read last, from a multiple of [`WINDOW`] on: neighbours are asked for one behind
    /// the other.
    recent: Mutex<Option<(u64, Arc<[u8]>)>>,
    shared: Mutex<xattr::Shared>,
}

/// How much is read at once where little is asked for.
const WINDOW: u64 = 1 << 14;

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
        Ok(Filesystem { disk, superblock, recent: Mutex::default(), shared: Mutex::default() })
    }

    /// Whether a disk has the magic number of EROFS in its place.
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

    /// Reads bytes of the filesystem.
    fn bytes(&self, at: u64, len: usize, object: Object) -> Result<Vec<u8>, Error> {
        let unreadable = |source| Error::Read { object, source };
        let whole = self.info().len_bytes();
        let end = at.checked_add(len as u64).filter(|&end| end <= whole);
        let end =
            end.ok_or_else(|| object.value("its end", at.saturating_add(len as u64), format!("at most {whole}")))?;
        let start = at / WINDOW * WINDOW;
        if end > start + WINDOW {
            let mut bytes = vec![0; len];
            self.disk.read_at(at, &mut bytes).map_err(unreadable)?;
            return Ok(bytes);
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let window = match &*recent {
            Some((from, window)) if *from == start => window.clone(),
            _ => {
                let mut window = vec![0; usize::try_from(WINDOW.min(whole - start)).expect("a window")];
                self.disk.read_at(start, &mut window).map_err(unreadable)?;
                let window: Arc<[u8]> = window.into();
                *recent = Some((start, window.clone()));
                window
            }
        };
        let within = usize::try_from(at - start).expect("within a window");
        Ok(window[within..within + len].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use cvbake_disk::RawDisk;

    use super::*;
    use crate::format::EROFS_SUPER_MAGIC_V1;

    #[test]
    fn by_its_magic_number() {
        let file = tempfile::tempfile().unwrap();
        let is = || Filesystem::is_on(&RawDisk::new(file.try_clone().unwrap()).unwrap()).unwrap();
        assert!(!is(), "nothing is no filesystem");
        file.set_len(4096).unwrap();
        assert!(!is());
        file.write_all_at(&EROFS_SUPER_MAGIC_V1.to_le_bytes(), 1024).unwrap();
        assert!(is());
        file.set_len(1027).unwrap();
        assert!(!is(), "cut off");
    }
}
