//! An image that a store holds, by what its name points to: whatever that is called, and without
//! asking anybody.

use std::io::{self, Read};

use cvbake_store::{Health, Reference, Store};
use cvbake_verify::{Blobs, Candidate, Descriptor, Digest, Layer, Root};

use crate::{Error, Event, Observer, Reference as Name};

/// What the store calls an image in a registry.
#[must_use]
pub fn stored_name(name: &Name) -> String {
    let (registry, repository) = (name.registry(), name.repository());
    match name.digest() {
        Some(digest) => format!("{registry}/{repository}@{digest}"),
        None => format!("{registry}/{repository}:{}", name.tag().unwrap_or("latest")),
    }
}

struct Stored<'s> {
    name: String,
    root: Root,
    store: &'s Store,
    on: Observer<'s>,
}

/// Opens an image of a store; `name` is what errors call it.
#[must_use]
pub fn open_stored<'s>(
    store: &'s Store,
    name: &str,
    reference: &Reference,
    on: Observer<'s>,
) -> Box<dyn Blobs + Send + 's> {
    let Reference { digest, media_type, size } = reference.clone();
    let root = Root::Candidates(vec![Candidate::new(Descriptor { media_type, digest, size })]);
    Box::new(Stored { name: name.to_owned(), root, store, on })
}

impl Stored<'_> {
    fn blob(&self, digest: Digest, size: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        match self.store.blobs().inspect(&digest, size).map_err(io::Error::other)? {
            Health::Whole(blob) => return Ok(Box::new(blob)),
            Health::Absent => {}
            Health::Damaged { path, damage } => {
                (self.on)(Event::Store(cvbake_store::Event::FoundDamaged { path, damage }));
            }
        }
        Err(Error::NotStored { name: self.name.clone(), digest }.into_io())
    }
}

impl Blobs for Stored<'_> {
    fn reference(&self) -> &str {
        &self.name
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        self.blob(blob.digest, blob.size)
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        let missing = || Error::NoLayer { place: self.name.clone(), number: layer.number() }.into_io();
        let (digest, size) = layer.digest().zip(layer.size()).ok_or_else(missing)?;
        self.blob(digest, size)
    }
}
