//! `cvbake disk child`: a disk that has only what differs from another.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::disks::{Child, ChildJob};
use cvbake::text::line;
use serde::Serialize;

use crate::cli::values;
use crate::cli::{output, work};
use crate::failure::Failure;
use crate::ui::Ui;

/// Make a differencing VHDX, the child of another VHDX
///
/// The child stores only what is written to it. Everything else is read from the parent, which must
/// not change any more: readers refuse the child of a parent that was changed. The child has a
/// relative path to its parent, so both can be moved together. The parent may be a differencing
/// disk itself.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk child [OPTIONS] <PARENT> -o <CHILD>")]
pub(super) struct Args {
    /// Parent disk: a VHDX, dynamic, fixed or differencing
    #[arg(value_name = "PARENT", value_hint = ValueHint::FilePath)]
    parent: PathBuf,

    /// Write the child to this file, NAME.vhdx or NAME.avhdx
    #[arg(short, long, value_name = "CHILD", value_hint = ValueHint::FilePath)]
    output: PathBuf,

    /// Replace an existing disk
    #[arg(short, long)]
    force: bool,

    /// Store this path of the parent on Windows, too, such as \\?\C:\disks\parent.vhdx
    ///
    /// Windows looks there when the parent is not where the relative path leads.
    #[arg(long, value_name = "PATH", value_parser = values::win32_path)]
    absolute_path: Option<String>,

    /// Set the size of the blocks of the child, a power of two from 1M to 256M
    /// [default: the parent's]
    #[arg(long, value_name = "SIZE", value_parser = values::block_size)]
    vhdx_block_size: Option<u32>,

    /// Print the result as one JSON object
    #[arg(long, help_heading = work::OUTPUT)]
    json: bool,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let ending = args.output.extension().unwrap_or_default();
    if !ending.eq_ignore_ascii_case("vhdx") && !ending.eq_ignore_ascii_case("avhdx") {
        return Err(Failure::Usage {
            problem: format!("{}: expected a name that ends in .vhdx or .avhdx", args.output.display()),
            hint: Some(
                "name it child.vhdx: a differencing disk is a VHDX, and programs choose by the ending how to read it"
                    .to_owned(),
            ),
        });
    }
    let mut job = ChildJob::new(&args.parent, &args.output);
    job.replace = args.force;
    job.absolute_win32_path.clone_from(&args.absolute_path);
    job.block_size = args.vhdx_block_size;
    let child = cvbake::disks::child(&job, work::watch(ui, Some(work::nothing_written(&args.output))))?;
    let report = Report::new(args, &child);
    match args.json {
        true => output::json(&format!("{}\n", serde_json::to_string(&report).expect("texts and numbers"))),
        false => output::lines(&format!(
            "Created {}, a child of {}\n  parent  {}\n",
            line(&report.parent),
            line(&report.path),
            line(&child.relative_path)
        )),
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report {
    path: String,
    parent: String,
    relative_path: String,
    parent_linkage: String,
    bytes: u64,
    file_bytes: u64,
}

impl Report {
    fn new(args: &Args, child: &Child) -> Report {
        Report {
            path: args.output.display().to_string(),
            parent: args.parent.display().to_string(),
            relative_path: child.relative_path.clone(),
            parent_linkage: values::uuid_text(child.parent_linkage),
            bytes: child.disk_bytes,
            file_bytes: child.file_bytes,
        }
    }
}
