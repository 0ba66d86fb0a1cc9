//! What the store knows of an image, as far as its documents are there.

use std::fs::File;
use std::io::Read as _;

use cvbake_store::{Health, Reference, Store};
use cvbake_verify::json::Bounded;
use cvbake_verify::json::{self, Object};
use cvbake_verify::{Candidate, CheckedReader, Descriptor, Digest, Image, Links, MAX_DOCUMENTS, MAX_NESTING, links};
use serde::Deserialize;

use crate::error::Error;
use crate::event::{Event, Finding, Observer};

/// What a name points to, and the images that it leads to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Details {
    /// What the name points to.
    pub reference: Descriptor,
    /// The bytes of the manifest or index that the name points to, if it is in the store.
    pub document: Option<Vec<u8>>,
    /// The images whose manifests are in the store: one, or those of an index.
    pub images: Vec<ImageDetails>,
    /// How many images the index lists, if it is one.
    pub listed: Option<usize>,
    /// What is listed and not in the store, manifests and indexes.
    pub(super) absent: Vec<Candidate>,
}

/// One image, for one platform.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImageDetails {
    /// What points to its manifest.
    pub descriptor: Descriptor,
    /// The bytes of its manifest.
    pub manifest: Vec<u8>,
    /// What points to its configuration.
    pub config_descriptor: Option<Descriptor>,
    /// The bytes of its configuration, if that is in the store.
    pub config: Option<Vec<u8>>,
    /// The platform that its configuration says, or else the index.
    pub platform: Option<String>,
    /// When it was made, in the words of its configuration.
    pub created: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<LayerDetails>,
    /// How it was made, oldest step first.
    pub history: Vec<Step>,
    /// Whether an index says what it is for, so that it was not only looked into.
    pub(super) chosen: bool,
}

/// One layer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayerDetails {
    /// What points to it.
    pub descriptor: Descriptor,
    /// The digest of what it unpacks to, in the words of the configuration.
    pub diff_id: Option<String>,
    /// Whether it is in the store, in its full length.
    pub stored: bool,
}

/// One step in the making of an image.
#[derive(Debug, Clone, Default, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// When it was done, in the words of the configuration.
    pub created: Option<String>,
    /// The command.
    pub created_by: Option<String>,
    /// Who did it.
    pub author: Option<String>,
    /// A remark.
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default)]
    pub empty_layer: Option<bool>,
}

/// The most steps that are told of: ten for each of the layers that an image may have.
const MAX_STEPS: usize = 100_000;

/// What is looked at of a configuration.
#[derive(Deserialize)]
struct Config {
    created: Option<String>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    rootfs: Option<Object<RootFs>>,
    history: Option<Bounded<Step, MAX_STEPS>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

impl Details {
    /// Looks at what a name points to.
    pub(crate) fn of(store: &Store, reference: &Reference, on: Observer<'_>) -> Result<Details, Error> {
        let Reference { digest, media_type, size } = reference.clone();
        let top = Descriptor { media_type, digest, size };
        let mut details =
            Details { reference: top.clone(), document: None, images: Vec::new(), listed: None, absent: Vec::new() };
        let mut seen = std::collections::BTreeSet::from([digest]);
        let mut left = vec![(Candidate::new(top), 0)];
        let mut documents = 0;
        while let Some((candidate, depth)) = left.pop() {
            let descriptor = &candidate.descriptor;
            documents += 1;
            if documents > MAX_DOCUMENTS {
                break;
            }
            let Some(bytes) = read(store, descriptor, on)? else {
                details.absent.push(candidate);
                continue;
            };
            if depth == 0 {
                details.document = Some(bytes.clone());
            }
            match links(&format!("manifest {}", descriptor.digest), &descriptor.media_type, &bytes) {
                Ok(Links::Documents(candidates)) => {
                    if depth == 0 {
                        details.listed = Some(candidates.iter().filter(|entry| entry.may_be_image()).count());
                    }
                    let below = candidates.into_iter().rev();
                    let below = below.filter(|entry| depth < MAX_NESTING && entry.may_be_image());
                    left.extend(
                        below.filter(|entry| seen.insert(entry.descriptor.digest)).map(|entry| (entry, depth + 1)),
                    );
                }
                Ok(Links::Blobs(blobs)) => details.images.push(image(store, &candidate, bytes, blobs, on)?),
                Ok(Links::Nothing) => {}
                Err(error) => on(Event::Warning(error.to_string())),
            }
        }
        Ok(details)
    }

    /// The same, with documents that are there but empty, and no history.
    pub(super) fn without_documents(mut self) -> Details {
        self.document = self.document.map(|_| Vec::new());
        for image in &mut self.images {
            (image.manifest, image.history) = (Vec::new(), Vec::new());
            image.config = image.config.take().map(|_| Vec::new());
        }
        self
    }

    /// How many bytes the store has of it, each blob once.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let mut seen = std::collections::BTreeSet::new();
        let mut sum = self.document.as_ref().map_or(0, |_| self.reference.size);
        seen.insert(self.reference.digest);
        for image in &self.images {
            let layers = image.layers.iter().filter(|layer| layer.stored).map(|layer| &layer.descriptor);
            let config = image.config_descriptor.as_ref().filter(|_| image.config.is_some());
            for blob in std::iter::once(&image.descriptor).chain(config).chain(layers) {
                if seen.insert(blob.digest) {
                    sum = sum.saturating_add(blob.size);
                }
            }
        }
        sum
    }

    /// Whether at least one image is there with all that it needs.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.images.iter().any(ImageDetails::is_complete)
    }
}

impl ImageDetails {
    /// Whether all that it needs is in the store.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.config.is_some() && self.layers.iter().all(|layer| layer.stored)
    }

    /// Each step of the making with the layer that it made, oldest first; layers that no step made
    /// stand alone.
    #[must_use]
    pub fn steps(&self) -> Vec<(Option<&Step>, Option<&LayerDetails>)> {
        steps(&self.history, &self.layers)
    }
}

/// Each step with the layer that it made, oldest first; layers that no step made stand alone.
pub(super) fn steps<'a, L>(history: &'a [Step], layers: &'a [L]) -> Vec<(Option<&'a Step>, Option<&'a L>)> {
    let mut layers = layers.iter();
    let mut steps: Vec<(Option<&Step>, Option<&L>)> = history
        .iter()
        .map(|step| (Some(step), if step.empty_layer == Some(true) { None } else { layers.next() }))
        .collect();
    steps.extend(layers.map(|layer| (None, Some(layer))));
    steps
}

/// When an image was made and how, as far as its configuration says it.
pub(super) fn told(config: &[u8]) -> (Option<String>, Vec<Step>) {
    match json::parse::<Object<Config>>("config", config) {
        Ok(Object(Config { created, history, .. })) => (created, history.unwrap_or_default().first()),
        Err(_) => (None, Vec::new()),
    }
}

/// The command that made each layer, lowest first, in the words of the configuration.
pub(crate) fn commands(image: &Image) -> Vec<Option<String>> {
    let (_, history) = image.config().map(|config| told(config.raw())).unwrap_or_default();
    let steps = steps(&history, image.layers()).into_iter().filter(|(_, layer)| layer.is_some());
    steps.map(|(step, _)| step.and_then(|step| step.created_by.clone())).collect()
}

fn image(
    store: &Store,
    candidate: &Candidate,
    manifest: Vec<u8>,
    blobs: Vec<Descriptor>,
    on: Observer<'_>,
) -> Result<ImageDetails, Error> {
    let mut blobs = blobs.into_iter();
    let config_descriptor = blobs.next();
    let config = match &config_descriptor {
        Some(descriptor) => read(store, descriptor, on)?,
        None => None,
    };
    // What is malformed is told when the image is used; here it only says less.
    let parsed: Option<Object<Config>> = config.as_ref().and_then(|bytes| json::parse("config", bytes).ok());
    let listed = candidate.platform.as_ref().map(ToString::to_string);
    let mut details = ImageDetails {
        descriptor: candidate.descriptor.clone(),
        manifest,
        config_descriptor,
        config,
        platform: listed,
        created: None,
        layers: Vec::new(),
        history: Vec::new(),
        chosen: candidate.platform.is_some(),
    };
    let mut diff_ids = Vec::new();
    if let Some(Object(Config { created, os, architecture, variant, rootfs, history })) = parsed {
        if let (Some(os), Some(architecture)) = (os, architecture) {
            let platform = cvbake_verify::Platform::new(&os, &architecture, &variant.unwrap_or_default());
            details.platform = Some(platform.to_string());
        }
        details.created = created;
        details.history = history.unwrap_or_default().first();
        diff_ids = rootfs.and_then(|Object(rootfs)| rootfs.diff_ids).unwrap_or_default();
    }
    let mut diff_ids = diff_ids.into_iter();
    for descriptor in blobs {
        let stored = look(store, &descriptor, on)?.is_some();
        details.layers.push(LayerDetails { descriptor, diff_id: diff_ids.next(), stored });
    }
    Ok(details)
}

/// The bytes of a document, if it is in the store, and right.
fn read(store: &Store, descriptor: &Descriptor, on: Observer<'_>) -> Result<Option<Vec<u8>>, Error> {
    let Descriptor { digest, size, .. } = descriptor;
    if *size > json::MAX_BYTES as u64 {
        on(Event::Warning(format!("{digest} has {size} bytes, more than any document")));
        return Ok(None);
    }
    let Some(file) = look(store, descriptor, on)? else { return Ok(None) };
    let mut bytes = Vec::new();
    match CheckedReader::new(file, *digest, *size).read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => {
            damaged(digest, &error, on);
            Ok(None)
        }
    }
}

/// A blob of the store, of the length that it should have. Nothing is changed by that.
fn look(store: &Store, descriptor: &Descriptor, on: Observer<'_>) -> Result<Option<File>, Error> {
    match store.blobs().inspect(&descriptor.digest, descriptor.size)? {
        Health::Absent => Ok(None),
        Health::Whole(blob) => Ok(Some(blob.into_file())),
        Health::Damaged { damage, .. } => {
            damaged(&descriptor.digest, &damage, on);
            Ok(None)
        }
    }
}

fn damaged(digest: &Digest, problem: &dyn std::error::Error, on: Observer<'_>) {
    let (what, problem) = (format!("blob {digest} in the store"), problem.to_string());
    on(Event::Finding(Finding::Damaged { what, problem }));
}
