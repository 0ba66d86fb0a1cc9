//! Images made of text, held in memory.

mod documents;
mod selection;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Mutex;

use crate::{Blobs, Candidate, Descriptor, Digest, Error, Image, Layer, Root, Want};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What a layer of the images here unpacks to.
const DIFF_ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[derive(Debug)]
struct Memory {
    root: Root,
    blobs: BTreeMap<Digest, Vec<u8>>,
    opened: Mutex<Vec<Digest>>,
}

impl Memory {
    fn new() -> Memory {
        Memory { root: Root::Candidates(Vec::new()), blobs: BTreeMap::new(), opened: Mutex::default() }
    }

    fn put(&mut self, media_type: &str, content: impl AsRef<[u8]>) -> Descriptor {
        let content = content.as_ref().to_vec();
        let (digest, size) = (Digest::sha256(&content), content.len() as u64);
        self.blobs.insert(digest, content);
        Descriptor { media_type: media_type.to_owned(), digest, size }
    }

    /// An image with one layer for a platform.
    fn image(&mut self, os: &str, architecture: &str, variant: &str) -> Descriptor {
        let config = self.put(
            OCI_CONFIG,
            format!(
                r#"{{"os":"{os}","architecture":"{architecture}","variant":"{variant}","rootfs":{{"type":"layers","diff_ids":["{DIFF_ID}"]}}}}"#
            ),
        );
        let layer = self.put(OCI_GZIP, "the layer");
        let text = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, json(&config), json(&layer));
        self.put(OCI_MANIFEST, text)
    }

    /// An index of entries: a descriptor, and what else stands in the entry.
    fn index(&mut self, entries: &[(&Descriptor, &str)]) -> Descriptor {
        let entry = |(descriptor, more): &(&Descriptor, &str)| {
            let json = json(descriptor);
            format!("{}{more}}}", &json[..json.len() - 1])
        };
        let entries = entries.iter().map(entry).collect::<Vec<_>>().join(",");
        self.put(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#))
    }

    fn verify(&mut self, root: &Descriptor, want: &Want) -> Result<Image, Error> {
        self.root = Root::Candidates(vec![Candidate::new(root.clone())]);
        Image::verify(self, want)
    }
}

impl Blobs for Memory {
    fn reference(&self) -> &str {
        "memory:test"
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
        self.opened.lock().unwrap().push(blob.digest);
        let content = self.blobs.get(&blob.digest).cloned();
        Ok(Box::new(io::Cursor::new(content.ok_or_else(|| io::Error::other("no such blob"))?)))
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send>> {
        let content = layer.digest().and_then(|digest| self.blobs.get(&digest));
        Ok(Box::new(io::Cursor::new(content.cloned().unwrap_or_else(|| b"unnamed".to_vec()))))
    }
}

fn json(descriptor: &Descriptor) -> String {
    let Descriptor { media_type, digest, size } = descriptor;
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn want(platform: &str) -> Want {
    Want { platform: platform.parse().unwrap(), explicit: true }
}

fn guess(platform: &str) -> Want {
    Want { explicit: false, ..want(platform) }
}

/// The messages of an error and everything behind it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}
