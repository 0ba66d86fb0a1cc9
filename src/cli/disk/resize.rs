//! `cvbake disk resize`: a disk becomes longer or shorter.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::disks::{NewSize, ResizeJob, Resized};
use cvbake::text::line;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::source::Name;
use crate::cli::values;
use crate::cli::work::{self, Telling};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Make a disk larger or smaller
///
/// A raw disk gets another length. A disk in another format is written anew beside the old one, and
/// replaces it when it is complete; that takes room for both. What is on the disk stays as it is: a
/// filesystem uses the new room when it is told, with resize2fs for ext4. Disks with a parent and
/// those with internal snapshots are not resized.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk resize [OPTIONS] <DISK> <SIZE>")]
pub(super) struct Args {
    /// Disk to resize: raw, qcow2, vhd or vhdx
    #[arg(value_name = "DISK", value_hint = ValueHint::FilePath)]
    disk: PathBuf,

    /// New size, such as 20G, or +5G for that much more
    #[arg(value_name = "SIZE", value_parser = values::new_size, allow_hyphen_values = true)]
    size: NewSize,

    /// Make the disk smaller, if what is cut off is zeros
    #[arg(long)]
    shrink: bool,

    /// Read the disk as a file of this format [default: by its content]
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<Name>,

    #[command(flatten)]
    telling: Telling,
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let mut job = ResizeJob::new(&args.disk, args.size);
    job.shrink = args.shrink;
    job.format = args.from.map(Name::format);
    job.jobs = work::allowed_jobs(None);
    let unchanged = format!("{} is as it was", args.disk.display());
    let resized = cvbake::disks::resize(&job, work::watch(ui, Some(unchanged)), &|event| ui.on(&event))?;
    ui.finish();
    let report = Report::new(args, &resized);
    args.telling.print(
        || format!("{}\n", serde_json::to_string(&report).expect("texts and numbers")),
        || {
            let (old, new) = (resized.old_bytes, resized.disk_bytes);
            let path = line(&report.path);
            match old == new {
                true => format!("{path} has {} already\n", BinaryBytes(new)),
                false => {
                    let next = if new > old {
                        "\n  a filesystem on it uses the new room after resize2fs; in a partition, after growpart and resize2fs"
                    } else {
                        ""
                    };
                    format!("Resized {path} ({}): {} → {}{next}\n", report.format, BinaryBytes(old), BinaryBytes(new))
                }
            }
        },
    )
}

/// The JSON object.
#[derive(Serialize)]
struct Report {
    path: String,
    format: &'static str,
    old_bytes: u64,
    bytes: u64,
    file_bytes: u64,
}

impl Report {
    fn new(args: &Args, resized: &Resized) -> Report {
        Report {
            path: args.disk.display().to_string(),
            format: resized.format.name(),
            old_bytes: resized.old_bytes,
            bytes: resized.disk_bytes,
            file_bytes: resized.file_bytes,
        }
    }
}
