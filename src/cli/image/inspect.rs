//! `cvbake image inspect`: everything that is known of images.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use cvbake::error::Error;
use cvbake::fetch::{Pull, Source};
use cvbake::images::{Document, Inspected, Look, Looked, LookedLayer};
use cvbake::verify::{Platform, json};
use serde::Serialize;
use serde_json::Value;

use crate::cli::source::{elsewhere, or_elsewhere};
use crate::cli::work::{InStore, want, watch};
use crate::cli::{environment, output, registry};
use crate::failure::Failure;
use crate::ui::Ui;

/// Show images in detail, as a JSON list
///
/// The manifest and the configuration are shown in full, including fields that cvbake does not
/// know. Of an image for several platforms, the one for this machine or for --platform is shown.
/// The objects have name, names, digest, media_type, index, manifest_digest, platform, created,
/// bytes, complete, layers (digest, media_type, bytes, diff_id and stored), manifest and config.
///
/// An image that is not in the store is inspected where it is: only its documents are read, nothing
/// is kept, and the objects lack complete and stored. Fields that cannot
/// be known there are null.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images to show: names in the store, ends of names, digests or beginnings of digests; or
    /// docker://NAME for one in a registry, oci:DIR, oci-archive:FILE, docker-archive:FILE or
    /// tar:FILE
    #[arg(value_name = "NAME", required = true)]
    names: Vec<OsString>,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Print the result as a JSON list, as without this option
    #[arg(long, conflicts_with_all = ["raw", "raw_config"])]
    json: bool,

    /// Print only the bytes of the manifest, or of the index if the name points to one and no
    /// platform is given; on a terminal, control characters are escaped
    #[arg(long, conflicts_with = "raw_config")]
    raw: bool,

    /// Print only the bytes of the configuration; on a terminal, control characters are escaped
    #[arg(long)]
    raw_config: bool,

    #[command(flatten)]
    store: InStore,

    #[command(flatten)]
    access: registry::Access,
}

/// What was found under a name.
enum Found {
    InStore(Box<Inspected>),
    Elsewhere(Box<Looked>),
    /// Nothing else was asked for.
    Document(Option<Document>),
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let found = |name: &OsString| Ok((name.to_string_lossy().into_owned(), args.find(name, ui)?));
    let found = args.names.iter().map(found).collect::<Result<Vec<_>, Failure>>()?;
    if args.raw || args.raw_config {
        let bytes = found.iter().map(|(name, found)| args.bytes(name, found)).collect::<Result<Vec<_>, _>>()?;
        return output::document(&bytes.concat());
    }
    let items: Vec<Item<'_>> = found.iter().filter_map(|(name, found)| Item::of(name, found)).collect();
    let text = serde_json::to_string_pretty(&items).expect("numbers, texts, and what was read as JSON");
    output::json(&format!("{text}\n"))
}

impl Args {
    fn find(&self, name: &OsStr, ui: &Arc<Ui>) -> Result<Found, Failure> {
        let want = want(self.platform.as_ref());
        let on = |event| ui.on(&event);
        let Some(source) = elsewhere(name)? else {
            let inspected = cvbake::images::inspect(&self.store.there(ui)?, &name.to_string_lossy(), &want, &on);
            return inspected.map(Box::new).map(Found::InStore).map_err(|error| or_elsewhere(name, error));
        };
        let mut look = Look::new(source);
        look.registry = self.access.options(Pull::Always)?;
        look.temporary = environment::temporary();
        let control = watch(ui, None);
        // What is no image has a manifest, too.
        if self.raw && self.platform.is_none() && !matches!(look.source, Source::Tar(_) | Source::DockerArchive { .. })
        {
            let document = look.at_document(control, &on)?;
            if document.is_some() {
                return Ok(Found::Document(document));
            }
        }
        Ok(Found::Elsewhere(Box::new(look.at_image(&want, control, &on)?)))
    }

    fn bytes<'a>(&self, name: &str, found: &'a Found) -> Result<&'a [u8], Failure> {
        let none = || match self.raw_config {
            true => {
                Failure::Usage { problem: format!("{name} is a root filesystem: it has no configuration"), hint: None }
            }
            false => Error::NoManifest { name: name.to_owned() }.into(),
        };
        match found {
            Found::InStore(inspected) => self.stored_bytes(name, inspected),
            Found::Elsewhere(looked) if self.raw_config => looked.config.as_deref().ok_or_else(none),
            Found::Elsewhere(looked) => looked.manifest.as_ref().map(|manifest| &manifest.bytes[..]).ok_or_else(none),
            Found::Document(document) => document.as_ref().map(|document| &document.bytes[..]).ok_or_else(none),
        }
    }

    fn stored_bytes<'a>(&self, name: &str, inspected: &'a Inspected) -> Result<&'a [u8], Failure> {
        let image = inspected.image.as_ref();
        let bytes = if self.raw_config {
            image.and_then(|image| image.config.as_deref())
        } else if self.platform.is_some() {
            image.map(|image| &image.manifest[..])
        } else {
            inspected.details.document.as_deref()
        };
        Ok(bytes.ok_or_else(|| Error::Incomplete { name: name.to_owned() })?)
    }
}

/// An element of the list.
#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    names: &'a [String],
    digest: Option<String>,
    media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Value>,
    manifest_digest: Option<String>,
    platform: Option<&'a str>,
    created: Option<&'a str>,
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    layers: Vec<Layer<'a>>,
    manifest: Option<Value>,
    config: Option<Value>,
}

#[derive(Serialize)]
struct Layer<'a> {
    digest: Option<String>,
    media_type: Option<&'a str>,
    bytes: Option<u64>,
    diff_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<bool>,
}

fn value(bytes: &[u8]) -> Option<Value> {
    json::parse("document", bytes).ok()
}

impl<'a> Item<'a> {
    fn of(name: &'a str, found: &'a Found) -> Option<Item<'a>> {
        match found {
            Found::InStore(inspected) => Some(Item::in_store(name, inspected)),
            Found::Elsewhere(looked) => Some(Item::elsewhere(name, looked)),
            Found::Document(_) => None,
        }
    }

    fn elsewhere(name: &'a str, looked: &'a Looked) -> Item<'a> {
        let layer = |layer: &'a LookedLayer| Layer {
            digest: layer.digest.map(|digest| digest.to_string()),
            media_type: layer.media_type.as_deref(),
            bytes: layer.bytes,
            diff_id: layer.diff_id.map(|diff_id| diff_id.to_string().into()),
            stored: None,
        };
        let top = looked.top.as_ref();
        let digest = top.map(|top| top.descriptor.digest).or(looked.digest);
        Item {
            name,
            names: &[],
            digest: digest.map(|digest| digest.to_string()),
            media_type: top.map(|top| top.descriptor.media_type.as_str()),
            index: top.filter(|_| looked.is_of_index()).and_then(|index| value(&index.bytes)),
            manifest_digest: looked.manifest.as_ref().map(|manifest| manifest.descriptor.digest.to_string()),
            platform: looked.platform.as_deref(),
            created: looked.created.as_deref(),
            bytes: looked.layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.bytes?)),
            complete: None,
            layers: looked.layers.iter().map(layer).collect(),
            manifest: looked.manifest.as_ref().and_then(|manifest| value(&manifest.bytes)),
            config: looked.config.as_deref().and_then(value),
        }
    }

    fn in_store(name: &'a str, inspected: &'a Inspected) -> Item<'a> {
        let Inspected { names, details, image, .. } = inspected;
        let image = image.as_ref();
        let layers = image.map_or(&[][..], |image| &image.layers);
        Item {
            name,
            names,
            digest: Some(details.reference.digest.to_string()),
            media_type: Some(&details.reference.media_type),
            index: details.listed.and(details.document.as_deref()).and_then(value),
            manifest_digest: image.map(|image| image.descriptor.digest.to_string()),
            platform: image.and_then(|image| image.platform.as_deref()),
            created: image.and_then(|image| image.created.as_deref()),
            bytes: layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.descriptor.size)),
            complete: Some(image.is_some_and(|image| image.is_complete())),
            layers: layers
                .iter()
                .map(|layer| Layer {
                    digest: Some(layer.descriptor.digest.to_string()),
                    media_type: Some(&layer.descriptor.media_type),
                    bytes: Some(layer.descriptor.size),
                    diff_id: layer.diff_id.as_deref().map(Cow::Borrowed),
                    stored: Some(layer.stored),
                })
                .collect(),
            manifest: image.and_then(|image| value(&image.manifest)),
            config: image.and_then(|image| image.config.as_deref()).and_then(value),
        }
    }
}
