//! The plain side: what was made, with the history that matches refer to in front of it.
//!
//! ```text
//! │ history, up to 32 KiB │ handed out │ ready │ room │ SLACK │
//!                                              └ from here on there is no room
//! ```
#![expect(clippy::cast_possible_truncation, reason = "a distance below eight")]

use std::ops::Range;

/// How far back a match may reach, by the RFC.
pub(crate) const HISTORY: usize = 32 * 1024;

/// What may be written where there was room for one byte: two literals and a match of 258 bytes,
/// rounded up to what is copied at once.
pub(crate) const SLACK: usize = 320;

pub(crate) struct Output {
    buffer: Box<[u8]>,
    /// What was made and not yet consumed.
    ready: Range<usize>,
    /// Where the member's data starts, or the start of the buffer: no match reaches further back.
    floor: usize,
}

impl Output {
    pub(crate) fn new(capacity: usize) -> Output {
        Output { buffer: vec![0; HISTORY + capacity.max(1) + SLACK].into_boxed_slice(), ready: 0..0, floor: 0 }
    }

    pub(crate) fn ready(&self) -> &[u8] {
        &self.buffer[self.ready.clone()]
    }

    pub(crate) fn consume(&mut self, len: usize) {
        self.ready.start = self.ready.end.min(self.ready.start + len);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Where the next byte goes.
    pub(crate) fn end(&self) -> usize {
        self.ready.end
    }

    pub(crate) fn since(&self, start: usize) -> &[u8] {
        &self.buffer[start..self.ready.end]
    }

    pub(crate) fn has_room(&self) -> bool {
        self.ready.end + SLACK < self.buffer.len()
    }

    /// Matches reach no further back than here.
    pub(crate) fn start_member(&mut self) {
        self.floor = self.ready.end;
    }

    /// Makes room when little is left and everything was consumed: of that, only the history is
    /// kept.
    pub(crate) fn make_room(&mut self) {
        let room = self.buffer.len() - SLACK;
        let little = (room - HISTORY).div_ceil(4);
        if self.is_empty() && self.ready.end + little > room {
            let gone = self.ready.end.saturating_sub(HISTORY);
            self.buffer.copy_within(gone..self.ready.end, 0);
            self.floor = self.floor.saturating_sub(gone);
            self.ready = self.ready.start - gone..self.ready.end - gone;
        }
    }

    /// Where a match may start.
    pub(crate) fn available(&self) -> usize {
        self.ready.end - self.floor
    }

    /// Takes as many bytes as there is room for, and says how many.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min((self.buffer.len() - SLACK).saturating_sub(self.ready.end));
        self.buffer[self.ready.end..][..len].copy_from_slice(&bytes[..len]);
        self.ready.end += len;
        len
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.buffer[self.ready.end] = byte;
        self.ready.end += 1;
    }

    /// Repeats what stands `distance` back, which is not more than [`Output::available`].
    pub(crate) fn repeat(&mut self, distance: usize, len: usize) {
        for _ in 0..len {
            self.push(self.buffer[self.ready.end - distance]);
        }
    }

    /// The whole buffer, where the next byte goes, and where the member's data starts; the first
    /// says by [`Output::advance_to`] what it did.
    pub(crate) fn parts(&mut self) -> (&mut [u8], usize, usize) {
        (&mut self.buffer, self.ready.end, self.floor)
    }

    pub(crate) fn advance_to(&mut self, end: usize) {
        debug_assert!(end >= self.ready.end && end <= self.buffer.len(), "a place in the buffer");
        self.ready.end = end;
    }
}

/// Copies `len` bytes from `distance` bytes before `to`; up to 48 bytes more are overwritten behind
/// them.
#[inline(always)]
pub(crate) fn copy_match(buffer: &mut [u8], to: usize, distance: usize, len: usize) {
    let from = to - distance;
    let end = to + len;
    if distance >= 16 {
        // Nearly always that is all; one look at where it ends is enough for it.
        let window = &mut buffer[from..to + 48];
        copy::<16>(window, 0, distance);
        copy::<16>(window, 16, distance + 16);
        copy::<16>(window, 32, distance + 32);
        let (mut from, mut to) = (from + 48, to + 48);
        while to < end {
            copy::<16>(buffer, from, to);
            copy::<16>(buffer, from + 16, to + 16);
            from += 32;
            to += 32;
        }
    } else if distance == 1 {
        let same = [buffer[from]; 32];
        let mut to = to;
        loop {
            buffer[to..to + 32].copy_from_slice(&same);
            to += 32;
            if to >= end {
                break;
            }
        }
    } else if distance >= 8 {
        let (mut from, mut to) = (from, to);
        loop {
            copy::<8>(buffer, from, to);
            copy::<8>(buffer, from + 8, to + 8);
            from += 16;
            to += 16;
            if to >= end {
                break;
            }
        }
    } else {
        // A pattern of a few bytes, repeated to fill eight.
        let word = u64::from_le_bytes(buffer[from..from + 8].try_into().expect("eight bytes"));
        let bits = 8 * distance as u32;
        let mut pattern = word & ((1 << bits) - 1);
        pattern |= pattern << bits;
        pattern |= pattern.wrapping_shl(2 * bits) & 0u64.wrapping_sub(u64::from(bits < 32));
        let stride = 8 / distance * distance;
        let mut to = to;
        while to < end {
            buffer[to..to + 8].copy_from_slice(&pattern.to_le_bytes());
            to += stride;
        }
    }
}

#[inline(always)]
fn copy<const N: usize>(buffer: &mut [u8], from: usize, to: usize) {
    let chunk: [u8; N] = buffer[from..from + N].try_into().expect("N bytes");
    buffer[to..to + N].copy_from_slice(&chunk);
}
