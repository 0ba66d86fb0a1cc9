//! Images in registries, by the OCI distribution protocol.
//!
//! ```text
//! name ─→ store's reference ┬→ manifest ─→ …         as local sources: `verify` asks for one document after the other
//!      └→ GET manifests/tag ┘      └→ layers ─→ Download: network → hash → store's partial blob, and at once to the reader
//! ```
//!
//! Decisions:
//! - What is in the store is not asked for, and a connection is made only when something is missing.
//! - A layer is handed out while it arrives. A connection that breaks is made again and continued by `Range`; so is what a killed run left.
//! - The digest of a manifest is computed from its bytes; a server's own opinion only may not differ.
//! - The client is asynchronous, nothing else is: each request waits on its own thread, with a limit on silence and none on duration.

mod auth;
mod credentials;
mod download;
mod guard;
mod http;
mod problem;
mod retry;
mod session;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cvbake_store::{Reference as Stored, Store};
use cvbake_verify::{Blobs, Candidate, Descriptor, Digest, Hasher, Layer, Root, json};
use oci_spec::distribution::Reference;

pub use self::credentials::Credentials;
pub use self::problem::Problem;

use self::download::{Download, store as store_problem};
use self::problem::shorten;
use self::retry::Attempts;
use self::session::Session;
use crate::{Error, Event};

/// The media types of manifests and indexes, OCI's and Docker's.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// When to ask the registry what a name points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pull {
    /// Each time; blobs that are in the store are not fetched again.
    Always,
    /// When the store does not know.
    #[default]
    Missing,
    /// Never, and nothing is fetched.
    Never,
}

/// How to talk to registries.
#[derive(Clone, Debug)]
pub struct Options {
    /// When to ask what a name points to.
    pub pull: Pull,
    /// Whether the registry may be spoken to without TLS when it does not speak it; on this machine it always may.
    pub plain_http: bool,
    /// Who we are, instead of what the files say.
    pub credentials: Option<Credentials>,
    /// Files in the form of Docker's `config.json`; the first that knows the registry counts.
    pub credential_files: Vec<PathBuf>,
    /// How long a credential helper may take.
    pub helper_timeout: Duration,
    /// The directory of the credential helpers, if they are not to be looked for as all programs are.
    pub helper_path: Option<PathBuf>,
    /// How long a server may be silent.
    pub stall: Duration,
    /// How many attempts in a row may fail.
    pub attempts: u32,
    /// How long to wait after the first failed attempt, about.
    pub first_wait: Duration,
    /// The longest to wait between attempts, even if the server asks for more.
    pub longest_wait: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            pull: Pull::default(),
            plain_http: false,
            credentials: None,
            credential_files: Vec::new(),
            helper_timeout: Duration::from_secs(30),
            helper_path: None,
            stall: Duration::from_secs(30),
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// A repository and its registry.
#[derive(Clone, Debug)]
struct Place {
    registry: String,
    repository: String,
}

impl Place {
    fn error(&self, object: &str, problem: Problem) -> Error {
        let Place { registry, repository } = self.clone();
        Error::Registry { registry, repository, object: object.to_owned(), source: Box::new(problem) }
    }
}

/// An image in a registry, or what the store has of it.
struct Image<'s> {
    reference: String,
    place: Place,
    root: Root,
    /// The manifest or index that the name points to, and its bytes.
    top: (Digest, Vec<u8>),
    session: Arc<Session>,
    store: Option<&'s Store>,
    on: &'s (dyn Fn(Event) + Sync),
}

/// Opens an image in a registry; with a store, what that has is not fetched, and what is fetched is kept.
///
/// # Errors
/// When the name can't be resolved: the error says which registry, repository, and tag or digest, what came, and what was expected.
pub fn open_registry<'s>(
    reference: &Reference,
    options: &Options,
    store: Option<&'s Store>,
    on: &'s (dyn Fn(Event) + Sync),
) -> Result<Box<dyn Blobs + Send + 's>, Error> {
    let place = Place { registry: reference.registry().to_owned(), repository: reference.repository().to_owned() };
    let session = Arc::new(Session::new(place.clone(), options.clone()));
    let name = Name::of(reference, &place)?;
    let mut image = Image {
        reference: reference.whole(),
        place,
        root: Root::Candidates(Vec::new()),
        top: (Digest::sha256(b""), Vec::new()),
        session,
        store,
        on,
    };
    let object = format!("manifest {}", name.shown());
    let (descriptor, bytes) =
        image.resolve(&name, options.pull).map_err(|problem| image.place.error(&object, problem))?;
    image.top = (descriptor.digest, bytes);
    image.root = Root::Candidates(vec![Candidate::new(descriptor)]);
    Ok(Box::new(image))
}

/// What is asked for.
enum Name {
    Tag(String),
    Digest(Digest),
}

impl Name {
    /// A digest decides, even if there is a tag too.
    fn of(reference: &Reference, place: &Place) -> Result<Name, Error> {
        let Some(digest) = reference.digest() else {
            return Ok(Name::Tag(reference.tag().unwrap_or("latest").to_owned()));
        };
        digest.parse().map(Name::Digest).map_err(|error: cvbake_verify::DigestError| {
            place.error("manifest", Problem::Malformed { what: "the digest", reason: error.to_string() })
        })
    }

    fn shown(&self) -> String {
        match self {
            Name::Tag(tag) => tag.clone(),
            Name::Digest(digest) => digest.to_string(),
        }
    }

    /// What the store calls it.
    fn stored(&self, place: &Place) -> String {
        let separator = if let Name::Tag(_) = self { ':' } else { '@' };
        format!("{}/{}{separator}{}", place.registry, place.repository, self.shown())
    }
}

type Manifest = (Descriptor, Vec<u8>);

impl Image<'_> {
    fn resolve(&self, name: &Name, pull: Pull) -> Result<Manifest, Problem> {
        // Content with a digest does not change.
        let ask = pull == Pull::Always && matches!(name, Name::Tag(_));
        if !ask && let Some(found) = self.stored_manifest(name)? {
            return Ok(found);
        }
        if pull == Pull::Never {
            return Err(Problem::NotStored);
        }
        let (descriptor, bytes) = self.fetch_manifest(&name.shown(), name)?;
        if let Some(store) = self.store {
            let _pin = store.pin([descriptor.digest]).map_err(store_problem)?;
            self.keep(descriptor.digest, &bytes)?;
            let Descriptor { media_type, digest, size } = descriptor.clone();
            store
                .set_reference(&name.stored(&self.place), &Stored { digest, media_type, size })
                .map_err(store_problem)?;
        }
        Ok((descriptor, bytes))
    }

    fn stored_manifest(&self, name: &Name) -> Result<Option<Manifest>, Problem> {
        let Some(store) = self.store else { return Ok(None) };
        let on = |event| (self.on)(Event::Store(event));
        let found = store.reference(&name.stored(&self.place), &on).map_err(store_problem)?;
        let Some(Stored { digest, media_type, size }) = found else { return Ok(None) };
        if matches!(name, Name::Digest(wanted) if *wanted != digest) || size > json::MAX_BYTES as u64 {
            return Ok(None);
        }
        let Some(mut file) = self.stored_blob(digest, size)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        Ok(Some((Descriptor { media_type, digest, size }, bytes)))
    }

    /// A blob of the store, whole and right; a damaged one is removed.
    fn stored_blob(&self, digest: Digest, size: u64) -> Result<Option<File>, Problem> {
        let Some(store) = self.store else { return Ok(None) };
        let on = |event| (self.on)(Event::Store(event));
        let Some(mut file) = store.blob(&digest, Some(size), &on).map_err(store_problem)? else { return Ok(None) };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        if hasher.finish() != digest {
            store.remove_blob(&digest).map_err(store_problem)?;
            (self.on)(Event::Damaged { digest });
            return Ok(None);
        }
        io::Seek::rewind(&mut file).map_err(|error| unreadable(&error))?;
        Ok(Some(file))
    }

    /// A manifest from the registry, by tag or digest.
    fn fetch_manifest(&self, shown: &str, name: &Name) -> Result<Manifest, Problem> {
        let mut attempts = Attempts::new();
        let accept = MANIFESTS.join(", ");
        let options = self.session.options();
        loop {
            let mut reply = self.session.get(&format!("manifests/{shown}"), &accept, "200", &mut attempts)?;
            let (host, media_type) = (reply.host.clone(), reply.content_type());
            if let Some(found) = media_type.clone().filter(|found| found == "text/html") {
                return Err(Problem::ContentType { host, found, expected: "a manifest" });
            }
            let claimed = reply.header("Docker-Content-Digest").map(str::to_owned);
            let bytes = match reply.body(json::MAX_BYTES as u64) {
                Ok(bytes) => bytes,
                Err(problem) => {
                    attempts.failed(options, problem.into())?;
                    continue;
                }
            };
            let digest = match name {
                Name::Tag(_) => Digest::sha256(&bytes),
                Name::Digest(expected) => {
                    let found = Digest::of(expected.algorithm(), &bytes);
                    if found != *expected {
                        return Err(Problem::Digest { host, expected: Box::new(*expected), found: Box::new(found) });
                    }
                    found
                }
            };
            check_claim(claimed.as_deref(), &bytes)?;
            let size = bytes.len() as u64;
            let media_type = media_type.filter(|found| MANIFESTS.contains(&found.as_str()));
            let media_type = media_type.or_else(|| own_media_type(&bytes)).unwrap_or_default();
            return Ok((Descriptor { media_type, digest, size }, bytes));
        }
    }

    fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), Problem> {
        let Some(store) = self.store else { return Ok(()) };
        let on = |event| (self.on)(Event::Store(event));
        let mut partial = store.partial(&digest, &on).map_err(store_problem)?;
        partial.restart().and_then(|()| partial.append(bytes)).map_err(store_problem)?;
        partial.commit().map_err(store_problem)
    }

    fn blob(&self, digest: Digest, size: u64) -> Result<Box<dyn Read + Send>, Problem> {
        if let Some(file) = self.stored_blob(digest, size)? {
            return Ok(Box::new(file));
        }
        if self.session.options().pull == Pull::Never {
            return Err(Problem::NotStored);
        }
        let Some(store) = self.store else {
            return Ok(Box::new(Download::new(Arc::clone(&self.session), digest, size, None)));
        };
        let on = |event| (self.on)(Event::Store(event));
        let partial = store.partial(&digest, &on).map_err(store_problem)?;
        // Whoever we waited for may have finished it.
        if let Some(file) = self.stored_blob(digest, size)? {
            return Ok(Box::new(file));
        }
        if !partial.is_empty() {
            (self.on)(Event::Resumed { digest, from: partial.len(), size });
        }
        Ok(Box::new(Download::new(Arc::clone(&self.session), digest, size, Some(partial))))
    }

    fn document(&self, wanted: &Descriptor) -> Result<Box<dyn Read + Send>, Problem> {
        let Descriptor { media_type, digest, size } = wanted;
        if *digest == self.top.0 {
            return Ok(Box::new(Cursor::new(self.top.1.clone())));
        }
        if !MANIFESTS.contains(&media_type.as_str()) {
            return self.blob(*digest, *size);
        }
        if let Some(file) = self.stored_blob(*digest, *size)? {
            return Ok(Box::new(file));
        }
        if self.session.options().pull == Pull::Never {
            return Err(Problem::NotStored);
        }
        let (_, bytes) = self.fetch_manifest(&digest.to_string(), &Name::Digest(*digest))?;
        self.keep(*digest, &bytes)?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

fn unreadable(error: &io::Error) -> Problem {
    Problem::Malformed { what: "a blob in the store", reason: error.to_string() }
}

/// Holds a server to the digest that it gives itself.
fn check_claim(claimed: Option<&str>, bytes: &[u8]) -> Result<(), Problem> {
    let Some(text) = claimed else { return Ok(()) };
    let algorithm = text.parse().map_or(cvbake_verify::Algorithm::Sha256, |claimed: Digest| claimed.algorithm());
    let found = Digest::of(algorithm, bytes);
    if text == found.to_string() {
        return Ok(());
    }
    Err(Problem::HeaderDigest { header: shorten(text), found: Box::new(found) })
}

/// What a manifest says it is, for servers that don't; nothing is believed that `verify` does not check.
fn own_media_type(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    serde_json::from_slice::<Typed>(bytes).ok()?.media_type
}

impl Blobs for Image<'_> {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
        let error = |problem| self.place.error(&format!("blob {}", blob.digest), problem).into_io();
        self.document(blob).map_err(error)
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send>> {
        let object = format!("layer {}", layer.number());
        let (Some(digest), Some(size)) = (layer.digest(), layer.size()) else {
            return Err(Error::NoLayer { place: self.reference.clone(), number: layer.number() }.into_io());
        };
        self.blob(digest, size).map_err(|problem| self.place.error(&object, problem).into_io())
    }
}
