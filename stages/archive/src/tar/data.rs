//! The content of an entry.

use std::fmt;
use std::io::{self, BufRead, Read};

use super::input::Input;
use super::reader::error;
use super::{Extent, Header};
use crate::{Error, TarProblem};

/// The content of an entry, as far as it has not been read. What is not read is passed over by
/// [`super::Reader::next_entry`].
///
/// There are two ways to read it: [`Data::next_piece`] lends the stored bytes and leaves the holes
/// out, [`Read`] copies the whole file, holes as zeros.
pub struct Data<'r, R> {
    input: &'r mut Input<R>,
    header: &'r Header,
    body: &'r mut Body,
}

/// Some stored bytes of a file.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Where in the file they are: in a file without holes, where the last piece ended.
    pub offset: u64,
    /// At least one byte; as much as the input has ready.
    pub bytes: &'a [u8],
}

/// How far the content of the present entry has been read.
#[derive(Default, Debug)]
pub(super) struct Body {
    /// Stored bytes that are still to come.
    left: u64,
    /// The bytes that fill up the last block.
    padding: u64,
    /// The extent that comes next, and how much of it has been read.
    extent: usize,
    within: u64,
    /// The place in the file up to which it has been read.
    position: u64,
}

impl<R> fmt::Debug for Data<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("position", &self.body.position).finish_non_exhaustive()
    }
}

impl Body {
    pub(super) fn new(stored: u64, padding: u64) -> Body {
        Body { left: stored, padding, ..Body::default() }
    }

    /// How many stored bytes have not been read, and how many fill up the block behind them.
    pub(super) fn rest(&self) -> (u64, u64) {
        (self.left, self.padding)
    }

    /// Counts `len` bytes of the present extent as read.
    fn take(&mut self, len: usize, extent: &Extent) {
        let len = len as u64;
        self.left -= len;
        self.within += len;
        self.position = extent.offset + self.within;
        if self.within == extent.len {
            self.extent += 1;
            self.within = 0;
        }
    }
}

impl<'r, R> Data<'r, R> {
    pub(super) fn new(input: &'r mut Input<R>, header: &'r Header, body: &'r mut Body) -> Data<'r, R> {
        Data { input, header, body }
    }
}

impl<R: BufRead> Data<'_, R> {
    /// The next stored bytes; `None` after the last.
    ///
    /// # Errors
    /// When the archive ends too early or reading fails.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Error> {
        let Some((extent, ready)) = self.ready()? else {
            return Ok(None);
        };
        let offset = extent.offset + self.body.within;
        self.body.take(ready, &extent);
        Ok(Some(Piece { offset, bytes: self.input.lend_slice(ready)? }))
    }

    /// The present extent, and how many of its bytes the input has ready: at least one.
    fn ready(&mut self) -> Result<Option<(Extent, usize)>, Error> {
        let Some(&extent) = self.header.extents.get(self.body.extent) else {
            return Ok(None);
        };
        if self.input.failed {
            return Err(error(self.header, TarProblem::AfterError));
        }
        let result = match self.input.fill().map(<[u8]>::len) {
            Ok(0) => {
                let missing = self.body.left;
                Err(error(self.header, TarProblem::Truncated { inside: "an entry's content", missing }))
            }
            Ok(ready) => {
                let rest = extent.len - self.body.within;
                Ok(Some((extent, usize::try_from(rest).map_or(ready, |rest| rest.min(ready)))))
            }
            Err(error) => Err(error),
        };
        self.input.failed = result.is_err();
        result
    }

    /// Copies bytes of the file, holes as zeros.
    fn copy(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let at = self.body.position;
        let next =
            self.header.extents.get(self.body.extent).map_or(self.header.size, |next| next.offset + self.body.within);
        if at < next {
            let len = usize::try_from(next - at).map_or(buffer.len(), |hole| hole.min(buffer.len()));
            buffer[..len].fill(0);
            self.body.position += len as u64;
            return Ok(len);
        }
        let Some((extent, ready)) = self.ready()? else {
            return Ok(0);
        };
        let len = ready.min(buffer.len());
        self.body.take(len, &extent);
        buffer[..len].copy_from_slice(self.input.lend_slice(len)?);
        Ok(len)
    }
}

/// The whole file, holes as zeros. The inner error of an [`io::Error`] is an [`Error`].
impl<R: BufRead> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.copy(buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
