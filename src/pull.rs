//! From a registry into the store, and no further.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use cvbake_fetch::{Options, Source};
use cvbake_store::Store;
use cvbake_verify::{Blobs, Digest, Image, Layer, Want};

use crate::bake::announce;
use crate::cleanup::Cleanup;
use crate::clock::Clock;
use crate::error::Error;
use crate::event::{Event, LayerEvent, Stage};
use crate::layers::with_another;
use crate::parallel::{Stop, in_parallel};
use crate::workplace::{Workplace, open_source, open_store, pin};

/// What to pull, and how.
#[derive(Debug, Clone)]
pub struct PullJob {
    /// Where the image is.
    pub source: Source,
    /// How to talk to the registry.
    pub registry: Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// Where the image goes.
    pub store: PathBuf,
    /// How many layers are worked on at once.
    pub jobs: NonZeroUsize,
}

/// What was pulled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pulled {
    /// The image, as it was asked for.
    pub reference: String,
    /// The digest of its manifest.
    pub image: Option<Digest>,
    /// The platform in its configuration, if it says one.
    pub platform: Option<String>,
    /// Its layers, lowest first, as they are stored, each with its length.
    pub layers: Vec<(Digest, u64)>,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

/// Brings an image into the store, complete and checked.
///
/// # Errors
/// At the first thing that is not as it should be.
pub fn pull(job: &PullJob, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Pulled, Error> {
    try_pull(job, cleanup, on).map_err(|error| Error::image(job.source.to_string(), error))
}

fn try_pull(job: &PullJob, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Pulled, Error> {
    let mut clock = Clock::start(Stage::Resolve, on);
    let store = open_store(Some(&job.store), on)?;
    let place = Workplace::open(store.as_ref(), None, &job.store, cleanup)?;
    let tell = |event: cvbake_fetch::Event| on(event.into());
    let blobs = open_source(&job.source, &job.registry, &place, store.as_ref(), &tell)?;
    let image = Image::verify(&*blobs, &job.want)?;
    let _pin = pin(store.as_ref(), &image)?;
    announce(&image, on);
    clock.next(Stage::Pull);
    let mut seen = BTreeSet::new();
    let mut distinct: Vec<&Layer> = image.layers().iter().filter(|layer| seen.insert(layer.digest())).collect();
    distinct.sort_by_key(|layer| (std::cmp::Reverse(layer.size()), layer.number()));
    in_parallel(job.jobs.get(), &distinct, &|layer, stop| {
        with_another(layer, &*blobs, &|| read_all(layer, &*blobs, stop, on))
    })?;
    store.iter().try_for_each(Store::settle)?;
    Ok(Pulled {
        reference: image.reference().to_owned(),
        image: image.identity().digest(),
        platform: image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
        layers: image.layers().iter().filter_map(|layer| layer.digest().zip(layer.size())).collect(),
        times: clock.stop(),
    })
}

/// Reading a layer brings it into the store, and its end says that all of it was right.
fn read_all(layer: &Layer, blobs: &dyn Blobs, stop: &Stop, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
    /// How much is read at once.
    const BUFFER: usize = 256 << 10;
    let number = layer.number();
    on(Event::Layer { number, event: LayerEvent::Started { bytes: layer.size() } });
    let mut reader = layer.open(blobs)?;
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
