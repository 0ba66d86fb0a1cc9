//! Pointers to content, as documents hold them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::json::{Key, Object, Size};
use crate::media::{Role, role};
use crate::{Digest, Error, Platform};

/// A pointer to a blob: what it should be, which bytes, how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// What the blob is announced to be.
    pub media_type: String,
    /// The digest of the blob.
    pub digest: Digest,
    /// The length of the blob, in bytes.
    pub size: u64,
}

/// An entry of an index: one of several images to choose from, or another index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The manifest or index it points to.
    pub descriptor: Descriptor,
    /// Where it is said to run.
    pub platform: Option<Platform>,
    /// The annotation `org.opencontainers.image.ref.name`: the tag in an image layout.
    pub ref_name: Option<String>,
    /// The annotation `io.containerd.image.name`: the name in full, as containerd and Docker give
    /// it.
    pub image_name: Option<String>,
    /// What it is instead of an image, where the index says so.
    pub(crate) artifact_type: Option<String>,
}

impl Candidate {
    /// An entry that points to a descriptor and says nothing about it.
    #[must_use]
    pub fn new(descriptor: Descriptor) -> Candidate {
        Candidate { descriptor, platform: None, ref_name: None, image_name: None, artifact_type: None }
    }

    /// Whether it may be an image, as far as the index tells: indexes also hold attestations and
    /// other artifacts.
    #[must_use]
    pub fn may_be_image(&self) -> bool {
        // BuildKit marks its attestations with this platform.
        let unknown = |platform: &Platform| platform.os() == "unknown" || platform.architecture() == "unknown";
        let artifact = |media_type: &String| role(media_type) != Role::Config;
        !self.platform.as_ref().is_some_and(unknown) && !self.artifact_type.as_ref().is_some_and(artifact)
    }
}

/// A descriptor as it stands in a document, before anything is believed. What begins with `_` is
/// not read here but has its name in other programs, so that no other spelling of it may mean
/// something to them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<Size>,
    platform: Option<Object<RawPlatform>>,
    artifact_type: Option<String>,
    annotations: Option<Object<RawAnnotations>>,
    _urls: Option<IgnoredAny>,
    _data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    _os_version: Option<IgnoredAny>,
    #[serde(rename = "os.features")]
    _os_features: Option<IgnoredAny>,
}

/// Annotations are a map: what is read of them is no field, and its name in another spelling is
/// another annotation.
#[derive(Default)]
struct RawAnnotations {
    ref_name: Option<String>,
    image_name: Option<String>,
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

impl<'de> Deserialize<'de> for RawAnnotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawAnnotations, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = RawAnnotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawAnnotations, A::Error> {
                let mut annotations = RawAnnotations::default();
                while let Some(Key(key)) = entries.next_key()? {
                    match &*key {
                        REF_NAME => annotations.ref_name = entries.next_value()?,
                        IMAGE_NAME => annotations.image_name = entries.next_value()?,
                        _ => drop(entries.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(annotations)
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl RawDescriptor {
    pub(crate) fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// Checks what a descriptor must have. `place` says which one it is: "layer 3".
    pub(crate) fn check(self, object: &str, place: &dyn Fn() -> String) -> Result<Descriptor, Error> {
        let missing =
            |field| Error::Missing { object: object.to_owned(), field: format!("the {field} of {}", place()) };
        let digest = self.digest.ok_or_else(|| missing("digest"))?;
        let digest =
            digest.parse().map_err(|source| Error::Digest { object: object.to_owned(), place: place(), source })?;
        let size = self.size.ok_or_else(|| missing("size"))?.0;
        let media_type = self.media_type.filter(|text| !text.is_empty()).ok_or_else(|| missing("mediaType"))?;
        Ok(Descriptor { media_type, digest, size })
    }

    pub(crate) fn check_candidate(mut self, object: &str, place: &dyn Fn() -> String) -> Result<Candidate, Error> {
        let platform = self.platform.take().and_then(|platform| platform.0.named());
        let RawAnnotations { ref_name, image_name } = self.annotations.take().map(|all| all.0).unwrap_or_default();
        let artifact_type = self.artifact_type.take().filter(|text| !text.is_empty());
        Ok(Candidate { descriptor: self.check(object, place)?, platform, ref_name, image_name, artifact_type })
    }
}

impl RawPlatform {
    /// A platform that leaves out one of its two halves says nothing that could be matched.
    fn named(self) -> Option<Platform> {
        let os = self.os.filter(|text| !text.is_empty())?;
        let architecture = self.architecture.filter(|text| !text.is_empty())?;
        Some(Platform::new(&os, &architecture, &self.variant.unwrap_or_default()))
    }
}
