//! Events of a bake, for a caller that shows progress.

mod finding;

use std::time::Duration;

use cvbake_verify::Digest;

pub use finding::{Archive, Finding};

/// What is called with each event: from several threads at once, in the middle of the work, which
/// waits until it returns.
pub type Observer<'a> = &'a (dyn Fn(Event) + Sync);

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A stage begins.
    Stage(Stage),
    /// Something about a layer, counted from 1.
    Layer {
        /// Which.
        number: usize,
        /// What.
        event: LayerEvent,
    },
    /// The image is known.
    Image {
        /// The digest of its manifest, if it has one: an archive of Docker's gets one when it is
        /// imported, exported or pushed.
        digest: Option<Digest>,
        /// How many layers it has.
        layers: usize,
        /// The compressed bytes of all layers, where they are known.
        bytes: Option<u64>,
    },
    /// The disk is planned.
    Planned {
        /// The length of the disk in bytes.
        disk_bytes: u64,
        /// The bytes of file content that will be written.
        content_bytes: u64,
    },
    /// So many more bytes of file content stand on the disk, or in what is written for other
    /// programs.
    Wrote {
        /// How many more.
        bytes: u64,
    },
    /// An attempt failed, and the next one comes after a while.
    Waiting {
        /// Who is given time.
        host: String,
        /// For how long.
        wait: Duration,
        /// What went wrong.
        problem: String,
    },
    /// So many bytes are gone through in the stage that comes.
    Amount {
        /// How many.
        bytes: u64,
    },
    /// So many more of them are gone through.
    Checked {
        /// How many more.
        bytes: u64,
    },
    /// So many more bytes of blobs are on their way to a registry.
    Sent {
        /// How many more.
        bytes: u64,
    },
    /// So many bytes of blobs need not be sent: the registry has them.
    Spared {
        /// How many.
        bytes: u64,
    },
    /// The transfer of a blob goes on where it was interrupted.
    Resumed {
        /// How many of the bytes that come are there already.
        bytes: u64,
        /// The same in words.
        message: String,
    },
    /// Something the user should know, and that is no error.
    Warning(String),
    /// The same, and something can be done about it.
    Finding(Finding),
    /// Something that explains what is going on.
    Note(String),
}

impl From<cvbake_store::Event> for Event {
    fn from(event: cvbake_store::Event) -> Event {
        match event {
            cvbake_store::Event::Waiting { .. }
            | cvbake_store::Event::WaitingForBlob { .. }
            | cvbake_store::Event::Waited { .. }
            | cvbake_store::Event::WaitedForBlob { .. }
            | cvbake_store::Event::WaitingForExclusive
            | cvbake_store::Event::Removed { .. } => Event::Note(event.to_string()),
            cvbake_store::Event::FoundDamaged { path, damage } => {
                let (what, problem) = (path.display().to_string(), damage.to_string());
                Event::Finding(Finding::Damaged { what, problem })
            }
            cvbake_store::Event::Unnamed { name, digest } => {
                Event::Finding(Finding::LostName { name, digest, kept: true })
            }
            _ => Event::Warning(event.to_string()),
        }
    }
}

impl From<cvbake_fetch::Event> for Event {
    fn from(event: cvbake_fetch::Event) -> Event {
        match event {
            cvbake_fetch::Event::Store(event) => event.into(),
            cvbake_fetch::Event::Resumed { from, .. } => Event::Resumed { bytes: from, message: event.to_string() },
            cvbake_fetch::Event::UploadResumed { .. } | cvbake_fetch::Event::Elsewhere { missing: true, .. } => {
                Event::Note(event.to_string())
            }
            cvbake_fetch::Event::Waiting { host, wait, problem } => Event::Waiting { host, wait, problem },
            cvbake_fetch::Event::Sent { bytes } => Event::Sent { bytes },
            _ => Event::Warning(event.to_string()),
        }
    }
}

/// A part of a bake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Finding the image and checking its documents.
    Resolve,
    /// Downloading the layers, where that is all.
    Pull,
    /// Compressing the layers of an image that has none as registries have them.
    Compress,
    /// Sending what the registry does not have.
    Push,
    /// Reading the layers.
    Unpack,
    /// Merging them.
    Merge,
    /// Planning the filesystem.
    Plan,
    /// Writing it.
    Write,
    /// Writing an image for other programs.
    Export,
    /// Bringing it to stable storage under its name.
    Commit,
    /// Reading all that is in the store.
    Check,
    /// Compressing a disk that stands.
    CompressDisk,
    /// Comparing a disk with what should be on it.
    Compare,
}

impl Stage {
    /// The stage's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Resolve => "resolve",
            Stage::Pull => "pull",
            Stage::Compress | Stage::CompressDisk => "compress",
            Stage::Push => "push",
            Stage::Unpack => "unpack",
            Stage::Merge => "merge",
            Stage::Plan => "plan",
            Stage::Write => "write",
            Stage::Export => "export",
            Stage::Commit => "commit",
            Stage::Check => "check",
            Stage::Compare => "compare",
        }
    }
}

/// Something about a layer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum LayerEvent {
    /// Work on it begins.
    Started {
        /// Its compressed size, where that is known.
        bytes: Option<u64>,
    },
    /// So many more of its compressed bytes were read.
    Read {
        /// How many more.
        bytes: u64,
    },
    /// It is unpacked.
    Finished {
        /// What of it was found in the store.
        found: Found,
        /// How many entries it has.
        entries: usize,
        /// Its compressed size, where that is known.
        bytes: Option<u64>,
    },
}

/// What the store had of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The layer as it is distributed, which need not be brought in again.
    Blob,
    /// Its index: nothing is parsed again, but it is inflated again.
    Index,
    /// Index and content: nothing is inflated again.
    Content,
    /// Its index, and a disk that was made before has its content; or that disk is the one to be
    /// made.
    Disk,
}

impl Found {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Found::Nothing => "nothing",
            Found::Blob => "blob",
            Found::Index => "index",
            Found::Content => "content",
            Found::Disk => "disk",
        }
    }
}
