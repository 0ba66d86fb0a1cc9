//! The configuration of an image: which platform it is for, and what its layers unpack to.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json::{Bounded, Object};
use crate::{Digest, Error, MAX_LAYERS, Platform, json, shorten};

/// The configuration of an image.
///
/// Only what verification needs is parsed. The rest (environment, command, user, …) is in
/// [`Config::raw`], which is exactly what the digest names: programs that parse and write it again
/// lose the fields they don't know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    raw: Vec<u8>,
    digest: Digest,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    diff_ids: Vec<Digest>,
}

/// What begins with `_` is not read here but has its name in other programs, so that no other
/// spelling of it may mean something to them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    rootfs: Option<Object<RawRootfs>>,
    #[serde(rename = "os.version")]
    _os_version: Option<IgnoredAny>,
    #[serde(rename = "os.features")]
    _os_features: Option<IgnoredAny>,
    _config: Option<IgnoredAny>,
    _created: Option<IgnoredAny>,
    _history: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<Bounded<String, MAX_LAYERS>>,
}

impl Config {
    pub(crate) fn parse(digest: Digest, raw: Vec<u8>) -> Result<Config, Error> {
        let object = &Config::object(&digest);
        let missing = |field: &str| Error::Missing { object: object.to_owned(), field: field.to_owned() };
        let Object(parsed): Object<RawConfig> = json::parse(object, &raw)?;
        let Object(rootfs) = parsed.rootfs.ok_or_else(|| missing("rootfs"))?;
        match rootfs.kind.as_deref() {
            Some("layers") => {}
            Some(found) => return Err(Error::RootfsType { object: object.to_owned(), found: shorten(found) }),
            None => return Err(missing("rootfs.type")),
        }
        let parse_diff_id = |(at, text): (usize, String)| {
            text.parse().map_err(|source| Error::Digest {
                object: object.to_owned(),
                place: format!("diff_id {}", at + 1),
                source,
            })
        };
        let diff_ids = rootfs.diff_ids.unwrap_or_default().all(object, "diff_ids")?;
        let diff_ids = diff_ids.into_iter().enumerate().map(parse_diff_id).collect::<Result<_, _>>()?;
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (os, architecture, variant) = (named(parsed.os), named(parsed.architecture), named(parsed.variant));
        Ok(Config { digest, os, architecture, variant, diff_ids, raw })
    }

    /// The name of a configuration in errors.
    pub(crate) fn object(digest: &Digest) -> String {
        format!("config {digest}")
    }

    /// The bytes, as the digest names them.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the image runs; `None` where its operating system or its architecture is not said.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let variant = self.variant.as_deref().unwrap_or_default();
        Some(Platform::new(self.os.as_ref()?, self.architecture.as_ref()?, variant))
    }

    /// What the layers unpack to, lowest layer first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    pub(crate) fn os(&self) -> Option<&str> {
        self.os.as_deref()
    }

    pub(crate) fn has_variant(&self) -> bool {
        self.variant.is_some()
    }
}
