//! Archives that chance has changed: a result or an error, never a panic, and never other content
//! than there was.

use std::io::Read;

use cvbake_archive::{Decompressor, Error};

use crate::build::{head, tar};
use crate::read::{Item, Pieces, read_from};

/// A sequence of numbers that looks random and is the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Half of them mean something in a header.
        const LIKELY: &[u8] = b"\0 01234567=\n,.-/xgLKS\x80\xff";
        if self.next().is_multiple_of(2) { LIKELY[self.below(LIKELY.len())] } else { self.next().to_le_bytes()[3] }
    }
}

/// A bit of everything.
fn sample() -> Vec<u8> {
    let sparse: [(&str, &[u8]); 3] =
        [("GNU.sparse.size", b"1000"), ("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", b"0,3,500,3")];
    let in_data: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"1000"),
        ("GNU.sparse.name", b"name"),
    ];
    let mut map = b"1\n10\n2\n".to_vec();
    map.resize(512, 0);
    map.extend(b"ab");
    let old = head("old").gnu().kind(b'S').size(3).at(386, b"00000000007\x0000000000003\0").at(483, b"00000000100\0");
    tar()
        .file("a", b"content")
        .head(head("d/").kind(b'5'))
        .pax(&[("path", b"long"), ("mtime", b"1.25"), ("SCHILY.xattr.user.a", b"\0\n="), ("size", b"3")])
        .head(head("x"))
        .body(b"abc")
        .long(b'K', b"target\0")
        .long(b'L', b"name\0")
        .head(head("l").gnu().kind(b'2'))
        .entry(head("g").kind(b'g'), b"9 path=b\n")
        .pax(&sparse)
        .file("s", b"abcdef")
        .pax(&in_data)
        .file("s", &map)
        .head(old)
        .body(b"abc")
        .head(head("dev").kind(b'3').at(329, b"0000001\x000000003\0"))
        .end()
}

/// Makes the checksum right again, so that noise gets further than that.
fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn read_twice(archive: &[u8]) -> Result<Vec<Item>, Error> {
    let whole = read_from(archive);
    let pieces = read_from(Pieces { bytes: archive, most: 100 });
    assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
    assert_eq!(whole.as_ref().map_err(ToString::to_string).err(), pieces.as_ref().map_err(ToString::to_string).err());
    whole
}

#[test]
fn noise_in_an_archive() {
    let good = sample();
    let items = read_twice(&good).unwrap().len();
    assert_eq!(items, 8);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..=noise.below(4) {
            let at = noise.below(bad.len());
            bad[at] = noise.byte();
            let block = at / 512 * 512;
            if noise.below(4) > 0 {
                seal(&mut bad[block..block + 512]);
            }
        }
        if noise.below(8) == 0 {
            bad.truncate(noise.below(good.len()));
        }
        match read_twice(&bad) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused: the noise tests nothing");
}

#[test]
fn cut_archives() {
    let good = sample();
    let items = read_from(&good[..]).unwrap();
    for len in 0..good.len() {
        // Either an error, or the entries that are there: cut before a header that nothing
        // announced, or before the zeros that fill the block of the last one's content.
        if let Ok(some) = read_from(&good[..len]) {
            assert_eq!(some, items[..some.len()]);
            let block_end = len.next_multiple_of(512);
            assert!(good[len..block_end].iter().all(|&byte| byte == 0), "cut at {len}");
            assert_eq!(read_from(&good[..block_end]).unwrap(), some, "cut at {len}");
        }
    }
}

#[test]
fn noise_in_compressed_data() {
    let plain: Vec<u8> = sample().iter().cycle().take(20_000).copied().collect();
    let gzip = [crate::compression::gzip(&plain[..9000]), crate::compression::gzip(&plain[9000..])].concat();
    let zstd = [crate::compression::zstd(&plain[..9000]), crate::compression::zstd(&plain[9000..])].concat();
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    for good in [gzip, zstd] {
        let mut refused = 0;
        for at in (0..good.len()).cycle().take(good.len() * 4) {
            let mut bad = good.clone();
            bad[at] = noise.byte();
            let mut found = Vec::new();
            let mut decompressor = Decompressor::new(&bad[..]).unwrap();
            match decompressor.read_to_end(&mut found) {
                // A byte that says nothing (a time, a writer), or the magic itself.
                Ok(_) => assert!(found == plain || found == bad, "byte {at}: other content"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > good.len() * 3, "{refused} of {} refused", good.len() * 4);
    }
}
