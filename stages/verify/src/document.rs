//! Indexes and manifests: what the documents between a reference and the layers say.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::descriptor::RawDescriptor;
use crate::json::{Bounded, Object};
use crate::media::{Role, describe, role};
use crate::{Candidate, Descriptor, Digest, Error, json, shorten};

/// The most entries of an index that are looked at; the largest known ones have some dozens.
pub const MAX_INDEX_ENTRIES: usize = 10_000;

/// The most layers of an image. Docker stops at 127; images converted from other systems have
/// hundreds.
pub const MAX_LAYERS: usize = 10_000;

/// One of the two documents that a reference can lead to.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<Candidate>),
    Manifest(Manifest),
}

#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Everything that tells the kinds of documents apart. Fields that are present and `null` are
/// `Some(None)`: Go programs write an empty list so. What begins with `_` is not read here but has
/// its name in other programs, so that no other spelling of it may mean something to them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "present")]
    config: Option<Option<Object<RawDescriptor>>>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Option<Layers>>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Option<Entries>>,
    #[serde(default, deserialize_with = "present")]
    fs_layers: Option<Option<IgnoredAny>>,
    _annotations: Option<IgnoredAny>,
    _subject: Option<IgnoredAny>,
}

type Entries = Bounded<Object<RawDescriptor>, MAX_INDEX_ENTRIES>;

type Layers = Bounded<Object<RawDescriptor>, MAX_LAYERS>;

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The entries of an image layout's `index.json`, which nothing announces and no digest protects.
///
/// # Errors
/// When it is anything but an index.
pub fn parse_index(object: &str, bytes: &[u8]) -> Result<Vec<Candidate>, Error> {
    let Object(raw): Object<RawDocument> = json::parse(object, bytes)?;
    raw.refuse_schema_1(object)?;
    if let Some(found) = raw.media_type.as_deref().filter(|found| !found.is_empty() && role(found) != Role::Index) {
        return Err(Error::MediaType {
            object: object.to_owned(),
            announced: oci_spec::image::MediaType::ImageIndex.to_string(),
            found: shorten(found),
        });
    }
    raw.index(object)
}

/// The document that a descriptor with this media type points to.
pub(crate) fn parse(object: &str, announced: &str, bytes: &[u8]) -> Result<Document, Error> {
    let kind = role(announced);
    match kind {
        Role::Index | Role::Manifest => {}
        Role::Schema1 => return Err(Error::Schema1 { object: object.to_owned() }),
        _ => return Err(Error::NotAnImage { object: object.to_owned(), what: describe(announced) }),
    }
    let Object(raw): Object<RawDocument> = json::parse(object, bytes)?;
    raw.refuse_schema_1(object)?;
    if let Some(found) = raw.media_type.as_deref().filter(|found| !found.is_empty() && *found != announced) {
        return Err(Error::MediaType {
            object: object.to_owned(),
            announced: shorten(announced),
            found: shorten(found),
        });
    }
    match kind {
        Role::Index => raw.index(object).map(Document::Index),
        _ => raw.manifest(object).map(Document::Manifest),
    }
}

/// What a document points to, for whoever copies it with everything below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Links {
    /// An index: manifests and other indexes.
    Documents(Vec<Candidate>),
    /// The manifest of an image or of any other artifact: its configuration and its layers.
    Blobs(Vec<Descriptor>),
    /// Something that is no document of images.
    Nothing,
}

/// What stands in a document that a descriptor with this media type points to. Unlike
/// [`crate::Image::verify`] this takes artifacts too.
///
/// # Errors
/// When it is not what it was announced as, or not well formed.
pub fn links(object: &str, announced: &str, bytes: &[u8]) -> Result<Links, Error> {
    let kind = role(announced);
    match kind {
        Role::Index | Role::Manifest => {}
        Role::Schema1 => return Err(Error::Schema1 { object: object.to_owned() }),
        _ => return Ok(Links::Nothing),
    }
    let Object(raw): Object<RawDocument> = json::parse(object, bytes)?;
    raw.refuse_schema_1(object)?;
    if kind == Role::Index {
        return raw.index(object).map(Links::Documents);
    }
    raw.check(object)?;
    if raw.manifests.is_some() {
        return Err(Error::Shape { object: object.to_owned(), expected: "a manifest", found: "an index" });
    }
    let mut blobs = Vec::new();
    if let Some(Object(config)) = raw.config.flatten() {
        blobs.push(config.check(object, &|| "config".to_owned())?);
    }
    let layers = raw.layers.flatten().unwrap_or_default().all(object, "layers")?;
    for (at, Object(layer)) in layers.into_iter().enumerate() {
        blobs.push(layer.check(object, &|| format!("layer {}", at + 1))?);
    }
    Ok(Links::Blobs(blobs))
}

impl RawDocument {
    fn refuse_schema_1(&self, object: &str) -> Result<(), Error> {
        if self.schema_version == Some(1) || self.fs_layers.is_some() {
            return Err(Error::Schema1 { object: object.to_owned() });
        }
        Ok(())
    }

    /// What both kinds share: the version, and that no key of the other kind is there.
    fn check(&self, object: &str) -> Result<(), Error> {
        let object = || object.to_owned();
        let image_key = self.layers.as_ref().map(|_| "layers").or(self.config.as_ref().map(|_| "config"));
        if let (Some(_), Some(second)) = (&self.manifests, image_key) {
            return Err(Error::Ambivalent { object: object(), first: "manifests", second });
        }
        match self.schema_version {
            Some(2) => Ok(()),
            Some(found) => Err(Error::SchemaVersion { object: object(), found }),
            None => Err(Error::Missing { object: object(), field: "schemaVersion".to_owned() }),
        }
    }

    fn index(self, object: &str) -> Result<Vec<Candidate>, Error> {
        self.check(object)?;
        let Some(entries) = self.manifests else {
            if self.layers.is_some() {
                return Err(Error::Shape { object: object.to_owned(), expected: "an index", found: "a manifest" });
            }
            return Err(Error::Missing { object: object.to_owned(), field: "manifests".to_owned() });
        };
        let entries = entries.unwrap_or_default().all(object, "entries")?;
        let candidate = |(at, Object(raw)): (usize, Object<RawDescriptor>)| {
            raw.check_candidate(object, &|| format!("entry {}", at + 1))
        };
        let candidates = entries.into_iter().enumerate().map(candidate).collect::<Result<Vec<_>, _>>()?;
        let mut known = Known::default();
        candidates.iter().try_for_each(|candidate| known.add(object, &candidate.descriptor).map(drop))?;
        Ok(candidates)
    }

    fn manifest(self, object: &str) -> Result<Manifest, Error> {
        self.check(object)?;
        if self.manifests.is_some() {
            return Err(Error::Shape { object: object.to_owned(), expected: "a manifest", found: "an index" });
        }
        let missing = |field: &str| Error::Missing { object: object.to_owned(), field: field.to_owned() };
        let artifact = |found: &str| Error::NotAnImage { object: object.to_owned(), what: describe(found) };
        // An image may repeat its configuration's type here; everything else is the type of
        // something that is no image.
        if let Some(found) = self.artifact_type.as_deref().filter(|it| !it.is_empty() && role(it) != Role::Config) {
            return Err(artifact(found));
        }
        let Object(config) = self.config.flatten().ok_or_else(|| missing("config"))?;
        match config.media_type().map(|found| (found, role(found))) {
            Some((_, Role::Config)) | None => {}
            Some((found, _)) => return Err(artifact(found)),
        }
        let layers = self.layers.ok_or_else(|| missing("layers"))?.unwrap_or_default().all(object, "layers")?;
        if let Some(found) = layers.iter().filter_map(|layer| layer.0.media_type()).find(|found| is_statement(found)) {
            return Err(artifact(found));
        }
        let config = config.check(object, &|| "config".to_owned())?;
        let layer =
            |(at, Object(raw)): (usize, Object<RawDescriptor>)| raw.check(object, &|| format!("layer {}", at + 1));
        let layers = layers.into_iter().enumerate().map(layer).collect::<Result<_, _>>()?;
        Ok(Manifest { config, layers })
    }
}

/// What documents say of others, each of which can be one thing only: who finds it under two media
/// types takes one for the other, or leaves out what only one of them leads to.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<Digest, (String, u64)>);

impl Known {
    /// Adds what the document `object` points to; whether it is new.
    ///
    /// # Errors
    /// When it was something else before.
    pub fn add(&mut self, object: &str, descriptor: &Descriptor) -> Result<bool, Error> {
        let Descriptor { media_type, digest, size } = descriptor;
        let Some((first_type, first_size)) = self.0.get(digest) else {
            self.0.insert(*digest, (media_type.clone(), *size));
            return Ok(true);
        };
        if (first_type, first_size) == (media_type, size) {
            return Ok(false);
        }
        let what = |media_type: &str, size: u64| format!("{:?} of {size} bytes", shorten(media_type));
        let (first, second) = (what(first_type, *first_size), what(media_type, *size));
        Err(Error::Contradiction { object: object.to_owned(), digest: (*digest).into(), first, second })
    }
}

/// Attestations and signatures come with the configuration of an image; only their layers tell what
/// they are.
fn is_statement(media_type: &str) -> bool {
    matches!(media_type, "application/vnd.in-toto+json" | "application/vnd.dev.cosign.simplesigning.v1+json")
}
