//! `cvbake image history`: how an image was made.

use std::sync::Arc;

use cvbake::error::Error;
use cvbake::images::{LayerDetails, Step};
use cvbake::verify::Platform;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::{date, short, table};
use crate::cli::output;
use crate::cli::work::{InStore, want};
use crate::ui::Ui;

/// Show how an image was built, the last step first
///
/// This is what the image says of itself; nothing verifies it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image to show: a name, the end of a name, a digest or the beginning of one
    #[arg(value_name = "NAME")]
    name: String,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Show whole commands
    #[arg(long)]
    no_trunc: bool,

    /// Print the result as a JSON list
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: InStore,
}

type Row<'a> = (Option<&'a Step>, Option<&'a LayerDetails>);

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let want = want(args.platform.as_ref());
    let inspected = cvbake::images::inspect(&args.store.needed()?, &args.name, &want, &|event| ui.on(&event))?;
    let incomplete = || Error::Incomplete { name: args.name.clone() };
    let image = inspected.image.filter(|image| image.config.is_some()).ok_or_else(incomplete)?;
    let mut rows = image.steps();
    rows.reverse();
    if !args.json {
        return output::lines(&text(&rows, args.no_trunc));
    }
    let items: Vec<Item<'_>> = rows.iter().map(Item::of).collect();
    output::json(&format!("{}\n", serde_json::to_string(&items).expect("numbers, texts and lists of them")))
}

fn text(rows: &[Row<'_>], whole: bool) -> String {
    let head = ["LAYER", "CREATED", "SIZE", "CREATED BY", "COMMENT"].map(str::to_owned).to_vec();
    let row = |(step, layer): &Row<'_>| {
        let words = |text: Option<&String>| text.map_or_else(String::new, |text| shown(text, whole));
        vec![
            layer.map_or_else(|| "-".to_owned(), |layer| short(&layer.descriptor.digest)),
            date(step.and_then(|step| step.created.as_deref())).to_owned(),
            layer.map_or_else(|| "-".to_owned(), |layer| BinaryBytes(layer.descriptor.size).to_string()),
            words(step.and_then(|step| step.created_by.as_ref())),
            words(step.and_then(|step| step.comment.as_ref())),
        ]
    };
    table(&[vec![head], rows.iter().map(row).collect()].concat())
}

/// What an image says, without anything that moves a cursor.
fn shown(text: &str, whole: bool) -> String {
    const SHOWN: usize = 60;
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut characters = spaced.chars();
    let start: String = characters.by_ref().take(if whole { usize::MAX } else { SHOWN }).collect();
    let more = if characters.next().is_some() { "…" } else { "" };
    cvbake::text::line(&start) + more
}

/// An element of the list.
#[derive(Serialize)]
struct Item<'a> {
    created: Option<&'a str>,
    created_by: Option<&'a str>,
    author: Option<&'a str>,
    comment: Option<&'a str>,
    empty_layer: bool,
    layer: Option<String>,
    diff_id: Option<&'a str>,
    bytes: Option<u64>,
}

impl<'a> Item<'a> {
    fn of((step, layer): &Row<'a>) -> Item<'a> {
        Item {
            created: step.and_then(|step| step.created.as_deref()),
            created_by: step.and_then(|step| step.created_by.as_deref()),
            author: step.and_then(|step| step.author.as_deref()),
            comment: step.and_then(|step| step.comment.as_deref()),
            empty_layer: step.and_then(|step| step.empty_layer).unwrap_or(false),
            layer: layer.map(|layer| layer.descriptor.digest.to_string()),
            diff_id: layer.and_then(|layer| layer.diff_id.as_deref()),
            bytes: layer.map(|layer| layer.descriptor.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(shown("RUN  a &&\n\tb \"c\"", false), "RUN a && b \"c\"");
        assert_eq!(shown("\u{1b}[2J\u{202e}x", false), "\\u{1b}[2J\\u{202e}x");
        assert_eq!(shown(&"x".repeat(100), false), "x".repeat(60) + "…");
        assert_eq!(shown(&"x".repeat(100), true), "x".repeat(100));
    }
}
