//! What a qcow2 file says of itself.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use zerocopy::{FromBytes as _, FromZeros as _};

use crate::FormatError;
use crate::format::qcow2::*;

/// What a qcow2 file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The version of the format: 2 or 3.
    pub version: u32,
    /// How long the disk is.
    pub virtual_size: u64,
    /// How long a cluster is.
    pub cluster_size: u64,
    /// How compressed clusters are compressed.
    pub compression: Compression,
    /// The file that has what this one does not.
    pub backing: Option<Backing>,
    /// How many internal snapshots it has.
    pub snapshots: u32,
    /// Whether it has bitmaps or the like: clusters that no table of the disk refers to.
    pub(super) has_more: bool,
    pub(crate) header: Header,
}

/// The fields that lead to the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) file_len: u64,
    pub(crate) cluster_bits: u32,
    pub(crate) l1_size: u32,
    pub(crate) l1_table_offset: u64,
    pub(crate) refcount_table_offset: u64,
    pub(crate) refcount_table_clusters: u32,
    pub(crate) refcount_order: u32,
}

/// The file that has what a qcow2 file does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its name, as the file has it: a path, or whatever else QEMU opens.
    pub name: Vec<u8>,
    /// Its format, if the file says it.
    pub format: Option<String>,
}

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Deflate, without a header.
    Zlib,
    /// Zstandard.
    Zstd,
}

impl Backing {
    /// How long the name of a backing file may be, by the format.
    pub const MAX_NAME: usize = 1023;
}

const MAX_NAME: u32 = 1023;

/// How many header extensions are looked at; the format knows five.
const MAX_EXTENSIONS: usize = 64;

/// How long the header with its extensions may be: the longest cluster.
const MAX_CLUSTER_BITS: u32 = 21;

impl Info {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// When it is no qcow2 file, or one with something that can't be read.
    pub fn read(file: &File) -> Result<Info, FormatError> {
        let file_len = file.metadata().map_err(|source| FormatError::Read { offset: 0, len: 0, source })?.len();
        let magic = bytes(file, 0, file_len.min(4))?;
        if magic != MAGIC {
            return Err(FormatError::NotIt { expected: "\"QFI\\xfb\" at its beginning", found: magic });
        }
        let mut header = QCowHeader::new_zeroed();
        let first = bytes(file, 0, file_len.min(size_of::<QCowHeader>() as u64))?;
        if first.len() < VERSION_2_HEADER {
            return Err(FormatError::CutOff { found: file_len, expected: VERSION_2_HEADER as u64 });
        }
        let mut whole = [0; size_of::<QCowHeader>()];
        whole[..first.len()].copy_from_slice(&first);
        if let Ok((read, _)) = QCowHeader::read_from_prefix(&whole) {
            header = read;
        }
        let version = header.version.get();
        let field = |what, found: u64, expected| Err(FormatError::Field { what, found, expected });
        let (header_len, order, incompatible) = match version {
            2 => (VERSION_2_HEADER as u64, 4, 0),
            3 => (header.header_length.get().into(), header.refcount_order.get(), header.incompatible_features.get()),
            _ => return field("the version", version.into(), "2 or 3"),
        };
        if version == 3 && (first.len() < size_of::<QCowHeader>()) {
            return Err(FormatError::CutOff { found: file_len, expected: size_of::<QCowHeader>() as u64 });
        }
        let bits = header.cluster_bits.get();
        if !(9..=MAX_CLUSTER_BITS).contains(&bits) {
            return field("the number of cluster bits", bits.into(), "9 to 21");
        }
        let cluster_size = 1 << bits;
        if version == 3 && (header_len < size_of::<QCowHeader>() as u64 || header_len > cluster_size) {
            return field("the length of the header", header_len, "104 or more, within a cluster");
        }
        if header.crypt_method.get() != 0 {
            return Err(FormatError::Unsupported { what: "encrypted clusters" });
        }
        let compression = compression(file, header_len, incompatible)?;
        if order > 6 {
            return field("the refcount order", order.into(), "at most 6");
        }
        let size = header.size.get();
        let entries = cluster_size / 8;
        let needed = size.div_ceil(cluster_size).div_ceil(entries);
        let l1_size = header.l1_size.get();
        if u64::from(l1_size) < needed || u64::from(l1_size) * 8 > QCOW_MAX_L1_SIZE {
            return field("the number of L1 entries", l1_size.into(), "as many as the disk needs, at most 4194304");
        }
        let extensions = extensions(file, header_len, cluster_size.min(file_len))?;
        let info = Info {
            version,
            virtual_size: size,
            cluster_size,
            compression,
            backing: backing(file, &header, extensions, cluster_size)?,
            snapshots: header.nb_snapshots.get(),
            has_more: version == 3 && header.autoclear_features.get() != 0,
            header: Header {
                file_len,
                cluster_bits: bits,
                l1_size,
                l1_table_offset: header.l1_table_offset.get(),
                refcount_table_offset: header.refcount_table_offset.get(),
                refcount_table_clusters: header.refcount_table_clusters.get(),
                refcount_order: order,
            },
        };
        info.header.check()?;
        Ok(info)
    }
}

impl Header {
    /// Whether the tables are where they can be.
    fn check(&self) -> Result<(), FormatError> {
        let tables = [
            ("the offset of the L1 table", self.l1_table_offset, u64::from(self.l1_size) * 8),
            (
                "the offset of the refcount table",
                self.refcount_table_offset,
                u64::from(self.refcount_table_clusters) << self.cluster_bits,
            ),
        ];
        for (what, offset, len) in tables {
            if len == 0 {
                continue;
            }
            if offset == 0 || !offset.is_multiple_of(1 << self.cluster_bits) {
                return Err(FormatError::Field { what, found: offset, expected: "a multiple of a cluster, not 0" });
            }
            let end = offset.saturating_add(len);
            // A last cluster may be longer than the file; the L1 table ends where it ends.
            let least = if what.contains("L1") { end } else { offset + 1 };
            if least > self.file_len {
                return Err(FormatError::CutOff { found: self.file_len, expected: end });
            }
        }
        Ok(())
    }
}

fn bytes(file: &File, offset: u64, len: u64) -> Result<Vec<u8>, FormatError> {
    let mut bytes = vec![0; usize::try_from(len).expect("a part of a header")];
    file.read_exact_at(&mut bytes, offset).map_err(|source| FormatError::Read { offset, len, source })?;
    Ok(bytes)
}

/// How clusters are compressed, if nothing else in the features keeps the file from being read.
fn compression(file: &File, header_len: u64, incompatible: u64) -> Result<Compression, FormatError> {
    let unsupported = [
        (INCOMPAT_DIRTY, "reference counts that may be wrong: it was not closed, or is in use"),
        (INCOMPAT_CORRUPT, "the mark of a damaged file"),
        (INCOMPAT_DATA_FILE, "an external data file"),
        (INCOMPAT_EXTL2, "extended L2 entries"),
    ];
    if let Some((_, what)) = unsupported.into_iter().find(|(bit, _)| incompatible & bit != 0) {
        return Err(FormatError::Unsupported { what });
    }
    if incompatible & !INCOMPAT_COMPRESSION != 0 {
        return Err(FormatError::Unsupported { what: "an unknown incompatible feature" });
    }
    if incompatible == 0 {
        return Ok(Compression::Zlib);
    }
    let kind = if header_len > COMPRESSION_TYPE { bytes(file, COMPRESSION_TYPE, 1)?[0] } else { 0 };
    match kind {
        COMPRESSION_ZSTD => Ok(Compression::Zstd),
        _ => Err(FormatError::Field { what: "the compression type", found: kind.into(), expected: "1, which is zstd" }),
    }
}

/// What the header extensions say of the format of the backing file.
fn extensions(file: &File, start: u64, end: u64) -> Result<Option<String>, FormatError> {
    let mut at = start;
    let mut format = None;
    for _ in 0..MAX_EXTENSIONS {
        // Files of version 2 may have none, not even their end.
        if at + 8 > end {
            break;
        }
        let head = bytes(file, at, 8)?;
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let (kind, len) = (number(0), u64::from(number(4)));
        if kind == EXT_END {
            break;
        }
        if at + 8 + len > end {
            return Err(FormatError::Field {
                what: "the length of a header extension",
                found: len,
                expected: "no more than the first cluster has",
            });
        }
        if kind == EXT_BACKING_FORMAT && len <= u64::from(MAX_NAME) {
            format = Some(String::from_utf8_lossy(&bytes(file, at + 8, len)?).into_owned());
        }
        at += 8 + len.next_multiple_of(8);
    }
    Ok(format)
}

fn backing(
    file: &File,
    header: &QCowHeader,
    format: Option<String>,
    cluster_size: u64,
) -> Result<Option<Backing>, FormatError> {
    let (offset, len) = (header.backing_file_offset.get(), header.backing_file_size.get());
    if offset == 0 {
        return Ok(None);
    }
    let end = offset.checked_add(len.into());
    if len > MAX_NAME || end.is_none_or(|end| end > cluster_size) {
        return Err(FormatError::Field {
            what: "the length of the backing file's name",
            found: len.into(),
            expected: "at most 1023, within the first cluster",
        });
    }
    Ok(Some(Backing { name: bytes(file, offset, len.into())?, format }))
}
