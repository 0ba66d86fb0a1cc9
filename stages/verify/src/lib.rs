//! Unchecked blobs → an [`Image`] that can be believed.
//!
//! ```text
//! Blobs::root ─→ index ─→ … ─→ manifest ─→ config      read here, whole: digest, size, strict JSON, platform
//!                                  │          │
//!                                  └─ layers ─┴─ diff_ids    → Image::layers: what each one must turn out to be
//! ```
//!
//! ```
//! use std::io::Read as _;
//!
//! use cvbake_verify::{CheckedReader, Digest};
//!
//! let digest = Digest::sha256(b"a layer");
//! let mut text = String::new();
//! CheckedReader::new(&b"a layer"[..], digest.clone(), 7).read_to_string(&mut text)?;
//! assert_eq!(text, "a layer");
//! // As long, and something else: an error at its end, before anybody takes it for the layer.
//! assert!(CheckedReader::new(&b"a liar!"[..], digest, 7).read_to_string(&mut text).is_err());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Image::verify`] follows the pointers and makes the only `Image`s there are. The bytes come
//! from a [`Blobs`], which is believed nothing: every byte goes through a [`CheckedReader`]. Layers
//! are read later by whoever unpacks them: [`Layer::open`] gives the checked bytes,
//! [`HashingReader`] makes the digest of what they unpack to, [`Layer::check`] compares.
//!
//! Decisions:
//! - Documents are parsed strictly ([`json`]), by fields that tell kinds apart: what one parser
//!   takes for a manifest and another for an index is refused (CVE-2021-41190).
//! - The bytes of manifest and configuration are kept as they came and never written anew: unknown
//!   fields would be lost and the digest with them. That is also why the parsed shapes are our own,
//!   with only the fields that verification needs.
//! - A digest that an index lists as two things, by media type or size, is refused: what it leads
//!   to would depend on which one is taken.
//! - Limits are constants: [`json::MAX_BYTES`], [`json::MAX_DEPTH`], [`MAX_INDEX_ENTRIES`],
//!   [`MAX_LAYERS`], [`MAX_NESTING`], [`MAX_DOCUMENTS`].

mod blobs;
mod chain;
mod config;
mod descriptor;
mod digest;
mod document;
mod error;
mod image;
pub mod json;
mod media;
mod platform;
mod reader;
mod resolve;
#[cfg(test)]
mod tests;

pub use blobs::{Blobs, DockerLayer, Layer, Root};
pub use chain::chain_id;
pub use config::Config;
pub use descriptor::{Candidate, Descriptor};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use document::{Known, Links, MAX_INDEX_ENTRIES, MAX_LAYERS, links, parse_index};
pub use error::Error;
pub use image::{Identity, Image, Want, Warning};
pub use media::Compression;
pub use platform::{Platform, PlatformError};
pub use reader::{CheckedReader, HashingReader};
pub use resolve::{MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_NESTING};

/// How much of a text that came from outside is shown in an error.
const SHOWN_CHARS: usize = 160;

/// A text from outside, cut to what an error message should hold.
#[must_use]
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
