//! What the images of a place are called there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cvbake_verify::{Candidate, Digest};

use crate::archive::Archive;
use crate::layout::{self, Directory};
use crate::{DockerSelect, Error, Select, Source, docker};

/// The images of a layout or an archive, or the one that is selected, each with the names that it has there and as a source of its own.
/// `scratch` is a directory for temporary files.
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

fn by_tag(entries: Vec<Candidate>, source: impl Fn(Select) -> Source) -> Vec<(Source, Vec<String>)> {
    // Docker puts the name in full beside a tag, which other images in it may have as well.
    let mut images: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    let mut tags = BTreeSet::new();
    for Candidate { descriptor, ref_name, image_name, .. } in entries {
        match (image_name, ref_name) {
            (Some(name), _) => drop(images.entry(descriptor.digest).or_default().insert(name)),
            (None, Some(tag)) => drop(tags.insert(tag)),
            (None, None) => {}
        }
    }
    let by_tag = tags.into_iter().map(|tag| (Select::Tag(tag.clone()), in_full(&tag)));
    let by_name = images.into_iter().map(|(digest, names)| (Select::Digest(digest), names.into_iter().collect()));
    by_tag.chain(by_name).map(|(select, names)| (source(select), names)).collect()
}

/// Most programs put only a tag there; some the whole name.
fn in_full(tag: &str) -> Vec<String> {
    if tag.contains('/') { vec![tag.to_owned()] } else { Vec::new() }
}
