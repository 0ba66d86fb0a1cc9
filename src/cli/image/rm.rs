//! `cvbake image rm`: names of images are taken away.

use std::sync::Arc;

use cvbake::error::Error;
use cvbake::images::Removed;
use serde::Serialize;

use super::InStore;
use crate::ui::Ui;

/// Removes images from the store
///
/// By a name, only that name goes; the image goes with its last name. What no image needs any more takes up room until cvbake
/// store gc.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images: names, digests or beginnings of those
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Even if a running process uses it, and, by a digest, even if it has several names
    #[arg(short, long)]
    force: bool,

    /// Print the result as a JSON list
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: InStore,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let removed = cvbake::images::remove(&args.store.needed()?, &args.names, args.force, &|event| ui.on(&event))?;
    let text = if args.json {
        let items: Vec<Item<'_>> = removed.iter().map(Item::of).collect();
        format!("{}\n", serde_json::to_string(&items).expect("texts and lists of them"))
    } else {
        text(&removed)
    };
    super::super::print(text.as_bytes())
}

fn text(removed: &[Removed]) -> String {
    let mut text = String::new();
    for removed in removed {
        for name in &removed.untagged {
            text.push_str(&format!("untagged {name}\n"));
        }
        if removed.gone {
            text.push_str(&format!("removed  {}\n", removed.digest));
        }
    }
    if removed.iter().any(|removed| removed.gone) {
        text.push_str("`cvbake store gc` frees the room\n");
    }
    text
}

/// An element of the list.
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
