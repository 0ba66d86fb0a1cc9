//! Up to four streams.
//!
//! A stream's rounds can only follow each other, and each waits for most of the one before. So what
//! counts is how many instructions a round has, and how many of them wait for each other. Two
//! thirds of a round are done twice, with other numbers: for `a` and its followers, and for `e` and
//! its. Here the two are lanes of one vector, of which a stream has two of eight:
//!
//! ```text
//! lane      0   1   2   3   4   5   6   7
//! variable  e   e   a   a   e   e   a   a
//! stream    0   1   0   1   2   3   2   3
//! ```
//!
//! What goes from an `e` to an `a`, or back, has to be moved to another lane, which nobody shall
//! wait for. So `a` is a round behind: while `e` is computed for one round, `a` is for the round
//! before, with what that round had left for it. `a` becomes `e` only after four rounds, so it is
//! not missed. A round is twelve instructions, of which four in a row wait for each other; that
//! takes five cycles, for only two of the three rotations can start at once.
//!
//! Which words are added in the rounds depends on the block alone: they are made for eight blocks
//! at once, of as many streams as there are, before the rounds of these blocks.

use std::array;
use std::hint::black_box;

use pulp::x86::V4;
use pulp::{NullaryFnOnce, cast};

use super::Word;
use super::words::{K, first_words};
use crate::lanes::{Block, LANES, State};

/// The lanes of `e`, as instructions take them.
const E: u8 = 0b0011_0011;

/// The lanes of `e`, bit by bit.
const ALL_E: [u32; LANES] = [!0, !0, 0, 0, !0, !0, 0, 0];

/// How far the lanes are rotated, each time, for the sums of `e` and of `a`.
const ROTATIONS: [[u32; LANES]; 3] =
    [[6, 6, 2, 2, 6, 6, 2, 2], [11, 11, 13, 13, 11, 11, 13, 13], [25, 25, 22, 22, 25, 25, 22, 22]];

/// The variables of streams between two blocks: four vectors. With `a` a round behind, there is a
/// `b` beside an `e`, and so on.
pub(super) type Variables = [[u32; LANES]; 4];

/// Which words of a state the lanes of `e` and `a` have in each of the vectors.
const PLACES: [(usize, usize); 4] = [(4, 1), (5, 2), (6, 3), (7, 0)];

/// In which lane a stream has its `e`; two further on it has its `a`.
const fn lane_of_e(stream: usize) -> usize {
    stream % 2 + stream / 2 * 4
}

/// What [`Compress`] takes forward, for N streams. (Like [`unpacked`] outside of it: the compiler
/// would take registers of 512 bits for this, and the processor would be slower for a while.)
pub(super) fn packed<const N: usize>(states: &[State; N]) -> Variables {
    let mut vectors = [[0; LANES]; 4];
    for (stream, state) in states.iter().enumerate() {
        let lane = lane_of_e(stream);
        for (vector, (e, a)) in vectors.iter_mut().zip(PLACES) {
            vector[lane] = state[e];
            vector[lane + 2] = state[a];
        }
    }
    vectors
}

/// The states again.
pub(super) fn unpacked<const N: usize>(vectors: &Variables) -> [State; N] {
    array::from_fn(|stream| {
        let lane = lane_of_e(stream);
        let mut state = [0; 8];
        for (vector, (e, a)) in vectors.iter().zip(PLACES) {
            state[e] = vector[lane];
            state[a] = vector[lane + 2];
        }
        state
    })
}

/// Takes 1, 2 or 4 streams forward by their blocks.
pub(super) struct Compress<'a, const N: usize> {
    pub(super) simd: V4,
    pub(super) variables: &'a mut Variables,
    pub(super) blocks: [&'a [Block]; N],
}

impl<const N: usize> NullaryFnOnce for Compress<'_, N> {
    type Output = ();

    // What is called in here has to be inlined to be vector code.
    #[inline(always)]
    fn call(self) {
        const { assert!(matches!(N, 1 | 2 | 4), "so many are packed") }
        let Compress { simd, variables, blocks } = self;
        let mut schedule = Schedule([0; SCHEDULE]);
        let mut state = variables.map(cast);
        let count = blocks[0].len();
        // If the compiler knew them it would take two instructions instead of one.
        let e = black_box(E);
        for from in (0..count).step_by(LANES / N) {
            let until = count.min(from + LANES / N);
            // In the lanes that are left over at the end it does what nobody looks at. This only
            // picks blocks, so it need not be inlined.
            let of = |lane| {
                let (block, stream) = place::<N>(lane);
                &blocks[stream][(from + block).min(until - 1)]
            };
            expand(simd, array::from_fn(of), &mut schedule);
            for block in 0..until - from {
                rounds(simd, e, &mut state, schedule.of::<N>(block));
            }
        }
        *variables = state.map(cast);
    }
}

const SCHEDULE: usize = 64 * LANES + LANES;

/// The words that are added in the rounds of eight blocks, each with its round's constant: eight
/// for each round. What comes after them is never looked at, but loaded.
#[repr(align(64))]
struct Schedule([u32; SCHEDULE]);

/// Which block of which stream is a lane of the schedule.
const fn place<const N: usize>(lane: usize) -> (usize, usize) {
    match N {
        1 => (lane, 0),
        2 => (lane / 2, lane % 2),
        _ => (lane / 2 % 2, lane % 2 + lane / 4 * 2),
    }
}

impl Schedule {
    /// So that from each round's place on, the words of one block of each stream are in the lanes
    /// of `e`.
    #[inline(always)]
    fn of<const N: usize>(&self, block: usize) -> &[u32; 64 * LANES] {
        // It is less than that; the compiler has forgotten.
        let start = block % (LANES / N) * if N == 1 { 1 } else { 2 };
        self.0[start..].first_chunk().expect("places are left")
    }
}

#[inline(always)]
fn expand(simd: V4, blocks: [&Block; LANES], schedule: &mut Schedule) {
    let (avx, avx2, avx512) = (simd.avx, simd.avx2, simd.avx512f);
    let add = |x: Word, y: Word| avx2._mm256_add_epi32(x, y);
    macro_rules! small {
        ($x:expr, $a:literal, $b:literal, $c:literal) => {{
            let x = $x;
            avx512._mm256_ternarylogic_epi32::<0x96>(
                avx512._mm256_ror_epi32::<$a>(x),
                avx512._mm256_ror_epi32::<$b>(x),
                avx2._mm256_srli_epi32::<$c>(x),
            )
        }};
    }
    let mut words = first_words(simd, blocks);
    let constants = K.as_flattened();
    let (places, _) = schedule.0.as_chunks_mut::<LANES>();
    let (first, rest) = places[..64].split_at_mut(16);
    for i in 0..16 {
        first[i] = cast(add(words[i], avx._mm256_set1_epi32(constants[i].cast_signed())));
    }
    for (turn, places) in rest.chunks_exact_mut(16).enumerate() {
        let constants = &K[turn + 1];
        macro_rules! next {
            ($($i:literal)*) => {
                $(
                    let early = small!(words[($i + 1) % 16], 7, 18, 3);
                    let late = small!(words[($i + 14) % 16], 17, 19, 10);
                    words[$i] = add(add(words[$i], early), add(words[($i + 9) % 16], late));
                    places[$i] = cast(add(words[$i], avx._mm256_set1_epi32(constants[$i].cast_signed())));
                )*
            };
        }
        next!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
}

/// The rounds of one block of each stream.
#[inline(always)]
fn rounds(simd: V4, e: u8, state: &mut [Word; 4], words: &[u32; 64 * LANES]) {
    let (avx2, avx512) = (simd.avx2, simd.avx512f);
    let add = |x: Word, y: Word| avx2._mm256_add_epi32(x, y);
    let [r, s, t]: [Word; 3] = ROTATIONS.map(cast);
    let all_e: Word = cast(ALL_E);
    macro_rules! sum {
        ($x:expr) => {{
            let x = $x;
            avx512._mm256_ternarylogic_epi32::<0x96>(
                avx512._mm256_rorv_epi32(x, r),
                avx512._mm256_rorv_epi32(x, s),
                avx512._mm256_rorv_epi32(x, t),
            )
        }};
    }
    // For `e`, x chooses between y and z; for `a`, their majority is chosen by x, too: from what
    // either has and from what both have. Only the choice waits for x.
    macro_rules! choice {
        ($x:expr, $y:expr, $z:expr) => {{
            let y_or_either = avx512._mm256_ternarylogic_epi32::<0xf2>($y, all_e, $z);
            let z_or_both = avx512._mm256_ternarylogic_epi32::<0xe0>($z, all_e, $y);
            avx512._mm256_ternarylogic_epi32::<0xca>($x, y_or_either, z_or_both)
        }};
    }
    let mut v = *state;
    // What the round before has left in the lanes of `e` for those of `a`.
    let mut left = all_e;
    // Instead of moving the variables by one place, each round calls them by other names. The order
    // of the lines is worth a tenth.
    macro_rules! round {
        ($words:expr, $i:literal) => {{
            let (x, y, z, w) = (v[(16 - $i) % 4], v[(17 - $i) % 4], v[(18 - $i) % 4], v[(19 - $i) % 4]);
            let word: [u32; LANES] = *$words[LANES * $i..].first_chunk().expect("there are sixteen");
            let word = add(w, cast(word));
            let moved = avx2._mm256_alignr_epi8::<8>(left, z);
            let choice = choice!(x, y, z);
            left = add(sum!(x), avx512._mm256_mask_add_epi32(choice, e, choice, word));
            v[(19 - $i) % 4] = add(left, moved);
        }};
    }
    for (turn, words) in words.as_chunks::<{ 16 * LANES }>().0.iter().enumerate() {
        round!(words, 0);
        if turn == 0 {
            // There was no round before: this is what it would have computed.
            v[3] = avx512._mm256_mask_blend_epi32(e, state[3], v[3]);
        }
        macro_rules! rounds {
            ($($i:literal)*) => {
                $(round!(words, $i);)*
            };
        }
        rounds!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    let last = add(add(sum!(v[0]), choice!(v[0], v[1], v[2])), avx2._mm256_alignr_epi8::<8>(left, v[2]));
    v[3] = avx512._mm256_mask_blend_epi32(e, last, v[3]);
    for (old, new) in state.iter_mut().zip(v) {
        *old = add(*old, new);
    }
}
