//! The bytes of files and of symbolic links.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use cvbake_disk::ReadAt;
use cvbake_tree::read::NodeKind;
use zerocopy::FromBytes as _;

use super::node::Data;
use super::{Error, Filesystem, Node, Object};
use crate::format as f;

/// The content of a file: bytes at positions.
pub struct Content {
    disk: Arc<dyn ReadAt>,
    nid: u64,
    len_bytes: u64,
    /// Where it is, in order. What is between the runs is zeros.
    runs: Vec<Run>,
}

/// A part of a file in one piece on the disk, all in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    at: u64,
    len: u64,
    disk: u64,
}

impl Run {
    pub(super) fn on_disk(&self) -> Range<u64> {
        self.disk..self.disk + self.len
    }
}

/// In how many pieces a file can be: 4 Mi of them are 100 MiB of memory and, of the smallest
/// chunks, 16 GiB without two neighbours.
const RUNS_MAX: usize = 1 << 22;

/// How much of a chunk map is read at once.
const PIECE: u64 = 1 << 16;

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("nid", &self.nid).field("len_bytes", &self.len_bytes).finish_non_exhaustive()
    }
}

impl Filesystem {
    /// The content of a regular file.
    ///
    /// # Errors
    /// When it is none, or is compressed, or where its content is can't be read.
    pub fn content(&self, node: &Node) -> Result<Content, Error> {
        match node.kind {
            NodeKind::File => self.content_of(node),
            kind => Err(node.object().rule(format!("it is {}, expected a regular file", kind.words()))),
        }
    }

    pub(super) fn content_of(&self, node: &Node) -> Result<Content, Error> {
        let runs = self.runs(node)?;
        Ok(Content { disk: self.disk.clone(), nid: node.nid, len_bytes: node.size, runs })
    }

    /// Where content is; each run is within the filesystem.
    pub(super) fn runs(&self, node: &Node) -> Result<Vec<Run>, Error> {
        let block = self.info().block_size;
        let inline = match node.data {
            Data::Compressed => return Err(Error::Compressed { object: node.object() }),
            Data::Chunks => return self.chunks(node),
            Data::Plain => 0,
            // Linux: the last block, whole or not.
            Data::Inline => node.size - node.size.saturating_sub(1) / block * block,
        };
        let mut runs = Vec::new();
        let blocks = node.size - inline;
        if blocks > 0 {
            let disk = u64::from(node.i_u) * block;
            let end = blocks.checked_next_multiple_of(block).and_then(|len| len.checked_add(disk));
            if end.is_none_or(|end| end > self.info().len_bytes()) || disk == 0 {
                let len = blocks.div_ceil(block);
                let expected = format!("1 to less than {}, with {len} blocks from there", self.info().blocks);
                return Err(node.object().value("i_u", node.i_u, expected));
            }
            runs.push(Run { at: 0, len: blocks, disk });
        }
        if inline > 0 {
            let disk = node.tail_at();
            let end = disk.saturating_add(inline);
            if end > self.info().len_bytes() || disk / block != (end - 1) / block {
                let expected = format!("an end within a block, with {inline} bytes at {disk}");
                return Err(node.object().value("i_size", node.size, expected));
            }
            runs.push(Run { at: blocks, len: inline, disk });
        }
        Ok(runs)
    }

    /// Where the chunk map of a file is, and how many bytes an entry has.
    pub(super) fn map(&self, node: &Node) -> Result<(Range<u64>, u64), Error> {
        let known = f::EROFS_CHUNK_FORMAT_BLKBITS_MASK | f::EROFS_CHUNK_FORMAT_INDEXES;
        if node.i_u & !known != 0 {
            return Err(node.object().value("the format of its chunks", node.i_u, format!("at most {known}")));
        }
        let entry = match node.i_u & f::EROFS_CHUNK_FORMAT_INDEXES {
            0 => f::EROFS_BLOCK_MAP_ENTRY_SIZE,
            _ => size_of::<f::ChunkIndex>() as u64,
        };
        let at = node.tail_at().next_multiple_of(entry);
        let count = node.size.div_ceil(self.chunk_len(node));
        let end = count.checked_mul(entry).and_then(|len| len.checked_add(at));
        match end.filter(|&end| end <= self.info().len_bytes()) {
            Some(end) => Ok((at..end, entry)),
            None => {
                let expected = format!("a map of {count} chunks within the filesystem");
                Err(node.object().value("i_size", node.size, expected))
            }
        }
    }

    /// At most 2^47: a block of 64 KiB, and 31 bits.
    fn chunk_len(&self, node: &Node) -> u64 {
        self.info().block_size << (node.i_u & f::EROFS_CHUNK_FORMAT_BLKBITS_MASK)
    }

    fn chunks(&self, node: &Node) -> Result<Vec<Run>, Error> {
        let object = Object::Map(node.nid);
        let (map, entry) = self.map(node)?;
        let (block, chunk) = (self.info().block_size, self.chunk_len(node));
        let mut runs: Vec<Run> = Vec::new();
        let (mut read, mut at) = (map.start, 0);
        while read < map.end {
            let len = PIECE.min(map.end - read);
            let bytes = self.bytes(read, usize::try_from(len).expect("a piece"), object)?;
            read += len;
            for entry in bytes.chunks_exact(usize::try_from(entry).expect("4 or 8")) {
                let start = match f::ChunkIndex::read_from_bytes(entry) {
                    Ok(index) if index.device_id.get() != 0 || index.startblk_hi.get() != 0 => {
                        return Err(object.value("device_id", index.device_id.get(), "0, this disk"));
                    }
                    Ok(index) => index.startblk_lo.get(),
                    Err(_) => u32::from_le_bytes(entry.try_into().expect("4 bytes")),
                };
                let len = chunk.min(node.size - at);
                if start != f::EROFS_NULL_ADDR {
                    let disk = u64::from(start) * block;
                    // Block 0 has the superblock: zeros are no address, so that a map that was
                    // never written has no chunks.
                    if start == 0 || disk.saturating_add(len) > self.info().len_bytes() {
                        let expected = format!("1 to less than {}, with {len} bytes from there", self.info().blocks);
                        return Err(object.value("a chunk's block", start, expected));
                    }
                    let is_full = runs.len() == RUNS_MAX;
                    match runs.last_mut() {
                        Some(last) if last.at + last.len == at && last.disk + last.len == disk => last.len += len,
                        _ if is_full => {
                            return Err(object.rule(format!("the file is in more than {RUNS_MAX} pieces")));
                        }
                        _ => runs.push(Run { at, len, disk }),
                    }
                }
                at += len;
            }
        }
        Ok(runs)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// When it is none, or its target can't be one.
    pub fn target(&self, node: &Node) -> Result<Vec<u8>, Error> {
        if node.kind != NodeKind::Symlink {
            let rule = format!("it is {}, expected a symbolic link", node.kind.words());
            return Err(node.object().rule(rule));
        }
        let len = usize::try_from(node.size).ok().filter(|len| (1..=f::SYMLINK_MAX).contains(len));
        let Some(len) = len else {
            let expected = format!("1 to {}", f::SYMLINK_MAX);
            return Err(node.object().value("the length of its target", node.size, expected));
        };
        let mut target = vec![0; len];
        self.content_of(node)?.read_at(0, &mut target)?;
        match target.contains(&0) {
            true => Err(node.object().rule("its target has a NUL in it")),
            false => Ok(target),
        }
    }
}

impl Content {
    /// How long the file is.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Fills all of `bytes` with what is at `offset` of the file.
    ///
    /// # Errors
    /// When the disk can't be read, or not all of it is in the file.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let unreadable = |source| Error::Read { object: Object::Content(self.nid), source };
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len_bytes);
        let end = end.ok_or_else(|| unreadable(io::ErrorKind::UnexpectedEof.into()))?;
        bytes.fill(0);
        let first = self.runs.partition_point(|run| run.at + run.len <= offset);
        for run in &self.runs[first..] {
            let (from, to) = (run.at.max(offset), (run.at + run.len).min(end));
            if from >= to {
                break;
            }
            let within = |position: u64| usize::try_from(position - offset).expect("within the buffer");
            let wanted = &mut bytes[within(from)..within(to)];
            self.disk.read_at(run.disk + (from - run.at), wanted).map_err(unreadable)?;
        }
        Ok(())
    }

    /// The first range at or behind `offset` that may have other bytes than zeros, if there is one.
    #[must_use]
    pub fn next_content(&self, offset: u64) -> Option<Range<u64>> {
        let next = self.runs.partition_point(|run| run.at + run.len <= offset);
        let run = self.runs.get(next)?;
        Some(run.at.max(offset)..run.at + run.len)
    }
}

impl cvbake_tree::read::Content for Content {
    fn len_bytes(&self) -> u64 {
        self.len_bytes()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, bytes).map_err(io::Error::other)
    }

    fn next_content(&self, offset: u64) -> Option<Range<u64>> {
        self.next_content(offset)
    }
}

impl cvbake_tree::read::Contents for Filesystem {
    fn open(&self, inode: u64) -> io::Result<Arc<dyn cvbake_tree::read::Content>> {
        let content = self.node(inode).and_then(|node| self.content(&node));
        Ok(Arc::new(content.map_err(io::Error::other)?))
    }
}
