//! Against zlib-rs: the same bytes, or an error of both.

use std::io::{Read, Write};

use super::write::random;
use super::{Noise, member, oracle, outcome, same_as_oracle, sample};
use crate::GzipReader;

fn flate2(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn libdeflate(plain: &[u8], level: i32) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).unwrap());
    let mut body = vec![0; compressor.deflate_compress_bound(plain.len())];
    let len = compressor.deflate_compress(plain, &mut body).unwrap();
    body.truncate(len);
    body
}

fn bodies(plain: &[u8]) -> Vec<Vec<u8>> {
    let levels = (0..=9).map(|level| flate2(plain, level));
    levels.chain((0..=12).map(|level| libdeflate(plain, level))).collect()
}

#[test]
fn what_compressors_write() {
    for plain in [vec![], vec![7], vec![0; 100_000], sample(1000), sample(300_000)] {
        for body in bodies(&plain) {
            assert!(outcome(&member(&body, &plain)) == (plain.clone(), None), "{} bytes", plain.len());
        }
    }
}

#[test]
fn large_pieces() {
    let plain = sample(3_000_000);
    let mut read = Vec::new();
    GzipReader::new(&member(&libdeflate(&plain, 6), &plain)[..]).read_to_end(&mut read).unwrap();
    assert!(read == plain);
}

#[test]
fn what_no_compressor_writes() {
    let mut noise = Noise(0x5eed);
    for round in 0..600 {
        let (body, plain) = random(&mut noise);
        assert!(oracle(&body).0 == plain, "round {round}: the writer is right");
        assert_eq!(same_as_oracle(&body), None, "round {round}");
    }
}

#[test]
fn damaged_data() {
    let mut noise = Noise(0xdead);
    let plain = sample(1500);
    let mut bodies = bodies(&plain);
    bodies.extend((0..40).map(|_| random(&mut noise).0));
    let (mut whole, mut refused) = (0, 0);
    for body in bodies {
        for _ in 0..60 {
            let mut bad = body.clone();
            for _ in 0..1 + noise.below(3) {
                // Most of what matters stands in front.
                let near = noise.below(bad.len()) + 1;
                let at = noise.below(near);
                match noise.below(4) {
                    0 => bad[at] = noise.byte(),
                    1 => bad.insert(at, noise.byte()),
                    2 if bad.len() > 1 => drop(bad.remove(at)),
                    _ => bad[at] ^= 1 << noise.below(8),
                }
            }
            match same_as_oracle(&bad) {
                None => whole += 1,
                Some(_) => refused += 1,
            }
        }
    }
    assert!(whole > 200 && refused > 1000, "{whole} read, {refused} refused: the noise tests nothing");
}

#[test]
fn cut_data() {
    let mut noise = Noise(0xc07);
    let mut bodies = bodies(&sample(400));
    bodies.extend((0..10).map(|_| random(&mut noise).0));
    for body in bodies {
        for len in 0..body.len().min(600) {
            assert!(same_as_oracle(&body[..len]).is_some() || oracle(&body[..len]).0.is_empty(), "cut at {len}");
        }
    }
}

#[test]
fn noise_alone() {
    let mut noise = Noise(0x01d);
    for _ in 0..3000 {
        let mut body: Vec<u8> = (0..noise.below(150)).map(|_| noise.byte()).collect();
        // Not all of it in the type of block that is none.
        if let Some(first) = body.first_mut() {
            *first = *first & !6 | [2, 4, 4, 4][noise.below(4)];
        }
        same_as_oracle(&body);
    }
}
