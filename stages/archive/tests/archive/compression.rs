//! Decompression: whole streams, right to the last byte.

use std::io::{self, BufRead, Read, Write};

use cvbake_archive::compression::ZSTD_WINDOW_LOG_MAX;
use cvbake_archive::{Compression, Decompressor, Error};
use flate2::{Compression as Level, GzBuilder};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    member(GzBuilder::new(), bytes)
}

fn member(builder: GzBuilder, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = builder.write(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn skippable(number: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&[0x50 + number, 0x2a, 0x4d, 0x18][..], &len, body].concat()
}

/// Text that compresses, but not to nothing.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"etaoin shrdlu\n"[(state >> 24) as usize % 14]
    };
    (0..len).map(|_| next()).collect()
}

/// Gives never more than `most` bytes at once.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

/// Decompresses from pieces of all sizes, and checks that the outcome does not depend on them.
pub(crate) fn decompress(compressed: &[u8]) -> Result<Vec<u8>, String> {
    let read = |most| {
        let mut decompressor = Decompressor::new(Trickle(compressed, most)).map_err(|error| error.to_string())?;
        let mut plain = Vec::new();
        let result = decompressor.read_to_end(&mut plain);
        let again = decompressor.fill_buf().map(<[u8]>::len).map_err(|error| error.to_string());
        match result {
            Ok(_) => {
                assert_eq!(again, Ok(0), "the end is final");
                assert_eq!(decompressor.compressed_offset(), compressed.len() as u64);
                Ok(plain)
            }
            Err(error) => {
                assert_eq!(again, Err(error.to_string()), "an error is final");
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                assert!(matches!(inner, Some(Error::Compressed { .. })), "{error:?}");
                Err(error.to_string())
            }
        }
    };
    let whole = read(usize::MAX);
    for most in [1, 3, 1000] {
        let pieces = read(most);
        // How far a decoder had read when it noticed depends on the pieces.
        assert_eq!(pieces.is_ok(), whole.is_ok(), "in pieces of {most}: {pieces:?}, {whole:?}");
        assert!(pieces.is_err() || pieces == whole, "in pieces of {most}");
    }
    whole
}

fn refused(compressed: &[u8], words: &str) {
    let text = decompress(compressed).map(|plain| plain.len()).expect_err(words);
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

#[test]
fn magic_decides() {
    let cases: [(&[u8], Compression); 12] = [
        (b"", Compression::None),
        (b"\x1f", Compression::None),
        (b"\x1f\x8b", Compression::Gzip),
        (b"\x1f\x8b\x08\0", Compression::Gzip),
        (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        (b"\x28\xb5\x2f", Compression::None),
        (b"\x50\x2a\x4d\x18", Compression::Zstd),
        (b"\x5f\x2a\x4d\x18", Compression::Zstd),
        (b"\x60\x2a\x4d\x18", Compression::None),
        (b"\x1f\x9d\x90", Compression::None),
        (b"etc/", Compression::None),
        (b"\0\0\0\0", Compression::None),
    ];
    for (prefix, compression) in cases {
        assert_eq!(Compression::detect(prefix), compression, "{}", prefix.escape_ascii());
        assert_eq!(Decompressor::new(Trickle(prefix, 1)).unwrap().compression(), compression);
    }
}

#[test]
fn plain_bytes_pass_through() {
    for plain in [vec![], vec![7], sample(1_000_000), vec![0; 300_000]] {
        assert_eq!(decompress(&plain).as_ref(), Ok(&plain));
    }
}

#[test]
fn every_length_comes_back() {
    for len in [0, 1, 100, 65_535, 65_536, 262_143, 262_144, 262_145, 1_000_000] {
        let plain = sample(len);
        assert_eq!(decompress(&gzip(&plain)).as_ref(), Ok(&plain));
        assert_eq!(decompress(&zstd(&plain)).as_ref(), Ok(&plain));
    }
}

#[test]
fn many_members() {
    let plain = sample(300_000);
    let parts: Vec<&[u8]> = plain.chunks(7001).collect();
    let members: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
    assert_eq!(decompress(&members).as_ref(), Ok(&plain));
    let empty = gzip(b"");
    assert_eq!(decompress(&empty.repeat(3)), Ok(vec![]));
    assert_eq!(
        decompress(&[&empty[..], &gzip(b"a"), &empty, &empty, &gzip(b"b"), &empty].concat()),
        Ok(b"ab".to_vec())
    );
}

#[test]
fn members_with_everything_in_the_header() {
    let extra = vec![b'e'; 65_535];
    let full = || GzBuilder::new().filename("a name").comment("a comment").mtime(7).operating_system(3);
    assert_eq!(decompress(&member(full(), b"x")), Ok(b"x".to_vec()));
    assert_eq!(decompress(&member(full().extra(extra), b"x")), Ok(b"x".to_vec()));
    assert_eq!(decompress(&member(full().extra(vec![]), b"x")), Ok(b"x".to_vec()));
    // With a checksum of the header, as few writers make it.
    let body = &gzip(b"x")[10..];
    for (flags, fields) in
        [(0x02, &b""[..]), (0x1a, b"name\0comment\0"), (0x1e, b"\x03\0abc\0\0"), (0x1f, b"\x02\0ab\0\0")]
    {
        let mut header = [b"\x1f\x8b\x08", &[flags][..], b"\0\0\0\0\0\xff", fields].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        header.extend(&crc.sum().to_le_bytes()[..2]);
        assert_eq!(decompress(&[&header[..], body].concat()), Ok(b"x".to_vec()), "{flags:#x}");
        *header.last_mut().unwrap() ^= 1;
        refused(&[&header[..], body].concat(), "the member's header states CRC");
    }
}

#[test]
fn gzip_that_is_wrong() {
    let good = gzip(&sample(1000));
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    refused(&with(2, 7), "gzip data, at compressed byte 2: corrupt: compression method is 7, expected 8");
    refused(&with(3, 0x20), "reserved flags are set: 0x20");
    refused(&with(3, 0xff), "reserved flags are set: 0xff");
    refused(&with(10, 0xff), "corrupt: ");
    let crc = good.len() - 8;
    refused(&with(crc, good[crc] ^ 1), "the member's trailer states CRC 0x");
    refused(&with(good.len() - 4, 1), "the member's trailer states length 0x00000301, but its data has 0x000003e8");
    refused(&with(good.len() - 1, 1), "the member's trailer states length 0x010003e8");
    // In a later member it is no different.
    refused(&[&gzip(b"first")[..], &with(crc, good[crc] ^ 1)].concat(), "the member's trailer states CRC");
    refused(&[&good[..], &[0x1f, 0x8c]].concat(), "expected the magic number 1f 8b of a member, found 0x8c");
}

#[test]
fn truncated_gzip() {
    let good = member(GzBuilder::new().filename("name").extra(vec![1, 2, 3]), &sample(1000));
    for len in 2..good.len() {
        let inside = match len {
            0..20 => "a member's header",
            _ if len < good.len() - 8 => "a member's data",
            _ => "a member's trailer",
        };
        refused(&good[..len], &format!("at compressed byte {len}: truncated: the stream ends inside {inside}"));
        let second = [&gzip(b"first")[..], &good[..len]].concat();
        refused(&second, &format!("the stream ends inside {inside}"));
    }
    refused(&[&good[..], &[0x1f]].concat(), "the stream ends inside a member's header");
}

#[test]
fn what_may_follow() {
    for good in [gzip(&sample(1000)), zstd(&sample(1000)), skippable(0, b"abc")] {
        let plain = decompress(&good).unwrap();
        for zeros in [1, 511, 200_000] {
            assert_eq!(decompress(&[&good[..], &vec![0; zeros]].concat()).as_ref(), Ok(&plain));
            for after in [&[1][..], &good] {
                let bad = [&good[..], &vec![0; zeros], after].concat();
                let (at, found) = (good.len() + zeros, after[0]);
                refused(
                    &bad,
                    &format!(
                        "at compressed byte {at}: trailing bytes: expected the end of the stream or NULs, found {found:#04x}"
                    ),
                );
            }
        }
        let at = good.len();
        refused(
            &[&good[..], b"\n"].concat(),
            &format!("at compressed byte {at}: trailing bytes: expected the end of the stream or NULs, found 0x0a"),
        );
        refused(&[&good[..], b"junk\0\0\0"].concat(), "trailing bytes");
    }
    // One compression behind the other is none.
    refused(&[gzip(b"a"), zstd(b"b")].concat(), "found 0x28");
    refused(&[zstd(b"a"), gzip(b"b")].concat(), "found 0x1f");
}

#[test]
fn many_frames() {
    let plain = sample(300_000);
    let frames: Vec<u8> = plain.chunks(7001).flat_map(zstd).collect();
    assert_eq!(decompress(&frames).as_ref(), Ok(&plain));
    for number in 0..16 {
        let skip = skippable(number, &vec![number; usize::from(number) * 10_000]);
        assert_eq!(decompress(&skip), Ok(vec![]));
        assert_eq!(
            decompress(&[&skip[..], &zstd(b"a"), &skip, &skip, &zstd(b""), &zstd(b"b"), &skip].concat()),
            Ok(b"ab".to_vec())
        );
    }
    // Frames without a checksum or a size, as a stream writes them.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(false).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&plain).unwrap();
    assert_eq!(decompress(&encoder.finish().unwrap()).as_ref(), Ok(&plain));
}

#[test]
fn zstd_that_is_wrong() {
    let good = zstd(&sample(5000));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    refused(&bad, "corrupt: ");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    refused(&bad, "corrupt: ");
    refused(&[&good[..], &[0x28, 0xb5, 0x2f, 0xfe]].concat(), "corrupt: ");
    refused(&[&good[..], &[0x50, 0x2a, 0x4d, 0x19]].concat(), "corrupt: ");
    for len in 4..good.len() {
        refused(&good[..len], &format!("at compressed byte {len}: truncated: the stream ends inside a frame"));
    }
    let skip = skippable(3, &[7; 100]);
    for len in 4..skip.len() {
        refused(&skip[..len], "the stream ends inside a frame");
    }
    refused(&[&good[..], &good[..2]].concat(), "the stream ends inside a frame");
}

#[test]
fn windows_are_bounded() {
    let with_window = |log: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"small").unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(decompress(&with_window(ZSTD_WINDOW_LOG_MAX)), Ok(b"small".to_vec()));
    // A descriptor of 2^28 is written by hand: the encoder needs more than its stream's memory for
    // it.
    let frame = |exponent: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3][..], &[0x01, 0x00, 0x00]].concat();
    assert_eq!(decompress(&frame(17)), Ok(vec![]));
    refused(&frame(18), "corrupt: ");
    refused(&frame(31), "corrupt: ");
    // A frame in one segment has its whole content for a window, and claims it without any.
    let segment = |size: u64| [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &size.to_le_bytes(), &[0x01, 0x00, 0x00]].concat();
    refused(&segment((1 << ZSTD_WINDOW_LOG_MAX) + 1), "corrupt: ");
    refused(&segment(u64::MAX), "corrupt: ");
}

#[test]
fn errors_from_below_come_through() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::other("the cable is cut")) } else { self.0.read(buffer) }
        }
    }
    for compressed in [gzip(&sample(1000)), zstd(&sample(1000)), sample(1000)] {
        for len in [2, 500.min(compressed.len()), compressed.len()] {
            let read =
                Decompressor::new(Broken(&compressed[..len])).and_then(|mut read| read.read_to_end(&mut Vec::new()));
            assert_eq!(read.unwrap_err().to_string(), "the cable is cut");
        }
    }
}

#[test]
fn pieces_are_large() {
    let compressed = gzip(&sample(2_000_000));
    let mut decompressor = Decompressor::new(&compressed[..]).unwrap();
    let mut pieces = 0;
    loop {
        let len = decompressor.fill_buf().unwrap().len();
        if len == 0 {
            break;
        }
        decompressor.consume(len);
        pieces += 1;
    }
    assert!(pieces < 30, "{pieces} pieces for 2 MB");
}
