//! Extent trees as bytes.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::batch::Batch;
use crate::Error;
use crate::format::checksum::Checksum;
use crate::format::extent as format;
use crate::format::inode::I_BLOCK_LEN;
use crate::format::{BLOCK_LEN, ZEROS};
use crate::layout::extents::{Extent, Extents};
use crate::layout::space::Space;

/// An entry of any level: the first block of the file that it is about, and its bytes.
type Piece = (u32, [u8; 12]);

/// `i_block` over extents. Where they don't fit, the rest of the tree stands in the blocks from
/// `tree_start` on.
pub(super) fn root(extents: Extents<'_>, space: &Space, tree_start: u64) -> [u8; I_BLOCK_LEN] {
    let pieces: Vec<Piece> = extents.clone().take(format::EXTENTS_IN_INODE + 1).map(extent_piece).collect();
    if pieces.len() <= format::EXTENTS_IN_INODE {
        return fill(&pieces, 0);
    }
    let mut levels = levels(extents.map(|extent| extent.file_block), space, tree_start);
    let depth = levels.len();
    fill(&levels.pop().expect("more extents than fit make a level"), u16::try_from(depth).expect("five at most"))
}

/// Writes the blocks of a tree that does not fit in its inode.
pub(super) fn write_tree(
    extents: Extents<'_>,
    space: &Space,
    tree_start: u64,
    inode_seed: Checksum,
    batch: &mut Batch<'_>,
) -> Result<(), Error> {
    let levels = levels(extents.clone().map(|extent| extent.file_block), space, tree_start);
    let mut blocks = space.blocks_from(tree_start);
    let mut put = |pieces: &[Piece], depth: usize| {
        let mut block = ZEROS;
        let tail = BLOCK_LEN - 4;
        block[..tail].copy_from_slice(&fill::<{ BLOCK_LEN - 4 }>(pieces, u16::try_from(depth).expect("five at most")));
        let checksum = inode_seed.with(&block[..tail]).value();
        block[tail..].copy_from_slice(&checksum.to_le_bytes());
        batch.put(blocks.next().expect("the space has no end"), &block)
    };
    let mut pieces = extents.map(extent_piece).peekable();
    while pieces.peek().is_some() {
        let leaf: Vec<Piece> = pieces.by_ref().take(format::EXTENTS_IN_BLOCK).collect();
        put(&leaf, 0)?;
    }
    // The topmost level stands in the inode.
    for (depth, level) in levels.iter().enumerate().take(levels.len() - 1) {
        for pieces in level.chunks(format::EXTENTS_IN_BLOCK) {
            put(pieces, depth + 1)?;
        }
    }
    Ok(())
}

/// The indexes of each level, the lowest first: one for every block of the level below.
fn levels(file_blocks: impl Iterator<Item = u32>, space: &Space, tree_start: u64) -> Vec<Vec<Piece>> {
    let mut blocks = space.blocks_from(tree_start);
    let mut index = |file_block: u32| index_piece(file_block, blocks.next().expect("the space has no end"));
    let mut levels: Vec<Vec<Piece>> = vec![file_blocks.step_by(format::EXTENTS_IN_BLOCK).map(&mut index).collect()];
    while let Some(below) = levels.last().filter(|level| level.len() > format::EXTENTS_IN_INODE) {
        let next = below.iter().step_by(format::EXTENTS_IN_BLOCK).map(|piece| index(piece.0)).collect();
        levels.push(next);
    }
    levels
}

fn extent_piece(extent: Extent) -> Piece {
    let Extent { file_block, blocks, disk_block } = extent;
    let (low, high) = split(disk_block);
    let bytes = format::Extent {
        ee_block: U32::new(file_block),
        ee_len: U16::new(blocks),
        ee_start_hi: high,
        ee_start_lo: low,
    };
    (file_block, zerocopy::transmute!(bytes))
}

fn index_piece(file_block: u32, disk_block: u64) -> Piece {
    let (low, high) = split(disk_block);
    let bytes = format::ExtentIndex {
        ei_block: U32::new(file_block),
        ei_leaf_lo: low,
        ei_leaf_hi: high,
        ei_unused: U16::new(0),
    };
    (file_block, zerocopy::transmute!(bytes))
}

/// A block number as 32 + 16 bits.
pub(super) fn split(block: u64) -> (U32, U16) {
    let [a, b, c, d, e, f, ..] = block.to_le_bytes();
    (U32::from_bytes([a, b, c, d]), U16::from_bytes([e, f]))
}

/// A header and entries in a place of a given size.
fn fill<const LEN: usize>(pieces: &[Piece], depth: u16) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let header = format::ExtentHeader {
        eh_magic: U16::new(format::EXT4_EXT_MAGIC),
        eh_entries: U16::new(u16::try_from(pieces.len()).expect("no more than 340")),
        eh_max: U16::new(u16::try_from(LEN / 12 - 1).expect("no more than 340")),
        eh_depth: U16::new(depth),
        eh_generation: U32::new(0),
    };
    bytes[..12].copy_from_slice(header.as_bytes());
    for (slot, piece) in bytes[12..].chunks_exact_mut(12).zip(pieces) {
        slot.copy_from_slice(&piece.1);
    }
    bytes
}
