//! The tar grammar, PAX records and sparse maps in it.
//!
//! For any bytes, with the checksums of headers put right: what is read does not depend on how they
//! arrive, nor on whether content is read or passed over; an error is a line, and nothing comes
//! after it. For accepted input: names have no NUL, extents ascend and lie inside their file,
//! extended attributes are sorted and unique, and no more content comes than the header says.

use std::io::{BufRead, BufReader, Read};

use cvbake_archive::tar::{BLOCK_SIZE, Header, Reader};

use crate::{Chunks, line};

/// Files up to this size are also read with their holes.
const READ_WHOLE: u64 = 1 << 20;

/// What an archive turned out to hold: its entries, and the error that ended it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    headers: Vec<String>,
    contents: Vec<u64>,
    error: Option<String>,
}

/// Reads an archive in several ways.
pub fn check(input: &[u8]) {
    let mut archive = input.to_vec();
    repair(&mut archive);
    let whole = read(Reader::new(&archive[..]), true);
    for (step, buffer) in [(1, 1), (509, 512), (7000, 4096)] {
        let chunked = read(Reader::new(BufReader::with_capacity(buffer, Chunks::new(&archive, step))), true);
        assert_eq!(chunked, whole, "in pieces of {step} through a buffer of {buffer}");
    }
    let skipped = read(Reader::new(&archive[..]), false);
    assert_eq!(skipped.headers, whole.headers, "content passed over");
    assert_eq!(skipped.error.is_some(), whole.error.is_some(), "{:?} and {:?}", skipped.error, whole.error);
}

/// Makes the checksums of headers right: a mutation that only breaks the checksum finds nothing.
fn repair(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(BLOCK_SIZE).filter(|block| block[257..].starts_with(b"ustar")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

fn read<R: BufRead>(mut reader: Reader<R>, contents: bool) -> Outcome {
    let mut outcome = Outcome { headers: Vec::new(), contents: Vec::new(), error: None };
    let error = loop {
        match reader.next_entry() {
            Ok(None) => {
                assert!(reader.next_entry().expect("the end stays the end").is_none());
                assert!(reader.into_inner().fill_buf().expect("memory").is_empty(), "the end is the end of the input");
                return outcome;
            }
            Err(error) => break line(&error),
            Ok(Some(mut entry)) => {
                invariants(entry.header);
                outcome.headers.push(format!("{:?}", entry.header));
                if !contents {
                    continue;
                }
                if outcome.headers.len().is_multiple_of(2) && entry.header.size < READ_WHOLE {
                    let mut bytes = Vec::new();
                    match entry.data.read_to_end(&mut bytes) {
                        Ok(_) => {
                            assert_eq!(bytes.len() as u64, entry.header.size);
                            outcome.contents.push(hash(HASH_START, &bytes));
                        }
                        Err(error) => break line(&error),
                    }
                    continue;
                }
                let (mut end, mut sum, size) = (0, HASH_START, entry.header.size);
                let failure = loop {
                    match entry.data.next_piece() {
                        Ok(None) => break None,
                        Err(error) => break Some(line(&error)),
                        Ok(Some(piece)) => {
                            assert!(!piece.bytes.is_empty() && piece.offset >= end, "pieces ascend");
                            // Where a hole is must not depend on the pieces either.
                            sum = if piece.offset > end { hash(sum, &piece.offset.to_le_bytes()) } else { sum };
                            end = piece.offset + piece.bytes.len() as u64;
                            assert!(end <= size, "no byte behind the end of the file");
                            sum = hash(sum, piece.bytes);
                        }
                    }
                };
                match failure {
                    Some(error) => break error,
                    None => outcome.contents.push(sum),
                }
            }
        }
    };
    outcome.error = Some(error);
    assert!(reader.next_entry().is_err(), "nothing comes after an error");
    outcome
}

fn invariants(header: &Header) {
    assert!(!header.path.contains(&0) && !header.link.contains(&0));
    assert!(header.mtime.nanos < 1_000_000_000);
    assert!(header.data_offset > header.offset && header.offset.is_multiple_of(512));
    let mut end = 0;
    for extent in &header.extents {
        assert!(extent.len > 0 && extent.offset >= end, "extents ascend: {:?}", header.extents);
        end = extent.offset.checked_add(extent.len).expect("within 64 bits");
    }
    assert!(end <= header.size, "extents lie inside the file");
    assert!(header.sparse || end == header.size, "only sparse files have holes");
    let names: Vec<_> = header.xattrs().map(|(name, _)| name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "extended attributes are sorted and unique");
}

/// What the hash of no bytes is.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, continued.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
