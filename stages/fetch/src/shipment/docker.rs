//! The manifest that an image of `docker save` does not have.
//!
//! It is an OCI manifest: the configuration byte for byte, and each layer as it lies in the archive, compressed or not.

use std::io::BufReader;

use cvbake_archive::{Compression, Decompressor};
use cvbake_verify::{Algorithm, Blobs, Descriptor, Digest, HashingReader, Image, Layer};
use serde::Serialize;

use super::{Blob, Content, Manifest, OCI_MANIFEST, Shipment};
use crate::Error;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// How much of a layer is read at once.
const BUFFER: usize = 256 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Pointer<'a>,
    layers: Vec<Pointer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pointer<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
}

impl<'a> From<&'a Descriptor> for Pointer<'a> {
    fn from(descriptor: &'a Descriptor) -> Pointer<'a> {
        let Descriptor { media_type, digest, size } = descriptor;
        Pointer { media_type, digest: digest.to_string(), size: *size }
    }
}

/// Adds an image's configuration, its layers, and a manifest for them.
pub(super) fn collect(image: &Image, blobs: &dyn Blobs, shipment: &mut Shipment) -> Result<(), Error> {
    let Some(config) = image.config() else {
        let (place, problem) = (image.reference().to_owned(), "it has no configuration".to_owned());
        return Err(Error::NotPushable { place, problem });
    };
    let raw = config.raw();
    let config = Descriptor { media_type: CONFIG.to_owned(), digest: config.digest(), size: raw.len() as u64 };
    let layers = image.layers().iter().map(|layer| describe(image, layer, blobs)).collect::<Result<Vec<_>, _>>()?;
    let document = Document {
        schema_version: 2,
        media_type: OCI_MANIFEST,
        config: (&config).into(),
        layers: layers.iter().map(Into::into).collect(),
    };
    let bytes = serde_json::to_vec(&document).expect("texts and numbers are JSON");
    shipment.blobs.push(Blob { descriptor: config, content: Content::Bytes(raw.into()), config: true });
    for (descriptor, layer) in layers.into_iter().zip(image.layers()) {
        if shipment.blobs.iter().all(|blob| blob.descriptor.digest != descriptor.digest) {
            shipment.blobs.push(Blob { descriptor, content: Content::Layer(Box::new(layer.clone())), config: false });
        }
    }
    let descriptor =
        Descriptor { media_type: OCI_MANIFEST.to_owned(), digest: Digest::sha256(&bytes), size: bytes.len() as u64 };
    shipment.manifests.push(Manifest { descriptor, bytes });
    Ok(())
}

/// Reads a layer to know its digest, and to see that it is the one that the configuration speaks of.
fn describe(image: &Image, layer: &Layer, blobs: &dyn Blobs) -> Result<Descriptor, Error> {
    let place = || format!("{} layer {}", image.reference(), layer.number());
    let unreadable = |source| Error::Read { place: place(), source };
    let wrong = |source| Error::Document { place: image.reference().to_owned(), source: Box::new(source) };
    let plain = Decompressor::new(layer.open(blobs).map_err(wrong)?).map_err(unreadable)?;
    let compression = plain.compression();
    let stored = BufReader::with_capacity(BUFFER, layer.open(blobs).map_err(wrong)?);
    let (digest, size) = HashingReader::new(stored, Algorithm::Sha256).finish().map_err(unreadable)?;
    let diff_id = match (compression, layer.algorithm()) {
        (Compression::None, Algorithm::Sha256) => digest,
        (_, algorithm) => HashingReader::new(plain, algorithm).finish().map_err(unreadable)?.0,
    };
    layer.check(diff_id).map_err(wrong)?;
    let media_type = match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    };
    Ok(Descriptor { media_type: media_type.to_owned(), digest, size })
}
