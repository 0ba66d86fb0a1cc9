//! How large the filesystem becomes.

use cvbake_tree::Tree;

use super::content::Content;
use super::geometry::{Geometry, MAX_BLOCKS};
use super::place::{Placed, place};
use crate::format::{BLOCK_SIZE, BLOCKS_PER_GROUP, INODES_PER_BLOCK, MAX_INODES_PER_GROUP};
use crate::{Error, Inodes, Options, Size};

/// A filesystem that everything fits in.
#[derive(Debug)]
pub(crate) struct Fitted {
    pub(crate) geometry: Geometry,
    pub(crate) placed: Placed,
    /// The length of the disk, which may be more than the filesystem's.
    pub(crate) len_bytes: u64,
}

/// Finds the size that the options ask for.
pub(crate) fn fit(tree: &Tree, content: &Content, options: &Options) -> Result<Fitted, Error> {
    Sizer { tree, content, options, needed: content.numbers.used() }.run()
}

struct Sizer<'a> {
    tree: &'a Tree,
    content: &'a Content,
    options: &'a Options,
    /// How many inodes there must be.
    needed: u64,
}

impl Sizer<'_> {
    fn run(&self) -> Result<Fitted, Error> {
        if let Inodes::BytesPerInode(asked) = self.options.inodes
            && asked < BLOCK_SIZE
        {
            return Err(Error::InodeRatio { asked, min: BLOCK_SIZE });
        }
        match self.options.size {
            Size::Min => self.smallest(),
            Size::Auto => self.exactly(Size::auto_bytes(self.smallest()?.len_bytes)),
            Size::Extra(extra) => self.exactly(self.smallest()?.len_bytes.saturating_add(extra)),
            Size::Exact(bytes) => self.exactly(bytes),
        }
    }

    /// The smallest filesystem.
    ///
    /// What the filesystem itself needs only grows with its size, so what does not fit says how
    /// much is needed at least; the first size that is enough for what it needs is the smallest.
    fn smallest(&self) -> Result<Fitted, Error> {
        let mut blocks = 1;
        loop {
            let inodes = self.few_inodes(blocks)?;
            let geometry = Geometry::at_least(blocks, inodes, self.options.journal);
            self.check_size(geometry.blocks.saturating_mul(BLOCK_SIZE))?;
            let placed = place(self.tree, self.content, &geometry);
            if placed.end <= geometry.blocks {
                if let Inodes::BytesPerInode(_) = self.options.inodes {
                    self.check_inodes(inodes)?;
                }
                return Ok(Fitted { len_bytes: geometry.blocks * BLOCK_SIZE, geometry, placed });
            }
            blocks = placed.end;
        }
    }

    /// How many inodes the smallest filesystem gets if it has so many blocks.
    fn few_inodes(&self, blocks: u64) -> Result<u64, Error> {
        let most = u64::from(u32::MAX);
        match self.options.inodes {
            Inodes::Auto => Ok(Inodes::fewest(self.needed).min(most)),
            Inodes::Count(count) => self.check_inodes(count.into()),
            Inodes::BytesPerInode(bytes) => Ok((blocks.saturating_mul(BLOCK_SIZE) / bytes).min(most)),
        }
    }

    /// A filesystem on a disk of exactly this length.
    fn exactly(&self, len_bytes: u64) -> Result<Fitted, Error> {
        self.check_size(len_bytes)?;
        let blocks = len_bytes / BLOCK_SIZE;
        let most = most_inodes(blocks);
        let counts = match self.options.inodes {
            Inodes::Auto => {
                let count = Inodes::auto_count(self.needed, len_bytes).min(most);
                vec![count, Inodes::fewest(self.needed).min(count)]
            }
            Inodes::Count(count) => vec![self.check_inodes(count.into())?],
            Inodes::BytesPerInode(bytes) => vec![self.check_inodes(len_bytes / bytes)?],
        };
        for inodes in counts {
            if inodes < self.needed {
                break;
            }
            if inodes > most {
                // A larger filesystem could have them.
                return Err(Error::TooManyInodes { asked: inodes, max: most, bytes: len_bytes });
            }
            let geometry = Geometry::within(blocks, inodes, self.options.journal);
            if geometry.is_too_small() {
                break;
            }
            let placed = place(self.tree, self.content, &geometry);
            if placed.end <= geometry.blocks {
                return Ok(Fitted { geometry, placed, len_bytes });
            }
        }
        Err(Error::TooSmall { asked: len_bytes, needed: self.smallest()?.len_bytes })
    }

    fn check_size(&self, bytes: u64) -> Result<(), Error> {
        let max = MAX_BLOCKS * BLOCK_SIZE;
        if bytes > max { Err(Error::TooLarge { bytes, max }) } else { Ok(()) }
    }

    fn check_inodes(&self, asked: u64) -> Result<u64, Error> {
        let needed = self.needed;
        if asked < needed { Err(Error::TooFewInodes { asked, needed }) } else { Ok(asked) }
    }
}

/// The most inodes of a filesystem of so many blocks: one for each block, and 32 bits for their
/// numbers.
fn most_inodes(blocks: u64) -> u64 {
    let groups = Geometry::within(blocks, 0, false).groups;
    debug_assert!(groups <= MAX_BLOCKS.div_ceil(BLOCKS_PER_GROUP), "the size was checked");
    let per_group = u64::from(u32::MAX) / groups / INODES_PER_BLOCK * INODES_PER_BLOCK;
    groups * per_group.min(MAX_INODES_PER_GROUP)
}
