//! Layouts and archives on disk, written as text.

mod archives;
mod contents;
mod layouts;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cvbake_verify::{Blobs, Descriptor, Digest, Image, Want};

use crate::{Error, Source};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Files by name, in the order they are written.
#[derive(Clone, Default)]
struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    fn add(&mut self, name: impl Into<String>, content: impl AsRef<[u8]>) {
        self.0.push((name.into(), content.as_ref().to_vec()));
    }

    fn set(&mut self, name: &str, content: impl AsRef<[u8]>) {
        self.0.retain(|file| file.0 != name);
        self.add(name, content);
    }

    fn without(mut self, name: &str) -> Files {
        self.0.retain(|file| file.0 != name);
        self
    }

    fn blob(&mut self, media_type: &str, content: impl AsRef<[u8]>) -> String {
        let content = content.as_ref();
        let digest = Digest::sha256(content);
        self.add(format!("blobs/sha256/{}", digest.hex()), content);
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, content.len())
    }

    /// An image with these layers; its descriptor.
    fn image(&mut self, architecture: &str, layers: &[&str]) -> String {
        let config = self.blob(CONFIG, config(architecture, layers));
        let layers = layers.iter().map(|layer| self.blob(LAYER, layer)).collect::<Vec<_>>().join(",");
        self.blob(MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#))
    }

    /// The files that make a layout of the blobs.
    fn layout(&mut self, entries: &[String]) {
        self.set("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.set("index.json", format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")));
    }

    fn write_to(&self, dir: &Path) {
        for (name, content) in &self.0 {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in &self.0 {
            append(&mut builder, name, content);
        }
        builder.into_inner().unwrap()
    }
}

fn config(architecture: &str, layers: &[&str]) -> String {
    let diff_ids = layers.iter().map(|layer| format!("\"{}\"", Digest::sha256(layer.as_bytes()))).collect::<Vec<_>>();
    let diff_ids = diff_ids.join(",");
    format!(r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#)
}

/// A descriptor with more in it.
fn with(descriptor: &str, more: &str) -> String {
    format!("{},{more}}}", &descriptor[..descriptor.len() - 1])
}

fn tagged(descriptor: &str, tag: &str) -> String {
    with(descriptor, &format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#))
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).unwrap();
}

fn append_link(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, target: &str) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(0);
    if target.is_empty() {
        builder.append_data(&mut header, name, io::empty()).unwrap();
    } else {
        builder.append_link(&mut header, name, target).unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A place for the files of a test, with a scratch directory.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.scratch()).unwrap();
        place
    }

    fn scratch(&self) -> PathBuf {
        self.path("scratch")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Opens `transport:PATHsuffix`.
    fn open(&self, transport: &str, path: &Path, suffix: &str) -> Result<Box<dyn Blobs + Send>, Error> {
        let source: Source = format!("{transport}:{}{suffix}", path.display()).parse().unwrap();
        let opened = crate::open(&source, &self.scratch(), io::empty())?;
        assert_eq!(opened.reference(), source.to_string());
        Ok(opened)
    }

    fn error(&self, transport: &str, path: &Path, suffix: &str) -> String {
        chain(&self.open(transport, path, suffix).err().expect("an error"))
    }

    /// The contents of all layers of the image that a source has for amd64.
    fn layers(&self, transport: &str, path: &Path, suffix: &str) -> Vec<String> {
        let blobs = self.open(transport, path, suffix).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let image = verify(&*blobs).unwrap_or_else(|error| panic!("{}", chain(&error)));
        contents(&image, &*blobs)
    }
}

fn verify(blobs: &dyn Blobs) -> Result<Image, cvbake_verify::Error> {
    let platform = "linux/amd64".parse().unwrap();
    Image::verify(blobs, &Want { platform, explicit: true })
}

fn contents(image: &Image, blobs: &dyn Blobs) -> Vec<String> {
    let read = |layer: &cvbake_verify::Layer| {
        let mut text = String::new();
        layer.open(blobs).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(layer.size().unwrap_or(text.len() as u64), text.len() as u64);
        text
    };
    image.layers().iter().map(read).collect()
}

/// The messages of an error and everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}
