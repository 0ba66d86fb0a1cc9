//! Which blocks are an inode's own.

use cvbake_disk::Claims;

use super::{Error, Filesystem, Node, NodeKind};
use crate::format::inode::EXT4_INLINE_DATA_FL;
use crate::format::superblock::RO_COMPAT_SHARED_BLOCKS;

impl Filesystem {
    /// Takes the blocks of an inode's content, which are nobody else's. Of files whose blocks may
    /// be shared, by a feature of the filesystem, nothing is taken.
    ///
    /// # Errors
    /// When one of them is another's, or is there twice, or where they are can't be read.
    pub fn claim(&self, node: &Node, claims: &mut Claims) -> Result<(), Error> {
        let has_blocks = match node.kind {
            NodeKind::File | NodeKind::Directory | NodeKind::Symlink => !node.has(EXT4_INLINE_DATA_FL),
            _ => false,
        };
        if !has_blocks || self.shares_blocks(node) {
            return Ok(());
        }
        for range in self.map(node)?.taken {
            claims.take(range).map_err(|block| {
                node.object().rule(format!("block {block} is there twice, or belongs to another file, too"))
            })?;
        }
        Ok(())
    }

    /// Whether blocks of an inode may be others', too.
    pub(super) fn shares_blocks(&self, node: &Node) -> bool {
        node.kind == NodeKind::File && self.superblock.ro_compat & RO_COMPAT_SHARED_BLOCKS != 0
    }
}
