//! [`Blobs`] → places where other programs look for images.
//!
//! ```text
//! Contents ─┬→ Layout        a directory in the OCI image layout; others' images in it stay
//!           └→ oci_archive   the tar of one
//! Image    ──→ docker_archive    what `docker load` and `podman load` read: layers not compressed
//! ```
//!
//! Decisions:
//! - What has a digest goes byte for byte, and is held to its digest on the way.
//! - Archives are a function of the image and its name: a fixed order, no times, no owners.
//! - The archives here are streams; whoever gives the [`Write`](std::io::Write) sees to it that the
//!   file is whole or absent.

mod archive;
mod docker;
mod index;
mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use cvbake_verify::{
    Blobs, Candidate, CheckedReader, Descriptor, Digest, Error as VerifyError, Image, Known, Links, MAX_DOCUMENT_BYTES,
    MAX_DOCUMENTS, MAX_NESTING, Root, json, links,
};

use crate::Error;

pub use archive::oci_archive;
pub use docker::docker_archive;
pub use layout::{Layout, LayoutWriter, LockedLayout};

/// What is exported into an image layout: the documents, and what else they point to.
#[derive(Debug)]
pub struct Contents {
    top: Descriptor,
    /// The digest and the bytes of each, in the order in which they point to each other.
    documents: Vec<(Digest, Vec<u8>)>,
    blobs: Vec<Descriptor>,
    /// The manifests that may be those of images.
    images: Vec<Candidate>,
}

impl Contents {
    /// One image, for one platform; `None` if it has no manifest.
    ///
    /// # Errors
    /// When its manifest has too much in it.
    pub fn for_image(image: &Image) -> Result<Option<Contents>, VerifyError> {
        let (Some(top), Some(manifest)) = (image.descriptor(), image.manifest()) else { return Ok(None) };
        let mut contents = Contents::from_top(top.clone());
        contents.add(&document_name(top), &Candidate::new(top.clone()), manifest.to_vec(), &mut Seen::default())?;
        Ok(Some(contents))
    }

    /// Everything that a source leads to: all platforms, and what else is listed; `None` if it does
    /// not start with one manifest or index.
    ///
    /// # Errors
    /// When a document is missing or is not what led to it.
    pub fn for_everything(blobs: &dyn Blobs) -> Result<Option<Contents>, VerifyError> {
        let Root::Candidates(candidates) = blobs.root() else { return Ok(None) };
        let [top] = &candidates[..] else { return Ok(None) };
        let top = top.descriptor.clone();
        let mut contents = Contents::from_top(top.clone());
        let mut seen = Seen::default();
        seen.documents.add(blobs.reference(), &top)?;
        let mut left = vec![(Candidate::new(top), 0)];
        let mut bytes_in_all = 0;
        while let Some((candidate, depth)) = left.pop() {
            let object = document_name(&candidate.descriptor);
            if depth > MAX_NESTING {
                return Err(VerifyError::Nesting { object, limit: MAX_NESTING });
            }
            if contents.documents.len() == MAX_DOCUMENTS {
                let object = blobs.reference().to_owned();
                return Err(VerifyError::TooMany { object, what: "documents", limit: MAX_DOCUMENTS });
            }
            bytes_in_all += candidate.descriptor.size.min(json::MAX_BYTES as u64);
            check_document_bytes(blobs, bytes_in_all)?;
            let bytes = read(blobs, &object, &candidate.descriptor)?;
            let below = contents.add(&object, &candidate, bytes, &mut seen)?;
            // In the order of the index, whatever it points to first.
            left.extend(below.into_iter().rev().map(|candidate| (candidate, depth + 1)));
        }
        // What is both needs to be there once.
        let documents: BTreeSet<Digest> = contents.documents.iter().map(|(digest, _)| *digest).collect();
        contents.blobs.retain(|blob| !documents.contains(&blob.digest));
        Ok(Some(contents))
    }

    fn from_top(top: Descriptor) -> Contents {
        Contents { top, documents: Vec::new(), blobs: Vec::new(), images: Vec::new() }
    }

    /// Adds a document and the blobs it points to; returns the documents it points to.
    fn add(
        &mut self,
        object: &str,
        candidate: &Candidate,
        bytes: Vec<u8>,
        seen: &mut Seen,
    ) -> Result<Vec<Candidate>, VerifyError> {
        let descriptor = &candidate.descriptor;
        let found = links(object, &descriptor.media_type, &bytes)?;
        self.documents.push((descriptor.digest, bytes));
        Ok(match found {
            Links::Documents(candidates) => {
                let mut new = Vec::new();
                for candidate in candidates {
                    if seen.documents.add(object, &candidate.descriptor)? {
                        new.push(candidate);
                    }
                }
                new
            }
            Links::Blobs(blobs) => {
                if candidate.may_be_image() {
                    self.images.push(candidate.clone());
                }
                for blob in blobs {
                    if seen.is_new_blob(object, &blob)? {
                        self.blobs.push(blob);
                    }
                }
                Vec::new()
            }
            Links::Nothing => Vec::new(),
        })
    }

    /// What everything starts with.
    #[must_use]
    pub fn top(&self) -> &Descriptor {
        &self.top
    }

    /// The documents: digest and bytes.
    #[must_use]
    pub fn documents(&self) -> &[(Digest, Vec<u8>)] {
        &self.documents
    }

    /// What they point to beside each other: configurations, layers.
    #[must_use]
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }

    /// The manifests among the documents that may be those of images.
    #[must_use]
    pub fn images(&self) -> &[Candidate] {
        &self.images
    }

    /// The digests of everything.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.documents.iter().map(|(digest, _)| *digest).chain(self.blobs.iter().map(|blob| blob.digest))
    }

    /// How many bytes there are, documents included.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        let documents: u64 = self.documents.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.blobs.iter().fold(documents, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// What has been pointed to. A document and a blob of one digest are two things: the one is looked
/// into, the other is not.
#[derive(Default)]
struct Seen {
    documents: Known,
    sizes: BTreeMap<Digest, u64>,
}

impl Seen {
    /// Whether a blob is new. Its media type may be another one each time: a layer is in manifests
    /// of Docker's form and in others.
    fn is_new_blob(&mut self, object: &str, blob: &Descriptor) -> Result<bool, VerifyError> {
        let Descriptor { digest, size, .. } = blob;
        match self.sizes.insert(*digest, *size) {
            None => Ok(true),
            Some(first) if first == *size => Ok(false),
            Some(first) => {
                let (first, second) = (format!("{first} bytes"), format!("{size} bytes"));
                Err(VerifyError::Contradiction { object: object.to_owned(), digest: (*digest).into(), first, second })
            }
        }
    }
}

/// Whether so many bytes of documents can be kept.
pub(crate) fn check_document_bytes(blobs: &dyn Blobs, bytes: u64) -> Result<(), VerifyError> {
    if bytes <= MAX_DOCUMENT_BYTES as u64 {
        return Ok(());
    }
    let object = blobs.reference().to_owned();
    Err(VerifyError::TooMany { object, what: "bytes of manifests and indexes", limit: MAX_DOCUMENT_BYTES })
}

fn document_name(descriptor: &Descriptor) -> String {
    format!("manifest {}", descriptor.digest)
}

/// The whole of a document.
fn read(blobs: &dyn Blobs, object: &str, descriptor: &Descriptor) -> Result<Vec<u8>, VerifyError> {
    if descriptor.size > json::MAX_BYTES as u64 {
        return Err(VerifyError::JsonTooLarge { object: object.to_owned(), limit: json::MAX_BYTES });
    }
    let source = |source| VerifyError::Read { object: object.to_owned(), source: std::sync::Arc::new(source) };
    let reader = blobs.open(descriptor).map_err(source)?;
    json::read(object, CheckedReader::new(reader, descriptor.digest, descriptor.size))
}

/// A blob, held to its digest.
fn open<'b>(blobs: &'b dyn Blobs, blob: &Descriptor) -> Result<CheckedReader<Box<dyn Read + Send + 'b>>, Error> {
    let reader = blobs.open(blob).map_err(|source| blob_error(blob.digest, source))?;
    Ok(CheckedReader::new(reader, blob.digest, blob.size))
}

fn blob_error(digest: Digest, source: std::io::Error) -> Error {
    Error::Blob { digest, source }
}

/// The path of a blob in a layout.
fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
