//! `cvbake pull`: an image from a registry comes into the store.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::event::Event;
use cvbake::fetch::Pull;
use cvbake::text::line;
use cvbake::verify::Platform;
use cvbake::{PullJob, Pulled};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::store::Pruned;
use super::work::{Telling, want, watch};
use super::{environment, registry, store, values};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Fetch an image from a registry into the store
///
/// The image can then be baked without a network. Blobs that are in the store are not fetched
/// again, and an interrupted download is resumed.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake pull [OPTIONS] <REF>", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Name of the image, such as alpine:3.20 or localhost:5000/a/b@sha256:…
    #[arg(value_name = "REF")]
    reference: OsString,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all")]
    platform: Option<Platform>,

    /// Fetch the images for all platforms, with everything else that their index lists
    ///
    /// Afterwards cvbake push --all and cvbake image export --all work without a network.
    #[arg(short, long)]
    all: bool,

    /// Use the store in this directory [default: $XDG_DATA_HOME/cvbake; for root /var/lib/cvbake]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,

    /// Shrink the store to this size afterwards, removing the least recently used images; imported
    /// images stay
    #[arg(long, value_name = "SIZE", value_parser = values::store_size)]
    max_store_size: Option<u64>,

    /// With --max-store-size, remove imported images, too, when nothing else is left to remove
    #[arg(long)]
    prune_imported: bool,

    /// Accept the option of other commands, without effect: --connections sets how much is fetched
    /// at once
    #[arg(short, long, value_name = "N", value_parser = values::jobs, hide = true)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    registry: registry::Args,

    #[command(flatten)]
    telling: Telling,
}

const EXAMPLES: &str = "Examples:
  cvbake pull alpine:3.20
  cvbake pull --platform linux/arm64 ghcr.io/team/app:v1
  cvbake pull --insecure localhost:5000/app";

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let no_home = || Failure::Usage {
        problem: "there is no store to pull into: there is no home directory".to_owned(),
        hint: Some("--store DIR names a directory for it".to_owned()),
    };
    let source = registry::reference(&args.reference)?;
    let registry = args.registry.options(Pull::Always)?;
    let mut job = PullJob::new(source, args.store.clone().or_else(environment::store).ok_or_else(no_home)?);
    job.registry = registry;
    job.want = want(args.platform.as_ref());
    job.all = args.all;
    let on = |event: Event| ui.on(&event);
    let pulled = cvbake::pull(&job, watch(ui, Some("what was downloaded is kept".to_owned())), &on)?;
    let pruned = args.max_store_size.and_then(|bytes| {
        let used = pulled.layers.iter().map(|(digest, _)| *digest).chain(pulled.image);
        store::Limit { bytes, with_imported: args.prune_imported }.keep(&job.store, used, &on)
    });
    ui.finish();
    args.telling.print(|| json(&pulled, args.all, pruned.as_ref()), || text(&pulled, pruned.as_ref()))
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    image: Option<String>,
    reference: &'a str,
    platform: Option<&'a str>,
    platforms: &'a [String],
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<&'a Pruned>,
}

#[derive(Serialize)]
struct Layer {
    digest: String,
    bytes: u64,
}

fn json(pulled: &Pulled, all: bool, pruned: Option<&Pruned>) -> String {
    let layers = pulled.layers.iter().map(|(digest, bytes)| Layer { digest: digest.to_string(), bytes: *bytes });
    let report = Report {
        image: pulled.image.map(|digest| digest.to_string()),
        reference: &pulled.reference,
        platform: pulled.platforms.first().filter(|_| !all).map(String::as_str),
        platforms: &pulled.platforms,
        layers: layers.collect(),
        pruned,
    };
    let object = serde_json::to_string(&report).expect("numbers, texts and lists of them");
    format!("{object}\n")
}

fn text(pulled: &Pulled, pruned: Option<&Pruned>) -> String {
    let mut text = format!("Pulled {}\n", line(&pulled.reference));
    let mut put =
        |name: &str, value: &str| writeln!(text, "  {name:<8}{}", line(value)).expect("a string takes everything");
    let platforms = pulled.platforms.join(", ");
    let platform = if platforms.is_empty() { platforms } else { format!(" ({platforms})") };
    let image = pulled.image.map(|digest| digest.to_string()).unwrap_or_default();
    put("image", &format!("{image}{platform}"));
    let bytes = pulled.layers.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    put("layers", &format!("{}, {}", HumanCount(pulled.layers.len() as u64), BinaryBytes(bytes)));
    if let Some(removed) = pruned.and_then(Pruned::words) {
        put("removed", &removed);
    }
    let total: f64 = pulled.times.iter().map(|(_, time)| time.as_secs_f64()).sum();
    put("time", &format!("{total:.2} s"));
    text
}
