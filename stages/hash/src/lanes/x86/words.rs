//! The words of eight blocks, of which each step is done for all at once.

use pulp::cast;
use pulp::x86::V4;

use super::Word;
use crate::lanes::{Block, LANES};

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
#[rustfmt::skip]
pub(super) const K: [[u32; 16]; 4] = [
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

/// The sixteen words that eight blocks are.
#[inline(always)]
pub(super) fn first_words(simd: V4, blocks: [&Block; LANES]) -> [Word; 16] {
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

/// Rows become columns: from a vector of each lane's words to a vector of all lanes for each word,
/// and back.
#[inline(always)]
pub(super) fn transposed(simd: V4, rows: [Word; 8]) -> [Word; 8] {
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
