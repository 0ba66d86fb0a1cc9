//! What a user may want to know meanwhile.

use std::fmt;

use cvbake_verify::Digest;

/// Something that happens while an image is fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something about the store.
    Store(cvbake_store::Event),
    /// A blob in the store was not what its name says; it was removed and is fetched again.
    Damaged {
        /// The name.
        digest: Digest,
    },
    /// The download of a blob goes on where an earlier one stopped.
    Resumed {
        /// The blob.
        digest: Digest,
        /// How many bytes are there.
        from: u64,
        /// How many it has.
        size: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Store(event) => event.fmt(f),
            Event::Damaged { digest } => write!(f, "blob {digest} in the store is damaged; fetching it again"),
            Event::Resumed { digest, from, size } => write!(f, "resuming {digest} at byte {from} of {size}"),
        }
    }
}
