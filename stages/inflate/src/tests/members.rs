//! Headers, trailers, and what stands between and behind members.

use std::io::{self, Read};

use super::{member, outcome, sample};
use crate::{GzipReader, MAX_TEXT, Problem};

fn stored(plain: &[u8]) -> Vec<u8> {
    let len = u16::try_from(plain.len()).unwrap();
    member(&[&[1], &len.to_le_bytes()[..], &(!len).to_le_bytes(), plain].concat(), plain)
}

fn refused(gzip: &[u8], text: &str) {
    assert_eq!(outcome(gzip).1.expect(text).to_string(), format!("gzip data, at compressed byte {text}"));
}

/// The same member with other flags and with fields behind the fixed part of the header.
fn with_fields(flags: u8, fields: &[u8]) -> Vec<u8> {
    let plain = stored(b"x");
    [&plain[..3], &[flags], &plain[4..10], fields, &plain[10..]].concat()
}

#[test]
fn many_members() {
    let plain = sample(100_000);
    let members: Vec<u8> = plain.chunks(701).flat_map(stored).collect();
    assert!(outcome(&members) == (plain, None));
    assert_eq!(outcome(&stored(b"").repeat(1000)), (vec![], None));
}

#[test]
fn what_may_follow() {
    let good = stored(b"hello");
    for zeros in [1, 511, 5000] {
        let padded = [&good[..], &vec![0; zeros]].concat();
        assert_eq!(outcome(&padded), (b"hello".to_vec(), None));
        let at = padded.len();
        refused(&[&padded[..], &good].concat(), &format!("{at}: expected the end of the stream or NULs, found 0x1f"));
    }
    refused(&[&good[..], b"\n"].concat(), "28: expected the end of the stream or NULs, found 0x0a");
    refused(&[&good[..], &[0x1f]].concat(), "29: the stream ends inside a member's header");
    refused(&[&good[..], &[0x1f, 0x8c]].concat(), "29: expected the magic number 1f 8b of a member, found 0x8c");
    refused(b"", "0: the stream ends inside a member's header");
    refused(b"PK", "0: expected the magic number 1f 8b of a member, found 0x50");
}

#[test]
fn fields_of_headers() {
    for (flags, fields) in [
        (0x01, &b""[..]),
        (0x04, b"\0\0"),
        (0x04, b"\x03\0abc"),
        (0x08, b"name\0"),
        (0x10, b"\0"),
        (0x1c, b"\x01\0a\0comment\0"),
    ] {
        assert_eq!(outcome(&with_fields(flags, fields)), (b"x".to_vec(), None), "{flags:#x}");
    }
    let extra = [&[0xff; 2][..], &[b'e'; 65_535]].concat();
    assert_eq!(outcome(&with_fields(4, &extra)), (b"x".to_vec(), None));
    refused(&with_fields(0x20, b""), "3: reserved flags are set: 0x20");
    let mut other = stored(b"x");
    other[2] = 7;
    refused(&other, "2: compression method is 7, expected 8");
}

#[test]
fn header_checksums() {
    let mut crc = flate2::Crc::new();
    crc.update(b"\x1f\x8b\x08\x12\0\0\0\0\0\xffhi\0");
    let sum = crc.sum().to_le_bytes();
    let right = [b"hi\0", &sum[..2]].concat();
    assert_eq!(outcome(&with_fields(0x12, &right)), (b"x".to_vec(), None));
    let mut wrong = right;
    *wrong.last_mut().unwrap() ^= 1;
    assert!(matches!(outcome(&with_fields(0x12, &wrong)).1.unwrap().problem, Problem::HeaderCrc { .. }));
}

#[test]
fn texts_have_a_limit() {
    for (flags, field) in [(8, "name"), (16, "comment")] {
        let text = |len| [vec![b'n'; len], vec![0]].concat();
        assert_eq!(outcome(&with_fields(flags, &text(MAX_TEXT))), (b"x".to_vec(), None));
        let expected = format!("{}: the {field} in the member's header has no end within 65535 bytes", 10 + MAX_TEXT);
        refused(&with_fields(flags, &text(MAX_TEXT + 1)), &expected);
    }
    // It does not read on for ever.
    let endless = b"\x1f\x8b\x08\x08\0\0\0\0\0\0".chain(io::repeat(b'n'));
    let mut byte = [0];
    let error = GzipReader::new(endless).read(&mut byte).unwrap_err();
    assert!(error.to_string().contains("has no end within"), "{error}");
}

#[test]
fn trailers() {
    let good = stored(b"hello");
    let len = good.len();
    let with = |at: usize, flip: u8| {
        let mut bad = good.clone();
        bad[at] ^= flip;
        outcome(&[&good[..], &bad].concat())
    };
    for at in len - 8..len {
        let (plain, error) = with(at, 0x10);
        assert_eq!(plain, b"hellohello", "what is wrong is known only behind it");
        let error = error.unwrap();
        assert_eq!(error.offset, 2 * len as u64);
        match error.problem {
            Problem::Crc { stated, computed } if at < len - 4 => {
                assert_eq!(stated ^ computed, 0x10 << (8 * (at + 8 - len)))
            }
            Problem::Length { stated, computed: 5 } => assert_eq!(stated, 5 ^ 0x10 << (8 * (at + 4 - len))),
            problem => panic!("{problem}"),
        }
    }
}

#[test]
fn errors_from_below_come_through_and_may_pass() {
    /// Fails before each byte once.
    struct Shaky<'a>(&'a [u8], bool);
    impl Read for Shaky<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::Error::other("the cable is loose")) } else { self.0.read(&mut buffer[..1]) }
        }
    }
    let mut noise = super::Noise(3);
    let (body, plain) = super::write::random(&mut noise);
    let gzip = member(&body, &plain);
    let mut reader = GzipReader::new(Shaky(&gzip, false));
    let (mut found, mut failures, mut buffer) = (Vec::new(), 0, [0; 100]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => found.extend_from_slice(&buffer[..len]),
            Err(error) => {
                assert_eq!(error.to_string(), "the cable is loose");
                failures += 1;
            }
        }
    }
    assert!(found == plain && failures > body.len());
}

#[test]
fn reads_nothing_behind_what_it_needs_to_say_that_it_is_wrong() {
    let endless = io::Cursor::new(stored(b"x")).chain(io::repeat(b'n'));
    let mut found = Vec::new();
    let error = GzipReader::new(endless).read_to_end(&mut found).unwrap_err();
    assert_eq!((found, error.kind()), (b"x".to_vec(), io::ErrorKind::InvalidData));
}
