//! Taking stock, and removing what is not needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::SystemTime;

use cvbake_verify::Digest;
use rustix::fs::Stat;

use crate::entry::{Fault, len_bytes, open, times};
use crate::layout::INDEX_JSON;
use crate::links::{Documents, Need};
use crate::partial::{PARTIAL, blob_of, remove_partial};
use crate::plan::{Beginning, Image, Imported, Inventory, Removal, Rules, Unpacked, plan};
use crate::reference::{Origin, REPOSITORIES};
use crate::{BLOBS, Error, Event, INDEXES, PACKS, Store, Sweep};

/// How much there is of something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: usize,
    /// Of how many bytes together.
    pub bytes: u64,
}

impl Amount {
    fn of(bytes: impl IntoIterator<Item = u64>) -> Amount {
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

impl Sweep<'_> {
    /// What would go by these rules. Names that only `index.json` has are restored first: what they
    /// stand for is needed.
    ///
    /// # Errors
    /// When the store can't be read, or when the names of all images are lost and the rules don't
    /// say that that is no matter.
    pub fn plan(&self, rules: &Rules, on: &(dyn Fn(Event) + Sync)) -> Result<Removal, Error> {
        self.store.restore_names(&[], on)?;
        if !rules.even_if_lost && self.store.has_lost_names()? {
            return Err(Error::NamesLost { path: self.store.path().to_owned() });
        }
        Ok(plan(&self.store.inventory(self.pinned(), on)?, rules, Imported::Last))
    }

    /// What would go so that no more than this is left, if nobody has asked for just that: imported
    /// images may be spared.
    ///
    /// # Errors
    /// As [`Sweep::plan`].
    pub fn plan_room(
        &self,
        keep_bytes: u64,
        imported: Imported,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<Removal, Error> {
        self.store.restore_names(&[], on)?;
        if self.store.has_lost_names()? {
            return Err(Error::NamesLost { path: self.store.path().to_owned() });
        }
        let rules = Rules { keep_bytes: Some(keep_bytes), ..Rules::default() };
        Ok(plan(&self.store.inventory(self.pinned(), on)?, &rules, imported))
    }

    /// Removes what was planned.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn remove(&self, removal: &Removal) -> Result<(), Error> {
        // In this order: what is interrupted leaves what nothing needs, not names of what is not
        // there.
        if !removal.images.is_empty() {
            let names: Vec<&str> = removal.images.iter().map(String::as_str).collect();
            self.store.delete_references(&names)?;
        }
        removal.blobs.iter().try_for_each(|digest| self.store.remove_entry(BLOBS, digest))?;
        for digest in &removal.layers {
            // A pack without its index would be of no use.
            self.store.remove_entry(PACKS, digest)?;
            self.store.remove_entry(INDEXES, digest)?;
        }
        if let Some(dir) = self.store.root.existing_subdir(PARTIAL)? {
            removal.partials.iter().try_for_each(|name| remove_partial(&dir, OsStr::new(name)))?;
        }
        if self.store.root.exists(REPOSITORIES)? && !self.store.root.exists(INDEX_JSON)? {
            unless_full(self.store.write_index_json(&[], File::sync_all, &|_| {}).map(drop))?;
        }
        // Its time is that of the last collection.
        unless_full(self.gate().write_all_at(b"\n", 0).map_err(|source| self.store.gate_not_written(source)))
    }
}

/// On a full filesystem that something was removed is what counts; what can't be written is written
/// another time.
fn unless_full(written: Result<(), Error>) -> Result<(), Error> {
    match written {
        Err(error) if error.is_full() => Ok(()),
        written => written,
    }
}

impl Store {
    /// What is in the store; what would go by these rules counts as reclaimable.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn stats(&self, rules: &Rules, on: &(dyn Fn(Event) + Sync)) -> Result<Stats, Error> {
        // Who can only read a store can't keep others from changing it: then the numbers are those
        // of no single moment.
        let sweep = self.sweep(on).ok();
        let none = BTreeSet::new();
        let inventory = self.inventory(sweep.as_ref().map_or(&none, Sweep::pinned), on)?;
        let removal = plan(&inventory, rules, Imported::Last);
        let layers = inventory.layers.values();
        let needs: BTreeSet<&Need> = inventory.images.iter().flat_map(|image| &image.needs).collect();
        let there = |need: &&&Need| match need {
            Need::Layer(digest) => inventory.blobs.contains_key(digest),
            Need::Document(_) | Need::Unpacked(_) => false,
        };
        let space = rustix::fs::fstatvfs(&self.root.fd)
            .map_err(|source| Error::Read { path: self.path().to_owned(), source: source.into() })?;
        Ok(Stats {
            images: inventory.images.len(),
            layers: needs.iter().filter(there).count(),
            blobs: Amount::of(inventory.blobs.values().copied()),
            partials: Amount::of(self.partials()?.into_iter().map(|(_, stat, _)| len_bytes(&stat))),
            indexes: Amount::of(layers.clone().filter_map(|layer| layer.index_bytes)),
            packs: Amount::of(layers.filter_map(|layer| layer.pack_bytes)),
            scratch_bytes: tree_bytes(&self.path().join(crate::scratch::SCRATCH)),
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            last_collection: self.last_collection(),
            reclaimable_bytes: removal.bytes,
        })
    }

    /// Whether there are blobs, but nothing that says what they are called.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn has_lost_names(&self) -> Result<bool, Error> {
        Ok(!self.root.exists(REPOSITORIES)? && (self.root.exists(INDEX_JSON)? || !self.blobs()?.is_empty()))
    }

    fn inventory(&self, pinned: &BTreeSet<Digest>, on: &(dyn Fn(Event) + Sync)) -> Result<Inventory, Error> {
        let mut documents = Documents::new(self, on);
        let mut inventory = Inventory { blobs: self.blobs()?.into_iter().collect(), ..Inventory::default() };
        for image in self.images(on)? {
            let needs = documents.needs(image.reference.digest, true)?;
            let (imported, anonymous) = (image.origin == Origin::Import, image.is_anonymous());
            inventory.images.push(Image { name: image.name, imported, anonymous, used: image.used, needs });
        }
        for digest in pinned {
            inventory.pinned.extend(documents.needs(*digest, false)?);
            inventory.pinned.extend([Need::Layer(*digest), Need::Unpacked(*digest)]);
        }
        inventory.layers = self.unpacked()?;
        for (name, stat, held) in self.partials()? {
            // Not a name that we give; nobody else's either.
            let Ok(name) = name.into_string() else { continue };
            let pinned = held || blob_of(&name).is_some_and(|digest| pinned.contains(&digest));
            inventory.partials.push(Beginning { name, pinned, bytes: len_bytes(&stat), used: times(&stat).0 });
        }
        Ok(inventory)
    }

    fn unpacked(&self) -> Result<BTreeMap<Digest, Unpacked>, Error> {
        let mut layers: BTreeMap<Digest, Unpacked> = BTreeMap::new();
        for kind in [INDEXES, PACKS] {
            for (digest, stat) in self.entries(kind)? {
                let used = times(&stat).1;
                let layer = layers.entry(digest).or_insert(Unpacked { index_bytes: None, pack_bytes: None, used });
                layer.used = layer.used.max(used);
                match kind {
                    INDEXES => layer.index_bytes = Some(len_bytes(&stat)),
                    _ => layer.pack_bytes = Some(allocated_bytes(&stat)),
                }
            }
        }
        Ok(layers)
    }

    /// The beginnings of blobs, and whether a process adds to them.
    fn partials(&self) -> Result<Vec<(OsString, Stat, bool)>, Error> {
        use std::os::unix::ffi::OsStringExt as _;
        let mut partials = Vec::new();
        let Some(dir) = self.root.existing_subdir(PARTIAL)? else { return Ok(partials) };
        for name in dir.names()? {
            let name = OsString::from_vec(name);
            let Ok(stat) = dir.stat(&name) else { continue };
            let held = match open(&dir, &name) {
                Ok(Some((file, _))) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
                Ok(None) => continue,
                Err(Fault::Damage(_)) => false,
                Err(Fault::Error(source)) => return Err(Error::Read { path: dir.join(&name), source }),
            };
            partials.push((name, stat, held));
        }
        Ok(partials)
    }
}

/// A pack has holes.
fn allocated_bytes(stat: &Stat) -> u64 {
    /// What `st_blocks` counts in, whatever the filesystem.
    const UNIT: u64 = 512;
    u64::try_from(stat.st_blocks).map_or(0, |blocks| blocks.saturating_mul(UNIT)).min(len_bytes(stat))
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
