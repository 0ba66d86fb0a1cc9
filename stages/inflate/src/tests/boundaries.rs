//! The outcome does not depend on where pieces of input end and where the output is full.

use super::write::random;
use super::{Noise, member, read};

#[test]
fn every_step_and_capacity() {
    let mut noise = Noise(0xb0);
    for _ in 0..6 {
        let (body, plain) = random(&mut noise);
        let gzip = member(&body, &plain);
        for step in (1..100).chain([639, 640, 641, 1279, 1280, 1281]) {
            assert!(read(&gzip, step, 1000) == (plain.clone(), None), "steps of {step}");
        }
        for capacity in (1..100).chain([257, 258, 259, 319, 320, 321]) {
            assert!(read(&gzip, usize::MAX, capacity) == (plain.clone(), None), "a capacity of {capacity}");
            assert!(read(&gzip, 11, capacity) == (plain.clone(), None), "a capacity of {capacity}, in steps");
        }
    }
}

#[test]
fn cut_everywhere() {
    let mut noise = Noise(0xc4);
    for _ in 0..5 {
        let (body, plain) = random(&mut noise);
        let gzip = member(&body, &plain);
        for len in 0..gzip.len() {
            let (found, error) = read(&gzip[..len], usize::MAX, 1 << 18);
            let inside = match len {
                0..10 => "a member's header",
                _ if len < gzip.len() - 8 => "a member's data",
                _ => "a member's trailer",
            };
            let expected = format!("gzip data, at compressed byte {len}: the stream ends inside {inside}");
            assert_eq!(error.as_ref().map(ToString::to_string), Some(expected));
            assert!(plain.starts_with(&found), "cut at {len}");
            assert!(len < gzip.len() - 8 || found == plain, "cut at {len}");
            for (step, capacity) in [(1, 1000), (3, 1), (41, 400)] {
                assert!(read(&gzip[..len], step, capacity) == (found.clone(), error.clone()), "cut at {len}");
            }
        }
    }
}

/// Every distance and length, where the copy is done in large steps and where it is not.
#[test]
fn every_short_match() {
    use super::write::Bits;
    let mut bits = Bits::default();
    let mut plain = Vec::new();
    bits.number(1, 1).number(1, 2);
    let literals: Vec<u8> = [(144, 8), (112, 9), (24, 7), (8, 8)]
        .into_iter()
        .flat_map(|(count, len)| std::iter::repeat_n(len, count))
        .collect();
    let (literals, distances) = (super::write::codewords(&literals), super::write::codewords(&[5; 32]));
    let find = |templates: &[u32], value: usize| {
        let symbol =
            templates.iter().rposition(|t| t >> 31 == 0 && t >> 16 > 0 && (t >> 16) as usize <= value).unwrap();
        (symbol, value - (templates[symbol] >> 16) as usize, templates[symbol] & 63)
    };
    for distance in 1..=48 {
        for len in (3..=70).chain([100, 127, 128, 255, 256, 257, 258]) {
            for seed in 0..distance {
                let byte = u8::try_from((seed * 37 + len + distance) % 256).unwrap();
                bits.codeword(literals[usize::from(byte)]);
                plain.push(byte);
            }
            let (symbol, extra, width) = find(&crate::table::LITERALS, len);
            bits.codeword(literals[symbol]).number(extra, width);
            let (symbol, extra, width) = find(&crate::table::DISTANCES, distance);
            bits.codeword(distances[symbol]).number(extra, width);
            (0..len).for_each(|_| plain.push(plain[plain.len() - distance]));
        }
    }
    bits.codeword(literals[256]);
    let gzip = member(&bits.bytes(), &plain);
    for (step, capacity) in [(usize::MAX, 1 << 20), (usize::MAX, 1), (100, 300)] {
        assert!(read(&gzip, step, capacity) == (plain.clone(), None));
    }
}
