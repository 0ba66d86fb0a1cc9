//! Where blocks go.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::Error;

/// Takes bytes at positions, in any order and from any number of threads.
///
/// What is never written reads as zeros, so a writer leaves zeros out. No byte is written twice by
/// a writer that has planned its layout, unless what it has written turns out to be from a bad
/// source; then the last counts.
pub trait Sink: Sync {
    /// Puts `bytes` at `offset`.
    ///
    /// # Errors
    /// When they can't be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Copies `len` bytes from `from_offset` of a file to `offset`; the file must have that many.
    ///
    /// # Errors
    /// When they can't be read or written.
    fn copy_at(&self, offset: u64, from: &File, from_offset: u64, len: u64) -> Result<(), Error> {
        copy_through_memory(self, offset, from, from_offset, len)
    }
}

/// How much is copied at once: larger pieces gain nothing, and this many fit the second-level
/// cache.
const PIECE: usize = 256 * 1024;

pub(crate) fn copy_through_memory<S: Sink + ?Sized>(
    sink: &S,
    offset: u64,
    from: &File,
    from_offset: u64,
    len: u64,
) -> Result<(), Error> {
    let mut buffer = vec![0; usize::try_from(len).map_or(PIECE, |len| len.min(PIECE))];
    let mut done = 0;
    while done < len {
        let piece = usize::try_from(len - done).map_or(PIECE, |rest| rest.min(PIECE));
        let piece = &mut buffer[..piece];
        from.read_exact_at(piece, from_offset + done).map_err(|source| Error::Read {
            path: path_of(from),
            offset: from_offset + done,
            len: piece.len() as u64,
            source,
        })?;
        sink.write_at(offset + done, piece)?;
        done += piece.len() as u64;
    }
    Ok(())
}

/// The name of an open file, for messages only.
pub(crate) fn path_of(file: &File) -> PathBuf {
    let link = cvbake_durable::system::descriptor_path(file);
    std::fs::read_link(&link).unwrap_or(link)
}
