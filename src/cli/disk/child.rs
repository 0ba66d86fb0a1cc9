//! `cvbake disk child`: a disk that has only what differs from another.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ValueEnum, ValueHint};
use cvbake::disks::{Child, ChildFormat, ChildJob, FileFormat};
use cvbake::text::line;
use serde::Serialize;

use crate::cli::values;
use crate::cli::{output, work};
use crate::failure::Failure;
use crate::ui::Ui;

/// Make a differencing disk, the child of another disk
///
/// The child stores only what is written to it. Everything else is read from the parent, which must
/// not change any more: readers refuse a VHDX whose parent was changed; with a qcow2 nobody
/// notices, and the child is damaged. The child has a relative path to its parent, so both can be
/// moved together. The parent may be a differencing disk itself.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk child [OPTIONS] <PARENT> -o <CHILD>")]
pub(super) struct Args {
    /// Parent disk: any VHDX for a VHDX, a qcow2 or a raw disk for a qcow2
    #[arg(value_name = "PARENT", value_hint = ValueHint::FilePath)]
    parent: PathBuf,

    /// Write the child to this file: NAME.vhdx, NAME.avhdx or, for QEMU, NAME.qcow2
    #[arg(short, long, value_name = "CHILD", value_hint = ValueHint::FilePath)]
    output: PathBuf,

    /// Replace an existing disk
    #[arg(short, long)]
    force: bool,

    /// Read the parent of a qcow2 as a file of this format, raw or qcow2 [default: by its content]
    ///
    /// The child says it to whoever opens it. What a raw disk has at its beginning is for whoever
    /// uses the disk to choose, and can look like another format: a parent that is a qcow2 by its
    /// content is taken for one without this option only if its name ends in .qcow2.
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<ParentName>,

    /// Store this path of the parent on Windows in a VHDX, too, such as \\?\C:\disks\parent.vhdx
    ///
    /// Windows looks there when the parent is not where the relative path leads.
    #[arg(long, value_name = "PATH", value_parser = values::win32_path)]
    absolute_path: Option<String>,

    /// Set the size of the blocks of a VHDX, a power of two from 1M to 256M
    /// [default: the parent's]
    #[arg(long, value_name = "SIZE", value_parser = values::block_size)]
    vhdx_block_size: Option<u32>,

    /// Print the result as one JSON object
    #[arg(long, help_heading = work::OUTPUT)]
    json: bool,
}

/// A format of parents of qcow2 disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ParentName {
    /// The disk and nothing else
    Raw,
    /// The format of QEMU
    Qcow2,
}

impl Args {
    /// What the child is to be, by its name.
    fn format(&self) -> Result<ChildFormat, Failure> {
        let ending = self.output.extension().unwrap_or_default();
        let is = |name: &str| ending.eq_ignore_ascii_case(name);
        let wrong = |problem, hint: &str| Err(Failure::Usage { problem, hint: Some(hint.to_owned()) });
        let for_vhdx =
            [("--absolute-path", self.absolute_path.is_some()), ("--vhdx-block-size", self.vhdx_block_size.is_some())];
        let unfit =
            |options: &[(&'static str, bool)]| options.iter().find(|(_, given)| *given).map(|(option, _)| *option);
        let (format, other, unfit) = match () {
            () if is("vhdx") || is("avhdx") => (ChildFormat::Vhdx, "qcow2", unfit(&[("--from", self.from.is_some())])),
            () if is("qcow2") => (ChildFormat::Qcow2, "vhdx", unfit(&for_vhdx)),
            () => {
                return wrong(
                    format!("{}: expected a name that ends in .vhdx, .avhdx or .qcow2", self.output.display()),
                    "name it child.vhdx, or child.qcow2 for QEMU: programs choose by the ending how to read it",
                );
            }
        };
        match unfit {
            Some(option) => {
                let problem = format!("{option} is for {other}, and {} is none", self.output.display());
                wrong(problem, "leave it out, or give the child another name")
            }
            None => Ok(format),
        }
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let mut job = ChildJob::new(&args.parent, &args.output);
    job.format = args.format()?;
    job.parent_format = args.from.map(|name| match name {
        ParentName::Raw => FileFormat::Raw,
        ParentName::Qcow2 => FileFormat::Qcow2,
    });
    job.replace = args.force;
    job.absolute_win32_path.clone_from(&args.absolute_path);
    job.block_size = args.vhdx_block_size;
    let child = cvbake::disks::child(&job, work::watch(ui, Some(work::nothing_written(&args.output))))?;
    let report = Report::new(args, job.format, &child);
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
    format: &'static str,
    parent: String,
    parent_format: &'static str,
    relative_path: String,
    /// Of a VHDX.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_linkage: Option<String>,
    bytes: u64,
    file_bytes: u64,
}

impl Report {
    fn new(args: &Args, format: ChildFormat, child: &Child) -> Report {
        Report {
            path: args.output.display().to_string(),
            format: match format {
                ChildFormat::Qcow2 => "qcow2",
                _ => "vhdx",
            },
            parent_format: child.parent_format.name(),
            parent: args.parent.display().to_string(),
            relative_path: child.relative_path.clone(),
            parent_linkage: child.parent_linkage.map(values::uuid_text),
            bytes: child.disk_bytes,
            file_bytes: child.file_bytes,
        }
    }
}
