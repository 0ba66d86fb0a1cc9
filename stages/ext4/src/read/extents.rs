//! Extent trees, checked.

use std::ops::Range;

use zerocopy::FromBytes as _;

use super::{Error, Filesystem, Node, Object};
use crate::format::extent as format;

/// Blocks of a file that are on the disk one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) file_block: u32,
    pub(super) blocks: u32,
    pub(super) disk_block: u64,
}

/// Where the content of an inode is.
#[derive(Default, Debug)]
pub(super) struct Map {
    /// What was written, in order.
    pub(super) runs: Vec<Run>,
    /// All blocks that belong to the inode: those of the map itself, and those that were never
    /// written, too.
    pub(super) taken: Vec<Range<u64>>,
}

impl Map {
    /// Adds blocks behind those that are there.
    pub(super) fn push(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last)
                if last.file_block.checked_add(last.blocks) == Some(run.file_block)
                    && last.disk_block + u64::from(last.blocks) == run.disk_block
                    && last.blocks.checked_add(run.blocks).is_some() =>
            {
                last.blocks += run.blocks;
            }
            _ => self.runs.push(run),
        }
        self.take(run.disk_block, run.blocks.into());
    }

    pub(super) fn take(&mut self, start: u64, blocks: u64) {
        match self.taken.last_mut() {
            Some(last) if last.end == start => last.end += blocks,
            _ => self.taken.push(start..start + blocks),
        }
    }
}

/// One more than the last block that a file can have.
const FILE_END: u64 = 1 << 32;

impl Filesystem {
    /// The map of an inode with an extent tree.
    pub(super) fn extent_map(&self, node: &Node) -> Result<Map, Error> {
        let mut map = Map::default();
        let walk = Walk { filesystem: self, node };
        walk.visit(&node.i_block, None, 0..FILE_END, node.object(), &mut map)?;
        Ok(map)
    }
}

struct Walk<'f> {
    filesystem: &'f Filesystem,
    node: &'f Node,
}

impl Walk<'_> {
    /// A node of the tree, which is about a range of the file's blocks. It calls itself for the
    /// nodes below, which are one level lower each, so five times at most.
    ///
    /// What is below one entry must not be empty, and lies within its own part of the range: so no
    /// two entries can lead to one block.
    fn visit(
        &self,
        bytes: &[u8],
        depth: Option<u16>,
        range: Range<u64>,
        object: Object,
        map: &mut Map,
    ) -> Result<(), Error> {
        let (header, entries) = bytes.split_at(size_of::<format::ExtentHeader>());
        let header = format::ExtentHeader::read_from_bytes(header).expect("as many bytes");
        if header.eh_magic.get() != format::EXT4_EXT_MAGIC {
            return Err(object.value("eh_magic", header.eh_magic.get(), format::EXT4_EXT_MAGIC.to_string()));
        }
        let found = header.eh_depth.get();
        match depth {
            None if found > format::EXT4_MAX_EXTENT_DEPTH => {
                return Err(object.value("eh_depth", found, "at most 5"));
            }
            Some(depth) if found != depth => return Err(object.value("eh_depth", found, depth.to_string())),
            _ => {}
        }
        let room = entries.len() / 12;
        let (count, max) = (usize::from(header.eh_entries.get()), usize::from(header.eh_max.get()));
        if max > room {
            return Err(object.value("eh_max", max as u64, format!("at most {room}")));
        }
        if count > max || (depth.is_some() && count == 0) {
            return Err(object.value("eh_entries", count as u64, format!("1 to {max}")));
        }
        if depth.is_some()
            && let Some(seed) = self.node.seed
        {
            let tail = 12 + 12 * max;
            let stored =
                bytes.get(tail..tail + 4).ok_or_else(|| object.value("eh_max", max as u64, "room for a checksum"))?;
            let stored = u32::from_le_bytes(stored.try_into().expect("four bytes"));
            object.check(seed.with(&bytes[..tail]).value(), stored)?;
        }
        let entries = &entries[..12 * count];
        if found == 0 { self.leaf(entries, range, object, map) } else { self.index(entries, found, range, object, map) }
    }

    fn leaf(&self, entries: &[u8], range: Range<u64>, object: Object, map: &mut Map) -> Result<(), Error> {
        let mut at = range.start;
        for entry in entries.chunks_exact(12) {
            let extent = format::Extent::read_from_bytes(entry).expect("as many bytes");
            let (file_block, len) = (extent.ee_block.get(), u64::from(extent.ee_len.get()));
            let is_written = len <= format::EXT_INIT_MAX_LEN;
            let blocks = if is_written { len } else { len - format::EXT_INIT_MAX_LEN };
            let start = u64::from(file_block);
            if blocks == 0 {
                return Err(object.value("ee_len", len, "at least 1"));
            }
            if start < at || start + blocks > range.end {
                let expected = format!("an extent of {blocks} blocks in {at} to {}", range.end);
                return Err(object.value("ee_block", start, expected));
            }
            at = start + blocks;
            let disk_block = join(extent.ee_start_lo.get(), extent.ee_start_hi.get());
            if !self.filesystem.superblock.has_blocks(disk_block, blocks) {
                let expected = format!("{blocks} blocks within {}", self.filesystem.info().blocks);
                return Err(object.value("ee_start", disk_block, expected));
            }
            let blocks = u32::try_from(blocks).expect("at most 2^15");
            match is_written {
                true => map.push(Run { file_block, blocks, disk_block }),
                false => map.take(disk_block, blocks.into()),
            }
        }
        Ok(())
    }

    fn index(&self, entries: &[u8], depth: u16, range: Range<u64>, object: Object, map: &mut Map) -> Result<(), Error> {
        let parse = |entry: &[u8]| format::ExtentIndex::read_from_bytes(entry).expect("as many bytes");
        let mut at = range.start;
        let mut entries = entries.chunks_exact(12).map(parse).peekable();
        while let Some(entry) = entries.next() {
            let start = u64::from(entry.ei_block.get());
            let end = entries.peek().map_or(range.end, |next| u64::from(next.ei_block.get()));
            if start < at || end <= start || end > range.end {
                let expected = format!("ascending, within {} to {}", range.start, range.end);
                return Err(object.value("ei_block", start, expected));
            }
            at = end;
            let block = join(entry.ei_leaf_lo.get(), entry.ei_leaf_hi.get());
            let child = Object::Map { ino: self.node.ino, block };
            let bytes = self.filesystem.block(block, child)?;
            map.take(block, 1);
            self.visit(&bytes, Some(depth - 1), start..end, child, map)?;
        }
        Ok(())
    }
}

fn join(low: u32, high: u16) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
