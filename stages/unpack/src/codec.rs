//! An index as bytes, and back.
//!
//! ```text
//! "cvbx" version  counts…  names  paths  xattr sets  segments  sparse maps  extra times  records  seal
//! ```
//!
//! All numbers are little-endian. The bytes are a function of the layer, so equal layers have equal
//! index files. Whoever keeps them guards them against damage; decoding trusts nothing all the
//! same: every number is checked against what it refers to, so that a wrong file gives an error and
//! never a panic or a wrong tree.

mod parts;

use cvbake_tree::{Segment, Xattr};

use crate::index::{Index, RecordKind, Sparse};
use crate::path::{PathId, PathNode, Paths};
use crate::{PACK_PIECE, PackSeal};

use self::parts::{Reader, Writer};

const MAGIC: &[u8; 4] = b"cvbx";

/// Grows with every change of the format or of what the parser makes of a layer.
const VERSION: u32 = 2;

/// Why bytes are no index of this version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an index of this version: {0}")]
pub struct CodecError(&'static str);

impl Index {
    /// The index as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.encoded_len()));
        out.0.extend_from_slice(MAGIC);
        out.u32(VERSION);
        out.bytes(&self.paths.names);
        out.count(self.paths.nodes.len());
        for node in &self.paths.nodes {
            out.u32(node.parent.0);
            out.u32(node.name);
            out.u8(node.len);
        }
        out.count(self.xattrs.len());
        for set in &self.xattrs {
            out.count(set.len());
            for Xattr { name, value } in set {
                out.bytes(name);
                out.bytes(value);
            }
        }
        out.count(self.segments.len());
        for segment in &self.segments {
            out.u32(segment.file_block);
            out.u32(segment.blocks);
        }
        out.count(self.sparse.len());
        for Sparse { record, pieces } in &self.sparse {
            out.u32(*record);
            out.count(pieces.len());
            for (offset, len) in pieces {
                out.u64(*offset);
                out.u64(*len);
            }
        }
        out.count(self.extra_times.len());
        for (record, atime, ctime) in &self.extra_times {
            out.u32(*record);
            out.optional_time(*atime);
            out.optional_time(*ctime);
        }
        out.count(self.records.len());
        for record in &self.records {
            out.record(record);
        }
        out.u64(self.seal.len);
        out.count(self.seal.crcs.len());
        for crc in &self.seal.crcs {
            out.u32(*crc);
        }
        out.0
    }

    /// At least as many bytes as it is encoded in, and few more: a list that has to grow is there
    /// twice meanwhile.
    fn encoded_len(&self) -> usize {
        let xattr = |xattr: &Xattr| 16 + xattr.name.len() + xattr.value.len();
        let set = |set: &Vec<Xattr>| 8 + set.iter().map(xattr).sum::<usize>();
        let sparse = |sparse: &Sparse| 12 + 16 * sparse.pieces.len();
        let sets = self.xattrs.iter().map(set).sum::<usize>();
        let maps = self.sparse.iter().map(sparse).sum::<usize>();
        let beside = sets + maps + 8 * self.segments.len() + 30 * self.extra_times.len() + 4 * self.seal.crcs.len();
        128 + self.paths.names.len() + 9 * self.paths.nodes.len() + 55 * self.records.len() + beside
    }

    /// The index of bytes that [`Index::encode`] wrote.
    ///
    /// # Errors
    /// When it can't have written them.
    pub fn decode(bytes: &[u8]) -> Result<Index, CodecError> {
        let mut input = Reader(bytes);
        if input.take(4)? != MAGIC || input.u32()? != VERSION {
            return Err(CodecError("another magic number or version"));
        }
        let names = input.bytes()?.to_vec();
        let nodes = input
            .list(9, |input| Ok(PathNode { parent: PathId(input.u32()?), name: input.u32()?, len: input.u8()? }))?;
        let paths = Paths { nodes, names };
        let xattrs = input.list(8, |input| {
            input.list(16, |input| Ok(Xattr { name: input.bytes()?.into(), value: input.bytes()?.into() }))
        })?;
        let segments = input.list(8, |input| Ok(Segment { file_block: input.u32()?, blocks: input.u32()? }))?;
        let sparse = input.list(12, |input| {
            let record = input.u32()?;
            Ok(Sparse { record, pieces: input.list(16, |input| Ok((input.u64()?, input.u64()?)))? })
        })?;
        let extra_times = input.list(6, |input| Ok((input.u32()?, input.optional_time()?, input.optional_time()?)))?;
        let records = input.list(35, Reader::record)?;
        let len = input.u64()?;
        let seal = PackSeal { len, crcs: input.list(4, Reader::u32)? };
        if !input.0.is_empty() {
            return Err(CodecError("bytes after the end"));
        }
        let index = Index { paths, records, segments, sparse, xattrs, extra_times, seal };
        index.check()?;
        Ok(index)
    }

    /// Whether every number refers to something that is there.
    fn check(&self) -> Result<(), CodecError> {
        let need = |holds: bool, what| if holds { Ok(()) } else { Err(CodecError(what)) };
        let text = |start: u32, len: usize| start as usize + len <= self.paths.names.len();
        let path = |path: PathId| path.index() < self.paths.nodes.len();
        need(self.paths.nodes.first().is_some_and(|root| root.len == 0), "no root path")?;
        for (at, node) in self.paths.nodes.iter().enumerate() {
            need(text(node.name, usize::from(node.len)), "a name out of range")?;
            need(node.parent.index() < at.max(1), "a parent after its child")?;
        }
        need(self.xattrs.first().is_some_and(Vec::is_empty), "no empty xattr set")?;
        need(self.seal.len.div_ceil(PACK_PIECE as u64) == self.seal.crcs.len() as u64, "a wrong count of checksums")?;
        let mut last_segment = 0;
        for record in &self.records {
            need(path(record.path), "a path out of range")?;
            need((record.xattrs as usize) < self.xattrs.len(), "an xattr set out of range")?;
            match record.kind {
                RecordKind::File { first_segment, .. } => {
                    let ascending = (last_segment..=self.segments.len()).contains(&(first_segment as usize));
                    need(ascending, "segments out of range")?;
                    last_segment = first_segment as usize;
                }
                RecordKind::Symlink { target, len } => need(text(target, usize::from(len)), "a target out of range")?,
                RecordKind::HardLink(target) => need(path(target), "a link out of range")?,
                _ => {}
            }
        }
        let ascending = |sparse: &Sparse| {
            let follows = |end: u64, &(offset, len): &(u64, u64)| offset.checked_add(len).filter(|_| offset >= end);
            sparse.pieces.iter().try_fold(0, follows).is_some()
        };
        need(self.sparse.iter().all(ascending), "a sparse map out of order")?;
        let sorted = self.sparse.is_sorted_by(|a, b| a.record < b.record);
        need(sorted && self.extra_times.is_sorted_by(|a, b| a.0 < b.0), "side tables out of order")
    }
}

#[cfg(test)]
mod tests {
    use cvbake_tree::{Device, Time};

    use super::*;
    use crate::index::Record;
    use crate::path::Interner;

    fn index() -> Index {
        let mut interner = Interner::new();
        let file = interner.path(b"dir/file", "name").unwrap();
        let link = interner.path(b"dir/link", "name").unwrap();
        let target = interner.paths().push_text(b"file").unwrap();
        let meta = Record {
            path: file,
            header: 3,
            kind: RecordKind::Fifo,
            mode: 0o4755,
            uid: 7,
            gid: u32::MAX - 1,
            mtime: Time { secs: -3, nanos: 999 },
            xattrs: 1,
        };
        let data = RecordKind::File { size: 1 << 40, stream: 512, pack_block: 3, first_segment: 0 };
        let device = Device { major: 4095, minor: 1 };
        let kinds = [
            RecordKind::Directory,
            RecordKind::Symlink { target, len: 4 },
            RecordKind::HardLink(file),
            RecordKind::CharDevice(device),
            RecordKind::BlockDevice(device),
            RecordKind::Fifo,
            RecordKind::Whiteout,
            RecordKind::Opaque,
        ];
        let mut records = vec![Record { kind: data, ..meta.clone() }];
        records.extend(kinds.map(|kind| Record { kind, path: link, ..meta.clone() }));
        let xattr = Xattr { name: (*b"user.empty").into(), value: Default::default() };
        Index {
            paths: interner.finish(),
            records,
            segments: vec![Segment { file_block: 0, blocks: 1 }, Segment { file_block: 9, blocks: 2 }],
            sparse: vec![Sparse { record: 0, pieces: vec![(0, 4096), (36864, 8192)] }],
            xattrs: vec![vec![], vec![xattr]],
            extra_times: vec![(0, None, Some(Time::from_secs(5)))],
            seal: PackSeal { len: 3 * 4096, crcs: vec![42] },
        }
    }

    #[test]
    fn what_was_written_comes_back() {
        let bytes = index().encode();
        assert_eq!(Index::decode(&bytes), Ok(index()));
        assert!((bytes.len()..2 * bytes.len()).contains(&index().encoded_len()), "{}", index().encoded_len());
    }

    #[test]
    fn nothing_else_is_an_index() {
        let good = index().encode();
        for len in 0..good.len() {
            assert!(Index::decode(&good[..len]).is_err(), "the first {len} bytes");
        }
        assert!(Index::decode(&[&good[..], b"x"].concat()).is_err());
        for at in 0..good.len() {
            for bit in [0x01, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                // Some numbers may be anything; what must not happen is a panic, here or when the
                // index is used.
                if let Ok(index) = Index::decode(&bad) {
                    let _ = crate::merge(&[&index], Time::default());
                }
            }
        }
    }

    #[test]
    fn sparse_maps_ascend() {
        for pieces in [vec![(4096, 1), (0, 1)], vec![(0, 2), (1, 1)], vec![(u64::MAX, 1)]] {
            let bad = Index { sparse: vec![Sparse { record: 0, pieces }], ..index() };
            assert_eq!(Index::decode(&bad.encode()), Err(CodecError("a sparse map out of order")));
        }
    }
}
