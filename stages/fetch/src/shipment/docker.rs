//! The manifest that an image of `docker save` does not have.
//!
//! It is an OCI manifest: the configuration byte for byte, and each layer in gzip, unless it is
//! compressed already. It is a function of the image and of the compression's implementation, so
//! that the same image has the same manifest each time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use cvbake_archive::{Compression, Compressor, Decompressor};
use cvbake_verify::{Algorithm, Blobs, Descriptor, Digest, Hasher, HashingReader, Image, Layer};
use serde::Serialize;

use super::{Blob, Content, Manifest, OCI_MANIFEST, Shipment};
use crate::Error;
use crate::file::Part;

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

/// A layer as it is sent.
#[derive(Debug)]
pub struct Packed {
    number: usize,
    blob: Blob,
}

impl Packed {
    /// Reads a layer, sees that it is the one that the configuration speaks of, and compresses it
    /// into a file without a name in `scratch` unless it is compressed.
    ///
    /// # Errors
    /// When it can't be read, is another one, or can't be written.
    pub fn new(image: &Image, layer: &Layer, blobs: &dyn Blobs, scratch: &Path) -> Result<Packed, Error> {
        let place = format!("{}: layer {}", image.reference(), layer.number());
        let unreadable = |source| Error::Read { place: place.clone(), source };
        let wrong = |source| Error::Document { place: image.reference().to_owned(), source: Box::new(source) };
        let open = || layer.open(blobs).map_err(wrong);
        let plain = Decompressor::new(open()?).map_err(unreadable)?;
        let compression = plain.compression();
        let mut plain = HashingReader::new(plain, layer.algorithm());
        let (digest, size, content, compression) = if compression == Compression::None {
            let unwritable = |source| Error::scratch(scratch, source);
            let mut gzip = Gzip::start(scratch).map_err(unwritable)?;
            loop {
                let piece = match plain.fill_buf() {
                    Ok([]) => break,
                    Ok(piece) => piece,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(unreadable(error)),
                };
                gzip.write(piece).map_err(unwritable)?;
                let count = piece.len();
                plain.consume(count);
            }
            let (file, digest, size) = gzip.finish().map_err(unwritable)?;
            (digest, size, Content::File(Part::whole(file, &place)?), Compression::Gzip)
        } else {
            let stored = BufReader::with_capacity(BUFFER, open()?);
            let (digest, size) = HashingReader::new(stored, Algorithm::Sha256).finish().map_err(unreadable)?;
            (digest, size, Content::Layer(Box::new(layer.clone())), compression)
        };
        let (diff_id, _) = plain.finish().map_err(unreadable)?;
        layer.check(diff_id).map_err(wrong)?;
        let media_type = match compression {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        let descriptor = Descriptor { media_type: media_type.to_owned(), digest, size };
        Ok(Packed { number: layer.number(), blob: Blob { descriptor, content, config: false } })
    }
}

/// A file that is written compressed, and hashed.
struct Gzip {
    out: Compressor<Hashed>,
}

struct Hashed {
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
}

impl Gzip {
    fn start(scratch: &Path) -> io::Result<Gzip> {
        let file = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(scratch)?);
        let out = Hashed { file, hasher: Hasher::new(Algorithm::Sha256), size: 0 };
        Ok(Gzip { out: Compressor::new(out, Compression::Gzip)? })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn finish(self) -> io::Result<(File, Digest, u64)> {
        let Hashed { file, hasher, size } = self.out.finish()?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, hasher.finish(), size))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Shipment {
    /// An image without a manifest, with one; `layers` are all of its layers.
    ///
    /// # Errors
    /// When it has no configuration either.
    pub fn for_packed(image: &Image, mut layers: Vec<Packed>) -> Result<Shipment, Error> {
        let Some(config) = image.config() else {
            let (place, problem) = (image.reference().to_owned(), "it has no configuration".to_owned());
            return Err(Error::NotPushable { place, problem });
        };
        layers.sort_by_key(|layer| layer.number);
        let raw = config.raw();
        let config = Descriptor { media_type: CONFIG.to_owned(), digest: config.digest(), size: raw.len() as u64 };
        let document = Document {
            schema_version: 2,
            media_type: OCI_MANIFEST,
            config: (&config).into(),
            layers: layers.iter().map(|layer| (&layer.blob.descriptor).into()).collect(),
        };
        let bytes = serde_json::to_vec(&document).expect("texts and numbers are JSON");
        let mut blobs = vec![Blob { descriptor: config, content: Content::Bytes(raw.into()), config: true }];
        for Packed { blob, .. } in layers {
            if blobs.iter().all(|other| other.digest() != blob.digest()) {
                blobs.push(blob);
            }
        }
        let (media_type, digest) = (OCI_MANIFEST.to_owned(), Digest::sha256(&bytes));
        let descriptor = Descriptor { media_type, digest, size: bytes.len() as u64 };
        let manifests = vec![Manifest { descriptor, bytes }];
        Ok(Shipment { blobs, manifests, absent: Vec::new() })
    }
}
