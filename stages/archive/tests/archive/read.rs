//! Reads archives whole, through buffers of all sizes, so that a test sees what it is about and
//! nothing else.

use std::io::{self, BufRead, Read};

use cvbake_archive::Error;
use cvbake_archive::tar::{Kind, Reader, Time};

/// Lends never more than `most` bytes at once.
pub(crate) struct Pieces<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) most: usize,
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.bytes[..self.bytes.len().min(self.most)])
    }

    fn consume(&mut self, amount: usize) {
        assert!(amount <= self.most, "more consumed than was lent");
        self.bytes = &self.bytes[amount..];
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

/// An entry with its content, owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    pub(crate) atime: Option<Time>,
    pub(crate) ctime: Option<Time>,
    pub(crate) device: (u64, u64),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: bool,
    pub(crate) extents: Vec<(u64, u64)>,
    pub(crate) offset: u64,
    pub(crate) data_offset: u64,
    /// The stored bytes, one piece behind the other.
    pub(crate) stored: Vec<u8>,
}

impl Item {
    /// The whole content, made from the extents.
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.size).unwrap()];
        let mut stored = &self.stored[..];
        for &(offset, len) in &self.extents {
            let (offset, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
            content[offset..offset + len].copy_from_slice(&stored[..len]);
            stored = &stored[len..];
        }
        content
    }
}

/// Reads an archive through one kind of input.
pub(crate) fn read_from(input: impl BufRead) -> Result<Vec<Item>, Error> {
    let mut reader = Reader::new(input);
    let mut items = Vec::new();
    while let Some(mut entry) = reader.next_entry()? {
        let header = entry.header;
        let mut stored = Vec::new();
        let mut extents = header.extents.iter().flat_map(|extent| extent.offset..extent.offset + extent.len);
        while let Some(piece) = entry.data.next_piece()? {
            for (offset, &byte) in (piece.offset..).zip(piece.bytes) {
                assert_eq!(extents.next(), Some(offset), "pieces follow the extents");
                stored.push(byte);
            }
        }
        assert_eq!(extents.next(), None, "pieces cover the extents");
        let pairs = header.extents.iter().map(|extent| (extent.offset, extent.len)).collect();
        items.push(Item {
            path: header.path.clone(),
            kind: header.kind,
            link: header.link.clone(),
            mode: header.mode,
            owner: (header.uid, header.gid),
            size: header.size,
            mtime: header.mtime,
            atime: header.atime,
            ctime: header.ctime,
            device: (header.device_major, header.device_minor),
            xattrs: header.xattrs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            sparse: header.sparse,
            extents: pairs,
            offset: header.offset,
            data_offset: header.data_offset,
            stored,
        });
    }
    assert!(reader.next_entry()?.is_none(), "the end is final");
    let mut rest = Vec::new();
    reader.into_inner().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "the whole input has been read");
    Ok(items)
}

/// Reads an archive whole, lent a byte at a time, and in between: the outcome must be the same.
pub(crate) fn read(archive: &[u8]) -> Result<Vec<Item>, Error> {
    let whole = read_from(archive);
    for most in [1, 7, 511, 512, 513] {
        let pieces = read_from(Pieces { bytes: archive, most });
        match (&whole, &pieces) {
            (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces, "in pieces of {most}"),
            (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string(), "in pieces of {most}"),
            _ => panic!("in pieces of {most}: {pieces:?} instead of {whole:?}"),
        }
    }
    match &whole {
        Ok(items) => copies(archive, items),
        // Passing over content must find the same fault as reading it.
        Err(error) => assert_eq!(pass_over(archive).unwrap_err().to_string(), error.to_string()),
    }
    whole
}

/// The copying reader and the passing over must agree with the pieces.
fn copies(archive: &[u8], items: &[Item]) {
    for chunk in [1, 5, 4096] {
        let mut reader = Reader::new(archive);
        for item in items {
            let mut entry = reader.next_entry().unwrap().unwrap();
            if item.size > 1 << 20 {
                continue;
            }
            let (mut content, mut buffer) = (Vec::<u8>::new(), vec![0xee; chunk]);
            loop {
                let len = entry.data.read(&mut buffer).unwrap();
                if len == 0 {
                    break;
                }
                content.extend(&buffer[..len]);
            }
            assert_eq!(content, item.content(), "{}", item.path.escape_ascii());
        }
    }
    assert_eq!(pass_over(archive).unwrap(), items.len());
}

fn pass_over(archive: &[u8]) -> Result<usize, Error> {
    let mut reader = Reader::new(archive);
    let mut entries = 0;
    while reader.next_entry()?.is_some() {
        entries += 1;
    }
    Ok(entries)
}

/// The only entry of an archive.
pub(crate) fn one(archive: &[u8]) -> Item {
    let mut items = read(archive).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}

/// Checks that an archive is refused with a message that has these words, and that the reader stays
/// refused.
pub(crate) fn refused(archive: &[u8], words: &str) {
    let error = read(archive).expect_err(words);
    let text = error.to_string();
    assert!(text.contains(words), "{text:?} does not say {words:?}");
    let mut reader = Reader::new(archive);
    let mut failures = 0;
    while failures < 2 {
        match reader.next_entry() {
            Ok(Some(_)) => assert_eq!(failures, 0, "an entry after an error"),
            Ok(None) => panic!("an end after an error"),
            Err(_) => failures += 1,
        }
    }
}
