//! Five to eight streams: a lane is a stream.

use pulp::x86::V4;
use pulp::{NullaryFnOnce, cast};

use super::Word;
use super::words::{K, first_words, transposed};
use crate::lanes::{Block, LANES, State};

/// Takes the streams forward by their blocks.
pub(super) struct Compress<'a> {
    pub(super) simd: V4,
    pub(super) states: &'a mut [State; LANES],
    pub(super) blocks: [&'a [Block]; LANES],
}

impl NullaryFnOnce for Compress<'_> {
    type Output = ();

    // What is called in here has to be inlined to be vector code: closures given to others'
    // functions are not.
    #[inline(always)]
    fn call(self) {
        let Compress { simd, states, blocks } = self;
        let (avx, avx2, avx512) = (simd.avx, simd.avx2, simd.avx512f);
        let add = |x: Word, y: Word| avx2._mm256_add_epi32(x, y);
        // Each is one instruction; how far, or which function, is a part of it.
        macro_rules! rotate {
            ($x:expr, $by:literal) => {
                avx512._mm256_ror_epi32::<$by>($x)
            };
        }
        macro_rules! shift {
            ($x:expr, $by:literal) => {
                avx2._mm256_srli_epi32::<$by>($x)
            };
        }
        macro_rules! parity {
            ($x:expr, $y:expr, $z:expr) => {
                avx512._mm256_ternarylogic_epi32::<0x96>($x, $y, $z)
            };
        }
        macro_rules! choose {
            ($x:expr, $y:expr, $z:expr) => {
                avx512._mm256_ternarylogic_epi32::<0xca>($x, $y, $z)
            };
        }
        macro_rules! majority {
            ($x:expr, $y:expr, $z:expr) => {
                avx512._mm256_ternarylogic_epi32::<0xe8>($x, $y, $z)
            };
        }

        let count = blocks[0].len();
        // As they are at any rate; this way the compiler knows it.
        assert!(blocks.iter().all(|blocks| blocks.len() == count), "equally many in each lane");
        let mut state = transposed(simd, states.map(cast));
        for at in 0..count {
            let [a, b, c, d, e, f, g, h] = blocks;
            let now = [&a[at], &b[at], &c[at], &d[at], &e[at], &f[at], &g[at], &h[at]];
            let mut words = first_words(simd, now);
            let mut v = state;
            // Instead of moving all eight variables by one place, each round calls them by other
            // names.
            macro_rules! round {
                ($constants:expr, $i:literal, $word:expr) => {{
                    const fn place(variable: usize) -> usize {
                        (variable + 16 - $i) % 8
                    }
                    let (a, b, c) = (v[const { place(0) }], v[const { place(1) }], v[const { place(2) }]);
                    let (e, f, g) = (v[const { place(4) }], v[const { place(5) }], v[const { place(6) }]);
                    let known = add($word, avx._mm256_set1_epi32($constants[$i].cast_signed()));
                    let sum = parity!(rotate!(e, 6), rotate!(e, 11), rotate!(e, 25));
                    let one = add(add(v[const { place(7) }], known), add(sum, choose!(e, f, g)));
                    let two = add(parity!(rotate!(a, 2), rotate!(a, 13), rotate!(a, 22)), majority!(a, b, c));
                    v[const { place(3) }] = add(v[const { place(3) }], one);
                    v[const { place(7) }] = add(one, two);
                }};
            }
            macro_rules! next_word {
                ($i:literal) => {{
                    let (x, y) = (words[($i + 1) % 16], words[($i + 14) % 16]);
                    let early = parity!(rotate!(x, 7), rotate!(x, 18), shift!(x, 3));
                    let late = parity!(rotate!(y, 17), rotate!(y, 19), shift!(y, 10));
                    words[$i] = add(add(words[$i], early), add(words[($i + 9) % 16], late));
                    words[$i]
                }};
            }
            macro_rules! rounds {
                ($($i:literal)*) => {
                    $(round!(K[0], $i, words[$i]);)*
                    for constants in &K[1..] {
                        $(round!(constants, $i, next_word!($i));)*
                    }
                };
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            for (old, new) in state.iter_mut().zip(v) {
                *old = add(*old, new);
            }
        }
        for (words, vector) in states.iter_mut().zip(transposed(simd, state)) {
            *words = cast(vector);
        }
    }
}
