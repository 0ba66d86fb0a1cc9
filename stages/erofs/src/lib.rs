//! A file tree in → an EROFS filesystem out, read-only and as small as it can be without
//! compression, without a mount, a helper program or root. [`read`] is the way back.
//!
//! ```
//! use cvbake_erofs::{Layout, Options};
//! use cvbake_tree::{Builder, Ino, Kind, Meta};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = Meta { mode: 0o755, ..Meta::default() };
//! let mut files = Builder::new(&directory);
//! files.add(Ino::ROOT, b"etc", Kind::Directory, &directory)?;
//! files.add(Ino::ROOT, b"conf", Kind::Symlink(b"etc"), &Meta { mode: 0o777, ..Meta::default() })?;
//! let tree = files.finish()?;
//!
//! let layout = Layout::plan(&tree, &Options::default())?;
//! let file = tempfile::tempfile()?;
//! file.set_len(layout.len_bytes())?;
//! layout.write_metadata(&tree, &cvbake_disk::Raw::new(&file, "disk.erofs".as_ref()))?;
//! assert!(layout.placements().is_empty(), "no file has content");
//! # Ok(())
//! # }
//! ```
//!
//! EROFS has no checksums but the superblock's, so the whole filesystem is a function of the tree
//! and the options, and content is written by whoever has it:
//!
//! 1. [`Layout::plan`] (pure) checks the tree, and gives every inode, directory and file its place.
//! 2. [`Layout::write_metadata`] streams everything but content into a
//!    [`Sink`](cvbake_disk::Sink).
//! 3. The caller copies content from packs to the disk as [`Layout::placements`] says: in any
//!    order, in parallel, by whatever means are fastest.
//!
//! # Decisions
//!
//! * **Content stands in the order of the packs**, each file in one piece, in whole blocks: a
//!   placement is as long as a pack has no dead files, and blocks can be shared with a pack. So the
//!   end of a file is not kept with its inode, which would be a second copy of it.
//! * **One pack may be on the disk as it is** ([`Options::base_pack`]), from a fixed block on. What
//!   comes before it is room for metadata and small files. As nothing grows here, dead blocks of
//!   that pack stay unused; where they are more than a sixteenth, the pack is copied like others.
//! * **Holes stay holes.** A pack has no blocks of zeros, so a file that has some gets a chunk map,
//!   with the largest chunks that fit its holes. Where a map would be out of proportion (a terabyte
//!   with a block of content in the middle of it), chunks are larger, and filled up with zeros that
//!   are not written.
//! * **Directories and links end behind their inodes** where that takes no more than half a block.
//! * **Attributes stand with their inodes.** There are no shared ones: they would save little
//!   without compression, and each lookup would read two places.
//! * **Inodes have 32 bytes where nothing is lost by it**, else 64. EROFS has one time for an
//!   inode, that of its modification; the others are not kept.
//! * **It is deterministic**: no clock, no random numbers, no order that depends on threads.
//! * **Linux 5.4 reads it, and 5.15 where a file has holes.**
#![forbid(unsafe_code)]

mod error;
mod format;
mod layout;
mod options;
pub mod read;
mod write;

pub use error::Error;
pub use layout::{BASE_PACK_BLOCK, Layout, leave_out_unknown};
pub use options::Options;
