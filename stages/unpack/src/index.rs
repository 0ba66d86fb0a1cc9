//! What a layer says, entry by entry.

use cvbake_tree::{Device, Segment, Time, Xattr};

use crate::PackSeal;
use crate::path::{PathId, Paths};

/// All that a layer's archive says but the bytes of its files: one record per entry, in archive
/// order, without those that others overwrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub(crate) paths: Paths,
    pub(crate) records: Vec<Record>,
    pub(crate) segments: Vec<Segment>,
    /// Where the stored bytes of GNU sparse files belong, by record; sorted.
    pub(crate) sparse: Vec<Sparse>,
    /// Interned sets, each sorted by name; number 0 is the empty one.
    pub(crate) xattrs: Vec<Vec<Xattr>>,
    /// Access and change times, by record; sorted.
    pub(crate) extra_times: Vec<(u32, Option<Time>, Option<Time>)>,
    pub(crate) seal: PackSeal,
}

/// One entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) path: PathId,
    /// Where its headers start in the uncompressed stream, in units of 512 bytes.
    pub(crate) header: u32,
    pub(crate) kind: RecordKind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) xattrs: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Directory,
    File {
        size: u64,
        /// Where its stored bytes start in the uncompressed stream, in units of 512 bytes.
        stream: u32,
        /// Where its first segment starts in the pack.
        pack_block: u32,
        /// Its segments end where those of the next file start.
        first_segment: u32,
    },
    Symlink {
        target: u32,
        len: u16,
    },
    HardLink(PathId),
    CharDevice(Device),
    BlockDevice(Device),
    Fifo,
    /// Removes this path from the layers below.
    Whiteout,
    /// Removes everything in this directory from the layers below.
    Opaque,
}

impl Record {
    /// Where its headers start in the uncompressed stream, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.header) * STREAM_UNIT
    }
}

/// What an archive counts in.
pub(crate) const STREAM_UNIT: u64 = 512;

impl RecordKind {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            RecordKind::Directory => "directory",
            RecordKind::File { .. } => "regular file",
            RecordKind::Symlink { .. } => "symbolic link",
            RecordKind::HardLink(_) => "hard link",
            RecordKind::CharDevice(_) => "character device",
            RecordKind::BlockDevice(_) => "block device",
            RecordKind::Fifo => "named pipe",
            RecordKind::Whiteout => "whiteout",
            RecordKind::Opaque => "opaque marker",
        }
    }
}

/// How the stored bytes of a GNU sparse file, one behind the other in the stream, spread over the
/// file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    pub(crate) record: u32,
    /// (offset in the file, length), ascending.
    pub(crate) pieces: Vec<(u64, u64)>,
}

impl Index {
    /// How many entries are kept: those that describe a file and markers, not leftovers of old
    /// tools, nor most of what the layer itself overwrites.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.records.len()
    }

    /// The names in the root directory, as far as this layer has something of them, or in them.
    pub fn top_names(&self) -> impl Iterator<Item = &[u8]> {
        self.paths.below(PathId::ROOT)
    }

    /// The pack that belongs to this index: its length and the checksums of its pieces.
    #[must_use]
    pub fn seal(&self) -> &PackSeal {
        &self.seal
    }

    /// The segments of the file of a record, which start at `first`.
    pub(crate) fn segments(&self, record: usize, first: u32) -> &[Segment] {
        let mut later = self.records[record + 1..].iter();
        let end = later.find_map(|record| match record.kind {
            RecordKind::File { first_segment, .. } => Some(first_segment as usize),
            _ => None,
        });
        &self.segments[first as usize..end.unwrap_or(self.segments.len())]
    }

    pub(crate) fn sparse_pieces(&self, record: u32) -> Option<&[(u64, u64)]> {
        let at = self.sparse.binary_search_by_key(&record, |sparse| sparse.record).ok()?;
        Some(&self.sparse[at].pieces)
    }
}
