//! Deflate data that is wrong, or nearly: accepted exactly where zlib accepts it.

use super::write::{Bits, codewords, header};
use super::{outcome, same_as_oracle};
use crate::{Code, CodeFault, Problem};

/// A dynamic block with these code lengths, its symbols written by `symbols`.
fn block(literals: &[u8], distances: &[u8], symbols: impl FnOnce(&mut Bits)) -> Option<Problem> {
    let mut bits = Bits::default();
    header(&mut bits, true, literals, distances);
    symbols(&mut bits);
    // Enough behind it for the fast loop, and for what is wrong not to be the end.
    let mut body = bits.bytes();
    let alone = same_as_oracle(&body);
    body.extend([0; 100]);
    let followed = same_as_oracle(&body);
    assert!(alone == followed || matches!(alone, Some(Problem::Truncated { .. })), "{alone:?}, {followed:?}");
    followed
}

/// Code lengths: `lengths[symbol]` for some symbols.
fn some(count: usize, lengths: &[(usize, u8)]) -> Vec<u8> {
    let mut all = vec![0; count];
    lengths.iter().for_each(|&(symbol, len)| all[symbol] = len);
    all
}

fn code(code: Code, fault: CodeFault) -> Option<Problem> {
    Some(Problem::Code { code, fault })
}

#[test]
fn literal_codes() {
    let end = |bits: &mut Bits| {
        bits.number(0, 1);
    };
    // The end-of-block symbol alone, with one bit.
    assert_eq!(block(&some(257, &[(256, 1)]), &[0], end), None);
    let other = |bits: &mut Bits| {
        bits.number(1, 1);
    };
    assert_eq!(block(&some(257, &[(256, 1)]), &[0], other), Some(Problem::Symbol { code: Code::Literals }));
    let incomplete = code(Code::Literals, CodeFault::Incomplete);
    assert_eq!(block(&some(257, &[(256, 2)]), &[0], end), incomplete);
    assert_eq!(block(&some(257, &[(65, 2), (256, 1)]), &[0], end), incomplete);
    assert_eq!(block(&some(257, &[(65, 15), (256, 1)]), &[0], end), incomplete);
    let over = code(Code::Literals, CodeFault::OverSubscribed);
    assert_eq!(block(&some(257, &[(65, 1), (66, 1), (256, 1)]), &[0], end), over);
    assert_eq!(block(&some(257, &[(65, 1), (66, 1), (256, 15)]), &[0], end), over);
    assert_eq!(block(&some(257, &[(65, 1), (66, 1)]), &[0], end), Some(Problem::NoEndOfBlock));
    assert_eq!(block(&some(286, &[(285, 1), (256, 1)]), &[0], end), None);
    // The longest codewords there are.
    let mut deep: Vec<(usize, u8)> = (1..=15).map(|len| (usize::from(len), len)).collect();
    deep.push((256, 15));
    let lengths = some(257, &deep);
    let words = codewords(&lengths);
    let all = |bits: &mut Bits| {
        for &(symbol, _) in &deep {
            bits.codeword(words[symbol]);
        }
    };
    assert_eq!(block(&lengths, &[1], all), None);
}

#[test]
fn distance_codes() {
    // A is 10, the end 11, the shortest match 0.
    let literals = some(258, &[(65, 2), (256, 2), (257, 1)]);
    let a_match = |distance: (usize, u32)| {
        move |bits: &mut Bits| {
            bits.number(1, 2).number(0, 1).codeword(distance).codeword((3, 2));
        }
    };
    let no_symbol = Some(Problem::Symbol { code: Code::Distances });
    // No distances: as long as none is needed.
    assert_eq!(
        block(&literals, &[0], |bits| {
            bits.number(1, 2).number(3, 2);
        }),
        None
    );
    assert_eq!(block(&literals, &[0], a_match((0, 1))), no_symbol);
    assert_eq!(block(&literals, &[0; 30], a_match((1, 1))), no_symbol);
    // A single one, of one bit.
    assert_eq!(block(&literals, &[1], a_match((0, 1))), None);
    assert_eq!(block(&literals, &[1], a_match((1, 1))), no_symbol);
    assert_eq!(
        block(&literals, &[0, 0, 0, 0, 1], a_match((0, 2))),
        Some(Problem::Distance { distance: 5, available: 1 })
    );
    assert_eq!(block(&literals, &[1, 1], a_match((0, 1))), None);
    assert_eq!(block(&literals, &[1, 1], a_match((1, 1))), Some(Problem::Distance { distance: 2, available: 1 }));
    assert_eq!(block(&literals, &[2], a_match((0, 2))), code(Code::Distances, CodeFault::Incomplete));
    assert_eq!(block(&literals, &[1, 2], a_match((0, 1))), code(Code::Distances, CodeFault::Incomplete));
    assert_eq!(block(&literals, &[1, 1, 1], a_match((0, 1))), code(Code::Distances, CodeFault::OverSubscribed));
    let deep: Vec<u8> = (1..=15).chain([15]).collect();
    for (symbol, &codeword) in codewords(&deep).iter().enumerate() {
        let problem = block(&literals, &deep, a_match(codeword));
        let is_far = matches!(problem, Some(Problem::Distance { available: 1, .. }));
        assert!(if symbol == 0 { problem.is_none() } else { is_far }, "{symbol}: {problem:?}");
    }
}

/// The header of a dynamic block up to the code-length code, of which the first ones in their odd
/// order are given.
fn start(literals: usize, distances: usize, lengths: &[usize]) -> Bits {
    let mut bits = Bits::default();
    bits.number(1, 1).number(2, 2).number(literals - 257, 5).number(distances - 1, 5).number(lengths.len() - 4, 4);
    lengths.iter().for_each(|&len| {
        bits.number(len, 3);
    });
    bits
}

#[test]
fn code_lengths() {
    let wrong = |bits: &mut Bits, zeros: usize| same_as_oracle(&[bits.bytes(), vec![0; zeros]].concat());
    for (literals, distances) in [(287, 1), (288, 30), (257, 31), (286, 32), (288, 32)] {
        let expected =
            Problem::SymbolCount { literals: literals.try_into().unwrap(), distances: distances.try_into().unwrap() };
        assert_eq!(wrong(&mut start(literals, distances, &[1, 1, 0, 0]), 100), Some(expected));
    }
    let incomplete = code(Code::Lengths, CodeFault::Incomplete);
    assert_eq!(wrong(&mut start(257, 1, &[0, 0, 0, 0]), 100), incomplete);
    assert_eq!(wrong(&mut start(257, 1, &[0, 0, 0, 1]), 100), incomplete);
    assert_eq!(wrong(&mut start(257, 1, &[2, 2, 2, 0]), 100), incomplete);
    assert_eq!(wrong(&mut start(257, 1, &[1, 1, 1, 0]), 100), code(Code::Lengths, CodeFault::OverSubscribed));
    // 16 is 0, 17 is 1: repeat what is not there.
    assert_eq!(wrong(&mut start(257, 1, &[1, 1, 0, 0]), 100), Some(Problem::Repeat { fault: "has none before it" }));
    // 18 is 1, 0 is 0: 138 zeros, twice, and there are 258.
    let mut bits = start(257, 1, &[0, 0, 1, 1]);
    bits.number(1, 1).number(127, 7).number(1, 1).number(127, 7);
    assert_eq!(wrong(&mut bits, 100), Some(Problem::Repeat { fault: "goes on behind the last one" }));
    let mut bits = start(257, 1, &[0, 0, 1, 1]);
    bits.number(1, 1).number(127, 7).number(1, 1).number(109, 7);
    assert_eq!(wrong(&mut bits, 100), Some(Problem::NoEndOfBlock));
}

#[test]
fn blocks() {
    let expect = |body: &[u8], problem: Problem| {
        assert_eq!(same_as_oracle(body), Some(problem.clone()));
        assert_eq!(same_as_oracle(&[body, &[0x55; 100]].concat()), Some(problem));
    };
    expect(&[7], Problem::BlockType);
    expect(&[6], Problem::BlockType);
    expect(&[1, 1, 0, 0, 0], Problem::StoredLength { length: 1, complement: 0 });
    expect(&[1, 1, 0, 0xff, 0xff], Problem::StoredLength { length: 1, complement: 0xffff });
    // In the fixed code, 286 and 287 are no lengths, 30 and 31 no distances.
    for symbol in [0xc6, 0xc7] {
        let mut bits = Bits::default();
        bits.number(1, 1).number(1, 2).codeword((symbol, 8));
        expect(&bits.bytes(), Problem::Symbol { code: Code::Literals });
    }
    for distance in [30, 31] {
        let mut bits = Bits::default();
        bits.number(1, 1).number(1, 2).codeword((0x30, 8)).codeword((1, 7)).codeword((distance, 5));
        expect(&bits.bytes(), Problem::Symbol { code: Code::Distances });
    }
    // The first byte can't be repeated before it is there.
    let mut bits = Bits::default();
    bits.number(1, 1).number(1, 2).codeword((1, 7)).codeword((0, 5));
    expect(&bits.bytes(), Problem::Distance { distance: 1, available: 0 });
}

/// As far back as a match can reach, from a place that has more than that in front of it and one
/// that has just so much.
#[test]
fn the_whole_window() {
    for before in [32_767, 32_768, 32_769, 70_000] {
        let text = super::sample(before);
        let mut bits = Bits::default();
        for piece in text.chunks(65_535) {
            bits.number(0, 3).align().number(piece.len(), 16).number(!piece.len() & 0xffff, 16);
            piece.iter().for_each(|&byte| {
                bits.number(usize::from(byte), 8);
            });
        }
        // Three bytes from 32768 bytes back: 24577 and thirteen bits.
        bits.number(1, 1).number(1, 2).codeword((1, 7)).codeword((29, 5)).number(8191, 13).codeword((0, 7));
        let expected = (before < 32_768).then_some(Problem::Distance { distance: 32_768, available: before });
        assert_eq!(same_as_oracle(&bits.bytes()), expected);
    }
}

/// Only the present member's own bytes can be repeated.
#[test]
fn matches_stay_in_their_member() {
    let first = super::member(b"\x01\x05\0\xfa\xffhello", b"hello");
    let mut bits = Bits::default();
    bits.number(1, 1).number(1, 2).codeword((1, 7)).codeword((0, 5)).codeword((0, 7));
    let gzip = [first, super::member(&bits.bytes(), b"ooo")].concat();
    let (plain, error) = outcome(&gzip);
    assert_eq!(plain, b"hello");
    assert_eq!(error.unwrap().problem, Problem::Distance { distance: 1, available: 0 });
}
