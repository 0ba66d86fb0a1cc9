//! The OCI image layout: `oci-layout`, `index.json`, and blobs named by their digests, in a
//! directory or in an archive.

use std::io::{self, Read};
use std::path::PathBuf;

use cvbake_verify::json::{self, Object};
use cvbake_verify::{Blobs, Candidate, Descriptor, Digest, Layer, Root};
use serde::Deserialize;

use crate::file::{Part, open_regular};
use crate::{Error, Select};

/// Files by their names in an image layout or archive.
pub(crate) trait Members: Send + Sync {
    /// What errors call the whole.
    fn place(&self) -> &str;

    /// A document of which there must not be two; `None` if there is none.
    fn document(&self, name: &str) -> Result<Option<Part>, Error>;

    /// A blob; `None` if there is none.
    fn blob(&self, name: &str) -> Result<Option<Part>, Error>;
}

/// A directory in the image layout.
pub(crate) struct Directory {
    path: PathBuf,
    place: String,
}

impl Directory {
    pub(crate) fn open(path: PathBuf) -> Result<Directory, Error> {
        let metadata = std::fs::metadata(&path).map_err(|source| Error::Open { path: path.clone(), source })?;
        let place = path.display().to_string();
        if !metadata.is_dir() {
            return Err(Error::NotALayout { place, problem: "not a directory".to_owned() });
        }
        Ok(Directory { path, place })
    }
}

impl Members for Directory {
    fn place(&self) -> &str {
        &self.place
    }

    fn document(&self, name: &str) -> Result<Option<Part>, Error> {
        self.blob(name)
    }

    fn blob(&self, name: &str) -> Result<Option<Part>, Error> {
        let path = self.path.join(name);
        match open_regular(&path) {
            Ok(file) => Part::whole(file, &path.display().to_string()).map(Some),
            Err(Error::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A document of a layout or archive, read as a whole; `None` if there is none.
pub(crate) fn read_document(members: &dyn Members, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let Some(part) = members.document(name)? else { return Ok(None) };
    json::read(name, part).map(Some).map_err(|source| document_error(members, source))
}

pub(crate) fn document_error(members: &dyn Members, source: cvbake_verify::Error) -> Error {
    Error::Document { place: members.place().to_owned(), source: Box::new(source) }
}

/// An image in an image layout.
pub(crate) struct Layout<M> {
    members: M,
    reference: String,
    root: Root,
}

/// The file that says that a directory is an image layout, and of which version.
const MARKER: &str = "oci-layout";

/// The only version there is.
const VERSION: &str = "1.0.0";

const INDEX: &str = "index.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: Option<String>,
}

/// The entries of the index of an image layout.
pub(crate) fn entries(members: &dyn Members) -> Result<Vec<Candidate>, Error> {
    let not_a_layout = |problem| Error::NotALayout { place: members.place().to_owned(), problem };
    let Some(marker) = read_document(members, MARKER)? else {
        let docker = members.document("manifest.json")?.is_some();
        let hint = if docker { ", but it has manifest.json as Docker archives do" } else { "" };
        return Err(not_a_layout(format!("{MARKER} is missing{hint}")));
    };
    let Object(marker): Object<Marker> =
        json::parse(MARKER, &marker).map_err(|source| document_error(members, source))?;
    match marker.image_layout_version.as_deref() {
        Some(VERSION) => {}
        Some(found) => {
            let found = found.chars().take(40).collect::<String>();
            return Err(not_a_layout(format!("expected imageLayoutVersion {VERSION:?}, found {found:?}")));
        }
        None => return Err(not_a_layout(format!("{MARKER} has no imageLayoutVersion"))),
    }
    let index = read_document(members, INDEX)?.ok_or_else(|| not_a_layout(format!("{INDEX} is missing")))?;
    cvbake_verify::parse_index(INDEX, &index).map_err(|source| document_error(members, source))
}

impl<M: Members> Layout<M> {
    pub(crate) fn open(members: M, reference: String, select: &Select) -> Result<Layout<M>, Error> {
        let entries = entries(&members)?;
        let root = Root::Candidates(choose(members.place(), entries, select)?);
        Ok(Layout { members, reference, root })
    }

    fn blob(&self, digest: Digest) -> Result<Part, Error> {
        // A digest's text is safe as a path: a known algorithm and hexadecimal digits.
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        let missing = || Error::NoBlob { place: self.members.place().to_owned(), digest };
        self.members.blob(&name)?.ok_or_else(missing)
    }
}

impl<M: Members> Blobs for Layout<M> {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.blob(blob.digest).map_err(Error::into_io)?))
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send>> {
        let missing = || Error::NoLayer { place: self.members.place().to_owned(), number: layer.number() };
        let blob = layer.digest().ok_or_else(missing).and_then(|digest| self.blob(digest));
        Ok(Box::new(blob.map_err(Error::into_io)?))
    }
}

/// The entries of `index.json` that are meant: one, or several that only the platform tells apart.
fn choose(place: &str, entries: Vec<Candidate>, select: &Select) -> Result<Vec<Candidate>, Error> {
    let place = || place.to_owned();
    let mut available: Vec<String> = entries.iter().filter_map(|entry| entry.ref_name.clone()).collect();
    available.sort();
    available.dedup();
    let no_such = |name: String, available| Error::NoSuchImage { place: place(), name, available };
    let mut chosen: Vec<Candidate> = match select {
        Select::Only => only_images(entries),
        Select::Tag(tag) => entries.into_iter().filter(|entry| entry.ref_name.as_ref() == Some(tag)).collect(),
        Select::Digest(digest) => {
            available = entries.iter().map(|entry| entry.descriptor.digest.to_string()).collect();
            entries.into_iter().filter(|entry| entry.descriptor.digest == *digest).collect()
        }
    };
    if let Select::Only = select
        && chosen.iter().any(|entry| entry.ref_name != chosen[0].ref_name)
        && chosen.iter().any(|entry| entry.descriptor.digest != chosen[0].descriptor.digest)
    {
        return Err(Error::SeveralImages { place: place(), available });
    }
    // One image under several names, or listed twice, is one image.
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|entry| seen.insert(entry.descriptor.digest));
    match (chosen.is_empty(), select) {
        (false, _) => Ok(chosen),
        (true, Select::Only) => Err(Error::NoImage { place: place() }),
        (true, Select::Tag(tag)) => Err(no_such(tag.clone(), available)),
        (true, Select::Digest(digest)) => Err(no_such(digest.to_string(), available)),
    }
}

/// What is left without attestations and other artifacts; all if nothing is, so that the error can
/// say what it is.
fn only_images(entries: Vec<Candidate>) -> Vec<Candidate> {
    match entries.iter().any(Candidate::may_be_image) {
        true => entries.into_iter().filter(Candidate::may_be_image).collect(),
        false => entries,
    }
}
