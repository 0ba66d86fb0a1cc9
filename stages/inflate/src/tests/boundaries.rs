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
    // Symbol, extra bits, and how many of them.
    let of_length = |len: u32| {
        let base = |symbol: &usize| crate::table::LITERALS[*symbol] >> 16 & 0x1ff;
        let symbol = (257..286).rev().find(|symbol| base(symbol) <= len).unwrap();
        (symbol, (len - base(&symbol)) as usize, crate::table::LITERALS[symbol] & 63)
    };
    let of_distance = |distance: u64| {
        let base = |symbol: &usize| crate::table::DISTANCES[*symbol] >> 16 & 0xffff;
        let symbol = (0..30).rev().find(|symbol| base(symbol) <= distance).unwrap();
        let width = u32::try_from(crate::table::DISTANCES[symbol] & 63).unwrap();
        (symbol, usize::try_from(distance - base(&symbol)).unwrap(), width)
    };
    for distance in 1..=48usize {
        for len in (3..=70usize).chain([100, 127, 128, 255, 256, 257, 258]) {
            for seed in 0..distance {
                let byte = u8::try_from((seed * 37 + len + distance) % 256).unwrap();
                bits.codeword(literals[usize::from(byte)]);
                plain.push(byte);
            }
            let (symbol, extra, width) = of_length(len.try_into().unwrap());
            bits.codeword(literals[symbol]).number(extra, width);
            let (symbol, extra, width) = of_distance(distance as u64);
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
