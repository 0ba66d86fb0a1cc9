//! Images into registries, by the OCI distribution protocol.
//!
//! ```text
//! blob ─→ HEAD ┬→ there
//!              └→ POST ?mount=&from= ┬→ mounted
//!                                    └→ Upload: PUT of the whole, or PATCH by PATCH ─→ there
//! manifest ─→ HEAD ┬→ there, byte for byte
//!                  └→ PUT
//! ```
//!
//! Decisions:
//! - What the registry has is not sent, and what it has in another repository is mounted.
//! - Bytes are hashed while they are sent, and the last ones leave only if all are right.
//! - After every interruption the registry is asked how much has arrived, and the upload goes on
//!   there.
//! - Manifests are sent byte for byte; the digest that a registry makes of anything may not differ.

mod mounts;
mod upload;

use std::num::NonZeroU64;
use std::time::Instant;

use bytes::Bytes;
use cvbake_verify::{Blobs, Digest};
use reqwest::Method;

pub use self::mounts::Mounts;

use self::upload::Upload;
use super::config::{Endpoint, Registries};
use super::http::Content;
use super::image::MANIFESTS;
use super::problem::{Problem, shorten};
use super::retry::{Attempts, Failure};
use super::session::{Answer, Call, Session, To};
use super::{Options, Repository};
use crate::shipment::{Blob, Manifest};
use crate::{Error, Event, Observer, Reference};

/// How a blob or manifest got where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Put {
    /// It was sent.
    Sent,
    /// The registry has it in this repository, and took it from there.
    Mounted {
        /// The repository.
        from: String,
    },
    /// It was there.
    Present,
}

/// A repository that an image is pushed to.
pub struct Target<'s> {
    repository: Repository,
    session: Session<'s>,
    mounts: Mounts,
    chunk: Option<NonZeroU64>,
}

impl<'s> Target<'s> {
    /// The repository of a reference; blobs are sent in chunks of this many bytes, or else in one
    /// piece. Nothing is pushed to a mirror, or to where a configuration moves a name; but what it
    /// says of the registry itself holds.
    ///
    /// # Errors
    /// When the registry is blocked, or the configuration can't be read.
    pub fn new(
        reference: &Reference,
        options: &Options,
        mounts: Mounts,
        chunk: Option<NonZeroU64>,
        on: Observer<'s>,
    ) -> Result<Target<'s>, Error> {
        let repository = Repository::new(reference);
        let endpoint = endpoint(reference, options, on)?
            .map_err(|problem| repository.push_error(&format!("anything of {}", reference.repository()), problem))?;
        let own = format!("repository:{}:pull,push", repository.path);
        let others = mounts.repositories().into_iter().map(|other| format!("repository:{other}:pull"));
        let scopes = std::iter::once(own).chain(others).collect();
        let session = Session::with_scopes(endpoint, options.clone(), scopes, on);
        Ok(Target { repository, session, mounts, chunk })
    }

    /// Sees to it that the repository has a blob.
    ///
    /// # Errors
    /// When it can't be read or is not what its digest says, which is told of the blob alone; or
    /// when the registry does not take it.
    pub fn put_blob(&self, blob: &Blob, blobs: &dyn Blobs, on: &dyn Fn(Event)) -> Result<Put, Error> {
        let begun = Instant::now();
        let put = self.try_put_blob(blob, blobs, on).map_err(|problem| match problem {
            // Wherever it was to go.
            Problem::Local { source } => Error::Blob { digest: blob.digest(), source },
            problem => self.repository.push_error(&blob.object(), problem),
        })?;
        self.tell(&blob.digest().to_string(), blob.size(), &put, begun);
        Ok(put)
    }

    /// Tells what became of something that was to go to the registry.
    fn tell(&self, what: &str, size: u64, put: &Put, begun: Instant) {
        let Repository { registry, path: repository } = &self.repository;
        match put {
            Put::Present => tracing::debug!("{what} is in {repository} of {registry}"),
            Put::Mounted { from } => tracing::debug!("{what}: mounted from {from} of {registry}"),
            Put::Sent => {
                tracing::debug!("{what} to {registry}: {size} bytes in {} ms", begun.elapsed().as_millis());
            }
        }
    }

    fn try_put_blob(&self, blob: &Blob, blobs: &dyn Blobs, on: &dyn Fn(Event)) -> Result<Put, Problem> {
        let mut attempts = Attempts::new();
        let path = format!("blobs/{}", blob.digest());
        if self.head(&path, "*/*", &mut attempts)?.is_some() {
            return Ok(Put::Present);
        }
        let open = || blob.open(blobs).map_err(|source| Problem::Local { source });
        let upload = Upload::new(&self.session, blob.digest(), blob.size(), &open, self.chunk, on);
        upload.run(self.mounts.repository_with(&blob.digest()))
    }

    /// Whether the repository has a manifest.
    ///
    /// # Errors
    /// When the registry does not say.
    pub fn has_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        let found = self.head(&format!("manifests/{digest}"), &MANIFESTS.join(", "), &mut Attempts::new());
        found
            .map(|head| head.is_some())
            .map_err(|problem| self.repository.push_error(&format!("manifest {digest}"), problem))
    }

    /// Gives the repository a manifest, under a tag or under its digest.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub fn put_manifest(&self, manifest: &Manifest, tag: Option<&str>) -> Result<Put, Error> {
        let name = tag.map_or_else(|| manifest.digest().to_string(), str::to_owned);
        let begun = Instant::now();
        let put = self
            .try_put_manifest(manifest, &name)
            .map_err(|problem| self.repository.push_error(&format!("manifest {name}"), problem))?;
        self.tell(&format!("manifest {name}"), manifest.bytes().len() as u64, &put, begun);
        Ok(put)
    }

    fn try_put_manifest(&self, manifest: &Manifest, name: &str) -> Result<Put, Problem> {
        let mut attempts = Attempts::new();
        let path = format!("manifests/{name}");
        if let Some(found) = self.head(&path, &MANIFESTS.join(", "), &mut attempts)?
            && found.as_deref() == Some(&manifest.digest().to_string())
        {
            return Ok(Put::Present);
        }
        let bytes = Bytes::copy_from_slice(manifest.bytes());
        loop {
            let call = Call::new(Method::PUT, To::Path(path.clone()))
                .header("content-type", manifest.media_type())?
                .content(Content::Bytes(bytes.clone()));
            match self.put_once(call, &manifest.digest()) {
                Ok(()) => return Ok(Put::Sent),
                Err(failure) => self.session.failed(&mut attempts, failure)?,
            }
        }
    }

    fn put_once(&self, call: Call<'_>, digest: &Digest) -> Result<(), Failure> {
        let Answer::Reply { mut reply, .. } = self.session.exchange(call)? else {
            unreachable!("a manifest is sent again with fresh authorization")
        };
        match reply.status() {
            200..=204 => Ok(check_digest(reply.header("Docker-Content-Digest"), digest)?),
            _ => Err(self.session.refusal(&mut reply, "201")),
        }
    }

    /// Whether something is there: the digest that the registry says it has, if it says one.
    fn head(&self, path: &str, accept: &str, attempts: &mut Attempts) -> Result<Option<Option<String>>, Problem> {
        loop {
            match self.session.head(path, accept) {
                Ok(reply) => {
                    return Ok(reply.map(|reply| reply.header("Docker-Content-Digest").map(str::to_owned)));
                }
                Err(failure) => self.session.failed(attempts, failure)?,
            }
        }
    }

    /// Holds the digest in a name against what is to be called so.
    ///
    /// # Errors
    /// When it is another.
    pub fn check_name(&self, reference: &Reference, found: &Digest) -> Result<(), Error> {
        let Some(text) = reference.digest() else { return Ok(()) };
        let object = format!("manifest {text}");
        let expected: Digest = text.parse().map_err(|error: cvbake_verify::DigestError| {
            self.repository.push_error(&object, Problem::Malformed { what: "the digest", reason: error.to_string() })
        })?;
        if expected == *found {
            return Ok(());
        }
        let problem = Problem::OtherDigest { expected: Box::new(expected), found: Box::new(*found) };
        Err(self.repository.push_error(&object, problem))
    }
}

/// Holds a server to the digest that it gives what it has received; one of another kind says
/// nothing.
fn check_digest(header: Option<&str>, digest: &Digest) -> Result<(), Problem> {
    match header.map(|text| (text, text.parse::<Digest>())) {
        Some((_, Ok(claimed))) if claimed == *digest || claimed.algorithm() != digest.algorithm() => Ok(()),
        Some((text, _)) => Err(Problem::HeaderDigest { header: shorten(text), found: Box::new(*digest) }),
        None => Ok(()),
    }
}

/// The registry itself, as the configuration says it is to be talked to.
pub(super) fn endpoint(
    reference: &Reference,
    options: &Options,
    on: Observer<'_>,
) -> Result<Result<Endpoint, Problem>, Error> {
    let registries = Registries::load(&options.registries.for_full_names(), on)?;
    let registry = reference.registry().to_owned();
    let listed = options.insecure.hosts.iter().any(|host| host.eq_ignore_ascii_case(&registry));
    Ok(registries.plan(reference).map(|plan| {
        let insecure = plan.last().is_some_and(|last| last.insecure) || options.insecure.asked || listed;
        let tag = reference.tag().map(str::to_owned);
        Endpoint { registry, repository: reference.repository().to_owned(), tag, insecure }
    }))
}

impl Repository {
    fn push_error(&self, object: &str, problem: Problem) -> Error {
        let Repository { registry, path } = self.clone();
        Error::Push { registry, repository: path, object: object.to_owned(), source: Box::new(problem) }
    }
}
