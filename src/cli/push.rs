//! `cvbake push`: an image goes to a registry.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use cvbake::fetch::{Name, Options, Pull, Put, Source};
use cvbake::text::line;
use cvbake::verify::Platform;
use cvbake::{ImageSource, PushJob, PushSelect, Pushed};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::work::{InStore, Telling, allowed_jobs, want, watch};
use super::{environment, registry, source, values};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Send an image to a registry
///
/// The image comes from the store, from an OCI layout or from an archive. Only blobs that the
/// registry lacks are sent; those in another of its repositories are mounted from there, and an
/// interrupted upload is resumed if the registry has kept it. Manifests are sent byte for byte. Of
/// an image for several platforms, the one for this machine is pushed under the name of the index;
/// --platform chooses another one, and --all pushes the index with all images in it that are
/// available. An image from docker save gets an OCI manifest, and its layers are compressed with
/// gzip unless they are compressed already.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake push [OPTIONS] <REF> [DEST]", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Image to push: its name in the store, the end of that name, or its digest; or oci:DIR[:TAG],
    /// oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    source: OsString,

    /// Name to push the image to, such as localhost:5000/a/b:tag
    /// [default: REF, if that is a name in a registry]
    #[arg(value_name = "DEST")]
    target: Option<OsString>,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all")]
    platform: Option<Platform>,

    /// Push the index, and the images for all platforms that are available
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    store: InStore,

    /// Set the number of layers that are compressed at once [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    /// Send blobs in chunks of this size, such as 16M, for registries and proxies that limit
    /// requests [default: whole blobs]
    #[arg(long, value_name = "SIZE", value_parser = values::chunk_size)]
    chunk_size: Option<NonZeroU64>,

    /// Push layers as well whose media types say that they must not be distributed; otherwise only
    /// the manifest says where they are
    #[arg(long)]
    allow_nondistributable_artifacts: bool,

    #[command(flatten)]
    connections: registry::Connections,

    #[command(flatten)]
    access: registry::Access,

    #[command(flatten)]
    telling: Telling,
}

const EXAMPLES: &str = "Examples:
  cvbake push ghcr.io/team/app:v1
  cvbake push alpine:3.20 localhost:5000/alpine:3.20
  cvbake push oci:build:latest ghcr.io/team/app:v2";

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let source = source::image(&args.source)?;
    let target = target(&source, args.target.as_deref())?;
    let mut job = PushJob::new(source);
    job.target = target;
    job.registry = Options { connections: args.connections.count(), ..args.access.options(Pull::Never)? };
    job.select = match (&args.platform, args.all) {
        (_, true) => PushSelect::All,
        (platform, false) => PushSelect::One(want(platform.as_ref())),
    };
    args.store.warn_of_none(ui);
    job.store = args.store.path();
    job.temporary = environment::temporary();
    job.jobs = allowed_jobs(args.jobs);
    job.chunk = args.chunk_size;
    job.private_layers = args.allow_nondistributable_artifacts;
    let pushed = cvbake::push(&job, watch(ui, None), &|event| ui.on(&event))?;
    ui.finish();
    args.telling.print(|| json(&pushed), || text(&pushed))
}

/// Where it goes: to the name that is given, or to its own.
fn target(source: &ImageSource, given: Option<&OsStr>) -> Result<Option<Name>, Failure> {
    if let ImageSource::At(Source::Tar(_)) = source {
        return Err(Failure::Usage {
            problem: format!("{source} is a root filesystem, not an image: it has no manifest and no configuration"),
            hint: Some(format!(
                "`cvbake image import {source} NAME` makes it an image, which can be pushed by that name"
            )),
        });
    }
    let Some(text) = given else {
        return match source {
            ImageSource::At(Source::Registry(_)) | ImageSource::Short(_) => Ok(None),
            other => Err(other.no_target().into()),
        };
    };
    source::check_target(text)?;
    match Source::parse(text)? {
        Source::Registry(name) => Ok(Some(name)),
        other => Err(Failure::Usage {
            problem: format!("{other} is not the name of an image in a registry"),
            hint: Some(format!("`cvbake image export {source} {other}` writes it there")),
        }),
    }
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    image: String,
    reference: &'a str,
    target: &'a str,
    blobs: Vec<Item<'a>>,
    manifests: Vec<Item<'a>>,
    sent_bytes: u64,
}

#[derive(Serialize)]
struct Item<'a> {
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
}

impl<'a> Item<'a> {
    fn new(digest: cvbake::verify::Digest, bytes: Option<u64>, put: &'a Put) -> Item<'a> {
        let (how, from) = match put {
            Put::Sent => ("sent", None),
            Put::Mounted { from } => ("mounted", Some(from.as_str())),
            Put::Present => ("present", None),
        };
        Item { digest: digest.to_string(), bytes, how, from }
    }
}

/// How many blobs got there in a way, and how many bytes they have.
fn count(pushed: &Pushed, is: impl Fn(&Put) -> bool) -> (u64, u64) {
    let chosen = pushed.blobs.iter().filter(|(.., put)| is(put));
    chosen.fold((0, 0), |(count, sum), (_, bytes, _)| (count + 1, sum.saturating_add(*bytes)))
}

fn json(pushed: &Pushed) -> String {
    let report = Report {
        image: pushed.image.to_string(),
        reference: &pushed.reference,
        target: &pushed.target,
        blobs: pushed.blobs.iter().map(|(digest, bytes, put)| Item::new(*digest, Some(*bytes), put)).collect(),
        manifests: pushed.manifests.iter().map(|(digest, put)| Item::new(*digest, None, put)).collect(),
        sent_bytes: count(pushed, |put| *put == Put::Sent).1,
    };
    let object = serde_json::to_string(&report).expect("numbers, texts and lists of them");
    format!("{object}\n")
}

fn text(pushed: &Pushed) -> String {
    let mut text = format!("Pushed {}\n", line(&pushed.target));
    let mut put = |name: &str, value: &str| writeln!(text, "  {name:<9}{value}").expect("a string takes everything");
    put("image", &pushed.image.to_string());
    if pushed.manifests.len() > 1 {
        put("index of", &format!("{} manifests", HumanCount(pushed.manifests.len() as u64 - 1)));
    }
    for (name, (count, bytes)) in [
        ("sent", count(pushed, |put| *put == Put::Sent)),
        ("mounted", count(pushed, |put| matches!(put, Put::Mounted { .. }))),
        ("present", count(pushed, |put| *put == Put::Present)),
    ] {
        if count > 0 {
            put(name, &format!("{}, {}", HumanCount(count), BinaryBytes(bytes)));
        }
    }
    let total: f64 = pushed.times.iter().map(|(_, time)| time.as_secs_f64()).sum();
    put("time", &format!("{total:.2} s"));
    text
}
