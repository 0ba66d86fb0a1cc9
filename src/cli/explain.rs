//! `cvbake explain`: where a file of a disk comes from, or what became of it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use cvbake::survey::{Change, Described, Explained, Followed, Found, Happened, explain};
use cvbake::text::{self, name};
use indicatif::BinaryBytes;
use serde::Serialize;

use super::ask::{self, command, in_json, path_bytes, short};
use super::output;
use super::work::watch;
use crate::failure::Failure;
use crate::ui::Ui;

/// Show which layer a file comes from, and what that layer hides
///
/// For each layer that has done something to PATH, lowest first: whether it added the file,
/// replaced that of a lower layer or removed it, by which whiteout or opaque marker, and the
/// command that made the layer, as the image says it. Symbolic links on the way are shown, and all
/// names of a file that has several.
///
/// A path that is not on the disk because a layer removed it is explained as well, with exit status
/// 0; --json says present: false. One that no layer has is an error.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake explain [OPTIONS] <SOURCE> <PATH>", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Image to look at: any source that cvbake bake accepts
    #[arg(value_name = "SOURCE", index = 1)]
    source: OsString,

    /// File or directory of the disk; its last name is followed only with a slash behind it
    #[arg(value_name = "PATH", index = 2)]
    path: OsString,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ask: ask::Args,
}

const EXAMPLES: &str = "Examples:
  cvbake explain alpine:3.20 /etc/os-release
  cvbake explain oci:debian /var/lib/apt/lists";

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let job = args.ask.job(&args.source)?;
    let explained = explain(&job, path_bytes(Some(&args.path)), watch(ui, None), &|event| ui.on(&event))?;
    ui.finish();
    if args.json {
        let answer = serde_json::to_string(&Answer::of(&explained)).expect("texts and numbers");
        return output::json(&format!("{answer}\n"));
    }
    output::lines(&told(&explained))
}

/// How much of a command is shown.
const COMMAND: usize = 100;

/// The answer for people.
fn told(explained: &Explained) -> String {
    let Explained { survey, found, leads_to, happened, paths, .. } = explained;
    let mut text = String::new();
    let mut put = |line: &str| writeln!(text, "{line}").expect("a string takes everything");
    let last = happened.iter().rev().find_map(|happened| described(&happened.change));
    let path = name(&found.path());
    match (found.ino, last) {
        (Some(_), Some(last)) => put(&format!("{path}: {}", shown(last))),
        (Some(_), None) => put(&format!("{path}: directory that no layer describes")),
        (None, _) => put(&format!("{path}: not on the disk")),
    }
    for Followed { names, ino, target, .. } in &found.links {
        let at = name(&[b"/", &names.join(&b'/')[..]].concat());
        let by = survey.layer_of(*ino).map_or_else(String::new, |layer| format!(", by layer {}", layer + 1));
        put(&format!("  by way of {at} -> {}{by}", name(target)));
    }
    if let Some(Found { ino, .. }) = leads_to {
        let leads = leads_to.as_ref().map(Found::path).unwrap_or_default();
        let there = if ino.is_some() { "" } else { ", where nothing is" };
        put(&format!("  leads to {}{there}", name(&leads)));
    }
    for path in paths.iter().filter(|other| **other != found.path()) {
        put(&format!("  also called {}", name(path)));
    }
    let mut layer = None;
    for Happened { layer: number, change, .. } in happened {
        if layer.replace(*number) != Some(*number) {
            let surveyed = &survey.layers[*number];
            put("");
            let command = command(surveyed, COMMAND);
            let head = format!("layer {}  {}  {command}", number + 1, short(surveyed.name()));
            put(head.trim_end());
        }
        put(&format!("  {}", sentence(change, *number)));
    }
    text
}

fn described(change: &Change) -> Option<&Described> {
    match change {
        Change::Added(described) | Change::Replaced(described) | Change::Changed(described) => Some(described),
        _ => None,
    }
}

fn sentence(change: &Change, layer: usize) -> String {
    match change {
        Change::Added(new) => format!("added: {}{}", shown(new), elsewhere(new, layer)),
        Change::Replaced(new) => format!("replaced what was there: {}{}", shown(new), elsewhere(new, layer)),
        Change::Changed(new) => format!("changed its attributes: {}", shown(new)),
        Change::Removed(marker) => {
            let what = if marker.is_opaque { "opaque marker" } else { "whiteout" };
            format!("removed by the {what} {}", text::line(&marker.path))
        }
        Change::Covered { path, by } => format!("removed with {}, which is a {by} now", name(path)),
        _ => "did something else".to_owned(),
    }
}

/// Where the attributes are from, if not from the layer itself.
fn elsewhere(described: &Described, layer: usize) -> String {
    match described.by {
        Some(by) if by != layer => format!(" (hard link to a file of layer {})", by + 1),
        _ => String::new(),
    }
}

/// A file in some words.
fn shown(described: &Described) -> String {
    let Described { kind, size, target, meta, .. } = described;
    let mut text = (*kind).to_owned();
    match meta {
        Some(meta) => {
            write!(text, " {:04o} {}:{}", meta.mode, meta.uid, meta.gid).expect("a string takes everything");
        }
        None => text.push_str(" that only its content implies"),
    }
    if let Some(size) = size {
        write!(text, ", {}", BinaryBytes(*size)).expect("a string takes everything");
    }
    if let Some(target) = target {
        write!(text, " -> {}", name(target)).expect("a string takes everything");
    }
    text
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    image: ask::Image<'a>,
    layers: Vec<ask::Layer<'a>>,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    present: bool,
    layer: Option<usize>,
    links: Vec<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leads_to: Option<String>,
    names: Vec<String>,
    history: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Link {
    path: String,
    target: String,
    layer: Option<usize>,
}

#[derive(Serialize)]
struct Step<'a> {
    layer: usize,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    described_by: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl<'a> Answer<'a> {
    fn of(explained: &'a Explained) -> Answer<'a> {
        let Explained { survey, found, leads_to, happened, paths, .. } = explained;
        let (path, path_hex) = in_json(&found.path());
        let link = |link: &Followed| Link {
            path: in_json(&[b"/", &link.names.join(&b'/')[..]].concat()).0,
            target: in_json(&link.target).0,
            layer: survey.layer_of(link.ino).map(|layer| layer + 1),
        };
        Answer {
            image: ask::Image::of(survey),
            layers: ask::Layer::all(survey),
            path,
            path_hex,
            present: found.ino.is_some(),
            layer: found.ino.and_then(|ino| survey.layer_of(ino)).map(|layer| layer + 1),
            links: found.links.iter().map(link).collect(),
            leads_to: leads_to.as_ref().map(|found| in_json(&found.path()).0),
            names: if found.ino.is_some() { paths.iter().map(|path| in_json(path).0).collect() } else { Vec::new() },
            history: happened.iter().map(Step::of).collect(),
        }
    }
}

/// The word of a kind in JSON, as in listings.
fn short_kind(words: &'static str) -> &'static str {
    match words {
        "directory" => "dir",
        "regular file" => "file",
        "symbolic link" => "link",
        "character device" => "char",
        "block device" => "block",
        "named pipe" => "fifo",
        other => other,
    }
}

impl<'a> Step<'a> {
    fn of(happened: &'a Happened) -> Step<'a> {
        let (change, marker, above) = match &happened.change {
            Change::Added(_) => ("added", None, None),
            Change::Replaced(_) => ("replaced", None, None),
            Change::Changed(_) => ("changed", None, None),
            Change::Removed(marker) if marker.is_opaque => ("opaque", Some(marker.path.as_str()), None),
            Change::Removed(marker) => ("whiteout", Some(marker.path.as_str()), None),
            Change::Covered { path, .. } => ("covered", None, Some(in_json(path).0)),
            _ => ("other", None, None),
        };
        let new = described(&happened.change);
        let meta = new.and_then(|new| new.meta.as_ref());
        Step {
            layer: happened.layer + 1,
            change,
            marker,
            above,
            described_by: new.and_then(|new| new.by).map(|by| by + 1),
            kind: new.map(|new| short_kind(new.kind)),
            mode: meta.map(|meta| format!("{:04o}", meta.mode)),
            uid: meta.map(|meta| meta.uid),
            gid: meta.map(|meta| meta.gid),
            mtime: meta.map(|meta| meta.mtime.secs),
            bytes: new.and_then(|new| new.size),
            target: new.and_then(|new| new.target.as_ref()).map(|target| in_json(target).0),
        }
    }
}
