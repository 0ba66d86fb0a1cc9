//! The archive that `docker load` and `podman load` read.
//!
//! ```text
//! manifest.json              [{"Config": "<hex>.json", "RepoTags": […], "Layers": ["<hex>.tar", …]}]
//! <hex of the digest>.json   the configuration
//! <hex of a diff_id>.tar     a layer, not compressed
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::path::Path;

use cvbake_archive::{Compression, Decompressor};
use cvbake_verify::{Blobs, HashingReader, Image, Layer};
use serde::Serialize;

use super::archive::{Archive, Counted};
use crate::Error;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes an image as a Docker archive; `None` if it has no configuration. `scratch` is a directory
/// for temporary files, `place` what errors call the output; `on` is told how many more bytes were
/// written.
///
/// # Errors
/// When a layer is missing or wrong, or `out` fails.
pub fn docker_archive(
    image: &Image,
    blobs: &dyn Blobs,
    names: &[String],
    scratch: &Path,
    place: &str,
    out: &mut dyn Write,
    on: &dyn Fn(u64),
) -> Result<Option<()>, Error> {
    let Some(config) = image.config() else { return Ok(None) };
    let write = |source| Error::Write { place: place.to_owned(), source };
    let item = Item {
        config: format!("{}.json", config.digest().hex()),
        repo_tags: names.to_vec(),
        layers: config.diff_ids().iter().map(|diff_id| format!("{}.tar", diff_id.hex())).collect(),
    };
    let manifest = serde_json::to_vec(&[&item]).expect("texts and lists of them");
    let mut archive = Archive::new(out);
    archive.file("manifest.json", manifest.len() as u64, &manifest[..]).map_err(write)?;
    archive.file(&item.config, config.raw().len() as u64, config.raw()).map_err(write)?;
    let mut seen = BTreeSet::new();
    for (layer, name) in image.layers().iter().zip(&item.layers) {
        if seen.insert(name) {
            let plain = Plain::new(layer, blobs, scratch)?;
            let len = plain.len;
            let mut reader = Counted::new(plain.reader(), on);
            let written = archive.file(name, len, &mut reader);
            match reader.failed {
                Some(source) => return Err(layer_error(layer, source)),
                None => written.map_err(write)?,
            }
            reader.inner.finish(layer)?;
        }
    }
    archive.finish().map_err(write)?;
    Ok(Some(()))
}

fn layer_error(layer: &Layer, source: io::Error) -> Error {
    Error::Layer { number: layer.number(), source }
}

/// A layer that is not compressed: as it is, or in a temporary file, because its length stands in
/// front of it.
struct Plain<'b> {
    reader: PlainReader<'b>,
    len: u64,
}

enum PlainReader<'b> {
    File(File),
    /// Checked when it has been read.
    Stream(Box<HashingReader<Decompressor<Box<dyn Read + Send + 'b>>>>),
}

impl<'b> Plain<'b> {
    fn new(layer: &'b Layer, blobs: &'b dyn Blobs, scratch: &Path) -> Result<Plain<'b>, Error> {
        let broken = |source| layer_error(layer, source);
        let verify = |source| Error::Verify { source: Box::new(source) };
        let reader = Decompressor::new(layer.open(blobs).map_err(verify)?).map_err(broken)?;
        let compression = reader.compression();
        let mut reader = HashingReader::new(reader, layer.algorithm());
        if let (Compression::None, Some(len)) = (compression, layer.size()) {
            return Ok(Plain { reader: PlainReader::Stream(Box::new(reader)), len });
        }
        let write = |source| Error::scratch(scratch, source);
        let mut file = tempfile::tempfile_in(scratch).map_err(write)?;
        let mut failed = Counted::new(&mut reader, &|_| {});
        let copied = io::copy(&mut BufReader::with_capacity(256 << 10, &mut failed), &mut file);
        match failed.failed {
            Some(source) => return Err(broken(source)),
            None => copied.map_err(write)?,
        };
        let (digest, len) = reader.finish().map_err(broken)?;
        layer.check(digest).map_err(verify)?;
        file.rewind().map_err(write)?;
        Ok(Plain { reader: PlainReader::File(file), len })
    }

    fn reader(self) -> PlainReader<'b> {
        self.reader
    }
}

impl PlainReader<'_> {
    /// Checks what has not been checked before.
    fn finish(self, layer: &Layer) -> Result<(), Error> {
        let PlainReader::Stream(reader) = self else { return Ok(()) };
        let (digest, _) = reader.finish().map_err(|source| layer_error(layer, source))?;
        layer.check(digest).map_err(|source| Error::Verify { source: Box::new(source) })
    }
}

impl Read for PlainReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            PlainReader::File(file) => file.read(buffer),
            PlainReader::Stream(reader) => reader.read(buffer),
        }
    }
}
