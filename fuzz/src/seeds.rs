//! Fixtures, and a few texts, → first inputs for every target.
//!
//! Seeds are made, never committed: the fixtures are text that a person can read, these are what
//! follows from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cvbake_archive::tar::{Kind, Reader};
use cvbake_cases::case::Case;
use cvbake_cases::image::{Images, write_layout};
use cvbake_unpack::unpack;

use crate::documents::{SEPARATOR, replace};
use crate::formats;

mod disk;
mod registry;

/// Longer inputs cost more than they find; libFuzzer cuts them anyway.
const MAX_BYTES: usize = 64 * 1024;

/// An input to begin with.
pub struct Seed {
    /// The target that it is for.
    pub target: &'static str,
    /// Unique among the seeds of the target.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// The seeds of all targets, from a directory of fixtures.
pub fn seeds(fixtures: &Path) -> Vec<Seed> {
    let texts = registry::SEEDS.iter();
    let mut seeds: Vec<Seed> = texts
        .map(|&(target, name, text)| Seed { target, name: name.to_owned(), bytes: text.as_bytes().to_owned() })
        .collect();
    let of_formats = formats::seeds().into_iter();
    seeds.extend(of_formats.map(|(target, name, bytes)| Seed { target, name: name.to_owned(), bytes }));
    for blocks in [1, 2, 3] {
        let bytes = crate::hash_tree::seed(blocks);
        seeds.push(Seed { target: "hash_tree", name: format!("{blocks}-blocks"), bytes });
    }
    seeds.push(Seed { target: "uki", name: "small".to_owned(), bytes: crate::uki::seed() });
    let mut files: Vec<PathBuf> =
        fs::read_dir(fixtures).expect("fixtures").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "case")) {
        let case = Case::read(file);
        let mut seed = |target: &'static str, name: &str, bytes: &[u8]| {
            if bytes.len() <= MAX_BYTES {
                seeds.push(Seed { target, name: format!("{}{name}", case.name), bytes: bytes.to_owned() });
            }
        };
        for (flags, name) in [(0, ""), (1, "-without-checksums")] {
            // Larger ones find no more.
            if let Some(bytes) = disk::disk(&case.images, flags).filter(|bytes| bytes.len() <= 12 * 1024) {
                seed("disk", name, &bytes);
            }
            if let Some(bytes) = disk::erofs(&case.images, flags).filter(|bytes| bytes.len() <= 12 * 1024) {
                seed("erofs", name, &bytes);
            }
        }
        let mut text = Vec::new();
        for (at, layer) in case.images.images.iter().flat_map(|image| &image.layers).enumerate() {
            let name = format!("-{}", at + 1);
            seed("tar", &name, &layer.tar);
            seed("compression", &name, &layer.blob);
            if let Some(body) = layer.blob.strip_prefix(b"\x1f\x8b\x08\0").and_then(|rest| rest.get(6..)) {
                seed("inflate", &name, body);
            }
            if let Ok(index) = unpack(&mut &layer.tar[..], &mut |_, _| Ok(())) {
                seed("index", &name, &index.encode());
            }
            text.extend(lines(&layer.tar));
            text.push(b'\n');
        }
        seed("merge", "", &text);
        for (at, text) in documents(&case.images).iter().enumerate() {
            seed("documents", &format!("-{}", at + 1), text);
        }
    }
    seeds
}

/// A layer in the grammar of the target `merge`, as far as it can be read.
fn lines(archive: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut reader = Reader::new(archive);
    while let Ok(Some(entry)) = reader.next_entry() {
        let letter = match entry.header.kind {
            Kind::File => b'f',
            Kind::HardLink => b'h',
            Kind::Symlink => b's',
            Kind::CharDevice => b'c',
            Kind::BlockDevice => b'b',
            Kind::Directory => b'd',
            Kind::Fifo => b'p',
        };
        text.extend([letter, b' ']);
        text.extend_from_slice(&entry.header.path);
        if !entry.header.link.is_empty() {
            text.push(b'\t');
            text.extend_from_slice(&entry.header.link);
        }
        text.push(b'\n');
    }
    text
}

/// Each manifest or index of an image, with everything below it in front.
fn documents(images: &Images) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write_layout(images, dir.path());
    let blobs = json_blobs(&dir.path().join("blobs"));
    blobs.keys().filter(|digest| !below(digest, &blobs).is_empty()).map(|digest| text(digest, &blobs)).collect()
}

/// A document with its dependencies in front, digests and sizes as placeholders.
fn text(root: &str, blobs: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut order: Vec<&str> = Vec::new();
    visit(root, blobs, &mut order);
    let parts = order.iter().enumerate().map(|(at, digest)| {
        (0..at).fold(blobs[*digest].clone(), |part, below| {
            let size = blobs[order[below]].len();
            let (old, new) = (
                format!("{}\",\"size\":{size}", order[below]),
                format!("{{digest{below}}}\",\"size\":{{size{below}}}"),
            );
            let part = replace(&part, old.as_bytes(), new.as_bytes());
            replace(&part, order[below].as_bytes(), format!("{{digest{below}}}").as_bytes())
        })
    });
    parts.collect::<Vec<_>>().join(SEPARATOR)
}

fn visit<'b>(digest: &'b str, blobs: &'b BTreeMap<String, Vec<u8>>, order: &mut Vec<&'b str>) {
    for below in below(digest, blobs) {
        if !order.contains(&below) {
            visit(below, blobs, order);
        }
    }
    order.push(digest);
}

/// The documents that a document points to.
fn below<'b>(digest: &str, blobs: &'b BTreeMap<String, Vec<u8>>) -> Vec<&'b str> {
    let text = String::from_utf8_lossy(&blobs[digest]);
    blobs.keys().filter(|other| *other != digest && text.contains(other.as_str())).map(String::as_str).collect()
}

/// The documents of a layout, by digest.
fn json_blobs(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut blobs = BTreeMap::new();
    for algorithm in ["sha256", "sha512"] {
        let Ok(entries) = fs::read_dir(dir.join(algorithm)) else { continue };
        for entry in entries.map(|entry| entry.expect("a blob")) {
            let bytes = fs::read(entry.path()).expect("a blob");
            if bytes.starts_with(b"{") && bytes.len() <= MAX_BYTES {
                blobs.insert(format!("{algorithm}:{}", entry.file_name().to_string_lossy()), bytes);
            }
        }
    }
    blobs
}
