//! Looking without changing anything: whatever is wrong stays where it is.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use cvbake_verify::Digest;

use crate::dir::Dir;
use crate::entry::{Entry, Fault, fault};
use crate::links::{Documents, Need};
use crate::reference::REPOSITORIES;
use crate::{BLOBS, Damage, Error, Health, INDEXES, Named, Reference, Store};

/// What is known of the names of images.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Names {
    /// Names, in order, with what they point to.
    pub known: Vec<Named>,
    /// What does not say what its name points to.
    pub damaged: Vec<(PathBuf, Damage)>,
    /// Names that only `index.json` has any more, in order, though what they point to is there.
    pub lost: Vec<(String, Reference)>,
    /// Whether there is nothing at all that says what the blobs are called, but perhaps
    /// `index.json`.
    pub all_lost: bool,
}

impl Store {
    /// Opens a store that is there, and does not even tidy it.
    ///
    /// # Errors
    /// When there is something, but no store that can be used.
    pub fn open_to_look(path: &Path) -> Result<Option<Store>, Error> {
        let Some(root) = Dir::open_existing_root(path)? else { return Ok(None) };
        if !root.exists(INDEXES)? {
            root.check_unused()?;
            return Ok(None);
        }
        Ok(Some(Store::at(root)))
    }

    /// Looks at a blob, which should have a size: whole means that it has. Its bytes are still to
    /// be checked.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn look_at_blob(&self, digest: &Digest, size: u64) -> Result<Health<File>, Error> {
        let Some(dir) = self.entry_dir(BLOBS, digest)? else { return Ok(Health::Absent) };
        Entry::examine(&dir, &digest.hex(), false, |entry| {
            if entry.len != size {
                return Err(Fault::Damage(Damage::Length { expected: size, found: entry.len }));
            }
            entry.file.try_clone().map_err(fault)
        })
    }

    /// Looks at all names.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn look_at_names(&self) -> Result<Names, Error> {
        // What others add or take away meanwhile is in one of these only, and not lost.
        let before = self.listed()?;
        let mut names = Names::default();
        for health in self.check_references(false)? {
            match health {
                Health::Absent => {}
                Health::Whole(named) => names.known.push(named),
                Health::Damaged { path, damage } => names.damaged.push((path, damage)),
            }
        }
        names.known.sort_by(|one, other| one.name.cmp(&other.name));
        names.all_lost = self.has_lost_names()?;
        if before.is_empty() {
            return Ok(names);
        }
        let known: BTreeSet<&str> = names.known.iter().map(|named| named.name.as_str()).collect();
        let after: BTreeSet<String> = self.listed()?.into_iter().map(|(name, _)| name).collect();
        for (name, reference) in before {
            let is_lost = !known.contains(name.as_str()) && after.contains(&name);
            if is_lost && self.blob_is_there(&reference.digest)? {
                names.lost.push((name, reference));
            }
        }
        names.lost.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(names)
    }

    /// Manifests and indexes among the blobs that no name leads to, not even their digests, nor
    /// anything that a running process uses.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn unnamed(&self) -> Result<Vec<Reference>, Error> {
        // In this order, so that nobody has to be kept from changing the store: what comes into it
        // is pinned first, and has its name before the pin goes.
        let mut unnamed = self.unnamed_images()?;
        if unnamed.is_empty() {
            return Ok(unnamed);
        }
        let pinned = self.pinned()?;
        let mut documents = Documents::new(self, &|_| {});
        let mut needed = BTreeSet::new();
        let Names { known, lost, .. } = self.look_at_names()?;
        let named = known.into_iter().map(|named| named.reference).chain(lost.into_iter().map(|(_, image)| image));
        for digest in named.map(|image| image.digest).chain(pinned) {
            needed.extend(documents.needs(digest, false)?);
        }
        unnamed.retain(|image| !needed.contains(&Need::Document(image.digest)));
        Ok(unnamed)
    }

    /// Where the names stand.
    #[must_use]
    pub fn names_path(&self) -> PathBuf {
        self.path().join(REPOSITORIES)
    }

    fn listed(&self) -> Result<Vec<(String, Reference)>, Error> {
        match self.check_index_json(false)? {
            Health::Whole(listed) => Ok(listed),
            Health::Absent | Health::Damaged { .. } => Ok(Vec::new()),
        }
    }
}
