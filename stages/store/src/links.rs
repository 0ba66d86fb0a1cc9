//! What an image needs, as far as its documents tell, and as far as it is in the store.
//!
//! They are read to know what to keep, not to be believed: a document that is not understood keeps nothing but itself, and
//! whoever uses the image finds that out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use cvbake_verify::{Digest, MAX_NESTING, json};
use serde::Deserialize;

use crate::entry::Fault;
use crate::{BLOBS, Error, Event, Store};

/// A part of what an image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A manifest, an index of manifests, a configuration.
    Document(Digest),
    /// A layer as it is distributed.
    Layer(Digest),
    /// What was made of a layer, by its diff_id.
    Unpacked(Digest),
}

/// What a document points to.
#[derive(Debug, Default, Clone)]
struct Links {
    manifests: Vec<Digest>,
    config: Option<Digest>,
    layers: Vec<Digest>,
    diff_ids: Vec<Digest>,
}

/// All documents have their shape: what one kind has the others lack, or have it without a digest.
#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Pointer>>,
    config: Option<Pointer>,
    layers: Option<Vec<Pointer>>,
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct Pointer {
    digest: Option<String>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

/// Documents, each of which is read once.
pub(crate) struct Documents<'s> {
    store: &'s Store,
    read: BTreeMap<Digest, Links>,
    on: &'s (dyn Fn(Event) + Sync),
}

impl<'s> Documents<'s> {
    pub(crate) fn new(store: &'s Store, on: &'s (dyn Fn(Event) + Sync)) -> Documents<'s> {
        Documents { store, read: BTreeMap::new(), on }
    }

    /// Everything that a document needs, itself included, whether it is there or not.
    pub(crate) fn needs(&mut self, root: Digest) -> Result<BTreeSet<Need>, Error> {
        let mut needs = BTreeSet::new();
        self.follow(root, MAX_NESTING, &mut needs)?;
        Ok(needs)
    }

    fn follow(&mut self, digest: Digest, deeper: usize, needs: &mut BTreeSet<Need>) -> Result<(), Error> {
        if !needs.insert(Need::Document(digest)) {
            return Ok(());
        }
        let links = self.links(digest, true)?;
        if let Some(config) = links.config {
            needs.insert(Need::Document(config));
            needs.extend(self.links(config, false)?.diff_ids.into_iter().map(Need::Unpacked));
        }
        needs.extend(links.layers.into_iter().map(Need::Layer));
        for manifest in links.manifests {
            if let Some(deeper) = deeper.checked_sub(1) {
                self.follow(manifest, deeper, needs)?;
            }
        }
        Ok(())
    }

    /// What a document points to; nothing if it is not there. That one is not understood is told where it matters: other
    /// artifacts than images have configurations of any kind.
    fn links(&mut self, digest: Digest, tell: bool) -> Result<Links, Error> {
        if let Some(links) = self.read.get(&digest) {
            return Ok(links.clone());
        }
        let links = match self.store.document(&digest) {
            Ok(links) => links.unwrap_or_default(),
            Err(Fault::Error(source)) => {
                let path = self.store.path().join(BLOBS).join(digest.algorithm().name()).join(digest.hex());
                return Err(Error::Read { path, source });
            }
            Err(Fault::Damage(damage)) => {
                if tell {
                    (self.on)(Event::NotUnderstood { document: digest, damage });
                }
                Links::default()
            }
        };
        self.read.insert(digest, links.clone());
        Ok(links)
    }
}

impl Store {
    fn document(&self, digest: &Digest) -> Result<Option<Links>, Fault> {
        use crate::Damage;
        let Some((file, len)) = self.peek(BLOBS, digest)? else { return Ok(None) };
        let largest = json::MAX_BYTES as u64;
        if len > largest {
            return Err(Fault::Damage(Damage::Length { expected: largest, found: len }));
        }
        let mut text = Vec::new();
        file.take(largest).read_to_end(&mut text).map_err(crate::entry::fault)?;
        let document: Document =
            json::parse("it", &text).map_err(|error| Fault::Damage(Damage::Document(error.to_string())))?;
        let digest = |pointer: Pointer| pointer.digest?.parse().ok();
        Ok(Some(Links {
            manifests: document.manifests.into_iter().flatten().filter_map(digest).collect(),
            config: document.config.and_then(digest),
            layers: document.layers.into_iter().flatten().filter_map(digest).collect(),
            diff_ids: document
                .rootfs
                .and_then(|rootfs| rootfs.diff_ids)
                .into_iter()
                .flatten()
                .filter_map(|text| text.parse().ok())
                .collect(),
        }))
    }
}
