//! A disk whose blocks are anywhere in a file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::{ReadAt, system};

/// Where each part of a disk is, as a format's tables have it. What they say is checked when it is
/// asked for: nothing that [`Map::extent`] returns is outside of the file.
pub trait Map: Send + Sync {
    /// How long the disk is.
    fn len_bytes(&self) -> u64;

    /// What is at an offset on the disk, and how far that goes on, at least a byte. The offset is
    /// on the disk.
    ///
    /// # Errors
    /// When a table can't be read, or says what can't be.
    fn extent(&self, offset: u64) -> io::Result<Extent>;

    /// Fills `bytes` with what is at an offset of the disk that is [`Place::Packed`], and has all
    /// of them.
    ///
    /// # Errors
    /// When it can't be unpacked.
    fn unpack(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let _ = (offset, bytes);
        unreachable!("a map without packed places")
    }
}

/// A part of a disk that is in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it is.
    pub place: Place,
    /// How long it is, from where it was asked for.
    pub len: u64,
}

/// Where a part of a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it reads as zeros.
    Zeros,
    /// On the parent, at the same offset; it reads as zeros if there is none.
    Parent,
    /// In the file, from this offset on. What is behind the end of the file reads as zeros.
    File(u64),
    /// In the file, to be unpacked.
    Packed,
}

/// A file with a map, and the parent that has what is not in it.
pub struct Mapped<M> {
    file: Arc<File>,
    map: M,
    parent: Option<Arc<dyn ReadAt>>,
}

impl<M: Map> Mapped<M> {
    /// A disk of a file and its map.
    #[must_use]
    pub fn new(file: Arc<File>, map: M, parent: Option<Arc<dyn ReadAt>>) -> Mapped<M> {
        Mapped { file, map, parent }
    }

    /// Reads the file, with zeros behind its end.
    fn read_file(&self, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.read_at(bytes, offset) {
                Ok(0) => {
                    bytes.fill(0);
                    return Ok(());
                }
                Ok(count) => {
                    offset += count as u64;
                    bytes = &mut bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the parent, with zeros behind its end.
    fn read_parent(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let Some(parent) = &self.parent else {
            bytes.fill(0);
            return Ok(());
        };
        let there = parent.len_bytes().saturating_sub(offset);
        let there = usize::try_from(there).map_or(bytes.len(), |there| there.min(bytes.len()));
        let (front, rest) = bytes.split_at_mut(there);
        rest.fill(0);
        if front.is_empty() { Ok(()) } else { parent.read_at(offset, front) }
    }
}

impl<M: Map> ReadAt for Mapped<M> {
    fn len_bytes(&self) -> u64 {
        self.map.len_bytes()
    }

    fn read_at(&self, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len_bytes());
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        while !bytes.is_empty() {
            let extent = self.map.extent(offset)?;
            let len = usize::try_from(extent.len).map_or(bytes.len(), |len| len.min(bytes.len()));
            let (front, rest) = bytes.split_at_mut(len);
            match extent.place {
                Place::Zeros => front.fill(0),
                Place::Parent => self.read_parent(offset, front)?,
                Place::File(at) => self.read_file(at, front)?,
                Place::Packed => self.map.unpack(offset, front)?,
            }
            offset += len as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn next_content(&self, mut offset: u64) -> io::Result<Option<Range<u64>>> {
        while offset < self.len_bytes() {
            let Extent { place, len } = self.map.extent(offset)?;
            let end = offset.saturating_add(len).min(self.len_bytes());
            let content = match place {
                Place::Zeros => None,
                Place::Packed => Some(offset..end),
                Place::File(at) => {
                    let content = system::next_content(&self.file, at, at.saturating_add(end - offset));
                    content.map(|content| offset + (content.start - at)..offset + (content.end - at))
                }
                Place::Parent => match &self.parent {
                    Some(parent) => parent.next_content(offset)?,
                    None => None,
                },
            };
            if let Some(content) = content.filter(|content| content.start < end) {
                return Ok(Some(content.start.max(offset)..content.end.min(end)));
            }
            offset = end;
        }
        Ok(None)
    }
}
