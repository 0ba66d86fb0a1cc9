//! An image from the store, a layout or an archive → a registry.

use std::io::{self, Read};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use cvbake_fetch::{Blob, Manifest, Mounts, Name, Options, Packed, Problem, Put, Reference, Shipment, Source, Target};
use cvbake_store::Store;
use cvbake_verify::{Blobs, Descriptor, Digest, Layer, Root, Want};

use crate::clock::Clock;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, LayerEvent, Observer, Stage};
use crate::parallel::{Stop, in_parallel};
use crate::proof::{registry_name, wanted, warn};
use crate::source::{ImageSource, Located};
use crate::workplace::{Workplace, open_existing_store};

/// What to push, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PushJob {
    /// Which image. One that is named as in a registry comes from the store alone.
    pub source: ImageSource,
    /// Where it goes; to its own name in the store, if nothing says otherwise.
    pub target: Option<Name>,
    /// How to talk to the registry.
    pub registry: Options,
    /// The one image to push, or an index with all of its images that are there.
    pub select: PushSelect,
    /// The store, if there is one.
    pub store: Option<PathBuf>,
    /// Where temporary files go when there is no store.
    pub temporary: PathBuf,
    /// How many layers are compressed at once that are not.
    pub jobs: NonZeroUsize,
    /// How many bytes are sent at once; a whole blob, if nothing says otherwise.
    pub chunk: Option<NonZeroU64>,
    /// Whether layers are pushed, too, whose media types say that they are not to be distributed.
    pub private_layers: bool,
}

impl PushJob {
    /// A push of an image for this machine to its own name, with the defaults of the program, from
    /// no store.
    #[must_use]
    pub fn new(source: impl Into<ImageSource>) -> PushJob {
        PushJob {
            source: source.into(),
            target: None,
            registry: Options::default(),
            select: PushSelect::One(Want::host()),
            store: None,
            temporary: std::env::temp_dir(),
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            chunk: None,
            private_layers: false,
        }
    }
}

/// What of an index is pushed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PushSelect {
    /// The manifest for a platform.
    One(Want),
    /// The index itself, and every image that it lists and that is there.
    All,
}

/// What was pushed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pushed {
    /// The image, as it was asked for.
    pub reference: String,
    /// Where it is now.
    pub target: String,
    /// The digest of the manifest or index that the name there points to.
    pub image: Digest,
    /// The blobs, each with its length and how it got there.
    pub blobs: Vec<(Digest, u64, Put)>,
    /// The manifests and indexes.
    pub manifests: Vec<(Digest, Put)>,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

/// Brings an image to a registry: what is missing there of its blobs, and then its manifest.
///
/// # Errors
/// At the first thing that is not as it should be. Then the name in the registry points to what it
/// pointed to before.
pub fn push(job: &PushJob, control: &Control, on: Observer<'_>) -> Result<Pushed, Error> {
    let name = job.target.as_ref().map_or_else(|| job.source.to_string(), |target| format!("docker://{target}"));
    try_push(job, control, on).map_err(|error| match error {
        // What is wrong with the source says so itself.
        Error::Image { .. } | Error::NoSuchImage { .. } | Error::NoTarget { .. } => error,
        error => Error::image(name, error),
    })
}

/// Adds that it is about the source, and not about where that goes. A source in the store that is
/// not there at all is no matter of the registry that it is named after.
fn of_source(source: &ImageSource, error: Error) -> Error {
    let is_absent = |error: &cvbake_fetch::Error| match error {
        cvbake_fetch::Error::Registry { source, .. } => matches!(**source, Problem::NotStored),
        _ => false,
    };
    match (error, source) {
        (Error::Fetch(error), ImageSource::At(Source::Registry(name)) | ImageSource::Short(name))
            if is_absent(&error) =>
        {
            Error::NoSuchImage { name: name.to_string(), similar: Vec::new() }
        }
        (error, source) => Error::image(source.to_string(), error),
    }
}

fn try_push(job: &PushJob, control: &Control, on: Observer<'_>) -> Result<Pushed, Error> {
    let mut clock = Clock::start(Stage::Resolve, on);
    let store = match &job.source {
        ImageSource::At(Source::Registry(_)) | ImageSource::Short(_) | ImageSource::Digest(_) => {
            open_existing_store(job.store.as_deref(), on)?
        }
        // It may know what the registry has in other repositories, and nothing more is wanted of
        // it.
        _ => open_existing_store(job.store.as_deref(), on).unwrap_or_else(|error| {
            on(Event::Warning(error.line()));
            None
        }),
    };
    let place = Workplace::open(store.as_ref(), None, &job.temporary, control)?;
    let tell = |event: cvbake_fetch::Event| on(event.into());
    let located =
        job.source.locate(&job.registry, store.as_ref(), on).map_err(|error| of_source(&job.source, error))?;
    let blobs =
        located.open(&job.registry, &place, store.as_ref(), &tell).map_err(|error| of_source(&job.source, error))?;
    let mut ship = || -> Result<Shipment, Error> {
        Ok(match &job.select {
            PushSelect::One(want) => {
                let image = wanted(&*blobs, want, store.as_ref())?;
                warn(&image, on);
                match image.manifest() {
                    Some(_) => Shipment::for_image(&image, !job.private_layers, &tell)?,
                    None => {
                        if let Some(bytes) = image.layers_len_bytes() {
                            on(Event::Amount { bytes });
                        }
                        clock.next(Stage::Compress);
                        let layers: Vec<&Layer> = image.layers().iter().collect();
                        let packed = in_parallel(control, job.jobs.get(), &layers, &|layer, stop| {
                            let number = layer.number();
                            let tell = |event| on(Event::Layer { number, event });
                            tell(LayerEvent::Started { bytes: layer.size() });
                            let read = |bytes| tell(LayerEvent::Read { bytes });
                            let blobs = Stopping { blobs: &*blobs, stop, read: &read };
                            Ok(Packed::new(&image, layer, &blobs, place.path())?)
                        })?;
                        Shipment::for_packed(&image, packed)?
                    }
                }
            }
            PushSelect::All => Shipment::all(&*blobs, !job.private_layers, &tell)?,
        })
    };
    let shipment = ship().map_err(|error| Error::image(job.source.to_string(), error))?;
    let digests = shipment.manifests().iter().map(Manifest::digest).chain(shipment.digests());
    let _pin = store.as_ref().map(|store| store.pin(digests)).transpose()?;
    let (last, others) = shipment.manifests().split_last().expect("a shipment has a manifest");
    let bytes = shipment.len_bytes();
    on(Event::Image { digest: Some(last.digest()), layers: shipment.layer_count(), bytes });
    // A short name is one that the store or the configuration knows.
    let own: Option<Reference> =
        located.is_in_registry().then(|| Name::new(blobs.reference()).map(|name| (*name).clone())).flatten();
    let given = job.target.as_ref().map(|name| cvbake_fetch::push_name(name, &job.registry, &tell)).transpose()?;
    let name = given.as_ref().or(own.as_ref()).ok_or_else(|| job.source.no_target())?;
    let known = |store| Mounts::known(store, name, own.as_ref(), &shipment.digests(), &tell);
    let mounts = store.as_ref().map(known).unwrap_or_default();
    let target = Target::new(name, &job.registry, mounts, job.chunk, &tell)?;
    target.check_name(name, &last.digest())?;

    clock.next(Stage::Push);
    let mut order: Vec<&Blob> = shipment.blobs().iter().collect();
    order.sort_by_key(|blob| std::cmp::Reverse(blob.size()));
    let mut put = in_parallel(control, job.registry.connections.get(), &order, &|blob, stop| {
        put_blob(&target, blob, &Stopping { blobs: &*blobs, stop, read: &|_| {} }, on).map_err(|error| match error {
            Error::Fetch(error @ cvbake_fetch::Error::Blob { .. }) => of_source(&job.source, error.into()),
            error => error,
        })
    })?;
    let position = |digest: &Digest| shipment.blobs().iter().position(|blob| blob.digest() == *digest);
    put.sort_by_key(|(digest, ..)| position(digest));

    let mut count = 0;
    for (absent, platform) in shipment.absent() {
        if !target.has_manifest(&absent.digest)? {
            count += 1;
            tell(cvbake_fetch::Event::AbsentManifest { digest: absent.digest, platform: platform.clone() });
        }
    }
    // Some registries take such an index, and others do not say what is wrong with it.
    let refused = |error: Error| match count {
        1.. if error.is_refusal() => {
            let is_stored = located.is_in_registry() || matches!(located, Located::Stored { .. });
            let registry_name = store.as_ref().filter(|_| is_stored).and_then(|store| registry_name(&*blobs, store));
            Error::ListsAbsent { count, registry_name, source: Box::new(error) }
        }
        _ => error,
    };
    let put_manifest =
        |manifest: &Manifest, tag| target.put_manifest(manifest, tag).map_err(|error| refused(error.into()));
    let mut manifests = Vec::new();
    for manifest in others {
        manifests.push((manifest.digest(), put_manifest(manifest, None)?));
    }
    let tag = match (name.tag(), name.digest()) {
        (None, Some(_)) => None,
        (tag, _) => Some(tag.unwrap_or("latest")),
    };
    manifests.push((last.digest(), put_manifest(last, tag)?));
    store.iter().try_for_each(Store::flush)?;
    Ok(Pushed {
        reference: blobs.reference().to_owned(),
        target: name.whole(),
        image: last.digest(),
        blobs: put,
        manifests,
        times: clock.stop(),
    })
}

fn put_blob(
    target: &Target<'_>,
    blob: &Blob,
    blobs: &dyn Blobs,
    on: Observer<'_>,
) -> Result<(Digest, u64, Put), Error> {
    let put = target.put_blob(blob, blobs, &|event| on(event.into()))?;
    if put != Put::Sent {
        on(Event::Spared { bytes: blob.size() });
    }
    Ok((blob.digest(), blob.size(), put))
}

/// Blobs that can be read until that is for nothing, and are counted meanwhile.
struct Stopping<'a> {
    blobs: &'a dyn Blobs,
    stop: &'a Stop<'a>,
    read: &'a (dyn Fn(u64) + Sync),
}

impl Blobs for Stopping<'_> {
    fn reference(&self) -> &str {
        self.blobs.reference()
    }

    fn root(&self) -> &Root {
        self.blobs.root()
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Stoppable { inner: self.blobs.open(blob)?, stop: self.stop, read: self.read }))
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Stoppable { inner: self.blobs.open_layer(layer)?, stop: self.stop, read: self.read }))
    }
}

struct Stoppable<'a> {
    inner: Box<dyn Read + Send + 'a>,
    stop: &'a Stop<'a>,
    read: &'a (dyn Fn(u64) + Sync),
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        let count = self.inner.read(buffer)?;
        (self.read)(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content that never ends.
    struct Endless(Root);

    impl Blobs for Endless {
        fn reference(&self) -> &str {
            "endless"
        }

        fn root(&self) -> &Root {
            &self.0
        }

        fn open(&self, _: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
            Ok(Box::new(io::repeat(0)))
        }

        fn open_layer(&self, _: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
            Ok(Box::new(io::repeat(0)))
        }
    }

    #[test]
    fn a_failure_stops_the_others() {
        let blobs = Endless(Root::Candidates(Vec::new()));
        let blob = Descriptor { media_type: String::new(), digest: Digest::sha256(b""), size: u64::MAX };
        let work = |fails: &bool, stop: &Stop<'_>| -> Result<u64, Error> {
            if *fails {
                return Err(Error::NotInRegistry);
            }
            let blobs = Stopping { blobs: &blobs, stop, read: &|_| {} };
            Ok(io::copy(&mut blobs.open(&blob)?, &mut io::sink())?)
        };
        let error = in_parallel(&Control::new(), 2, &[false, true], &work).unwrap_err();
        assert!(matches!(error, Error::NotInRegistry), "{error}");
    }
}
