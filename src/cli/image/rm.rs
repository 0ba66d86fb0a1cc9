//! `cvbake image rm`: names of images are taken away.

use std::sync::Arc;

use cvbake::images::Removed;
use indicatif::BinaryBytes;
use serde::Serialize;

use crate::cli::output;
use crate::cli::work::InStore;
use crate::failure::Failure;
use crate::ui::Ui;

/// Remove images from the store
///
/// Removing one name of an image leaves its other names. The image is removed with its last name,
/// together with everything that no other image in the store needs, and with pulled images that
/// have no name. Imported images without a name stay until they are given by their digests.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images to remove: names, ends of names, digests or beginnings of digests
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Remove an image even if a running process uses it, or if it is given by its digest and has
    /// several names
    #[arg(short, long)]
    force: bool,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: InStore,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let (removed, freed) =
        cvbake::images::remove(&args.store.there(ui)?, &args.names, args.force, &|event| ui.on(&event))?;
    if !args.json {
        return output::lines(&text(&removed, freed));
    }
    let report = Report { images: removed.iter().map(Item::of).collect(), freed_bytes: freed };
    output::json(&format!("{}\n", serde_json::to_string(&report).expect("a number, texts and lists of them")))
}

fn text(removed: &[Removed], freed: u64) -> String {
    let mut text = String::new();
    for removed in removed {
        for name in &removed.untagged {
            text.push_str(&format!("Untagged {}\n", cvbake::text::line(name)));
        }
        if removed.gone {
            let why = if removed.asked { "" } else { " (pulled; it had no name)" };
            text.push_str(&format!("Removed  {}{why}\n", removed.digest));
        }
    }
    if removed.iter().any(|removed| removed.gone) {
        text.push_str(&format!("Freed    {}\n", BinaryBytes(freed)));
    }
    text
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    images: Vec<Item<'a>>,
    freed_bytes: u64,
}

#[derive(Serialize)]
struct Item<'a> {
    image: String,
    untagged: &'a [String],
    removed: bool,
}

impl Item<'_> {
    fn of(removed: &Removed) -> Item<'_> {
        Item { image: removed.digest.to_string(), untagged: &removed.untagged, removed: removed.gone }
    }
}
