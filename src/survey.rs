//! What will be on a disk, and where it comes from, before the disk is baked: an image → its merged
//! tree, with the layer of each file.
//!
//! Nothing is written: layers that the store has unpacked are not even read, and of the others only
//! the attributes of files are kept. The merge and the layout are those of [`bake`](crate::bake()).
//!
//! ```no_run
//! use cvbake::Job;
//! use cvbake::control::Control;
//! use cvbake::fetch::Source;
//! use cvbake::survey::{Found, survey};
//!
//! let source: Source = "oci:image".parse()?;
//! let survey = survey(&Job::new(source), &Control::new(), &|_| {})?;
//! let found = Found::find(&survey.tree, b"/etc/passwd")?;
//! let layer = found.ino.and_then(|ino| survey.layer_of(ino));
//! println!("by {:?}", layer.map(|at| &survey.layers[at].created_by));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod explain;
mod find;
mod totals;

use cvbake_ext4::Region;
use cvbake_tree::{Ino, Tree};
use cvbake_unpack::Origins;
use cvbake_verify::Digest;

pub use self::explain::{Change, Described, Explained, Happened, explain, word};
pub use self::find::{Followed, Found};
pub use self::totals::{Totals, content_bytes};
use crate::bake::{Asked, Job, ask, named_by, planned, readable};
use crate::control::Control;
use crate::error::Error;
use crate::event::{Observer, Stage};
use crate::images::commands;
use crate::layers::Layers;

/// An image, looked at without baking it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The image, as it was asked for.
    pub reference: String,
    /// What names it: the digest of its manifest, or else of its configuration or its layer.
    pub image: Digest,
    /// The platform in its configuration, if it says one.
    pub platform: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<SurveyedLayer>,
    /// The files.
    pub tree: Tree,
    origins: Origins,
}

/// A layer of an image that is looked at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SurveyedLayer {
    /// The digest of the layer as it is stored, where something says it.
    pub digest: Option<Digest>,
    /// The digest of what it unpacks to.
    pub diff_id: Digest,
    /// Its length as it is stored, where that is known.
    pub bytes: Option<u64>,
    /// How many bytes of a disk the content of its files takes, before other layers are applied:
    /// whole blocks, without those that are all zeros.
    pub unpacked_bytes: u64,
    /// How many entries its archive has.
    pub entries: usize,
    /// The command that made it, in the words of the image.
    pub created_by: Option<String>,
}

impl SurveyedLayer {
    /// What names the layer: its digest as it is stored, or else that of what it unpacks to.
    #[must_use]
    pub fn name(&self) -> &Digest {
        self.digest.as_ref().unwrap_or(&self.diff_id)
    }
}

impl Survey {
    /// The position in [`Survey::layers`] of the layer that a file is from; `None` for a directory
    /// that no layer has an entry of.
    #[must_use]
    pub fn layer_of(&self, ino: Ino) -> Option<usize> {
        self.origins.layer(ino)
    }

    fn of(job: &Job, asked: &Asked<'_>) -> Result<Survey, Error> {
        let Asked { image, layers, on, .. } = asked;
        let (tree, origins) = layers.merge_with_origins(job.epoch)?;
        Ok(Survey {
            reference: image.reference().to_owned(),
            image: named_by(image, layers),
            platform: image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
            layers: surveyed(layers, commands(image)),
            // It takes nothing but attributes away, so each inode keeps its number.
            tree: readable(tree, &job.filesystem, *on),
            origins,
        })
    }
}

fn surveyed(layers: &Layers<'_>, commands: Vec<Option<String>>) -> Vec<SurveyedLayer> {
    let layer = |((report, index), created_by): ((crate::report::LayerReport, &cvbake_unpack::Index), _)| {
        let crate::report::LayerReport { digest, diff_id, bytes, entries, .. } = report;
        SurveyedLayer { digest, diff_id, bytes, unpacked_bytes: index.seal().len, entries, created_by }
    };
    let commands = commands.into_iter().chain(std::iter::repeat(None));
    layers.reports().into_iter().zip(layers.indexes()).zip(commands).map(layer).collect()
}

/// Looks at an image.
///
/// # Errors
/// As [`plan`](crate::plan), but for what only a filesystem can refuse.
pub fn survey(job: &Job, control: &Control, on: Observer<'_>) -> Result<Survey, Error> {
    let survey = ask(job, control, on, |asked| Survey::of(job, &asked));
    survey.map_err(|error| Error::image_in(job.store.as_deref(), &job.source, error))
}

/// A survey, and what each block of the filesystem is for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Drawn {
    /// The image.
    pub survey: Survey,
    /// The filesystem, without a gap; a pack has the number of its layer.
    pub regions: Vec<Region>,
    /// The length of the disk in bytes.
    pub disk_bytes: u64,
}

/// Looks at an image, and plans the filesystem that the native engine makes of it.
///
/// # Errors
/// As [`plan`](crate::plan).
pub fn draw(job: &Job, control: &Control, on: Observer<'_>) -> Result<Drawn, Error> {
    let drawn = ask(job, control, on, |mut asked| {
        let survey = Survey::of(job, &asked)?;
        asked.clock.next(Stage::Plan);
        let recipe = job.recipe(asked.layers.chain_id(), None);
        let layout = planned(&recipe, &asked.layers, &survey.tree)?;
        Ok(Drawn { regions: layout.regions(), disk_bytes: layout.len_bytes(), survey })
    });
    drawn.map_err(|error| Error::image_in(job.store.as_deref(), &job.source, error))
}
