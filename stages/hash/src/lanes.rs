//! The compression function of SHA-256 (FIPS 180-4, 6.2.2), in eight lanes.

/// How many streams are taken forward at once.
pub(crate) const LANES: usize = 8;

/// What the compression function takes at once.
pub(crate) type Block = [u8; 64];

/// The hash of one stream so far.
pub(crate) type State = [u32; 8];

/// Takes streams forward.
pub(crate) trait Engine: Send + Sync {
    /// Takes each state forward by its blocks, of which each has equally many.
    fn compress(&self, states: &mut [State; LANES], blocks: [&[Block]; LANES]);

    /// Takes one state forward by its blocks.
    fn compress_one(&self, state: &mut State, blocks: &[Block]);
}

/// The engine that is worth its while on this processor, if there is one.
#[cfg(target_arch = "x86_64")]
pub(crate) fn engine() -> Option<Box<dyn Engine>> {
    // Instructions for SHA make one stream as fast as eight are without.
    match std::is_x86_feature_detected!("sha") {
        true => None,
        false => Some(Box::new(x86::Avx512::detect()?)),
    }
}

/// The engine that is worth its while on this processor, if there is one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn engine() -> Option<Box<dyn Engine>> {
    None
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::__m256i as Word;

    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast};

    use super::{Block, Engine, LANES, State};

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    #[rustfmt::skip]
    const K: [[u32; 16]; 4] = [
        [
            0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
            0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        ],
        [
            0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
            0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        ],
        [
            0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
            0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        ],
        [
            0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
            0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
        ],
    ];

    /// The words of a block are big-endian. The instruction looks at each half for itself.
    #[rustfmt::skip]
    const SWAPPED: [u8; 32] = [
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
    ];

    /// With AVX-512 on registers of 256 bits.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx512(V4);

    impl Avx512 {
        pub(crate) fn detect() -> Option<Avx512> {
            V4::try_new().map(Avx512)
        }
    }

    impl Engine for Avx512 {
        fn compress(&self, states: &mut [State; LANES], blocks: [&[Block]; LANES]) {
            self.0.vectorize(Compress { simd: self.0, states, blocks });
        }

        fn compress_one(&self, state: &mut State, blocks: &[Block]) {
            self.0.vectorize(CompressOne { simd: self.0, state, blocks });
        }
    }

    struct Compress<'a> {
        simd: V4,
        states: &'a mut [State; LANES],
        blocks: [&'a [Block]; LANES],
    }

    impl NullaryFnOnce for Compress<'_> {
        type Output = ();

        // What is called in here has to be inlined to be vector code: closures given to others' functions are not.
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
            assert!(blocks.iter().all(|blocks| blocks.len() == count), "equally many in each lane");
            let swapped: Word = cast(SWAPPED);
            let mut state = [swapped; 8];
            for (vector, words) in state.iter_mut().zip(&*states) {
                *vector = cast(*words);
            }
            let mut state = transposed(simd, state);
            for at in 0..count {
                let [a, b, c, d, e, f, g, h] = blocks;
                let now = [&a[at], &b[at], &c[at], &d[at], &e[at], &f[at], &g[at], &h[at]];
                let mut words = first_words(simd, now);
                let mut v = state;
                // Instead of moving all eight variables by one place, each round calls them by other names.
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

    /// One stream: a lane is a block. Which words are added in its rounds depends on the block alone, so they are made for eight blocks
    /// at once; the rounds follow, block by block, and no vector helps with those.
    struct CompressOne<'a> {
        simd: V4,
        state: &'a mut State,
        blocks: &'a [Block],
    }

    impl NullaryFnOnce for CompressOne<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let CompressOne { simd, state, blocks } = self;
            let mut schedule = [[0; LANES]; 64];
            for blocks in blocks.chunks(LANES) {
                // In the lanes that are left over at the end it does what nobody looks at.
                let last = &blocks[blocks.len() - 1];
                let of = |lane: usize| blocks.get(lane).unwrap_or(last);
                expand(simd, std::array::from_fn(of), &mut schedule);
                for block in 0..blocks.len() {
                    rounds(state, &schedule, block);
                }
            }
        }
    }

    /// The words that are added in the rounds of eight blocks, each with its round's constant.
    type Schedule = [[u32; LANES]; 64];

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
        let (first, rest) = schedule.split_at_mut(16);
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

    /// The rounds of one of the blocks of a schedule.
    #[inline(always)]
    fn rounds(state: &mut State, schedule: &Schedule, block: usize) {
        // It is one; the compiler has forgotten.
        let block = block % LANES;
        let mut v = *state;
        // Of the majority of a, b and c this much was computed a round earlier.
        let mut bc = v[1] ^ v[2];
        for words in schedule.as_chunks::<16>().0 {
            macro_rules! round {
                ($($i:literal)*) => {
                    $(
                        let a = v[(16 - $i) % 8];
                        let b = v[(17 - $i) % 8];
                        let e = v[(20 - $i) % 8];
                        let f = v[(21 - $i) % 8];
                        let g = v[(22 - $i) % 8];
                        let h = &mut v[(23 - $i) % 8];
                        let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                        let one = h.wrapping_add(words[$i][block]).wrapping_add((f ^ g) & e ^ g).wrapping_add(sum);
                        let ab = a ^ b;
                        let majority = (ab & bc) ^ b;
                        bc = ab;
                        let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                        *h = one.wrapping_add(majority).wrapping_add(sum);
                        let d = &mut v[(19 - $i) % 8];
                        *d = d.wrapping_add(one);
                    )*
                };
            }
            round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }
        for (old, new) in state.iter_mut().zip(v) {
            *old = old.wrapping_add(new);
        }
    }

    /// The sixteen words that eight blocks are.
    #[inline(always)]
    fn first_words(simd: V4, blocks: [&Block; LANES]) -> [Word; 16] {
        let swapped: Word = cast(SWAPPED);
        let mut words = [swapped; 16];
        for half in 0..2 {
            let mut rows = [swapped; 8];
            for (row, block) in rows.iter_mut().zip(blocks) {
                let halves: [[u8; 32]; 2] = cast(*block);
                *row = simd.avx2._mm256_shuffle_epi8(cast(halves[half]), swapped);
            }
            for (word, vector) in words[8 * half..].iter_mut().zip(transposed(simd, rows)) {
                *word = vector;
            }
        }
        words
    }

    /// Rows become columns: from a vector of each lane's words to a vector of all lanes for each word, and back.
    #[inline(always)]
    fn transposed(simd: V4, rows: [Word; 8]) -> [Word; 8] {
        let avx2 = simd.avx2;
        let [a, b, c, d, e, f, g, h] = rows;
        let pair = |x, y| [avx2._mm256_unpacklo_epi32(x, y), avx2._mm256_unpackhi_epi32(x, y)];
        let [[a, b], [c, d], [e, f], [g, h]] = [pair(a, b), pair(c, d), pair(e, f), pair(g, h)];
        let pair = |x, y| [avx2._mm256_unpacklo_epi64(x, y), avx2._mm256_unpackhi_epi64(x, y)];
        let [[a, b], [c, d], [e, f], [g, h]] = [pair(a, c), pair(b, d), pair(e, g), pair(f, h)];
        let low = |x, y| avx2._mm256_permute2x128_si256::<0x20>(x, y);
        let high = |x, y| avx2._mm256_permute2x128_si256::<0x31>(x, y);
        [low(a, e), low(b, f), low(c, g), low(d, h), high(a, e), high(b, f), high(c, g), high(d, h)]
    }
}
