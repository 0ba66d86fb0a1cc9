//! `cvbake image rm`: names of images are taken away.

use std::sync::Arc;

use cvbake::error::Error;
use cvbake::images::Removed;
use indicatif::BinaryBytes;
use serde::Serialize;

use crate::cli::output;
use crate::cli::work::InStore;
use crate::ui::Ui;

/// Removes images from the store
///
/// By a name, only that name goes; the image goes with its last name, and with it what no other image in the store needs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images: names, digests or beginnings of those
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Even if a running process uses it, and, by a digest, even if it has several names
    #[arg(short, long)]
    force: bool,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: InStore,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let (removed, freed) =
        cvbake::images::remove(&args.store.needed()?, &args.names, args.force, &|event| ui.on(&event))?;
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
            text.push_str(&format!("untagged {}\n", cvbake::text::line(name)));
        }
        if removed.gone {
            text.push_str(&format!("removed  {}\n", removed.digest));
        }
    }
    if removed.iter().any(|removed| removed.gone) {
        text.push_str(&format!("freed    {}\n", BinaryBytes(freed)));
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
