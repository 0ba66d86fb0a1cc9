//! Directory blocks as bytes.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::Error;
use crate::format::checksum::Checksum;
use crate::format::directory as format;
use crate::format::hash::DX_HASH_HALF_MD4;
use crate::format::{BLOCK_LEN, ZEROS};
use crate::layout::directory::{Entry, Index, Shape, entry_len};

/// A block of a directory.
type Block = [u8; BLOCK_LEN];

/// Takes the blocks of a directory, in order.
pub(super) type Put<'p> = dyn FnMut(&Block) -> Result<(), Error> + 'p;

/// A directory and its parent, by number, and the seed of its checksums.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) ino: u32,
    pub(super) parent: u32,
    pub(super) seed: Checksum,
}

/// Writes a directory block by block.
pub(super) fn write(head: Head, shape: &Shape<'_>, put: &mut Put<'_>) -> Result<(), Error> {
    match shape {
        Shape::Linear(entries) => put(&list(head, dots(head).into_iter().chain(entries.iter().copied()))),
        Shape::Indexed(index) => write_index(head, index, put),
    }
}

/// Writes blocks without entries, for a directory of one that has nothing in it but is larger than
/// it must be.
pub(super) fn write_empty(head: Head, blocks: u32, put: &mut Put<'_>) -> Result<(), Error> {
    put(&list(head, dots(head)))?;
    (1..blocks).try_for_each(|_| put(&list(head, [])))
}

fn dots(head: Head) -> [Entry<'static>; 2] {
    let dot = |name, ino| Entry { name, ino, file_type: format::EXT4_FT_DIR };
    [dot(&b"."[..], head.ino), dot(b"..", head.parent)]
}

/// A block of entries.
fn list<'t>(head: Head, entries: impl IntoIterator<Item = Entry<'t>>) -> Block {
    let mut block = ZEROS;
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        put_entry(&mut block, 0, format::ENTRY_SPACE, &NOTHING);
    }
    let mut at = 0;
    while let Some(entry) = entries.next() {
        let len = if entries.peek().is_some() { entry_len(entry.name) } else { format::ENTRY_SPACE - at };
        put_entry(&mut block, at, len, &entry);
        at += len;
    }
    let checksum = head.seed.with(&block[..format::ENTRY_SPACE]).value();
    let tail = format::DirTail {
        det_reserved_zero1: U32::new(0),
        det_rec_len: U16::new(12),
        det_reserved_zero2: 0,
        det_reserved_ft: format::EXT4_FT_DIR_CSUM,
        det_checksum: U32::new(checksum),
    };
    block[format::ENTRY_SPACE..].copy_from_slice(tail.as_bytes());
    block
}

/// An unused entry.
const NOTHING: Entry<'_> = Entry { name: b"", ino: 0, file_type: format::EXT4_FT_UNKNOWN };

fn put_entry(block: &mut Block, at: usize, len: usize, entry: &Entry<'_>) {
    let header = format::DirEntry {
        inode: U32::new(entry.ino),
        rec_len: U16::new(u16::try_from(len).expect("within a block")),
        name_len: u8::try_from(entry.name.len()).expect("a name has at most 255 bytes"),
        file_type: entry.file_type,
    };
    let name = at + format::ENTRY_HEADER;
    block[at..name].copy_from_slice(header.as_bytes());
    block[name..name + entry.name.len()].copy_from_slice(entry.name);
}

fn write_index(head: Head, index: &Index<'_>, put: &mut Put<'_>) -> Result<(), Error> {
    // The entries of each level of nodes, from the lowest up: what each names is a block of the
    // level below.
    let levels = index.levels();
    let mut next_block: u32 = 1 + levels.iter().map(|&nodes| count(nodes)).sum::<u32>();
    let mut entries = vec![number(&index.keys(), next_block)];
    for &nodes in levels.iter().rev() {
        next_block -= count(nodes);
        let below = entries.last().expect("the leaves are there");
        let keys: Vec<u32> = below.chunks(format::DX_NODE_LIMIT).map(|chunk| chunk[0].0).collect();
        entries.push(number(&keys, next_block));
    }
    let root = entries.pop().expect("the leaves are there");
    put(&index_root(head, &root, levels.len()))?;
    for level in entries.iter().rev() {
        for chunk in level.chunks(format::DX_NODE_LIMIT) {
            let mut block = ZEROS;
            put_entry(&mut block, 0, BLOCK_LEN, &NOTHING);
            put_dx_entries(&mut block, format::DX_NODE_COUNT_OFFSET, format::DX_NODE_LIMIT, chunk, head.seed);
            put(&block)?;
        }
    }
    for leaf in index.leaves() {
        put(&list(head, leaf.iter().map(|entry| entry.1)))?;
    }
    Ok(())
}

/// Keys with the blocks that they lead to, which stand one behind the other.
fn number(keys: &[u32], first_block: u32) -> Vec<(u32, u32)> {
    keys.iter().copied().zip(first_block..).collect()
}

fn index_root(head: Head, entries: &[(u32, u32)], levels: usize) -> Block {
    let mut block = ZEROS;
    let [dot, dot_dot] = dots(head);
    put_entry(&mut block, 0, 12, &dot);
    put_entry(&mut block, 12, BLOCK_LEN - 12, &dot_dot);
    let info = format::DxRootInfo {
        reserved_zero: U32::new(0),
        hash_version: DX_HASH_HALF_MD4,
        info_length: format::DX_INFO_LENGTH,
        indirect_levels: u8::try_from(levels).expect("two at most"),
        unused_flags: 0,
    };
    let at = format::DX_ROOT_COUNT_OFFSET;
    block[at - size_of::<format::DxRootInfo>()..at].copy_from_slice(info.as_bytes());
    put_dx_entries(&mut block, at, format::DX_ROOT_LIMIT, entries, head.seed);
    block
}

/// Limit, count, entries and tail. The first entry has no hash: it leads to everything before the
/// second.
fn put_dx_entries(block: &mut Block, at: usize, limit: usize, entries: &[(u32, u32)], seed: Checksum) {
    let first = format::DxCountLimit {
        limit: U16::new(u16::try_from(limit).expect("within a block")),
        count: U16::new(u16::try_from(entries.len()).expect("within a block")),
        block: U32::new(entries[0].1),
    };
    block[at..at + 8].copy_from_slice(first.as_bytes());
    for (slot, &(hash, target)) in block[at + 8..].chunks_exact_mut(8).zip(&entries[1..]) {
        let entry = format::DxEntry { hash: U32::new(hash), block: U32::new(target) };
        slot.copy_from_slice(entry.as_bytes());
    }
    // The checksum covers what is used of the entries, and the tail with a checksum of zero.
    let checksum = seed.with(&block[..at + entries.len() * 8]).with(&[0; size_of::<format::DxTail>()]).value();
    let tail = format::DxTail { dt_reserved: U32::new(0), dt_checksum: U32::new(checksum) };
    let at = at + limit * 8;
    block[at..at + size_of::<format::DxTail>()].copy_from_slice(tail.as_bytes());
}

fn count(nodes: usize) -> u32 {
    u32::try_from(nodes).expect("the plan counted the blocks")
}
