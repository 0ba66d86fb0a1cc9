//! Where a bake works: the store, if there is one, and a directory for temporary files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_disk::Draft;
use cvbake_durable::{PrivateDir, Temporary};
use cvbake_store::{Pin, Reference, Store};
use cvbake_verify::{Blobs, Config, Descriptor, Image, Root, Want};

use crate::cleanup::Cleanup;
use crate::error::Error;
use crate::event::Event;
use crate::images::Details;

/// A private directory that goes when the bake ends, however it ends: in the store, so that finished work can be
/// moved to its place there; without a store, beside the output, where there is room for something as large.
pub(crate) enum Workplace {
    Store(Arc<cvbake_store::Scratch>),
    Draft(Arc<PrivateDir>),
    /// Without an output, too.
    Temporary(PrivateDir),
}

impl Workplace {
    /// `temporary` is the directory for temporary files where there is neither store nor output.
    pub(crate) fn open(
        store: Option<&Store>,
        draft: Option<&Draft>,
        temporary: &Path,
        cleanup: &Cleanup,
    ) -> Result<Workplace, Error> {
        cleanup.during(
            || match (store, draft) {
                (Some(store), _) => Ok(Workplace::Store(store.scratch()?)),
                (None, Some(draft)) => Ok(Workplace::Draft(draft.scratch()?)),
                (None, None) => {
                    let dir = PrivateDir::create_in(temporary, "cvbake-");
                    let scratch = |source| Error::Scratch { path: temporary.to_owned(), source };
                    dir.map(Workplace::Temporary).map_err(scratch)
                }
            },
            |place| Some(place.temporary()),
        )
    }

    fn temporary(&self) -> &Arc<Temporary> {
        match self {
            Workplace::Store(scratch) => scratch.temporary(),
            Workplace::Draft(dir) => dir.temporary(),
            Workplace::Temporary(dir) => dir.temporary(),
        }
    }

    /// A new directory in it.
    pub(crate) fn subdirectory(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        std::fs::create_dir(&path).map_err(|source| Error::scratch(&path, source))?;
        Ok(path)
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Workplace::Store(scratch) => scratch.path(),
            Workplace::Draft(dir) => dir.path(),
            Workplace::Temporary(dir) => dir.path(),
        }
    }
}

/// The image that is wanted. Where its documents are not in the store and may not be fetched, the error says for which platforms there are
/// some.
pub(crate) fn verify(blobs: &dyn Blobs, want: &Want, store: Option<&Store>) -> Result<Image, Error> {
    Image::verify(blobs, want).map_err(|error| {
        let error = Error::from(error);
        let Some(store) = store.filter(|_| error.is_not_stored()) else { return error };
        match platforms_there(blobs, store) {
            Ok(available) if !available.is_empty() && !available.contains(&want.platform.to_string()) => {
                let wanted = want.platform.to_string();
                Error::PlatformNotStored { name: blobs.reference().to_owned(), wanted, available }
            }
            _ => error,
        }
    })
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

/// Keeps what an image needs in the store as long as this lives, whatever other processes remove meanwhile.
pub(crate) fn pin<'s>(store: Option<&'s Store>, image: &Image) -> Result<Option<Pin<'s>>, Error> {
    let documents = [image.identity().digest(), image.config().map(Config::digest)];
    let layers = image.layers().iter().flat_map(|layer| [layer.digest(), layer.diff_id()]);
    let digests = documents.into_iter().chain(layers).flatten();
    Ok(store.map(|store| store.pin(digests)).transpose()?)
}

/// Opens the store, if there is to be one.
pub(crate) fn open_store(path: Option<&Path>, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Store>, Error> {
    path.iter().for_each(|path| tracing::debug!("the store is {}", path.display()));
    Ok(path.map(|path| Store::open(path, &|event| on(event.into()))).transpose()?)
}

/// Opens the store, if there is to be one and there is one.
pub(crate) fn open_existing_store(path: Option<&Path>, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Store>, Error> {
    path.iter().for_each(|path| tracing::debug!("the store is {}", path.display()));
    Ok(path.map(|path| Store::open_existing(path, &|event| on(event.into()))).transpose()?.flatten())
}
