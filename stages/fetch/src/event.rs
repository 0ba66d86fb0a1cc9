//! What a user may want to know meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cvbake_verify::Digest;

/// Who is told, on whichever thread it happens.
pub type Observer<'a> = &'a (dyn Fn(Event) + Sync);

/// Something that happens while an image is fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something about the store.
    Store(cvbake_store::Event),
    /// A blob in the store, or the beginning of one, was not what its name says; it was removed.
    Damaged {
        /// The name.
        digest: Digest,
        /// Whether it is fetched again.
        again: bool,
    },
    /// So many more bytes of blobs are on their way to a registry.
    Sent {
        /// How many more.
        bytes: u64,
    },
    /// The upload of a blob goes on where it was interrupted.
    UploadResumed {
        /// The blob.
        digest: Digest,
        /// How many bytes have arrived.
        from: u64,
        /// How many it has.
        size: u64,
    },
    /// A layer that its author does not want to be passed on stays out of a push; its manifest says
    /// where to get it.
    NotDistributable {
        /// The layer.
        digest: Digest,
    },
    /// A manifest that an index lists is not there to be pushed.
    AbsentManifest {
        /// The manifest.
        digest: Digest,
        /// The platform that it is for, if the index says one.
        platform: Option<String>,
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
    /// Something in a configuration file is not known, and ignored.
    Ignored {
        /// The file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: usize,
        /// What it is.
        problem: String,
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
    /// One of several registries does not give what is wanted, and the next one is asked.
    Elsewhere {
        /// Who was asked.
        host: String,
        /// Who is asked now.
        next: String,
        /// What went wrong.
        problem: String,
        /// Whether it simply has no such thing, as a mirror may.
        missing: bool,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Store(event) => event.fmt(f),
            Event::Damaged { digest, again: true } => {
                write!(f, "blob {digest} in the store is damaged; fetching it again")
            }
            Event::Damaged { digest, again: false } => {
                write!(f, "blob {digest} in the store is damaged, and was removed")
            }
            Event::Sent { bytes } => write!(f, "sent {bytes} bytes more"),
            Event::UploadResumed { digest, from, size } => {
                write!(f, "resuming the upload of {digest} at byte {from} of {size}")
            }
            Event::NotDistributable { digest } => {
                write!(f, "not pushing layer {digest}: its media type says that it must not be distributed")
            }
            Event::AbsentManifest { digest, platform } => {
                let platform = platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
                write!(f, "the index lists manifest {digest}{platform}, which is neither here nor in the registry")
            }
            Event::Resumed { digest, from, size } => write!(f, "resuming {digest} at byte {from} of {size}"),
            Event::Ignored { path, line, problem } => write!(f, "{}, line {line}: {problem}; ignored", path.display()),
            Event::Waiting { host, wait, problem } => {
                write!(f, "{problem}; trying {host} again in {:.1} s", wait.as_secs_f64())
            }
            Event::Elsewhere { host, next, problem, .. } => write!(f, "{host}: {problem}; asking {next}"),
        }
    }
}
