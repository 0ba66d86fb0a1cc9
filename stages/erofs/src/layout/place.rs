//! Gives everything its blocks, in one pass from the front.

use std::ops::Range;

use cvbake_tree::{FileData, Ino, Kind, Placement, Tree};

use super::base_pack::{self, BASE_PACK_BLOCK, File};
use super::chunks::{Chunks, Stored};
use super::inode::Metadata;
use crate::Error;
use crate::format::BLOCK_SIZE;

/// Where everything stands.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The blocks of the metadata area.
    pub(crate) meta: Range<u64>,
    /// Blocks of directories and of long links, joined where they touch.
    pub(crate) others: Vec<Range<u64>>,
    /// The first block of each inode that has blocks.
    pub(crate) starts: Vec<u32>,
    pub(crate) placements: Vec<Placement>,
    pub(crate) base_pack: Option<u32>,
    /// How many blocks there are in all.
    pub(crate) blocks: u64,
}

/// Blocks that nothing stands on yet.
struct Room {
    /// Between the superblock and a base pack.
    front: Range<u64>,
    /// All from there on.
    behind: u64,
}

impl Room {
    /// Takes blocks that follow each other.
    fn take(&mut self, blocks: u64) -> Result<u64, Error> {
        let from = if blocks <= self.front.end - self.front.start { &mut self.front.start } else { &mut self.behind };
        let start = *from;
        *from += blocks;
        check_end(start + blocks)?;
        Ok(start)
    }
}

/// Whether blocks up to there have numbers. The last number stands for a hole.
fn check_end(end: u64) -> Result<(), Error> {
    const MAX: u64 = u32::MAX as u64;
    if end > MAX {
        return Err(Error::TooLarge { bytes: end.saturating_mul(BLOCK_SIZE), max: MAX * BLOCK_SIZE });
    }
    Ok(())
}

impl Placed {
    pub(crate) fn of(tree: &Tree, metadata: &Metadata, base_pack: Option<u32>) -> Result<Placed, Error> {
        let files = files(tree);
        let base = base_pack.and_then(|pack| Some((pack, base_pack::alive(&files, pack)?)));
        let mut placements = Vec::new();
        let mut room = Room { front: 1..1, behind: 1 };
        if let Some((pack, alive)) = &base {
            let place = |range: &Range<u64>| Placement {
                pack: *pack,
                pack_block: range.start,
                disk_block: BASE_PACK_BLOCK + range.start,
                blocks: range.end - range.start,
            };
            placements.extend(alive.iter().map(place));
            let end = alive.last().map_or(0, |range| range.end);
            room = Room { front: 1..BASE_PACK_BLOCK, behind: BASE_PACK_BLOCK + end };
            check_end(room.behind)?;
        }
        let meta_blocks = metadata.len_bytes.div_ceil(BLOCK_SIZE);
        let meta = room.take(meta_blocks)?;
        let mut starts = vec![0; tree.inode_count()];
        let mut others: Vec<Range<u64>> = Vec::new();
        for inode in tree.inodes() {
            if !matches!(inode.kind(), Kind::Directory | Kind::Symlink(_)) {
                continue;
            }
            let blocks = metadata.form(inode).blocks;
            if blocks > 0 {
                let start = room.take(blocks)?;
                starts[inode.ino().index()] = number(start);
                match others.last_mut() {
                    Some(last) if last.end == start => last.end = start + blocks,
                    _ => others.push(start..start + blocks),
                }
            }
        }
        let base_pack = base.map(|(pack, _)| pack);
        for file in &files {
            let data = content(tree, file.inode);
            let stored = Stored::of(&data);
            if Some(file.pack) == base_pack && !file.is_padded {
                starts[file.inode as usize] = number(BASE_PACK_BLOCK + file.pack_block);
                continue;
            }
            let start = room.take(stored.blocks(&data))?;
            starts[file.inode as usize] = number(start);
            let place = |pack_block, disk_block, blocks| Placement { pack: file.pack, pack_block, disk_block, blocks };
            match stored {
                Stored::Chunked(chunks @ Chunks { is_padded: true, .. }) => {
                    let mut pack_block = file.pack_block;
                    for (segment, at) in data.segments.iter().zip(chunks.places(data.segments)) {
                        let blocks = u64::from(segment.blocks);
                        push(&mut placements, place(pack_block, start + at, blocks));
                        pack_block += blocks;
                    }
                }
                _ => push(&mut placements, place(file.pack_block, start, file.stored)),
            }
        }
        placements.sort_unstable();
        let front = room.front.start;
        let blocks = room.behind.max(front);
        Ok(Placed { meta: meta..meta + meta_blocks, others, starts, placements, base_pack, blocks })
    }
}

/// The files with content, in the order of the packs.
fn files(tree: &Tree) -> Vec<File> {
    let file = |inode: cvbake_tree::Inode<'_>| match inode.kind() {
        Kind::File(data) if !data.segments.is_empty() => Some(File {
            pack: data.pack,
            pack_block: data.pack_block,
            inode: u32::try_from(inode.ino().index()).expect("a tree's numbers have 32 bits"),
            stored: data.stored_blocks(),
            is_padded: Stored::of(&data).is_padded(),
        }),
        _ => None,
    };
    let mut files: Vec<File> = tree.inodes().filter_map(file).collect();
    files.sort_unstable();
    files
}

fn content(tree: &Tree, inode: u32) -> FileData<'_> {
    match tree.inode(Ino::from_index(inode as usize)).kind() {
        Kind::File(data) => data,
        _ => unreachable!("only files are listed as files"),
    }
}

/// A block's number, which [`Room::take`] has looked at.
fn number(block: u64) -> u32 {
    u32::try_from(block).expect("blocks have 32-bit numbers")
}

/// Appends a placement, as part of the last one where both sides continue.
fn push(placements: &mut Vec<Placement>, next: Placement) {
    if let Some(last) = placements.last_mut() {
        let continues = last.pack == next.pack
            && last.pack_block + last.blocks == next.pack_block
            && last.disk_block + last.blocks == next.disk_block;
        if continues {
            last.blocks += next.blocks;
            return;
        }
    }
    placements.push(next);
}
