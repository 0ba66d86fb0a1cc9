//! A picture of a disk that is there: its content by directory or, where the image is named that
//! it was baked from, by layer.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::sync::Arc;

use cvbake::disks::OpenOptions;
use cvbake::inside::Filesystem;
use cvbake::inside::map::{in_the_same_place, pieces};
use cvbake::survey::{Survey, Totals, survey};
use cvbake::text::name;
use cvbake::tree::{Ino, Tree};

use super::map::{Map, layers};
use super::page::Subject;
use crate::cli::ask;
use crate::cli::disk::place::DiskPath;
use crate::cli::work::watch;
use crate::failure::Failure;
use crate::ui::Ui;

/// Directories that are told apart: as many as there are characters for, less the one for all
/// others.
const DIRECTORIES: usize = 60;

/// A disk, to be drawn.
pub(super) struct Picture {
    files: cvbake::ext4::read::Files,
    survey: Option<Survey>,
    /// By inode, the position of what it belongs to.
    groups: Vec<Option<usize>>,
    pub(super) map: Map,
    title: String,
    named: (&'static str, String),
}

impl Picture {
    /// Reads a disk, and looks at the image that it was baked from where that is named.
    pub(super) fn of(
        place: &DiskPath,
        options: &OpenOptions,
        against: Option<&OsStr>,
        ask: &ask::Args,
        ui: &Arc<Ui>,
    ) -> Result<Picture, Failure> {
        let opened = place.open_as(options, ui)?;
        let number = match place.partition {
            Some(number) => Some(number),
            None => opened.disk.root_partition()?,
        };
        let Filesystem::Ext4(ext4) = &opened.filesystem else {
            let (disk, found) = (place.shown(), opened.filesystem.name());
            return Err(Failure::Usage {
                problem: format!("{disk} has a filesystem {found}, expected ext4: pictures are of no other"),
                hint: Some(format!("`cvbake disk tree {disk}` lists its files")),
            });
        };
        let files = ext4.tree().map_err(|error| opened.disk.unreadable(error))?;
        let survey = against.map(|source| -> Result<Survey, Failure> {
            Ok(survey(&ask.job(source)?, watch(ui, None), &|event| ui.on(&event))?)
        });
        let survey = survey.transpose()?;
        ui.finish();
        let (groups, words) = match &survey {
            Some(survey) => by_layer(files.tree(), survey),
            None => by_directory(files.tree()),
        };
        let of = |ino: Ino| groups[ino.index()].and_then(|group| u32::try_from(group).ok()).unwrap_or(u32::MAX);
        let pieces = pieces(&opened.disk, number, ext4, &files, &of)?;
        let map = Map::of_pieces(&pieces, ext4.info().block_size, words);
        let formats: Vec<&str> = opened.disk.chain().iter().map(|file| file.info.format().name()).collect();
        let partition = number.map(|number| format!(", partition {number}")).unwrap_or_default();
        let named = ("filesystem", format!("ext4 in {}{partition}", formats.join(" over ")));
        Ok(Picture { files, survey, groups, map, title: place.shown(), named })
    }

    /// The page about it.
    pub(super) fn page(&self) -> String {
        let group_of = |ino: Ino| self.groups[ino.index()];
        let subject = Subject {
            title: &self.title,
            named: self.named.clone(),
            tree: self.files.tree(),
            survey: self.survey.as_ref(),
            group_of: &group_of,
        };
        super::page::page(&subject, &self.map)
    }
}

/// By inode, the layer whose file stands in the same place; behind the layers, what is none of the
/// image's.
fn by_layer(tree: &Tree, survey: &Survey) -> (Vec<Option<usize>>, Vec<String>) {
    let twins = in_the_same_place(tree, &survey.tree);
    let count = survey.layers.len();
    let group = |twin: &Option<Ino>| match twin {
        Some(twin) => survey.layer_of(*twin),
        None => Some(count),
    };
    let mut words = layers(survey);
    words.push("not in the image".to_owned());
    (twins.iter().map(group).collect(), words)
}

/// By inode, the entry of the root directory that it is in: the largest come first.
fn by_directory(tree: &Tree) -> (Vec<Option<usize>>, Vec<String>) {
    let totals = Totals::of(tree);
    let mut tops: Vec<(Ino, &[u8])> =
        tree.root().children().filter(|(_, child)| child.is_dir()).map(|(name, child)| (child.ino(), name)).collect();
    tops.sort_by_key(|(ino, _)| (Reverse(totals.bytes(*ino)), *ino));
    let mut words: Vec<String> = tops.iter().take(DIRECTORIES).map(|(_, top)| format!("/{}", name(top))).collect();
    words.push("files elsewhere".to_owned());
    let rest = words.len() - 1;
    let mut groups: Vec<Option<usize>> = vec![Some(rest); tree.inode_count()];
    for (at, (top, _)) in tops.iter().take(DIRECTORIES).enumerate() {
        groups[top.index()] = Some(at);
    }
    // What is in a directory has a higher number than the directory.
    for ino in tree.inodes().map(|inode| inode.ino()).skip(1) {
        let above = totals.place(ino).0;
        if above != Ino::ROOT {
            groups[ino.index()] = groups[above.index()];
        }
    }
    (groups, words)
}
