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
use std::io::{self, Read as _};
use std::path::PathBuf;

use cvbake_verify::json;
use rustix::fs::AtFlags;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::entry::{Entry, Fault, Health, fault, times, used_now};
use crate::error::{Damage, Error};
use crate::event::Observer;
use crate::files::{BLOBS, Files, INDEX_JSON, REPOSITORIES};
use crate::name_path::{locate, unescape};
use crate::reference::{Named, Origin, Reference};

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

/// More than any [`Document`]: a digest, a media type, a number and a word.
const MAX_LEN: u64 = 4096;

/// What a name points to, and who says so, if that is known; a damaged file is removed, reported,
/// and counts as absent.
pub(crate) fn get(files: &Files, name: &str, on: Observer<'_>) -> Result<Option<(Reference, Origin)>, Error> {
    let (repository, file) = locate(name);
    let mut dir = files.root.existing_subdir(REPOSITORIES)?;
    for part in &repository {
        let Some(parent) = dir else { return Ok(None) };
        dir = parent.existing_subdir(part)?;
    }
    let Some(dir) = dir else { return Ok(None) };
    let Some(entry) = Entry::open(dir, file, on)? else { return Ok(None) };
    let read = read(&entry);
    Ok(entry.into_checked(read, on)?.map(|(_, found)| found))
}

/// Writes the file of a name, below a directory of repositories.
pub(crate) fn write_below(
    files: &Files,
    dir: Dir,
    name: &str,
    reference: &Reference,
    origin: Origin,
) -> Result<(), Error> {
    let (dir, ..) = write_file(files, dir, name, (reference, origin), File::sync_all)?;
    dir.sync()
}

/// Like [`write_below`], but the caller syncs; gives the directory, the file's
/// name in it, and the file.
pub(crate) fn write_file(
    files: &Files,
    mut dir: Dir,
    name: &str,
    (reference, origin): (&Reference, Origin),
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(Dir, String, File), Error> {
    let Reference { digest, media_type, size } = reference;
    let document = Document { digest: digest.to_string(), media_type: media_type.clone(), size: *size, origin };
    let text = serde_json::to_vec(&document).expect("texts and a number are JSON");
    let (repository, name) = locate(name);
    for part in &repository {
        dir = dir.subdir(part)?;
    }
    let written = files.put_small(&dir, &name, &text, sync)?;
    Ok((dir, name, written))
}

/// Removes the file of a name, and directories that become empty.
pub(crate) fn delete_file(files: &Files, name: &str) -> Result<bool, Error> {
    let (repository, file) = locate(name);
    let mut dirs: Vec<Dir> = files.root.existing_subdir(REPOSITORIES)?.into_iter().collect();
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

/// Notes that what a name points to is used now. Where that can't be written nobody will know.
pub(crate) fn touch(files: &Files, name: &str) {
    let (repository, file) = locate(name);
    let mut dir = files.root.existing_subdir(REPOSITORIES);
    for part in &repository {
        let Ok(Some(parent)) = dir else { return };
        dir = parent.existing_subdir(part);
    }
    if let Ok(Some(dir)) = dir {
        let _ = rustix::fs::utimensat(&dir.fd, &file, &used_now(), AtFlags::SYMLINK_NOFOLLOW);
    }
}

/// All names that are known, in order, with what they point to and when they were used.
pub(crate) fn list(files: &Files, on: Observer<'_>) -> Result<Vec<Named>, Error> {
    let mut found = Vec::new();
    visit_all(files, &mut |dir, file, name| {
        if let Some(entry) = Entry::open(dir.clone(), file.to_owned(), on)? {
            let read = read_named(&entry, &name);
            found.extend(entry.into_checked(read, on)?.map(|(_, named)| named));
        }
        Ok(())
    })?;
    found.sort_by(|one: &Named, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Inspects all names, and removes damaged ones only if they are to be repaired.
pub(crate) fn inspect(files: &Files, repair: bool) -> Result<Vec<Health<Named>>, Error> {
    let mut found = Vec::new();
    visit_all(files, &mut |dir, file, name| {
        found.push(Entry::inspect(dir, file, repair, |entry| read_named(entry, &name))?);
        Ok(())
    })?;
    Ok(found)
}

/// Where a name's file stands.
pub(crate) fn path(files: &Files, name: &str) -> PathBuf {
    let (repository, file) = locate(name);
    let dir = repository.iter().fold(files.root.path.join(REPOSITORIES), |dir, part| dir.join(part));
    dir.join(file)
}

/// Whether there are blobs, but nothing that says what they are called.
pub(crate) fn are_lost(files: &Files) -> Result<bool, Error> {
    Ok(!files.root.exists(REPOSITORIES)? && (files.root.exists(INDEX_JSON)? || !files.entries(BLOBS)?.is_empty()))
}

fn visit_all(files: &Files, visit: &mut Visit<'_>) -> Result<(), Error> {
    files.root.existing_subdir(REPOSITORIES)?.map_or(Ok(()), |dir| collect(&dir, "", visit))
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
