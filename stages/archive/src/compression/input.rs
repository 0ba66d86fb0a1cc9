//! The compressed side: a buffer that knows how far it is.

use std::io::{self, Read};
use std::ops::Range;

pub(super) struct Input<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// The part of `buffer` that has been read and not yet consumed.
    ready: Range<usize>,
    consumed: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R, capacity: usize) -> Input<R> {
        Input { reader, buffer: vec![0; capacity].into_boxed_slice(), ready: 0..0, consumed: 0 }
    }

    /// The next `len` bytes, a few at most; fewer only where the stream is shorter.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.ready.len() < len {
            self.buffer.copy_within(self.ready.clone(), 0);
            self.ready = 0..self.ready.len();
            while self.ready.len() < len && self.read_more()? > 0 {}
        }
        Ok(&self.buffer[self.ready.start..self.ready.end.min(self.ready.start + len)])
    }

    /// The bytes that are there, at least one unless the stream has ended.
    pub(super) fn fill(&mut self) -> io::Result<&[u8]> {
        if self.ready.is_empty() {
            self.ready = 0..0;
            self.read_more()?;
        }
        Ok(&self.buffer[self.ready.clone()])
    }

    fn read_more(&mut self) -> io::Result<usize> {
        loop {
            match self.reader.read(&mut self.buffer[self.ready.end..]) {
                Ok(len) => {
                    self.ready.end += len;
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn consume(&mut self, len: usize) {
        let len = len.min(self.ready.len());
        self.ready.start += len;
        self.consumed += len as u64;
    }
}

impl<R> Input<R> {
    /// How many bytes have been consumed.
    pub(super) fn offset(&self) -> u64 {
        self.consumed
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// What was read and not consumed, and the reader of the rest.
    pub(super) fn into_parts(self) -> (Vec<u8>, R) {
        (self.buffer[self.ready].to_vec(), self.reader)
    }
}
