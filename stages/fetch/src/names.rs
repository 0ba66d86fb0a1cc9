//! What the images of a place are called there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cvbake_verify::{Candidate, Digest};

use crate::archive::Archive;
use crate::layout::{self, Directory};
use crate::source::normal_name;
use crate::{DockerSelect, Error, Select, Source, docker};

/// The images of a layout or an archive, or the one that is selected, each with the names that it
/// has there and as a source of its own. `scratch` is a directory for temporary files.
///
/// # Errors
/// When there is no such place.
pub fn names(source: &Source, scratch: &Path) -> Result<Vec<(Source, Vec<String>)>, Error> {
    Ok(match source {
        Source::Oci { path, select: Select::Only } => {
            let entries = layout::entries(&Directory::open(path.clone())?)?;
            by_tag(entries, |select| Source::Oci { path: path.clone(), select })
        }
        Source::OciArchive { path, select: Select::Only } => {
            let entries = layout::entries(&Archive::open(path, scratch)?)?;
            by_tag(entries, |select| Source::OciArchive { path: path.clone(), select })
        }
        Source::DockerArchive { path, select: DockerSelect::Only } => {
            let images = docker::names(&Archive::open(path, scratch)?)?;
            let image =
                |(at, names)| (Source::DockerArchive { path: path.clone(), select: DockerSelect::Index(at) }, names);
            images.into_iter().enumerate().map(image).collect()
        }
        Source::Oci { select: Select::Tag(tag), .. } | Source::OciArchive { select: Select::Tag(tag), .. } => {
            vec![(source.clone(), in_full(tag))]
        }
        Source::DockerArchive { select: DockerSelect::Name(name), .. } => vec![(source.clone(), vec![name.clone()])],
        _ => Vec::new(),
    })
}

/// Each image of an index with its names. Most programs give it a tag, some its whole name as a
/// tag; Docker and containerd put the name in full beside a tag, which other images there may have
/// as well.
fn by_tag(entries: Vec<Candidate>, source: impl Fn(Select) -> Source) -> Vec<(Source, Vec<String>)> {
    let mut named: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    let mut tagged: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    let mut tags: BTreeMap<Digest, String> = BTreeMap::new();
    for Candidate { descriptor, ref_name, image_name, .. } in entries {
        let digest = descriptor.digest;
        if let Some(tag) = &ref_name {
            tags.insert(digest, tag.clone());
        }
        let full = image_name.filter(|name| !name.contains('@')).and_then(|name| normal_name(&name));
        match (full, ref_name) {
            (Some(name), _) => drop(named.entry(name).or_default().insert(digest)),
            (None, Some(tag)) => drop(tagged.entry(tag).or_default().insert(digest)),
            (None, None) => {}
        }
    }
    let mut images: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    let mut found: Vec<(Select, Vec<String>)> =
        tagged.into_keys().map(|tag| (Select::Tag(tag.clone()), in_full(&tag))).collect();
    for (name, digests) in named {
        let first = *digests.first().expect("what has a name is something");
        // Several of one name are one image for several platforms, if a tag says which they are.
        let tag = tags.get(&first).filter(|tag| {
            digests.len() > 1 && tags.iter().all(|(digest, other)| digests.contains(digest) == (other == *tag))
        });
        match tag {
            Some(tag) => found.push((Select::Tag(tag.clone()), vec![name])),
            None => images.entry(first).or_default().push(name),
        }
    }
    found.extend(images.into_iter().map(|(digest, names)| (Select::Digest(digest), names)));
    found.into_iter().map(|(select, names)| (source(select), names)).collect()
}

/// Most programs put only a tag there; some the whole name.
fn in_full(tag: &str) -> Vec<String> {
    if tag.contains('/') { vec![tag.to_owned()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use cvbake_verify::Descriptor;

    use super::*;

    fn entry(content: &str, tag: &str, name: &str) -> Candidate {
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let descriptor = Descriptor { media_type, digest: Digest::sha256(content.as_bytes()), size: 1 };
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut entry = Candidate::new(descriptor);
        (entry.ref_name, entry.image_name) = (text(tag), text(name));
        entry
    }

    #[test]
    fn names_beside_tags() {
        let digest = |content: &str| Digest::sha256(content.as_bytes()).to_string();
        let found = |entries: &[Candidate]| {
            let named = by_tag(entries.to_vec(), |select| Source::Oci { path: "d".into(), select });
            let mut named: Vec<String> =
                named.into_iter().map(|(source, names)| format!("{source} {}", names.join(" "))).collect();
            named.sort();
            named
        };
        let (one, two) = (format!("oci:d@{}", digest("1")), format!("oci:d@{}", digest("2")));
        let mut expected = [format!("{one} r.io/a:latest"), format!("{two} r.io/b:latest")];
        expected.sort();
        assert_eq!(found(&[entry("1", "latest", "r.io/a:latest"), entry("2", "latest", "r.io/b:latest")]), expected);
        // One image by two names.
        let both = [entry("1", "v1", "r.io/a:v1"), entry("1", "v2", "r.io/a:v2")];
        assert_eq!(found(&both), [format!("{one} r.io/a:v1 r.io/a:v2")]);
        // One name for two platforms.
        let platforms = [entry("1", "latest", "r.io/a:latest"), entry("2", "latest", "r.io/a:latest")];
        assert_eq!(found(&platforms), ["oci:d:latest r.io/a:latest"]);
        // What is no name takes none away.
        let pinned = format!("r.io/a@{}", digest("1"));
        for name in ["@sha256:1", "UPPER", &pinned] {
            assert_eq!(found(&[entry("1", "r.io/a:v1", name)]), ["oci:d:r.io/a:v1 r.io/a:v1"], "{name}");
        }
        assert_eq!(found(&[entry("1", "v1", ""), entry("2", "", "")]), ["oci:d:v1 "]);
    }
}
