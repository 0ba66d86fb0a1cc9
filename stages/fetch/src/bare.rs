//! A root filesystem in a tar and nothing else: a file, or a stream that comes once.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cvbake_verify::{Blobs, Descriptor, Layer, Root};
use rustix::fs::FileType;

use crate::Error;
use crate::file::{Part, Stream, open_stream};

pub(crate) struct Bare {
    place: String,
    reference: String,
    root: Root,
    content: Content,
}

enum Content {
    File(Part),
    /// Taken by the first who reads it.
    Once(Mutex<Option<Box<dyn Read + Send>>>),
}

impl Bare {
    pub(crate) fn open(path: &Path, reference: String) -> Result<Bare, Error> {
        let place = path.display().to_string();
        let (file, kind) = open_stream(path)?;
        if kind != FileType::RegularFile {
            return Ok(Bare::stream(Box::new(file), place, reference));
        }
        let part = Part::whole(file, &place)?;
        if part.len() == 0 {
            return Err(Error::Empty { place });
        }
        Ok(Bare { place, reference, root: Root::Bare { size: Some(part.len()) }, content: Content::File(part) })
    }

    /// Bytes that come once, such as standard input.
    pub(crate) fn stream(stream: Box<dyn Read + Send>, place: String, reference: String) -> Bare {
        Bare { place, reference, root: Root::Bare { size: None }, content: Content::Once(Mutex::new(Some(stream))) }
    }
}

impl Blobs for Bare {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
        Err(Error::NoBlob { place: self.place.clone(), digest: blob.digest }.into_io())
    }

    fn open_layer(&self, _: &Layer) -> io::Result<Box<dyn Read + Send>> {
        match &self.content {
            Content::File(part) => Ok(Box::new(part.clone())),
            Content::Once(stream) => {
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                let again = || Error::ReadTwice { place: self.place.clone() }.into_io();
                let stream = Stream { inner: stream.ok_or_else(again)?, place: self.place.as_str().into() };
                Ok(Box::new(NotEmpty { stream, begun: false }))
            }
        }
    }
}

/// A stream that must have something in it.
struct NotEmpty<R> {
    stream: Stream<R>,
    begun: bool,
}

impl<R: Read> Read for NotEmpty<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if count == 0 && !self.begun && !buffer.is_empty() {
            return Err(Error::Empty { place: self.stream.place.to_string() }.into_io());
        }
        self.begun = true;
        Ok(count)
    }
}
