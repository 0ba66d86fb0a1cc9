//! A tree as a tar.

mod entry;
mod header;

use std::collections::HashMap;
use std::io::{self, Write};

use cvbake_tree::{BLOCK_SIZE, FileData, Ino, Inode, Kind, Packs, Tree};

use crate::Error;
use entry::{Body, Entry};

/// From so many bytes of holes on a file that is at least half holes is stored without them.
const HOLES_OF_HALF: u64 = 64 << 10;

/// From so many on any file is.
const HOLES_OF_ANY: u64 = 1 << 20;

/// The most parts of a file that is stored without its holes: what Go's `archive/tar` and cvbake
/// read.
const MAX_PARTS: usize = 1 << 20;

/// Whether a file is stored without its holes. Ordinary programs have a few blocks of zeros in
/// them, and stay ordinary entries.
#[must_use]
pub fn is_sparse(data: &FileData<'_>) -> bool {
    let stored = data.stored_blocks() * u64::from(BLOCK_SIZE);
    let holes = data.size.saturating_sub(stored);
    // One part more may mark the end.
    let fits = data.segments.len() < MAX_PARTS;
    fits && (holes >= HOLES_OF_ANY || holes >= HOLES_OF_HALF && holes >= data.size / 2)
}

/// How many bytes of content a tree's tar has.
#[must_use]
pub fn content_bytes(tree: &Tree) -> u64 {
    tree.inodes().fold(0, |sum: u64, inode| match inode.kind() {
        Kind::File(data) if is_sparse(&data) => {
            data.segments.iter().fold(sum, |sum, &segment| sum.saturating_add(entry::part_len(&data, segment)))
        }
        Kind::File(data) => sum.saturating_add(data.size),
        _ => sum,
    })
}

/// Writes a tree as a tar; `on` is told how many more bytes of content were written.
///
/// # Errors
/// When a file is none that a tar can hold, its content can't be read, or `out` fails.
pub fn write(tree: &Tree, packs: &dyn Packs, out: &mut dyn Write, on: &dyn Fn(u64)) -> Result<(), Error> {
    let mut walk = Walk::new(tree);
    while let Some(Named { path, inode, first }) = walk.next() {
        let entry = Entry::new(path, inode, first).map_err(|problem| entry_error(path, problem))?;
        entry.write_headers(out).map_err(|source| Error::Write { source })?;
        if let Body::File { data, sparse } = entry.body {
            write_content(path, &data, sparse, packs, out, on)?;
        }
    }
    // The end of an archive is two blocks of zeros.
    out.write_all(&[0; 2 * header::BLOCK]).map_err(|source| Error::Write { source })
}

fn entry_error(path: &[u8], problem: crate::Problem) -> Error {
    Error::Entry { path: cvbake_tree::escape_short(path), problem }
}

/// Writes the content of a file up to the next whole block of the archive.
fn write_content(
    path: &[u8],
    data: &FileData<'_>,
    sparse: bool,
    packs: &dyn Packs,
    out: &mut dyn Write,
    on: &dyn Fn(u64),
) -> Result<(), Error> {
    let mut written = 0;
    let mut failed = None;
    let mut each = |piece: &[u8]| {
        if let Err(error) = out.write_all(piece) {
            let kind = error.kind();
            failed = Some(error);
            return Err(kind.into());
        }
        written += piece.len() as u64;
        on(piece.len() as u64);
        Ok(())
    };
    let read = if sparse { read_parts(data, packs, &mut each) } else { data.read(packs, &mut each) };
    match (read, failed) {
        (_, Some(source)) => Err(Error::Write { source }),
        (Err(source), None) => Err(Error::Content { path: cvbake_tree::escape_short(path), source }),
        (Ok(()), None) => {
            let padding = written.next_multiple_of(header::BLOCK as u64) - written;
            let padding = usize::try_from(padding).expect("less than a block");
            out.write_all(&[0; header::BLOCK][..padding]).map_err(|source| Error::Write { source })
        }
    }
}

/// The stored parts of a file without the holes between them.
fn read_parts(data: &FileData<'_>, packs: &dyn Packs, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    const PIECE: u64 = 256 << 10;
    let mut buffer = vec![0; 256 << 10];
    let mut from = data.pack_block * u64::from(BLOCK_SIZE);
    for segment in data.segments {
        let stored = u64::from(segment.blocks) * u64::from(BLOCK_SIZE);
        let mut done = 0;
        let len = entry::part_len(data, *segment);
        while done < len {
            let piece = usize::try_from((len - done).min(PIECE)).expect("a piece is small");
            packs.read_at(data.pack, from + done, &mut buffer[..piece])?;
            each(&buffer[..piece])?;
            done += piece as u64;
        }
        from += stored;
    }
    Ok(())
}

/// A name of an inode, by its path; the root's is empty.
struct Named<'w, 't> {
    path: &'w [u8],
    inode: Inode<'t>,
    /// The inode's first path, if this is another one.
    first: Option<&'w [u8]>,
}

/// What is left of a directory.
type Children<'t> = Box<dyn Iterator<Item = (&'t [u8], Inode<'t>)> + 't>;

/// All names of a tree, a directory before what is in it, without recursion: how deep a tree is is
/// for an image to say.
struct Walk<'t> {
    /// The directories that are gone through, and the length of their paths.
    stack: Vec<(Children<'t>, usize)>,
    path: Vec<u8>,
    /// The first names of inodes that have several.
    firsts: HashMap<Ino, Vec<u8>>,
    first: Vec<u8>,
    root: Option<Inode<'t>>,
}

impl<'t> Walk<'t> {
    fn new(tree: &'t Tree) -> Walk<'t> {
        Walk { stack: Vec::new(), path: Vec::new(), firsts: HashMap::new(), first: Vec::new(), root: Some(tree.root()) }
    }

    fn next(&mut self) -> Option<Named<'_, 't>> {
        if let Some(root) = self.root.take() {
            self.stack.push((Box::new(root.children()), 0));
            return Some(Named { path: &self.path, inode: root, first: None });
        }
        loop {
            let (children, parent) = self.stack.last_mut()?;
            let Some((name, inode)) = children.next() else {
                self.stack.pop();
                continue;
            };
            self.path.truncate(*parent);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            if inode.is_dir() {
                self.stack.push((Box::new(inode.children()), self.path.len()));
            } else if inode.name_count() > 1 {
                if let Some(first) = self.firsts.get(&inode.ino()) {
                    self.first.clone_from(first);
                    return Some(Named { path: &self.path, inode, first: Some(&self.first) });
                }
                self.firsts.insert(inode.ino(), self.path.clone());
            }
            return Some(Named { path: &self.path, inode, first: None });
        }
    }
}
