//! The compressed side: a buffer with a position in bits, and zeros behind the end of the stream.

use std::io::{self, Read};

use crate::error::{Failure, Problem};

/// How many zeros stand behind the end of the stream: more than the longest block header has bytes,
/// so that nothing that is read in one go needs to look where the end is before it is done.
const PADDING: usize = 1024;

/// What is handed to [`Input::want`] at most. The longest block header has 17 bits of counts, 19
/// lengths of 3 bits, and 316 symbols of 7 bits with 7 more: 563 bytes.
pub(crate) const MOST_WANTED: usize = 640;

pub(crate) struct Input<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// What has been used of the buffer, in bits.
    bit: usize,
    /// What has been read into the buffer, in bytes.
    end: usize,
    /// No more comes, and zeros stand behind `end`.
    ended: bool,
    /// How many bytes have left the buffer.
    before: u64,
}

impl<R> Input<R> {
    /// A stream that starts with `prefix` and goes on with what `reader` gives.
    pub(crate) fn new(prefix: &[u8], reader: R, capacity: usize) -> Input<R> {
        let mut buffer = vec![0; capacity.max(2 * MOST_WANTED).max(prefix.len()) + PADDING].into_boxed_slice();
        buffer[..prefix.len()].copy_from_slice(prefix);
        Input { reader, buffer, bit: 0, end: prefix.len(), ended: false, before: 0 }
    }

    /// How many bytes have been used, the last one perhaps in part.
    pub(crate) fn offset(&self) -> u64 {
        self.before + self.bit.div_ceil(8) as u64
    }

    /// The bytes that are there and not wholly used.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.bit / 8..self.end]
    }

    /// Everything that is in the buffer, and the position in it, in bits.
    pub(crate) fn bits(&self) -> (&[u8], usize) {
        (&self.buffer[..self.end], self.bit)
    }

    /// Reads bits from here on, and zeros behind the end.
    pub(crate) fn reader(&self) -> Bits<'_> {
        Bits { bytes: &self.buffer, bit: self.bit }
    }

    /// Goes on at a position in bits, which may not be behind the end.
    pub(crate) fn advance_to(&mut self, bit: usize) {
        debug_assert!(bit >= self.bit && bit <= self.end * 8, "only what is there can be used");
        self.bit = bit;
    }

    /// Uses bytes, which are there.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.advance_to(self.bit + bytes * 8);
    }

    /// Leaves out the rest of a byte that is used in part.
    pub(crate) fn align(&mut self) {
        self.bit = self.bit.next_multiple_of(8);
    }

    /// Whether a position in bits is behind the end of what was read.
    pub(crate) fn is_behind_end(&self, bit: usize) -> bool {
        bit > self.end * 8
    }

    /// What is wrong, after bits up to this position were read: the stream has ended where there
    /// are none.
    pub(crate) fn failure(&self, bit: usize, problem: Problem) -> Failure {
        if self.is_behind_end(bit) {
            return self.truncated("a member's data");
        }
        Failure::at(self.before + (bit.saturating_sub(1) / 8) as u64, problem)
    }

    pub(crate) fn truncated(&self, inside: &'static str) -> Failure {
        Failure::at(self.before + self.end as u64, Problem::Truncated { inside })
    }

    pub(crate) fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: Read> Input<R> {
    /// Sees to it that so many bytes are there, or all that ever come. `false` if it would have to
    /// read and may not.
    pub(crate) fn want(&mut self, bytes: usize, may_read: bool) -> io::Result<bool> {
        debug_assert!(bytes <= MOST_WANTED, "the buffer holds that");
        while self.end - self.bit / 8 < bytes && !self.ended {
            if !may_read {
                return Ok(false);
            }
            self.read()?;
        }
        Ok(true)
    }

    fn read(&mut self) -> io::Result<()> {
        let used = self.bit / 8;
        self.buffer.copy_within(used..self.end, 0);
        self.before += used as u64;
        self.bit %= 8;
        self.end -= used;
        let room = self.buffer.len() - PADDING;
        loop {
            match self.reader.read(&mut self.buffer[self.end..room]) {
                Ok(0) => {
                    self.ended = true;
                    self.buffer[self.end..].fill(0);
                    return Ok(());
                }
                Ok(len) => {
                    self.end += len;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Bits from a position on; it knows no end.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    pub(crate) bit: usize,
}

impl Bits<'_> {
    /// The next bits, the first one lowest; 57 of them at least.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let at = self.bit / 8;
        let word = self.bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        word >> (self.bit % 8)
    }

    /// Takes up to 16 bits.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> u16 {
        let [low, high, ..] = (self.peek() & ((1 << count) - 1)).to_le_bytes();
        self.bit += count;
        u16::from_le_bytes([low, high])
    }
}
