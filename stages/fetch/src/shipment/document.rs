//! What manifests and indexes point to, whatever they are.

use cvbake_verify::json::{self, Bounded, Object, Size};
use cvbake_verify::{Descriptor, MAX_INDEX_ENTRIES, MAX_LAYERS};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Error;

/// All that a document points to.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// What it says it is.
    pub(crate) media_type: Option<String>,
    /// Configuration and layers, in this order.
    pub(crate) blobs: Vec<Pointer>,
    pub(crate) has_config: bool,
    /// Manifests and indexes.
    pub(crate) manifests: Vec<Pointer>,
}

/// A descriptor, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Pointer {
    pub(crate) descriptor: Descriptor,
    pub(crate) platform: Option<String>,
}

impl Pointer {
    pub(crate) fn plain(descriptor: Descriptor) -> Pointer {
        Pointer { descriptor, platform: None }
    }
}

/// What begins with `_`, here and below, is not read but has its name in other programs, so that no
/// other spelling of it may mean something to them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Object<RawPointer>>,
    layers: Option<Bounded<Object<RawPointer>, MAX_LAYERS>>,
    manifests: Option<Bounded<Object<RawPointer>, MAX_INDEX_ENTRIES>>,
    _artifact_type: Option<IgnoredAny>,
    _fs_layers: Option<IgnoredAny>,
    _annotations: Option<IgnoredAny>,
    _subject: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPointer {
    media_type: String,
    digest: String,
    size: Size,
    platform: Option<Object<RawPlatform>>,
    _artifact_type: Option<IgnoredAny>,
    _annotations: Option<IgnoredAny>,
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

/// Reads a manifest or an index.
pub(crate) fn links(object: &str, bytes: &[u8]) -> Result<Links, Error> {
    let wrong = |source| Error::Document { place: object.to_owned(), source: Box::new(source) };
    let Object(raw): Object<Raw> = json::parse(object, bytes).map_err(wrong)?;
    let object = || object.to_owned();
    match raw.schema_version {
        Some(2) => {}
        Some(1) => return Err(wrong(cvbake_verify::Error::Schema1 { object: object() })),
        Some(found) => return Err(wrong(cvbake_verify::Error::SchemaVersion { object: object(), found })),
        None => {
            let field = "schemaVersion".to_owned();
            return Err(wrong(cvbake_verify::Error::Missing { object: object(), field }));
        }
    }
    if raw.manifests.is_some() && (raw.layers.is_some() || raw.config.is_some()) {
        let second = if raw.layers.is_some() { "layers" } else { "config" };
        return Err(wrong(cvbake_verify::Error::Ambivalent { object: object(), first: "manifests", second }));
    }
    let pointer = |(at, Object(raw)): (usize, Object<RawPointer>)| {
        let place = format!("pointer {}", at + 1);
        let digest = raw
            .digest
            .parse()
            .map_err(|source| wrong(cvbake_verify::Error::Digest { object: object(), place, source }))?;
        let descriptor = Descriptor { media_type: raw.media_type, digest, size: raw.size.0 };
        let platform = raw.platform.map(|Object(platform)| {
            let parts = [platform.os, platform.architecture, platform.variant];
            parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
        });
        Ok(Pointer { descriptor, platform })
    };
    let all = |pointers: Vec<Object<RawPointer>>| {
        pointers.into_iter().enumerate().map(pointer).collect::<Result<Vec<_>, _>>()
    };
    let has_config = raw.config.is_some();
    let layers = raw.layers.unwrap_or_default().all(&object(), "layers").map_err(wrong)?;
    let manifests = raw.manifests.unwrap_or_default().all(&object(), "entries").map_err(wrong)?;
    let blobs = raw.config.into_iter().chain(layers).collect();
    Ok(Links {
        media_type: raw.media_type.filter(|text| !text.is_empty()),
        blobs: all(blobs)?,
        has_config,
        manifests: all(manifests)?,
    })
}
