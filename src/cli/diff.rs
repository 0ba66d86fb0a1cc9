//! `cvbake diff`: two disks compared.

use std::ffi::OsString;
use std::sync::Arc;

use serde::Serialize;

use super::differences::{Difference, Ignore, looks_at, put_line};
use super::disk::place::DiskPath;
use super::{output, work};
use crate::failure::Failure;
use crate::ui::Ui;

/// Compare the files of two disks
///
/// Every path, every attribute and every byte is compared, whatever the formats and sizes of the
/// disks. Each difference is a line on standard output: - is on the first disk only, + is on the
/// second only, ~ differs. Nothing is printed if both hold the same; the exit status is 10 if there
/// are differences.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// First disk; DISK:2 is partition 2 of it
    #[arg(value_name = "DISK")]
    old: OsString,

    /// Second disk
    #[arg(value_name = "DISK")]
    new: OsString,

    /// Leave these out of the comparison
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    ignore: Vec<Ignore>,

    /// Print the result as one JSON object
    #[arg(long, help_heading = work::OUTPUT)]
    json: bool,
}

/// The JSON object.
#[derive(Debug, Serialize)]
struct Report {
    old: String,
    new: String,
    files: usize,
    differing: u64,
    differences: Vec<Difference>,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let (old, new) = (DiskPath::whole(&args.old)?, DiskPath::whole(&args.new)?);
    let (one, other) = (old.open(ui)?, new.open(ui)?);
    let (one, other) = (one.disk.files(&one.filesystem)?, other.disk.files(&other.filesystem)?);
    let (old, new) = (old.shown(), new.shown());
    let (mut differences, mut text) = (Vec::new(), String::new());
    let looks_at = |field| looks_at(&args.ignore, field);
    let compared = cvbake::compare::diff((&old, &one), (&new, &other), &looks_at, &mut |differing| match args.json {
        true => differences.push(differing.into()),
        false => put_line(&mut text, &differing),
    })?;
    let count = compared.differing;
    let report = Report { old, new, files: compared.files, differing: count, differences };
    match args.json {
        true => output::json(&format!("{}\n", serde_json::to_string(&report).expect("texts and numbers")))?,
        false => output::lines(&text)?,
    }
    match count {
        0 => Ok(()),
        count => Err(Failure::Differs { old: report.old, new: report.new, count }),
    }
}
