//! `cvbake disk check`: whether a disk is as its format has it.

use std::path::PathBuf;

use clap::ValueHint;
use cvbake::disks::{CheckedDisk, CheckedFile};
use cvbake::text::line;
use serde::Serialize;

use super::source;
use crate::cli::{output, work};
use crate::failure::Failure;

/// Check the headers and tables of a disk
///
/// Names each rule of the format that the disk breaks: for vhdx those of Microsoft's specification,
/// for vhd and qcow2 checksums, positions, overlaps and reference counts. The parents of the disk
/// are checked, too, and a partition table on the disk, in both copies. The result says what was
/// looked at; filesystems are not: e2fsck and fsck.erofs check those.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk check [OPTIONS] <DISK>")]
pub(super) struct Args {
    /// Disk to check
    #[arg(value_name = "DISK", value_hint = ValueHint::FilePath)]
    disk: PathBuf,

    #[command(flatten)]
    source: source::SourceArgs,

    /// Print the result as one JSON object
    #[arg(long, help_heading = work::OUTPUT)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let disk = cvbake::disks::check(&args.disk, &args.source.options())?;
    let report = Report::new(args, &disk);
    match args.json {
        true => output::json(&format!("{}\n", serde_json::to_string(&report).expect("texts and numbers")))?,
        false => output::lines(&report.text())?,
    }
    match disk.is_sound() {
        true => Ok(()),
        false => Err(Failure::DamagedDisk { path: args.disk.clone(), count: disk.faults() }),
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report {
    path: String,
    sound: bool,
    files: Vec<File>,
    /// Why a parent could not be looked at.
    problem: Option<String>,
}

#[derive(Serialize)]
struct File {
    path: String,
    format: &'static str,
    checked: Vec<&'static str>,
    faults: Vec<Fault>,
    more: u64,
}

#[derive(Serialize)]
struct Fault {
    rule: &'static str,
    problem: String,
}

impl Report {
    fn new(args: &Args, disk: &CheckedDisk) -> Report {
        let file = |file: &CheckedFile| File {
            path: file.path.display().to_string(),
            format: file.format.name(),
            checked: file.checked.clone(),
            faults: file
                .faults
                .list
                .iter()
                .map(|fault| Fault { rule: fault.rule, problem: fault.problem.clone() })
                .collect(),
            more: file.faults.more,
        };
        Report {
            path: args.disk.display().to_string(),
            sound: disk.is_sound(),
            files: disk.files.iter().map(file).collect(),
            problem: disk.chain.as_ref().map(cvbake::error::Error::line),
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for file in &self.files {
            let path = line(&file.path);
            match &file.faults[..] {
                [] if file.checked.is_empty() => lines.push(format!(
                    "{path}: nothing to check ({}): it has no headers of its own and no partition table",
                    file.format
                )),
                [] => lines.push(format!("{path}: sound ({}): {}", file.format, file.checked.join(", "))),
                faults => {
                    lines
                        .extend(faults.iter().map(|fault| format!("{path}: {}: {}", fault.rule, line(&fault.problem))));
                }
            }
            if file.more > 0 {
                lines.push(format!("{path}: and {} more", file.more));
            }
        }
        lines.extend(self.problem.as_ref().map(|problem| line(problem)));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
