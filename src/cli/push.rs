//! `cvbake push`: an image goes to a registry.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::error::Error;
use cvbake::fetch::{Options, Pull, Put, Reference, Source};
use cvbake::text::line;
use cvbake::verify::Platform;
use cvbake::{PushJob, PushSelect, Pushed};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::work::{Telling, allowed_jobs, want, watch};
use super::{environment, registry, source, values};
use crate::ui::{Mode, Ui};

/// Sends an image to a registry
///
/// The image comes from the store, or from an OCI layout or an archive. Only what the registry does not have is sent; what it
/// has in another repository is mounted from there, and an upload that breaks goes on where it stopped, as far as the registry
/// has kept it. Manifests are sent as they are, byte for byte. Of an image for several platforms, the one for this machine is
/// pushed, under the name of the whole; --platform chooses another, --all pushes the index with all of its images that are
/// there. An image of docker save gets an OCI manifest, and its layers are compressed with gzip if they are not
/// compressed.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake push [OPTIONS] <REF> [DEST]")]
pub(super) struct Args {
    /// The image: its name in the store, or oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    source: OsString,

    /// The name it gets, such as localhost:5000/a/b:tag [default: REF, if that is a name in a registry]
    #[arg(value_name = "DEST")]
    target: Option<OsString>,

    /// The platform of the image, as os/arch[/variant]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all")]
    platform: Option<Platform>,

    /// Push the index, and the images for all platforms that are there
    #[arg(short, long)]
    all: bool,

    /// Where the image is, if it is named like one in a registry [default: $XDG_DATA_HOME/cvbake; for root
    /// /var/lib/cvbake]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,

    /// How many layers are compressed at once that are not [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    /// Send blobs in pieces of this size, such as 16M, for registries and proxies that take no large ones [default: whole]
    #[arg(long, value_name = "SIZE", value_parser = values::chunk_size)]
    chunk_size: Option<NonZeroU64>,

    /// Push layers, too, whose media types say that they are not to be distributed; without it their manifest says where to
    /// get them
    #[arg(long)]
    allow_nondistributable_artifacts: bool,

    #[command(flatten)]
    connections: registry::Connections,

    #[command(flatten)]
    access: registry::Access,

    #[command(flatten)]
    telling: Telling,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let source = source::parse(&args.source)?;
    let job = PushJob {
        target: target(&source, args.target.as_deref())?,
        registry: Options { connections: args.connections.count(), ..args.access.options(Pull::Never)? },
        select: match (&args.platform, args.all) {
            (_, true) => PushSelect::All,
            (platform, false) => PushSelect::One(want(platform.as_ref())),
        },
        store: args.store.clone().or_else(environment::store),
        source,
        temporary: environment::temporary(),
        jobs: allowed_jobs(args.jobs),
        chunk: args.chunk_size,
        private_layers: args.allow_nondistributable_artifacts,
    };
    let pushed = cvbake::push(&job, watch(ui), &|event| ui.on(&event))?;
    ui.finish();
    args.telling.print(|| json(&pushed), || text(&pushed))
}

/// Where it goes: to the name that is given, or to its own.
fn target(source: &Source, given: Option<&OsStr>) -> Result<Option<Reference>, Error> {
    if let Source::Tar(_) = source {
        return Err(Error::Usage {
            problem: format!("{source} is a root filesystem and no image: it has no manifest and no configuration"),
            hint: Some(format!(
                "`cvbake image import {source} NAME` makes an image of it, which can be pushed by that name"
            )),
        });
    }
    match (given, source) {
        (Some(text), _) => match Source::parse(text)? {
            Source::Registry(name) => Ok(Some((*name).clone())),
            other => Err(Error::Usage {
                problem: format!("{other} is not the name of an image in a registry"),
                hint: Some(format!("`cvbake image export {source} {other}` writes it there")),
            }),
        },
        (None, Source::Registry(_)) => Ok(None),
        (None, other) => Err(Error::Usage {
            problem: format!("nothing says where {other} is to go"),
            hint: Some(format!("`cvbake push {other} REGISTRY/NAME:TAG` gives it a name")),
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
    let mut text = format!("{} is in the registry\n", line(&pushed.target));
    let mut put = |name: &str, value: &str| writeln!(text, "  {name:<9}{value}").expect("a string takes everything");
    put("image", &pushed.image.to_string());
    if pushed.manifests.len() > 1 {
        put("index of", &HumanCount(pushed.manifests.len() as u64 - 1).to_string());
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
