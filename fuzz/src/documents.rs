//! Manifests, indexes and configurations.
//!
//! For any bytes: an error is a short line, and the same again; an index has no more entries than
//! an image needs. For accepted input: the image is what its documents prove, whichever way they
//! were reached, and no other parser would take one for something else.
//!
//! The input is several documents, lowest first, with a line `%%` between them. `{digest0}` and
//! `{size0}` stand for the digest and the size of the first, and so on, so that a mutated document
//! is still found by its digest.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use cvbake_verify::{
    Algorithm, Blobs, Candidate, Descriptor, Digest, DockerLayer, Identity, Image, Layer, MAX_INDEX_ENTRIES, Platform,
    Root, Want, parse_index,
};

use crate::line;

/// What stands between documents.
pub const SEPARATOR: &[u8] = b"\n%%\n";

/// More than an image needs; the bound keeps replacing the placeholders linear.
const MAX_DOCUMENTS: usize = 8;

const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Verifies an image made of the documents, in every way they can be reached.
pub fn check(input: &[u8]) {
    let documents = documents(input);
    let (Some(first), Some(last)) = (documents.first(), documents.last()) else { return };
    match parse_index("index.json", last) {
        Ok(entries) => assert!(entries.len() <= MAX_INDEX_ENTRIES),
        Err(error) => drop(line(&error)),
    }
    if let Ok(text) = std::str::from_utf8(first) {
        if let Ok(platform) = text.parse::<Platform>() {
            assert_eq!(platform.to_string().parse::<Platform>().as_ref(), Ok(&platform), "{platform}");
        }
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), text);
        }
    }
    let wanted: Platform = "linux/amd64".parse().expect("a platform");
    for explicit in [false, true] {
        let want = Want { platform: wanted.clone(), explicit };
        for media_type in MEDIA_TYPES {
            let (digest, size) = (Digest::for_bytes(Algorithm::Sha256, last), last.len() as u64);
            let descriptor = Descriptor { media_type: media_type.to_owned(), digest, size };
            verify(&documents, Root::Candidates(vec![Candidate::new(descriptor)]), &want);
        }
        let layers = vec![DockerLayer { size: 1, claimed: None }; documents.len() - 1];
        verify(&documents, Root::Docker { config: first.clone(), claimed: None, layers }, &want);
    }
}

/// The documents, with the placeholders filled in.
fn documents(input: &[u8]) -> Vec<Vec<u8>> {
    let mut documents: Vec<Vec<u8>> = Vec::new();
    for part in split(input).into_iter().take(MAX_DOCUMENTS) {
        let mut document = part.to_vec();
        for (at, below) in documents.iter().enumerate() {
            let digest = Digest::for_bytes(Algorithm::Sha256, below).to_string();
            document = replace(&document, format!("{{digest{at}}}").as_bytes(), digest.as_bytes());
            document = replace(&document, format!("{{size{at}}}").as_bytes(), below.len().to_string().as_bytes());
        }
        documents.push(document);
    }
    documents
}

fn split(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = input.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        parts.push(&input[..at]);
        input = &input[at + SEPARATOR.len()..];
    }
    parts.push(input);
    parts
}

/// Replaces every `old`.
pub fn replace(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn verify(documents: &[Vec<u8>], root: Root, want: &Want) {
    let blobs =
        documents.iter().map(|document| (Digest::for_bytes(Algorithm::Sha256, document).to_string(), &document[..]));
    let memory = Memory { root, blobs: blobs.collect() };
    match Image::verify(&memory, want) {
        Ok(image) => {
            proven(&memory, &image);
            assert_eq!(Image::verify(&memory, want).expect("again"), image);
        }
        Err(error) => {
            let text = line(&error);
            assert_eq!(line(&Image::verify(&memory, want).expect_err("again")), text);
        }
    }
}

/// What an image's type promises.
fn proven(memory: &Memory<'_>, image: &Image) {
    let config = image.config().expect("only a bare root filesystem has none");
    assert_eq!(config.diff_ids().len(), image.layers().len());
    assert_eq!(Digest::for_bytes(Algorithm::Sha256, config.raw()), config.digest());
    match image.identity() {
        Identity::Manifest(digest) => {
            let manifest = image.manifest().expect("it names the image");
            assert_eq!(memory.blobs[&digest.to_string()], manifest);
            // No parser may take it for an index, too.
            let value: serde_json::Value = serde_json::from_slice(manifest).expect("a lenient parser reads it as well");
            assert!(value.get("manifests").is_none() && value["schemaVersion"] == 2);
            assert_eq!(value["config"]["digest"], config.digest().to_string());
        }
        Identity::Config(digest) => assert_eq!(digest, config.digest()),
        Identity::Layer => panic!("an image with documents is named by one"),
    }
    for (at, (layer, diff_id)) in image.layers().iter().zip(config.diff_ids()).enumerate() {
        assert_eq!((layer.number(), layer.diff_id()), (at + 1, Some(*diff_id)));
    }
}

/// Blobs by their digests.
struct Memory<'a> {
    root: Root,
    blobs: BTreeMap<String, &'a [u8]>,
}

impl Blobs for Memory<'_> {
    fn reference(&self) -> &str {
        "memory"
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.blobs.get(&blob.digest.to_string()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.to_vec())))
    }

    fn open_layer(&self, _: &Layer) -> io::Result<Box<dyn Read + Send>> {
        unreachable!("verification reads no layer")
    }
}
