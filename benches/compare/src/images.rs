//! The images: made once by the scripts in Python, and kept in the work folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::run::python;

/// An image, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Its name here and in the registry.
    pub(crate) name: String,
    /// The OCI layout that it is.
    pub(crate) layout: PathBuf,
    /// The listing of what must be on a disk.
    pub(crate) tree: PathBuf,
    /// How large it is.
    pub(crate) sizes: Sizes,
}

/// How large an image is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sizes {
    /// The layers, lowest first.
    pub(crate) layers: Vec<Layer>,
    /// The entries of all layers.
    pub(crate) entries: u64,
    /// The names in the merged tree.
    pub(crate) files: u64,
    /// The content of its files.
    pub(crate) file_bytes: u64,
}

/// A layer of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// The file that it is.
    pub(crate) blob: PathBuf,
    /// `gzip` or `zstd`.
    pub(crate) compression: String,
    /// As it comes from the registry.
    pub(crate) bytes: u64,
    /// As the archive that it is.
    pub(crate) tar_bytes: u64,
}

impl Sizes {
    /// All layers as they come from the registry.
    pub(crate) fn compressed_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }

    /// All layers as archives.
    pub(crate) fn tar_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.tar_bytes).sum()
    }

    /// The size of a disk that has room enough for every peer that has to be told one: what the
    /// layers have in them (peers write deleted files, too), and much for each entry, because some
    /// spend inodes and blocks freely.
    pub(crate) fn generous_disk_bytes(&self) -> u64 {
        const PER_ENTRY: u64 = 18_000;
        const SPARE: u64 = 192 << 20;
        let bytes = self.tar_bytes() / 100 * 115 + PER_ENTRY * self.entries + SPARE;
        bytes.next_multiple_of(1 << 20)
    }
}

/// Makes an image of Debian, PyPI and npm packages unless it is there.
pub(crate) fn make(work: &Path, name: &str) -> Result<Image> {
    python("images.py", [work.as_os_str(), name.as_ref()])?;
    open(work, name)
}

/// Makes two images of another one: with a small layer on top, which is all that they differ in.
pub(crate) fn make_pair(work: &Path, base: &Image) -> Result<[Image; 2]> {
    python("series.py", [work.as_os_str(), "pair".as_ref(), base.name.as_ref()])?;
    Ok([open(work, &format!("{}-a", base.name))?, open(work, &format!("{}-b", base.name))?])
}

/// Makes an image that is one point of a series, and returns its layout. Nobody looks it over: that
/// takes long with a million files.
pub(crate) fn make_point(work: &Path, series: &str, n: u64) -> Result<PathBuf> {
    python("series.py", [work.as_os_str(), series.as_ref(), n.to_string().as_ref()])?;
    Ok(work.join("layouts").join(format!("{series}-{n}")))
}

/// What there is to fetch of an image, its manifest and configuration included.
pub(crate) fn blob_bytes(layout: &Path) -> Result<u64> {
    let blobs = layout.join("blobs/sha256");
    let sizes = fs::read_dir(&blobs).and_then(|entries| entries.map(|entry| Ok(entry?.metadata()?.len())).sum());
    sizes.with_context(|| blobs.display().to_string())
}

/// Looks an image over, unless that has been done.
fn open(work: &Path, name: &str) -> Result<Image> {
    let layout = work.join("layouts").join(name);
    let trees = work.join("expected");
    fs::create_dir_all(&trees).with_context(|| trees.display().to_string())?;
    let (tree, note) = (trees.join(format!("{name}.tree")), trees.join(format!("{name}.json")));
    if !note.exists() || !tree.exists() {
        let sizes = python("trees.py", ["expected".as_ref(), layout.as_os_str(), tree.as_os_str()])?;
        fs::write(&note, sizes).with_context(|| note.display().to_string())?;
    }
    let text = fs::read(&note).with_context(|| note.display().to_string())?;
    let sizes = serde_json::from_slice(&text).with_context(|| note.display().to_string())?;
    Ok(Image { name: name.to_owned(), layout, tree, sizes })
}
