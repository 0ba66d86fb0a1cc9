//! Inspecting a store as a whole: how much is in it, and what is wrong with it.
//!
//! Entries are checked one by one by [`Blobs::check`], [`Layers::check_index`] and
//! [`Layers::check_pack`]; here is what concerns several of them.
//!
//! [`Blobs::check`]: crate::Blobs::check
//! [`Layers::check_index`]: crate::Layers::check_index
//! [`Layers::check_pack`]: crate::Layers::check_pack

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cvbake_verify::Digest;

use crate::entry::{Health, len_bytes};
use crate::error::{Damage, Error};
use crate::event::{Event, Observer};
use crate::exclusive::Exclusive;
use crate::files::{BLOBS, Files, INDEXES, PACKS, REPOSITORIES};
use crate::inventory::{inventory, partials};
use crate::links::{Need, unnamed_images};
use crate::plan::{Imported, Rules, plan};
use crate::reference::{Origin, Reference, anonymous};
use crate::scratch::SCRATCH;
use crate::store_lock::{last_collection, lock_exclusive};
use crate::{index_json, naming, repositories};

/// Something to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A blob.
    Blob(Digest),
    /// The index of a layer, and its pack if there is one.
    Layer(Digest),
}

/// How much there is of something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: usize,
    /// Of how many bytes together.
    pub bytes: u64,
}

impl Amount {
    fn new(bytes: impl IntoIterator<Item = u64>) -> Amount {
        let add = |sum: Amount, bytes| Amount { count: sum.count + 1, bytes: sum.bytes + bytes };
        bytes.into_iter().fold(Amount::default(), add)
    }
}

/// What is in a store, in numbers.
#[derive(Debug, Default, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// Names of images.
    pub images: usize,
    /// Distinct layers of them that are in the store, as they are distributed.
    pub layers: usize,
    /// Blobs.
    pub blobs: Amount,
    /// Beginnings of blobs.
    pub partials: Amount,
    /// Indexes of layers.
    pub indexes: Amount,
    /// Packs of layers.
    pub packs: Amount,
    /// What running processes work on.
    pub scratch_bytes: u64,
    /// What there is room for in the store's filesystem.
    pub free_bytes: u64,
    /// When something was last removed that nothing needed, if ever.
    pub last_collection: Option<SystemTime>,
    /// How many bytes would go by the rules.
    pub reclaimable_bytes: u64,
}

impl Stats {
    /// How many bytes there are in all.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.blobs.bytes + self.partials.bytes + self.indexes.bytes + self.packs.bytes + self.scratch_bytes
    }
}

/// A store as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Maintenance<'s> {
    files: &'s Files,
}

impl<'s> Maintenance<'s> {
    pub(crate) fn new(files: &'s Files) -> Maintenance<'s> {
        Maintenance { files }
    }

    /// All blobs and layers, with their lengths in bytes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn objects(self) -> Result<Vec<(Object, u64)>, Error> {
        let blobs =
            self.files.entries(BLOBS)?.into_iter().map(|(digest, stat)| (Object::Blob(digest), len_bytes(&stat)));
        let mut layers = BTreeMap::new();
        for kind in [INDEXES, PACKS] {
            for (digest, stat) in self.files.entries(kind)? {
                *layers.entry(digest).or_insert(0) += len_bytes(&stat);
            }
        }
        Ok(blobs.chain(layers.into_iter().map(|(digest, bytes)| (Object::Layer(digest), bytes))).collect())
    }

    /// What is in the store; what would go by these rules counts as reclaimable.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn stats(self, rules: &Rules, on: Observer<'_>) -> Result<Stats, Error> {
        // Who can only read a store can't keep others from changing it: then the numbers are those
        // of no single moment.
        let alone = Exclusive::lock(self.files, on).ok();
        let none = BTreeSet::new();
        let inventory = inventory(self.files, alone.as_ref().map_or(&none, Exclusive::pinned), on)?;
        let removal = plan(&inventory, rules, Imported::Last);
        let layers = inventory.layers.values();
        let needs: BTreeSet<&Need> = inventory.images.iter().flat_map(|image| &image.needs).collect();
        let there = |need: &&&Need| match need {
            Need::Layer(digest) => inventory.blobs.contains_key(digest),
            Need::Document(_) | Need::Unpacked(_) => false,
        };
        let space = rustix::fs::fstatvfs(&self.files.root.fd)
            .map_err(|source| Error::Read { path: self.files.path().to_owned(), source: source.into() })?;
        Ok(Stats {
            images: inventory.images.len(),
            layers: needs.iter().filter(there).count(),
            blobs: Amount::new(inventory.blobs.values().copied()),
            partials: Amount::new(partials(self.files)?.into_iter().map(|(_, stat, _)| len_bytes(&stat))),
            indexes: Amount::new(layers.clone().filter_map(|layer| layer.index_bytes)),
            packs: Amount::new(layers.filter_map(|layer| layer.pack_bytes)),
            scratch_bytes: tree_bytes(&self.files.path().join(SCRATCH)),
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            last_collection: last_collection(self.files),
            reclaimable_bytes: removal.bytes,
        })
    }

    /// Checks the names of files, names of images, and what they point to; what is wrong is
    /// removed, and what is lost made anew, only if it is to be repaired. To be called when the
    /// entries were checked.
    ///
    /// # Errors
    /// When the store can't be read, or not repaired.
    pub fn check_names(self, repair: bool, on: Observer<'_>) -> Result<Vec<(PathBuf, Damage)>, Error> {
        let mut found = self.check_file_names(repair)?;
        // Who can only read a store can't keep others from changing it meanwhile.
        let _alone = match lock_exclusive(self.files, || on(Event::WaitingForExclusive)) {
            Err(error) if repair => return Err(error),
            alone => alone.ok(),
        };
        let all_lost = repositories::are_lost(self.files)?;
        let mut known = BTreeSet::new();
        let mut dangling = Vec::new();
        for health in repositories::inspect(self.files, repair)? {
            match health {
                Health::Absent => {}
                Health::Damaged { path, damage } => found.push((path, damage)),
                Health::Whole(named) => {
                    if self.files.has_entry(BLOBS, &named.reference.digest)? {
                        known.insert(named.name);
                    } else {
                        let digest = Box::new(named.reference.digest);
                        found.push((repositories::path(self.files, &named.name), Damage::Dangling { digest }));
                        dangling.push(named.name);
                    }
                }
            }
        }
        let mut listed = self.listed_names(repair, &mut found)?;
        listed.retain(|(name, _)| !known.contains(name) && !dangling.contains(name));
        let names: Vec<&str> = dangling.iter().map(String::as_str).collect();
        if repair && !names.is_empty() {
            naming::remove(self.files, &names)?;
        }
        let mut lost = Vec::new();
        for (name, reference) in listed {
            if self.files.has_entry(BLOBS, &reference.digest)? {
                let path = repositories::path(self.files, &name);
                // What is damaged there was told already.
                if !found.iter().any(|(other, _)| *other == path) {
                    found.push((path, Damage::Lost));
                }
                lost.push((name, reference));
            }
        }
        if all_lost && lost.is_empty() {
            let images = unnamed_images(self.files)?.into_iter().map(|image| (anonymous(&image.digest), image));
            lost.extend(images);
            found.push((self.files.path().join(REPOSITORIES), Damage::NamesLost { images: lost.len() }));
        }
        if repair {
            for (name, reference) in &lost {
                repositories::write_below(
                    self.files,
                    self.files.root.subdir(REPOSITORIES)?,
                    name,
                    reference,
                    Origin::Import,
                )?;
            }
            self.files.root.subdir(REPOSITORIES)?;
            index_json::write(self.files, &[], File::sync_all, &|_| {})?;
        }
        Ok(found)
    }

    fn listed_names(self, repair: bool, found: &mut Vec<(PathBuf, Damage)>) -> Result<Vec<(String, Reference)>, Error> {
        match index_json::inspect(self.files, repair)? {
            Health::Absent => Ok(Vec::new()),
            Health::Whole(listed) => Ok(listed),
            Health::Damaged { path, damage } => {
                found.push((path, damage));
                Ok(Vec::new())
            }
        }
    }

    /// What lies among the entries and has no name of one.
    fn check_file_names(self, repair: bool) -> Result<Vec<(PathBuf, Damage)>, Error> {
        let mut found = Vec::new();
        for kind in [BLOBS, INDEXES, PACKS] {
            let Some(dir) = self.files.root.existing_subdir(kind)? else { continue };
            for algorithm in ["sha256", "sha512"] {
                let Some(dir) = dir.existing_subdir(algorithm)? else { continue };
                for name in dir.names()? {
                    let hex = std::str::from_utf8(&name).unwrap_or_default();
                    if format!("{algorithm}:{hex}").parse::<Digest>().is_ok() {
                        continue;
                    }
                    let name = OsStr::from_bytes(&name);
                    if repair {
                        dir.remove(name).map_err(|source| Error::Write { path: dir.join(name), source })?;
                    }
                    found.push((dir.join(name), Damage::Name));
                }
            }
        }
        Ok(found)
    }
}

/// The lengths of all files below a directory that others work in: what can't be looked at is not
/// counted.
fn tree_bytes(dir: &Path) -> u64 {
    let mut sum = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) => sum += metadata.len(),
                Err(_) => {}
            }
        }
    }
    sum
}
