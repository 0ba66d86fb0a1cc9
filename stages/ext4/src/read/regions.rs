//! What each block of a filesystem that is there is for, as
//! [`Layout::regions`](crate::Layout::regions) says it of one that is planned.
//!
//! Of the structures with a place of their own, the descriptors say where they are; of content, the
//! maps of the files. Whatever else the block bitmaps have as used is directories, attributes and
//! maps. Where two of them claim a block, it counts as what begins first: a map is a picture, and
//! [`Filesystem::tree`] refuses files that share a block.

use std::ops::Range;

use cvbake_tree::{Ino, Kind};

use super::{Error, Files, Filesystem, Object};
use crate::format::group::{EXT4_BG_BLOCK_UNINIT, GroupDescriptor};
use crate::{Region, Use};

/// Groups are read one by one: a sparse file of a few bytes can claim 2^32 of them, and nobody
/// waits for these. As many as 64 TiB have in blocks of 4 KiB, twice.
const GROUPS_MAX: u64 = 1 << 20;

/// Runs of used blocks that are kept: one bitmap of every other bit can be that of all groups. Each
/// is 16 bytes, and a filesystem of 1 TiB in use has fewer than a million.
const RUNS_MAX: usize = 1 << 22;

impl Filesystem {
    /// What each block is for, from the first to the last, without a gap. Content has the number
    /// that `of` gives its file instead of that of a pack.
    ///
    /// # Errors
    /// When a descriptor, a bitmap or the map of a file can't be read, or there are more groups or
    /// pieces than a map can have.
    pub fn regions(&self, files: &Files, of: &dyn Fn(Ino) -> u32) -> Result<Vec<Region>, Error> {
        let superblock = &self.superblock;
        let groups = superblock.groups();
        if groups > GROUPS_MAX {
            return Err(Object::Superblock.value("the number of groups", groups, format!("at most {GROUPS_MAX}")));
        }
        let mut known = vec![(0..superblock.first_data_block, Use::Superblocks)];
        let mut used = Vec::new();
        for group in 0..groups {
            let raw = self.descriptor(group)?;
            known.extend(superblock.supers(group).map(|blocks| (blocks, Use::Superblocks)));
            known.extend(self.tables(group, &raw)?.map(|blocks| (blocks, Use::Tables)));
            self.used(group, &raw, &mut used)?;
        }
        known.extend(self.journal()?.into_iter().map(|blocks| (blocks, Use::Journal)));
        self.content_runs(files, of, &mut known)?;
        let blocks = superblock.info.blocks;
        let mut spread = Spread { regions: Vec::new(), at: 0, used: used.into_iter().peekable() };
        known.sort_by_key(|(blocks, _)| blocks.start);
        for (range, used_for) in known {
            spread.fill(range.start);
            spread.push(range.start..range.end.min(blocks), used_for);
        }
        spread.fill(blocks);
        self.cut_by_written(&spread.regions)
    }

    /// Where the content of each file is.
    fn content_runs(
        &self,
        files: &Files,
        of: &dyn Fn(Ino) -> u32,
        known: &mut Vec<(Range<u64>, Use)>,
    ) -> Result<(), Error> {
        for inode in files.tree().inodes() {
            let Kind::File(data) = inode.kind() else { continue };
            let Some(ino) = files.number_of(&data).and_then(|number| u32::try_from(number).ok()) else { continue };
            let node = self.node(ino)?;
            if node.has(crate::format::inode::EXT4_INLINE_DATA_FL) {
                continue;
            }
            let pack = of(inode.ino());
            let runs = self.map(&node)?.runs.into_iter();
            known.extend(
                runs.map(|run| (run.disk_block..run.disk_block + u64::from(run.blocks), Use::Content { pack })),
            );
        }
        Ok(())
    }

    /// The bitmaps and the inode table of a group.
    fn tables(&self, group: u64, raw: &GroupDescriptor) -> Result<impl Iterator<Item = Range<u64>> + use<>, Error> {
        let table = self.table_of(group, raw)?;
        let blocks = self.superblock.table_blocks();
        let [block_bitmap, inode_bitmap] = self.bitmaps(group, raw)?;
        Ok([block_bitmap..block_bitmap + 1, inode_bitmap..inode_bitmap + 1, table..table + blocks].into_iter())
    }

    /// Adds the blocks that the bitmap of a group has as used.
    fn used(&self, group: u64, raw: &GroupDescriptor, used: &mut Vec<Range<u64>>) -> Result<(), Error> {
        let superblock = &self.superblock;
        // Without checksums of descriptors nothing says whether the flag was meant.
        let has_flags = superblock.seed.is_some() || superblock.uuid_crc16.is_some();
        if has_flags && raw.bg_flags.get() & EXT4_BG_BLOCK_UNINIT != 0 {
            return Ok(());
        }
        let [bitmap, _] = self.bitmaps(group, raw)?;
        let bits = self.block(bitmap, Object::Group(group))?;
        let range = superblock.group_blocks(group);
        let unit = superblock.blocks_per_bit;
        let bit = |number: u64| {
            let byte = usize::try_from(number / 8).ok().and_then(|at| bits.get(at)).copied().unwrap_or(0);
            byte >> (number % 8) & 1 == 1
        };
        for number in 0..(range.end - range.start).div_ceil(unit) {
            if !bit(number) {
                continue;
            }
            let start = range.start + number * unit;
            let end = (start + unit).min(range.end);
            if let Some(last) = used.last_mut().filter(|last| last.end == start) {
                last.end = end;
                continue;
            }
            if used.len() == RUNS_MAX {
                let count = used.len() as u64 + 1;
                return Err(Object::Group(group).value(
                    "runs of used blocks so far",
                    count,
                    format!("at most {RUNS_MAX}"),
                ));
            }
            used.push(start..end);
        }
        Ok(())
    }

    /// Where the journal is.
    fn journal(&self) -> Result<Vec<Range<u64>>, Error> {
        match self.superblock.journal_inum {
            0 => Ok(Vec::new()),
            ino => Ok(self.map(&self.any_node(ino)?)?.taken),
        }
    }

    /// Cuts regions in two where something begins or ends to be written, and joins those that are
    /// alike.
    fn cut_by_written(&self, known: &[Region]) -> Result<Vec<Region>, Error> {
        let size = self.block_size();
        let next = |at: u64| -> Result<Option<Range<u64>>, Error> {
            let next = self.disk.next_content(at * size).map_err(|source| Object::Superblock.unreadable(source))?;
            Ok(next.map(|range| range.start / size..range.end.div_ceil(size)))
        };
        let mut regions = Vec::new();
        let mut written = next(0)?;
        for Region { blocks, used_for, .. } in known {
            let mut at = blocks.start;
            while at < blocks.end {
                while let Some(range) = written.clone().filter(|range| range.end <= at) {
                    written = next(range.end.max(at))?;
                }
                let (end, is_written) = match &written {
                    Some(range) if range.start <= at => (range.end.min(blocks.end), true),
                    Some(range) => (range.start.min(blocks.end), false),
                    None => (blocks.end, false),
                };
                join(&mut regions, Region { blocks: at..end, used_for: *used_for, is_written });
                // A file that maps blocks can say of each second one that it is written.
                if regions.len() > RUNS_MAX {
                    let expected = format!("at most {RUNS_MAX}");
                    return Err(Object::Superblock.value("the number of parts", regions.len() as u64, expected));
                }
                at = end;
            }
        }
        Ok(regions)
    }
}

/// Regions that are made in their order.
struct Spread<U: Iterator<Item = Range<u64>>> {
    regions: Vec<Region>,
    /// Up to where there are regions.
    at: u64,
    used: std::iter::Peekable<U>,
}

impl<U: Iterator<Item = Range<u64>>> Spread<U> {
    fn push(&mut self, blocks: Range<u64>, used_for: Use) {
        let blocks = blocks.start.max(self.at)..blocks.end;
        if blocks.start < blocks.end {
            self.at = blocks.end;
            join(&mut self.regions, Region { blocks, used_for, is_written: false });
        }
    }

    /// Up to a block, as the bitmaps say.
    fn fill(&mut self, end: u64) {
        while self.at < end {
            match self.used.peek().cloned() {
                Some(range) if range.end <= self.at => drop(self.used.next()),
                Some(range) if range.start <= self.at => self.push(self.at..range.end.min(end), Use::Structure),
                Some(range) => self.push(self.at..range.start.min(end), Use::Free),
                None => self.push(self.at..end, Use::Free),
            }
        }
    }
}

fn join(regions: &mut Vec<Region>, next: Region) {
    match regions.last_mut() {
        Some(last) if last.used_for == next.used_for && last.is_written == next.is_written => {
            last.blocks.end = next.blocks.end;
        }
        _ => regions.push(next),
    }
}
