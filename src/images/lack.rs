//! What images of the store lack.

use std::collections::{BTreeMap, BTreeSet};

use cvbake_store::Store;
use cvbake_verify::{Descriptor, Digest};

use super::details::{Details, ImageDetails};
use super::find::names;
use crate::error::Error;

/// An image that is not all there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incomplete {
    /// Its name; `@digest` if it has none.
    pub name: String,
    /// The platform, if that is known.
    pub platform: Option<String>,
    /// What it lacks, the manifest first.
    pub lacks: Vec<Lack>,
}

/// A part of an image that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lack {
    /// What it is: `manifest`, `config`, `layer 2`.
    pub part: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether something of that name is there, and damaged.
    pub damaged: bool,
}

/// All images of a store that lack something, by their names; what was found damaged counts as
/// lacking.
pub(crate) fn incomplete(store: &Store, damaged: &BTreeSet<Digest>) -> Result<Vec<Incomplete>, Error> {
    let mut known: BTreeMap<Digest, Vec<Incomplete>> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, reference) in names(store, &|_| {})? {
        let of_digest = match known.get(&reference.digest) {
            Some(incomplete) => incomplete,
            None => {
                let details = Details::of(store, &reference, &|_| {})?;
                known.entry(reference.digest).or_insert(lacking(&details, damaged))
            }
        };
        found.extend(of_digest.iter().map(|incomplete| Incomplete { name: name.clone(), ..incomplete.clone() }));
    }
    Ok(found)
}

/// What the images that a name leads to lack, without the name. Of an index those count that
/// somebody wanted: what was never fetched is not missing, unless nothing else is there.
fn lacking(details: &Details, damaged: &BTreeSet<Digest>) -> Vec<Incomplete> {
    let lack = |part: &str, descriptor: &Descriptor| Lack {
        part: part.to_owned(),
        digest: descriptor.digest,
        bytes: descriptor.size,
        damaged: damaged.contains(&descriptor.digest),
    };
    let images: Vec<(&ImageDetails, Vec<Lack>)> =
        details.images.iter().map(|image| (image, of_image(image, damaged, &lack))).collect();
    let nothing_else = !images.iter().any(|(_, lacks)| lacks.is_empty());
    let incomplete = |platform, lacks| Incomplete { name: String::new(), platform, lacks };
    let mut found: Vec<Incomplete> = images
        .into_iter()
        .filter(|(image, lacks)| !lacks.is_empty() && (nothing_else || is_wanted(image)))
        .map(|(image, lacks)| incomplete(image.platform.clone(), lacks))
        .collect();
    let absent = details.absent.iter().filter(|absent| {
        let is_damaged = damaged.contains(&absent.descriptor.digest);
        is_damaged || nothing_else && details.images.is_empty() && details.document.is_some()
    });
    found.extend(absent.map(|absent| {
        incomplete(absent.platform.as_ref().map(ToString::to_string), vec![lack("manifest", &absent.descriptor)])
    }));
    found
}

fn of_image(image: &ImageDetails, damaged: &BTreeSet<Digest>, lack: &dyn Fn(&str, &Descriptor) -> Lack) -> Vec<Lack> {
    let is_there = |descriptor: &Descriptor, stored: bool| stored && !damaged.contains(&descriptor.digest);
    let config = image.config_descriptor.iter().filter(|config| !is_there(config, image.config.is_some()));
    let mut lacks: Vec<Lack> = config.map(|config| lack("config", config)).collect();
    for (at, layer) in image.layers.iter().enumerate() {
        if !is_there(&layer.descriptor, layer.stored) {
            lacks.push(lack(&format!("layer {}", at + 1), &layer.descriptor));
        }
    }
    lacks
}

fn is_wanted(image: &ImageDetails) -> bool {
    image.config.is_some() && image.chosen || image.layers.iter().any(|layer| layer.stored)
}
