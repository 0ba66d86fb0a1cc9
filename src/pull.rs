//! An image from a registry → the store, and no further.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use cvbake_fetch::export::Contents;
use cvbake_fetch::{Options, Source};
use cvbake_store::{Pin, Store};
use cvbake_verify::{Blobs, CheckedReader, Descriptor, Digest, Image, Layer, Want};

use crate::clock::Clock;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, LayerEvent, Observer, Stage};
use crate::everything;
use crate::layers::retry_elsewhere;
use crate::parallel::{Stop, in_parallel};
use crate::proof::{Admitted, admit, warn};
use crate::source::open_source;
use crate::workplace::{Workplace, open_store};

/// What to pull, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PullJob {
    /// The registry that the image is in, and its name there.
    pub source: Source,
    /// How to talk to the registry.
    pub registry: Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// Whether all platforms are pulled, with whatever else the image's index lists.
    pub all: bool,
    /// Where the image goes.
    pub store: PathBuf,
}

impl PullJob {
    /// A pull of an image for this machine into a store.
    #[must_use]
    pub fn new(source: Source, store: impl Into<PathBuf>) -> PullJob {
        PullJob { source, registry: Options::default(), want: Want::host(), all: false, store: store.into() }
    }
}

/// What was pulled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pulled {
    /// The image, as it was asked for.
    pub reference: String,
    /// The digest of its manifest, or of the index if all platforms were pulled.
    pub image: Option<Digest>,
    /// The platforms in the configurations, as far as they say one.
    pub platforms: Vec<String>,
    /// Its layers, lowest first, as they are stored, each with its length. Of several images each
    /// one once.
    pub layers: Vec<(Digest, u64)>,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

/// Brings an image from a registry into the store, complete and checked.
///
/// # Errors
/// When it is not in a registry, or at the first thing that is not as it should be.
pub fn pull(job: &PullJob, control: &Control, on: Observer<'_>) -> Result<Pulled, Error> {
    try_pull(job, control, on).map_err(|error| Error::image_in(Some(&job.store), &job.source, error))
}

fn try_pull(job: &PullJob, control: &Control, on: Observer<'_>) -> Result<Pulled, Error> {
    // Of a file or a directory nothing would come into the store.
    let Source::Registry(_) = &job.source else { return Err(Error::NotInRegistry) };
    let mut clock = Clock::start(Stage::Resolve, on);
    let store = open_store(Some(&job.store), on)?;
    let place = Workplace::open(store.as_ref(), None, &job.store, control)?;
    let tell = |event: cvbake_fetch::Event| on(event.into());
    let blobs = open_source(&job.source, &job.registry, &place, store.as_ref(), &tell)?;
    let blobs = &*blobs;
    let found =
        if job.all { Found::all(blobs, store.as_ref(), on)? } else { Found::one(blobs, job, store.as_ref(), on)? };
    clock.next(Stage::Pull);
    let mut seen = BTreeSet::new();
    let layers = found.images.iter().flat_map(Image::layers);
    let mut parts: Vec<Part<'_>> = layers.filter(|layer| seen.insert(layer.digest())).map(Part::Layer).collect();
    parts.extend(found.others.iter().filter(|other| seen.insert(Some(other.digest))).map(Part::Other));
    // Of one image they have their numbers in it; of several images there are as many layers with
    // the same one.
    let number = |at: usize, layer: &Layer| if job.all { at + 1 } else { layer.number() };
    let mut parts: Vec<(usize, Part<'_>)> = parts.into_iter().enumerate().collect();
    parts.sort_by_key(|(_, part)| std::cmp::Reverse(part.size()));
    in_parallel(control, job.registry.connections.get(), &parts, &|(at, part), stop| match part {
        Part::Layer(layer) => retry_elsewhere(layer, blobs, &|| {
            let number = number(*at, layer);
            on(Event::Layer { number, event: LayerEvent::Started { bytes: layer.size() } });
            read_all(layer.open(blobs)?, number, stop, on)
        }),
        Part::Other(other) => {
            let reader = blobs.open(other)?;
            read_all(Box::new(CheckedReader::new(reader, other.digest, other.size)), 0, stop, on)
        }
    })?;
    store.iter().try_for_each(Store::flush)?;
    let mut seen = BTreeSet::new();
    let is_told = |layer: &&Layer| !job.all || seen.insert(layer.digest());
    let layers = found.images.iter().flat_map(Image::layers).filter(is_told);
    Ok(Pulled {
        reference: blobs.reference().to_owned(),
        image: found.digest,
        platforms: everything::platforms(&found.images),
        layers: layers.filter_map(|layer| layer.digest().zip(layer.size())).collect(),
        times: clock.stop(),
    })
}

/// What there is to pull, of which the documents have come.
struct Found<'s> {
    digest: Option<Digest>,
    images: Vec<Image>,
    /// What belongs to an index beside images: attestations and the like.
    others: Vec<Descriptor>,
    _pin: Option<Pin<'s>>,
}

impl<'s> Found<'s> {
    fn one(blobs: &dyn Blobs, job: &PullJob, store: Option<&'s Store>, on: Observer<'_>) -> Result<Found<'s>, Error> {
        let Admitted { image, pin } = admit(blobs, &job.want, Layer::digest, store, on)?;
        Ok(Found { digest: image.identity().digest(), images: vec![image], others: Vec::new(), _pin: pin })
    }

    fn all(blobs: &dyn Blobs, store: Option<&'s Store>, on: Observer<'_>) -> Result<Found<'s>, Error> {
        let contents = Contents::for_everything(blobs)?.expect("a name in a registry stands for one document");
        let images = everything::images(blobs, &contents)?;
        let pin = store.map(|store| store.pin(contents.digests())).transpose()?;
        images.iter().for_each(|image| warn(image, on));
        let layers: BTreeSet<Digest> = images.iter().flat_map(Image::layers).filter_map(Layer::digest).collect();
        let (digest, others) = (Some(contents.top().digest), contents.blobs().to_vec());
        let bytes = others.iter().try_fold(0u64, |sum, blob| sum.checked_add(blob.size));
        on(Event::Image { digest, layers: layers.len(), bytes });
        Ok(Found { digest, images, others, _pin: pin })
    }
}

/// What is pulled at once.
enum Part<'a> {
    Layer(&'a Layer),
    Other(&'a Descriptor),
}

impl Part<'_> {
    fn size(&self) -> Option<u64> {
        match self {
            Part::Layer(layer) => layer.size(),
            Part::Other(other) => Some(other.size),
        }
    }
}

/// Reading a blob brings it into the store, and its end says that all of it was right.
fn read_all(
    mut reader: Box<dyn Read + Send + '_>,
    number: usize,
    stop: &Stop<'_>,
    on: Observer<'_>,
) -> Result<(), Error> {
    /// How much is read at once.
    const BUFFER: usize = 256 << 10;
    let mut buffer = vec![0; BUFFER];
    loop {
        stop.check()?;
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => on(Event::Layer { number, event: LayerEvent::Read { bytes: count as u64 } }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_are_pulled_from() {
        for source in ["oci:dir", "tar:x", "tar:-", "docker-archive:x"] {
            let source: Source = source.parse().unwrap();
            let job = PullJob::new(source, "/nonexistent/store");
            let error = pull(&job, &Control::default(), &|_| {}).unwrap_err();
            assert!(error.line().contains("expected the name of an image in a registry"), "{}", error.line());
            assert_eq!(error.kind(), crate::error::Kind::Usage);
        }
    }
}
