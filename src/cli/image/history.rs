//! `cvbake image history`: how an image was made.

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::Arc;

use cvbake::error::Error;
use cvbake::fetch::Pull;
use cvbake::images::{LayerDetails, Look, LookedLayer, Step};
use cvbake::verify::{Digest, Platform};
use indicatif::BinaryBytes;
use serde::Serialize;

use super::{date, table};
use crate::cli::ask::short;
use crate::cli::source::{elsewhere, or_elsewhere};
use crate::cli::work::{InStore, want, watch};
use crate::cli::{environment, output, registry};
use crate::failure::Failure;
use crate::ui::Ui;

/// Show how an image was built, the last step first
///
/// The history is what the image says about itself; nothing verifies it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image to show: a name in the store, the end of a name, a digest or the beginning of one; or
    /// docker://NAME for one in a registry, oci:DIR, oci-archive:FILE, docker-archive:FILE or
    /// tar:FILE
    #[arg(value_name = "NAME")]
    name: OsString,

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

    #[command(flatten)]
    access: registry::Access,
}

type Row<'a> = (Option<&'a Step>, Option<Layer<'a>>);

/// A layer, as far as anything says what it is.
struct Layer<'a> {
    digest: Option<Digest>,
    bytes: Option<u64>,
    diff_id: Option<Cow<'a, str>>,
}

impl<'a> From<&'a LayerDetails> for Layer<'a> {
    fn from(layer: &'a LayerDetails) -> Layer<'a> {
        let (digest, bytes) = (layer.descriptor.digest, layer.descriptor.size);
        Layer { digest: Some(digest), bytes: Some(bytes), diff_id: layer.diff_id.as_deref().map(Cow::Borrowed) }
    }
}

impl<'a> From<&'a LookedLayer> for Layer<'a> {
    fn from(layer: &'a LookedLayer) -> Layer<'a> {
        let diff_id = layer.diff_id.map(|diff_id| diff_id.to_string().into());
        Layer { digest: layer.digest, bytes: layer.bytes, diff_id }
    }
}

/// The steps, the last one first.
fn rows<'a, L: Into<Layer<'a>>>(steps: Vec<(Option<&'a Step>, Option<L>)>) -> Vec<Row<'a>> {
    steps.into_iter().rev().map(|(step, layer)| (step, layer.map(Into::into))).collect()
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let want = want(args.platform.as_ref());
    let on = |event| ui.on(&event);
    if let Some(source) = elsewhere(&args.name)? {
        let mut look = Look::new(source);
        look.registry = args.access.options(Pull::Always)?;
        look.temporary = environment::temporary();
        return args.print(&rows(look.at_image(&want, watch(ui, None), &on)?.steps()));
    }
    let name = args.name.to_string_lossy();
    let inspected = cvbake::images::inspect(&args.store.there(ui)?, &name, &want, &on);
    let inspected = inspected.map_err(|error| or_elsewhere(&args.name, error))?;
    let incomplete = || Error::Incomplete { name: name.clone().into_owned() };
    let image = inspected.image.filter(|image| image.config.is_some()).ok_or_else(incomplete)?;
    args.print(&rows(image.steps()))
}

impl Args {
    fn print(&self, rows: &[Row<'_>]) -> Result<(), Failure> {
        if !self.json {
            return output::lines(&text(rows, self.no_trunc));
        }
        let items: Vec<Item<'_>> = rows.iter().map(Item::of).collect();
        output::json(&format!("{}\n", serde_json::to_string(&items).expect("numbers, texts and lists of them")))
    }
}
fn text(rows: &[Row<'_>], whole: bool) -> String {
    let head = ["LAYER", "CREATED", "SIZE", "CREATED BY", "COMMENT"].map(str::to_owned).to_vec();
    let row = |(step, layer): &Row<'_>| {
        let words = |text: Option<&String>| text.map_or_else(String::new, |text| shown(text, whole));
        vec![
            layer.as_ref().and_then(|layer| layer.digest).map_or_else(|| "-".to_owned(), |digest| short(&digest)),
            date(step.and_then(|step| step.created.as_deref())).to_owned(),
            layer
                .as_ref()
                .and_then(|layer| layer.bytes)
                .map_or_else(|| "-".to_owned(), |bytes| BinaryBytes(bytes).to_string()),
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
    fn of((step, layer): &'a Row<'a>) -> Item<'a> {
        Item {
            created: step.and_then(|step| step.created.as_deref()),
            created_by: step.and_then(|step| step.created_by.as_deref()),
            author: step.and_then(|step| step.author.as_deref()),
            comment: step.and_then(|step| step.comment.as_deref()),
            empty_layer: step.and_then(|step| step.empty_layer).unwrap_or(false),
            layer: layer.as_ref().and_then(|layer| layer.digest).map(|digest| digest.to_string()),
            diff_id: layer.as_ref().and_then(|layer| layer.diff_id.as_deref()),
            bytes: layer.as_ref().and_then(|layer| layer.bytes),
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
