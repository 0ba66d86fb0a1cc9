//! Where the bytes of regular files are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The unit in which content is placed: what a pack, a [`Segment`] and a disk count in.
pub const BLOCK_SIZE: u32 = 4096;

/// A run of blocks of a file that are not all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Segment {
    /// The first block, counted within the file.
    pub file_block: u32,
    /// How many blocks.
    pub blocks: u32,
}

/// File content that goes from a pack into a filesystem; all numbers are in blocks of
/// [`BLOCK_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Placement {
    /// Which pack, in the tree's numbering.
    pub pack: u32,
    /// Where it starts in the pack.
    pub pack_block: u64,
    /// Where it goes in the filesystem.
    pub disk_block: u64,
    /// How much it is.
    pub blocks: u64,
}

/// The content of a regular file: its segments stand one behind the other in a pack, from
/// `pack_block` on. The last block of a file is filled up with zeros there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileData<'t> {
    /// The length in bytes, holes included.
    pub size: u64,
    /// Which pack: the caller's numbering, usually the layer's.
    pub pack: u32,
    /// Where in the pack the first segment starts, in blocks.
    pub pack_block: u64,
    /// In ascending order, neither overlapping nor touching.
    pub segments: &'t [Segment],
}

impl FileData<'_> {
    /// How many blocks the file has in its pack.
    #[must_use]
    pub fn stored_blocks(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.blocks)).sum()
    }

    /// Calls `each` with the content from start to end, holes as zeros, in pieces of a bounded
    /// size.
    ///
    /// # Errors
    /// What reading the pack or `each` returns.
    pub fn read(&self, packs: &dyn Packs, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        const PIECE: usize = 256 * 1024;
        let block = u64::from(BLOCK_SIZE);
        // No more than the file has: many files are small, and clearing a whole piece for each
        // costs more than they do.
        let mut buffer = vec![0; usize::try_from(self.size).map_or(PIECE, |size| size.min(PIECE))];
        let mut position = 0;
        let mut pack_offset = self.pack_block * block;
        let hole = |from: u64, to: u64, buffer: &mut [u8], each: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
            buffer.fill(0);
            let mut at = from;
            while at < to {
                let len = usize::try_from(to - at).map_or(PIECE, |rest| rest.min(PIECE));
                each(&buffer[..len])?;
                at += len as u64;
            }
            io::Result::Ok(())
        };
        for segment in self.segments {
            let start = u64::from(segment.file_block) * block;
            hole(position, start, &mut buffer, each)?;
            let stored_end = start + u64::from(segment.blocks) * block;
            let end = stored_end.min(self.size);
            let mut at = start;
            while at < end {
                let len = usize::try_from(end - at).map_or(PIECE, |rest| rest.min(PIECE));
                packs.read_at(self.pack, pack_offset + (at - start), &mut buffer[..len])?;
                each(&buffer[..len])?;
                at += len as u64;
            }
            pack_offset += stored_end - start;
            position = end;
        }
        hole(position, self.size, &mut buffer, each)
    }
}

/// Random access to the packs that a tree's files refer to.
pub trait Packs: Sync {
    /// Fills `buffer` with the bytes at `offset` of a pack.
    ///
    /// # Errors
    /// When they can't be read; a pack that ends too early is [`io::ErrorKind::UnexpectedEof`].
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Packs in files, the number being the position.
impl Packs for Vec<File> {
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self[pack as usize].read_exact_at(buffer, offset)
    }
}

/// Packs in memory, the number being the position.
impl Packs for Vec<Vec<u8>> {
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = self[pack as usize].get(start..start.saturating_add(buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
