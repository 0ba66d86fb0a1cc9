//! Joins bytes into large writes.

use cvbake_disk::Sink;

use crate::Error;

/// The bytes of a write: large enough that a call costs nothing beside the copy, small enough for
/// the cache.
const BATCH: usize = 1024 * 1024;

/// Gaps up to this are written as zeros, instead of ending a write.
const GAP: u64 = 4096;

/// Collects bytes until some come that do not follow.
pub(super) struct Stream<'s> {
    sink: &'s dyn Sink,
    /// Where the buffer's bytes belong.
    offset: u64,
    buffer: Vec<u8>,
}

impl<'s> Stream<'s> {
    pub(super) fn new(sink: &'s dyn Sink) -> Stream<'s> {
        Stream { sink, offset: 0, buffer: Vec::with_capacity(BATCH) }
    }

    /// Goes on at an offset. What is between may be written as zeros if it is less than a block:
    /// then it belongs to blocks that are written.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), Error> {
        let at = self.offset + self.buffer.len() as u64;
        match offset.checked_sub(at) {
            Some(gap) if gap < GAP => {
                let gap = usize::try_from(gap).expect("less than a block");
                self.buffer.resize(self.buffer.len() + gap, 0);
            }
            _ => {
                self.flush()?;
                self.offset = offset;
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.buffer.len() + bytes.len() > BATCH {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Hands what was collected to the sink.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.sink.write_at(self.offset, &self.buffer).map_err(|source| Error::Write { source })?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
