//! Files into a tar, and an image layout as one.

use std::io::{self, Read, Write};

use cvbake_verify::Blobs;

use super::{Contents, blob_error, blob_path, index, open};
use crate::Error;

/// A tar of plain files: no times, nobody's.
pub(super) struct Archive<'a> {
    builder: tar::Builder<&'a mut dyn Write>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Archive<'a> {
        Archive { builder: tar::Builder::new(out) }
    }

    /// Adds a file; a content that ends too early is an error.
    pub(super) fn file(&mut self, name: &str, len: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(len);
        let mut content = Exact { inner: content.take(len), left: len };
        self.builder.append_data(&mut header, name, &mut content)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.builder.into_inner()?.flush()
    }
}

/// As many bytes as were promised.
struct Exact<R> {
    inner: io::Take<R>,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left -= count as u64;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

/// Tells how much of it was read.
pub(super) struct Counted<'a, R> {
    pub(super) inner: R,
    pub(super) on: &'a dyn Fn(u64),
    /// Why it could not be read: what writes what is read does not tell the two apart.
    pub(super) failed: Option<io::Error>,
}

impl<'a, R> Counted<'a, R> {
    pub(super) fn new(inner: R, on: &'a dyn Fn(u64)) -> Counted<'a, R> {
        Counted { inner, on, failed: None }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(count) => {
                (self.on)(count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

/// Writes an image layout as a tar; `place` is what errors call the output, `on` is told how many
/// more bytes were written.
///
/// # Errors
/// When a blob is missing or wrong, or `out` fails.
pub fn oci_archive(
    contents: &Contents,
    blobs: &dyn Blobs,
    tag: Option<&str>,
    place: &str,
    out: &mut dyn Write,
    on: &dyn Fn(u64),
) -> Result<(), Error> {
    let write = |source| Error::Write { place: place.to_owned(), source };
    let mut archive = Archive::new(out);
    let index = index::for_one(&contents.top, tag);
    for (name, bytes) in [index::MARKER, (index::INDEX, &index)] {
        archive.file(name, bytes.len() as u64, bytes).map_err(write)?;
    }
    for (digest, bytes) in &contents.documents {
        archive.file(&blob_path(digest), bytes.len() as u64, &bytes[..]).map_err(write)?;
        on(bytes.len() as u64);
    }
    for blob in &contents.blobs {
        let mut reader = Counted::new(open(blobs, blob)?, on);
        let written = archive.file(&blob_path(&blob.digest), blob.size, &mut reader);
        match reader.failed {
            Some(source) => return Err(blob_error(blob.digest, source)),
            None => written.map_err(write)?,
        }
        // What comes after the promised size would be told only now.
        end(&mut reader).map_err(|source| blob_error(blob.digest, source))?;
    }
    archive.finish().map_err(write)
}

/// Holds a reader to having nothing left; a checked one then says that everything was right.
pub(super) fn end(reader: &mut Counted<'_, impl Read>) -> io::Result<()> {
    match io::copy(&mut reader.inner, &mut io::sink())? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
