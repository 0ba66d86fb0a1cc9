//! SHA-256 of a salt and a block.

use ring::digest::{Context, SHA256};

use crate::layout::BLOCK_LEN;

/// What a tree comes to: the hash of its top block.
pub type RootHash = [u8; 32];

/// The UUIDs of the two partitions, of data and of hashes, that the Discoverable Partitions
/// Specification derives from a root hash: its first and its last 16 bytes, in the order in which
/// a UUID is written as text.
#[must_use]
pub fn partition_uuids(root: &RootHash) -> ([u8; 16], [u8; 16]) {
    let (first, last) = root.split_at(16);
    (first.try_into().expect("16 bytes of 32"), last.try_into().expect("16 bytes of 32"))
}

/// One block.
pub(crate) type Bytes = [u8; BLOCK_LEN];

/// A block of zeros.
pub(crate) static ZEROS: Bytes = [0; BLOCK_LEN];

/// What has seen the salt, and goes on from there for each block.
#[derive(Clone)]
pub(crate) struct Salt(Context);

impl Salt {
    pub(crate) fn new(salt: &[u8]) -> Salt {
        let mut context = Context::new(&SHA256);
        context.update(salt);
        Salt(context)
    }

    /// The hash of a block.
    pub(crate) fn hash(&self, block: &Bytes) -> RootHash {
        let mut context = self.0.clone();
        context.update(block);
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salt").finish_non_exhaustive()
    }
}
