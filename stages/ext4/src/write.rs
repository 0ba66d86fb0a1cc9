//! From the plan to bytes.

use cvbake_disk::Sink;
use cvbake_tree::Tree;

use crate::format::checksum::Checksum;
use crate::{Error, Layout};

mod batch;
mod content;
mod directory;
mod extents;
mod groups;
mod inodes;
mod superblock;
mod xattr;

use batch::Batch;

impl Layout {
    /// Writes all but the content of files: what the disk needs besides [`Layout::placements`].
    /// Neighbouring blocks are written together, and nothing is written where zeros belong.
    ///
    /// # Errors
    /// When the sink refuses the bytes.
    ///
    /// # Panics
    /// If `tree` is not the tree that was planned for.
    pub fn write_metadata(&self, tree: &Tree, sink: &dyn Sink) -> Result<(), Error> {
        assert_eq!(tree.inode_count(), self.placed.starts.len(), "the layout belongs to another tree");
        let mut batch = Batch::new(sink);
        let writer = Writer { layout: self, tree, seed: Checksum::of_filesystem(&self.options.uuid) };
        writer.write_groups(&mut batch)?;
        writer.write_inode_tables(&mut batch)?;
        writer.write_content(&mut batch)?;
        batch.flush()
    }
}

/// What every part of writing needs.
struct Writer<'a> {
    layout: &'a Layout,
    tree: &'a Tree,
    /// Of all checksums but the superblock's.
    seed: Checksum,
}
