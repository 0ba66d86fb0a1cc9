//! The hash of names in indexed directories: half MD4 over signed characters.
//!
//! See the kernel's `Documentation/filesystems/ext4/directory.rst`, "Hash Tree Directories". A name
//! is taken in pieces of 32 bytes; the last one is filled up with its own length. Every piece goes
//! through three short rounds of MD4's functions, and the second of the four words is the hash. The
//! lowest bit is always clear: the index keeps its mark for "this hash continues from the block
//! before" there.

/// `s_def_hash_version` and the hash version in a directory's root. Whether characters are signed
/// is a flag of the superblock, so that a filesystem means the same on every machine. mke2fs takes
/// what the machine it runs on has; ours are signed, as on the machines that most filesystems were
/// made on, because some readers know nothing else.
pub(crate) const DX_HASH_HALF_MD4: u8 = 1;
/// A hash that means "end of the directory" to `readdir`, so that no name may have it.
const EXT4_HTREE_EOF_32BIT: u32 = 0x7fff_ffff;

const K2: u32 = 0x5a82_7999;
const K3: u32 = 0x6ed9_eba1;

/// The hash of a name.
pub(crate) fn half_md4(seed: &[u8; 16], name: &[u8]) -> u32 {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    if *seed != [0; 16] {
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().expect("chunks of four"));
        }
    }
    let mut rest = name;
    while !rest.is_empty() {
        transform(&mut state, &words(rest));
        rest = rest.get(32..).unwrap_or_default();
    }
    let hash = state[1] & !1;
    if hash == EXT4_HTREE_EOF_32BIT << 1 { (EXT4_HTREE_EOF_32BIT - 1) << 1 } else { hash }
}

/// The next 32 bytes as words, the first byte highest; what is missing is filled up with the length
/// of all the rest.
fn words(rest: &[u8]) -> [u32; 8] {
    let len = u32::try_from(rest.len()).expect("a name has at most 255 bytes");
    let fill = len | len << 8;
    let fill = fill | fill << 16;
    let mut words = [fill; 8];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        let signed = |byte: u8| i32::from(byte.cast_signed()).cast_unsigned();
        *word = bytes.iter().fold(fill, |word, &byte| (word << 8).wrapping_add(signed(byte)));
    }
    words
}

fn transform(state: &mut [u32; 4], input: &[u32; 8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    let f = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let g = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let h = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let step = |sum: u32, mixed: u32, word: u32, constant: u32, turn: u32| {
        sum.wrapping_add(mixed).wrapping_add(word).wrapping_add(constant).rotate_left(turn)
    };
    for four in [[0, 1, 2, 3], [4, 5, 6, 7]].map(|at: [usize; 4]| at.map(|at| input[at])) {
        a = step(a, f(b, c, d), four[0], 0, 3);
        d = step(d, f(a, b, c), four[1], 0, 7);
        c = step(c, f(d, a, b), four[2], 0, 11);
        b = step(b, f(c, d, a), four[3], 0, 19);
    }
    for four in [[1, 3, 5, 7], [0, 2, 4, 6]].map(|at: [usize; 4]| at.map(|at| input[at])) {
        a = step(a, g(b, c, d), four[0], K2, 3);
        d = step(d, g(a, b, c), four[1], K2, 5);
        c = step(c, g(d, a, b), four[2], K2, 9);
        b = step(b, g(c, d, a), four[3], K2, 13);
    }
    for four in [[3, 7, 2, 6], [1, 5, 0, 4]].map(|at: [usize; 4]| at.map(|at| input[at])) {
        a = step(a, h(b, c, d), four[0], K3, 3);
        d = step(d, h(a, b, c), four[1], K3, 9);
        c = step(c, h(d, a, b), four[2], K3, 11);
        b = step(b, h(c, d, a), four[3], K3, 15);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `debugfs -R 'dx_hash -h half_md4 [-s SEED] NAME'` says.
    #[test]
    fn like_e2fsprogs() {
        let seed = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
        let cases: [(&[u8], u32, u32); 7] = [
            (b"a", 0x9375_2ee6, 0xd5fa_7d7a),
            (b"hello", 0x344c_a36e, 0x1746_da32),
            (b"exactly thirty-two bytes long !!", 0xaaf7_6bba, 0xf84b_2ace),
            (&b"0123456789".repeat(7), 0x816b_75cc, 0x25ae_70d0),
            (&[b'x'; 255], 0x5966_f920, 0x2aa7_169e),
            (b"\xff\xfe\x80abc", 0x482e_a112, 0xa513_04d2),
            (&b"\xc3\xa4".repeat(40), 0x05e7_4018, 0x3619_70ba),
        ];
        for (name, with_seed, without) in cases {
            assert_eq!(half_md4(&seed, name), with_seed, "{}", name.escape_ascii());
            assert_eq!(half_md4(&[0; 16], name), without, "{}", name.escape_ascii());
        }
    }
}
