//! `cvbake store check`: everything in the store is read again.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cvbake::Checked;
use cvbake::control::Control;
use cvbake::event::Event;
use cvbake::images::{Incomplete, Lack};
use cvbake::text::line;
use cvbake::verify::Digest;
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use crate::cli::work::{InStore, Telling, allowed_jobs};
use crate::cli::{output, values};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Verify everything in the store against its digests
///
/// Each damaged object is reported on a line, and the exit status is then 7. No bake uses anything
/// in the store unverified, so this only finds damage earlier. Images that lack blobs and images
/// without a name are reported as well; these are not damaged, and the exit status stays 0. The
/// next pull or import completes the former, and cvbake image tag names the latter.
///
/// --json prints an object with objects, bytes, damaged (a list of path and problem), repaired,
/// incomplete (a list of name, platform and lacks: part, digest, bytes and damaged), unnamed (a
/// list of digests) and hints.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake store check [OPTIONS]")]
pub(super) struct Args {
    /// Remove damaged objects, so that they are fetched again, and restore lost names of images
    #[arg(long)]
    repair: bool,

    #[command(flatten)]
    store: InStore,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    telling: Telling,
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let on = |event| ui.on(&event);
    let store = args.store.open(&on)?;
    let checked = cvbake::check(&store, args.repair, allowed_jobs(args.jobs), &Control::new(), &on)?;
    ui.finish();
    match args.telling.json {
        true => output::json(&json(&checked, args.repair, ui))?,
        false => output::lines(&text(&checked, args.repair, args.telling.quiet))?,
    }
    checked.findings().into_iter().for_each(|finding| ui.on(&Event::Finding(finding)));
    match checked.damaged.len() {
        0 => Ok(()),
        _ if args.repair => Ok(()),
        count => Err(Failure::DamagedStore { count }),
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    objects: usize,
    bytes: u64,
    damaged: Vec<Damaged>,
    repaired: bool,
    incomplete: Vec<Image<'a>>,
    unnamed: Vec<String>,
    hints: Vec<String>,
}

#[derive(Serialize)]
struct Image<'a> {
    name: &'a str,
    platform: Option<&'a str>,
    lacks: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    part: &'a str,
    digest: String,
    bytes: u64,
    damaged: bool,
}

impl Image<'_> {
    fn of(image: &Incomplete) -> Image<'_> {
        let part = |lack: &'_ Lack| lack.digest.to_string();
        let lacks = image.lacks.iter();
        let lacks = lacks
            .map(|lack| Part { part: &lack.part, digest: part(lack), bytes: lack.bytes, damaged: lack.damaged })
            .collect();
        Image { name: &image.name, platform: image.platform.as_deref(), lacks }
    }
}

#[derive(Serialize)]
struct Damaged {
    path: String,
    problem: String,
}

fn json(checked: &Checked, repaired: bool, ui: &Ui) -> String {
    let damaged = checked.damaged.iter();
    let damaged = damaged
        .map(|(path, damage)| Damaged { path: path.display().to_string(), problem: damage.to_string() })
        .collect();
    let report = Report {
        objects: checked.objects,
        bytes: checked.bytes,
        damaged,
        repaired,
        incomplete: checked.incomplete.iter().map(Image::of).collect(),
        unnamed: checked.unnamed.iter().map(Digest::to_string).collect(),
        hints: checked.findings().iter().filter_map(|finding| ui.hint(finding)).collect(),
    };
    let object = serde_json::to_string(&report).expect("numbers, texts and lists of them");
    format!("{object}\n")
}

fn text(checked: &Checked, repaired: bool, quiet: bool) -> String {
    let mut text = String::new();
    for (path, damage) in &checked.damaged {
        let line = line(&format!("{}: {damage}", path.display()));
        writeln!(text, "{line}").expect("a string takes everything");
    }
    for image in &checked.incomplete {
        let platform = image.platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
        let lack = |lack: &Lack| {
            let damaged = if lack.damaged { ", which is damaged" } else { "" };
            format!("{} ({}, {}{damaged})", lack.part, lack.digest, BinaryBytes(lack.bytes))
        };
        let lacks: Vec<String> = image.lacks.iter().map(lack).collect();
        let line = line(&format!("{}{platform}: incomplete: lacks {}", image.name, lacks.join(", ")));
        writeln!(text, "{line}").expect("a string takes everything");
    }
    for digest in &checked.unnamed {
        writeln!(text, "{digest}: this image has no name").expect("a string takes everything");
    }
    if !quiet {
        let found = match (checked.damaged.len(), repaired) {
            (0, _) => "nothing damaged".to_owned(),
            (count, true) => format!("{} damaged, repaired", HumanCount(count as u64)),
            (count, false) => format!("{} damaged", HumanCount(count as u64)),
        };
        let counted = |count: usize, what: &str| match count {
            0 => String::new(),
            1 => format!(", 1 image {what}"),
            count => format!(", {} images {what}", HumanCount(count as u64)),
        };
        let (incomplete, unnamed) = (checked.incomplete_names().len(), checked.unnamed.len());
        let also = counted(incomplete, "incomplete") + &counted(unnamed, "without a name");
        let (objects, bytes) = (HumanCount(checked.objects as u64), BinaryBytes(checked.bytes));
        writeln!(text, "Checked {objects} blobs and layers, {bytes}: {found}{also}")
            .expect("a string takes everything");
    }
    text
}
