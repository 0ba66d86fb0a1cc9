//! The pictures that there are, and how they are asked for.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;
use cvbake::ext4::{Inodes, Size};
use cvbake::survey::draw;
use cvbake::text::line;
use cvbake::{Ext4, Filesystem, Job, write_whole};

use super::map::Map;
use super::page;
use crate::cli::work::{nothing_written, watch};
use crate::cli::{environment, output, values};
use crate::failure::Failure;
use crate::ui::Ui;

/// Options about pictures.
#[derive(Debug, clap::Args)]
#[group(id = "picture")]
pub(super) struct Args {
    /// Draw the disk in the terminal: metadata, the content of each layer, and what is free
    ///
    /// The map is as wide as the terminal, or 80 columns. Each character stands for some blocks,
    /// and shows what most of those are for that are in use. On a terminal it is coloured, unless
    /// NO_COLOR is set.
    #[arg(long)]
    map: bool,

    /// Write a page for a browser to this file: the map, and the files by directory and by layer
    ///
    /// The page is one file that needs no network. Of large images it shows the largest files, and
    /// what all others have in common.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,

    /// Replace an existing page
    #[arg(short, long, requires = "html")]
    force: bool,

    /// Plan a disk of this size: auto, min, +512M, 20G
    #[arg(long, default_value = "auto", value_parser = values::size)]
    size: Size,

    /// Plan this number of inodes: auto, a number, or 1/16K
    #[arg(long, default_value = "auto", value_parser = values::inodes)]
    inodes: Inodes,

    /// Plan no journal
    #[arg(long)]
    no_journal: bool,
}

/// Refuses a disk, which looks like the name of an image in a registry otherwise.
pub(super) fn check_source(source: &OsStr) -> Result<(), Failure> {
    if !Path::new(source).is_file() {
        return Ok(());
    }
    let source = line(&source.to_string_lossy());
    Err(Failure::Usage {
        problem: format!("{source} is a file, expected an image: pictures are of disks that are to be baked"),
        hint: Some(format!(
            "`cvbake inspect {source}` shows what is on a disk; tar:{source}, oci-archive:{source} or \
             docker-archive:{source} is an image in an archive"
        )),
    })
}

impl Args {
    /// Whether a picture is asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.map || self.html.is_some()
    }

    /// Draws the disk that a bake makes of an image.
    pub(super) fn draw_source(&self, mut job: Job, ui: &Arc<Ui>) -> Result<(), Failure> {
        // Before the image is fetched.
        self.html.as_deref().map_or(Ok(()), |page| cvbake::disk::check(page, self.force))?;
        let (size, inodes, journal) = (self.size, self.inodes, !self.no_journal);
        job.filesystem = Filesystem::Ext4(Ext4 { size, inodes, journal, ..Ext4::default() });
        let control = watch(ui, self.html.as_deref().map(nothing_written));
        let drawn = draw(&job, control, &|event| ui.on(&event))?;
        ui.finish();
        let map = Map::of(&drawn);
        if let Some(path) = &self.html {
            write_whole(path, self.force, page::page(&drawn.survey, &map).as_bytes(), control)?;
        }
        match self.map {
            true => output::bytes(map.text(environment::width(), environment::colours_output()).as_bytes()),
            false => Ok(()),
        }
    }
}
