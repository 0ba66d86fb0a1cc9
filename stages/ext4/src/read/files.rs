//! What a filesystem holds, as a tree; and its content, as packs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use cvbake_tree::{BLOCK_SIZE, Packs, Segment, Tree};

use super::{Content, Error, Filesystem, Node};

/// All files of a filesystem. It is a [`Tree`] whose content is read from the disk: it gives
/// [`Packs`], so that whatever is done with the tree of an image can be done with it.
pub struct Files {
    filesystem: Arc<Filesystem>,
    tree: Tree,
    packed: Packed,
    /// The file that was read last: it is read in pieces.
    recent: Mutex<Option<(u32, Arc<Content>)>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("filesystem", &self.filesystem).finish_non_exhaustive()
    }
}

/// Where in the numbering of a tree the content of the files is: one behind the other.
#[derive(Default, Debug)]
pub(super) struct Packed {
    /// In order.
    places: Vec<Place>,
    pack: u32,
    next: u32,
}

/// A run of content.
#[derive(Clone, Copy, Debug)]
struct Place {
    pack: u32,
    pack_block: u32,
    ino: u32,
    file_block: u32,
    blocks: u32,
}

impl Packed {
    /// Gives a file a place.
    pub(super) fn add(&mut self, node: &Node, segments: &[Segment]) -> Result<(u32, u64), Error> {
        let too_large = || node.object().value("i_size", node.size, "fewer than 2^32 blocks of 4096 bytes");
        let blocks = segments.iter().try_fold(0u32, |sum, segment| sum.checked_add(segment.blocks));
        let blocks = blocks.ok_or_else(too_large)?;
        if self.next.checked_add(blocks).is_none() {
            self.pack += 1;
            self.next = 0;
        }
        let start = (self.pack, u64::from(self.next));
        for &Segment { file_block, blocks } in segments {
            let Packed { pack, next: pack_block, .. } = *self;
            self.places.push(Place { pack, pack_block, ino: node.ino, file_block, blocks });
            self.next += blocks;
        }
        Ok(start)
    }
}

impl Files {
    pub(super) fn new(filesystem: Arc<Filesystem>, tree: Tree, packed: Packed) -> Files {
        Files { filesystem, tree, packed, recent: Mutex::new(None) }
    }

    /// The names and attributes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The filesystem.
    #[must_use]
    pub fn filesystem(&self) -> &Arc<Filesystem> {
        &self.filesystem
    }

    /// The number of the inode that has some content; none of a file without.
    pub(super) fn number(&self, data: &cvbake_tree::FileData<'_>) -> Option<u32> {
        let first = (data.pack, u32::try_from(data.pack_block).ok()?);
        let place = |place: &Place| (place.pack, place.pack_block);
        let at = self.packed.places.binary_search_by_key(&first, place).ok()?;
        (!data.segments.is_empty()).then(|| self.packed.places[at].ino)
    }

    fn content(&self, ino: u32) -> Result<Arc<Content>, Error> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, content)) = &*recent
            && *known == ino
        {
            return Ok(content.clone());
        }
        let content = Arc::new(self.filesystem.content(&self.filesystem.node(ino)?)?);
        *recent = Some((ino, content.clone()));
        Ok(content)
    }
}

impl Packs for Files {
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let block = u64::from(BLOCK_SIZE);
        let end = |place: &Place| (place.pack, (u64::from(place.pack_block) + u64::from(place.blocks)) * block);
        let mut at = self.packed.places.partition_point(|place| end(place) <= (pack, offset));
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let place = self.packed.places.get(at).filter(|place| place.pack == pack);
            let place = place.ok_or(io::ErrorKind::UnexpectedEof)?;
            let start = u64::from(place.pack_block) * block;
            let within = offset.checked_sub(start).ok_or(io::ErrorKind::UnexpectedEof)?;
            let left = u64::from(place.blocks) * block - within;
            let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            let (now, later) = rest.split_at_mut(len);
            self.read(place.ino, u64::from(place.file_block) * block + within, now)?;
            offset += len as u64;
            (rest, at) = (later, at + 1);
        }
        Ok(())
    }
}

impl Files {
    /// Behind the end of a file, its last block is filled up with zeros.
    fn read(&self, ino: u32, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let content = self.content(ino).map_err(io::Error::other)?;
        let left = content.len_bytes().saturating_sub(offset);
        let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (there, behind) = bytes.split_at_mut(len);
        behind.fill(0);
        content.read_at(offset, there).map_err(io::Error::other)
    }
}
