//! What each part of a disk is for, and what of it is written.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use cvbake_ext4::Use;
use cvbake_ext4::read::{Files, Filesystem as Ext4};
use cvbake_tree::{Ino, Inode, Kind, Tree};

use super::{Disk, Filesystem};
use crate::error::Error;

/// What a part of a disk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Partition tables, and what no partition and no filesystem has.
    Between,
    /// Another partition than the one with the filesystem, by its number.
    Partition(usize),
    /// The hash tree behind the filesystem.
    HashTree,
    /// A part of the filesystem; content has the number that was given to its file.
    Filesystem(Use),
}

/// A part of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Which bytes.
    pub bytes: Range<u64>,
    /// What they are for.
    pub purpose: Purpose,
    /// Whether its files have them; what they do not have reads as zeros.
    pub is_written: bool,
}

/// More pieces are no picture: a file that maps blocks can say of each second one that it is
/// written, of a disk of any length.
const PIECES_MAX: usize = 1 << 22;

/// What each part of a disk is for, from its beginning to its end, without a gap.
///
/// `number` is the partition that `ext4` and its `files` are on, and `of` gives their content
/// numbers.
///
/// # Errors
/// When something of it can't be read.
pub fn pieces(
    disk: &Disk,
    number: Option<usize>,
    ext4: &Arc<Ext4>,
    files: &Files,
    of: &dyn Fn(Ino) -> u32,
) -> Result<Vec<Piece>, Error> {
    let regions = ext4.regions(files, of).map_err(|error| disk.unreadable(error))?;
    let size = ext4.info().block_size;
    let placed = number.and_then(|number| disk.partitions().get(number.checked_sub(1)?));
    let begin = placed.map_or(0, |placed| placed.range.start);
    let mut pieces: Vec<Piece> = Vec::new();
    for region in regions {
        let bytes = begin + region.blocks.start * size..begin + region.blocks.end * size;
        let purpose = Purpose::Filesystem(region.used_for);
        pieces.push(Piece { bytes, purpose, is_written: region.is_written });
    }
    let mut others: Vec<(Range<u64>, Purpose)> = (1..)
        .zip(disk.partitions())
        .filter(|(other, _)| Some(*other) != number)
        .map(|(other, placed)| (placed.range.clone(), Purpose::Partition(other)))
        .collect();
    if let Some(tree) = disk.hash_tree(number, &Filesystem::Ext4(ext4.clone())) {
        if let Some(own) = tree.partition.filter(|own| Some(*own) != number) {
            others
                .iter_mut()
                .filter(|(_, at)| *at == Purpose::Partition(own))
                .for_each(|(_, at)| *at = Purpose::HashTree);
        }
        if tree.partition == number {
            let start = begin.saturating_add(tree.offset);
            others.push((start..start.saturating_add(tree.found.bytes), Purpose::HashTree));
        }
    }
    let all = disk.len_bytes();
    let taken = pieces.first().zip(pieces.last()).map(|(first, last)| first.bytes.start..last.bytes.end);
    others.extend(taken.map(|taken| (taken, Purpose::Between)));
    others.sort_by_key(|(bytes, _)| bytes.start);
    // The filesystem is one of the ranges so that nothing else gets its bytes; it is there already.
    let mut at = 0;
    let mut rest = Vec::new();
    for (bytes, purpose) in others {
        rest.push((at..bytes.start.clamp(at, all), Purpose::Between));
        let bytes = bytes.start.clamp(at, all)..bytes.end.clamp(at, all);
        at = bytes.end.max(at);
        if purpose != Purpose::Between {
            rest.push((bytes, purpose));
        }
    }
    rest.push((at..all, Purpose::Between));
    for (bytes, purpose) in rest {
        cut_by_written(disk, bytes, purpose, &mut pieces).map_err(|source| Error::disk_content(disk.path(), source))?;
    }
    pieces.sort_by_key(|piece| piece.bytes.start);
    Ok(pieces)
}

/// Adds a range in pieces that are written and pieces that are not.
fn cut_by_written(disk: &Disk, bytes: Range<u64>, purpose: Purpose, pieces: &mut Vec<Piece>) -> io::Result<()> {
    let mut at = bytes.start;
    while at < bytes.end {
        let next = disk
            .whole
            .next_content(at)?
            .map_or(bytes.end..bytes.end, |next| next.start.clamp(at, bytes.end)..next.end.clamp(at, bytes.end));
        if at < next.start {
            pieces.push(Piece { bytes: at..next.start, purpose, is_written: false });
        }
        if next.start < next.end {
            pieces.push(Piece { bytes: next.clone(), purpose, is_written: true });
        }
        if pieces.len() > PIECES_MAX {
            return Err(io::Error::other(format!("it is written in more than {PIECES_MAX} pieces")));
        }
        at = next.end.max(next.start);
    }
    Ok(())
}

/// By inode of a tree, the inode of another one that stands in the same place and, of a file, has
/// the same size: of the first name that has one.
#[must_use]
pub fn in_the_same_place(tree: &Tree, other: &Tree) -> Vec<Option<Ino>> {
    let mut found = vec![None; tree.inode_count()];
    found[Ino::ROOT.index()] = Some(Ino::ROOT);
    let mut directories = vec![(tree.root(), other.root())];
    while let Some((directory, beside)) = directories.pop() {
        for (name, child) in directory.children() {
            let Some(twin) = beside.child(name).filter(|twin| is_alike(child, *twin)) else { continue };
            found[child.ino().index()].get_or_insert(twin.ino());
            if child.is_dir() {
                directories.push((child, twin));
            }
        }
    }
    found
}

fn is_alike(one: Inode<'_>, other: Inode<'_>) -> bool {
    match (one.kind(), other.kind()) {
        (Kind::File(one), Kind::File(other)) => one.size == other.size,
        (Kind::File(_), _) | (_, Kind::File(_)) => false,
        _ => one.is_dir() == other.is_dir(),
    }
}
