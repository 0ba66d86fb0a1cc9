//! What readers of filesystems have in common: the way along a path, and the files of a filesystem
//! as a tree whose content is read from the disk.

use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{BLOCK_SIZE, Device, FileData, Packs, Segment, Tree};

/// What kind of file an inode of a filesystem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

impl NodeKind {
    /// What it is, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            NodeKind::Directory => "a directory",
            NodeKind::File => "a regular file",
            NodeKind::Symlink => "a symbolic link",
            NodeKind::CharDevice(_) | NodeKind::BlockDevice(_) => "a device",
            NodeKind::Fifo => "a named pipe",
            NodeKind::Socket => "a socket",
        }
    }
}

/// Which symbolic links on the way to a file are followed. All lead to somewhere in the same
/// filesystem: its root directory is the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// None: one that is not the last is no directory.
    Never,
    /// All but the last.
    Parents,
    /// All.
    All,
}

/// How many symbolic links on a way to a file are followed: as many as Linux follows.
pub const LINKS_MAX: u32 = 40;

/// What [`lookup`] walks through.
pub trait Directories {
    /// An inode.
    type Node;
    /// What is in a directory.
    type Listing;
    /// What was read on one way: a reader of disks that nobody trusts keeps books, so that
    /// directories that share what they have are found.
    type Books: Default;
    /// Why one can't be read.
    type Error;

    /// The root directory.
    ///
    /// # Errors
    /// When it can't be read.
    fn root(&self) -> Result<Self::Node, Self::Error>;

    /// What kind of file an inode is.
    fn kind(&self, node: &Self::Node) -> NodeKind;

    /// The number of an inode.
    fn number(&self, node: &Self::Node) -> u64;

    /// Reads a directory; once on each way, however often links lead through it.
    ///
    /// # Errors
    /// When it can't be read.
    fn list(&self, dir: &Self::Node, books: &mut Self::Books) -> Result<Self::Listing, Self::Error>;

    /// What a name in a directory leads to; neither `.` nor `..` is asked for.
    ///
    /// # Errors
    /// When the inode can't be read.
    fn child(&self, listing: &Self::Listing, name: &[u8]) -> Result<Option<Self::Node>, Self::Error>;

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// When it can't be read.
    fn target(&self, link: &Self::Node) -> Result<Vec<u8>, Self::Error>;
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed<E> {
    /// There is no such file.
    NotFound,
    /// What is not last on the way is this, and no directory.
    NoDirectory(NodeKind),
    /// It leads over more than [`LINKS_MAX`] symbolic links.
    Links,
    /// Something on the way can't be read.
    Unread(E),
}

impl<E> From<E> for Missed<E> {
    fn from(error: E) -> Missed<E> {
        Missed::Unread(error)
    }
}

/// The inode at a path; whether it starts with `/` does not matter.
///
/// # Errors
/// When there is none, or something on the way is no directory, or can't be read.
pub fn lookup<D: Directories>(dirs: &D, path: &[u8], follow: Follow) -> Result<D::Node, Missed<D::Error>> {
    let mut names: VecDeque<Vec<u8>> = split(path).collect();
    // The directories above the one where we are.
    let mut above: Vec<D::Node> = Vec::new();
    let mut at = dirs.root()?;
    let mut links = 0;
    let mut books = D::Books::default();
    let mut listings: BTreeMap<u64, D::Listing> = BTreeMap::new();
    while let Some(name) = names.pop_front() {
        if dirs.kind(&at) != NodeKind::Directory {
            return Err(Missed::NoDirectory(dirs.kind(&at)));
        }
        if name == b".." {
            at = above.pop().unwrap_or(at);
            continue;
        }
        let listing = match listings.entry(dirs.number(&at)) {
            Vacant(place) => place.insert(dirs.list(&at, &mut books)?),
            Occupied(read) => read.into_mut(),
        };
        let next = dirs.child(listing, &name)?.ok_or(Missed::NotFound)?;
        let is_followed = match follow {
            Follow::Never => false,
            Follow::Parents => !names.is_empty(),
            Follow::All => true,
        };
        if dirs.kind(&next) != NodeKind::Symlink || !is_followed {
            above.push(std::mem::replace(&mut at, next));
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Missed::Links);
        }
        let target = dirs.target(&next)?;
        if target.starts_with(b"/") {
            at = dirs.root()?;
            above.clear();
        }
        for name in split(&target).collect::<Vec<_>>().into_iter().rev() {
            names.push_front(name);
        }
    }
    Ok(at)
}

/// The names of a path, without those that lead nowhere.
fn split(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec)
}

/// The content of a file: bytes at positions.
pub trait Content: Send + Sync {
    /// How long the file is.
    fn len_bytes(&self) -> u64;

    /// Fills all of `bytes` with what is at `offset` of the file.
    ///
    /// # Errors
    /// When the disk can't be read, or not all of it is in the file.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// The first range at or behind `offset` that may have other bytes than zeros, if there is one.
    fn next_content(&self, offset: u64) -> Option<Range<u64>>;
}

/// Which blocks of a tree's size have content; none where one has a number that a tree has no room
/// for, as in large blocks there can be.
pub fn segments(content: &dyn Content, segments: &mut Vec<Segment>) -> Option<()> {
    let block = u64::from(BLOCK_SIZE);
    let number = |block: u64| u32::try_from(block).ok();
    let mut at = 0;
    while let Some(range) = content.next_content(at) {
        let (start, end) = (range.start / block, range.end.div_ceil(block));
        match segments.last_mut() {
            Some(last) if u64::from(last.file_block) + u64::from(last.blocks) >= start => {
                last.blocks = number(end)? - last.file_block;
            }
            _ => segments.push(Segment { file_block: number(start)?, blocks: number(end)? - number(start)? }),
        }
        at = range.end;
    }
    Some(())
}

/// Where the content of files is found by the number of their inode.
pub trait Contents: Send + Sync {
    /// The content of a regular file.
    ///
    /// # Errors
    /// When where it is can't be read.
    fn open(&self, inode: u64) -> io::Result<Arc<dyn Content>>;
}

/// All files of a filesystem. It is a [`Tree`] whose content is read from the disk: it gives
/// [`Packs`], so that whatever is done with the tree of an image can be done with it.
pub struct Files<F> {
    filesystem: Arc<F>,
    tree: Tree,
    packed: Packed,
    /// The file that was read last: it is read in pieces.
    recent: Mutex<Option<(u64, Arc<dyn Content>)>>,
}

impl<F> Files<F> {
    /// The number in the filesystem of the inode that has some content; none of a file without.
    #[must_use]
    pub fn number_of(&self, data: &FileData<'_>) -> Option<u64> {
        let first = (data.pack, u32::try_from(data.pack_block).ok()?);
        let at = self.packed.places.binary_search_by_key(&first, |place| (place.pack, place.pack_block)).ok()?;
        (!data.segments.is_empty()).then(|| self.packed.places[at].inode)
    }
}

impl<F> std::fmt::Debug for Files<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("inodes", &self.tree.inode_count()).finish_non_exhaustive()
    }
}

/// Where in the numbering of a tree the content of the files is: one behind the other.
#[derive(Default, Debug)]
pub struct Packed {
    /// In order.
    places: Vec<Place>,
    pack: u32,
    next: u32,
}

/// A run of content.
#[derive(Clone, Copy, Debug)]
struct Place {
    inode: u64,
    pack: u32,
    pack_block: u32,
    file_block: u32,
    blocks: u32,
}

impl Packed {
    /// Gives a file a place, which is a pack and a block of it; `None` if it has 2^32 blocks or
    /// more.
    pub fn add(&mut self, inode: u64, segments: &[Segment]) -> Option<(u32, u64)> {
        let blocks = segments.iter().try_fold(0u32, |sum, segment| sum.checked_add(segment.blocks))?;
        if self.next.checked_add(blocks).is_none() {
            self.pack += 1;
            self.next = 0;
        }
        let start = (self.pack, u64::from(self.next));
        for &Segment { file_block, blocks } in segments {
            let Packed { pack, next: pack_block, .. } = *self;
            self.places.push(Place { inode, pack, pack_block, file_block, blocks });
            self.next += blocks;
        }
        Some(start)
    }
}

impl<F> Files<F> {
    /// A tree whose files were given their places.
    #[must_use]
    pub fn new(filesystem: Arc<F>, tree: Tree, packed: Packed) -> Files<F> {
        Files { filesystem, tree, packed, recent: Mutex::new(None) }
    }

    /// The names and attributes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The filesystem.
    #[must_use]
    pub fn filesystem(&self) -> &Arc<F> {
        &self.filesystem
    }
}

impl<F: Contents> Files<F> {
    fn content(&self, inode: u64) -> io::Result<Arc<dyn Content>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, content)) = &*recent
            && *known == inode
        {
            return Ok(content.clone());
        }
        let content = self.filesystem.open(inode)?;
        *recent = Some((inode, content.clone()));
        Ok(content)
    }

    /// Behind the end of a file, its last block is filled up with zeros.
    fn read(&self, inode: u64, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let content = self.content(inode)?;
        let left = content.len_bytes().saturating_sub(offset);
        let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (there, behind) = bytes.split_at_mut(len);
        behind.fill(0);
        content.read_at(offset, there)
    }
}

impl<F: Contents> Packs for Files<F> {
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
            self.read(place.inode, u64::from(place.file_block) * block + within, now)?;
            offset += len as u64;
            (rest, at) = (later, at + 1);
        }
        Ok(())
    }
}
