//! One layer's archive → its index and its pack.
//!
//! Names are understood here as far as the layer alone can say: paths are normalised, names with
//! the prefix `.wh.` become markers, and `.wh..wh.…` (leftovers of AUFS, with whatever is below
//! them) are passed over. Numbers are checked against what an inode holds. What an entry means on
//! top of other entries is [`crate::merge`]'s affair.

use std::io::BufRead;

use cvbake_archive::tar::{Entry, Header, Kind, Reader};
use cvbake_tree::{Device, Time, Xattr, XattrSets};

use crate::error::Fault;
use crate::index::{Index, Record, RecordKind, STREAM_UNIT};
use crate::kept::{Kept, Records};
use crate::pack::{FileBlocks, PackWriter, Pieces};
use crate::path::{self, Interner, PathId};
use crate::{Error, PackSeal, Problem};

/// What marks a name as a whiteout.
const WHITEOUT: &[u8] = b".wh.";

/// What marks a name as a note of the storage driver, of which only one is defined.
const META: &[u8] = b".wh..wh.";

/// The note that a directory hides what the layers below have in it.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The most names that the paths of a layer are made of: some, and some more for each entry. Real
/// layers need little more than one for an entry; but one path of 64 KiB can have 32,000, which
/// cost memory even where they lead to no file.
const NAMES: usize = 1 << 20;
const NAMES_PER_ENTRY: usize = 8;

/// Owners are 32 bits wide; the largest number stands for "no owner" in system calls.
const ID_MAX: u64 = u32::MAX as u64 - 1;

/// Linux's device numbers are 32 bits wide, 12 of them for the driver.
const MAJOR_MAX: u64 = (1 << 12) - 1;
const MINOR_MAX: u64 = (1 << 20) - 1;

/// The most bytes of names and values that the extended attributes of one entry have: twice what an
/// ext4 inode holds with the block beside it. What does not fit exactly is told by whoever places
/// it; what can't fit anywhere is not kept until then.
const XATTRS_MAX: usize = 8192;

/// The most bytes of memory that a layer may take beside its entries in force: for names, link
/// targets, extended attributes, runs of content, parts of sparse files, times of access and
/// change, and entries that are overwritten. Some, and some more for each entry: a name of 60
/// bytes, a signature of 300 in an extended attribute and all times are 600. An archive can state
/// all of this thousands of times over at next to no cost.
const BULK: usize = 64 << 20;
const BULK_PER_ENTRY: usize = 1024;

/// The longest target that `symlink` takes.
const TARGET_MAX: usize = 4095;

/// Reads a layer's uncompressed archive and gives its index; the pieces of its pack go to `out`, in
/// order, as `(offset, bytes)`.
///
/// The stream is read as far as the end of the archive; whoever checks its digest reads the rest.
///
/// # Errors
/// When the archive is malformed, an entry makes no sense, or reading or `out` fails.
pub fn unpack(stream: &mut dyn BufRead, out: &mut Pieces<'_>) -> Result<Index, Error> {
    let mut reader = Reader::new(stream);
    let mut indexer = Indexer::new();
    let mut pack = PackWriter::new(out);
    let mut blocks = FileBlocks::new();
    while let Some(mut entry) = reader.next_entry()? {
        indexer.entry(&mut entry, &mut pack, &mut blocks).map_err(|fault| match fault {
            Fault::Layer(error) => error,
            Fault::Entry(problem) => {
                let Header { path, offset, .. } = entry.header;
                Error::Entry { path: cvbake_tree::escape_short(path), offset: *offset, problem }
            }
        })?;
    }
    Ok(indexer.finish(pack.finish()?))
}

struct Indexer {
    interner: Interner,
    records: Records,
    xattrs: XattrSets,
}

/// What a path says beside where it leads.
enum Name {
    Plain(PathId),
    Whiteout(PathId),
    Opaque(PathId),
    /// Nothing that concerns an image.
    Note,
}

impl Indexer {
    fn new() -> Indexer {
        Indexer { interner: Interner::new(), records: Records::new(), xattrs: XattrSets::new() }
    }

    fn finish(self, seal: PackSeal) -> Index {
        let Kept { records, segments, sparse, extra_times } = self.records.finish();
        let (paths, xattrs) = (self.interner.finish(), self.xattrs.into_sets());
        Index { paths, records, segments, sparse, xattrs, extra_times, seal }
    }

    fn entry<R: BufRead>(
        &mut self,
        entry: &mut Entry<'_, R>,
        pack: &mut PackWriter<'_>,
        blocks: &mut FileBlocks,
    ) -> Result<(), Fault> {
        let header = entry.header;
        let (path, marker) = match self.name(&header.path)? {
            Name::Note => return Ok(()),
            Name::Plain(path) => (path, None),
            Name::Whiteout(path) => (path, Some(RecordKind::Whiteout)),
            Name::Opaque(path) => (path, Some(RecordKind::Opaque)),
        };
        let is_file = marker.is_none() && header.kind == Kind::File;
        let kind = match marker {
            Some(marker) => marker,
            None if is_file => self.start_file(header, pack)?,
            None => self.kind(header)?,
        };
        let limit = NAMES + NAMES_PER_ENTRY * self.records.len();
        if self.interner.paths().nodes.len() > limit {
            return Err(Problem::ManyNames { limit }.into());
        }
        let record = Record { header: unit(header.offset)?, ..self.record(header, path, kind)? };
        self.keep(header, record)?;
        if is_file {
            self.content(entry, pack, blocks)?;
        }
        Ok(self.check_bulk()?)
    }

    fn keep(&mut self, header: &Header, mut record: Record) -> Result<(), Error> {
        let mut times = (None, None);
        // A marker describes no file, and a hard link one that is described elsewhere.
        if !matches!(record.kind, RecordKind::Whiteout | RecordKind::Opaque | RecordKind::HardLink(_)) {
            let time = |time: cvbake_archive::tar::Time| Time { secs: time.secs, nanos: time.nanos };
            times = (header.atime.map(time), header.ctime.map(time));
            record.xattrs = self.xattr_set(header)?;
        }
        self.records.push(self.interner.paths(), record, times)
    }

    /// Whether what is kept beside the entries is in proportion to them.
    fn check_bulk(&mut self) -> Result<(), Problem> {
        let entries = self.records.len();
        let found = self.interner.bytes() + self.xattrs.bytes() + self.records.burden();
        let limit = BULK + BULK_PER_ENTRY * entries;
        if found > limit { Err(Problem::Bulk { found, limit, entries }) } else { Ok(()) }
    }

    fn name(&mut self, raw: &[u8]) -> Result<Name, Fault> {
        let names = path::names(raw, "name")?;
        let Some((name, directory)) = names.split_last() else { return Ok(Name::Plain(PathId::ROOT)) };
        if directory.iter().any(|name| name.starts_with(META)) {
            return Ok(Name::Note);
        }
        if let Some(name) = directory.iter().find(|name| name.starts_with(WHITEOUT)) {
            return Err(Problem::Reserved { name: cvbake_tree::escape(name) }.into());
        }
        Ok(match *name {
            OPAQUE => Name::Opaque(self.interner.descend(directory)?),
            _ if name.starts_with(META) => Name::Note,
            _ => match name.strip_prefix(WHITEOUT) {
                None => Name::Plain(self.interner.descend(&names)?),
                Some(b"" | b"." | b"..") => {
                    return Err(Problem::Whiteout { name: cvbake_tree::escape(&name[WHITEOUT.len()..]) }.into());
                }
                Some(hidden) => {
                    let directory = self.interner.descend(directory)?;
                    Name::Whiteout(self.interner.child(directory, hidden)?)
                }
            },
        })
    }

    fn kind(&mut self, header: &Header) -> Result<RecordKind, Fault> {
        Ok(match header.kind {
            Kind::File => unreachable!("files are indexed with their content"),
            Kind::Directory => RecordKind::Directory,
            Kind::Fifo => RecordKind::Fifo,
            Kind::CharDevice => RecordKind::CharDevice(device(header)?),
            Kind::BlockDevice => RecordKind::BlockDevice(device(header)?),
            Kind::Symlink => {
                let len = header.link.len();
                match u16::try_from(len) {
                    Ok(short) if (1..=TARGET_MAX).contains(&len) => {
                        RecordKind::Symlink { target: self.interner.target(&header.link)?, len: short }
                    }
                    _ => return Err(Problem::Target { len }.into()),
                }
            }
            Kind::HardLink => RecordKind::HardLink(self.interner.path(&header.link, "link target")?),
        })
    }

    /// The record of anything, but for what [`Indexer::entry`] fills in.
    fn record(&self, header: &Header, path: PathId, kind: RecordKind) -> Result<Record, Problem> {
        let bytes = header.xattrs().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > XATTRS_MAX {
            return Err(Problem::Xattrs { bytes, limit: XATTRS_MAX });
        }
        Ok(Record {
            path,
            header: 0,
            kind,
            mode: u16::try_from(header.mode & 0o7777).expect("masked to twelve bits"),
            uid: number("owner", header.uid, ID_MAX)?,
            gid: number("group", header.gid, ID_MAX)?,
            mtime: Time { secs: header.mtime.secs, nanos: header.mtime.nanos },
            xattrs: 0,
        })
    }

    fn start_file(&self, header: &Header, pack: &PackWriter<'_>) -> Result<RecordKind, Error> {
        Ok(RecordKind::File {
            size: header.size,
            stream: unit(header.data_offset)?,
            pack_block: u32::try_from(pack.blocks()).map_err(|_| Error::TooMany { what: "blocks of file content" })?,
            first_segment: count(self.records.segment_count(), "runs of file content")?,
        })
    }

    /// Reads the content of the file whose record is the last.
    fn content<R: BufRead>(
        &mut self,
        entry: &mut Entry<'_, R>,
        pack: &mut PackWriter<'_>,
        blocks: &mut FileBlocks,
    ) -> Result<(), Error> {
        blocks.start();
        while let Some(piece) = entry.data.next_piece()? {
            blocks.write(piece.offset, piece.bytes, pack)?;
        }
        let header = entry.header;
        let pieces = || header.extents.iter().map(|extent| (extent.offset, extent.len)).collect();
        self.records.content(blocks.end(pack)?, header.sparse.then(pieces));
        Ok(())
    }

    fn xattr_set(&mut self, header: &Header) -> Result<u32, Error> {
        let set = header.xattrs().map(|(name, value)| Xattr { name: name.into(), value: value.into() }).collect();
        self.xattrs.number(set).ok_or(Error::TooMany { what: "sets of extended attributes" })
    }
}

fn device(header: &Header) -> Result<Device, Problem> {
    Ok(Device {
        major: number("device major number", header.device_major, MAJOR_MAX)?,
        minor: number("device minor number", header.device_minor, MINOR_MAX)?,
    })
}

fn number(what: &'static str, found: u64, limit: u64) -> Result<u32, Problem> {
    match u32::try_from(found) {
        Ok(small) if found <= limit => Ok(small),
        _ => Err(Problem::Range { what, found, limit }),
    }
}

fn count(count: usize, what: &'static str) -> Result<u32, Error> {
    u32::try_from(count).map_err(|_| Error::TooMany { what })
}

/// A position in the stream, in units of 512 bytes: 2 TiB of archive can be counted.
fn unit(offset: u64) -> Result<u32, Error> {
    debug_assert!(offset.is_multiple_of(STREAM_UNIT), "headers and contents are aligned");
    u32::try_from(offset / STREAM_UNIT).map_err(|_| Error::TooMany { what: "blocks of archive" })
}
