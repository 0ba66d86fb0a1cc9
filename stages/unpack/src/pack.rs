//! The bytes of a layer's files, one behind the other in blocks, without the blocks that are all
//! zeros.

use std::io;

use cvbake_tree::{BLOCK_SIZE, Segment};

use crate::Error;

/// How a pack is cut for checksums and for writing: large enough that a system call costs nothing
/// against its bytes, small enough to stay in the cache between hashing and writing.
pub const PACK_PIECE: usize = 1 << 20;

const BLOCK: usize = BLOCK_SIZE as usize;

/// How to recognise a pack: its length, and the CRC-32C of each of its pieces of [`PACK_PIECE`]
/// bytes.
///
/// It guards what this program wrote against the disk it lies on; what an image claims is guarded
/// by the digests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackSeal {
    /// The length in bytes: a multiple of 4096.
    pub len: u64,
    /// A checksum per piece; the last piece may be shorter.
    pub crcs: Vec<u32>,
}

/// Takes the pieces of a pack in order: `(offset, bytes)`.
pub(crate) type Pieces<'a> = dyn FnMut(u64, &[u8]) -> io::Result<()> + 'a;

/// Collects blocks into pieces, and seals them.
pub(crate) struct PackWriter<'a> {
    out: &'a mut Pieces<'a>,
    buffer: Vec<u8>,
    seal: PackSeal,
}

impl<'a> PackWriter<'a> {
    pub(crate) fn new(out: &'a mut Pieces<'a>) -> PackWriter<'a> {
        PackWriter { out, buffer: Vec::new(), seal: PackSeal::default() }
    }

    /// How many blocks were written.
    pub(crate) fn blocks(&self) -> u64 {
        (self.seal.len + self.buffer.len() as u64) / u64::from(BLOCK_SIZE)
    }

    /// Appends whole blocks.
    pub(crate) fn push(&mut self, mut blocks: &[u8]) -> Result<(), Error> {
        debug_assert!(blocks.len().is_multiple_of(BLOCK), "packs hold whole blocks");
        while !blocks.is_empty() {
            let (now, later) = blocks.split_at(blocks.len().min(PACK_PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            blocks = later;
            if self.buffer.len() == PACK_PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.seal.crcs.push(crc32c::crc32c(&self.buffer));
        (self.out)(self.seal.len, &self.buffer).map_err(Error::Pack)?;
        self.seal.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<PackSeal, Error> {
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        Ok(self.seal)
    }
}

/// Cuts the content of one file into blocks, drops those of zeros, and remembers where the others
/// belong.
///
/// Bytes come at ascending offsets; what is skipped reads as zeros.
pub(crate) struct FileBlocks {
    segments: Vec<Segment>,
    /// The block that is being filled, and how far; an empty one has no bytes but zeros.
    block: Box<[u8; BLOCK]>,
    number: u64,
    filled: usize,
}

impl FileBlocks {
    pub(crate) fn new() -> FileBlocks {
        FileBlocks { segments: Vec::new(), block: Box::new([0; BLOCK]), number: 0, filled: 0 }
    }

    /// Starts the next file.
    pub(crate) fn start(&mut self) {
        debug_assert!(self.filled == 0, "the file before was finished");
        self.segments.clear();
        self.number = 0;
    }

    /// Adds bytes at an offset that is not smaller than where the bytes before ended.
    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8], pack: &mut PackWriter<'_>) -> Result<(), Error> {
        let block_size = u64::from(BLOCK_SIZE);
        let number = offset / block_size;
        if number != self.number {
            self.end_block(pack)?;
            self.number = number;
        }
        let within = usize::try_from(offset % block_size).expect("smaller than a block");
        debug_assert!(within >= self.filled, "offsets ascend");
        if within > 0 || bytes.len() < BLOCK {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - within));
            self.block[within..within + now.len()].copy_from_slice(now);
            self.filled = within + now.len();
            bytes = later;
            if self.filled == BLOCK {
                self.end_block(pack)?;
                self.number += 1;
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() / BLOCK * BLOCK);
        self.whole_blocks(whole, pack)?;
        if !rest.is_empty() {
            self.block[..rest.len()].copy_from_slice(rest);
            self.filled = rest.len();
        }
        Ok(())
    }

    fn whole_blocks(&mut self, mut bytes: &[u8], pack: &mut PackWriter<'_>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let zeros = bytes.chunks_exact(BLOCK).take_while(|block| is_zero(block)).count();
            self.number += zeros as u64;
            bytes = &bytes[zeros * BLOCK..];
            let data = bytes.chunks_exact(BLOCK).take_while(|block| !is_zero(block)).count();
            if data > 0 {
                self.extend(data)?;
                pack.push(&bytes[..data * BLOCK])?;
                self.number += data as u64;
                bytes = &bytes[data * BLOCK..];
            }
        }
        Ok(())
    }

    /// Stores the block that is being filled, if it has anything but zeros.
    fn end_block(&mut self, pack: &mut PackWriter<'_>) -> Result<(), Error> {
        if self.filled == 0 {
            return Ok(());
        }
        if !is_zero(&self.block[..]) {
            self.extend(1)?;
            pack.push(&self.block[..])?;
            self.block.fill(0);
        }
        self.filled = 0;
        Ok(())
    }

    fn extend(&mut self, blocks: usize) -> Result<(), Error> {
        let number = u32::try_from(self.number).map_err(|_| Error::TooMany { what: "blocks of a file" })?;
        let blocks = u32::try_from(blocks).map_err(|_| Error::TooMany { what: "blocks of a file" })?;
        match self.segments.last_mut() {
            Some(last) if last.file_block + last.blocks == number => last.blocks += blocks,
            _ => self.segments.push(Segment { file_block: number, blocks }),
        }
        Ok(())
    }

    /// Ends the file: its segments.
    pub(crate) fn end(&mut self, pack: &mut PackWriter<'_>) -> Result<&[Segment], Error> {
        self.end_block(pack)?;
        Ok(&self.segments)
    }
}

/// Whether all bytes are zero. The first word decides for nearly every block that is not; the rest
/// compiles to wide instructions.
fn is_zero(bytes: &[u8]) -> bool {
    let (head, tail) = bytes.split_at(bytes.len().min(16));
    head.iter().all(|&byte| byte == 0)
        && tail.chunks(256).all(|chunk| chunk.iter().fold(0, |all, &byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts `pieces` of one file; gives its segments and the pack.
    fn cut(pieces: &[(u64, &[u8])]) -> (Vec<Segment>, Vec<u8>) {
        let mut packed = Vec::new();
        let mut out = |_: u64, bytes: &[u8]| {
            packed.extend_from_slice(bytes);
            Ok(())
        };
        let mut pack = PackWriter::new(&mut out);
        let mut blocks = FileBlocks::new();
        blocks.start();
        for (offset, bytes) in pieces {
            blocks.write(*offset, bytes, &mut pack).unwrap();
        }
        let segments = blocks.end(&mut pack).unwrap().to_vec();
        let seal = pack.finish().unwrap();
        assert_eq!(seal.len, packed.len() as u64);
        (segments, packed)
    }

    fn segment(file_block: u32, blocks: u32) -> Segment {
        Segment { file_block, blocks }
    }

    #[test]
    fn zeros_are_left_out_wherever_the_pieces_are_cut() {
        let mut file = vec![0; 5 * BLOCK + 100];
        file[BLOCK + 17] = 1;
        file[2 * BLOCK] = 2;
        file[5 * BLOCK + 99] = 3;
        let expected = vec![segment(1, 2), segment(5, 1)];
        let mut last = file[5 * BLOCK..].to_vec();
        last.resize(BLOCK, 0);
        let packed = [&file[BLOCK..3 * BLOCK], &last].concat();
        for step in [1, 7, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, file.len()] {
            let mut offset = 0;
            let pieces: Vec<(u64, &[u8])> = file
                .chunks(step)
                .map(|chunk| {
                    offset += chunk.len() as u64;
                    (offset - chunk.len() as u64, chunk)
                })
                .collect();
            assert_eq!(cut(&pieces), (expected.clone(), packed.clone()), "in steps of {step}");
        }
    }

    #[test]
    fn skipped_bytes_are_holes() {
        let far = 1u64 << 40;
        let (segments, packed) = cut(&[(10, b"a"), (100, b"b"), (far + 5, b"c"), (far + 8192, &[9; 4097])]);
        let block = u32::try_from(far / 4096).unwrap();
        assert_eq!(segments, [segment(0, 1), segment(block, 1), segment(block + 2, 2)]);
        assert_eq!((packed[10], packed[100], packed[BLOCK + 5], packed[2 * BLOCK]), (b'a', b'b', b'c', 9));
        assert_eq!(packed.len(), 4 * BLOCK);
    }

    #[test]
    fn a_file_of_zeros_has_no_blocks() {
        assert_eq!(cut(&[(0, &[0; 10_000])]), (vec![], vec![]));
        assert_eq!(cut(&[]), (vec![], vec![]));
    }
}
