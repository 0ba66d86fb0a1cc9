//! `cvbake image df`: what takes the space on a disk, by layer.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use cvbake::survey::{Survey, Totals, content_bytes, survey};
use cvbake::text;
use cvbake::tree::Ino;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::table;
use crate::cli::ask::{self, command, in_json, layer_text, short};
use crate::cli::output;
use crate::cli::work::watch;
use crate::failure::Failure;
use crate::ui::Ui;

/// Show how much of a disk each layer of an image takes, and what is wasted
///
/// UNPACKED is the space that the files of a layer would take on a disk of their own, ON DISK what
/// is left of them under the layers above, and WASTED the difference: files that an upper layer
/// replaces or removes are downloaded, and are not on the disk. FILES counts files and directories
/// on the disk that the layer describes. All but COMPRESSED is in whole blocks of 4 KiB, without
/// those that are all zeros.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake image df [OPTIONS] <SOURCE>")]
pub(super) struct Args {
    /// Image to look at: any source that cvbake bake accepts
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// Set how many of the largest files and directories are listed
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ask: ask::Args,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let job = args.ask.job(&args.source)?;
    let survey = survey(&job, watch(ui, None), &|event| ui.on(&event))?;
    ui.finish();
    let usage = Usage::of(&survey, args.top);
    if args.json {
        let answer = serde_json::to_string(&usage.answer()).expect("texts and numbers");
        return output::json(&format!("{answer}\n"));
    }
    output::lines(&usage.text())
}

/// What a layer has on the disk.
#[derive(Clone, Default)]
struct Share {
    disk_bytes: u64,
    files: u64,
}

struct Usage<'a> {
    survey: &'a Survey,
    totals: Totals<'a>,
    shares: Vec<Share>,
    files: Vec<Ino>,
    directories: Vec<Ino>,
}

impl<'a> Usage<'a> {
    fn of(survey: &'a Survey, top: usize) -> Usage<'a> {
        let totals = Totals::of(&survey.tree);
        let mut shares = vec![Share::default(); survey.layers.len()];
        for inode in survey.tree.inodes() {
            if let Some(layer) = survey.layer_of(inode.ino()) {
                shares[layer].disk_bytes += content_bytes(inode);
                shares[layer].files += 1;
            }
        }
        let largest = |is_dir: bool| {
            let inodes = survey.tree.inodes().filter(|inode| inode.is_dir() == is_dir && inode.ino() != Ino::ROOT);
            let mut inos: Vec<Ino> = inodes.map(|inode| inode.ino()).filter(|ino| totals.bytes(*ino) > 0).collect();
            inos.sort_unstable_by_key(|ino| (Reverse(totals.bytes(*ino)), *ino));
            inos.truncate(top);
            inos
        };
        let (files, directories) = (largest(false), largest(true));
        Usage { survey, totals, shares, files, directories }
    }

    fn wasted(&self, layer: usize) -> u64 {
        self.survey.layers[layer].unpacked_bytes.saturating_sub(self.shares[layer].disk_bytes)
    }

    fn compressed(&self) -> Option<u64> {
        self.survey.layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.bytes?))
    }

    fn unpacked(&self) -> u64 {
        self.survey.layers.iter().map(|layer| layer.unpacked_bytes).fold(0, u64::saturating_add)
    }

    fn on_disk(&self) -> u64 {
        self.shares.iter().map(|share| share.disk_bytes).sum()
    }

    fn all_wasted(&self) -> u64 {
        (0..self.shares.len()).map(|layer| self.wasted(layer)).fold(0, u64::saturating_add)
    }

    fn text(&self) -> String {
        const COMMAND: usize = 60;
        let size = |bytes: u64| BinaryBytes(bytes).to_string();
        let known = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
        let head = ["LAYER", "DIGEST", "COMPRESSED", "UNPACKED", "ON DISK", "WASTED", "FILES", "CREATED BY"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (at, (layer, share)) in self.survey.layers.iter().zip(&self.shares).enumerate() {
            rows.push(vec![
                (at + 1).to_string(),
                short(layer.name()),
                known(layer.bytes),
                size(layer.unpacked_bytes),
                size(share.disk_bytes),
                size(self.wasted(at)),
                share.files.to_string(),
                command(layer, COMMAND),
            ]);
        }
        let files: u64 = self.shares.iter().map(|share| share.files).sum();
        let sums = [known(self.compressed()), size(self.unpacked()), size(self.on_disk()), size(self.all_wasted())];
        let total = ["total".to_owned(), String::new()].into_iter().chain(sums).chain([files.to_string()]);
        rows.push(total.collect());
        let mut text = table(&rows);
        for (title, inos) in [("LARGEST FILES", &self.files), ("LARGEST DIRECTORIES", &self.directories)] {
            if inos.is_empty() {
                continue;
            }
            let head = ["SIZE", "LAYER", title].map(str::to_owned).to_vec();
            let row = |ino: &Ino| {
                let layer = layer_text(self.survey, self.survey.layer_of(*ino));
                vec![size(self.totals.bytes(*ino)), layer, text::name(&self.totals.path(*ino))]
            };
            let rows = [vec![head], inos.iter().map(row).collect()].concat();
            write!(text, "\n{}", table(&rows)).expect("a string takes everything");
        }
        text
    }

    fn answer(&self) -> Answer<'_> {
        let layer = |(at, (layer, share)): (usize, (ask::Layer<'a>, &Share))| Layer {
            layer,
            disk_bytes: share.disk_bytes,
            wasted_bytes: self.wasted(at),
            files: share.files,
        };
        let large = |ino: &Ino| {
            let (path, path_hex) = in_json(&self.totals.path(*ino));
            let layer = self.survey.layer_of(*ino).map(|layer| layer + 1);
            Large { path, path_hex, disk_bytes: self.totals.bytes(*ino), layer }
        };
        Answer {
            image: ask::Image::of(self.survey),
            layers: ask::Layer::all(self.survey).into_iter().zip(&self.shares).enumerate().map(layer).collect(),
            bytes: self.compressed(),
            unpacked_bytes: self.unpacked(),
            disk_bytes: self.on_disk(),
            wasted_bytes: self.all_wasted(),
            largest_files: self.files.iter().map(large).collect(),
            largest_directories: self.directories.iter().map(large).collect(),
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    image: ask::Image<'a>,
    layers: Vec<Layer<'a>>,
    bytes: Option<u64>,
    unpacked_bytes: u64,
    disk_bytes: u64,
    wasted_bytes: u64,
    largest_files: Vec<Large>,
    largest_directories: Vec<Large>,
}

#[derive(Serialize)]
struct Layer<'a> {
    #[serde(flatten)]
    layer: ask::Layer<'a>,
    disk_bytes: u64,
    wasted_bytes: u64,
    files: u64,
}

#[derive(Serialize)]
struct Large {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    disk_bytes: u64,
    layer: Option<usize>,
}
