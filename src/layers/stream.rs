//! The bytes of a layer, decompressed and checked while they pass.

use std::io::{self, BufRead, Read};

use cvbake_archive::{Compression, Decompressor};
use cvbake_verify::{Blobs, Digest, Hasher, HashingReader, Layer};

use super::Workshop;
use crate::error::{Error, Kind};
use crate::event::{Event, LayerEvent};
use crate::parallel::Stop;
use crate::readahead::read_ahead;

/// From this size on a layer is inflated and hashed on threads of their own, beside the one that unpacks it: a smaller one
/// is done before the threads have met. A layer of unknown size comes from a pipe, which may never end.
const READ_AHEAD_FROM: u64 = 1 << 20;

impl<'a> Workshop<'a> {
    /// Does `work` on a layer's uncompressed bytes, which are checked and counted as they pass; gives what comes of it, the
    /// digest of the bytes, and how they were compressed.
    pub(super) fn with_stream<T>(
        self,
        layer: &'a Layer,
        blobs: &'a dyn Blobs,
        stop: &Stop,
        work: impl FnOnce(&mut dyn BufRead) -> Result<T, Error>,
    ) -> Result<(T, Digest, Compression), Error> {
        let number = layer.number();
        (self.on)(Event::Layer { number, event: LayerEvent::Started { bytes: layer.size() } });
        let counted = Counted { inner: layer.open(blobs)?, number, stop, on: self.on };
        let bytes = Decompressor::new(counted)?;
        let compression = bytes.compression();
        let (made, digest) = if layer.size().is_some_and(|size| size >= READ_AHEAD_FROM) {
            let mut hasher = Hasher::new(layer.algorithm());
            let made = read_ahead(
                bytes,
                |bytes| hasher.update(bytes),
                |bytes| {
                    let made = work(bytes)?;
                    // What comes behind the end of the archive counts, too.
                    io::copy(bytes, &mut io::sink())?;
                    Ok::<T, Error>(made)
                },
            )?;
            (made, hasher.finish())
        } else {
            let mut bytes = HashingReader::new(bytes, layer.algorithm());
            let made = work(&mut bytes)?;
            (made, bytes.finish()?.0)
        };
        layer.check(digest)?;
        Ok((made, digest, compression))
    }
}

/// Tells how much of a layer was read, and ends when that is for nothing.
struct Counted<'a> {
    inner: Box<dyn Read + Send + 'a>,
    number: usize,
    stop: &'a Stop,
    on: &'a (dyn Fn(Event) + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        let count = self.inner.read(buffer)?;
        (self.on)(Event::Layer { number: self.number, event: LayerEvent::Read { bytes: count as u64 } });
        Ok(count)
    }
}

/// Works on a layer, and again when it made no sense and there is another place to have it from.
pub(crate) fn with_another<T>(
    layer: &Layer,
    blobs: &dyn Blobs,
    work: &dyn Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        match work() {
            Err(error) if error.kind() == Kind::Image && blobs.another(layer) => {}
            done => return done.map_err(|error| Error::layer(layer, error)),
        }
    }
}
