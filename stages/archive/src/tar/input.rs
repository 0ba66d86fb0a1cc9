//! The uncompressed side: slices of someone else's buffer, counted.

use std::io::{self, BufRead};

use super::BLOCK_SIZE;
use crate::Error;

pub(super) struct Input<R> {
    reader: R,
    /// How many bytes have been consumed.
    offset: u64,
    /// Bytes handed out and not yet consumed: they are, before anything else is read.
    lent: usize,
    /// The reader is lost after an error.
    pub(super) failed: bool,
}

impl<R> Input<R> {
    pub(super) fn new(reader: R) -> Input<R> {
        Input { reader, offset: 0, lent: 0, failed: false }
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.reader
    }

    /// How many bytes have been taken, those that are lent included.
    pub(super) fn offset(&self) -> u64 {
        self.offset + self.lent as u64
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: BufRead> Input<R> {
    /// Makes the last lent bytes consumed.
    pub(super) fn consume_lent(&mut self) {
        self.reader.consume(self.lent);
        self.offset += self.lent as u64;
        self.lent = 0;
    }

    /// Marks the first `len` bytes of the last [`Input::fill`] as taken.
    pub(super) fn lend(&mut self, len: usize) {
        self.lent = len;
    }

    /// Lends the first `len` bytes of the last [`Input::fill`]: as long as nothing is consumed, it
    /// is the same buffer.
    pub(super) fn lend_slice(&mut self, len: usize) -> Result<&[u8], Error> {
        self.lent = len;
        let offset = self.offset;
        let bytes = self.reader.fill_buf().map_err(|source| Error::Read { offset, source })?;
        Ok(&bytes[..len])
    }

    /// The bytes that are there, at least one unless the stream has ended.
    pub(super) fn fill(&mut self) -> Result<&[u8], Error> {
        self.consume_lent();
        // Two calls, because the borrow of a slice that is returned would last through the loop.
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Read { offset: self.offset, source }),
            }
        }
        let offset = self.offset;
        self.reader.fill_buf().map_err(|source| Error::Read { offset, source })
    }

    /// Reads a block, or says how many bytes there were before the stream ended.
    pub(super) fn block(&mut self, block: &mut [u8; BLOCK_SIZE]) -> Result<usize, Error> {
        let mut have = 0;
        while have < BLOCK_SIZE {
            let bytes = self.fill()?;
            let len = bytes.len().min(BLOCK_SIZE - have);
            if len == 0 {
                break;
            }
            block[have..have + len].copy_from_slice(&bytes[..len]);
            have += len;
            self.lend(len);
        }
        Ok(have)
    }

    /// Reads over `len` bytes, or says how many were missing when the stream ended.
    pub(super) fn skip(&mut self, mut len: u64) -> Result<u64, Error> {
        while len > 0 {
            let bytes = self.fill()?.len();
            if bytes == 0 {
                break;
            }
            let taken = usize::try_from(len).map_or(bytes, |len| len.min(bytes));
            self.lend(taken);
            len -= taken as u64;
        }
        Ok(len)
    }

    /// Reads over all zeros that are left; says where the first other byte is, and stops before it,
    /// if there is one.
    pub(super) fn skip_zeros(&mut self) -> Result<Option<u64>, Error> {
        loop {
            let bytes = self.fill()?;
            let (len, other) = (bytes.len(), bytes.iter().position(|&byte| byte != 0));
            if len == 0 {
                return Ok(None);
            }
            self.lend(other.unwrap_or(len));
            if other.is_some() {
                return Ok(Some(self.offset()));
            }
        }
    }

    /// Reads over everything that is left.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        self.skip(u64::MAX).map(|_| ())
    }
}

/// How many bytes fill the last block of a body.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_SIZE as u64
}
