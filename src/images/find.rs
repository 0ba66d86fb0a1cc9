//! An image of the store by what somebody types: a name, a digest, or the beginning of one. The
//! digest may also be that of its configuration, by which Docker and Podman know an image, and
//! which is all that names one in an archive of theirs.

use std::collections::{BTreeMap, BTreeSet};

use cvbake_fetch::{Source, stored_name};
use cvbake_store::{KnownNames, Reference, Store, anonymous, is_anonymous};
use cvbake_verify::Digest;

use super::details::Details;
use crate::error::Error;
use crate::event::{Event, Finding, Observer};

/// An image that was found: what it is, and how it was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The name that was given; none if a digest was.
    pub(crate) name: Option<String>,
    pub(crate) reference: Reference,
}

/// The shortest beginning of a digest that is taken for one.
const MIN_PREFIX: usize = 4;

/// Words that are shorter than this are all alike, but for a letter or two.
const MIN_SLIP: usize = 3;

/// The most names that an error suggests.
const MAX_SIMILAR: usize = 5;

/// The name in full that the store has an image under; `None` for a text that is no name.
pub(crate) fn full_name(text: &str) -> Option<String> {
    match text.parse() {
        Ok(Source::Registry(reference)) => Some(stored_name(&reference)),
        _ => None,
    }
}

/// Finds an image. A name goes before a digest that starts alike, and that of a manifest or index
/// before that of a configuration.
pub(crate) fn find(store: &Store, text: &str, on: Observer<'_>) -> Result<Found, Error> {
    find_among(store, &names(store, on)?, text)
}

/// As [`find`], where the names are known. What no name leads to is looked for last: all blobs are
/// looked at for it.
pub(crate) fn find_among(store: &Store, all: &[(String, Reference)], text: &str) -> Result<Found, Error> {
    let error = match find_in(all, text) {
        Err(error @ Error::NoSuchImage { .. }) => error,
        found => return found,
    };
    find_digest(store, all, text)?.map(|reference| Found { name: None, reference }).ok_or(error)
}

/// Finds an image by a digest, or the beginning of one, and by nothing else.
pub(crate) fn find_digest(store: &Store, all: &[(String, Reference)], text: &str) -> Result<Option<Reference>, Error> {
    if !is_digest(text) {
        return Ok(None);
    }
    if let Some(reference) = by_digest(all, text)? {
        return Ok(Some(reference.clone()));
    }
    if let Some(reference) = by_config(store, all, text)? {
        return Ok(Some(reference));
    }
    let unnamed = unnamed(store)?;
    match by_digest(&unnamed, text)? {
        Some(reference) => Ok(Some(reference.clone())),
        None => by_config(store, &unnamed, text),
    }
}

/// The only image whose own digest begins like this.
fn by_digest<'a>(all: &'a [(String, Reference)], text: &str) -> Result<Option<&'a Reference>, Error> {
    let matching: Vec<&Reference> =
        all.iter().map(|(_, reference)| reference).filter(|reference| begins(&reference.digest, text)).collect();
    let digests: BTreeSet<Digest> = matching.iter().map(|reference| reference.digest).collect();
    match digests.len() {
        0 | 1 => Ok(matching.first().copied()),
        _ => {
            let found = digests.iter().take(MAX_SIMILAR).map(Digest::to_string).collect();
            Err(Error::AmbiguousImage { text: text.to_owned(), found })
        }
    }
}

/// Whether a text may be a digest, or the beginning of one.
fn is_digest(text: &str) -> bool {
    let hex = text.rsplit(':').next().unwrap_or_default();
    hex.len() >= MIN_PREFIX && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The images that no name leads to, called by their digests.
pub(crate) fn unnamed(store: &Store) -> Result<Vec<(String, Reference)>, Error> {
    Ok(store.names().unnamed()?.into_iter().map(|image| (anonymous(&image.digest), image)).collect())
}

/// Finds the only image that has such a configuration. All manifests are read for it.
fn by_config(store: &Store, all: &[(String, Reference)], text: &str) -> Result<Option<Reference>, Error> {
    let distinct: BTreeMap<Digest, &Reference> =
        all.iter().map(|(_, reference)| (reference.digest, reference)).collect();
    let mut found = Vec::new();
    for reference in distinct.into_values() {
        let details = Details::of(store, reference, &|_| {})?;
        let configs = details.images.iter().filter_map(|image| image.config_descriptor.as_ref());
        if configs.into_iter().any(|config| begins(&config.digest, text)) {
            found.push(reference.clone());
        }
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => {
            let found = found.iter().take(MAX_SIMILAR).map(|reference| reference.digest.to_string()).collect();
            Err(Error::AmbiguousImage { text: text.to_owned(), found })
        }
    }
}

/// All names that are known, in order. What is damaged or lost is told, and stays as it is.
pub(crate) fn names(store: &Store, on: Observer<'_>) -> Result<Vec<(String, Reference)>, Error> {
    let KnownNames { known, damaged, lost, all_lost, .. } = store.names().inspect()?;
    for (path, damage) in damaged {
        on(Event::Finding(Finding::Damaged { what: path.display().to_string(), problem: damage.to_string() }));
    }
    if all_lost || !lost.is_empty() {
        on(Event::Finding(Finding::NamesLost { path: store.names().path(), known: lost.len() }));
    }
    Ok(known.into_iter().map(|named| (named.name, named.reference)).collect())
}

/// What an image may be called by: its name in full, or the end of that behind a slash, each also
/// without the tag.
pub fn calls(name: &str) -> impl Iterator<Item = &str> {
    [name, repository(name)].into_iter().flat_map(|whole| {
        let ends = whole.match_indices('/').map(|(slash, _)| &whole[slash + 1..]);
        std::iter::once(whole).chain(ends).filter(|call| !call.is_empty())
    })
}

/// The name that is meant by the end of one. Of several it is the one that is tagged `latest`, as
/// where a name has no tag.
pub(crate) fn find_by_end<'a>(
    all: &'a [(String, Reference)],
    text: &str,
) -> Result<Option<&'a (String, Reference)>, Error> {
    let mut called: Vec<_> = all.iter().filter(|(name, _)| calls(name).any(|call| call == text)).collect();
    // A name by digest is one that nobody else gave: it counts where no other fits.
    if called.iter().any(|(name, _)| split(name).2.is_none()) {
        called.retain(|(name, _)| split(name).2.is_none());
    }
    let latest: Vec<_> = called.iter().copied().filter(|(name, _)| split(name).1 == Some("latest")).collect();
    match (&called[..], &latest[..]) {
        ([], _) => Ok(None),
        ([only], _) | (_, [only]) => Ok(Some(only)),
        _ => {
            let found = called.iter().take(MAX_SIMILAR).map(|(name, _)| name.clone()).collect();
            Err(Error::AmbiguousImage { text: text.to_owned(), found })
        }
    }
}

pub(crate) fn find_in(all: &[(String, Reference)], text: &str) -> Result<Found, Error> {
    let full = full_name(text);
    if let Some((name, reference)) = all.iter().find(|(name, _)| Some(name) == full.as_ref()) {
        return Ok(Found { name: Some(name.clone()), reference: reference.clone() });
    }
    // A digest says what it is under whichever tag of its repository it came.
    if let Some((repository, _, Some(digest))) = full.as_deref().map(split)
        && let Some((_, reference)) =
            all.iter().find(|(name, it)| self::repository(name) == repository && it.digest.to_string() == digest)
    {
        return Ok(Found { name: None, reference: reference.clone() });
    }
    if let Some((name, reference)) = find_by_end(all, text)? {
        return Ok(Found { name: Some(name.clone()), reference: reference.clone() });
    }
    match by_digest(all, text)? {
        Some(reference) => Ok(Found { name: None, reference: reference.clone() }),
        None => Err(Error::NoSuchImage { name: text.to_owned(), similar: similar(all, full.as_deref()) }),
    }
}

/// Whether a text is the beginning of a digest, with or without the name of its hash function.
#[must_use]
pub fn begins(digest: &Digest, text: &str) -> bool {
    let algorithm = format!("{}:", digest.algorithm());
    let hex = text.strip_prefix(&algorithm).unwrap_or(text);
    hex.len() >= MIN_PREFIX && digest.hex().starts_with(hex)
}

/// Names of the same repository, then of one with the same last part, then of one that is written
/// almost alike; in each case those with the same tag first.
fn similar(all: &[(String, Reference)], wanted: Option<&str>) -> Vec<String> {
    let Some((wanted, wanted_tag, _)) = wanted.map(split) else { return Vec::new() };
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let distance = |name: &str| {
        let (name, tag, _) = split(name);
        let (one, other) = (last(name), last(wanted));
        let far = match () {
            () if name == wanted => 0,
            () if one == other => 1,
            () if one.len().min(other.len()) >= MIN_SLIP && one_slip(&one, &other) => 2,
            () => return None,
        };
        Some((far, tag != wanted_tag))
    };
    let names = all.iter().map(|(name, _)| name).filter(|name| !is_anonymous(name));
    let mut found: Vec<_> = names.filter_map(|name| Some((distance(name)?, name.clone()))).collect();
    found.sort();
    found.into_iter().take(MAX_SIMILAR).map(|(_, name)| name).collect()
}

/// A name without its tag and digest.
pub(crate) fn repository(name: &str) -> &str {
    split(name).0
}

/// The repository, the tag, and the digest of a name of the store.
pub(crate) fn split(name: &str) -> (&str, Option<&str>, Option<&str>) {
    let (name, digest) = match name.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (name, None),
    };
    let slash = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[slash..].rfind(':') {
        Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..]), digest),
        None => (name, None, digest),
    }
}

/// Whether two words differ in one letter that is wrong, missing or too much, or in two that
/// changed places.
fn one_slip(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let common = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[common..], &other[common..]);
    let rest = |text: &[char], from: usize| text.get(from..).map(<[char]>::to_vec);
    rest(one, 1) == rest(other, 1) && !one.is_empty()
        || rest(one, 1).as_deref() == Some(other)
        || rest(other, 1).as_deref() == Some(one)
        || matches!((one, other), ([a, b, ..], [c, d, ..]) if (a, b) == (d, c)) && rest(one, 2) == rest(other, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(content: &str) -> Reference {
        let digest = Digest::sha256(content.as_bytes());
        Reference { digest, media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(), size: 1 }
    }

    fn store() -> Vec<(String, Reference)> {
        vec![
            ("docker.io/library/alpine:3".to_owned(), reference("a")),
            ("docker.io/library/alpine:latest".to_owned(), reference("a")),
            ("localhost:5000/team/app:v1".to_owned(), reference("b")),
        ]
    }

    #[test]
    fn names_and_digests() {
        let digest = reference("b").digest;
        let hex = digest.hex();
        let found = |text: &str| find_in(&store(), text).unwrap();
        assert_eq!(found("alpine").name.as_deref(), Some("docker.io/library/alpine:latest"));
        assert_eq!(found("docker.io/library/alpine:3").name.as_deref(), Some("docker.io/library/alpine:3"));
        assert_eq!(found("localhost:5000/team/app:v1").reference.digest, digest);
        for text in [hex.as_str(), &hex[..4], &format!("sha256:{hex}"), &format!("sha256:{}", &hex[..12])] {
            let Found { name, reference } = found(text);
            assert_eq!((name, reference.digest), (None, digest), "{text}");
        }
        let pinned = format!("localhost:5000/team/app@{digest}");
        assert_eq!((found(&pinned).name, found(&pinned).reference.digest), (None, digest));
        assert!(find_in(&store(), &format!("localhost:5000/other/app@{digest}")).is_err());
        for text in ["nothing", &hex[..3], "sha256:", "", "sha512:1234", "oci:dir"] {
            assert!(matches!(find_in(&store(), text), Err(Error::NoSuchImage { .. })), "{text}");
        }
    }

    #[test]
    fn ends_of_names() {
        let mut all = store();
        let found = |all: &[(String, Reference)], text: &str| find_in(all, text).map(|found| found.name.unwrap());
        for text in ["app", "app:v1", "team/app", "team/app:v1", "localhost:5000/team/app"] {
            assert_eq!(found(&all, text).unwrap(), "localhost:5000/team/app:v1", "{text}");
        }
        for text in ["pp", "app:", "/app", "team", "v1", "5000/team/app", "other/app", "library", ""] {
            assert!(matches!(find_in(&all, text), Err(Error::NoSuchImage { .. })), "{text}");
        }
        // A name in full goes before the end of another one.
        all.push(("docker.io/library/app:v1".to_owned(), reference("c")));
        assert_eq!(found(&all, "app:v1").unwrap(), "docker.io/library/app:v1");
        let Err(Error::AmbiguousImage { found: several, .. }) = find_in(&all, "app") else { panic!("ambiguous") };
        assert_eq!(several, ["localhost:5000/team/app:v1", "docker.io/library/app:v1"]);
        all.push(("localhost:5000/team/app:latest".to_owned(), reference("d")));
        assert_eq!(found(&all, "team/app").unwrap(), "localhost:5000/team/app:latest");
        // One that came by its digest is no second one.
        all.push((format!("localhost:5000/other/tool@{}", reference("f").digest), reference("f")));
        assert_eq!(found(&all, "tool").unwrap(), all.last().unwrap().0);
        all.push(("localhost:5000/other/tool:v1".to_owned(), reference("f")));
        assert_eq!(found(&all, "tool").unwrap(), "localhost:5000/other/tool:v1");
        // One that is called like the beginning of a digest.
        let digest = reference("b").digest;
        all.push((format!("r.example/{}:1", &digest.hex()[..6]), reference("e")));
        assert_eq!(find_in(&all, &digest.hex()[..6]).unwrap().reference, reference("e"));
        // Only a digest is left of it.
        assert_eq!(calls("@sha256:12").collect::<Vec<_>>(), ["@sha256:12"]);
    }

    #[test]
    fn digests_that_start_alike() {
        let with = |hex: &str| {
            let digest = format!("sha256:{hex}{}", "0".repeat(64 - hex.len())).parse().unwrap();
            Reference { digest, ..reference("") }
        };
        let all = vec![("r/a:1".to_owned(), with("abcd1")), ("r/b:1".to_owned(), with("abcd2"))];
        let Err(Error::AmbiguousImage { found, .. }) = find_in(&all, "abcd") else { panic!("ambiguous") };
        assert_eq!(found.len(), 2);
        assert!(find_in(&all, "abcd1").is_ok());
    }

    #[test]
    fn similar_names() {
        let similar = |text: &str| match find_in(&store(), text) {
            Err(Error::NoSuchImage { similar, .. }) => similar,
            other => panic!("{other:?}"),
        };
        let mut alpine = ["docker.io/library/alpine:3", "docker.io/library/alpine:latest"];
        assert_eq!(similar("alpine:4"), alpine);
        alpine.reverse();
        for text in ["ghcr.io/x/alpine", "alpin", "alpinee", "apline", "olpine"] {
            assert_eq!(similar(text), alpine, "{text}");
        }
        assert_eq!(similar("app:v2"), ["localhost:5000/team/app:v1"]);
        // Not each of one letter, nor what has no name; the nearest first.
        let name = |name: &str| (name.to_owned(), reference("a"));
        let mut all = vec![name("@sha256:98a2"), name("r/x:1")];
        let found = |all: &[(String, Reference)], text| super::similar(all, full_name(text).as_deref());
        assert_eq!(found(&all, "j:1"), [""; 0]);
        all.extend(["r/app:2", "docker.io/library/apq:1", "r/app:1", "docker.io/library/app:3"].map(name));
        let nearest = ["docker.io/library/app:3", "r/app:1", "r/app:2", "docker.io/library/apq:1"];
        assert_eq!(found(&all, "app:1"), nearest);
        for text in ["debian", "alpi", ""] {
            assert_eq!(similar(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn parts_of_names() {
        let table = [
            ("docker.io/library/a:1", ("docker.io/library/a", Some("1"), None)),
            ("localhost:5000/a@sha256:1", ("localhost:5000/a", None, Some("sha256:1"))),
            ("localhost:5000/a", ("localhost:5000/a", None, None)),
            ("r/a:t@sha256:1", ("r/a", Some("t"), Some("sha256:1"))),
        ];
        for (name, parts) in table {
            assert_eq!(split(name), parts);
        }
    }
}
