//! `cvbake image inspect`: everything that is known of images.

use std::sync::Arc;

use cvbake::error::Error;
use cvbake::images::Inspected;
use cvbake::verify::{Platform, json};
use serde::Serialize;
use serde_json::Value;

use crate::cli::output;
use crate::cli::work::{InStore, want};
use crate::ui::Ui;

/// Show images in detail, as a JSON list
///
/// The manifest and the configuration are shown in full, including fields that cvbake does not know. Of an image for several
/// platforms, the one for this machine or for --platform is shown. The objects have name, names, digest, media_type, index, manifest_digest, platform,
/// created, bytes, complete, layers (digest, media_type, bytes, diff_id and stored), manifest and config.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images to show: names, ends of names, digests or beginnings of digests
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Print only the bytes of the manifest, or of the index if the name points to one and no platform is given; on a terminal,
    /// control characters are escaped
    #[arg(long, conflicts_with = "raw_config")]
    raw: bool,

    /// Print only the bytes of the configuration; on a terminal, control characters are escaped
    #[arg(long)]
    raw_config: bool,

    #[command(flatten)]
    store: InStore,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let store = args.store.needed()?;
    let want = want(args.platform.as_ref());
    let inspect = |name: &String| cvbake::images::inspect(&store, name, &want, &|event| ui.on(&event));
    let inspected = args.names.iter().map(inspect).collect::<Result<Vec<_>, _>>()?;
    let named = args.names.iter().zip(&inspected);
    if args.raw || args.raw_config {
        let bytes = named.map(|(name, inspected)| args.bytes(name, inspected)).collect::<Result<Vec<_>, _>>()?;
        return output::document(&bytes.concat());
    }
    let items: Vec<Item<'_>> = named.map(|(name, inspected)| Item::of(name, inspected)).collect();
    let text = serde_json::to_string_pretty(&items).expect("numbers, texts, and what was read as JSON");
    output::json(&format!("{text}\n"))
}

impl Args {
    fn bytes<'a>(&self, name: &str, inspected: &'a Inspected) -> Result<&'a [u8], Error> {
        let image = inspected.image.as_ref();
        let bytes = if self.raw_config {
            image.and_then(|image| image.config.as_deref())
        } else if self.platform.is_some() {
            image.map(|image| &image.manifest[..])
        } else {
            inspected.details.document.as_deref()
        };
        bytes.ok_or_else(|| Error::Incomplete { name: name.to_owned() })
    }
}

/// An element of the list.
#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    names: &'a [String],
    digest: String,
    media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Value>,
    manifest_digest: Option<String>,
    platform: Option<&'a str>,
    created: Option<&'a str>,
    bytes: Option<u64>,
    complete: bool,
    layers: Vec<Layer<'a>>,
    manifest: Option<Value>,
    config: Option<Value>,
}

#[derive(Serialize)]
struct Layer<'a> {
    digest: String,
    media_type: &'a str,
    bytes: u64,
    diff_id: Option<&'a str>,
    stored: bool,
}

impl<'a> Item<'a> {
    fn of(name: &'a str, inspected: &'a Inspected) -> Item<'a> {
        let value = |bytes: &[u8]| json::parse::<Value>("document", bytes).ok();
        let Inspected { names, details, image, .. } = inspected;
        let image = image.as_ref();
        let layers = image.map_or(&[][..], |image| &image.layers);
        Item {
            name,
            names,
            digest: details.reference.digest.to_string(),
            media_type: &details.reference.media_type,
            index: details.listed.and(details.document.as_deref()).and_then(value),
            manifest_digest: image.map(|image| image.descriptor.digest.to_string()),
            platform: image.and_then(|image| image.platform.as_deref()),
            created: image.and_then(|image| image.created.as_deref()),
            bytes: layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.descriptor.size)),
            complete: image.is_some_and(|image| image.is_complete()),
            layers: layers
                .iter()
                .map(|layer| Layer {
                    digest: layer.descriptor.digest.to_string(),
                    media_type: &layer.descriptor.media_type,
                    bytes: layer.descriptor.size,
                    diff_id: layer.diff_id.as_deref(),
                    stored: layer.stored,
                })
                .collect(),
            manifest: image.and_then(|image| value(&image.manifest)),
            config: image.and_then(|image| image.config.as_deref()).and_then(value),
        }
    }
}
