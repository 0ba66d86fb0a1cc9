//! Layers → an image on disk: an OCI layout or an archive, true to itself or deliberately not.
//!
//! The JSON is written in one fixed, compact form, so that a fixture can edit its text
//! (`edit manifest OLD -> NEW`) before it is named by its digest, and change the file afterwards
//! (`tamper config append=" "`).

mod archive;
mod layer;
mod layout;

pub use archive::{docker_archive, tar_directory};
pub use layer::{Compression, Layer};
pub use layout::write_layout;

use sha2::Digest as _;

/// One image: what a manifest describes.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// `os/architecture[/variant]`; `linux/amd64` where nothing is said.
    pub platform: Option<String>,
    pub layers: Vec<Layer>,
    /// Changes of the JSON, before it gets its digest.
    pub edits: Vec<Edit>,
    /// `sha512` where the manifest, the config and their descriptors are to use it.
    pub algorithm: Option<String>,
}

/// All images of one layout.
#[derive(Debug, Clone, Default)]
pub struct Images {
    pub images: Vec<Image>,
    /// Docker's media types instead of OCI's.
    pub docker: bool,
    /// So many indexes inside one another; at least one where there are several images.
    pub nested: usize,
    /// Changes of the outermost index, and of `index.json`.
    pub edits: Vec<Edit>,
    /// Changes of files that no digest knows of.
    pub tampers: Vec<Tamper>,
}

/// A replacement in the text of a JSON document. `{layer1}`, `{diff1}`, `{config}`, `{manifest}`
/// and `{index}` stand for digests, `{layer1.size}` and its like for sizes. An empty `old` replaces
/// the whole text.
#[derive(Debug, Clone)]
pub struct Edit {
    pub document: String,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
}

/// A change of a file of the layout that its descriptor does not follow.
#[derive(Debug, Clone)]
pub struct Tamper {
    /// `manifest`, `config`, `index`, `layerN`, or a path in the layout.
    pub file: String,
    pub change: Change,
}

/// What happens to a file.
#[derive(Debug, Clone)]
pub enum Change {
    /// More bytes at the end.
    Append(Vec<u8>),
    /// So many bytes less.
    Cut(usize),
    /// One bit changed, at this place from the end.
    Flip(usize),
    /// No file.
    Delete,
    /// Other bytes.
    Replace(Vec<u8>),
}

impl Images {
    /// One image that tells the truth.
    pub fn of(layers: Vec<Layer>) -> Images {
        Images { images: vec![Image { layers, ..Image::default() }], ..Images::default() }
    }
}

/// `sha256:…` or `sha512:…` of bytes.
pub fn digest(algorithm: &str, bytes: &[u8]) -> String {
    match algorithm {
        "sha256" => format!("sha256:{}", hex(&sha2::Sha256::digest(bytes))),
        "sha512" => format!("sha512:{}", hex(&sha2::Sha512::digest(bytes))),
        other => panic!("no digest is called {other}"),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
