//! Whether a disk is what its hash tree says, and the tree what its root hash says.

use std::num::NonZeroUsize;

use cvbake_disk::ReadAt;
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::error::{Error, Part, Place};
use crate::hasher::{Bytes, RootHash, Salt, ZEROS};
use crate::layout::{BLOCK, Layout};
use crate::parallel::in_parallel;
use crate::superblock::{LEN, VeritySb};

/// What was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many blocks of data are as they should be.
    pub data_blocks: u64,
    /// What the hash area is called.
    pub uuid: [u8; 16],
}

/// What a hash area says of itself, which nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is called.
    pub uuid: [u8; 16],
    /// How many blocks of data it is about.
    pub data_blocks: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The root hash that it would have; that of a single block is a hash of the data.
    pub root_hash: Option<RootHash>,
}

/// Reads what the hash area at an offset says of itself.
///
/// # Errors
/// When there is none, or it can't be read or is not supported.
pub fn find(hashes: &dyn ReadAt, offset: u64) -> Result<Found, Error> {
    let Described { uuid, salt, layout, start } = describe(hashes, offset)?;
    let top = layout.levels().last().map(|level| {
        let (mut block, offset) = (ZEROS, start + level.offset(0) - BLOCK);
        let read = hashes.read_at(offset, &mut block);
        read.map_err(|source| Error::Read { part: Part::Hashes, offset, source })?;
        Ok::<_, Error>(salt.hash(&block))
    });
    let (data_blocks, bytes) = (layout.data_blocks(), layout.area_bytes());
    Ok(Found { uuid, data_blocks, bytes, root_hash: top.transpose()? })
}

/// A hash area, of which all is there.
struct Described {
    uuid: [u8; 16],
    salt: Salt,
    layout: Layout,
    /// Where the tree begins: with the next block behind the superblock, wherever that is.
    start: u64,
}

fn describe(hashes: &dyn ReadAt, offset: u64) -> Result<Described, Error> {
    let mut superblock = VeritySb::new_zeroed();
    let enough = |expected: u64| match hashes.len_bytes() {
        found if found < expected => Err(Error::CutOff { part: Part::Hashes, expected, found }),
        _ => Ok(()),
    };
    enough(offset.saturating_add(LEN as u64))?;
    let read = hashes.read_at(offset, superblock.as_mut_bytes());
    read.map_err(|source| Error::Read { part: Part::Hashes, offset, source })?;
    let (uuid, salt, layout) = superblock.describe()?;
    let start = offset.saturating_add(LEN as u64).checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
    // A tree without levels has nothing there.
    if !layout.levels().is_empty() {
        enough(start.saturating_add(layout.area_bytes() - BLOCK))?;
    }
    Ok(Described { uuid, salt, layout, start })
}

/// Checks all of a disk by the hash area at `offset` of another one, or of itself. `go_on` is
/// called with how many more bytes of data are checked; when it returns `false`, the work ends.
///
/// # Errors
/// When anything can't be read, is not supported or is not as the root hash says, or the work was
/// ended.
pub fn check(
    data: &dyn ReadAt,
    hashes: &dyn ReadAt,
    offset: u64,
    root: &RootHash,
    jobs: NonZeroUsize,
    go_on: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Checked, Error> {
    let Described { uuid, salt, layout, start } = describe(hashes, offset)?;
    let (expected, found) = (layout.data_blocks() * BLOCK, data.len_bytes());
    if found < expected {
        return Err(Error::CutOff { part: Part::Data, expected, found });
    }
    let checker = Checker { layout: &layout, salt, data, hashes, start };
    checker.run(root, jobs, go_on)?;
    Ok(Checked { data_blocks: layout.data_blocks(), uuid })
}

struct Checker<'a> {
    layout: &'a Layout,
    salt: Salt,
    data: &'a dyn ReadAt,
    hashes: &'a dyn ReadAt,
    /// Where the tree begins.
    start: u64,
}

impl Checker<'_> {
    fn run(&self, root: &RootHash, jobs: NonZeroUsize, go_on: &(dyn Fn(u64) -> bool + Sync)) -> Result<(), Error> {
        let Some(top) = self.layout.levels().len().checked_sub(1) else {
            self.expect(&self.data_block(0)?, root, Place::Data(0))?;
            return if go_on(BLOCK) { Ok(()) } else { Err(Error::Stopped) };
        };
        self.expect(&self.hash_block(top, 0)?, root, Place::Hashes { level: top, block: 0 })?;
        // From the top down: a block has been checked when what it says of others counts.
        for level in (0..=top).rev() {
            let blocks = self.layout.levels()[level].blocks;
            in_parallel(blocks, jobs, &|block| self.below(level, block, go_on))?;
        }
        Ok(())
    }

    /// Checks what a block of the tree has the hashes of.
    fn below(&self, level: usize, block: u64, go_on: &(dyn Fn(u64) -> bool + Sync)) -> Result<(), Error> {
        let hashes = self.hash_block(level, block)?;
        let below = self.layout.below(level, block);
        let bytes = (below.end - below.start) * BLOCK;
        for (number, hash) in below.zip(hashes.as_chunks::<32>().0) {
            match level.checked_sub(1) {
                None => self.expect(&self.data_block(number)?, hash, Place::Data(number))?,
                Some(level) => {
                    let place = Place::Hashes { level, block: number };
                    self.expect(&self.hash_block(level, number)?, hash, place)?;
                }
            }
        }
        if go_on(if level == 0 { bytes } else { 0 }) { Ok(()) } else { Err(Error::Stopped) }
    }

    fn expect(&self, block: &Bytes, expected: &RootHash, place: Place) -> Result<(), Error> {
        if self.salt.hash(block) == *expected { Ok(()) } else { Err(Error::Mismatch { place }) }
    }

    fn data_block(&self, number: u64) -> Result<Bytes, Error> {
        let (mut block, offset) = (ZEROS, number * BLOCK);
        let read = self.data.read_at(offset, &mut block);
        read.map_err(|source| Error::Read { part: Part::Data, offset, source })?;
        Ok(block)
    }

    fn hash_block(&self, level: usize, number: u64) -> Result<Bytes, Error> {
        let level = self.layout.levels()[level];
        let (mut block, offset) = (ZEROS, self.start + level.offset(number) - BLOCK);
        let read = self.hashes.read_at(offset, &mut block);
        read.map_err(|source| Error::Read { part: Part::Hashes, offset, source })?;
        Ok(block)
    }
}
