//! Images from files into the store, under names.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use cvbake_archive::Compression;
use cvbake_fetch::export::Contents;
use cvbake_fetch::{Options, Source};
use cvbake_store::{Origin, Reference};
use cvbake_verify::{CheckedReader, Descriptor, Digest, Error as VerifyError, Image, Layer, Platform, Root, Want};

use super::documents::{self, RunConfig};
use super::find::full_name;
use super::layer::{Intake, NewLayer};
use super::names::give;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Observer, Stage};
use crate::everything;
use crate::layers::archive;
use crate::parallel::in_parallel;
use crate::proof::{announce, distinct, prove, warn};
use crate::source::open_source;
use crate::workplace::{Workplace, open_store};

/// What to import, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportJob {
    /// Where the images are.
    pub source: Source,
    /// What the image is to be called; without it, images are called what their place calls them.
    pub name: Option<String>,
    /// The one platform that is wanted; all if none is. That of a bare root filesystem.
    pub platform: Option<Platform>,
    /// How a bare root filesystem is run.
    pub run: RunConfig,
    /// How layers are kept that come without compression.
    pub compression: Compression,
    /// When an image of a bare root filesystem was made, if it is to say so, in seconds since 1970.
    pub created: Option<i64>,
    /// The store.
    pub store: PathBuf,
    /// How many layers are worked on at once.
    pub jobs: NonZeroUsize,
}

impl ImportJob {
    /// An import of all images that are there, under the names that they have there.
    #[must_use]
    pub fn new(source: Source, store: impl Into<PathBuf>) -> ImportJob {
        ImportJob {
            source,
            name: None,
            platform: None,
            run: RunConfig::default(),
            compression: Compression::Gzip,
            created: None,
            store: store.into(),
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// An image that was imported.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Imported {
    /// Its names, in full.
    pub names: Vec<String>,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// The platforms that its configurations say.
    pub platforms: Vec<String>,
    /// How many different layers it has.
    pub layers: usize,
    /// How many of them the store had already.
    pub present_layers: usize,
}

/// What came into the store.
pub(super) struct Kept {
    pub(super) reference: Reference,
    platforms: Vec<String>,
    layers: usize,
    present_layers: usize,
}

/// Imports images; each is called by its name when all of it is in the store, and its layers were
/// unpacked once to see that they can be.
///
/// # Errors
/// At the first thing that is not as it should be.
pub fn import(job: &ImportJob, control: &Control, on: Observer<'_>) -> Result<Vec<Imported>, Error> {
    try_import(job, control, on).map_err(|error| Error::image_in(Some(&job.store), &job.source, error))
}

fn try_import(job: &ImportJob, control: &Control, on: Observer<'_>) -> Result<Vec<Imported>, Error> {
    on(Event::Stage(Stage::Resolve));
    let store = open_store(Some(&job.store), on)?.expect("there is a path");
    let place = Workplace::open(Some(&store), None, &job.store, control)?;
    let images = match &job.name {
        Some(name) => {
            let full = full_name(name).filter(|full| !full.contains('@'));
            vec![(job.source.clone(), vec![full.ok_or_else(|| Error::ImageName { name: name.clone() })?])]
        }
        None => named(job, &place)?,
    };
    let mut imported: Vec<Imported> = Vec::new();
    for (source, names) in images {
        on(Event::Stage(Stage::Resolve));
        let tell = |event: cvbake_fetch::Event| on(event.into());
        let blobs = open_source(&source, &Options::default(), &place, None, &tell)?;
        let pin = store.pin([])?;
        let intake = Intake {
            blobs: &*blobs,
            store: &store,
            place: &place,
            pin: &pin,
            compression: job.compression,
            control,
            on,
        };
        let work = Work { job, intake };
        let kept = match blobs.root() {
            Root::Candidates(_) => work.documents()?,
            Root::Docker { .. } | Root::Bare { .. } => work.convert()?,
        };
        // What can't be had again is safe before it has a name.
        store.flush()?;
        give(&store, &names, &kept.reference, Origin::Import, on)?;
        let Kept { reference, platforms, layers, present_layers } = kept;
        imported.push(Imported { names, digest: reference.digest, platforms, layers, present_layers });
    }
    store.flush()?;
    Ok(imported)
}

/// The images of a place, with the names that they have there.
fn named(job: &ImportJob, place: &Workplace) -> Result<Vec<(Source, Vec<String>)>, Error> {
    let mut named = Vec::new();
    let found = cvbake_fetch::names(&job.source, place.path())?;
    let sources: Vec<String> = found.iter().map(|(source, _)| source.to_string()).collect();
    for (source, names) in found {
        let names: Vec<String> =
            names.iter().filter_map(|name| full_name(name)).filter(|name| !name.contains('@')).collect();
        if !names.is_empty() {
            named.push((source, names));
        }
    }
    if named.is_empty() {
        return Err(Error::Unnamed { sources });
    }
    Ok(named)
}

/// Makes an image with a manifest, in a store, of one without.
pub(super) fn convert(
    intake: Intake<'_>,
    image: &Image,
    run: &RunConfig,
    platform: Option<&Platform>,
    created: Option<i64>,
    jobs: NonZeroUsize,
) -> Result<Kept, Error> {
    (intake.on)(Event::Stage(Stage::Unpack));
    let keys: Vec<Option<Digest>> = image.layers().iter().map(Layer::diff_id).collect();
    let distinct = by_size(distinct(image.layers(), Layer::diff_id));
    let new = in_parallel(intake.control, jobs.get(), &distinct, &|layer, stop| {
        Ok((layer.diff_id(), intake.keep_new(layer, stop)?))
    })?;
    let new: BTreeMap<Option<Digest>, NewLayer> = new.into_iter().collect();
    archive::warn(image, new.values().find_map(|layer| layer.oddity), intake.on);
    let layers: Vec<Descriptor> = keys.iter().map(|key| new[key].descriptor.clone()).collect();
    let (config, digest, platform) = match image.config() {
        Some(config) => (config.raw().to_vec(), config.digest(), config.platform()),
        None => {
            let platform = platform.cloned().unwrap_or_else(Platform::host);
            let diff_id = new.values().next().expect("a bare root filesystem is one layer").diff_id;
            let config = documents::config(run, &platform, &diff_id, created);
            let digest = Digest::sha256(&config);
            (config, digest, Some(platform))
        }
    };
    let manifest = documents::manifest(&digest, config.len(), &layers);
    let reference = Reference {
        digest: Digest::sha256(&manifest),
        media_type: documents::MANIFEST.to_owned(),
        size: manifest.len() as u64,
    };
    intake.pin.add([digest, reference.digest])?;
    for (digest, bytes) in [(digest, &config), (reference.digest, &manifest)] {
        intake.keep(&digest, bytes.len() as u64, &bytes[..])?;
    }
    let platforms = platform.iter().map(Platform::to_string).collect();
    let present_layers = new.values().filter(|layer| layer.present).count();
    Ok(Kept { reference, platforms, layers: new.len(), present_layers })
}

/// The largest first: the one that takes longest begins first.
fn by_size(mut layers: Vec<&Layer>) -> Vec<&Layer> {
    layers.sort_by_key(|layer| (std::cmp::Reverse(layer.size()), layer.number()));
    layers
}

struct Work<'a> {
    job: &'a ImportJob,
    intake: Intake<'a>,
}

impl Work<'_> {
    /// An image without a manifest.
    fn convert(&self) -> Result<Kept, Error> {
        let ImportJob { platform, run, created, jobs, .. } = self.job;
        let image = prove(self.intake.blobs, &want(platform.as_ref()))?;
        announce(&image, Layer::diff_id, self.intake.on);
        convert(self.intake, &image, run, platform.as_ref(), *created, *jobs)
    }

    /// An image, or several in an index, byte for byte.
    fn documents(&self) -> Result<Kept, Error> {
        let Intake { blobs, pin, on, .. } = self.intake;
        let (contents, images) = self.images()?;
        let layers = by_size(distinct(images.iter().flat_map(Image::layers), Layer::digest));
        let size = layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.size()?));
        on(Event::Image { digest: Some(contents.top().digest), layers: layers.len(), bytes: size });
        on(Event::Stage(Stage::Unpack));
        pin.add(contents.digests())?;
        pin.add(images.iter().flat_map(Image::layers).filter_map(Layer::diff_id))?;
        let present = in_parallel(self.intake.control, self.job.jobs.get(), &layers, &|layer, stop| {
            self.intake.keep_known(layer, stop)
        })?;
        let present_layers = present.into_iter().filter(|present| *present).count();
        let done: BTreeSet<Digest> = layers.iter().filter_map(|layer| layer.digest()).collect();
        for blob in contents.blobs().iter().filter(|blob| !done.contains(&blob.digest)) {
            let bytes = CheckedReader::new(blobs.open(blob)?, blob.digest, blob.size);
            self.intake.keep(&blob.digest, blob.size, bytes)?;
        }
        for (digest, bytes) in contents.documents() {
            self.intake.keep(digest, bytes.len() as u64, &bytes[..])?;
        }
        let Descriptor { media_type, digest, size } = contents.top().clone();
        let platforms = everything::platforms(&images);
        let reference = Reference { digest, media_type, size };
        Ok(Kept { reference, platforms, layers: layers.len(), present_layers })
    }

    /// What is imported, and the images in it.
    fn images(&self) -> Result<(Contents, Vec<Image>), Error> {
        let blobs = self.intake.blobs;
        let one = |want: &Want| -> Result<(Contents, Vec<Image>), Error> {
            let image = prove(blobs, want)?;
            let contents = Contents::for_image(&image)?.expect("what a descriptor leads to has a manifest");
            Ok((contents, vec![image]))
        };
        if self.job.platform.is_some() {
            return one(&want(self.job.platform.as_ref()));
        }
        // Several of one name, told apart by their platforms only.
        let contents = Contents::for_everything(blobs).map_err(|error| match error {
            VerifyError::Read { .. } => Error::Partly { source: Box::new(error.into()) },
            error => error.into(),
        })?;
        let Some(contents) = contents else { return one(&Want::host()) };
        let images = everything::images(blobs, &contents)?;
        images.iter().for_each(|image| warn(image, self.intake.on));
        Ok((contents, images))
    }
}

fn want(platform: Option<&Platform>) -> Want {
    match platform {
        Some(platform) => Want { platform: platform.clone(), explicit: true },
        None => Want::host(),
    }
}
