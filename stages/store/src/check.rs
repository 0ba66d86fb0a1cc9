//! Looking at everything, also at what nobody asks for.
//!
//! Entries are checked one by one by [`Store::check_blob`], [`Store::check_index`] and
//! [`Store::check_pack`]; here is what concerns several of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use cvbake_verify::Digest;

use crate::entry::len_bytes;
use crate::reference::{REPOSITORIES, anonymous};
use crate::{BLOBS, Damage, Error, Event, Health, INDEXES, Origin, PACKS, Reference, Store};

/// Something to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A blob.
    Blob(Digest),
    /// The index of a layer, and its pack if there is one.
    Layer(Digest),
}

impl Store {
    /// All blobs and layers, with their lengths in bytes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn objects(&self) -> Result<Vec<(Object, u64)>, Error> {
        let blobs = self.blobs()?.into_iter().map(|(digest, bytes)| (Object::Blob(digest), bytes));
        let mut layers = BTreeMap::new();
        for kind in [INDEXES, PACKS] {
            for (digest, stat) in self.entries(kind)? {
                *layers.entry(digest).or_insert(0) += len_bytes(&stat);
            }
        }
        Ok(blobs.chain(layers.into_iter().map(|(digest, bytes)| (Object::Layer(digest), bytes))).collect())
    }

    /// A pack that has no index, or one that is damaged, and so is of no use: it is removed only if
    /// it is to be repaired.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn check_lone_pack<T>(&self, layer: &Digest, index: &Health<T>, repair: bool) -> Result<Health<()>, Error> {
        let name = layer.hex();
        let is_there =
            |kind| Ok::<_, Error>(self.entry_dir(kind, layer)?.filter(|dir| dir.stat(OsStr::new(&name)).is_ok()));
        let Some(dir) = is_there(PACKS)? else { return Ok(Health::Absent) };
        // Both may have come just now, the index first.
        if matches!(index, Health::Absent) && is_there(INDEXES)?.is_some() {
            return Ok(Health::Absent);
        }
        let path = dir.path.join(&name);
        if repair {
            self.remove_entry(PACKS, layer)?;
        }
        Ok(Health::Damaged { path, damage: Damage::NoIndex })
    }

    /// Looks at the names of files, names of images, and what they point to; what is wrong is
    /// removed, and what is lost made anew, only if it is to be repaired. To be called when the
    /// entries were checked.
    ///
    /// # Errors
    /// When the store can't be read, or not repaired.
    pub fn check_names(&self, repair: bool, on: &(dyn Fn(Event) + Sync)) -> Result<Vec<(PathBuf, Damage)>, Error> {
        let mut found = self.check_file_names(repair)?;
        // Who can only read a store can't keep others from changing it meanwhile.
        let _alone = match self.exclude(|| on(Event::WaitingForSweep)) {
            Err(error) if repair => return Err(error),
            alone => alone.ok(),
        };
        let all_lost = self.has_lost_names()?;
        let mut known = BTreeSet::new();
        let mut dangling = Vec::new();
        for health in self.check_references(repair)? {
            match health {
                Health::Absent => {}
                Health::Damaged { path, damage } => found.push((path, damage)),
                Health::Whole(named) => {
                    if self.blob_is_there(&named.reference.digest)? {
                        known.insert(named.name);
                    } else {
                        let digest = Box::new(named.reference.digest);
                        found.push((self.reference_path(&named.name), Damage::Dangling { digest }));
                        dangling.push(named.name);
                    }
                }
            }
        }
        let mut listed = self.listed_names(repair, &mut found)?;
        listed.retain(|(name, _)| !known.contains(name) && !dangling.contains(name));
        let names: Vec<&str> = dangling.iter().map(String::as_str).collect();
        if repair && !names.is_empty() {
            self.delete_references(&names)?;
        }
        let mut lost = Vec::new();
        for (name, reference) in listed {
            if self.blob_is_there(&reference.digest)? {
                let path = self.reference_path(&name);
                // What is damaged there was told already.
                if !found.iter().any(|(other, _)| *other == path) {
                    found.push((path, Damage::Lost));
                }
                lost.push((name, reference));
            }
        }
        if all_lost && lost.is_empty() {
            let images = self.unnamed_images()?.into_iter().map(|image| (anonymous(&image.digest), image));
            lost.extend(images);
            found.push((self.path().join(REPOSITORIES), Damage::NamesLost { images: lost.len() }));
        }
        if repair {
            for (name, reference) in &lost {
                self.write_reference_below(self.root.subdir(REPOSITORIES)?, name, reference, Origin::Import)?;
            }
            self.root.subdir(REPOSITORIES)?;
            self.write_index_json(&[], File::sync_all, &|_| {})?;
        }
        Ok(found)
    }

    pub(crate) fn blob_is_there(&self, digest: &Digest) -> Result<bool, Error> {
        let Some(dir) = self.entry_dir(BLOBS, digest)? else { return Ok(false) };
        Ok(dir.stat(OsStr::new(&digest.hex())).is_ok())
    }

    fn listed_names(
        &self,
        repair: bool,
        found: &mut Vec<(PathBuf, Damage)>,
    ) -> Result<Vec<(String, Reference)>, Error> {
        match self.check_index_json(repair)? {
            Health::Absent => Ok(Vec::new()),
            Health::Whole(listed) => Ok(listed),
            Health::Damaged { path, damage } => {
                found.push((path, damage));
                Ok(Vec::new())
            }
        }
    }

    /// What lies among the entries and has no name of one.
    fn check_file_names(&self, repair: bool) -> Result<Vec<(PathBuf, Damage)>, Error> {
        let mut found = Vec::new();
        for kind in [BLOBS, INDEXES, PACKS] {
            let Some(dir) = self.root.existing_subdir(kind)? else { continue };
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
