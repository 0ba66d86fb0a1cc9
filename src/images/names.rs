//! Giving names to images, and taking them away.

use std::collections::BTreeSet;
use std::path::Path;

use cvbake_store::{Health, Named, Origin, Reference, Rules, Store, is_anonymous};
use cvbake_verify::Digest;

use super::details::Details;
use super::find::{find, full_name};
use crate::error::Error;
use crate::event::{Event, Finding, Observer};

/// What became of an image when names were taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The names that it had and has no more; `@digest` is none.
    pub untagged: Vec<String>,
    /// What they pointed to.
    pub digest: Digest,
    /// Whether it has no name any more.
    pub gone: bool,
    /// Whether somebody asked for it: an image without a name that a registry gives back goes with
    /// any other.
    pub asked: bool,
}

/// Gives an image more names, also one that has none; returns them in full.
///
/// # Errors
/// When there is no such image, or a name is none.
pub fn tag(store: &Path, name: &str, new: &[String], on: Observer<'_>) -> Result<Vec<String>, Error> {
    let full = |name: &String| {
        let full = full_name(name).filter(|full| !full.contains('@'));
        full.ok_or_else(|| Error::ImageName { name: name.clone() })
    };
    let new = new.iter().map(full).collect::<Result<Vec<_>, _>>()?;
    let missing = || Error::NoSuchImage { name: name.to_owned(), similar: Vec::new() };
    let store = Store::open_existing(store, &|event| on(event.into()))?.ok_or_else(missing)?;
    let reference = find(&store, name, on)?.reference;
    // Whoever removes what has no name leaves what is pinned.
    let _pin = store.pin([reference.digest])?;
    if !matches!(store.blobs().inspect(&reference.digest, reference.size)?, Health::Whole(_)) {
        return Err(Error::Incomplete { name: name.to_owned() });
    }
    let tell = |event: cvbake_store::Event| on(event.into());
    // What was imported under one name is not given back under another, whoever has it as well.
    let same = store.names().list(&tell)?.into_iter().filter(|named| named.reference.digest == reference.digest);
    let origin = same.map(|named| named.origin).max().unwrap_or_default();
    give(&store, &new, &reference, origin, on)?;
    store.flush()?;
    Ok(new)
}

/// Gives an image names, and tells of the images that had them and have no other. Of those that
/// were imported the store tells itself.
pub(super) fn give(
    store: &Store,
    names: &[String],
    reference: &Reference,
    origin: Origin,
    on: Observer<'_>,
) -> Result<(), Error> {
    let tell = |event: cvbake_store::Event| on(event.into());
    let mut former = store.names().list(&tell)?;
    former.retain(|named| names.contains(&named.name) && named.reference.digest != reference.digest);
    store.names().set(names.iter().map(String::as_str), reference, origin, &tell)?;
    if former.is_empty() {
        return Ok(());
    }
    let unnamed: BTreeSet<Digest> = store.names().unnamed()?.into_iter().map(|image| image.digest).collect();
    former.retain(|named| unnamed.contains(&named.reference.digest));
    former.sort_by_key(|named| named.reference.digest);
    former.dedup_by_key(|named| named.reference.digest);
    for Named { name, reference, .. } in former {
        on(Event::Finding(Finding::LostName { name, digest: reference.digest, kept: false }));
    }
    Ok(())
}

/// Takes names away: the one that is given, or all names of an image that is given by its digest.
/// Without `force` it must not be in use, and a digest must have one name only. Either all are
/// taken away or none. Blobs that nothing needs any more go, too, with images that have no name and
/// that a registry gives back: those are the last of what is returned, with how many bytes all that
/// freed.
///
/// # Errors
/// When there is no such image, or it must stay.
pub fn remove(store: &Path, names: &[String], force: bool, on: Observer<'_>) -> Result<(Vec<Removed>, u64), Error> {
    let tell = |event: cvbake_store::Event| on(event.into());
    let missing = |name: &String| Error::NoSuchImage { name: name.clone(), similar: Vec::new() };
    let Some(store) = Store::open_existing(store, &tell)? else {
        return names.first().map_or(Ok((Vec::new(), 0)), |name| Err(missing(name)));
    };
    let exclusive = store.lock_exclusive(&tell)?;
    let mut left = store.names().list(&tell)?;
    let unnamed = store.names().unnamed()?;
    let mut removed: Vec<Removed> = Vec::new();
    for name in names {
        let found = find(&store, name, on)?;
        let is_meant = |other: &Named| match &found.name {
            Some(name) => other.name == *name,
            None => other.reference.digest == found.reference.digest,
        };
        let untagged: Vec<String> =
            left.iter().filter(|entry| is_meant(entry)).map(|named| named.name.clone()).collect();
        if untagged.is_empty() && (found.name.is_some() || removed.iter().any(|it| it.digest == found.reference.digest))
        {
            // Named twice, and removed once.
            continue;
        }
        if found.name.is_none() && untagged.len() > 1 && !force {
            return Err(Error::SeveralNames { digest: found.reference.digest, names: untagged });
        }
        left.retain(|entry| !is_meant(entry));
        let digest = found.reference.digest;
        let gone = !left.iter().any(|named| named.reference.digest == digest);
        if gone && !force {
            let details = Details::of(&store, &found.reference, on)?;
            let used = |digest: &Digest| exclusive.pinned().contains(digest);
            if used(&digest) || details.images.iter().any(|image| used(&image.descriptor.digest)) {
                return Err(Error::InUse { name: name.clone() });
            }
        }
        removed.push(Removed { untagged, digest, gone, asked: true });
    }
    for removed in &mut removed {
        removed.untagged.iter().try_for_each(|name| exclusive.remove_name(name).map(drop))?;
        removed.untagged.retain(|name| !is_anonymous(name));
    }
    if !removed.iter().any(|removed| removed.gone) {
        return Ok((removed, 0));
    }
    let unneeded = exclusive.plan(&Rules::default(), &tell)?;
    exclusive.remove(&unneeded)?;
    let went = unnamed.into_iter().map(|image| image.digest).filter(|digest| unneeded.blobs.contains(digest));
    let others: Vec<Digest> = went.filter(|digest| !removed.iter().any(|it| it.digest == *digest)).collect();
    removed.extend(others.into_iter().map(|digest| Removed { untagged: Vec::new(), digest, gone: true, asked: false }));
    Ok((removed, unneeded.bytes))
}
