//! What an index is made of, as bytes: numbers, texts, lists, and records.

use cvbake_tree::{Device, Time};

use super::CodecError;
use crate::index::{Record, RecordKind};
use crate::path::PathId;

pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn time(&mut self, time: Time) {
        self.0.extend_from_slice(&time.secs.to_le_bytes());
        self.u32(time.nanos);
    }

    pub(super) fn optional_time(&mut self, time: Option<Time>) {
        self.u8(u8::from(time.is_some()));
        if let Some(time) = time {
            self.time(time);
        }
    }

    pub(super) fn record(&mut self, record: &Record) {
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

    pub(super) fn device(&mut self, device: Device) {
        self.u32(device.major);
        self.u32(device.minor);
    }
}

pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'b [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CodecError("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        Ok(self.take(N)?.try_into().expect("take gives the length asked for"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things of at least `least` bytes each: no more than there can be in what is left,
    /// and fewer than 2^32.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, CodecError> {
        let count = self.u64()?;
        let count = u32::try_from(count).map_err(|_| CodecError("a count out of range"))? as usize;
        if count > self.0.len() / least { Err(CodecError("a count out of range")) } else { Ok(count) }
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], CodecError> {
        let len = self.count(1)?;
        self.take(len)
    }

    pub(super) fn list<T>(
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

    pub(super) fn time(&mut self) -> Result<Time, CodecError> {
        Ok(Time { secs: i64::from_le_bytes(self.array()?), nanos: self.u32()? })
    }

    pub(super) fn optional_time(&mut self) -> Result<Option<Time>, CodecError> {
        Ok(if self.u8()? == 0 { None } else { Some(self.time()?) })
    }

    pub(super) fn device(&mut self) -> Result<Device, CodecError> {
        Ok(Device { major: self.u32()?, minor: self.u32()? })
    }

    pub(super) fn record(&mut self) -> Result<Record, CodecError> {
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
