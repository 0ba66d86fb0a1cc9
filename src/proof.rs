//! The one way from blobs to an image: proven to be what its digests say, kept in the store
//! meanwhile, and told. Whoever wants an image gets it here (a test sees to that), so that a policy
//! about who may be trusted has one place to be in.

use std::collections::HashSet;

use cvbake_store::{Named, Origin, Pin, Reference, Store};
use cvbake_verify::{Blobs, Config, Descriptor, Digest, Error as VerifyError, Image, Layer, Root, Want};

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::images::Details;
use crate::images::find::full_name;

/// An image that stays in the store, as far as it is there, as long as this lives.
pub(crate) struct Admitted<'s> {
    pub(crate) image: Image,
    pub(crate) pin: Option<Pin<'s>>,
}

/// The image that is wanted: proven, pinned and told. `key` is what the stage that comes tells
/// layers apart by.
pub(crate) fn admit<'s>(
    blobs: &dyn Blobs,
    want: &Want,
    key: fn(&Layer) -> Option<Digest>,
    store: Option<&'s Store>,
    on: Observer<'_>,
) -> Result<Admitted<'s>, Error> {
    let image = wanted(blobs, want, store)?;
    let pin = pin(store, &image)?;
    announce(&image, key, on);
    Ok(Admitted { image, pin })
}

/// The image that is wanted. Where its documents are not in the store and may not be fetched, the
/// error says for which platforms there are some.
pub(crate) fn wanted(blobs: &dyn Blobs, want: &Want, store: Option<&Store>) -> Result<Image, Error> {
    prove(blobs, want).map_err(|error| {
        let error = Error::from(error);
        let Some(store) = store.filter(|_| error.is_not_stored()) else { return error };
        match platforms_there(blobs, store) {
            Ok(available) if !available.is_empty() && !available.contains(&want.platform.to_string()) => {
                let wanted = want.platform.to_string();
                Error::PlatformNotStored { registry_name: registry_name(blobs, store), wanted, available }
            }
            _ => error,
        }
    })
}

/// An image, if the blobs are one.
pub(crate) fn prove(blobs: &dyn Blobs, want: &Want) -> Result<Image, VerifyError> {
    Image::verify(blobs, want)
}

/// The platforms of an index of which the store has the images.
fn platforms_there(blobs: &dyn Blobs, store: &Store) -> Result<Vec<String>, Error> {
    let Root::Candidates(candidates) = blobs.root() else { return Ok(Vec::new()) };
    let [top] = &candidates[..] else { return Ok(Vec::new()) };
    let Descriptor { digest, media_type, size } = top.descriptor.clone();
    let details = Details::of(store, &Reference { digest, media_type, size }, &|_| {})?;
    let there = details.images.iter().filter(|image| image.config.is_some());
    Ok(there.filter_map(|image| image.platform.clone()).collect())
}

/// The name by which a registry gives what starts with these blobs, also where somebody names it by
/// its digest; none if it was imported, whatever it is called.
pub(crate) fn registry_name(blobs: &dyn Blobs, store: &Store) -> Option<String> {
    let Root::Candidates(candidates) = blobs.root() else { return None };
    let [top] = &candidates[..] else { return None };
    let known = store.names().inspect().ok()?.known.into_iter();
    let is_given = |named: &Named| named.reference.digest == top.descriptor.digest && named.origin == Origin::Registry;
    let names: Vec<String> = known.filter(is_given).map(|named| named.name).collect();
    let own = full_name(blobs.reference()).filter(|own| names.contains(own));
    own.or_else(|| names.into_iter().next())
}

/// Keeps what an image needs in the store as long as this lives, whatever other processes remove
/// meanwhile.
fn pin<'s>(store: Option<&'s Store>, image: &Image) -> Result<Option<Pin<'s>>, Error> {
    let documents = [image.identity().digest(), image.config().map(Config::digest)];
    let layers = image.layers().iter().flat_map(|layer| [layer.digest(), layer.diff_id()]);
    let digests = documents.into_iter().chain(layers).flatten();
    Ok(store.map(|store| store.pin(digests)).transpose()?)
}

/// Tells what an image is. One layer that it has twice is worked on once.
pub(crate) fn announce(image: &Image, key: fn(&Layer) -> Option<Digest>, on: Observer<'_>) {
    let distinct = distinct(image.layers(), key);
    let bytes = distinct.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.size()?));
    let digest = image.descriptor().map(|manifest| manifest.digest);
    on(Event::Image { digest, layers: distinct.len(), bytes });
    warn(image, on);
}

/// Tells what is odd about an image.
pub(crate) fn warn(image: &Image, on: Observer<'_>) {
    image.warnings().iter().for_each(|warning| on(Event::Warning(warning.to_string())));
}

/// Each layer once, the lowest of those that are alike; layers without a key are like none.
pub(crate) fn distinct<'l>(
    layers: impl IntoIterator<Item = &'l Layer>,
    key: impl Fn(&Layer) -> Option<Digest>,
) -> Vec<&'l Layer> {
    let mut seen = HashSet::new();
    layers.into_iter().filter(|layer| key(layer).is_none_or(|key| seen.insert(key))).collect()
}
