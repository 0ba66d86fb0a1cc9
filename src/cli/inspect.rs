//! `cvbake inspect`: what a disk is.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use cvbake::disk::gpt::{Placed, kind};
use cvbake::disks::ChainFile;
use cvbake::ext4::read::{Filesystem, Info};
use cvbake::inside::Disk;
use cvbake::text::{line, rfc3339};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::disk::place::DiskPath;
use super::values::uuid_text;
use super::{output, work};
use crate::failure::Failure;
use crate::ui::Ui;

/// Show what a disk is: its partitions, and the filesystem on it
///
/// cvbake writes nothing about the image to the disk, so that equal files give equal disks, whatever
/// their image is called. The UUID of the filesystem is derived from the files:
/// cvbake verify DISK --against SOURCE says whether a disk is the bake of an image.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Disk to show; DISK:2 shows the filesystem of partition 2
    #[arg(value_name = "DISK")]
    disk: OsString,

    /// Print the result as one JSON object
    #[arg(long, help_heading = work::OUTPUT)]
    json: bool,
}

/// The JSON object.
#[derive(Debug, Serialize)]
struct Report {
    path: String,
    chain: Vec<Link>,
    bytes: u64,
    partitions: Vec<Partition>,
    filesystem: Option<Shown>,
}

/// A file of the chain.
#[derive(Debug, Serialize)]
struct Link {
    path: String,
    format: &'static str,
    file_bytes: u64,
    allocated_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Partition {
    number: usize,
    #[serde(rename = "type")]
    kind: String,
    type_name: Option<&'static str>,
    uuid: String,
    name: String,
    start: u64,
    bytes: u64,
    flags: u64,
    filesystem: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Shown {
    partition: Option<usize>,
    #[serde(rename = "type")]
    kind: &'static str,
    label: String,
    uuid: String,
    block_size: u64,
    bytes: u64,
    free_bytes: u64,
    inodes: u32,
    free_inodes: u32,
    features: Vec<String>,
    made: String,
    mounts: u16,
    needs_recovery: bool,
    has_errors: bool,
}

pub(super) fn run(args: &Args, _ui: &Arc<Ui>) -> Result<(), Failure> {
    let place = DiskPath::whole(&args.disk)?;
    let disk = Disk::open(&place.disk)?;
    // A disk of partitions without a filesystem of ours is one all the same, if none was asked for.
    let number = match place.partition {
        Some(number) => Some(number),
        None => disk.root_partition().unwrap_or_default(),
    };
    let filesystem = match number.is_some() || disk.partitions().is_empty() {
        true => Some(disk.filesystem(number)?),
        false => None,
    };
    let report = Report {
        path: place.disk.display().to_string(),
        chain: disk.chain().iter().map(link).collect(),
        bytes: disk.len_bytes(),
        partitions: (1..).zip(disk.partitions()).map(|(number, placed)| partition(&disk, number, placed)).collect(),
        filesystem: filesystem.map(|filesystem| shown(number, filesystem.info())),
    };
    match args.json {
        true => output::json(&format!("{}\n", serde_json::to_string(&report).expect("texts and numbers"))),
        false => output::lines(&text(&report)),
    }
}

fn link(file: &ChainFile) -> Link {
    Link {
        path: file.path.display().to_string(),
        format: file.info.format().name(),
        file_bytes: file.file_bytes,
        allocated_bytes: file.allocated_bytes,
    }
}

fn partition(disk: &Disk, number: usize, placed: &Placed) -> Partition {
    let Placed { partition, range } = placed;
    let is_ext4 = disk.partition(number).is_some_and(|part| Filesystem::is_on(&*part).unwrap_or_default());
    Partition {
        number,
        kind: uuid_text(partition.kind),
        type_name: kind::name(&partition.kind),
        uuid: uuid_text(partition.guid),
        name: partition.name.clone(),
        start: range.start,
        bytes: range.end - range.start,
        flags: partition.flags,
        filesystem: is_ext4.then_some("ext4"),
    }
}

fn shown(partition: Option<usize>, info: &Info) -> Shown {
    Shown {
        partition,
        kind: "ext4",
        label: String::from_utf8_lossy(&info.label).into_owned(),
        uuid: uuid_text(info.uuid),
        block_size: info.block_size,
        bytes: info.len_bytes(),
        free_bytes: info.free_blocks * info.block_size,
        inodes: info.inodes,
        free_inodes: info.free_inodes,
        features: info.features.clone(),
        made: rfc3339(info.made),
        mounts: info.mounts,
        needs_recovery: info.needs_recovery,
        has_errors: info.has_errors,
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut put = |key: &str, value: String| {
        writeln!(text, "{key:<12}{}", line(&value)).expect("a string takes everything");
    };
    put("disk", report.path.clone());
    for (at, Link { path, format, file_bytes, allocated_bytes }) in report.chain.iter().enumerate() {
        let key = if at == 0 { "format" } else { "parent" };
        let path = if at == 0 { String::new() } else { format!("{path}, ") };
        let sizes = format!("{}, {} on the host", BinaryBytes(*file_bytes), BinaryBytes(*allocated_bytes));
        put(key, format!("{path}{format}, a file of {sizes}"));
    }
    put("size", BinaryBytes(report.bytes).to_string());
    for part in &report.partitions {
        let Partition { number, kind, type_name, name, bytes, filesystem, .. } = part;
        let kind = type_name.unwrap_or(kind);
        let filesystem = filesystem.map(|name| format!(", {name}")).unwrap_or_default();
        put(&format!("partition {number}"), format!("{kind}, {}, {name:?}{filesystem}", BinaryBytes(*bytes)));
    }
    let Some(shown) = &report.filesystem else { return text };
    let on = shown.partition.map(|number| format!(" on partition {number}")).unwrap_or_default();
    put("filesystem", format!("{}{on}, blocks of {}", shown.kind, BinaryBytes(shown.block_size)));
    put("  label", if shown.label.is_empty() { "none".to_owned() } else { shown.label.clone() });
    put("  uuid", shown.uuid.clone());
    put("  size", format!("{}, {} free", BinaryBytes(shown.bytes), BinaryBytes(shown.free_bytes)));
    put("  inodes", format!("{}, {} free", HumanCount(shown.inodes.into()), HumanCount(shown.free_inodes.into())));
    put("  features", shown.features.join(" "));
    put("  made", shown.made.clone());
    put("  mounts", shown.mounts.to_string());
    if shown.needs_recovery {
        put("  journal", "not replayed: Linux does that when it mounts the disk".to_owned());
    }
    if shown.has_errors {
        put("  state", "Linux has found errors".to_owned());
    }
    text
}
