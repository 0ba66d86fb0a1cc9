//! Where a bake works: the store, if there is one, and a directory for temporary files.

use std::path::Path;
use std::sync::Arc;

use cvbake_disk::Draft;
use cvbake_durable::{PrivateDir, Temporary};
use cvbake_store::Store;

use crate::control::Control;
use crate::error::Error;
use crate::event::Observer;

/// A private directory that goes when the bake ends, however it ends: in the store, so that
/// finished work can be moved to its place there; without a store, beside the output, where there
/// is room for something as large.
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
        control: &Control,
    ) -> Result<Workplace, Error> {
        control.during(
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
    #[cfg(feature = "mkfs")]
    pub(crate) fn subdirectory(&self, name: &str) -> Result<std::path::PathBuf, Error> {
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

/// Opens the store, if there is to be one.
pub(crate) fn open_store(path: Option<&Path>, on: Observer<'_>) -> Result<Option<Store>, Error> {
    path.iter().for_each(|path| tracing::debug!("the store is {}", path.display()));
    Ok(path.map(|path| Store::open(path, &|event| on(event.into()))).transpose()?)
}

/// Opens the store, if there is to be one and there is one.
pub(crate) fn open_existing_store(path: Option<&Path>, on: Observer<'_>) -> Result<Option<Store>, Error> {
    path.iter().for_each(|path| tracing::debug!("the store is {}", path.display()));
    Ok(path.map(|path| Store::open_existing(path, &|event| on(event.into()))).transpose()?.flatten())
}
