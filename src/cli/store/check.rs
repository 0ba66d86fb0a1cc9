//! `cvbake store check`: everything in the store is read again.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cvbake::Checked;
use cvbake::error::Error;
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use crate::cli::values;
use crate::cli::work::{InStore, Telling, allowed_jobs};
use crate::ui::{Mode, Ui};

/// Reads everything in the store and compares it with its digests
///
/// What is damaged is told, a line each; then the exit status is 7. No bake trusts anything in the store unread, so this
/// only tells earlier.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake store check [OPTIONS]")]
pub(super) struct Args {
    /// Remove what is damaged, so that it is fetched again, and restore names of images that are lost
    #[arg(long)]
    repair: bool,

    #[command(flatten)]
    store: InStore,

    /// How many threads work at once [default: as many as there are processors]
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

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let on = |event| ui.on(&event);
    let store = args.store.open(&on)?;
    let checked = cvbake::check(&store, args.repair, allowed_jobs(args.jobs), &on)?;
    ui.finish();
    let text =
        if args.telling.json { json(&checked, args.repair) } else { text(&checked, args.repair, args.telling.quiet) };
    crate::cli::print(text.as_bytes())?;
    match checked.damaged.len() {
        0 => Ok(()),
        _ if args.repair => Ok(()),
        count => Err(Error::DamagedStore { count }),
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report {
    objects: usize,
    bytes: u64,
    damaged: Vec<Damaged>,
    repaired: bool,
}

#[derive(Serialize)]
struct Damaged {
    path: String,
    problem: String,
}

fn json(checked: &Checked, repaired: bool) -> String {
    let damaged = checked.damaged.iter();
    let damaged = damaged
        .map(|(path, damage)| Damaged { path: path.display().to_string(), problem: damage.to_string() })
        .collect();
    let report = Report { objects: checked.objects, bytes: checked.bytes, damaged, repaired };
    let object = serde_json::to_string(&report).expect("numbers, texts and lists of them");
    format!("{object}\n")
}

fn text(checked: &Checked, repaired: bool, quiet: bool) -> String {
    let mut text = String::new();
    for (path, damage) in &checked.damaged {
        let line = printable(&format!("{}: {damage}", path.display()));
        writeln!(text, "{line}").expect("a string takes everything");
    }
    if !quiet {
        let found = match (checked.damaged.len(), repaired) {
            (0, _) => "nothing damaged".to_owned(),
            (count, true) => format!("{} damaged, repaired", HumanCount(count as u64)),
            (count, false) => format!("{} damaged", HumanCount(count as u64)),
        };
        let (objects, bytes) = (HumanCount(checked.objects as u64), BinaryBytes(checked.bytes));
        writeln!(text, "checked {objects} blobs and layers, {bytes}: {found}").expect("a string takes everything");
    }
    text
}

/// A name of a file may be anything; it stays on its line.
fn printable(text: &str) -> String {
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(escape).collect()
}
