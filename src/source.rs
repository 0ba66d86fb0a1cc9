//! Which image is meant: one at a place outside, or one of the store, by whatever it is called
//! there.

use std::fmt;
use std::num::NonZeroUsize;

use cvbake_fetch::{Name, Options, Pull, ShortName, Source, open_stored, stored_name};
use cvbake_store::{Reference, Store};
use cvbake_verify::Blobs;

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::images::find::{find_among, find_by_end, find_digest, names, repository};
use crate::layers::Way;
use crate::workplace::Workplace;

/// An image, as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageSource {
    /// A place. An image in a registry is looked for in the store first, by its full name.
    At(Source),
    /// A name without a registry: the end of a name in the store, or else what it means to
    /// registries.
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
    /// The error of a push where nothing says where the image goes.
    #[must_use]
    pub fn no_target(&self) -> Error {
        let image = match self {
            ImageSource::Short(name) => name.to_string(),
            source => source.to_string(),
        };
        Error::NoTarget { image }
    }

    /// Finds out where the image is; registries are not asked.
    pub(crate) fn locate(&self, registry: &Options, store: Option<&Store>, on: Observer<'_>) -> Result<Located, Error> {
        match self {
            ImageSource::At(source) => Ok(Located::At(source.clone())),
            ImageSource::Short(name) => {
                let store = store.filter(|_| registry.pull != Pull::Always);
                let found = store.map(|store| by_name(store, name, registry, on)).transpose()?.flatten();
                Ok(found.unwrap_or_else(|| Located::At(Source::Registry(name.clone()))))
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

/// What a short name is in the store, if it is something there under another name than those that
/// it stands for among registries.
fn by_name(store: &Store, name: &Name, registry: &Options, on: Observer<'_>) -> Result<Option<Located>, Error> {
    let known = names(store, on)?;
    let asked =
        Asked { names: cvbake_fetch::stands_for(name, registry, &|event| on(event.into()))?, pull: registry.pull };
    match asked.look_up(&known, name)? {
        Known::Asked => Ok(None),
        Known::Called(full) => {
            on(Event::Note(format!("{name} is {} in the store", stored_name(&full))));
            Ok(Some(Located::At(Source::Registry(full))))
        }
        Known::Other(others) => {
            let text = name.to_string();
            if let Some(reference) = find_digest(store, &known, &text)? {
                on(Event::Note(format!("{text} is {} in the store", reference.digest)));
                return Ok(Some(Located::stored(reference, text, &known)));
            }
            if let Some(other) = others.first() {
                on(Event::Note(format!(
                    "the store has {other}; {name} is another image, and a registry is asked for it"
                )));
            }
            Ok(None)
        }
    }
}

/// What a short name stands for among registries, and whether they may be asked.
struct Asked {
    names: ShortName,
    pull: Pull,
}

/// What the store has of a short name.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// One of the names that it stands for among registries.
    Asked,
    /// A name that it is the end of.
    Called(Name),
    /// Nothing that is meant; but these tags of what it stands for among registries.
    Other(Vec<String>),
}

impl Asked {
    /// Where a registry may be asked, another tag of the very repository that it would be asked for
    /// is not meant: an older image must not take the place of what it would give. Nor is anything
    /// else where an alias says what is meant.
    fn look_up(&self, known: &[(String, Reference)], name: &Name) -> Result<Known, Error> {
        let full: Vec<String> = self.names.full.iter().map(stored_name).collect();
        if known.iter().any(|(known, _)| full.contains(known)) {
            return Ok(Known::Asked);
        }
        let is_same = |known: &str| full.iter().any(|full| repository(full) == repository(known));
        let (other, candidates): (Vec<_>, Vec<_>) =
            known.iter().cloned().partition(|(known, _)| self.pull != Pull::Never && is_same(known));
        let found = match self.names.is_alias && self.pull != Pull::Never {
            true => None,
            false => find_by_end(&candidates, &name.to_string())?,
        };
        match found.and_then(|(full, _)| Name::new(full)) {
            Some(full) => Ok(Known::Called(full)),
            None => Ok(Known::Other(other.into_iter().map(|(name, _)| name).collect())),
        }
    }
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
                names.iter().for_each(|name| store.names().touch(name));
                Ok(open_stored(store, written, reference, on))
            }
            (Located::Stored { .. }, None) => unreachable!("it was found in the store"),
        }
    }

    /// Whether a registry can give what the store lacks of it.
    pub(crate) fn is_in_registry(&self) -> bool {
        matches!(self, Located::At(Source::Registry(_)))
    }

    /// How many layers are worked on at once, and how many are under way: what comes from a
    /// registry is waited for.
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
        let full = |names: &[&str], stands_for: &[&str], is_alias: bool, pull: Pull, text: &str| {
            let full = stands_for.iter().map(|name| (*Name::new(name).unwrap()).clone()).collect();
            let asked = Asked { names: ShortName { full, is_alias }, pull };
            match asked.look_up(&known(names), &Name::new(text).unwrap()).unwrap() {
                Known::Asked => "asked".to_owned(),
                Known::Called(name) => name.whole(),
                Known::Other(others) => format!("not {}", others.join(" ")).trim_end().to_owned(),
            }
        };
        let (missing, never) = (Pull::Missing, Pull::Never);
        let store = [
            "docker.io/library/alpine:3",
            "docker.io/library/two:1",
            "docker.io/library/two:2",
            "r.example/team/app:latest",
            "r.example/team/old:v1",
        ];
        for (text, hub, with_registry, without) in [
            ("alpine:3", "docker.io/library/alpine:3", "asked", "asked"),
            // To a registry this is `latest`.
            ("alpine", "docker.io/library/alpine", "not docker.io/library/alpine:3", "docker.io/library/alpine:3"),
            ("app", "docker.io/library/app", "r.example/team/app:latest", "r.example/team/app:latest"),
            ("team/app:latest", "docker.io/team/app:latest", "r.example/team/app:latest", "r.example/team/app:latest"),
            ("old", "docker.io/library/old", "r.example/team/old:v1", "r.example/team/old:v1"),
            ("team/old", "docker.io/team/old", "r.example/team/old:v1", "r.example/team/old:v1"),
            ("app:v2", "docker.io/library/app:v2", "not", "not"),
            ("pp", "docker.io/library/pp", "not", "not"),
        ] {
            assert_eq!(full(&store, &[hub], false, missing, text), with_registry, "{text}");
            assert_eq!(full(&store, &[hub], false, never, text), without, "{text}");
        }
        // Two tags that are not meant are not two that may be.
        let two = full(&store, &["docker.io/library/two"], false, missing, "two");
        assert_eq!(two, "not docker.io/library/two:1 docker.io/library/two:2");
        // What a configuration says counts, and not Docker Hub.
        let store =
            ["docker.io/library/mine:latest", "one.example/bar:1", "two.example/fed:41", "three.example/fed:latest"];
        let one = |text: &str, pull: Pull| full(&store, &[&format!("one.example/{text}")], false, pull, text);
        assert_eq!(one("mine", missing), "docker.io/library/mine:latest");
        assert_eq!(one("bar", missing), "not one.example/bar:1");
        assert_eq!(one("bar:1", missing), "asked");
        let alias = |pull: Pull| full(&store, &["two.example/fed"], true, pull, "fed");
        assert_eq!(alias(missing), "not two.example/fed:41");
        assert_eq!(alias(never), "three.example/fed:latest");
    }
}
