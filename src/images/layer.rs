//! A layer on its way into the store: read once, unpacked to see that it can be, and kept.

use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use cvbake_archive::{Compression, Compressor, Decompressor};
use cvbake_store::{Health, Patience, Pin, Store};
use cvbake_unpack::Index;
use cvbake_verify::{Algorithm, Blobs, Descriptor, Digest, Hasher, HashingReader, Layer, json};

use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Found, LayerEvent, Observer};
use crate::known::learn;
use crate::layers::archive;
use crate::parallel::Stop;
use crate::workplace::Workplace;

/// Where layers come from and go to.
#[derive(Clone, Copy)]
pub(super) struct Intake<'a> {
    pub(super) blobs: &'a dyn Blobs,
    pub(super) store: &'a Store,
    pub(super) place: &'a Workplace,
    /// What is kept of what comes in, until something points to it.
    pub(super) pin: &'a Pin<'a>,
    /// How layers are kept that come without compression.
    pub(super) compression: Compression,
    pub(super) control: &'a Control,
    pub(super) on: Observer<'a>,
}

/// How much of a blob is read at once.
const BUFFER: u64 = 256 << 10;

/// A layer that had no digest before.
#[derive(Debug, Clone)]
pub(super) struct NewLayer {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    /// Whether the store had it.
    pub(super) present: bool,
    /// What is odd about it, should it be meant as a root filesystem.
    pub(super) oddity: Option<archive::Oddity>,
}

impl Intake<'_> {
    /// Keeps a layer as it is, under the digest that it should have; says whether it was there. One
    /// that is, is as long as it should be: whoever reads it finds out whether it is right.
    pub(super) fn keep_known(&self, layer: &Layer, stop: &Stop<'_>) -> Result<bool, Error> {
        self.of_layer(layer, || {
            let digest = layer.digest().expect("a manifest says it");
            // Others who are about to have it are waited for. What a download has of it is left to
            // the next one.
            let patience = Patience::new(layer.size());
            let mut partial = self.store.blobs().partial(&digest, patience, &|event| (self.on)(event.into()))?;
            let there = self.is_there(&digest)?;
            if there {
                partial.restart()?;
            }
            if there && let Some(entries) = self.unpacked_before(layer)? {
                return Ok((Found::Blob, entries, true));
            }
            let mut copy = if there { None } else { Some(self.new_file(&digest)?) };
            let reader = layer.open(self.blobs)?;
            let (index, diff_id) = self.unpack(layer, stop, reader, &mut |piece| match &mut copy {
                Some((file, path)) => file.write_all(piece).map_err(|source| self.failed(path, source)),
                None => Ok(()),
            })?;
            layer.check(diff_id)?;
            if let Some((_, path)) = &copy {
                self.store.blobs().put_file(&digest, path)?;
                partial.restart()?;
            }
            self.store.layers().put_index(&diff_id, &index.encode())?;
            learn(self.store, digest, diff_id, self.on);
            Ok((Found::Nothing, index.entry_count(), there))
        })
    }

    /// Keeps a blob that is no layer. One that is there and large is left alone; a small one may be
    /// damaged and is soon made anew.
    pub(super) fn keep(&self, digest: &Digest, size: u64, mut bytes: impl Read) -> Result<(), Error> {
        if size > json::MAX_BYTES as u64 && self.is_there(digest)? {
            return Ok(());
        }
        let (mut file, path) = self.new_file(digest)?;
        let mut buffer = vec![0; usize::try_from(size.clamp(1, BUFFER)).expect("no more than a buffer")];
        loop {
            match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => file.write_all(&buffer[..count]).map_err(|source| self.failed(&path, source))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(cvbake_store::Error::Input { digest: Box::new(*digest), source }.into());
                }
            }
        }
        Ok(self.store.blobs().put_file(digest, &path)?)
    }

    /// Whether the store has a blob, and all of it is right; a damaged one is removed, to be
    /// imported again.
    fn is_there(&self, digest: &Digest) -> Result<bool, Error> {
        match self.store.blobs().check(digest, true, &|_| {})? {
            Health::Whole(()) => {
                self.store.blobs().flush(digest)?;
                Ok(true)
            }
            Health::Absent => Ok(false),
            Health::Damaged { path, damage } => {
                (self.on)(cvbake_store::Event::Damaged { path, damage, kept: None }.into());
                Ok(false)
            }
        }
    }

    /// How many entries a layer has that was unpacked before.
    fn unpacked_before(&self, layer: &Layer) -> Result<Option<usize>, Error> {
        let Some(diff_id) = layer.diff_id() else { return Ok(None) };
        let payload = self.store.layers().index(&diff_id, &|event| (self.on)(event.into()))?;
        Ok(payload.and_then(|payload| Index::decode(&payload).ok()).map(|index| index.entry_count()))
    }

    /// A file that is going to be a blob: whatever ends the process, it does not stay.
    fn new_file(&self, digest: &Digest) -> Result<(File, PathBuf), Error> {
        let path = self.place.path().join(format!("blob-{}", digest.hex()));
        let file = File::options().write(true).create(true).truncate(true).open(&path);
        file.map(|file| (file, path.clone())).map_err(|source| self.failed(&path, source))
    }

    /// What goes wrong with a file in the store is the store's fault.
    fn failed(&self, path: &Path, source: io::Error) -> Error {
        match self.place {
            Workplace::Store(_) => cvbake_store::Error::Write { path: path.to_owned(), source }.into(),
            Workplace::Draft(_) | Workplace::Temporary(_) => Error::scratch(path, source),
        }
    }

    /// Keeps a layer whose digest comes of how it is kept.
    pub(super) fn keep_new(&self, layer: &Layer, stop: &Stop<'_>) -> Result<NewLayer, Error> {
        self.of_layer(layer, || {
            let path = self.place.path().join(format!("layer-{}", layer.number()));
            let scratch = |source| self.failed(&path, source);
            let mut reader = layer.open(self.blobs)?;
            let prefix = prefix(&mut reader)?;
            let (stored, compression) = match Compression::detect(&prefix) {
                Compression::None => (self.compression, self.compression),
                other => (other, Compression::None),
            };
            let file = File::options().write(true).create_new(true).open(&path).map_err(scratch)?;
            let out = Hashed { out: BufWriter::new(file), hasher: Hasher::new(Algorithm::Sha256), len: 0 };
            let mut out = Compressor::new(out, compression).map_err(scratch)?;
            let reader = Cursor::new(prefix).chain(reader);
            let (index, diff_id) =
                self.unpack(layer, stop, reader, &mut |piece| out.write_all(piece).map_err(scratch))?;
            layer.check(diff_id)?;
            let Hashed { mut out, hasher, len } = out.finish().map_err(scratch)?;
            out.flush().map_err(scratch)?;
            let digest = hasher.finish();
            self.pin.add([digest, diff_id])?;
            let present = self.is_there(&digest)?;
            if present {
                std::fs::remove_file(&path).map_err(scratch)?;
            } else {
                self.store.blobs().put_file(&digest, &path)?;
            }
            self.store.layers().put_index(&diff_id, &index.encode())?;
            learn(self.store, digest, diff_id, self.on);
            let descriptor = Descriptor { media_type: media_type(stored).to_owned(), digest, size: len };
            let oddity = archive::oddity(&index);
            Ok((Found::Nothing, index.entry_count(), NewLayer { descriptor, diff_id, present, oddity }))
        })
    }

    /// Reads a layer to its end, and gives what is in it; `keep` gets every byte as it was stored.
    fn unpack(
        &self,
        layer: &Layer,
        stop: &Stop<'_>,
        reader: impl Read,
        keep: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(Index, Digest), Error> {
        let mut kept = Kept { inner: reader, stop, keep, failed: None, number: layer.number(), on: self.on };
        let mut unpack = || {
            let mut bytes = HashingReader::new(Decompressor::new(&mut kept)?, layer.algorithm());
            let index = cvbake_unpack::unpack(&mut bytes, &mut |_, _| Ok(()))?;
            let (diff_id, _) = bytes.finish()?;
            Ok((index, diff_id))
        };
        let unpacked = unpack();
        match kept.failed {
            Some(error) => Err(error),
            None => unpacked,
        }
    }

    fn of_layer<T>(&self, layer: &Layer, work: impl FnOnce() -> Result<(Found, usize, T), Error>) -> Result<T, Error> {
        let (number, bytes) = (layer.number(), layer.size());
        (self.on)(Event::Layer { number, event: LayerEvent::Started { bytes } });
        let (found, entries, done) = work().map_err(|error| Error::layer(layer, error))?;
        (self.on)(Event::Layer { number, event: LayerEvent::Finished { found, entries, bytes } });
        Ok(done)
    }
}

/// The first bytes, as many as tell the compression, or all there are.
fn prefix(reader: &mut dyn Read) -> Result<Vec<u8>, Error> {
    let mut prefix = Vec::new();
    reader.take(Compression::PREFIX as u64).read_to_end(&mut prefix)?;
    Ok(prefix)
}

fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// Hands on what is read.
struct Kept<'a, R> {
    inner: R,
    stop: &'a Stop<'a>,
    keep: &'a mut dyn FnMut(&[u8]) -> Result<(), Error>,
    /// Why it could not be kept, which is no fault of what is read.
    failed: Option<Error>,
    number: usize,
    on: Observer<'a>,
}

impl<R: Read> Read for Kept<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        let count = self.inner.read(buffer)?;
        (self.on)(Event::Layer { number: self.number, event: LayerEvent::Read { bytes: count as u64 } });
        if let Err(error) = (self.keep)(&buffer[..count]) {
            self.failed = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(count)
    }
}

/// Hashes and counts what is written.
struct Hashed<W> {
    out: W,
    hasher: Hasher,
    len: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.len += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
