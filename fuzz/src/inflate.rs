//! Inflating.
//!
//! For any bytes as deflate data: they mean what zlib-rs says that they mean, in whatever pieces
//! they arrive, or are refused by both, with the same bytes before the error, which is a line.

use std::io::{BufRead, Read};

use cvbake_inflate::{Code, CodeFault, Error, GzipReader, Problem};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::{Chunks, line};

/// A few bytes can stand for gigabytes; inputs that do are left alone.
const LIMIT: usize = 1 << 20;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Inflates the input as the data of a gzip member.
pub fn check(input: &[u8]) {
    let mut oracle = Decompress::new(false);
    let mut plain = vec![0; LIMIT];
    let status = oracle.decompress(input, &mut plain, FlushDecompress::Finish);
    let used = usize::try_from(oracle.total_in()).expect("no more than there is");
    plain.truncate(usize::try_from(oracle.total_out()).expect("no more than the buffer"));
    if plain.len() == LIMIT {
        return;
    }
    if let Ok(Status::StreamEnd) = status {
        let mut crc = Crc::new();
        crc.update(&plain);
        let trailer = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
        let member = [&HEADER[..], &input[..used], &trailer].concat();
        assert!(inflate(&member) == (plain, None), "zlib-rs accepts it");
        return;
    }
    let (found, error) = inflate(&[&HEADER[..], input].concat());
    let error = error.expect("zlib-rs refuses it");
    line(&error);
    let problem = error.problem;
    let is_truncated = matches!(problem, Problem::Truncated { inside: "a member's data" });
    // zlib-rs goes on with an empty code of code lengths, and may meet the end before it finds
    // fault with what comes of it.
    let early = matches!(problem, Problem::Code { code: Code::Lengths, fault: CodeFault::Incomplete });
    assert!(early || is_truncated == status.is_ok(), "{problem}, but zlib-rs says {status:?}");
    // How far zlib-rs came before it noticed is its own affair.
    let both = found.len().min(plain.len());
    assert!(found[..both] == plain[..both], "the same bytes before the error");
}

/// Bytes and error; both are the same in small pieces.
fn inflate(gzip: &[u8]) -> (Vec<u8>, Option<Error>) {
    let whole = read(gzip, usize::MAX);
    for step in [1, 39, 700] {
        assert!(read(gzip, step) == whole, "in pieces of {step}");
    }
    whole
}

fn read(gzip: &[u8], step: usize) -> (Vec<u8>, Option<Error>) {
    let mut reader = GzipReader::new(Chunks::new(gzip, step));
    let mut plain = Vec::new();
    let error = reader.read_to_end(&mut plain).err().map(|error| error.downcast().expect("an error of ours"));
    assert_eq!(reader.fill_buf().is_err(), error.is_some(), "the end is final");
    (plain, error)
}
