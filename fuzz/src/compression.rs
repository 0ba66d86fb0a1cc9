//! Decompression, and which one it is.
//!
//! For any bytes: the same bytes or the same kind of error however they arrive; an error is a line.
//! For accepted input: the bytes that the libraries themselves give. For a gzip member around any
//! deflated data: whole it is accepted, and cut, changed or with something behind it, it is not.

use std::io::Read;

use cvbake_archive::{Compression, Decompressor};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::{Chunks, line};

/// A few bytes can stand for gigabytes; what lies behind this many is not looked at.
const LIMIT: usize = 1 << 20;

/// Decompresses the input as it is, and as the deflated body of gzip members that are otherwise
/// right.
pub fn check(input: &[u8]) {
    as_it_is(input);
    as_a_body(input);
}

fn as_it_is(input: &[u8]) {
    let whole = decompress(input, input.len());
    for step in [1, 3, 1000] {
        let (bytes, error) = decompress(input, step);
        assert_eq!(kind(error.as_deref()), kind(whole.1.as_deref()), "in pieces of {step}");
        // Where an error is noticed, in which words, and how much is given before it, depends on
        // the pieces.
        let both = bytes.len().min(whole.0.len());
        assert!(error.is_some() || bytes.len() == whole.0.len(), "in pieces of {step}");
        assert!(bytes[..both] == whole.0[..both], "in pieces of {step}");
    }
    if whole.1.is_some() {
        return;
    }
    let mut oracle: Box<dyn Read + '_> = match Compression::detect(input) {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(input).expect("memory")),
    };
    // Its error, if there is one, is about NULs at the end, which only we accept.
    let expected = read(&mut *oracle).0;
    assert!(expected == whole.0, "the library gives {} bytes, we give {}", expected.len(), whole.0.len());
}

/// Most inputs are no gzip for want of a right checksum: here it is put right.
fn as_a_body(input: &[u8]) {
    let mut inflater = Decompress::new(false);
    let mut plain = vec![0; LIMIT];
    let Ok(Status::StreamEnd) = inflater.decompress(input, &mut plain, FlushDecompress::Finish) else { return };
    let used = usize::try_from(inflater.total_in()).expect("no more than there is");
    plain.truncate(usize::try_from(inflater.total_out()).expect("no more than the buffer"));
    if plain.len() > LIMIT / 4 {
        return;
    }
    let (body, rest) = input.split_at(used);
    let member = member(body, &plain, rest.first().copied().unwrap_or(0));
    assert_eq!(decompress(&member, usize::MAX), (plain.clone(), None));
    let twice = [&member[..], &member, &[0; 3]].concat();
    assert_eq!(decompress(&twice, 5), ([&plain[..], &plain].concat(), None), "two members and padding");
    let cut = rest.len() % member.len();
    if cut > 0 {
        assert!(decompress(&twice[..2 * member.len() - cut], 100).1.is_some(), "{cut} bytes less than whole");
    }
    let mut damaged = member.clone();
    let at = member.len() - 1 - rest.len() % 8;
    damaged[at] ^= 1;
    assert!(decompress(&damaged, 100).1.is_some(), "a wrong checksum or length is an error");
    assert!(decompress(&[&member[..], b"x"].concat(), 100).1.is_some(), "trailing bytes are an error");
}

/// A gzip member (RFC 1952) with the optional fields that `flags` asks for.
fn member(body: &[u8], plain: &[u8], flags: u8) -> Vec<u8> {
    let flags = flags & 0b1_1111;
    let mut member = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
    if flags & 4 != 0 {
        member.extend_from_slice(&[3, 0, 1, 2, 3]);
    }
    if flags & 8 != 0 {
        member.extend_from_slice(b"name\0");
    }
    if flags & 16 != 0 {
        member.extend_from_slice(b"comment\0");
    }
    if flags & 2 != 0 {
        let sum = crc(&member) & 0xffff;
        member.extend_from_slice(&sum.to_le_bytes()[..2]);
    }
    member.extend_from_slice(body);
    member.extend_from_slice(&crc(plain).to_le_bytes());
    member.extend_from_slice(&u32::try_from(plain.len()).expect("limited").to_le_bytes());
    member
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn decompress(input: &[u8], step: usize) -> (Vec<u8>, Option<String>) {
    match Decompressor::new(Chunks::new(input, step)) {
        Ok(mut reader) => read(&mut reader),
        Err(error) => (Vec::new(), Some(line(&error))),
    }
}

/// What kind of fault an error tells of: the first word behind the place.
fn kind(error: Option<&str>) -> Option<&str> {
    error.map(|text| text.split(": ").nth(1).unwrap_or(text))
}

/// Up to [`LIMIT`] bytes, and the error behind them.
fn read(reader: &mut dyn Read) -> (Vec<u8>, Option<String>) {
    let mut bytes = Vec::new();
    let error = reader.take(LIMIT as u64).read_to_end(&mut bytes).err().map(|error| line(&error));
    (bytes, error)
}
