//! What can be wrong with an image.

use crate::Digest;

/// Why something is not the image it should be.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A blob's bytes are not those of its digest.
    #[error("blob {expected}: the content has another digest: found {found}")]
    BlobDigest {
        /// What the blob should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A blob ends before its announced size.
    #[error("blob {digest}: too short: expected {expected} bytes, found {found}")]
    BlobTooShort {
        /// The blob.
        digest: Digest,
        /// The size that was announced.
        expected: u64,
        /// How many bytes there are.
        found: u64,
    },
    /// A blob goes on after its announced size.
    #[error("blob {digest}: too long: expected {expected} bytes, found more")]
    BlobTooLong {
        /// The blob.
        digest: Digest,
        /// The size that was announced.
        expected: u64,
    },
}
