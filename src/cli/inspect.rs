//! `cvbake inspect`: what a disk is, and pictures of it, also before it is baked.

mod disk;
mod map;
mod page;
mod picture;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use cvbake::disk::gpt::{Placed, kind};
use cvbake::disks::ChainFile;
use cvbake::inside::{Disk, Filesystem, FoundTree};
use cvbake::text::{hex, line, rfc3339};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::disk::place::DiskPath;
use super::disk::source::SourceArgs;
use super::values::uuid_text;
use super::{ask, environment, output, work};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Show what a disk is, or draw it, or draw the disk that an image would make
///
/// Of a disk, its partitions and the filesystem on it are shown. --map and --html draw it. They
/// draw images, too: an image is unpacked as far as the attributes of its files, the filesystem is
/// planned as cvbake bake plans it, and nothing but the page is written. A name that is that of a
/// file is a disk, and anything else an image.
///
/// cvbake writes nothing about the image to the disk, so that equal files give equal disks,
/// whatever their image is called. The UUID of the filesystem is derived from the files:
/// cvbake verify DISK --against SOURCE says whether a disk is the bake of an image. Images
/// themselves are described by cvbake image inspect.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE, after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Disk to show; DISK:2 shows the filesystem of partition 2. With --map or --html, it may be
    /// an image: any source that cvbake bake accepts
    #[arg(value_name = "DISK|SOURCE")]
    disk: OsString,

    /// Print the result as one JSON object
    #[arg(long, conflicts_with_all = ["map", "html"], help_heading = work::OUTPUT)]
    json: bool,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten, next_help_heading = "Pictures")]
    picture: picture::Args,

    #[command(flatten, next_help_heading = "Pictures")]
    ask: ask::Args,
}

const USAGE: &str = "cvbake inspect [OPTIONS] <DISK>
       cvbake inspect <--map|--html <FILE>> [OPTIONS] <DISK|SOURCE>";

const EXAMPLES: &str = "Examples:
  cvbake inspect debian.qcow2
  cvbake inspect debian.qcow2 --map --against oci:debian
  cvbake inspect alpine:3.20 --map
  cvbake inspect oci:debian --html debian.html";

/// The JSON object.
#[derive(Debug, Serialize)]
struct Report {
    path: String,
    chain: Vec<Link>,
    bytes: u64,
    partitions: Vec<Partition>,
    filesystem: Option<Shown>,
    #[serde(rename = "verity", skip_serializing_if = "Option::is_none")]
    hash_tree: Option<HashTree>,
}

/// The hash tree of the filesystem, as it says.
#[derive(Debug, Serialize)]
struct HashTree {
    partition: Option<usize>,
    #[serde(rename = "hash_offset")]
    offset: u64,
    #[serde(rename = "hash_bytes")]
    bytes: u64,
    uuid: String,
    root_hash: Option<String>,
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
    flags: String,
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
    inodes: u64,
    free_inodes: u64,
    features: Vec<String>,
    made: String,
    mounts: Option<u16>,
    needs_recovery: bool,
    has_errors: bool,
}

impl Args {
    /// A bar while layers arrive for a picture; a disk is here.
    pub(super) fn mode(&self) -> Mode {
        if self.picture.is_asked() { ask::mode() } else { Mode::None { colours: environment::colours() } }
    }
}

impl Args {
    /// A name that is that of a file is a disk, and anything else an image.
    fn draw(&self, ui: &Arc<Ui>) -> Result<(), Failure> {
        let place = DiskPath::parse(&self.disk);
        let is_disk = place.is_there();
        self.picture.check(&place.shown(), is_disk)?;
        match is_disk {
            true => self.picture.draw_disk(&DiskPath::whole(&self.disk)?, &self.source.options(), &self.ask, ui),
            false => self.picture.draw_source(self.ask.job(&self.disk)?, ui),
        }
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    if args.picture.is_asked() {
        return args.draw(ui);
    }
    let place = DiskPath::whole(&args.disk)?;
    args.picture.check(&place.shown(), true)?;
    let disk = Disk::open_as(&place.disk, &args.source.options())?;
    // A disk of partitions without a filesystem of ours is one all the same, if none was asked for.
    let number = match place.partition {
        Some(number) => Some(number),
        None => disk.root_partition().unwrap_or_default(),
    };
    let filesystem = match number.is_some() || disk.partitions().is_empty() {
        true => Some(disk.filesystem(number)?),
        false => None,
    };
    let tree = filesystem.as_ref().and_then(|filesystem| disk.hash_tree(number, filesystem));
    let report = Report {
        path: place.disk.display().to_string(),
        chain: disk.chain().iter().map(link).collect(),
        bytes: disk.len_bytes(),
        partitions: (1..).zip(disk.partitions()).map(|(number, placed)| partition(&disk, number, placed)).collect(),
        filesystem: filesystem.map(|filesystem| shown(number, &filesystem)),
        hash_tree: tree.map(|FoundTree { partition, offset, found }| HashTree {
            partition,
            offset,
            bytes: found.bytes,
            uuid: uuid_text(found.uuid),
            root_hash: found.root_hash.as_ref().map(|hash| hex(hash)),
        }),
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
    Partition {
        number,
        kind: uuid_text(partition.kind),
        type_name: kind::name(&partition.kind),
        uuid: uuid_text(partition.guid),
        name: partition.name.clone(),
        start: range.start,
        bytes: range.end - range.start,
        flags: format!("{:#018x}", partition.flags),
        filesystem: disk.partition(number).and_then(|part| Filesystem::name_of(&*part)),
    }
}

fn shown(partition: Option<usize>, filesystem: &Filesystem) -> Shown {
    let kind = filesystem.name();
    let info = match filesystem {
        Filesystem::Ext4(ext4) => ext4.info(),
        // Nothing is free where nothing can be written, and nothing is counted.
        Filesystem::Erofs(erofs) => {
            let info = erofs.info();
            return Shown {
                partition,
                kind,
                label: String::from_utf8_lossy(&info.label).into_owned(),
                uuid: uuid_text(info.uuid),
                block_size: info.block_size,
                bytes: info.len_bytes(),
                free_bytes: 0,
                inodes: info.inodes,
                free_inodes: 0,
                features: info.features.clone(),
                made: rfc3339(info.made.secs),
                mounts: None,
                needs_recovery: false,
                has_errors: false,
            };
        }
    };
    Shown {
        partition,
        kind,
        label: String::from_utf8_lossy(&info.label).into_owned(),
        uuid: uuid_text(info.uuid),
        block_size: info.block_size,
        bytes: info.len_bytes(),
        free_bytes: info.free_blocks * info.block_size,
        inodes: info.inodes.into(),
        free_inodes: info.free_inodes.into(),
        features: info.features.clone(),
        made: rfc3339(info.made),
        mounts: Some(info.mounts),
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
    put("  inodes", format!("{}, {} free", HumanCount(shown.inodes), HumanCount(shown.free_inodes)));
    put("  features", shown.features.join(" "));
    put("  made", shown.made.clone());
    shown.mounts.iter().for_each(|mounts| put("  mounts", mounts.to_string()));
    if shown.needs_recovery {
        put("  journal", "not replayed: Linux does that when it mounts the disk".to_owned());
    }
    if shown.has_errors {
        put("  state", "Linux has found errors".to_owned());
    }
    if let Some(HashTree { partition, offset, bytes, root_hash, .. }) = &report.hash_tree {
        let on = partition.map(|number| format!(" of partition {number}")).unwrap_or_default();
        put("hash tree", format!("dm-verity, {} at offset {offset}{on}, not checked", BinaryBytes(*bytes)));
        root_hash.iter().for_each(|hash| put("  root hash", hash.clone()));
    }
    text
}
