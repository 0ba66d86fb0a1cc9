//! All images of a store, and one in full.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cvbake_fetch::open_stored;
use cvbake_store::{Reference, Store, is_anonymous};
use cvbake_verify::{Digest, Want};

use super::details::{Details, ImageDetails};
use super::find::{find_among, names, split, unnamed};
use crate::error::Error;
use crate::event::Observer;
use crate::proof::wanted;

/// A name in the store, and what it stands for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listed {
    /// The name; `@digest` of an image that has none.
    pub name: String,
    /// The registry and the path, if there is a name.
    pub repository: Option<String>,
    /// The tag, if there is one.
    pub tag: Option<String>,
    /// What the name points to, without the bytes of documents and the history: there may be many
    /// names.
    pub details: Details,
}

/// One image, found by what somebody typed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspected {
    /// All its names; none of one without.
    pub names: Vec<String>,
    /// What the name points to, and what that leads to.
    pub details: Details,
    /// The one image that is wanted, if there are several.
    pub image: Option<ImageDetails>,
}

/// All names in a store, in order, with what they stand for, and images without a name. A store
/// that is not there has none. Nothing is changed by that: what is damaged or lost is told only.
///
/// # Errors
/// When the store can't be read.
pub fn list(store: &Path, on: Observer<'_>) -> Result<Vec<Listed>, Error> {
    let Some(store) = Store::open_read_only(store)? else { return Ok(Vec::new()) };
    let mut known: BTreeMap<Digest, Details> = BTreeMap::new();
    let mut listed = Vec::new();
    let mut all = names(&store, on)?;
    // That they are all lost is told already.
    if !store.names().are_lost()? {
        all.extend(unnamed(&store)?);
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    for (name, reference) in all {
        let details = match known.get(&reference.digest) {
            Some(details) => details.clone(),
            None => Details::of(&store, &reference, on)?.without_documents(),
        };
        known.insert(reference.digest, details.clone());
        let (repository, tag, _) = split(&name);
        let (repository, tag) = (Some(repository).filter(|part| !part.is_empty()), tag.map(str::to_owned));
        listed.push(Listed { repository: repository.map(str::to_owned), tag, details, name });
    }
    Ok(listed)
}

/// Everything about an image; `want` chooses where a name stands for several, and nothing has to be
/// complete. Nothing is changed by that.
///
/// # Errors
/// When there is no such image, or the store can't be read.
pub fn inspect(store: &Path, name: &str, want: &Want, on: Observer<'_>) -> Result<Inspected, Error> {
    let missing = || Error::NoSuchImage { name: name.to_owned(), similar: Vec::new() };
    let store = Store::open_read_only(store)?.ok_or_else(missing)?;
    let references = names(&store, on)?;
    let found = find_among(&store, &references, name)?;
    let details = Details::of(&store, &found.reference, on)?;
    let same =
        |(name, reference): &(String, Reference)| reference.digest == found.reference.digest && !is_anonymous(name);
    let names = references.into_iter().filter(same).map(|(name, _)| name).collect();
    let image = match &details.images[..] {
        [] => None,
        [only] if !want.explicit => Some(only.clone()),
        images => {
            let tell = |event: cvbake_fetch::Event| on(event.into());
            let blobs = open_stored(&store, name, &found.reference, &tell);
            let image = wanted(&*blobs, want, Some(&store)).map_err(|error| Error::image(name.to_owned(), error))?;
            images.iter().find(|details| Some(details.descriptor.digest) == image.identity().digest()).cloned()
        }
    };
    Ok(Inspected { names, details, image })
}

/// The digests of images without a name, in order.
pub(crate) fn without_name(store: &Store) -> Result<Vec<Digest>, Error> {
    let mut all = names(store, &|_| {})?;
    all.retain(|(name, _)| is_anonymous(name));
    all.extend(unnamed(store)?);
    let digests: BTreeSet<Digest> = all.into_iter().map(|(_, reference)| reference.digest).collect();
    Ok(digests.into_iter().collect())
}
