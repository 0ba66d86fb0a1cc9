//! A file tree in → an ext4 filesystem out, without a mount, a helper program or root.
//!
//! ext4 keeps checksums of its metadata only, so with names, attributes and sizes known the whole
//! filesystem is a function of the tree and the options:
//!
//! 1. [`Layout::plan`] (pure) checks and counts what the tree needs, finds the size of the
//!    filesystem, and gives every part its blocks. It reads no content and writes nothing.
//! 2. [`Layout::write_metadata`] streams superblocks, tables, directories and the like into a
//!    [`Sink`](cvbake_disk::Sink), a group of inodes at a time.
//! 3. The caller copies content from packs to the disk as [`Layout::placements`] says: in any
//!    order, in parallel, by whatever means are fastest.
//!
//! ```
//! use cvbake_disk::Draft;
//! use cvbake_ext4::{Layout, Options, Size};
//! use cvbake_tree::{Builder, Ino, Kind, Meta};
//!
//! let mut builder = Builder::new(&Meta { mode: 0o755, ..Meta::default() });
//! builder.add(Ino::ROOT, b"etc", Kind::Directory, &Meta { mode: 0o755, ..Meta::default() })?;
//! let tree = builder.finish()?;
//! let layout = Layout::plan(&tree, &Options { size: Size::Extra(16 << 20), ..Options::default() })?;
//!
//! let dir = tempfile::tempdir()?;
//! let draft = Draft::create(&dir.path().join("disk.ext4"), false)?;
//! draft.set_len(layout.len_bytes())?;
//! layout.write_metadata(&tree, &draft.raw())?;
//! assert!(layout.placements().is_empty(), "no file has content to copy");
//! draft.commit()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The order on the disk
//! ```text
//! superblock, descriptors │ all bitmaps │ all inode tables │ journal │ directories, long links, attributes │ content │ large extent trees
//! ```
//! interrupted only by the copies of superblock and descriptors at the start of some groups. There
//! are no gaps: whatever comes next takes the next free blocks, so a position alone says which
//! blocks a file has.
//!
//! * **Content is in the order of the packs**, so files that are neighbours in a pack are
//!   neighbours on the disk, and a placement is as long as a pack has no dead files. Nothing that
//!   the tree does not refer to is ever on the disk.
//! * **One pack may be on the disk as it is** ([`Options::base_pack`]): from a fixed block on,
//!   before anything else has its place, so that a file with that pack in it can become the disk.
//!   Everything else takes the blocks that are left, gaps of dead files first.
//! * **Extent trees of files come last**, because their size depends on where content is cut in
//!   two. That keeps the plan one pass without a guess.
//! * **Inodes are numbered in the tree's order**, without a gap; groups behind the last one stay
//!   untouched, and an empty disk costs a few kilobytes to write whatever its size.
//! * **Features are those that Linux 4.x reads**, and two more only where a tree or a size needs
//!   them: `64bit` beyond 16 TiB, `large_dir` for directories of millions of long names.
//! * **It is deterministic**: no clock, no random numbers, no order that depends on threads.
//!
//! [`read`] goes the other way: from a disk to a tree, whoever made it.
//!
//! The other engine, `mkfs` (a feature, on by default), leaves the work to e2fsprogs.
#![forbid(unsafe_code)]

mod error;
mod format;
mod layout;
#[cfg(feature = "mkfs")]
pub mod mkfs;
mod options;
pub mod read;
mod write;

pub use error::Error;
pub use layout::{BASE_PACK_BLOCK, Layout, Region, Use};
pub use options::{Inodes, Options, Size};
