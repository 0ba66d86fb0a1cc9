//! Every target, with its seeds and with variants of them: bytes changed, cut out, doubled, put in,
//! and two inputs joined.
//!
//! Not a search (that is `scripts/fuzz`) but the same inputs in every run: what was true of the
//! seeds stays true of what is nearly them.

use std::path::Path;

use cvbake_fuzz::TARGETS;
use cvbake_fuzz::seeds::{Seed, seeds};

/// How many variants each target gets, whatever the number of its seeds.
const VARIANTS: usize = 2000;
/// The most changes in one variant.
const MAX_CHANGES: usize = 4;
/// Bytes and texts that parsers have opinions of.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\n",
    b" ",
    b"\"",
    b"\\",
    b"/",
    b"..",
    b":",
    b"@",
    b"=",
    b"{",
    b"}",
    b"[",
    b"-1",
    b"4294967296",
    b".wh.",
    b"\r\n",
];

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("53 bits, on the machines that tests run on") % limit.max(1)
    }
}

fn change(bytes: &mut Vec<u8>, others: &[&Seed], numbers: &mut Numbers) {
    let from = numbers.below(bytes.len() + 1);
    let to = (from + 1 + numbers.below(16)).min(bytes.len()).max(from);
    match numbers.below(6) {
        0 if from < bytes.len() => bytes[from] ^= 1 << numbers.below(8),
        1 => drop(bytes.drain(from..to)),
        2 => bytes.splice(from..from, bytes[from..to].to_vec()).for_each(drop),
        3 => bytes.splice(from..from, TOKENS[numbers.below(TOKENS.len())].iter().copied()).for_each(drop),
        4 => bytes.truncate(from),
        _ => {
            let other = &others[numbers.below(others.len())].bytes;
            bytes.truncate(from);
            bytes.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
            bytes.truncate(16 << 10);
        }
    }
}

/// Tries a target with all of its seeds, and with variants.
fn try_target(name: &str) {
    let (_, check) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/cases");
    let all = seeds(&fixtures);
    let seeds: Vec<&Seed> = all.iter().filter(|seed| seed.target == name).collect();
    // Some targets take texts so short that libFuzzer makes its own.
    let none = Seed { target: "", name: String::new(), bytes: Vec::new() };
    let seeds = if seeds.is_empty() { vec![&none] } else { seeds };
    seeds.iter().for_each(|seed| check(&seed.bytes));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..VARIANTS {
        let mut bytes = seeds[numbers.below(seeds.len())].bytes.clone();
        for _ in 0..=numbers.below(MAX_CHANGES) {
            change(&mut bytes, &seeds, &mut numbers);
        }
        // Shown when the check panics: this input is made again by nothing but this test.
        let shown = Shown(&bytes);
        check(shown.0);
        std::mem::forget(shown);
    }
}

/// An input that is printed when the check of it panics.
struct Shown<'b>(&'b [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        println!("the input: {}", self.0.escape_ascii());
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                try_target(stringify!($name));
            }
        )*

        #[test]
        fn none_is_missing() {
            assert_eq!([$(stringify!($name)),*], *TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        }
    };
}

targets! {
    archives auth_file challenge compression disk documents erofs hash_tree index inflate merge netrc qcow2 registries source tar
    text uki vhd vhdx
}
