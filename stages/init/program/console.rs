//! What is said, on the console that the kernel has opened.

use core::ffi::CStr;

use crate::system::{self, Errno, File};

const STANDARD_ERROR: usize = 2;

/// Opens the console where the kernel could not, because `/dev` was empty.
pub(crate) fn open() {
    while let Ok(file) = File::open_kept(c"/dev/console") {
        if file.number() > STANDARD_ERROR {
            return;
        }
        file.keep();
    }
}

/// Says a line.
pub(crate) fn say(parts: &[&[u8]]) {
    // One line is one write: the kernel speaks on the same console.
    let mut line = [0; 512];
    let mut len = 0;
    let parts = [&b"cvbake init: "[..]].into_iter().chain(parts.iter().copied()).chain([&b"\n"[..]]);
    for byte in parts.flatten() {
        // What is too long loses its middle, not its end.
        let at = len.min(line.len() - 1);
        line[at] = *byte;
        len = at + 1;
    }
    system::write(STANDARD_ERROR, &line[..len]);
}

/// A number in decimal digits.
pub(crate) struct Number {
    digits: [u8; 20],
    start: usize,
}

impl Number {
    pub(crate) fn of(number: impl Into<u64>) -> Number {
        let (mut digits, mut start, mut rest) = ([b'0'; 20], 20, number.into());
        loop {
            start -= 1;
            digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                return Number { digits, start };
            }
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// What has failed.
pub(crate) struct Failure<'t> {
    what: &'t str,
    object: Option<&'t CStr>,
    error: Option<Errno>,
}

impl<'t> Failure<'t> {
    pub(crate) fn new(what: &'t str, object: &'t CStr, error: Errno) -> Failure<'t> {
        Failure { what, object: Some(object), error: Some(error) }
    }

    pub(crate) fn text(what: &'t str) -> Failure<'t> {
        Failure { what, object: None, error: None }
    }

    pub(crate) fn code(what: &'t str, error: Errno) -> Failure<'t> {
        Failure { what, object: None, error: Some(error) }
    }

    pub(crate) fn say(&self) {
        let object = self.object.map_or(&b""[..], CStr::to_bytes);
        let number = Number::of(self.error.map_or(0, |error| error.0));
        let error = if self.error.is_some() { (&b": error "[..], number.text()) } else { (&b""[..], &b""[..]) };
        let space = if object.is_empty() { &b""[..] } else { b" " };
        say(&[self.what.as_bytes(), space, object, error.0, error.1]);
    }
}
