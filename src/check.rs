//! Reads everything in a store again and compares it with its digests.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cvbake_store::{Damage, Health, Object, PackSeal, Store};
use cvbake_unpack::Index;
use cvbake_verify::Digest;

use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Finding, Observer, Stage};
use crate::images::{self, Incomplete};
use crate::parallel::in_parallel;

/// What a check of the store found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// How many blobs and layers there were.
    pub objects: usize,
    /// How many bytes they had.
    pub bytes: u64,
    /// What is damaged, and how, in the order of the paths.
    pub damaged: Vec<(PathBuf, Damage)>,
    /// Images that lack something, in the order of their names. That is no damage.
    pub incomplete: Vec<Incomplete>,
    /// Manifests and indexes that no name leads to, in order, unless all names are lost.
    pub unnamed: Vec<Digest>,
}

impl Checked {
    /// The names of images that lack something, each once.
    #[must_use]
    pub fn incomplete_names(&self) -> BTreeSet<&str> {
        self.incomplete.iter().map(|image| image.name.as_str()).collect()
    }

    /// What can be done about what is no damage.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let names = self.incomplete_names();
        let incomplete = (!names.is_empty()).then_some(Finding::Incomplete { images: names.len() });
        let unnamed = (!self.unnamed.is_empty()).then_some(Finding::Unnamed { images: self.unnamed.len() });
        incomplete.into_iter().chain(unnamed).collect()
    }
}

/// Reads everything in the store and compares it with its digests and checksums. To repair it, what
/// is damaged is removed and counts as absent, and names of images that are lost are restored as
/// far as anything tells them.
///
/// # Errors
/// When the store can't be read, or not repaired.
pub fn check(
    store: &Store,
    repair: bool,
    jobs: NonZeroUsize,
    control: &Control,
    on: Observer<'_>,
) -> Result<Checked, Error> {
    let mut objects = store.maintenance().objects()?;
    objects.sort_by_key(|(object, bytes)| (std::cmp::Reverse(*bytes), *object));
    let bytes = objects.iter().map(|(_, bytes)| bytes).sum();
    on(Event::Amount { bytes });
    on(Event::Stage(Stage::Check));
    let damaged_blobs = Mutex::new(BTreeSet::new());
    let found = in_parallel(control, jobs.get(), &objects, &|(object, bytes), _| match object {
        Object::Blob(digest) => {
            let tell = |bytes| on(Event::Checked { bytes });
            let found = damage(store.blobs().check(digest, repair, &tell)?);
            if found.is_some() {
                damaged_blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
            }
            Ok(vec![found])
        }
        Object::Layer(diff_id) => {
            let found = check_layer(store, diff_id, repair)?;
            on(Event::Checked { bytes: *bytes });
            Ok(found)
        }
    })?;
    let mut damaged: Vec<(PathBuf, Damage)> = found.into_iter().flatten().flatten().collect();
    damaged.extend(store.maintenance().check_names(repair, &|event| on(event.into()))?);
    damaged.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut damaged_blobs = damaged_blobs.into_inner().unwrap_or_else(PoisonError::into_inner);
    if repair {
        // They are not there any more.
        damaged_blobs.clear();
    }
    let incomplete = images::incomplete(store, &damaged_blobs)?;
    let all_lost = damaged.iter().any(|(_, damage)| matches!(damage, Damage::NamesLost { .. }));
    let unnamed = if all_lost && !repair { Vec::new() } else { images::without_name(store)? };
    Ok(Checked { objects: objects.len(), bytes, damaged, incomplete, unnamed })
}

/// The index, and the pack, of which only the index knows what it has to be.
fn check_layer(store: &Store, diff_id: &Digest, repair: bool) -> Result<Vec<Option<(PathBuf, Damage)>>, Error> {
    Ok(match store.layers().check_index(diff_id, repair)? {
        Health::Whole(payload) => match Index::decode(&payload) {
            Ok(index) => {
                let seal = PackSeal { len: index.seal().len, crcs: &index.seal().crcs };
                vec![damage(store.layers().check_pack(diff_id, &seal, repair)?)]
            }
            // Another version's: nobody uses it, and the next bake replaces it.
            Err(_) => Vec::new(),
        },
        index => {
            let pack = store.layers().check_lone_pack(diff_id, &index, repair)?;
            vec![damage(index), damage(pack)]
        }
    })
}

fn damage<T>(health: Health<T>) -> Option<(PathBuf, Damage)> {
    match health {
        Health::Damaged { path, damage } => Some((path, damage)),
        Health::Absent | Health::Whole(_) => None,
    }
}
