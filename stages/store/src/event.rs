//! What is worth telling.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use cvbake_verify::Digest;

use crate::error::Damage;

/// Who is told of what happens.
pub type Observer<'a> = &'a (dyn Fn(Event) + Sync);

/// What is worth telling while the store is used; never a reason to stop.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An entry was found damaged and counts as absent.
    Damaged {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
        /// Why it is still there, unless it was removed.
        kept: Option<io::Error>,
    },
    /// An entry was found damaged; it counts as absent, and was left as it is.
    FoundDamaged {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Another process works on this layer; we wait for it.
    Waiting {
        /// The layer.
        layer: Digest,
    },
    /// Another process is about to have this blob; we wait for it.
    WaitingForBlob {
        /// The blob.
        blob: Digest,
    },
    /// Another process works on this layer, too slowly to be waited for: now we do, too.
    Waited {
        /// The layer.
        layer: Digest,
        /// How long we waited.
        waited: Duration,
        /// How many bytes it has unpacked.
        found: u64,
    },
    /// Another process gets this blob, too slowly to be waited for: now we do, too.
    WaitedForBlob {
        /// The blob.
        blob: Digest,
        /// How long we waited.
        waited: Duration,
        /// How many bytes it has.
        found: u64,
    },
    /// What a document points to can't be told, so nothing but itself is kept for it.
    NotUnderstood {
        /// The document.
        document: Digest,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Another process tidies the store; we wait for it.
    WaitingForExclusive,
    /// What names point to was lost, and restored from the other place where it stands.
    Restored {
        /// What was lost.
        path: PathBuf,
        /// How many names there are.
        names: usize,
    },
    /// The last name of an image that no registry gives back points to another one now. It stays,
    /// without a name.
    Unnamed {
        /// The name.
        name: String,
        /// What it pointed to.
        digest: Digest,
    },
    /// What a killed process left was removed.
    Removed {
        /// The directory.
        path: PathBuf,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Damaged { path, damage, kept: None } => write!(f, "removed {}: {damage}", path.display()),
            Event::Damaged { path, damage, kept: Some(error) } => {
                write!(f, "not using {}: {damage} (cannot remove it: {error})", path.display())
            }
            Event::FoundDamaged { path, damage } => write!(f, "not using {}: {damage}", path.display()),
            Event::Waiting { layer } => write!(f, "waiting for another process that is working on layer {layer}"),
            Event::WaitingForBlob { blob } => write!(f, "waiting for another process that is downloading {blob}"),
            Event::Waited { layer, waited, found } => {
                let seconds = waited.as_secs_f64();
                write!(
                    f,
                    "no longer waiting for another process, which has unpacked {found} bytes of layer {layer} in "
                )?;
                write!(f, "{seconds:.1} s: working on it here, too")
            }
            Event::WaitedForBlob { blob, waited, found } => {
                let seconds = waited.as_secs_f64();
                write!(
                    f,
                    "no longer waiting for another process, which has downloaded {found} bytes of {blob} in {seconds:.1} s: "
                )?;
                f.write_str("downloading it here, too")
            }
            Event::NotUnderstood { document, damage } => {
                write!(f, "cannot tell what the manifest {document} needs: {damage}")
            }
            Event::Restored { path, names } => {
                let count = if *names == 1 { "name" } else { "names" };
                write!(f, "restored {names} {count} from index.json that {} had lost", path.display())
            }
            Event::WaitingForExclusive => f.write_str("waiting for another process that is cleaning up the store"),
            Event::Unnamed { name, digest } => {
                write!(f, "{name} names another image now: {digest}, which was imported, has no name any more")
            }
            Event::Removed { path } => write!(f, "removed {}, left by a process that was killed", path.display()),
        }
    }
}
