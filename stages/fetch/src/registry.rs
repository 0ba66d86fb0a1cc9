//! Images in registries, by the OCI distribution protocol.
//!
//! ```text
//! name ─→ store's reference ┬→ manifest ─→ …         as local sources: `verify` asks for one document after the other
//!      └→ GET manifests/tag ┘      └→ layers ─→ Download: network → hash → store's partial blob, and at once to the reader
//! ```
//!
//! Decisions:
//! - What is in the store is not asked for, and a connection is made only when something is
//!   missing.
//! - A layer is handed out while it arrives. A connection that breaks is made again and continued
//!   by `Range`; so is what a killed run left.
//! - The digest of a manifest is computed from its bytes; a server's own opinion only may not
//!   differ.
//! - Mirrors stand in for a registry, they don't replace it: what is kept and said has the name
//!   that was asked for.
//! - The client is asynchronous, nothing else is: each request waits on its own thread, with limits
//!   on silence and on slowness, and none on duration.
//! - So many blobs are received at once as [`Options::connections`] says, however many threads read
//!   them.
//! - A layer is asked for when somebody reads it, not before. To ask for the largest while the
//!   configuration is on its way saved a bake of a small image 5 ms of 36 on the loopback
//!   interface; with TLS it would cost a second connection, which takes longer than waiting for the
//!   first. And who holds the lock of a blob that nobody works on yet makes processes wait for each
//!   other.

mod auth;
mod config;
mod credentials;
mod download;
mod endpoints;
mod guard;
mod helper;
mod http;
mod image;
mod login;
mod manifest;
mod nearby;
mod netrc;
mod options;
mod problem;
mod proxy;
mod push;
mod retry;
mod session;
mod slots;
mod tags;
mod tls;

use std::fmt;

use cvbake_store::Store;
use cvbake_verify::Blobs;

pub use self::auth::Challenge;
pub use self::config::{Endpoint, Registries, RegistriesFiles};
pub use self::credentials::Credentials;
pub use self::login::{Account, Checked, Logins};
pub use self::options::{CONNECTIONS, Insecure, Options, Pull};
pub use self::problem::Problem;
pub use self::proxy::Proxies;
pub use self::push::{Mounts, Put, Target};
pub use self::tags::{Tags, tags};
pub use self::tls::Certificates;

use self::image::Image;
use crate::{Error, Event, Name, Observer, Reference};

/// A repository of a registry.
#[derive(Clone, Debug)]
struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// The one that a name says.
    fn new(reference: &Reference) -> Repository {
        Repository { registry: reference.registry().to_owned(), path: reference.repository().to_owned() }
    }

    fn error(&self, object: &str, problem: Problem) -> Error {
        let Repository { registry, path } = self.clone();
        Error::Registry { registry, repository: path, object: object.to_owned(), source: Box::new(problem) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

/// What a short name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShortName {
    /// Names in full, the first before the others; none if the configuration leads to none, or
    /// wants no choice to be made.
    pub full: Vec<Reference>,
    /// Whether it is an alias, so that nothing else is meant.
    pub is_alias: bool,
}

/// What a short name stands for among registries, whether it is there or not.
///
/// # Errors
/// When the configuration can't be read.
pub fn stands_for(name: &Name, options: &Options, on: &dyn Fn(Event)) -> Result<ShortName, Error> {
    let registries = load(name, options, on)?;
    Ok(ShortName { full: registries.resolve(name).unwrap_or_default(), is_alias: registries.has_alias(name) })
}

/// The one name in full that something is pushed to.
///
/// # Errors
/// When a short name stands for none, or for several.
pub fn push_name(name: &Name, options: &Options, on: &dyn Fn(Event)) -> Result<Reference, Error> {
    let names = load(name, options, on)?.resolve(name)?;
    match &names[..] {
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<String> = several.iter().map(Reference::whole).collect();
            let problem = format!("it may be any of {}, and an image is pushed to one registry", names.join(", "));
            Err(Error::ShortName { name: name.short().unwrap_or_default().to_owned(), problem })
        }
    }
}

/// What is configured about registries, as far as it matters to a name.
fn load(name: &Name, options: &Options, on: &dyn Fn(Event)) -> Result<Registries, Error> {
    match name.short() {
        Some(_) => Registries::load(&options.registries, on),
        None => Registries::load(&options.registries.for_full_names(), on),
    }
}

/// Opens an image in a registry by its full name, as [`open_name`] does.
///
/// # Errors
/// As [`open_name`].
pub fn open_registry<'s>(
    reference: &Reference,
    options: &Options,
    store: Option<&'s Store>,
    on: Observer<'s>,
) -> Result<Box<dyn Blobs + Send + 's>, Error> {
    open_name(&Name::from(reference.clone()), options, store, on)
}

/// Opens an image in a registry; with a store, what that has is not fetched, and what is fetched is
/// kept.
///
/// A short name may stand for images in several registries: then the first that has it is opened.
/// One that does not answer is not passed over, so that it is not the network that decides which
/// image is meant.
///
/// # Errors
/// When the name can't be resolved: the error says which registry, repository, and tag or digest,
/// what came, and what was expected.
pub fn open_name<'s>(
    name: &Name,
    options: &Options,
    store: Option<&'s Store>,
    on: Observer<'s>,
) -> Result<Box<dyn Blobs + Send + 's>, Error> {
    let registries = load(name, options, on)?;
    let names = registries.resolve(name)?;
    let image = |reference| Image::new(reference, &registries, options, store, on);
    if names.len() > 1 && options.pull != Pull::Always {
        for reference in &names {
            let mut image = image(reference)?;
            if image.find_stored()? {
                return Ok(Box::new(image));
            }
        }
    }
    let mut names = names.iter().peekable();
    while let Some(reference) = names.next() {
        let mut image = image(reference)?;
        match (image.resolve(), names.peek()) {
            (Ok(()), _) => return Ok(Box::new(image)),
            (Err(Error::Registry { source, .. }), Some(next)) if source.is_absence() => {
                let (host, next) = (reference.registry().to_owned(), next.registry().to_owned());
                on(Event::Elsewhere { host, next, problem: source.line(), missing: true });
            }
            (Err(error), _) => return Err(image.with_tags(error)),
        }
    }
    unreachable!("a name stands for one at least")
}
