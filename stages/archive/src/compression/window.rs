//! The memory of zstd windows: a small one for everybody, a large one for one stream at a time.
//!
//! ```text
//! magic number, 4 bytes │ descriptor, 1 │ window, 0 or 1 │ dictionary, 0 to 4 │ content size, 0 to 8
//! ```
//! ([RFC 8878, 3.1.1.1](https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1))

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// As much of a frame as says how large its window is.
pub(super) const HEADER: usize = 18;

/// The window that every decoder should take, by the RFC; builders of images stay below it.
const SMALL: u64 = 8 << 20;

/// What a frame claims as its window, in bytes; 0 for what is no frame, about which the decoder has
/// its own opinion.
pub(super) fn claimed(header: &[u8]) -> u64 {
    let Some((&descriptor, rest)) = header.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd]).and_then(<[u8]>::split_first) else {
        return 0;
    };
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = rest.first().copied().unwrap_or(0);
        let base = 1u64 << (10 + (window >> 3));
        return base + base / 8 * u64::from(window & 7);
    }
    // The content is its own window.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let field = rest.get(dictionary..).unwrap_or_default();
    let number = |len: usize| field.iter().take(len).rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    match descriptor >> 6 {
        0 => number(1),
        1 => number(2) + 256,
        2 => number(4),
        _ => number(8),
    }
}

/// The right to a large window; others wait while it is held.
#[derive(Debug)]
pub(super) struct Permit(());

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREED: Condvar = Condvar::new();

fn taken() -> MutexGuard<'static, bool> {
    // It is a flag: whoever panicked left it whole.
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Permit {
    /// A permit for a window of this size, if it needs one; waits for whoever has it. Nobody waits
    /// for two.
    pub(super) fn wait(window: u64) -> Option<Permit> {
        if window <= SMALL {
            return None;
        }
        let mut taken = taken();
        while *taken {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        Some(Permit(()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *taken() = false;
        FREED.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let frame = |bytes: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd], bytes].concat();
        let table = [
            (frame(&[0, 0]), 1 << 10),
            (frame(&[0, 13 << 3]), 8 << 20),
            (frame(&[0, 13 << 3 | 1]), 9 << 20),
            (frame(&[4, 17 << 3]), 128 << 20),
            (frame(&[0x20, 200]), 200),
            (frame(&[0x60, 1, 2]), 0x201 + 256),
            (frame(&[0xa3, 9, 9, 9, 9, 0, 0, 0, 8]), 128 << 20),
            (frame(&[0xe0, 0, 0, 0, 0, 1, 0, 0, 0]), 1 << 32),
            (frame(&[]), 0),
            (vec![0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff], 0),
            (vec![0x28], 0),
        ];
        for (header, expected) in table {
            assert_eq!(claimed(&header), expected, "{header:x?}");
        }
    }

    #[test]
    fn one_large_window_at_a_time() {
        assert!(Permit::wait(SMALL).is_none());
        let held = Permit::wait(SMALL + 1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let _permit = Permit::wait(u64::MAX);
            sender.send(()).expect("somebody listens");
        });
        assert!(receiver.try_recv().is_err(), "the other waits while the permit is held");
        drop(held);
        receiver.recv().expect("it gets the permit");
        waiting.join().expect("it ends");
    }
}
