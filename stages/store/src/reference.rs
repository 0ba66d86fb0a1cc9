//! What names of images pointed to when they were last looked up.
//!
//! ```text
//! repositories/docker.io/library/alpine/:3.20            {"digest": …, "mediaType": …, "size": …, "origin": "registry"}
//! repositories/localhost:5000/a/b/@sha256:<hex>
//! repositories/%/@sha256:<hex>                           an image that has no name
//! ```
//!
//! An image that no registry gives back gets the last of these when its last name goes to another
//! image, and loses it with its next name. So it stays until somebody says that it may go.
//!
//! A repository may be called like another one's tag, so the files' names begin with what no part
//! of a repository's does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

use cvbake_verify::{Digest, json};
use rustix::fs::AtFlags;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::entry::{Entry, Fault, fault, times, used_now};
use crate::layout::INDEX_JSON;
use crate::name::{locate, unescape};
use crate::{Damage, Error, Event, Health, Store};

pub(crate) const REPOSITORIES: &str = "repositories";

/// What a name points to: a manifest or an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Its digest.
    pub digest: Digest,
    /// What it was served as.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Where an image has its name from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A registry said what the name points to: it can be asked again.
    Registry,
    /// A file, or nobody knows: stores did not always note it, and other programs put images into
    /// them. What is lost may be lost for good.
    #[default]
    Import,
}

/// A name of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The name: `registry/path:tag` or `registry/path@digest`; `@digest` for an image that has
    /// none.
    pub name: String,
    /// What it points to.
    pub reference: Reference,
    /// Who says so.
    pub origin: Origin,
    /// When it was found to point there.
    pub pulled: SystemTime,
    /// When it was used last.
    pub used: SystemTime,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    digest: String,
    media_type: String,
    size: u64,
    #[serde(default)]
    origin: Origin,
}

impl Named {
    /// Whether the image has no name, and is called by its digest.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        is_anonymous(&self.name)
    }
}

/// What an image is called that has no name: its digest in no repository.
#[must_use]
pub fn anonymous(digest: &Digest) -> String {
    format!("@{digest}")
}

/// Whether an image that is called this has no name.
#[must_use]
pub fn is_anonymous(name: &str) -> bool {
    name.starts_with('@')
}

/// More than any [`Document`]: a digest, a media type, a number and a word.
const MAX_LEN: u64 = 4096;

impl Store {
    /// What a name (`registry/path:tag`, `registry/path@digest`) points to, if that is known; a
    /// damaged entry is removed, reported, and counts as absent.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn reference(&self, name: &str, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Reference>, Error> {
        Ok(self.named(name, on)?.map(|(reference, _)| reference))
    }

    pub(crate) fn named(&self, name: &str, on: &(dyn Fn(Event) + Sync)) -> Result<Option<(Reference, Origin)>, Error> {
        let (repository, file) = locate(name);
        let mut dir = self.root.existing_subdir(REPOSITORIES)?;
        for part in &repository {
            let Some(parent) = dir else { return Ok(None) };
            dir = parent.existing_subdir(part)?;
        }
        let Some(dir) = dir else { return Ok(None) };
        let Some(entry) = Entry::open(dir, file, on)? else { return Ok(None) };
        let read = read(&entry);
        Ok(entry.settle(read, on)?.map(|(_, found)| found))
    }

    /// Keeps what a name points to, as a registry says it; waits for whoever has the store alone.
    /// What it points to is pinned by the caller, or may be gone before it has the name. What the
    /// name pointed to before keeps one if no registry gives it back: its digest.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_reference(&self, name: &str, reference: &Reference, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
        self.set_references([name], reference, Origin::Registry, on)
    }

    /// As [`Store::set_reference`], for several names of the same, and whoever says so.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn set_references<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        reference: &Reference,
        origin: Origin,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<(), Error> {
        let _alone = self.exclude(|| {})?;
        self.write_references(names, reference, origin, on)
    }

    /// Forgets a name, and says whether it was known; what it points to stays. Waits as
    /// [`Store::set_reference`] does.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_reference(&self, name: &str) -> Result<bool, Error> {
        let _alone = self.exclude(|| {})?;
        Ok(self.delete_references(&[name])? > 0)
    }

    /// The same for who has the store alone already.
    pub(crate) fn write_references<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        reference: &Reference,
        origin: Origin,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<(), Error> {
        let names: Vec<&str> = names.into_iter().collect();
        // First: should this end half-way, the former image has a name too many, and not one too
        // few.
        self.keep_former(&names, reference, on)?;
        let root = self.root.subdir(REPOSITORIES)?;
        for &name in &names {
            // What is not synced before it gets its name may be lost in a crash of the machine.
            // What is new is no loss then; what takes the place of something whole is whole at any
            // time.
            if self.reference(name, &|_| {})?.is_none() {
                let (dir, file, written) =
                    self.write_reference_file(root.clone(), name, (reference, origin), |_| Ok(()))?;
                self.later.sync(&dir, file.into(), written)?;
            } else {
                self.write_reference_below(root.clone(), name, reference, origin)?;
            }
        }
        // Its digest was all that it was called by.
        let bare = anonymous(&reference.digest);
        let bare = Some(bare.as_str()).filter(|bare| names.iter().any(|name| name != bare));
        let is_new = !self.root.exists(INDEX_JSON)?;
        let sync = |file: &File| if is_new { Ok(()) } else { file.sync_all() };
        let written = self.write_index_json(bare.as_slice(), sync, on)?;
        self.later.sync(&self.root, INDEX_JSON.into(), written)?;
        bare.map_or(Ok(false), |bare| self.delete_reference_file(bare)).map(drop)
    }

    /// Writes the file of a name, below a directory of repositories.
    pub(crate) fn write_reference_below(
        &self,
        dir: Dir,
        name: &str,
        reference: &Reference,
        origin: Origin,
    ) -> Result<(), Error> {
        let (dir, ..) = self.write_reference_file(dir, name, (reference, origin), File::sync_all)?;
        dir.sync()
    }

    /// Like [`Store::write_reference_below`], but the caller syncs; gives the directory, the file's
    /// name in it, and the file.
    fn write_reference_file(
        &self,
        mut dir: Dir,
        name: &str,
        (reference, origin): (&Reference, Origin),
        sync: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<(Dir, String, File), Error> {
        let Reference { digest, media_type, size } = reference;
        let document = Document { digest: digest.to_string(), media_type: media_type.clone(), size: *size, origin };
        let text = serde_json::to_vec(&document).expect("texts and a number are JSON");
        let (repository, name) = locate(name);
        for part in &repository {
            dir = dir.subdir(part)?;
        }
        let written = self.write_new(&dir, &name, &text, sync)?;
        Ok((dir, name, written))
    }

    /// The same for who has the store alone already, and for several names; says how many were
    /// known.
    pub(crate) fn delete_references(&self, names: &[&str]) -> Result<usize, Error> {
        // First: a name that only stands there counts as lost, and would come back.
        match self.write_index_json(names, File::sync_all, &|_| {}) {
            // What goes may make the room; until then the names stand in one place only.
            Err(error) if error.is_full() => {
                let name = OsStr::new(INDEX_JSON);
                self.root.remove(name).map_err(|source| Error::Write { path: self.root.join(name), source })?;
            }
            written => drop(written?),
        }
        let mut known = 0;
        for name in names {
            known += usize::from(self.delete_reference_file(name)?);
        }
        Ok(known)
    }

    /// Removes the file of a name, and directories that become empty.
    fn delete_reference_file(&self, name: &str) -> Result<bool, Error> {
        let (repository, file) = locate(name);
        let mut dirs: Vec<Dir> = self.root.existing_subdir(REPOSITORIES)?.into_iter().collect();
        for part in &repository {
            let Some(dir) = dirs.last().map(|dir| dir.existing_subdir(part)).transpose()?.flatten() else {
                return Ok(false);
            };
            dirs.push(dir);
        }
        let Some(dir) = dirs.last() else { return Ok(false) };
        let file = OsStr::new(&file);
        let there = dir.stat(file).is_ok();
        dir.remove(file).map_err(|source| Error::Write { path: dir.join(file), source })?;
        for (dir, part) in dirs.iter().zip(&repository).rev() {
            if rustix::fs::unlinkat(&dir.fd, part, AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
        Ok(there)
    }

    /// Puts a small file into the store, whole or not at all, in the place of whatever has its
    /// name. `sync` is called when it is written, and before it gets its name.
    pub(crate) fn write_new(
        &self,
        dir: &Dir,
        name: &str,
        bytes: &[u8],
        sync: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<File, Error> {
        let mut draft = self.draft()?;
        let written = draft.file.write_all(bytes).and_then(|()| sync(&draft.file));
        written.map_err(|source| Error::Write { path: draft.path.to_owned(), source })?;
        dir.take(&draft.path, OsStr::new(name))?;
        Ok(draft.file)
    }

    /// Notes that what a name points to is used now. Where that can't be written nobody will know.
    pub fn touch_reference(&self, name: &str) {
        let (repository, file) = locate(name);
        let mut dir = self.root.existing_subdir(REPOSITORIES);
        for part in &repository {
            let Ok(Some(parent)) = dir else { return };
            dir = parent.existing_subdir(part);
        }
        if let Ok(Some(dir)) = dir {
            let _ = rustix::fs::utimensat(&dir.fd, &file, &used_now(), AtFlags::SYMLINK_NOFOLLOW);
        }
    }

    /// All names that are known, in order, with what they point to.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn references(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Vec<(String, Reference)>, Error> {
        Ok(self.images(on)?.into_iter().map(|image| (image.name, image.reference)).collect())
    }

    /// All names that are known, in order, with what they point to and when they were used.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn images(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Vec<Named>, Error> {
        let mut found = Vec::new();
        self.visit_names(&mut |dir, file, name| {
            if let Some(entry) = Entry::open(dir.clone(), file.to_owned(), on)? {
                let read = read_named(&entry, &name);
                found.extend(entry.settle(read, on)?.map(|(_, named)| named));
            }
            Ok(())
        })?;
        found.sort_by(|one: &Named, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Looks at all names, and removes damaged ones only if they are to be repaired.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn check_references(&self, repair: bool) -> Result<Vec<Health<Named>>, Error> {
        let mut found = Vec::new();
        self.visit_names(&mut |dir, file, name| {
            found.push(Entry::examine(dir, file, repair, |entry| read_named(entry, &name))?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Where a name's file stands.
    pub(crate) fn reference_path(&self, name: &str) -> PathBuf {
        let (repository, file) = locate(name);
        let dir = repository.iter().fold(self.root.path.join(REPOSITORIES), |dir, part| dir.join(part));
        dir.join(file)
    }

    fn visit_names(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.root.existing_subdir(REPOSITORIES)?.map_or(Ok(()), |dir| collect(&dir, "", visit))
    }
}

/// What is done with a directory, a file in it, and the name that it says something about.
type Visit<'v> = dyn FnMut(&Dir, &str, String) -> Result<(), Error> + 'v;

/// Repositories have fewer parts than this: their names have at most 255 bytes.
const MAX_DEPTH: usize = 128;

fn collect(dir: &Dir, prefix: &str, visit: &mut Visit<'_>) -> Result<(), Error> {
    if prefix.matches('/').count() > MAX_DEPTH {
        return Ok(());
    }
    for name in dir.names()? {
        // Not a name that we give.
        let Some(plain) = std::str::from_utf8(&name).ok().and_then(unescape) else { continue };
        let name = String::from_utf8_lossy(&name).into_owned();
        if plain.starts_with([':', '@']) {
            visit(dir, &name, format!("{prefix}{plain}"))?;
        } else if let Ok(Some(below)) = dir.existing_subdir(&name) {
            let prefix = if prefix.is_empty() { plain } else { format!("{prefix}/{plain}") };
            collect(&below, &prefix, visit)?;
        }
    }
    Ok(())
}

fn read_named(entry: &Entry, name: &str) -> Result<Named, Fault> {
    let (reference, origin) = read(entry)?;
    let stat = rustix::fs::fstat(&entry.file).map_err(|error| fault(error.into()))?;
    let (pulled, used) = times(&stat);
    Ok(Named { name: name.to_owned(), reference, origin, pulled, used })
}

fn read(entry: &Entry) -> Result<(Reference, Origin), Fault> {
    let damage = |damage| Err(Fault::Damage(damage));
    if entry.len > MAX_LEN {
        return damage(Damage::Length { expected: MAX_LEN, found: entry.len });
    }
    let mut text = Vec::new();
    (&entry.file).take(MAX_LEN).read_to_end(&mut text).map_err(fault)?;
    let Ok(document) = json::parse::<Document>("reference", &text) else { return damage(Damage::Reference) };
    let Ok(digest) = document.digest.parse() else { return damage(Damage::Reference) };
    Ok((Reference { digest, media_type: document.media_type, size: document.size }, document.origin))
}
