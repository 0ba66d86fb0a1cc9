//! Where an archive ends, and where it must not.

use std::io::{self, BufReader, Read};

use cvbake_archive::tar::{BLOCK_SIZE, Reader};
use cvbake_archive::{Decompressor, Error};

use crate::build::{head, tar};
use crate::read::{read, refused};

#[test]
fn ends_that_are_accepted() {
    let archive = tar().file("a", b"content");
    let count = |bytes: &[u8]| read(bytes).unwrap().len();
    assert_eq!(count(b""), 0);
    assert_eq!(count(&[0; 1024]), 0);
    assert_eq!(count(&[0; 512]), 0);
    assert_eq!(count(&archive.bytes), 1);
    assert_eq!(count(&archive.clone().raw(&[0; 512]).bytes), 1);
    assert_eq!(count(&archive.clone().end()), 1);
    assert_eq!(count(&archive.clone().raw(&[0; 10240]).bytes), 1);
    // The last entry's content without the zeros that fill its block.
    assert_eq!(count(&archive.bytes[..512 + 7]), 1);
    // What stands behind the end is read, but it is no part of the archive.
    assert_eq!(count(&[&archive.clone().end()[..], b"anything"].concat()), 1);
    assert_eq!(count(&[&archive.clone().end()[..], &tar().file("b", b"").end()].concat()), 1);
}

/// A disk begins with zeros, too: only with nothing behind them they are an archive of nothing.
#[test]
fn zeros_and_data_are_no_archive() {
    for (zeros, behind) in [(1024, 56), (10240, 0), (1_000_000, 511), (512, 0), (512, 511)] {
        let bytes = [&vec![0; zeros + behind][..], b"x", &[0; 4096]].concat();
        refused(&bytes, &format!("found zeros at the beginning and data at byte {}", zeros + behind));
    }
    // A global header is no file, and no zeros.
    let global = tar().entry(head("g").kind(b'g').size(20), b"20 comment=something");
    assert_eq!(read(&[&global.end()[..], b"x"].concat()).unwrap().len(), 0);
}

#[test]
fn ends_that_are_not() {
    let archive = tar().file("a", b"content").file("b", &[7; 600]);
    for len in 1..archive.bytes.len() {
        let (words, at) = match len {
            // A letter by itself is a text, and no beginning of anything.
            0 | 1 | 519 | 1024 | 2136 => continue,
            1..512 | 1025..1536 => ("bytes before the end of a header", 0),
            512..519 | 1536..2136 => ("bytes before the end of an entry's content", 0),
            519..1024 => ("bytes before the end of the padding after an entry's content", 1024),
            _ => ("bytes before the end of the padding after an entry's content", 2560),
        };
        if len % 37 == 0 || len % 512 < 9 || len % 512 > 508 {
            refused(&archive.bytes[..len], words);
        }
        if at > 0 && len % 100 == 0 {
            refused(&archive.bytes[..len], &format!("the stream ends {} bytes before", at - len));
        }
    }
    refused(&archive.clone().raw(&[0; 512]).file("c", b"").end(), "expected a second block of zeros");
    refused(&archive.clone().raw(&[0; 513]).bytes, "bytes before the end of a header");
    refused(&archive.raw(&[0; 100]).bytes, "bytes before the end of a header");
}

#[test]
fn content_that_is_claimed_and_not_there() {
    let huge = tar().head(head("a").at(124, b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff")).body(b"x").bytes;
    refused(&huge, &format!("ends {} bytes before the end of an entry's content", u64::MAX - 512));
    let huge = tar().pax(&[("size", b"18446744073709551615")]).file("a", b"x").bytes;
    refused(&huge, r#"entry "a", the tar header at byte 1024: truncated archive"#);
}

/// Fails in the middle with an error of its own.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("the cable is cut"));
        }
        let len = self.0.min(buffer.len()).min(100);
        let start = BLOCK_SIZE * 2 - self.0;
        buffer[..len].copy_from_slice(&tar().file("a", &[1; 5000]).bytes[start..start + len]);
        self.0 -= len;
        Ok(len)
    }
}

#[test]
fn errors_from_below_come_through() {
    let mut reader = Reader::new(BufReader::new(Broken(BLOCK_SIZE * 2)));
    let mut entry = reader.next_entry().unwrap().unwrap();
    let error = loop {
        match entry.data.next_piece() {
            Ok(piece) => assert!(piece.is_some()),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, Error::Read { offset: 1024, source } if source.to_string() == "the cable is cut"),
        "{error:?}"
    );
    assert!(entry.data.next_piece().unwrap_err().to_string().contains("after an earlier error"));
    assert!(reader.next_entry().unwrap_err().to_string().contains("after an earlier error"));
}

#[test]
fn faults_behind_the_end_of_the_archive_are_found() {
    let mut compressed = crate::compression::gzip(&tar().file("a", b"").end());
    let last = compressed.len() - 1;
    compressed[last] ^= 1;
    let mut reader = Reader::new(Decompressor::new(&compressed[..]).unwrap());
    assert!(reader.next_entry().unwrap().is_some());
    let error = reader.next_entry().unwrap_err();
    let Error::Read { source, .. } = error else { panic!("{error}") };
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert!(matches!(inner, Some(Error::Compressed { .. })), "{source}");
}
