//! An image in a registry, or what the store has of it.

mod blobs;

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use cvbake_store::{Origin, Pin, Reference as Stored, Store};
use cvbake_verify::{Blobs, Candidate, CheckedReader, Descriptor, Digest, Layer, Root, json};

use super::config::Registries;
use super::download::store as store_problem;
use super::endpoints::Endpoints;
use super::manifest::{check_claim, own_media_type};
use super::options::{Options, Pull};
use super::problem::Problem;
use super::session::Session;
use super::{Repository, nearby, retry::Attempts};
use crate::{Error, Event, Observer, Reference};

use self::blobs::Blob;

/// The media types of manifests and indexes, OCI's and Docker's.
pub(super) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// An image in a registry, or what the store has of it.
pub(super) struct Image<'s> {
    reference: String,
    repository: Repository,
    wanted: Wanted,
    pull: Pull,
    /// How long nothing may come of what is waited for.
    stall: Duration,
    root: Root,
    /// The manifest or index that the name points to, and its bytes.
    top: (Digest, Vec<u8>),
    endpoints: Arc<Endpoints<'s>>,
    store: Option<&'s Store>,
    /// What of the store nobody may remove meanwhile: the documents that were asked for.
    pin: Option<Pin<'s>>,
    on: Observer<'s>,
}

/// What is asked for.
#[derive(Clone)]
enum Wanted {
    Tag(String),
    Digest(Digest),
}

impl Wanted {
    /// A digest decides, even if there is a tag too.
    fn new(reference: &Reference, repository: &Repository) -> Result<Wanted, Error> {
        let Some(digest) = reference.digest() else {
            return Ok(Wanted::Tag(reference.tag().unwrap_or("latest").to_owned()));
        };
        digest.parse().map(Wanted::Digest).map_err(|error: cvbake_verify::DigestError| {
            repository.error("manifest", Problem::Malformed { what: "the digest", reason: error.to_string() })
        })
    }

    fn shown(&self) -> String {
        match self {
            Wanted::Tag(tag) => tag.clone(),
            Wanted::Digest(digest) => digest.to_string(),
        }
    }

    /// What error messages call it.
    fn object(&self) -> String {
        format!("manifest {}", self.shown())
    }

    /// What the store calls it.
    fn stored(&self, repository: &Repository) -> String {
        let separator = if let Wanted::Tag(_) = self { ':' } else { '@' };
        format!("{repository}{separator}{}", self.shown())
    }
}

type Manifest = (Descriptor, Vec<u8>);

impl<'s> Image<'s> {
    /// An image that nothing is known of but its name.
    pub(super) fn new(
        reference: &Reference,
        registries: &Registries,
        options: &Options,
        store: Option<&'s Store>,
        on: Observer<'s>,
    ) -> Result<Image<'s>, Error> {
        let repository = Repository::new(reference);
        let wanted = Wanted::new(reference, &repository)?;
        let all = registries.plan(reference).map_err(|problem| repository.error(&wanted.object(), problem))?;
        let pin = store.map(|store| store.pin([])).transpose();
        let pin = pin.map_err(|error| repository.error(&wanted.object(), store_problem(error)))?;
        Ok(Image {
            reference: reference.whole(),
            pin,
            wanted,
            pull: options.pull,
            stall: options.stall,
            root: Root::Candidates(Vec::new()),
            top: (Digest::sha256(b""), Vec::new()),
            endpoints: Arc::new(Endpoints::new(repository.clone(), all, options, on)),
            repository,
            store,
            on,
        })
    }

    /// Finds out what the name points to.
    pub(super) fn resolve(&mut self) -> Result<(), Error> {
        let found = self.manifest().map_err(|problem| self.repository.error(&self.wanted.object(), problem))?;
        self.set_top(found);
        Ok(())
    }

    /// The same error, with the tags that there are, if it is that there is no such tag.
    pub(super) fn with_tags(&self, error: Error) -> Error {
        match (error, &self.wanted) {
            (Error::Registry { registry, repository, object, source }, Wanted::Tag(tag)) => {
                let source = Box::new(nearby::instead_of(tag, *source, self.endpoints.last()));
                Error::Registry { registry, repository, object, source }
            }
            (error, _) => error,
        }
    }

    /// Whether the store knows what the name points to; then it is that.
    pub(super) fn find_stored(&mut self) -> Result<bool, Error> {
        let found = self.stored_manifest().map_err(|problem| self.repository.error(&self.wanted.object(), problem))?;
        Ok(found.map(|found| self.set_top(found)).is_some())
    }

    fn set_top(&mut self, (descriptor, bytes): Manifest) {
        self.top = (descriptor.digest, bytes);
        self.root = Root::Candidates(vec![Candidate::new(descriptor)]);
    }

    fn manifest(&self) -> Result<Manifest, Problem> {
        // Content with a digest does not change.
        let ask = self.pull == Pull::Always && matches!(self.wanted, Wanted::Tag(_));
        if !ask && let Some(found) = self.stored_manifest()? {
            return Ok(found);
        }
        if self.pull == Pull::Never {
            return Err(Problem::NotStored);
        }
        let (descriptor, bytes) = self.fetch_manifest(&self.wanted)?;
        if let Some(store) = self.store {
            self.hold(descriptor.digest)?;
            self.keep(descriptor.digest, &bytes)?;
            let Descriptor { media_type, digest, size } = descriptor.clone();
            let on = |event| (self.on)(Event::Store(event));
            let name = self.wanted.stored(&self.repository);
            let stored = Stored { digest, media_type, size };
            store.names().set([name.as_str()], &stored, Origin::Registry, &on).map_err(store_problem)?;
        }
        Ok((descriptor, bytes))
    }

    /// From here on nobody removes it from the store, nor a name that leads to it.
    fn hold(&self, digest: Digest) -> Result<(), Problem> {
        self.pin.as_ref().map_or(Ok(()), |pin| pin.add([digest])).map_err(store_problem)
    }

    fn stored_manifest(&self) -> Result<Option<Manifest>, Problem> {
        let Some(store) = self.store else { return Ok(None) };
        let on = |event| (self.on)(Event::Store(event));
        let found = store.names().get(&self.wanted.stored(&self.repository), &on).map_err(store_problem)?;
        let Some(Stored { digest, media_type, size }) = found else { return Ok(None) };
        if matches!(self.wanted, Wanted::Digest(wanted) if wanted != digest) || size > json::MAX_BYTES as u64 {
            return Ok(None);
        }
        self.hold(digest)?;
        let Some(blob) = self.stored_blob(digest, size)? else { return Ok(None) };
        let mut bytes = Vec::new();
        blob.file().read_to_end(&mut bytes).map_err(|error| store_problem(blob.unreadable(error)))?;
        store.names().touch(&self.wanted.stored(&self.repository));
        Ok(Some((Descriptor { media_type, digest, size }, bytes)))
    }

    /// A manifest by tag or digest, from the first registry that has it.
    fn fetch_manifest(&self, name: &Wanted) -> Result<Manifest, Problem> {
        let mut order = self.endpoints.order(None);
        loop {
            let session = self.endpoints.session(&order);
            match self.fetch_manifest_from(session, name, order.attempts()) {
                Ok(found) => {
                    self.endpoints.prefer(&order);
                    return Ok(found);
                }
                Err(problem) => self.endpoints.next(&mut order, problem)?,
            }
        }
    }

    fn fetch_manifest_from(
        &self,
        session: &Session<'_>,
        name: &Wanted,
        mut attempts: Attempts,
    ) -> Result<Manifest, Problem> {
        let accept = MANIFESTS.join(", ");
        let shown = match (name, session.tag()) {
            (Wanted::Tag(_), Some(tag)) => tag.to_owned(),
            (name, _) => name.shown(),
        };
        loop {
            let mut reply = session.get(&format!("manifests/{shown}"), &accept, "200", &mut attempts)?;
            let (host, media_type) = (reply.host.clone(), reply.content_type());
            if let Some(found) = media_type.clone().filter(|found| found == "text/html") {
                return Err(Problem::ContentType { host, found, expected: "a manifest" });
            }
            let claimed = reply.header("Docker-Content-Digest").map(str::to_owned);
            let bytes = match reply.body(json::MAX_BYTES as u64) {
                Ok(bytes) => bytes,
                Err(problem) => {
                    session.failed(&mut attempts, problem.into())?;
                    continue;
                }
            };
            let digest = match name {
                Wanted::Tag(_) => Digest::sha256(&bytes),
                Wanted::Digest(expected) => {
                    let found = Digest::for_bytes(expected.algorithm(), &bytes);
                    if found != *expected {
                        return Err(Problem::Digest { host, expected: Box::new(*expected), found: Box::new(found) });
                    }
                    found
                }
            };
            check_claim(claimed.as_deref(), &bytes)?;
            let size = bytes.len() as u64;
            tracing::debug!("manifest {shown} from {host}: {digest}, {size} bytes");
            let media_type = match media_type.filter(|found| MANIFESTS.contains(&found.as_str())) {
                Some(found) => found,
                None => own_media_type(&bytes)?,
            };
            return Ok((Descriptor { media_type, digest, size }, bytes));
        }
    }

    fn document(&self, wanted: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Problem> {
        let Descriptor { media_type, digest, size } = wanted;
        if *digest == self.top.0 {
            return Ok(Box::new(Cursor::new(self.top.1.clone())));
        }
        self.hold(*digest)?;
        if !MANIFESTS.contains(&media_type.as_str()) {
            return self.small_blob(*digest, *size);
        }
        if let Some(file) = self.stored_blob(*digest, *size)? {
            return Ok(Box::new(file));
        }
        if self.pull == Pull::Never {
            return Err(Problem::NotStored);
        }
        let (_, bytes) = self.fetch_manifest(&Wanted::Digest(*digest))?;
        self.keep(*digest, &bytes)?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

impl Blobs for Image<'_> {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        let kind = if MANIFESTS.contains(&blob.media_type.as_str()) { "manifest" } else { "blob" };
        let error = |problem| self.repository.error(&format!("{kind} {}", blob.digest), problem).into_io();
        self.document(blob).map_err(error)
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self.find_layer(layer)? {
            (Blob::Stored(file), ..) => Box::new(file),
            (Blob::Arriving(download), ..) => download,
        })
    }

    fn open_checked(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self.find_layer(layer)? {
            (Blob::Stored(file), digest, size) => Box::new(CheckedReader::new(file, digest, size)),
            (Blob::Arriving(download), ..) => download,
        })
    }

    fn has_alternative(&self, layer: &Layer) -> bool {
        let (Some(digest), Some(size)) = (layer.digest(), layer.size()) else { return false };
        self.was_damaged(digest, size) || self.endpoints.has_alternative(&digest)
    }
}
