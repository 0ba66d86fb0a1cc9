//! The pictures that there are, and how they are asked for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::disks::OpenOptions;
use cvbake::ext4::{Inodes, Size};
use cvbake::survey::draw;
use cvbake::text::line;
use cvbake::{Ext4, Filesystem, Job, write_whole};

use indicatif::BinaryBytes;

use super::disk::Picture;
use super::map::Map;
use super::page;
use crate::cli::disk::place::DiskPath;
use crate::cli::work::{nothing_written, watch};
use crate::cli::{ask, environment, output, values};
use crate::failure::Failure;
use crate::ui::Ui;

/// Options about pictures.
#[derive(Debug, clap::Args)]
#[group(id = "picture")]
pub(super) struct Args {
    /// Draw the disk in the terminal: metadata, content, and what is free
    ///
    /// Content is shown by layer: of an image, and of a disk with --against. Of a disk alone it is
    /// shown by directory. The map is as wide as the terminal, or 80 columns. Each character stands
    /// for some blocks, and shows what most of those are for that are in use. On a terminal it is
    /// coloured, unless NO_COLOR is set.
    #[arg(long)]
    map: bool,

    /// Write a page for a browser to this file: the map, and the files by directory and by layer
    ///
    /// The page is one file that needs no network. If there are very many files, it names the
    /// largest ones and adds up the others.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,

    /// Replace an existing page
    #[arg(short, long, requires = "html")]
    force: bool,

    /// Tell the content of a disk apart by the layers of this image, the one it was baked from
    ///
    /// A file on the disk is the layer's whose file of the same path and size it is.
    #[arg(long, value_name = "SOURCE")]
    against: Option<OsString>,

    /// Of an image, plan a disk of this size: auto, min, +512M, 20G
    #[arg(long, default_value = "auto", value_parser = values::size)]
    size: Size,

    /// Of an image, plan this number of inodes: auto, a number, or 1/16K
    #[arg(long, default_value = "auto", value_parser = values::inodes)]
    inodes: Inodes,

    /// Of an image, plan no journal
    #[arg(long)]
    no_journal: bool,
}

impl Args {
    /// Whether a picture is asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.map || self.html.is_some()
    }

    /// Refuses options that change nothing.
    pub(super) fn check(&self, shown: &str, is_disk: bool) -> Result<(), Failure> {
        const PLANNED: [&str; 3] = ["--size", "--inodes", "--no-journal"];
        let given = PLANNED.into_iter().find(|option| environment::is_given(option)).filter(|_| is_disk);
        if let Some(option) = given {
            return Err(Failure::Usage {
                problem: format!("{option} is about a disk that an image would make, and {shown} is a disk already"),
                hint: Some(format!("leave out {option}; `cvbake disk resize` changes the size of a disk")),
            });
        }
        if self.against.is_some() && !is_disk {
            return Err(Failure::Usage {
                problem: format!("--against is about a disk, and {shown} is no file"),
                hint: Some("leave out --against: the layers of an image are known".to_owned()),
            });
        }
        match &self.against {
            Some(_) if !self.is_asked() => Err(Failure::Usage {
                problem: "--against changes nothing without --map or --html".to_owned(),
                hint: Some(format!("`cvbake verify {shown} --against SOURCE` compares the disk with an image")),
            }),
            _ => Ok(()),
        }
    }

    /// Draws a disk that is there.
    pub(super) fn draw_disk(
        &self,
        place: &DiskPath,
        options: &OpenOptions,
        ask: &ask::Args,
        ui: &Arc<Ui>,
    ) -> Result<(), Failure> {
        self.check_page()?;
        let picture = Picture::of(place, options, self.against.as_deref(), ask, ui)?;
        self.show(&picture.map, || picture.page(), ui)
    }

    /// Whether the page can be written, before anything is read or fetched for it.
    fn check_page(&self) -> Result<(), Failure> {
        Ok(self.html.as_deref().map_or(Ok(()), |page| cvbake::disk::check(page, self.force))?)
    }

    fn show(&self, map: &Map, page: impl FnOnce() -> String, ui: &Arc<Ui>) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            let page = page();
            write_whole(path, self.force, page.as_bytes(), watch(ui, Some(nothing_written(path))))?;
            if !self.map {
                let size = BinaryBytes(page.len() as u64);
                return output::lines(&format!("Drew {}: a page of {size}\n", line(&path.display().to_string())));
            }
        }
        match self.map {
            true => output::bytes(map.text(environment::width(), environment::colours_output()).as_bytes()),
            false => Ok(()),
        }
    }

    /// Draws the disk that a bake makes of an image.
    pub(super) fn draw_source(&self, mut job: Job, ui: &Arc<Ui>) -> Result<(), Failure> {
        self.check_page()?;
        let (size, inodes, journal) = (self.size, self.inodes, !self.no_journal);
        job.filesystem = Filesystem::Ext4(Ext4 { size, inodes, journal, ..Ext4::default() });
        let control = watch(ui, self.html.as_deref().map(nothing_written));
        let drawn = draw(&job, control, &|event| ui.on(&event))?;
        ui.finish();
        let (survey, map) = (&drawn.survey, Map::of(&drawn));
        let platform = survey.platform.as_deref().map(|platform| format!(" ({})", line(platform)));
        let named = ("image", format!("{}{}", survey.image, platform.unwrap_or_default()));
        let group_of = |ino| survey.layer_of(ino);
        let subject = page::Subject {
            title: &survey.reference,
            named,
            tree: &survey.tree,
            survey: Some(survey),
            group_of: &group_of,
        };
        self.show(&map, || page::page(&subject, &map), ui)
    }
}
