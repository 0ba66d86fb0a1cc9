//! Gives everything its blocks, in one pass from the front.

use cvbake_tree::{FileData, Ino, Kind, Placement, Segment, Tree};

use super::base_pack::{BASE_PACK_BLOCK, PlacedBase};
use super::content::Content;
use super::directory::LOST_FOUND_BLOCKS;
use super::extents::{Blocks, extents, tree_blocks};
use super::geometry::{Geometry, Tables, supers};
use super::space::{Cursor, Run, Space};
use crate::format::extent::{EXT_INIT_MAX_LEN, EXTENTS_IN_INODE};

/// Where everything stands.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) tables: Tables,
    /// What the tables, the superblocks and the base pack leave.
    pub(crate) space: Space,
    pub(crate) placed_base: Option<PlacedBase>,
    /// The double indirect block of the resize inode.
    pub(crate) resize_block: Option<u64>,
    pub(crate) journal: Option<Mapped>,
    /// The first block of our own `lost+found`.
    pub(crate) lost_found: Option<u64>,
    /// The first block of each inode of the tree that has blocks outside of the base pack.
    pub(crate) starts: Vec<u64>,
    /// Extent trees that don't fit in their inodes, sorted by inode.
    pub(crate) trees: Vec<ExtentTree>,
    /// The first block of each rest of extended attributes.
    pub(crate) xattr_blocks: Vec<u64>,
    pub(crate) placements: Vec<Placement>,
    /// How many blocks of the space are used: those in front.
    pub(crate) used: u64,
    /// Behind the last of those.
    pub(crate) content_end: u64,
    /// The number of blocks the filesystem must have for this.
    pub(crate) end: u64,
}

/// Blocks of an inode without a tree entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) start: u64,
    pub(crate) blocks: u32,
    pub(crate) tree_start: u64,
    pub(crate) tree_blocks: u32,
}

/// The blocks of an extent tree: leaves first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtentTree {
    /// The inode's position in the tree of files.
    pub(crate) inode: u32,
    pub(crate) blocks: u32,
    pub(crate) start: u64,
}

impl Placed {
    /// The blocks of something without holes that starts somewhere in the free space.
    pub(crate) fn free_blocks(&self, start: u64, blocks: u64) -> Blocks<'_> {
        Blocks::Free(self.space.runs(start, blocks))
    }

    /// The blocks of a file's content; `start` is what was noted of the file.
    pub(crate) fn file_blocks(&self, start: u64, data: &FileData<'_>) -> Blocks<'_> {
        let blocks = data.stored_blocks();
        match self.placed_base.as_ref().filter(|placed_base| placed_base.pack == data.pack) {
            Some(placed_base) => Blocks::PlacedBase(placed_base.runs(data.pack_block, blocks)),
            None => self.free_blocks(start, blocks),
        }
    }
}

/// Places the content, whether or not the filesystem is large enough for it: compare `end`.
pub(crate) fn place(tree: &Tree, content: &Content, geometry: &Geometry) -> Placed {
    let fixed = Space::new(supers(geometry).collect());
    let base_pack = content.base_pack.as_ref();
    let (in_place, displaced) = base_pack.map(|base_pack| base_pack.around(&fixed)).unwrap_or_default();
    let (tables, space) = Tables::pack(geometry, &in_place);
    let mut cursor = space.cursor();
    let mut starts = vec![0; tree.inode_count()];
    let mut trees = Vec::new();

    let resize_block = (geometry.reserved_gdt_blocks() > 0).then(|| cursor.take(1));
    let journal_blocks = u32::try_from(geometry.journal_blocks).expect("the largest journal has 2^18 blocks");
    let journal = (journal_blocks > 0).then(|| map(&space, &mut cursor, journal_blocks));
    let lost_found = content.numbers.lost_found().map(|_| cursor.take(LOST_FOUND_BLOCKS.into()));
    for dir in &content.dirs {
        let mapped = map(&space, &mut cursor, dir.blocks);
        starts[dir.inode as usize] = mapped.start;
        if mapped.tree_blocks > 0 {
            trees.push(ExtentTree { inode: dir.inode, blocks: mapped.tree_blocks, start: mapped.tree_start });
        }
    }
    for &link in &content.long_links {
        starts[link as usize] = cursor.take(1);
    }
    let rests = content.xattrs.rests.iter();
    let xattr_blocks = rests.map(|rest| cursor.take(rest.blocks().into())).collect();

    let mut placements = Vec::new();
    let in_place_end = in_place.last().map_or(0, |range| range.end);
    let placed_base = base_pack.map(|base_pack| {
        let pack = base_pack.pack;
        placements.extend(in_place.iter().map(|range| Placement {
            pack,
            pack_block: range.start - BASE_PACK_BLOCK,
            disk_block: range.start,
            blocks: range.end - range.start,
        }));
        let mut moved = Vec::new();
        for range in &displaced {
            let mut pack_block = range.start;
            cursor.take_runs(range.end - range.start, |Run { start, blocks }| {
                moved.push(Placement { pack, pack_block, disk_block: start, blocks });
                pack_block += blocks;
            });
        }
        placements.extend_from_slice(&moved);
        PlacedBase { pack, moved }
    });
    let first_file_tree = trees.len();
    for file in &content.files {
        let inode = tree.inode(Ino::from_index(file.inode as usize));
        let Kind::File(data) = inode.kind() else { unreachable!("only files are listed as files") };
        let stored = data.stored_blocks();
        let (blocks, runs) = match placed_base.as_ref().filter(|placed_base| placed_base.pack == file.pack) {
            Some(placed_base) => {
                let runs = placed_base.runs(file.pack_block, stored);
                (Blocks::PlacedBase(runs.clone()), runs.count() as u64)
            }
            None => {
                let mut from = Placement { pack: file.pack, pack_block: file.pack_block, disk_block: 0, blocks: 0 };
                let mut runs = 0;
                let start = cursor.take_runs(stored, |run| {
                    from = Placement { disk_block: run.start, blocks: run.blocks, ..from };
                    push(&mut placements, from);
                    from.pack_block += run.blocks;
                    runs += 1;
                });
                starts[file.inode as usize] = start;
                (Blocks::Free(space.runs(start, stored)), runs)
            }
        };
        // Most files are one run of one segment: those need no counting.
        let most = data.segments.len() as u64 + runs + stored / EXT_INIT_MAX_LEN;
        if most > EXTENTS_IN_INODE as u64 {
            let blocks = tree_blocks(extents(blocks, data.segments).count());
            if blocks > 0 {
                let blocks = u32::try_from(blocks).expect("a file has fewer than 2^32 extents");
                trees.push(ExtentTree { inode: file.inode, blocks, start: 0 });
            }
        }
    }
    // Behind the content, because how many there are depends on where the content is cut by what
    // has a fixed place.
    for tree in &mut trees[first_file_tree..] {
        tree.start = cursor.take(tree.blocks.into());
    }
    trees.sort_unstable_by_key(|tree| tree.inode);
    placements.sort_unstable();

    let content_end = cursor.end();
    let tables_end = tables.groups.last().map_or(0, |group| group[2] + geometry.inode_table_blocks());
    let end = content_end.max(tables_end).max(in_place_end);
    let used = cursor.taken();
    Placed {
        tables,
        resize_block,
        journal,
        lost_found,
        starts,
        trees,
        xattr_blocks,
        placements,
        used,
        content_end,
        end,
        space,
        placed_base,
    }
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

/// Blocks without holes, and right behind them those of their extent tree.
fn map(space: &Space, cursor: &mut Cursor<'_>, blocks: u32) -> Mapped {
    let start = cursor.take(blocks.into());
    let whole = [Segment { file_block: 0, blocks }];
    let tree_blocks = tree_blocks(extents(Blocks::Free(space.runs(start, blocks.into())), &whole).count());
    let tree_start = cursor.take(tree_blocks);
    let tree_blocks = u32::try_from(tree_blocks).expect("fewer than the blocks below");
    Mapped { start, blocks, tree_start, tree_blocks }
}
