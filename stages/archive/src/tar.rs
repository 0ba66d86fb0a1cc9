//! The tar grammar: a stream of 512-byte blocks → entries.
//!
//! ```text
//! archive = entry*  zero-block  zero-block  anything
//! entry   = ( x-header body | L-header body | K-header body )*  header  S-extension*  content  padding
//! g-headers with their bodies stand between entries
//! ```
//!
//! What applies where several things say the same: PAX (`x`) over the header, `GNU.sparse.name`
//! over `path`; a GNU long name (`L`, `K`) over the header. A PAX `path` and an `L` (or `linkpath`
//! and `K`) for one entry are an error, because readers disagree on which of them wins. PAX global
//! headers (`g`) are skipped.
//!
//! References: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Interchange Format"; the GNU
//! tar manual, "Basic Tar Format", "GNU Extensions to the Archive Format" and "Storing Sparse
//! Files". Where they are silent, what Go's `archive/tar` accepts, because containerd, Docker and
//! podman read with it.

mod data;
mod header;
mod input;
mod number;
mod pax;
mod reader;
mod sparse;

use std::fmt;

pub use data::{Data, Piece};
pub use reader::{Entry, Reader};

/// The unit of the format.
pub const BLOCK_SIZE: usize = 512;

/// The longest body of a record that describes an entry (`x`, `g`, `L`, `K`): the limit of Go's
/// `archive/tar`, so no image that containerd, Docker or podman can unpack has a longer one. It
/// holds 16 extended attributes of Linux's largest size.
pub const MAX_RECORD_BODY: u64 = 1 << 20;

/// The most parts that a sparse file's map may have: the limit of Go's `archive/tar`; with a part
/// every 16 KiB a file of 16 GiB. Each takes 16 bytes of memory while its entry is read.
pub const MAX_EXTENTS: usize = 1 << 20;

/// The largest size a sparse file may state: 16 TiB, ext4's limit. An ordinary file is as large as
/// its content in the stream, but a sparse one costs its archive nothing.
pub const MAX_SPARSE_SIZE: u64 = 1 << 44;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// One more name for an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::File => "regular file",
            Kind::HardLink => "hard link",
            Kind::Symlink => "symbolic link",
            Kind::CharDevice => "character device",
            Kind::BlockDevice => "block device",
            Kind::Directory => "directory",
            Kind::Fifo => "named pipe",
        })
    }
}

/// A moment: whole seconds since 1970-01-01 UTC and the nanoseconds after that second. What an
/// archive states beyond the range of `secs` is the end of the range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time {
    /// Whole seconds, rounded towards the past.
    pub secs: i64,
    /// Nanoseconds after `secs`, below 1,000,000,000.
    pub nanos: u32,
}

/// A part of a file that is stored; everything between the parts is zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where in the file it starts, in bytes.
    pub offset: u64,
    /// How long it is; never 0.
    pub len: u64,
}

/// Everything an archive says about an entry, but for its content.
#[derive(Debug)]
#[non_exhaustive]
pub struct Header {
    /// Where in the stream the entry's own header block stands, behind the records that describe
    /// it.
    pub offset: u64,
    /// Where in the stream the stored content starts: for a file that is not sparse, its first
    /// byte.
    pub data_offset: u64,
    /// The path, as it stands in the archive: not normalised, perhaps empty, never with a NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The target of a hard or symbolic link, as it stands in the archive; empty for everything
    /// else.
    pub link: Vec<u8>,
    /// The whole mode field: beside the permissions, some writers put the type of file into it.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The size of the file, holes included; 0 for everything but files.
    pub size: u64,
    /// When the content last changed.
    pub mtime: Time,
    /// When it was last read, if the archive says so.
    pub atime: Option<Time>,
    /// When the inode last changed, if the archive says so.
    pub ctime: Option<Time>,
    /// The major number of a device; 0 for everything else.
    pub device_major: u64,
    /// The minor number of a device; 0 for everything else.
    pub device_minor: u64,
    /// Whether the file is stored without its holes.
    pub sparse: bool,
    /// The stored parts of a file: ascending, not overlapping, inside `size`. A file that is not
    /// sparse has one, an empty one none.
    pub extents: Vec<Extent>,
    pax: pax::Pax,
}

impl Header {
    /// The extended attributes, each name once, sorted: the whole name with the namespace, and the
    /// value.
    #[must_use]
    pub fn xattrs(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.pax.xattrs()
    }

    /// What a reader has before it has read any.
    fn empty() -> Header {
        Header {
            offset: 0,
            data_offset: 0,
            path: Vec::new(),
            kind: Kind::File,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            atime: None,
            ctime: None,
            device_major: 0,
            device_minor: 0,
            sparse: false,
            extents: Vec::new(),
            pax: pax::Pax::default(),
        }
    }
}
