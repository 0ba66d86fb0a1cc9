//! Which layer describes which inode of a merged tree.

use cvbake_tree::Ino;

/// By inode of a tree, the layer that describes it: two bytes each, beside the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<u16>);

/// No layer: the number is higher than that of any layer that an image can have.
const IMPLIED: u16 = u16::MAX;

impl Origins {
    pub(super) fn of_root(layer: Option<usize>) -> Origins {
        let mut origins = Origins(Vec::new());
        origins.push(layer);
        origins
    }

    /// The layer of the next inode, in the canonical order of the tree.
    pub(super) fn push(&mut self, layer: Option<usize>) {
        let number = |layer| u16::try_from(layer).expect("an image has at most some thousands of layers");
        self.0.push(layer.map_or(IMPLIED, number));
    }

    /// The position of the layer that has the entry with the attributes of an inode, the lowest
    /// being 0; `None` for a directory that no layer has an entry of.
    ///
    /// # Panics
    /// If the inode belongs to another tree.
    #[must_use]
    pub fn layer(&self, ino: Ino) -> Option<usize> {
        let layer = self.0[ino.index()];
        (layer != IMPLIED).then(|| usize::from(layer))
    }
}
