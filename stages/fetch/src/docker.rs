//! The archives of `docker save` and `podman save`: `manifest.json` says which files are the
//! configuration and the layers.

use std::io::{self, Read};

use cvbake_verify::json::{self, Bounded, Object};
use cvbake_verify::{Blobs, Descriptor, Digest, DockerLayer, Layer, MAX_INDEX_ENTRIES, MAX_LAYERS, Root, shorten};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::archive::Archive;
use crate::file::Part;
use crate::layout::{Members, document_error, read_document};
use crate::source::normal_name;
use crate::{DockerSelect, Error};

const MANIFEST: &str = "manifest.json";

/// The most names that the images of an archive have: `docker save` of everything that a machine
/// has gives some hundreds.
const MAX_TAGS: usize = 1000;

/// One image of an archive, as it is written. What begins with `_` is not read but has its name in
/// other programs, so that no other spelling of it may mean something to them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawItem {
    config: String,
    repo_tags: Option<Bounded<String, MAX_TAGS>>,
    layers: Option<Bounded<String, MAX_LAYERS>>,
    _parent: Option<IgnoredAny>,
    _layer_sources: Option<IgnoredAny>,
}

/// One image of an archive.
struct Item {
    config: String,
    tags: Vec<String>,
    layers: Vec<String>,
}

/// An image in a Docker archive.
pub(crate) struct Docker {
    place: String,
    reference: String,
    root: Root,
    layers: Vec<Part>,
}

impl Docker {
    pub(crate) fn open(archive: &Archive, reference: String, select: &DockerSelect) -> Result<Docker, Error> {
        let place = archive.place().to_owned();
        let items = items(archive)?;
        let item = choose(&place, items, select)?;

        let missing =
            |name: &str| Error::NoMember { place: place.clone(), name: shorten(name).escape_debug().to_string() };
        let config = archive.document(&item.config)?.ok_or_else(|| missing(&item.config))?;
        let config = json::read(&shorten(&item.config).escape_debug().to_string(), config)
            .map_err(|source| document_error(archive, source))?;
        let names = item.layers;
        let mut parts = Vec::with_capacity(names.len());
        let mut layers = Vec::with_capacity(names.len());
        for name in &names {
            let part = archive.part(name.as_bytes())?.ok_or_else(|| missing(name))?;
            layers.push(DockerLayer { size: part.len(), claimed: blob_digest(name) });
            parts.push(part);
        }
        let claimed = blob_digest(&item.config).or_else(|| config_digest(&item.config));
        Ok(Docker { place, reference, root: Root::Docker { config, claimed, layers }, layers: parts })
    }
}

/// What `manifest.json` lists.
fn items(archive: &Archive) -> Result<Vec<Item>, Error> {
    let place = archive.place().to_owned();
    let Some(manifest) = read_document(archive, MANIFEST)? else {
        let problem = match archive.document("oci-layout")? {
            Some(_) => "manifest.json is missing, but it has oci-layout as OCI archives do",
            None => "manifest.json is missing",
        };
        return Err(Error::NotADockerArchive { place, problem });
    };
    parse(&manifest).map_err(|source| document_error(archive, source))
}

fn parse(manifest: &[u8]) -> Result<Vec<Item>, cvbake_verify::Error> {
    let items: Bounded<Object<RawItem>, MAX_INDEX_ENTRIES> = json::parse(MANIFEST, manifest)?;
    let item = |Object(raw): Object<RawItem>| {
        let tags = raw.repo_tags.unwrap_or_default().all(MANIFEST, "RepoTags")?;
        Ok(Item { config: raw.config, tags, layers: raw.layers.unwrap_or_default().all(MANIFEST, "Layers")? })
    };
    let items = items.all(MANIFEST, "images")?.into_iter().map(item).collect::<Result<Vec<_>, _>>()?;
    match items.iter().map(|item| item.tags.len()).sum::<usize>() > MAX_TAGS {
        true => Err(cvbake_verify::Error::TooMany { object: MANIFEST.to_owned(), what: "RepoTags", limit: MAX_TAGS }),
        false => Ok(items),
    }
}

/// The names of each image of an archive, in order.
pub(crate) fn names(archive: &Archive) -> Result<Vec<Vec<String>>, Error> {
    Ok(items(archive)?.into_iter().map(|item| item.tags).collect())
}

impl Blobs for Docker {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
        Err(Error::NoBlob { place: self.place.clone(), digest: blob.digest }.into_io())
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send>> {
        let number = layer.number();
        let part = number.checked_sub(1).and_then(|at| self.layers.get(at));
        let missing = || Error::NoLayer { place: self.place.clone(), number }.into_io();
        Ok(Box::new(part.cloned().ok_or_else(missing)?))
    }
}

/// The digest in a name like `blobs/sha256/<hex>`, as newer versions of Docker use.
fn blob_digest(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// The digest in a name like `<hex>.json`, as older versions of Docker and podman use.
fn config_digest(name: &str) -> Option<Digest> {
    format!("sha256:{}", name.strip_suffix(".json")?).parse().ok()
}

fn choose(place: &str, items: Vec<Item>, select: &DockerSelect) -> Result<Item, Error> {
    let place = || place.to_owned();
    let named = |(at, item): (usize, &Item)| match item.tags.is_empty() {
        true => vec![format!("@{at}")],
        false => item.tags.clone(),
    };
    let available = items.iter().enumerate().flat_map(named).collect::<Vec<_>>();
    let mut chosen: Vec<(usize, Item)> = items.into_iter().enumerate().collect();
    let name = match select {
        DockerSelect::Only => None,
        DockerSelect::Index(index) => {
            chosen.retain(|(at, _)| at == index);
            Some(format!("@{index}"))
        }
        DockerSelect::Name(name) => {
            let same = |tag: &String| tag == name || normal_name(tag).as_ref() == Some(name);
            chosen.retain(|(_, item)| item.tags.iter().any(same));
            Some(name.clone())
        }
    };
    match (chosen.len(), name) {
        (0, None) => Err(Error::NoImage { place: place() }),
        (0, Some(name)) => Err(Error::NoSuchImage { place: place(), name, available }),
        (1, _) => Ok(chosen.remove(0).1),
        // Several of one name, too, are told apart by their position.
        (_, None) => Err(Error::SeveralImages { place: place(), available }),
        (_, Some(_)) => {
            let available = chosen.iter().map(|(at, _)| format!("@{at}")).collect();
            Err(Error::SeveralImages { place: place(), available })
        }
    }
}
