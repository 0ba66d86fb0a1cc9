//! Which blobs a registry already has, in other repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use cvbake_store::{Named, Reference as Stored, Store};
use cvbake_verify::{Digest, json};

use crate::shipment::links;
use crate::{Event, Observer, Reference};

/// How many documents are read to find out. A store with more has enough to offer with these.
const MAX_DOCUMENTS: usize = 1000;

/// How many repositories blobs are taken from: a token must be good for all of them, and names all
/// of them.
const MAX_REPOSITORIES: usize = 8;

/// Blobs, and the repository of the registry that is believed to have them. A registry is only
/// asked: one that has not, or does not give, gets the bytes.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    from: BTreeMap<Digest, String>,
}

impl Mounts {
    /// What a store knows of the registry, for blobs that are about to be pushed to one of its
    /// repositories: where they come from first of all, and then what else came from there. What of
    /// the store can't be read is left out: it is a matter of time only.
    #[must_use]
    pub fn known(
        store: &Store,
        target: &Reference,
        source: Option<&Reference>,
        wanted: &BTreeSet<Digest>,
        on: Observer<'_>,
    ) -> Mounts {
        let mut from = BTreeMap::new();
        let source = source.filter(|source| source.registry() == target.registry());
        if let Some(source) = source.filter(|source| source.repository() != target.repository()) {
            from.extend(wanted.iter().map(|digest| (*digest, source.repository().to_owned())));
            return Mounts { from };
        }
        let names = store.names().list(&|event| on(Event::Store(event))).unwrap_or_default();
        let prefix = format!("{}/", target.registry());
        let mut repositories = BTreeSet::new();
        let mut budget = MAX_DOCUMENTS;
        for Named { name, reference, .. } in names {
            let Some(path) = name.strip_prefix(&prefix) else { continue };
            let repository = path.split([':', '@']).next().unwrap_or_default();
            let known = repositories.contains(repository);
            if repository == target.repository() || !known && repositories.len() == MAX_REPOSITORIES {
                continue;
            }
            let mut found = Vec::new();
            blobs_of(store, &reference, &mut budget, &mut found);
            for digest in found.iter().filter(|digest| wanted.contains(digest)) {
                repositories.insert(repository.to_owned());
                from.entry(*digest).or_insert_with(|| repository.to_owned());
            }
        }
        Mounts { from }
    }

    /// A repository that is believed to have a blob.
    pub(super) fn repository_with(&self, digest: &Digest) -> Option<&str> {
        self.from.get(digest).map(String::as_str)
    }

    pub(super) fn repositories(&self) -> BTreeSet<&str> {
        self.from.values().map(String::as_str).collect()
    }
}

/// The blobs of an image, or of all images of an index, as far as the store has their manifests.
fn blobs_of(store: &Store, reference: &Stored, budget: &mut usize, found: &mut Vec<Digest>) {
    let mut waiting = vec![(reference.digest, reference.size)];
    while let Some((digest, size)) = waiting.pop() {
        let Some(left) = budget.checked_sub(1) else { return };
        *budget = left;
        if size > json::MAX_BYTES as u64 {
            continue;
        }
        let Ok(Some(blob)) = store.blobs().open(&digest, Some(size), &|_| {}) else { continue };
        let mut bytes = Vec::new();
        if blob.take(size).read_to_end(&mut bytes).is_err() {
            continue;
        }
        let Ok(links) = links("manifest", &bytes) else { continue };
        found.extend(links.blobs.iter().map(|blob| blob.descriptor.digest));
        waiting.extend(links.manifests.iter().map(|entry| (entry.descriptor.digest, entry.descriptor.size)));
    }
}
