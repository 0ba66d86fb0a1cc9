//! What there is to push of an image: its blobs, and then its manifests.
//!
//! ```text
//! image ─→ manifest ─→ config, layers                    one image
//! index ─→ manifests, indexes ─→ their configs, layers   all that are there
//! ```
//!
//! Manifests are looked through by what they point to, whatever that is: an index also lists
//! attestations and signatures, and they belong to it. What a manifest is, is believed of an
//! [`Image`] only.

mod docker;
mod document;

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use cvbake_verify::{
    Blobs, CheckedReader, Descriptor, Digest, Image, Known, Layer, MAX_DOCUMENTS, MAX_NESTING, Root, json,
};

pub use self::docker::Packed;
pub(crate) use self::document::links;
use self::document::{Links, Pointer};
use crate::export::check_document_bytes;
use crate::file::Part;
use crate::{Error, Event, Observer, Problem};

/// What is pushed, in the order in which a registry wants it: a manifest comes after all that it
/// points to.
#[derive(Debug)]
pub struct Shipment {
    blobs: Vec<Blob>,
    manifests: Vec<Manifest>,
    absent: Vec<(Descriptor, Option<String>)>,
}

/// A configuration, a layer, or whatever else a manifest points to.
#[derive(Debug, Clone)]
pub struct Blob {
    descriptor: Descriptor,
    content: Content,
    /// Whether it is a configuration.
    config: bool,
}

#[derive(Debug, Clone)]
enum Content {
    /// It has its digest for a name.
    Named,
    /// It is known only as a layer of the image.
    Layer(Box<Layer>),
    /// It is here.
    Bytes(Arc<[u8]>),
    /// It is in a file of its own.
    File(Part),
}

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone)]
pub struct Manifest {
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

impl Shipment {
    /// One image with a manifest ([`Shipment::for_packed`] makes one for others). `keep_private`:
    /// layers that are not to be distributed stay here.
    ///
    /// # Errors
    /// When it has none.
    pub fn for_image(image: &Image, keep_private: bool, on: Observer<'_>) -> Result<Shipment, Error> {
        let mut shipment = Shipment { blobs: Vec::new(), manifests: Vec::new(), absent: Vec::new() };
        let bytes = image.manifest().ok_or_else(|| Error::NotPushable {
            place: image.reference().to_owned(),
            problem: "it has no manifest".to_owned(),
        })?;
        let found = links(image.reference(), bytes)?;
        let digest = image.identity().digest().expect("an image with a manifest is named by it");
        let media_type = found.media_type.clone().unwrap_or_else(|| OCI_MANIFEST.to_owned());
        let descriptor = Descriptor { media_type, digest, size: bytes.len() as u64 };
        shipment.take(found, keep_private, on);
        shipment.manifests.push(Manifest { descriptor, bytes: bytes.to_vec() });
        Ok(shipment)
    }

    /// An index with all of its images that are there, or the only image where there is no index.
    ///
    /// # Errors
    /// When several images are meant and no index holds them together; when a document can't be
    /// read or is not what its digest says.
    pub fn all(blobs: &dyn Blobs, keep_private: bool, on: Observer<'_>) -> Result<Shipment, Error> {
        let not_pushable =
            |problem: &str| Error::NotPushable { place: blobs.reference().to_owned(), problem: problem.to_owned() };
        let top = match blobs.root() {
            Root::Candidates(candidates) => match &candidates[..] {
                [one] => one.descriptor.clone(),
                _ => return Err(not_pushable("it is several images without an index of their own")),
            },
            Root::Docker { .. } | Root::Bare { .. } => return Err(not_pushable("it has no index and no manifest")),
        };
        let mut shipment = Shipment { blobs: Vec::new(), manifests: Vec::new(), absent: Vec::new() };
        let mut walk = Walk { blobs, keep_private, on, known: Known::default(), documents: 0, document_bytes: 0 };
        match walk.document(blobs.reference(), &Pointer::plain(top), 0, &mut shipment)? {
            true => Ok(shipment),
            false => Err(not_pushable("it is not here")),
        }
    }

    /// The blobs, each once.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// The manifests, those first that others point to; the last one is the image or the index
    /// itself.
    #[must_use]
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// The manifests that an index lists and that are not there, with the platforms that it says
    /// they are for.
    #[must_use]
    pub fn absent(&self) -> &[(Descriptor, Option<String>)] {
        &self.absent
    }

    /// How many of the blobs are layers.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.blobs.iter().filter(|blob| !blob.config).count()
    }

    /// The length of all blobs in bytes, if what is claimed of them can be true.
    #[must_use]
    pub fn len_bytes(&self) -> Option<u64> {
        self.blobs.iter().try_fold(0u64, |sum, blob| sum.checked_add(blob.size()))
    }

    /// The digests of all blobs.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.blobs.iter().map(Blob::digest).collect()
    }

    /// Adds what a manifest points to.
    fn take(&mut self, links: Links, keep_private: bool, on: Observer<'_>) {
        let seen = self.digests();
        let mut new = BTreeSet::new();
        for (at, Pointer { descriptor, .. }) in links.blobs.into_iter().enumerate() {
            if seen.contains(&descriptor.digest) || !new.insert(descriptor.digest) {
                continue;
            }
            if keep_private && is_private(&descriptor.media_type) {
                on(Event::NotDistributable { digest: descriptor.digest });
                continue;
            }
            let config = links.has_config && at == 0;
            self.blobs.push(Blob { descriptor, content: Content::Named, config });
        }
    }
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Whether a layer's media type says that it is not to be distributed: those of Windows were so.
fn is_private(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

struct Walk<'a> {
    blobs: &'a dyn Blobs,
    keep_private: bool,
    on: Observer<'a>,
    known: Known,
    documents: usize,
    document_bytes: u64,
}

impl Walk<'_> {
    /// Adds a document that another one, `above`, points to, and all below it; whether it is there.
    fn document(
        &mut self,
        above: &str,
        pointer: &Pointer,
        depth: usize,
        shipment: &mut Shipment,
    ) -> Result<bool, Error> {
        let descriptor = &pointer.descriptor;
        let object = format!("manifest {}", descriptor.digest);
        let wrong = |source| Error::Document { place: self.blobs.reference().to_owned(), source: Box::new(source) };
        if !self.known.add(above, descriptor).map_err(wrong)? {
            return Ok(true);
        }
        if depth > MAX_NESTING {
            return Err(wrong(cvbake_verify::Error::TooMany {
                object,
                what: "indexes within indexes",
                limit: MAX_NESTING,
            }));
        }
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            let (what, limit) = ("documents to look through", MAX_DOCUMENTS);
            return Err(wrong(cvbake_verify::Error::TooMany { object, what, limit }));
        }
        if descriptor.size > json::MAX_BYTES as u64 {
            return Err(wrong(cvbake_verify::Error::JsonTooLarge { object, limit: json::MAX_BYTES }));
        }
        self.document_bytes += descriptor.size;
        check_document_bytes(self.blobs, self.document_bytes).map_err(wrong)?;
        let reader = match self.blobs.open(descriptor) {
            Ok(reader) => reader,
            Err(error) if is_absent(&error) => {
                shipment.absent.push((descriptor.clone(), pointer.platform.clone()));
                return Ok(false);
            }
            Err(source) => return Err(Error::Read { place: object, source }),
        };
        let bytes =
            json::read(&object, CheckedReader::new(reader, descriptor.digest, descriptor.size)).map_err(wrong)?;
        let mut found = links(&object, &bytes)?;
        for below in std::mem::take(&mut found.manifests) {
            self.document(&object, &below, depth + 1, shipment)?;
        }
        shipment.take(found, self.keep_private, self.on);
        shipment.manifests.push(Manifest { descriptor: descriptor.clone(), bytes });
        Ok(true)
    }
}

/// Whether an error says that there is no such blob.
fn is_absent(error: &io::Error) -> bool {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoBlob { .. }) => true,
        Some(Error::Registry { source, .. }) => matches!(**source, Problem::NotStored),
        _ => false,
    }
}

impl Blob {
    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.descriptor.size
    }

    /// What errors call it.
    pub(crate) fn object(&self) -> String {
        format!("blob {}", self.descriptor.digest)
    }

    /// Its bytes, unchecked.
    pub(crate) fn open<'b>(&self, blobs: &'b dyn Blobs) -> io::Result<Box<dyn Read + Send + 'b>> {
        match &self.content {
            Content::Named => blobs.open(&self.descriptor),
            Content::Layer(layer) => blobs.open_layer(layer),
            Content::File(part) => Ok(Box::new(part.clone())),
            Content::Bytes(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
        }
    }
}

impl Manifest {
    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }

    /// What it is pushed as.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.descriptor.media_type
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
