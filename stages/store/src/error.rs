//! What can go wrong.

use std::io;
use std::path::PathBuf;

use cvbake_verify::Digest;

/// Why the store can't be used.
///
/// A full disk is a variant whose source is [`io::ErrorKind::StorageFull`] or
/// [`io::ErrorKind::QuotaExceeded`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path of the store is something else.
    #[error("{} is not a directory: expected the directory of a store", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// What a process works on needs more of the store than it may keep others from removing.
    #[error("more than {limit} blobs and layers would be in use at once")]
    ManyPinned {
        /// The limit.
        limit: usize,
    },
    /// Something else is where a part of the store should be.
    #[error("{} is {found}, expected {expected} of the store", path.display())]
    Misplaced {
        /// Where it is.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
        /// What should be there, with its article.
        expected: &'static str,
    },
    /// The directory belongs to another user.
    #[error("the store {} belongs to user {owner}, expected user {user}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who runs this.
        user: u32,
    },
    /// Others can write to the directory.
    #[error("others can write to the store {} (mode {mode:04o}, expected 0700)", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory holds other things.
    #[error("{} is not empty and not a store: it contains {name:?}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        name: String,
    },
    /// A file or directory of the store could not be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory of the store could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written or synced.
    #[error("cannot write {}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be given its name.
    #[error("cannot rename {} to {}", from.display(), to.display())]
    Rename {
        /// The file.
        from: PathBuf,
        /// Its name to be.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to become a blob can't be read to its end.
    #[error("cannot read the content of the new blob {digest}")]
    Input {
        /// The blob.
        digest: Box<Digest>,
        /// Why.
        source: io::Error,
    },
    /// What is to become a new blob can't be read to its end.
    #[error("cannot read the content of a new blob")]
    NewInput {
        /// Why.
        source: io::Error,
    },
    /// What is to become a blob is something else.
    #[error("expected the bytes of blob {expected}, found those of {found}")]
    Digest {
        /// The blob.
        expected: Box<Digest>,
        /// What the bytes are.
        found: Box<Digest>,
    },
    /// There are blobs, but nothing that says what they are called.
    #[error("the names of the images in the store {} are lost", path.display())]
    NamesLost {
        /// The store.
        path: PathBuf,
    },
    /// A lock file could not be locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Whether there is no room, on the device or within a quota.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Error::Create { source, .. } | Error::Write { source, .. } | Error::Rename { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It is not a regular file.
    #[error("it is {found}, expected a regular file")]
    Kind {
        /// What it is, with its article.
        found: &'static str,
    },
    /// It can't be opened or read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It has another length.
    #[error("it has {found} bytes, expected {expected}")]
    Length {
        /// As it should be.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// It does not start as an entry does.
    #[error("its header is not that of an index")]
    Header,
    /// It is not the document that says what a name points to.
    #[error("it does not say what its name points to")]
    Reference,
    /// Its bytes are others.
    #[error("its bytes are those of {found}")]
    Digest {
        /// What they are.
        found: Box<Digest>,
    },
    /// It points to a blob that is not there.
    #[error("it points to {digest}, which is not there")]
    Dangling {
        /// The blob.
        digest: Box<Digest>,
    },
    /// It is gone, and is known from elsewhere.
    #[error("it is lost, but index.json has it")]
    Lost,
    /// There are blobs, but nothing that says what they are called.
    #[error("the names of all images are lost: {images} {} no name", if *images == 1 { "image has" } else { "images have" })]
    NamesLost {
        /// How many images there are, as far as their manifests tell.
        images: usize,
    },
    /// Nothing of that name belongs there.
    #[error("a store has no file of this name")]
    Name,
    /// It is a pack without an index, which alone tells what it has to be.
    #[error("there is no index that says what it has to be")]
    NoIndex,
    /// It is not the document that it should be.
    #[error("{0}")]
    Document(String),
    /// Its bytes are not those that were stored.
    #[error("the checksum of its bytes {from} to {to} is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// The first byte.
        from: u64,
        /// The byte behind the last.
        to: u64,
        /// As it should be.
        expected: u32,
        /// As it is.
        found: u32,
    },
}
