//! The names of images, as whoever uses the store sees them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::entry::Health;
use crate::error::{Damage, Error};
use crate::event::Observer;
use crate::files::{BLOBS, Files, REPOSITORIES};
use crate::links::{Documents, Need, unnamed_images};
use crate::pin::pinned;
use crate::reference::{Named, Origin, Reference};
use crate::store_lock::lock_exclusive;
use crate::{index_json, naming, repositories};

/// What is known of the names of images.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct KnownNames {
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

/// The names of images in a store.
#[derive(Debug, Clone, Copy)]
pub struct Names<'s> {
    files: &'s Files,
}

impl<'s> Names<'s> {
    pub(crate) fn new(files: &'s Files) -> Names<'s> {
        Names { files }
    }

    /// What a name (`registry/path:tag`, `registry/path@digest`) points to, if that is known; a
    /// damaged entry is removed, reported, and counts as absent.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn get(self, name: &str, on: Observer<'_>) -> Result<Option<Reference>, Error> {
        Ok(repositories::get(self.files, name, on)?.map(|(reference, _)| reference))
    }

    /// Keeps what names point to, and who says so; waits for whoever has the store alone. What they
    /// point to is pinned by the caller, or may be gone before it has the names. What the names
    /// pointed to before keeps one if no registry gives it back: its digest.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn set<'n>(
        self,
        names: impl IntoIterator<Item = &'n str>,
        reference: &Reference,
        origin: Origin,
        on: Observer<'_>,
    ) -> Result<(), Error> {
        let _alone = lock_exclusive(self.files, || {})?;
        naming::set(self.files, names, reference, origin, on)
    }

    /// Forgets a name, and says whether it was known; what it points to stays. Waits as
    /// [`Names::set`] does.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove(self, name: &str) -> Result<bool, Error> {
        let _alone = lock_exclusive(self.files, || {})?;
        Ok(naming::remove(self.files, &[name])? > 0)
    }

    /// Notes that what a name points to is used now. Where that can't be written nobody will know.
    pub fn touch(self, name: &str) {
        repositories::touch(self.files, name);
    }

    /// All names that are known, in order, with what they point to and when they were used; damaged
    /// ones are removed and reported.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn list(self, on: Observer<'_>) -> Result<Vec<Named>, Error> {
        repositories::list(self.files, on)
    }

    /// Inspects all names, and changes nothing.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn inspect(self) -> Result<KnownNames, Error> {
        // What others add or take away meanwhile is in one of these only, and not lost.
        let before = self.listed()?;
        let mut names = KnownNames::default();
        for health in repositories::inspect(self.files, false)? {
            match health {
                Health::Absent => {}
                Health::Whole(named) => names.known.push(named),
                Health::Damaged { path, damage } => names.damaged.push((path, damage)),
            }
        }
        names.known.sort_by(|one, other| one.name.cmp(&other.name));
        names.all_lost = self.are_lost()?;
        if before.is_empty() {
            return Ok(names);
        }
        let known: BTreeSet<&str> = names.known.iter().map(|named| named.name.as_str()).collect();
        let after: BTreeSet<String> = self.listed()?.into_iter().map(|(name, _)| name).collect();
        for (name, reference) in before {
            let is_lost = !known.contains(name.as_str()) && after.contains(&name);
            if is_lost && self.files.has_entry(BLOBS, &reference.digest)? {
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
    pub fn unnamed(self) -> Result<Vec<Reference>, Error> {
        // In this order, so that nobody has to be kept from changing the store: what comes into it
        // is pinned first, and has its name before the pin goes.
        let mut unnamed = unnamed_images(self.files)?;
        if unnamed.is_empty() {
            return Ok(unnamed);
        }
        let pinned = pinned(self.files)?;
        let mut documents = Documents::new(self.files, &|_| {});
        let mut needed = BTreeSet::new();
        let KnownNames { known, lost, .. } = self.inspect()?;
        let named = known.into_iter().map(|named| named.reference).chain(lost.into_iter().map(|(_, image)| image));
        for digest in named.map(|image| image.digest).chain(pinned) {
            needed.extend(documents.needs(digest, false)?);
        }
        unnamed.retain(|image| !needed.contains(&Need::Document(image.digest)));
        Ok(unnamed)
    }

    /// Whether there are blobs, but nothing that says what they are called.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn are_lost(self) -> Result<bool, Error> {
        repositories::are_lost(self.files)
    }

    /// Where the names are.
    #[must_use]
    pub fn path(self) -> PathBuf {
        self.files.path().join(REPOSITORIES)
    }

    fn listed(self) -> Result<Vec<(String, Reference)>, Error> {
        match index_json::inspect(self.files, false)? {
            Health::Whole(listed) => Ok(listed),
            Health::Absent | Health::Damaged { .. } => Ok(Vec::new()),
        }
    }
}
