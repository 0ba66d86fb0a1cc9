//! A stream that somebody else reads, and may stop reading.

use std::io::{self, Write};

/// Notes that nobody reads on: what comes of it has the words of whoever was writing, and is no
/// error of theirs.
pub(super) struct Stream<'w> {
    pub(super) inner: &'w mut dyn Write,
    pub(super) is_unread: bool,
}

impl Stream<'_> {
    fn note<T>(&mut self, written: io::Result<T>) -> io::Result<T> {
        self.is_unread |= matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
        written
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.note(flushed)
    }
}
