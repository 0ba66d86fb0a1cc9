//! The blobs of an image: those of the store, and those that come from a registry and are kept.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use cvbake_store::{Blob as KeptBlob, Partial, Patience, Store};
use cvbake_verify::{Digest, Hasher, Layer, json};

use super::Image;
use crate::registry::download::{Download, store as store_problem};
use crate::registry::options::Pull;
use crate::registry::problem::Problem;
use crate::{Error, Event};

/// Where a blob comes from.
pub(super) enum Blob<'s> {
    /// The store has it, and nobody has looked at it.
    Stored(KeptBlob),
    /// It arrives, and is checked on the way.
    Arriving(Box<Download<'s>>),
}

/// What could not be read.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::Error::other("it was broken before")))
    }
}

impl<'s> Image<'s> {
    /// A blob of the store, whole and right; a damaged one is removed, and one that can't be read
    /// is passed over if it may be fetched again.
    pub(super) fn stored_blob(&self, digest: Digest, size: u64) -> Result<Option<KeptBlob>, Problem> {
        let Some(store) = self.store else { return Ok(None) };
        let on = |event| (self.on)(Event::Store(event));
        if self.endpoints.is_given_up(&digest) {
            return Ok(None);
        }
        let Some(blob) = store.blobs().open(&digest, Some(size), &on).map_err(store_problem)? else { return Ok(None) };
        tracing::debug!("{digest} is in the store");
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match blob.file().read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.pull == Pull::Never => return Err(store_problem(blob.unreadable(error))),
                Err(error) => {
                    blob.give_up(error, &on).map_err(store_problem)?;
                    self.endpoints.give_up(digest);
                    return Ok(None);
                }
            }
        }
        if hasher.finish() != digest {
            store.blobs().remove(&digest).map_err(store_problem)?;
            (self.on)(Event::Damaged { digest, again: self.pull != Pull::Never });
            return Ok(None);
        }
        io::Seek::rewind(&mut blob.file()).map_err(|error| store_problem(blob.unreadable(error)))?;
        Ok(Some(blob))
    }

    pub(super) fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), Problem> {
        let Some(store) = self.store else { return Ok(()) };
        if self.stored_blob(digest, bytes.len() as u64)?.is_some() {
            return Ok(());
        }
        let mut partial = self.partial(store, digest, bytes.len() as u64)?;
        partial.restart().and_then(|()| partial.append(bytes)).map_err(store_problem)?;
        partial.commit().map_err(store_problem)?;
        self.endpoints.arrived(&digest);
        Ok(())
    }

    /// Where a blob is kept while it arrives.
    fn partial(&self, store: &Store, digest: Digest, size: u64) -> Result<Partial, Problem> {
        let patience = Patience::new(Some(size)).stall(self.stall);
        store.blobs().partial(&digest, patience, &|event| (self.on)(Event::Store(event))).map_err(store_problem)
    }

    fn blob(&self, digest: Digest, size: u64) -> Result<Box<dyn Read + Send + '_>, Problem> {
        Ok(match self.find_blob(digest, size, &|| self.stored_blob(digest, size))? {
            Blob::Stored(file) => Box::new(file),
            Blob::Arriving(download) => download,
        })
    }

    /// A blob of the store, as `stored` looks it up there, or one that comes from a registry.
    fn find_blob(
        &self,
        digest: Digest,
        size: u64,
        stored: &dyn Fn() -> Result<Option<KeptBlob>, Problem>,
    ) -> Result<Blob<'s>, Problem> {
        if let Some(file) = stored()? {
            return Ok(Blob::Stored(file));
        }
        if self.pull == Pull::Never {
            return Err(Problem::NotStored);
        }
        // Before the blob is locked: who waits for a slot keeps the blob from nobody, in this
        // process or in another. The lock of a layer that is unpacked is older; nobody who has a
        // slot waits for one of those.
        let slot = self.endpoints.slots().take();
        let endpoints = Arc::clone(&self.endpoints);
        let download = |kept| Blob::Arriving(Box::new(Download::new(endpoints, digest, size, kept, slot)));
        let Some(store) = self.store else { return Ok(download(None)) };
        let mut partial = self.partial(store, digest, size)?;
        // Whoever we waited for may have finished it.
        if let Some(file) = stored()? {
            return Ok(Blob::Stored(file));
        }
        if self.endpoints.is_suspect(&digest) {
            partial.restart().map_err(store_problem)?;
        }
        if !partial.is_empty() {
            (self.on)(Event::Resumed { digest, from: partial.len(), size });
        }
        Ok(download(Some(partial)))
    }

    /// A layer, with its digest and size. One of the store is checked while it is read: whoever
    /// reads it comes back when it is not right.
    pub(super) fn find_layer(&self, layer: &Layer) -> io::Result<(Blob<'s>, Digest, u64)> {
        let Some((digest, size)) = layer.digest().zip(layer.size()) else {
            return Err(Error::NoLayer { place: self.reference.clone(), number: layer.number() }.into_io());
        };
        let found = self.find_blob(digest, size, &|| self.unchecked_blob(digest, size));
        let found =
            found.map_err(|problem| self.repository.error(&format!("layer {}", layer.number()), problem).into_io());
        Ok((found?, digest, size))
    }

    fn unchecked_blob(&self, digest: Digest, size: u64) -> Result<Option<KeptBlob>, Problem> {
        let Some(store) = self.store.filter(|_| !self.endpoints.is_given_up(&digest)) else { return Ok(None) };
        let found =
            store.blobs().open(&digest, Some(size), &|event| (self.on)(Event::Store(event))).map_err(store_problem)?;
        if found.is_some() {
            tracing::debug!("{digest} is in the store");
        }
        Ok(found)
    }

    /// Whether the store had something else under this name, or what can't be read. It is not
    /// handed out any more.
    pub(super) fn was_damaged(&self, digest: Digest, size: u64) -> bool {
        matches!(self.unchecked_blob(digest, size), Ok(Some(_))) && matches!(self.stored_blob(digest, size), Ok(None))
    }

    /// A blob that is read as a whole, so that another registry can be asked for it if this one has
    /// something else.
    pub(super) fn small_blob(&self, digest: Digest, size: u64) -> Result<Box<dyn Read + Send + '_>, Problem> {
        let mut reader = self.blob(digest, size)?;
        if size > json::MAX_BYTES as u64 {
            return Ok(reader);
        }
        loop {
            let mut bytes = Vec::new();
            match reader.read_to_end(&mut bytes) {
                Ok(_) => return Ok(Box::new(Cursor::new(bytes))),
                Err(_) if self.endpoints.has_alternative(&digest) => reader = self.blob(digest, size)?,
                Err(error) => return Ok(Box::new(Broken(Some(error)))),
            }
        }
    }
}
