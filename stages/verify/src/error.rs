//! What can be wrong with an image.

use std::io;
use std::sync::Arc;

use crate::{Digest, DigestError, Platform};

/// Why something is not the image it should be. `object` names the document or blob at fault.
///
/// Pairs of digests and platforms are boxed: an error travels in every `Result`, and they are
/// large.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A blob's bytes are not those of its digest.
    #[error("blob {expected}: the content has another digest: found {found}")]
    BlobDigest {
        /// What the blob should be.
        expected: Box<Digest>,
        /// What it is.
        found: Box<Digest>,
    },
    /// A blob ends before its announced size.
    #[error("blob {digest}: too short: expected {expected} bytes, found {found}")]
    BlobTooShort {
        /// The blob.
        digest: Digest,
        /// The size that was announced.
        expected: u64,
        /// How many bytes there are.
        found: u64,
    },
    /// A blob goes on after its announced size.
    #[error("blob {digest}: too long: expected {expected} bytes, found more")]
    BlobTooLong {
        /// The blob.
        digest: Digest,
        /// The size that was announced.
        expected: u64,
    },
    /// A document is not the blob that its descriptor promises.
    #[error("{object}")]
    Document {
        /// The document.
        object: String,
        /// What is wrong with its bytes.
        source: Box<Error>,
    },
    /// Something can't be read.
    #[error("{object}: cannot be read")]
    Read {
        /// What it is.
        object: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A document is not JSON that means one thing only, or not of the expected shape.
    #[error("{object}: {problem}")]
    Json {
        /// The document.
        object: String,
        /// What is wrong where.
        problem: String,
    },
    /// A document is larger than any sensible one.
    #[error("{object}: larger than the {limit} bytes that a JSON document may have")]
    JsonTooLarge {
        /// The document.
        object: String,
        /// The limit.
        limit: usize,
    },
    /// A digest in a document is malformed.
    #[error("{object}: {place}")]
    Digest {
        /// The document.
        object: String,
        /// Where in the document.
        place: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// A document lacks something.
    #[error("{object}: {field} is missing")]
    Missing {
        /// The document.
        object: String,
        /// What it lacks.
        field: String,
    },
    /// A document is of another version than the one there is.
    #[error("{object}: expected schemaVersion 2, found {found}")]
    SchemaVersion {
        /// The document.
        object: String,
        /// The version it has.
        found: u64,
    },
    /// A manifest of the form used before 2016, which has no digests of what its layers unpack to.
    #[error("{object}: a Docker manifest of schema 1, which is not supported: expected an OCI manifest or schema 2")]
    Schema1 {
        /// The document.
        object: String,
    },
    /// Something else that registries and layouts also hold.
    #[error("{object}: not an image but {what}")]
    NotAnImage {
        /// The document.
        object: String,
        /// What it is.
        what: String,
    },
    /// A document says of itself that it is something else than what led to it says.
    #[error("{object}: announced as {announced:?}, but calls itself {found:?}")]
    MediaType {
        /// The document.
        object: String,
        /// What the descriptor says.
        announced: String,
        /// What the document says.
        found: String,
    },
    /// A document has the content of another kind than announced.
    #[error("{object}: expected {expected}, found {found}")]
    Shape {
        /// The document.
        object: String,
        /// What was announced.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A document that could be taken for a manifest or for an index.
    #[error("{object}: has both {first:?} and {second:?}, so it is neither an index nor a manifest")]
    Ambivalent {
        /// The document.
        object: String,
        /// A key of an index.
        first: &'static str,
        /// A key of a manifest.
        second: &'static str,
    },
    /// Something that can't be all that is said of it.
    #[error("{object}: lists {digest} as {first} and as {second}")]
    Contradiction {
        /// The document that says the second.
        object: String,
        /// What it is about.
        digest: Box<Digest>,
        /// The media type and size that were given first.
        first: String,
        /// Those that were given then.
        second: String,
    },
    /// More of something than any image needs.
    #[error("{object}: more than {limit} {what}")]
    TooMany {
        /// The document.
        object: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Indexes within indexes within indexes.
    #[error("{object}: an index below {limit} others; no more are followed")]
    Nesting {
        /// The index that is too deep.
        object: String,
        /// How many are followed.
        limit: usize,
    },
    /// An index has nothing for a platform.
    #[error("{object}: no image for {wanted}; available: {}", list(available))]
    NoPlatform {
        /// The index.
        object: String,
        /// What was looked for.
        wanted: Platform,
        /// What there is, sorted; not more than fit in a message.
        available: Vec<String>,
    },
    /// Several images have the same name and serve the platform equally well.
    #[error("{object}: several images for {platform}: {first} and {second}")]
    Ambiguous {
        /// The reference.
        object: String,
        /// What was looked for.
        platform: Box<Platform>,
        /// One of them.
        first: Box<Digest>,
        /// Another.
        second: Box<Digest>,
    },
    /// A layer is of a type that is not a filesystem layer.
    #[error("{object}: layer {number} has the unknown media type {media_type:?}")]
    LayerType {
        /// The manifest.
        object: String,
        /// The layer; the lowest is 1.
        number: usize,
        /// Its type.
        media_type: String,
    },
    /// A layer is encrypted.
    #[error("{object}: layer {number} is encrypted, which is not supported: media type {media_type:?}")]
    EncryptedLayer {
        /// The manifest.
        object: String,
        /// The layer; the lowest is 1.
        number: usize,
        /// Its type.
        media_type: String,
    },
    /// Manifest and configuration disagree about the number of layers.
    #[error("{object}: {layers} layers, but config {config} has {diff_ids} diff_ids")]
    LayerCount {
        /// The manifest, or the reference where there is none.
        object: String,
        /// How many layers there are.
        layers: usize,
        /// The configuration.
        config: Digest,
        /// How many layers it describes.
        diff_ids: usize,
    },
    /// A configuration whose filesystem is not made of layers.
    #[error("{object}: expected rootfs.type \"layers\", found {found:?}")]
    RootfsType {
        /// The configuration.
        object: String,
        /// The type it has.
        found: String,
    },
    /// An image for another operating system.
    #[error("{object}: expected an image for the operating system {expected:?}, found one for {found:?}")]
    ConfigOs {
        /// The configuration.
        object: String,
        /// What was wanted.
        expected: String,
        /// What the configuration says.
        found: String,
    },
    /// An image for another kind of processor.
    #[error("{object}: expected an image for {expected}, found one for {found}")]
    ConfigPlatform {
        /// The configuration.
        object: String,
        /// What was wanted.
        expected: Box<Platform>,
        /// What the configuration says.
        found: Box<Platform>,
    },
    /// A layer unpacks to something else than the configuration says.
    #[error("layer {number}: unpacks to something else: expected diff_id {expected}, found {found}")]
    DiffId {
        /// The layer; the lowest is 1.
        number: usize,
        /// What it should unpack to.
        expected: Box<Digest>,
        /// What it does unpack to.
        found: Box<Digest>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
