//! Where an image is: its documents and layers, before anybody has checked them.

use std::io::{self, Read};

use crate::media::{Compression, Role, role};
use crate::{Algorithm, Candidate, CheckedReader, Descriptor, Digest, Error};

/// A place that holds an image: what it starts with, and its bytes, none of which anybody has
/// checked.
pub trait Blobs: Sync {
    /// The name of the image and its place, as a user would write it.
    fn reference(&self) -> &str;

    /// What verification starts with.
    fn root(&self) -> &Root;

    /// The bytes of a blob from its first.
    ///
    /// # Errors
    /// When there is no such blob, or it can't be read. The error says which blob and where it was
    /// looked for.
    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>>;

    /// The bytes of a layer as it is stored, compressed or not, from the first.
    ///
    /// # Errors
    /// As [`Blobs::open`]; and when it can be read only once and has been.
    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>>;

    /// The same bytes, held to the layer's digest and size as far as they are known. A place that
    /// hashes what it hands out anyway, to keep it, says so by an implementation of its own: it
    /// gives the last bytes only when the digest is right, as [`CheckedReader`] does.
    ///
    /// # Errors
    /// As [`Blobs::open_layer`].
    fn open_checked(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        let reader = self.open_layer(layer)?;
        Ok(match (layer.digest, layer.size) {
            (Some(digest), Some(size)) => Box::new(CheckedReader::new(reader, digest, size)),
            _ => reader,
        })
    }

    /// Whether a layer that made no sense can be opened again, and may then be better: it came from
    /// a place that others can stand in for. Says so once for each such place.
    fn has_alternative(&self, layer: &Layer) -> bool {
        let _ = layer;
        false
    }
}

/// What verification starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Root {
    /// Descriptors of a manifest or an index. If there are several, the platform decides; if it
    /// doesn't, that is an error.
    Candidates(Vec<Candidate>),
    /// An image without a manifest, as `docker save` writes it.
    Docker {
        /// The bytes of its configuration.
        config: Vec<u8>,
        /// The digest of the configuration, where its name says it.
        claimed: Option<Digest>,
        /// Its layers, lowest first.
        layers: Vec<DockerLayer>,
    },
    /// The tar of a root filesystem and nothing else.
    Bare {
        /// The length of the tar as it is stored, in bytes, where that is known.
        size: Option<u64>,
    },
}

/// A layer that no descriptor points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DockerLayer {
    /// Its length as it is stored, in bytes.
    pub size: u64,
    /// The digest of it as it is stored, where its name says it.
    pub claimed: Option<Digest>,
}

/// A layer of an image: what is known of it before it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    pub(crate) number: usize,
    pub(crate) diff_id: Option<Digest>,
    pub(crate) digest: Option<Digest>,
    pub(crate) size: Option<u64>,
    pub(crate) media_type: Option<String>,
}

impl Layer {
    /// The position among the image's layers; the lowest is 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The digest of what the layer unpacks to; `None` for a bare root filesystem, which nothing
    /// describes.
    #[must_use]
    pub fn diff_id(&self) -> Option<Digest> {
        self.diff_id
    }

    /// The digest of the layer as it is stored, where something says it.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The length of the layer as it is stored, in bytes, where something says it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The media type of the layer, where something says it.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The compression that the media type promises. The layer's first bytes decide; a
    /// contradiction is worth a warning.
    #[must_use]
    pub fn promised_compression(&self) -> Option<Compression> {
        match role(self.media_type()?) {
            Role::Layer(compression) => Some(compression),
            _ => None,
        }
    }

    /// The hash function to make the layer's `diff_id` with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.diff_id.map_or(Algorithm::Sha256, |diff_id| diff_id.algorithm())
    }

    /// The bytes of the layer as it is stored, held to its digest and size as far as they are
    /// known.
    ///
    /// # Errors
    /// When there is no such layer or it can't be read.
    pub fn open<'b>(&self, blobs: &'b dyn Blobs) -> Result<Box<dyn Read + Send + 'b>, Error> {
        blobs.open_checked(self).map_err(|source| Error::from_read(&format!("layer {}", self.number), source))
    }

    /// Holds what the layer unpacked to against its `diff_id`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn check(&self, found: Digest) -> Result<(), Error> {
        match self.diff_id {
            Some(expected) if expected != found => {
                Err(Error::DiffId { number: self.number, expected: expected.into(), found: found.into() })
            }
            _ => Ok(()),
        }
    }
}
