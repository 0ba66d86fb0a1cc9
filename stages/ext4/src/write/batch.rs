//! Joins neighbouring blocks into large writes.

use cvbake_disk::Sink;

use crate::Error;
use crate::format::{BLOCK_LEN, BLOCK_SIZE, ZEROS};

/// The most bytes of a write: large enough that a call costs nothing beside the copy, small enough
/// for the cache.
const BATCH: usize = 1024 * 1024;

/// Collects blocks until one comes that does not follow.
pub(super) struct Batch<'s> {
    sink: &'s dyn Sink,
    /// Where the buffer's bytes belong.
    first_block: u64,
    buffer: Vec<u8>,
}

impl<'s> Batch<'s> {
    pub(super) fn new(sink: &'s dyn Sink) -> Batch<'s> {
        Batch { sink, first_block: 0, buffer: Vec::with_capacity(BATCH) }
    }

    /// Adds a block. Zeros are left out: they are there already.
    pub(super) fn put(&mut self, block: u64, bytes: &[u8; BLOCK_LEN]) -> Result<(), Error> {
        if *bytes == ZEROS {
            return Ok(());
        }
        let next = self.first_block + (self.buffer.len() / BLOCK_LEN) as u64;
        if block != next || self.buffer.len() >= BATCH {
            self.flush()?;
            self.first_block = block;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Hands what was collected to the sink.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            let offset = self.first_block * BLOCK_SIZE;
            self.sink.write_at(offset, &self.buffer).map_err(|source| Error::Write { source })?;
            self.buffer.clear();
        }
        Ok(())
    }
}
