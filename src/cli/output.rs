//! The ways to standard output. Nobody reading it is no error: what was asked for is done, and this
//! only tells of it. (What is asked for of `image export NAME tar:-` is the stream itself: see
//! [`Kind::Unread`](cvbake::error::Kind::Unread).)

use std::io::{self, Write as _};

use cvbake::error::Error;
use cvbake::text;

use super::environment;
use crate::failure::Failure;

/// A result for people. Names in it stay on their lines by [`text::line`] already: here it is too
/// late.
pub(super) fn lines(lines: &str) -> Result<(), Failure> {
    bytes(text::lines(lines).as_bytes())
}

/// A result for programs, which may end up on a terminal, too.
pub(super) fn json(json: &str) -> Result<(), Failure> {
    bytes(text::json(json).as_bytes())
}

/// A document that has a digest: byte for byte, but for a person.
pub(super) fn document(document: &[u8]) -> Result<(), Failure> {
    match environment::is_read_by_a_person() {
        true => bytes(text::document(document).as_bytes()),
        false => bytes(document),
    }
}

/// A long result, as it is made. Texts from outside are escaped by whoever writes them.
pub(super) fn stream(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is left in it has nowhere to go, either.
            let _unread = out.into_parts();
            Ok(())
        }
        other => other.map_err(|source| Error::Tell { source }.into()),
    }
}

/// What we have made ourselves.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|source| Error::Tell { source }.into()),
    }
}
