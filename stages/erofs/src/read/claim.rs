//! What of the disk is an inode's own.

use cvbake_disk::Claims;
use cvbake_tree::read::NodeKind;

use super::node::Data;
use super::{Error, Filesystem, Node};

impl Filesystem {
    /// Takes what belongs to an inode, and to nobody else: itself, its attributes, its chunk map,
    /// and all content but chunks, which files may share.
    ///
    /// # Errors
    /// When some of it is another's, too, or where it is can't be read.
    pub fn claim(&self, node: &Node, claims: &mut Claims) -> Result<(), Error> {
        let taken = |at| node.object().rule(format!("byte {at} of the disk belongs to another, too"));
        claims.take(node.place.start..node.tail_at()).map_err(taken)?;
        let has_content = matches!(node.kind, NodeKind::Directory | NodeKind::File | NodeKind::Symlink);
        if !has_content || node.size == 0 {
            return Ok(());
        }
        if node.data == Data::Chunks {
            claims.take(self.map(node)?.0).map_err(taken)?;
            if node.kind == NodeKind::File {
                return Ok(());
            }
        }
        for run in self.runs(node)? {
            claims.take(run.on_disk()).map_err(taken)?;
        }
        Ok(())
    }
}
