//! `cvbake tree`: what will be on a disk.

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;

use cvbake::error::Error;
use cvbake::survey::{Found, Survey, Totals, content_bytes, survey};
use cvbake::text;
use cvbake::tree::{Device, Ino, Inode, Kind};
use indicatif::BinaryBytes;
use serde::Serialize;

use self::walk::{Visit, walk};
use super::ask::{self, in_json, layer_text, path_bytes, permissions};
use super::output;
use super::work::watch;
use crate::failure::Failure;
use crate::ui::Ui;

mod walk;

/// Show the files that will be on a disk, and the layer that each is from
///
/// The layers are merged as a bake does it, and nothing is written: what the store has unpacked is
/// not read again, and of other layers only the attributes of the files are kept.
///
/// SIZE is the space that the content takes on the disk; of a directory, of everything below it.
/// LAYER is the number of the layer that describes the file, the lowest being 1, and the beginning
/// of its digest; a directory that no layer describes has none. A further name of a file stands
/// with = and the first one, and counts there. Directories come first.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake tree [OPTIONS] <SOURCE> [PATH]", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Image to show: any source that cvbake bake accepts
    #[arg(value_name = "SOURCE", index = 1)]
    source: OsString,

    /// Show only this file or directory of the disk; symbolic links on the way are followed, the
    /// last name only with a slash behind it
    #[arg(value_name = "PATH", index = 2)]
    path: Option<OsString>,

    /// Show directories only to this depth; 0 shows only PATH itself
    #[arg(long, value_name = "N")]
    depth: Option<usize>,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ask: ask::Args,
}

const EXAMPLES: &str = "Examples:
  cvbake tree alpine:3.20 /etc
  cvbake tree oci:debian --depth 1
  cvbake tree oci:debian --json | jq -r '.entries[] | select(.layer == 2).path'";

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let job = args.ask.job(&args.source)?;
    let survey = survey(&job, watch(ui, None), &|event| ui.on(&event))?;
    ui.finish();
    let found = Found::find(&survey.tree, path_bytes(args.path.as_ref()))?;
    let missing = || Error::NoSuchPath { path: text::name(&found.path()), layers: None };
    let top = found.ino.ok_or_else(missing)?;
    let shown = Shown { totals: Totals::of(&survey.tree), survey: &survey, path: found.path(), top, depth: args.depth };
    output::stream(|out| if args.json { shown.json(out) } else { shown.text(out) })
}

/// What is shown.
struct Shown<'a> {
    survey: &'a Survey,
    totals: Totals<'a>,
    path: Vec<u8>,
    top: Ino,
    depth: Option<usize>,
}

impl Shown<'_> {
    fn walk(&self, each: &mut dyn FnMut(&Visit<'_>) -> io::Result<()>) -> io::Result<()> {
        walk(&self.survey.tree, self.top, &self.path, self.depth, each)
    }

    /// The first path of a file, where this is another one.
    fn same_as(&self, visit: &Visit<'_>) -> Option<Vec<u8>> {
        let Visit { inode, directory: Some(directory), name, .. } = visit else { return None };
        let is_first = self.totals.is_first(inode.ino(), *directory, name);
        (inode.name_count() > 1 && !is_first).then(|| self.totals.path(inode.ino()))
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (mut owner_width, mut size_width, mut layer_width) = ("OWNER".len(), "SIZE".len(), "LAYER".len());
        self.walk(&mut |visit| {
            owner_width = owner_width.max(owner(visit.inode).len());
            size_width = size_width.max(self.size(visit).len());
            layer_width = layer_width.max(layer_text(self.survey, self.survey.layer_of(visit.inode.ino())).len());
            Ok(())
        })?;
        let head = ("MODE", "OWNER", "SIZE", "LAYER", "PATH");
        writeln!(
            out,
            "{:<10}  {:<owner_width$}  {:>size_width$}  {:<layer_width$}  {}",
            head.0, head.1, head.2, head.3, head.4
        )?;
        let (mut directories, mut others) = (0u64, 0u64);
        self.walk(&mut |visit| {
            let inode = visit.inode;
            if inode.is_dir() {
                directories += 1
            } else {
                others += 1
            }
            let mode = format!("{}{}", letter(inode.kind()), permissions(inode.mode()));
            let layer = layer_text(self.survey, self.survey.layer_of(inode.ino()));
            let end = match inode.kind() {
                Kind::Directory if visit.name != b"/" => "/".to_owned(),
                Kind::Symlink(target) => format!(" -> {}", text::name(target)),
                _ => String::new(),
            };
            let same = self.same_as(visit).map(|path| format!(" = {}", text::name(&path))).unwrap_or_default();
            writeln!(
                out,
                "{mode}  {:<owner_width$}  {:>size_width$}  {layer:<layer_width$}  {}{}{end}{same}",
                owner(inode),
                self.size(visit),
                visit.branches(),
                text::name(visit.name)
            )
        })?;
        let count = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        writeln!(
            out,
            "{}, {}, {}",
            count(directories, "directory", "directories"),
            count(others, "file", "files"),
            BinaryBytes(self.totals.bytes(self.top))
        )
    }

    fn size(&self, visit: &Visit<'_>) -> String {
        match visit.inode.kind() {
            Kind::Directory | Kind::File(_) => BinaryBytes(self.totals.bytes(visit.inode.ino())).to_string(),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => numbers(device),
            _ => "-".to_owned(),
        }
    }

    /// Written as it is made: an image may have a million files.
    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let (path, path_hex) = in_json(&self.path);
        let head = Head {
            image: ask::Image::of(self.survey),
            layers: ask::Layer::all(self.survey),
            path,
            path_hex,
            disk_bytes: self.totals.bytes(self.top),
        };
        let head = text::json(&serde_json::to_string(&head).expect("texts and numbers"));
        let head = head.strip_suffix('}').expect("an object");
        write!(out, "{head},\"entries\":[")?;
        let mut is_first = true;
        self.walk(&mut |visit| {
            let entry = serde_json::to_string(&self.entry(visit)).expect("texts and numbers");
            let comma = if std::mem::take(&mut is_first) { "" } else { "," };
            write!(out, "{comma}\n{}", text::json(&entry))
        })?;
        out.write_all(b"]}\n")
    }

    fn entry(&self, visit: &Visit<'_>) -> Entry {
        let inode = visit.inode;
        let (path, path_hex) = in_json(visit.path);
        let (target, target_hex) = match inode.kind() {
            Kind::Symlink(target) => Some(in_json(target)).unzip(),
            _ => (None, None),
        };
        Entry {
            path,
            path_hex,
            kind: kind(inode.kind()),
            mode: format!("{:04o}", inode.mode()),
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime().secs,
            bytes: match inode.kind() {
                Kind::File(data) => Some(data.size),
                _ => None,
            },
            disk_bytes: if inode.is_dir() { self.totals.bytes(inode.ino()) } else { content_bytes(inode) },
            layer: self.survey.layer_of(inode.ino()).map(|layer| layer + 1),
            target,
            target_hex: target_hex.flatten(),
            device: match inode.kind() {
                Kind::CharDevice(device) | Kind::BlockDevice(device) => Some(numbers(device)),
                _ => None,
            },
            same_as: self.same_as(visit).map(|path| in_json(&path).0),
        }
    }
}

/// What stands before the entries.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    image: ask::Image<'a>,
    layers: Vec<ask::Layer<'a>>,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    disk_bytes: u64,
}

/// A file in JSON.
#[derive(Serialize)]
struct Entry {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    disk_bytes: u64,
    layer: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<String>,
}

fn owner(inode: Inode<'_>) -> String {
    format!("{}:{}", inode.uid(), inode.gid())
}

fn numbers(device: Device) -> String {
    format!("{}:{}", device.major, device.minor)
}

/// The word of a kind in JSON, as in listings.
fn kind(kind: Kind<'_>) -> &'static str {
    match kind {
        Kind::Directory => "dir",
        Kind::File(_) => "file",
        Kind::Symlink(_) => "link",
        Kind::CharDevice(_) => "char",
        Kind::BlockDevice(_) => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

/// The letter of a kind, as `ls -l` has it.
fn letter(kind: Kind<'_>) -> char {
    match kind {
        Kind::Directory => 'd',
        Kind::File(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::CharDevice(_) => 'c',
        Kind::BlockDevice(_) => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    }
}
