//! `cvbake disk convert`: a disk in another format.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::disks::{ConvertJob, Converted};
use cvbake::text::line;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::source;
use crate::cli::bake::{format::FormatArgs, output};
use crate::cli::report::compression_word;
use crate::cli::values;
use crate::cli::work::{self, Telling};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Write a disk to another file, in any format
///
/// Reads raw, qcow2, vhd and vhdx, also compressed qcow2 files and differencing disks: the new disk
/// has all that the disk and its parents have, and needs none of them. Blocks of zeros take no
/// space in it. The same content and options give the same bytes, whatever the disk was stored as.
/// The ending of the new name, or --format, says the format.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk convert [OPTIONS] <DISK> <NEW>")]
pub(super) struct Args {
    /// Disk to read
    #[arg(value_name = "DISK", value_hint = ValueHint::FilePath)]
    disk: PathBuf,

    /// Write the new disk to this file
    #[arg(value_name = "NEW", value_hint = ValueHint::FilePath)]
    output: PathBuf,

    /// Replace an existing disk
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    source: source::SourceArgs,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    telling: Telling,
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let path = output::check(&args.output)?;
    let mut job = ConvertJob::new(&args.disk, path, args.format.of_conversion(path)?);
    job.options = args.source.options();
    job.replace = args.force;
    job.jobs = work::allowed_jobs(args.jobs);
    let control = work::watch(ui, Some(work::nothing_written(path)));
    let converted = cvbake::disks::convert(&job, control, &|event| ui.on(&event))?;
    ui.finish();
    let report = Report::new(args, &job, &converted);
    args.telling.print(
        || format!("{}\n", serde_json::to_string(&report).expect("texts and numbers")),
        || {
            format!(
                "Converted {} ({}) → {} ({}): {}, {} of content, file {}\n",
                line(&report.disk),
                report.formats(),
                line(&report.path),
                report.format,
                BinaryBytes(report.bytes),
                BinaryBytes(report.content_bytes),
                BinaryBytes(report.file_bytes),
            )
        },
    )
}

/// The JSON object.
#[derive(Serialize)]
struct Report {
    path: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<&'static str>,
    disk: String,
    /// The files that the disk was read from.
    chain: Vec<File>,
    bytes: u64,
    content_bytes: u64,
    file_bytes: u64,
}

/// A file of the chain.
#[derive(Serialize)]
struct File {
    path: String,
    format: &'static str,
}

impl Report {
    fn new(args: &Args, job: &ConvertJob, converted: &Converted) -> Report {
        let file = |file: &cvbake::disks::ChainFile| File {
            path: file.path.display().to_string(),
            format: file.info.format().name(),
        };
        Report {
            path: args.output.display().to_string(),
            format: job.format.name(),
            compression: job.format.compression().map(compression_word),
            disk: args.disk.display().to_string(),
            chain: converted.from.chain.iter().map(file).collect(),
            bytes: converted.disk_bytes,
            content_bytes: converted.content_bytes,
            file_bytes: converted.file_bytes,
        }
    }

    /// The formats of what was read.
    fn formats(&self) -> String {
        self.chain.iter().map(|file| file.format).collect::<Vec<_>>().join(" on ")
    }
}
