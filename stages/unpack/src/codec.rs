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

use cvbake_tree::{Device, Segment, Time, Xattr};

use crate::index::{Index, Record, RecordKind, Sparse};
use crate::path::{PathId, PathNode, Paths};
use crate::{PACK_PIECE, PackSeal};

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

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn time(&mut self, time: Time) {
        self.0.extend_from_slice(&time.secs.to_le_bytes());
        self.u32(time.nanos);
    }

    fn optional_time(&mut self, time: Option<Time>) {
        self.u8(u8::from(time.is_some()));
        if let Some(time) = time {
            self.time(time);
        }
    }

    fn record(&mut self, record: &Record) {
        self.u32(record.path.0);
        self.u32(record.header);
        self.0.extend_from_slice(&record.mode.to_le_bytes());
        self.u32(record.uid);
        self.u32(record.gid);
        self.time(record.mtime);
        self.u32(record.xattrs);
        match &record.kind {
            RecordKind::Directory => self.u8(0),
            RecordKind::File { size, stream, pack_block, first_segment } => {
                self.u8(1);
                self.u64(*size);
                self.u32(*stream);
                self.u32(*pack_block);
                self.u32(*first_segment);
            }
            RecordKind::Symlink { target, len } => {
                self.u8(2);
                self.u32(*target);
                self.u32(u32::from(*len));
            }
            RecordKind::HardLink(target) => {
                self.u8(3);
                self.u32(target.0);
            }
            RecordKind::CharDevice(device) => {
                self.u8(4);
                self.device(*device);
            }
            RecordKind::BlockDevice(device) => {
                self.u8(5);
                self.device(*device);
            }
            RecordKind::Fifo => self.u8(6),
            RecordKind::Whiteout => self.u8(7),
            RecordKind::Opaque => self.u8(8),
        }
    }

    fn device(&mut self, device: Device) {
        self.u32(device.major);
        self.u32(device.minor);
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CodecError("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        Ok(self.take(N)?.try_into().expect("take gives the length asked for"))
    }

    fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things of at least `least` bytes each: no more than there can be in what is left,
    /// and fewer than 2^32.
    fn count(&mut self, least: usize) -> Result<usize, CodecError> {
        let count = self.u64()?;
        let count = u32::try_from(count).map_err(|_| CodecError("a count out of range"))? as usize;
        if count > self.0.len() / least { Err(CodecError("a count out of range")) } else { Ok(count) }
    }

    fn bytes(&mut self) -> Result<&'b [u8], CodecError> {
        let len = self.count(1)?;
        self.take(len)
    }

    fn list<T>(
        &mut self,
        least: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.count(least)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(item(self)?);
        }
        Ok(list)
    }

    fn time(&mut self) -> Result<Time, CodecError> {
        Ok(Time { secs: i64::from_le_bytes(self.array()?), nanos: self.u32()? })
    }

    fn optional_time(&mut self) -> Result<Option<Time>, CodecError> {
        Ok(if self.u8()? == 0 { None } else { Some(self.time()?) })
    }

    fn device(&mut self) -> Result<Device, CodecError> {
        Ok(Device { major: self.u32()?, minor: self.u32()? })
    }

    fn record(&mut self) -> Result<Record, CodecError> {
        let (path, header) = (PathId(self.u32()?), self.u32()?);
        let mode = u16::from_le_bytes(self.array()?);
        let (uid, gid) = (self.u32()?, self.u32()?);
        let mtime = self.time()?;
        let xattrs = self.u32()?;
        let kind = match self.u8()? {
            0 => RecordKind::Directory,
            1 => RecordKind::File {
                size: self.u64()?,
                stream: self.u32()?,
                pack_block: self.u32()?,
                first_segment: self.u32()?,
            },
            2 => {
                let target = self.u32()?;
                let len = u16::try_from(self.u32()?).map_err(|_| CodecError("a target out of range"))?;
                RecordKind::Symlink { target, len }
            }
            3 => RecordKind::HardLink(PathId(self.u32()?)),
            4 => RecordKind::CharDevice(self.device()?),
            5 => RecordKind::BlockDevice(self.device()?),
            6 => RecordKind::Fifo,
            7 => RecordKind::Whiteout,
            8 => RecordKind::Opaque,
            _ => return Err(CodecError("an unknown kind of record")),
        };
        Ok(Record { path, header, kind, mode, uid, gid, mtime, xattrs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
