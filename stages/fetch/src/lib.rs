//! A [`Source`] → [`Blobs`]: where an image starts, and its bytes. And back: [`Blobs`] →
//! [`Shipment`] → a [`Target`] in a registry, or into files ([`export`]).
//!
//! ```text
//! oci:DIR              ─→ oci-layout, index.json ─┐
//! oci-archive:FILE     ─→ the same, in a tar      ├─→ Root + blobs
//! docker-archive:FILE  ─→ manifest.json, in a tar │
//! tar:FILE, tar:-      ─→ one layer               ─┤
//! NAME, docker://NAME  ─→ a registry, the store   ─┘
//! ```
//!
//! ```
//! use cvbake_fetch::{Source, open};
//! use cvbake_verify::{Blobs as _, Root};
//!
//! let source: Source = "tar:-".parse()?;
//! let blobs = open(&source, &std::env::temp_dir(), &b"the bytes of a layer"[..])?;
//! assert!(matches!(blobs.root(), Root::Bare { .. }));
//! # Ok::<(), cvbake_fetch::Error>(())
//! ```
//!
//! This crate believes a document only as far as it must to find the next one: which entry of an
//! index is meant, where in an archive a file is. It hands out the bytes as they are, and `verify`
//! compares them with their digests.
//!
//! Decisions:
//! - Names of sources mean what they mean to skopeo; the grammar is [`Source`]'s.
//! - Every reader works with positioned reads on an open file, so layers are read concurrently, and
//!   from an archive without unpacking it.
//! - A blob must be a regular file, or a link to one: opening anything else may wait or have
//!   effects.
//! - In an archive the last of several files of one name counts, as tar has it, but for the
//!   documents that no digest protects: there a second one is an error.

mod archive;
mod bare;
mod docker;
mod error;
mod event;
pub mod export;
mod file;
mod layout;
mod name;
mod names;
mod reference;
mod registry;
mod shipment;
mod source;
mod stored;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::Path;

use cvbake_verify::Blobs;

pub use error::Error;
pub use event::{Event, Observer};
pub use name::Name;
pub use names::names;
pub use reference::Reference;
pub use registry::{
    Account, CONNECTIONS, Certificates, Challenge, Checked, Credentials, Endpoint, Insecure, Logins, Mounts, Options,
    Problem, Proxies, Pull, Put, Registries, RegistriesFiles, ShortName, Tags, Target, open_name, open_registry,
    push_name, stands_for, tags,
};
pub use shipment::{Blob, Manifest, Packed, Shipment};
pub use source::{DockerSelect, Select, Source, TarSource};
pub use stored::{open_stored, stored_name};

/// Opens a source; one in a registry as anybody, keeping nothing: [`open_registry`] can do more.
/// `scratch` is a directory for temporary files; `stdin` is what `tar:-` reads, taken only by it.
///
/// # Errors
/// When there is no such source, or none of its images is the one that is meant.
pub fn open(
    source: &Source,
    scratch: &Path,
    stdin: impl Read + Send + 'static,
) -> Result<Box<dyn Blobs + Send>, Error> {
    let reference = source.to_string();
    Ok(match source {
        Source::Oci { path, select } => {
            let directory = layout::Directory::open(path.clone())?;
            Box::new(layout::Layout::open(directory, reference, select)?)
        }
        Source::OciArchive { path, select } => {
            let archive = archive::Archive::open(path, scratch)?;
            Box::new(layout::Layout::open(archive, reference, select)?)
        }
        Source::DockerArchive { path, select } => {
            let archive = archive::Archive::open(path, scratch)?;
            Box::new(docker::Docker::open(&archive, reference, select)?)
        }
        Source::Tar(TarSource::File(path)) => Box::new(bare::Bare::open(path, reference)?),
        Source::Tar(TarSource::Stdin) => {
            Box::new(bare::Bare::stream(Box::new(stdin), "standard input".to_owned(), reference))
        }
        Source::Registry(name) => return open_name(name, &Options::default(), None, &|_| {}),
    })
}
