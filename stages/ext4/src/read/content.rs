//! The bytes of files and of symbolic links.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cvbake_disk::ReadAt;

use super::extents::Run;
use super::{Error, Filesystem, Node, NodeKind, Object};
use crate::format::inode::{EXT4_EXTENTS_FL, EXT4_INLINE_DATA_FL, I_BLOCK_LEN, SYMLINK_MAX};

/// The content of a file: bytes at positions.
pub struct Content {
    disk: Arc<dyn ReadAt>,
    ino: u32,
    block_size: u64,
    len_bytes: u64,
    source: Source,
}

enum Source {
    /// The content itself.
    Inline(Vec<u8>),
    /// Where it is, in order.
    Blocks(Vec<Run>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("ino", &self.ino).field("len_bytes", &self.len_bytes).finish_non_exhaustive()
    }
}

impl Filesystem {
    /// The content of a regular file.
    ///
    /// # Errors
    /// When it is none, or where its content is can't be read.
    pub fn content(&self, node: &Node) -> Result<Content, Error> {
        match node.kind {
            NodeKind::File => self.content_of(node),
            kind => Err(node.object().rule(format!("it is {}, expected a regular file", kind.words()))),
        }
    }

    fn content_of(&self, node: &Node) -> Result<Content, Error> {
        let source = if node.has(EXT4_INLINE_DATA_FL) {
            Source::Inline(self.inline_data(node)?)
        } else {
            Source::Blocks(self.map(node)?.runs)
        };
        Ok(Content {
            disk: self.disk.clone(),
            ino: node.ino,
            block_size: self.block_size(),
            len_bytes: node.size,
            source,
        })
    }

    /// What an inode holds itself: in `i_block` and, where that is too small, in an attribute that
    /// is shown to nobody.
    pub(super) fn inline_data(&self, node: &Node) -> Result<Vec<u8>, Error> {
        let mut bytes = node.i_block.to_vec();
        if node.size > bytes.len() as u64
            && let Some(more) = self.inline_attribute(node)?
        {
            bytes.extend_from_slice(&more);
        }
        match usize::try_from(node.size).ok().filter(|&size| size <= bytes.len()) {
            Some(size) => bytes.truncate(size),
            None => {
                let expected = format!("at most the {} bytes that are in the inode", bytes.len());
                return Err(node.object().value("i_size", node.size, expected));
            }
        }
        Ok(bytes)
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
        let len = usize::try_from(node.size).ok().filter(|len| (1..=SYMLINK_MAX).contains(len));
        let Some(len) = len else {
            return Err(node.object().value("the length of its target", node.size, format!("1 to {SYMLINK_MAX}")));
        };
        let target = if self.is_fast_symlink(node, len) {
            node.i_block[..len].to_vec()
        } else {
            let mut target = vec![0; len];
            self.content_of(node)?.read_at(0, &mut target)?;
            target
        };
        match target.contains(&0) {
            true => Err(node.object().rule("its target has a NUL in it")),
            false => Ok(target),
        }
    }

    /// Whether `i_block` is a link's target: one that is short enough, and has no block but one for
    /// attributes.
    pub(super) fn is_fast_symlink(&self, node: &Node, len: usize) -> bool {
        let attributes = if node.file_acl == 0 { 0 } else { self.block_size() / 512 };
        len < I_BLOCK_LEN && !node.has(EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL) && node.blocks <= attributes
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
        let object = Object::Content(self.ino);
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len_bytes);
        let end = end.ok_or_else(|| object.unreadable(std::io::ErrorKind::UnexpectedEof.into()))?;
        let runs = match &self.source {
            Source::Inline(content) => {
                let start = usize::try_from(offset).expect("within what is in memory");
                bytes.copy_from_slice(&content[start..start + bytes.len()]);
                return Ok(());
            }
            Source::Blocks(runs) => runs,
        };
        let mut at = offset;
        let first = runs.partition_point(|run| self.range(run).end <= offset);
        for run in &runs[first..] {
            let range = self.range(run);
            if range.start >= end {
                break;
            }
            let (from, to) = (range.start.max(at), range.end.min(end));
            part(bytes, offset, at, from).fill(0);
            let disk = run.disk_block * self.block_size + (from - range.start);
            let wanted = part(bytes, offset, from, to);
            self.disk.read_at(disk, wanted).map_err(|source| object.unreadable(source))?;
            at = to;
        }
        part(bytes, offset, at, end).fill(0);
        Ok(())
    }

    /// The first range at or behind `offset` that may have other bytes than zeros, if there is one.
    #[must_use]
    pub fn next_content(&self, offset: u64) -> Option<Range<u64>> {
        let range = match &self.source {
            Source::Inline(_) => 0..self.len_bytes,
            Source::Blocks(runs) => {
                let next = runs.partition_point(|run| self.range(run).end <= offset);
                self.range(runs.get(next)?)
            }
        };
        let range = range.start.max(offset)..range.end.min(self.len_bytes);
        (range.start < range.end).then_some(range)
    }

    fn range(&self, run: &Run) -> Range<u64> {
        let start = u64::from(run.file_block) * self.block_size;
        start..start + u64::from(run.blocks) * self.block_size
    }
}

/// The part of `bytes` that is for these positions, where the first byte is for `offset`.
fn part(bytes: &mut [u8], offset: u64, from: u64, to: u64) -> &mut [u8] {
    let at = |position: u64| usize::try_from(position - offset).expect("within the buffer");
    &mut bytes[at(from)..at(to)]
}
