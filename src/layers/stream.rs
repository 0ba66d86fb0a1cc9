//! A layer → its tar stream: decompressed, and checked while it passes.

use std::io::{self, BufRead, Read};

use cvbake_archive::{Compression, Decompressor};
use cvbake_hash::Stream;
use cvbake_verify::{Blobs, Digest, HashingReader, Layer};

use super::UnpackContext;
use crate::error::Error;
use crate::event::{Event, LayerEvent, Observer};
use crate::known::{is_known, learn};
use crate::parallel::Stop;
use crate::readahead::{BUFFERS, buffers_for, read_ahead};

/// From this size on a layer is received, inflated and hashed on threads of their own, beside the
/// one that unpacks it: a smaller one is done before the threads have met. A layer of unknown size
/// comes from a pipe, which may never end.
const READ_AHEAD_FROM: u64 = 256 << 10;

impl<'a> UnpackContext<'a> {
    /// Does `work` on a layer's uncompressed bytes, which are checked and counted as they pass;
    /// gives what comes of it, the digest of the bytes, and how they were compressed.
    pub(super) fn with_stream<T>(
        self,
        layer: &'a Layer,
        blobs: &'a dyn Blobs,
        stop: &Stop<'_>,
        work: impl FnOnce(&mut dyn BufRead) -> Result<T, Error>,
    ) -> Result<(T, Digest, Compression), Error> {
        let number = layer.number();
        (self.on)(Event::Layer { number, event: LayerEvent::Started { bytes: layer.size() } });
        let counted = Counted { inner: self.apart(|| layer.open(blobs))?, number, stop, on: self.on };
        let known = self.known(layer);
        let work = |bytes: &mut dyn BufRead| {
            let made = work(bytes)?;
            // What comes behind the end of the archive counts, too.
            io::copy(bytes, &mut io::sink())?;
            Ok::<T, Error>(made)
        };
        let (made, digest, compression) = if layer.size().is_some_and(|size| size >= READ_AHEAD_FROM) {
            let hash = known.is_none().then(|| Stream::aside(layer.algorithm()));
            // Of many that are waited for, each needs little: one that arrives, one that is
            // inflated, and one to even out.
            let compressed = if self.streams > self.jobs { 3 } else { BUFFERS };
            let (done, _) = read_ahead(counted, compressed, self.priority, None, |compressed| {
                // What has been read ahead can be much when it is inflated, and then be for
                // nothing, too.
                let bytes = self.apart(|| Decompressor::new(Stoppable { inner: compressed, stop }))?;
                let compression = bytes.compression();
                let buffers = buffers_for(self.streams);
                let (made, digest) = read_ahead(bytes, buffers, self.priority, hash, |bytes| {
                    bytes.sit(self.seat);
                    work(bytes)
                });
                Ok::<_, Error>((made?, digest, compression))
            });
            done?
        } else {
            let bytes = Decompressor::new(Apart { inner: counted, cx: self })?;
            let compression = bytes.compression();
            if known.is_some() {
                (work(&mut { bytes })?, None, compression)
            } else {
                let mut bytes = HashingReader::new(bytes, layer.algorithm());
                (work(&mut bytes)?, Some(bytes.finish()?.0), compression)
            }
        };
        match (known, digest) {
            (Some(diff_id), _) => Ok((made, diff_id, compression)),
            (None, digest) => {
                let digest = digest.expect("what is not known is hashed");
                layer.check(digest)?;
                self.learn(layer);
                Ok((made, digest, compression))
            }
        }
    }

    /// The digest of what the layer unpacks to, if that was checked before: the bytes of the same
    /// blob are the same again, and those are checked each time.
    fn known(self, layer: &Layer) -> Option<Digest> {
        let (blob, diff_id) = layer.digest().zip(layer.diff_id())?;
        self.store.filter(|store| is_known(store, blob, diff_id, self.on)).map(|_| diff_id)
    }

    fn learn(self, layer: &Layer) {
        if let (Some(store), Some((blob, diff_id))) = (self.store, layer.digest().zip(layer.diff_id())) {
            learn(store, blob, diff_id, self.on);
        }
    }
}

/// Tells how much of a layer was read, and ends when that is for nothing.
struct Counted<'a> {
    inner: Box<dyn Read + Send + 'a>,
    number: usize,
    stop: &'a Stop<'a>,
    on: Observer<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        let count = self.inner.read(buffer)?;
        (self.on)(Event::Layer { number: self.number, event: LayerEvent::Read { bytes: count as u64 } });
        Ok(count)
    }
}

/// Waits for what it reads while others may work.
struct Apart<'a, R> {
    inner: R,
    cx: UnpackContext<'a>,
}

impl<R: Read> Read for Apart<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cx.apart(|| self.inner.read(buffer))
    }
}

/// Ends when going on is for nothing.
struct Stoppable<'a, R> {
    inner: R,
    stop: &'a Stop<'a>,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.read(buffer)
    }
}

/// Works on a layer, and again when it made no sense, or the store can't read it any more, and
/// there is another place to have it from.
pub(crate) fn retry_elsewhere<T>(
    layer: &Layer,
    blobs: &dyn Blobs,
    work: &dyn Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        match work() {
            Err(error) if error.is_of_copy() && blobs.has_alternative(layer) => {}
            done => return done.map_err(|error| Error::layer(layer, error)),
        }
    }
}
