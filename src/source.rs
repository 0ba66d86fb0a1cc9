//! Which image is meant: one at a place outside, or one of the store, by whatever it is called there.

use std::fmt;
use std::num::NonZeroUsize;

use cvbake_fetch::{Name, Options, Pull, Source, open_stored, stored_name};
use cvbake_store::{Reference, Store};
use cvbake_verify::Blobs;

use crate::error::Error;
use crate::event::Event;
use crate::images::find::{find_among, find_by_end, names, repository};
use crate::layers::Way;
use crate::workplace::Workplace;

/// An image, as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageSource {
    /// A place. An image in a registry is looked for in the store first, by its full name.
    At(Source),
    /// A name without a registry: the end of a name in the store, or else what it means to registries.
    Short(Name),
    /// One of the store, by its digest, that of its configuration, or the beginning of either.
    Digest(String),
}

impl From<Source> for ImageSource {
    fn from(source: Source) -> ImageSource {
        ImageSource::At(source)
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::At(source) => source.fmt(f),
            ImageSource::Short(name) => write!(f, "docker://{name}"),
            ImageSource::Digest(digest) => f.write_str(digest),
        }
    }
}

/// An image source of which it is known where it is.
#[derive(Debug)]
pub(crate) enum Located {
    At(Source),
    /// In the store, and under no name that a registry could be asked for.
    Stored {
        reference: Reference,
        /// As somebody names it.
        written: String,
        /// What it is called in the store; `@digest` if it has no name.
        names: Vec<String>,
    },
}

impl ImageSource {
    /// Finds out where the image is; registries are not asked.
    pub(crate) fn locate(
        &self,
        pull: Pull,
        store: Option<&Store>,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<Located, Error> {
        match self {
            ImageSource::At(source) => Ok(Located::At(source.clone())),
            ImageSource::Short(name) => {
                let found = store.filter(|_| pull != Pull::Always).map(|store| by_name(store, name, pull, on));
                let registry = || Located::At(Source::Registry(name.clone()));
                Ok(found.transpose()?.flatten().unwrap_or_else(registry))
            }
            ImageSource::Digest(text) => {
                let missing = || Error::NoSuchImage { name: text.clone(), similar: Vec::new() };
                let store = store.ok_or_else(missing)?;
                let known = names(store, on)?;
                Ok(Located::stored(find_among(store, &known, text)?.reference, text.clone(), &known))
            }
        }
    }
}

/// What a short name is in the store, if it is something there.
fn by_name(store: &Store, name: &Name, pull: Pull, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Located>, Error> {
    let known = names(store, on)?;
    if known.iter().any(|(known, _)| *known == stored_name(name)) {
        return Ok(None);
    }
    let written = name.to_string();
    if let Some(full) = full_name(&known, name, pull)? {
        on(Event::Note(format!("{written} is {} in the store", stored_name(&full))));
        return Ok(Some(Located::At(Source::Registry(full))));
    }
    if !written.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    match find_among(store, &known, &written) {
        Ok(found) => {
            on(Event::Note(format!("{written} is {} in the store", found.reference.digest)));
            Ok(Some(Located::stored(found.reference, written, &known)))
        }
        Err(Error::NoSuchImage { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name in full of the image in the store that a short one is the end of. Where a registry may be asked, another tag of the very
/// repository that it would be asked for is not meant: an older image must not take the place of what it would give.
fn full_name(known: &[(String, Reference)], name: &Name, pull: Pull) -> Result<Option<Name>, Error> {
    let asked = stored_name(name);
    let is_older = |full: &str| pull != Pull::Never && repository(full) == repository(&asked) && full != asked;
    let found = find_by_end(known, &name.to_string())?;
    Ok(found.filter(|(full, _)| !is_older(full)).and_then(|(full, _)| Name::new(full)))
}

impl Located {
    fn stored(reference: Reference, written: String, known: &[(String, Reference)]) -> Located {
        let names = known.iter().filter(|(_, other)| other.digest == reference.digest).map(|(name, _)| name.clone());
        Located::Stored { names: names.collect(), reference, written }
    }

    /// Opens the image, which is used now: what is not used for long may go.
    pub(crate) fn open<'a>(
        &self,
        registry: &Options,
        place: &Workplace,
        store: Option<&'a Store>,
        on: &'a (dyn Fn(cvbake_fetch::Event) + Sync),
    ) -> Result<Box<dyn Blobs + Send + 'a>, Error> {
        match (self, store) {
            (Located::At(source), store) => open_source(source, registry, place, store, on),
            (Located::Stored { reference, written, names }, Some(store)) => {
                names.iter().for_each(|name| store.touch_reference(name));
                Ok(open_stored(store, written, reference, on))
            }
            (Located::Stored { .. }, None) => unreachable!("it was found in the store"),
        }
    }

    /// Whether a registry can give what the store lacks of it.
    pub(crate) fn is_in_registry(&self) -> bool {
        matches!(self, Located::At(Source::Registry(_)))
    }

    /// How many layers are worked on at once, and how many are under way: what comes from a registry is waited for.
    pub(crate) fn way(&self, registry: &Options, jobs: NonZeroUsize) -> Way {
        match self.is_in_registry() {
            true => Way { streams: registry.connections.max(jobs).get(), ..Way::of(jobs) },
            false => Way::of(jobs),
        }
    }
}

/// Opens a source; of those only a registry makes use of the store.
pub(crate) fn open_source<'a>(
    source: &Source,
    registry: &Options,
    place: &Workplace,
    store: Option<&'a Store>,
    on: &'a (dyn Fn(cvbake_fetch::Event) + Sync),
) -> Result<Box<dyn Blobs + Send + 'a>, Error> {
    Ok(match source {
        Source::Registry(name) => cvbake_fetch::open_name(name, registry, store, on)?,
        source => cvbake_fetch::open(source, place.path(), std::io::stdin())?,
    })
}

#[cfg(test)]
mod tests {
    use cvbake_verify::Digest;

    use super::*;

    fn known(names: &[&str]) -> Vec<(String, Reference)> {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let reference = |name: &str| Reference {
            digest: Digest::sha256(name.as_bytes()),
            media_type: media_type.to_owned(),
            size: 1,
        };
        names.iter().map(|name| ((*name).to_owned(), reference(name))).collect()
    }

    #[test]
    fn ends_of_names_in_the_store() {
        let known = known(&["r.example/team/app:latest", "r.example/team/old:v1", "docker.io/library/alpine:3"]);
        let full = |text: &str, pull| {
            let name = full_name(&known, &Name::new(text).unwrap(), pull).unwrap();
            name.map(|name| name.whole())
        };
        for pull in [Pull::Missing, Pull::Never] {
            for text in ["app", "team/app:latest"] {
                assert_eq!(full(text, pull).as_deref(), Some("r.example/team/app:latest"), "{text}");
            }
            for text in ["old", "old:v1", "team/old"] {
                assert_eq!(full(text, pull).as_deref(), Some("r.example/team/old:v1"), "{text}");
            }
            for text in ["pp", "app:v2", "other/app", "team"] {
                assert_eq!(full(text, pull), None, "{text}");
            }
        }
        // To a registry this is `latest`.
        assert_eq!(full("alpine", Pull::Missing), None);
        assert_eq!(full("alpine", Pull::Never).as_deref(), Some("docker.io/library/alpine:3"));
    }
}
