//! The store as an OCI image layout, for programs that read those: `index.json` has all names that
//! are known.
//!
//! It follows from the files below `repositories` and is made anew whenever one of them changes.
//! Should they be lost, it is where the names are restored from.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;

use cvbake_verify::{Candidate, MAX_INDEX_ENTRIES, json, parse_index};
use serde_json::{Value, json};

use crate::entry::{Entry, Fault, Health};
use crate::error::{Damage, Error};
use crate::event::{Event, Observer};
use crate::files::{BLOBS, Files, INDEX_JSON, REPOSITORIES};
use crate::reference::{Origin, Reference, anonymous, is_anonymous};
use crate::repositories;
use crate::store_lock::lock_exclusive;

const MEDIA_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// No room for more names than this in a document of [`json::MAX_BYTES`]: each takes some 400
/// bytes, and what has more of them than that is cut.
const MAX_NAMES: usize = if MAX_INDEX_ENTRIES < 8000 { MAX_INDEX_ENTRIES } else { 8000 };

/// Makes `index.json` anew, without some of the names; `sync` is as for [`Files::put_small`].
/// The caller has the store to itself.
pub(crate) fn write(
    files: &Files,
    without: &[&str],
    sync: impl FnOnce(&File) -> std::io::Result<()>,
    on: Observer<'_>,
) -> Result<File, Error> {
    // A name that stands there only would be lost for good.
    restore(files, without, on)?;
    let mut names = repositories::list(files, on)?;
    names.retain(|named| !without.contains(&named.name.as_str()));
    let references: Vec<_> = names.into_iter().map(|named| (named.name, named.reference)).collect();
    let text = document(&references);
    files.put_small(&files.root, INDEX_JSON, text.as_bytes(), sync)
}

/// Where the names are lost and `index.json` is not, they are restored from it.
pub(crate) fn restore_if_lost(files: &Files, on: Observer<'_>) -> Result<(), Error> {
    if files.root.exists(REPOSITORIES)? || !files.root.exists(INDEX_JSON)? {
        return Ok(());
    }
    let _alone = lock_exclusive(files, || on(Event::WaitingForExclusive))?;
    restore(files, &[], on)
}

/// Restores names that only `index.json` has: all but some, and of one or the other only if
/// what it points to is there. The caller has the store to itself.
pub(crate) fn restore(files: &Files, without: &[&str], on: Observer<'_>) -> Result<(), Error> {
    let mut listed = read(files, on)?;
    if listed.is_empty() && !files.root.exists(INDEX_JSON)? {
        return Ok(());
    }
    let known: BTreeSet<String> = repositories::list(files, on)?.into_iter().map(|named| named.name).collect();
    listed.retain(|(name, _)| !known.contains(name) && !without.contains(&name.as_str()));
    let lost_all = !files.root.exists(REPOSITORIES)?;
    let mut lost = Vec::new();
    for (name, reference) in listed {
        if lost_all || files.has_entry(BLOBS, &reference.digest)? {
            lost.push((name, reference));
        }
    }
    if !lost_all && lost.is_empty() {
        return Ok(());
    }
    // Elsewhere at first, if there are no others: a part of them would look like all of them.
    let scratch = files.new_scratch()?;
    let dir = if lost_all { scratch.open()?.subdir(REPOSITORIES)? } else { files.root.subdir(REPOSITORIES)? };
    for (name, reference) in &lost {
        // Whoever named them is not listed, and may have been another program.
        repositories::write_below(files, dir.clone(), name, reference, Origin::Import)?;
    }
    if lost_all {
        let name = OsStr::new(REPOSITORIES);
        files.root.take(&scratch.path().join(REPOSITORIES), name)?;
        files.root.sync()?;
    }
    on(Event::Restored { path: files.root.path.join(REPOSITORIES), names: lost.len() });
    Ok(())
}

/// What `index.json` says names point to; nothing if there is none, or none that can be read.
pub(crate) fn read(files: &Files, on: Observer<'_>) -> Result<Vec<(String, Reference)>, Error> {
    match inspect(files, true)? {
        Health::Absent => Ok(Vec::new()),
        Health::Whole(references) => Ok(references),
        Health::Damaged { path, damage } => {
            on(Event::Damaged { path, damage, kept: None });
            Ok(Vec::new())
        }
    }
}

/// Inspects `index.json`, and removes a damaged one only if it is to be repaired.
pub(crate) fn inspect(files: &Files, repair: bool) -> Result<Health<Vec<(String, Reference)>>, Error> {
    Entry::inspect(&files.root, INDEX_JSON, repair, |entry| {
        let read = json::read(INDEX_JSON, &entry.file).and_then(|text| parse_index(INDEX_JSON, &text));
        let candidates = read.map_err(|error| Fault::Damage(Damage::Document(error.to_string())))?;
        Ok(candidates.into_iter().map(named).collect())
    })
}

fn document(references: &[(String, Reference)]) -> String {
    let known = references.iter().filter(|(_, reference)| !reference.media_type.is_empty());
    // What does not say itself what it is may be called differently by each registry; in one index
    // it is one thing.
    let mut first = BTreeMap::new();
    let known = known.take(MAX_NAMES);
    let manifests: Vec<Value> =
        known.map(|(name, reference)| descriptor(name, first.entry(reference.digest).or_insert(reference))).collect();
    json!({ "schemaVersion": 2, "mediaType": MEDIA_TYPE, "manifests": manifests }).to_string()
}

fn descriptor(name: &str, reference: &Reference) -> Value {
    let Reference { digest, media_type, size } = reference;
    let mut descriptor = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size });
    if !is_anonymous(name) {
        descriptor["annotations"] = json!({ REF_NAME: name });
    }
    descriptor
}

fn named(candidate: Candidate) -> (String, Reference) {
    let Candidate { descriptor, ref_name, .. } = candidate;
    let name = ref_name.unwrap_or_else(|| anonymous(&descriptor.digest));
    (name, Reference { digest: descriptor.digest, media_type: descriptor.media_type, size: descriptor.size })
}

#[cfg(test)]
mod tests {
    use cvbake_verify::Digest;

    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let reference =
            |media_type: &str| Reference { digest: Digest::sha256(b""), media_type: media_type.to_owned(), size: 0 };
        let references = [("a.io/x:1", "a/b"), ("b.io/x:1", "c/d"), ("c.io/x:1", "")];
        let references = references.map(|(name, media_type)| (name.to_owned(), reference(media_type)));
        let read = parse_index(INDEX_JSON, document(&references).as_bytes()).unwrap();
        let read: Vec<(String, Reference)> = read.into_iter().map(named).collect();
        assert_eq!(read, [("a.io/x:1".to_owned(), reference("a/b")), ("b.io/x:1".to_owned(), reference("a/b"))]);
    }
}
