//! Names of content: `sha256:<hex>` and `sha512:<hex>`.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256, SHA512};

/// A hash function that a [`Digest`] can be made with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// SHA-256, what practically every image uses.
    Sha256,
    /// SHA-512, the other algorithm that the image specification registers.
    Sha512,
}

impl Algorithm {
    /// The name before the colon of a digest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The length of the hash, in bytes.
    #[must_use]
    pub const fn len_bytes(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The longest hash of any [`Algorithm`].
const LONGEST: usize = 64;

/// The hash of some bytes and the function that made it; displayed and parsed as `algorithm:hex`.
///
/// The text is safe as a file name: a known algorithm, one colon, and lower-case hexadecimal digits
/// of the exact number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash, filled up with zeros.
    bytes: [u8; LONGEST],
}

impl Digest {
    /// The SHA-256 of some bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Digest {
        Digest::for_bytes(Algorithm::Sha256, bytes)
    }

    /// The hash of some bytes.
    #[must_use]
    pub fn for_bytes(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The function that made it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len_bytes()]
    }

    /// The hash as lower-case hexadecimal digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }

    /// A SHA-256 that was computed elsewhere.
    #[must_use]
    pub fn from_sha256(hash: [u8; 32]) -> Digest {
        Digest::from_hash(Algorithm::Sha256, &hash)
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Digest {
        let mut bytes = [0; LONGEST];
        bytes[..hash.len()].copy_from_slice(hash);
        Digest { algorithm, bytes }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestError {
    /// It is not of the form `algorithm:hex` at all.
    #[error("{text:?} is not a digest: expected algorithm:hex")]
    Syntax {
        /// The text, cut to a bearable length.
        text: String,
    },
    /// It may be a digest, but by a function we don't know.
    #[error("digest {text:?} has the unsupported algorithm {algorithm:?}: expected sha256 or sha512")]
    Algorithm {
        /// The text, cut to a bearable length.
        text: String,
        /// What stands before the colon.
        algorithm: String,
    },
    /// The part after the colon is not the hash that the algorithm makes.
    #[error("digest {text:?} is malformed: expected {digits} lower-case hexadecimal digits after {algorithm}:")]
    Hex {
        /// The text, cut to a bearable length.
        text: String,
        /// What stands before the colon.
        algorithm: Algorithm,
        /// How many digits the algorithm makes.
        digits: usize,
    },
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let shown = || crate::shorten(text);
        let (name, hex) = text.split_once(':').ok_or_else(|| DigestError::Syntax { text: shown() })?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ if is_algorithm(name) => {
                return Err(DigestError::Algorithm { text: shown(), algorithm: crate::shorten(name) });
            }
            _ => return Err(DigestError::Syntax { text: shown() }),
        };
        let mut bytes = [0; LONGEST];
        let malformed = || DigestError::Hex { text: shown(), algorithm, digits: 2 * algorithm.len_bytes() };
        if hex.len() != 2 * algorithm.len_bytes() {
            return Err(malformed());
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let high = hex_digit(pair[0]).ok_or_else(malformed)?;
            let low = hex_digit(pair[1]).ok_or_else(malformed)?;
            *byte = high << 4 | low;
        }
        Ok(Digest { algorithm, bytes })
    }
}

/// Whether a text could name an algorithm by the grammar of the image specification.
fn is_algorithm(name: &str) -> bool {
    name.split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// Upper-case digits are refused: two texts for one digest would be two names for one file.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Makes a [`Digest`] from bytes that come piece by piece.
///
/// It is ring's: with SHA instructions all are equally fast, but without, as on many servers, the
/// vector code in it takes half as long as portable code.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: Context,
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Hasher {
        let function = match algorithm {
            Algorithm::Sha256 => &SHA256,
            Algorithm::Sha512 => &SHA512,
        };
        Hasher { algorithm, context: Context::new(function) }
    }

    /// The function it computes.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::from_hash(self.algorithm, self.context.finish().as_ref())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        let abc = Digest::sha256(b"abc");
        assert_eq!(abc.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let abc = Digest::for_bytes(Algorithm::Sha512, b"abc").to_string();
        assert!(abc.starts_with("sha512:ddaf35a193617abacc417349ae204131"), "{abc}");
        assert!(abc.ends_with("2a9ac94fa54ca49f"), "{abc}");
        assert_eq!(abc.len(), 7 + 128);
    }

    #[test]
    fn the_text_comes_back() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::for_bytes(algorithm, b"something");
            assert_eq!(digest.to_string().parse(), Ok(digest));
            assert_eq!(digest.bytes().len(), algorithm.len_bytes());
        }
    }

    #[test]
    fn pieces_are_one_stream() {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"ab");
        hasher.update(b"");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Digest::for_bytes(Algorithm::Sha512, b"abc"));
    }

    #[test]
    fn another_implementation_agrees() {
        use sha2::Digest as _;
        let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for len in (0..300).chain([4095, 4096, 4097, 40_000]) {
            let mut hashers = [Algorithm::Sha256, Algorithm::Sha512].map(Hasher::new);
            // In pieces that fall across the blocks of both functions.
            for piece in bytes[..len].chunks(61) {
                hashers.iter_mut().for_each(|hasher| hasher.update(piece));
            }
            let [one, other] = hashers.map(Hasher::finish);
            assert_eq!(one.bytes(), &sha2::Sha256::digest(&bytes[..len])[..], "{len} bytes");
            assert_eq!(other.bytes(), &sha2::Sha512::digest(&bytes[..len])[..], "{len} bytes");
        }
    }

    #[test]
    fn odd_texts_are_refused() {
        let hex = Digest::sha256(b"").hex();
        let syntax =
            ["", ":", "sha256", &hex, "SHA256:00", "../etc:00", "sha 256:00", "a..b:00", " sha256:00", "sha256\n:0"];
        for text in syntax {
            assert!(matches!(text.parse::<Digest>(), Err(DigestError::Syntax { .. })), "{text:?}");
        }
        for text in
            ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha384:00", "blake3:00", "multihash+base58:QmRZ", "sha256+b64u:L"]
        {
            assert!(matches!(text.parse::<Digest>(), Err(DigestError::Algorithm { .. })), "{text:?}");
        }
        let mut malformed = vec![
            "sha256:".to_owned(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha512:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}\n", &hex[1..]),
            format!("sha256: {}", &hex[1..]),
            format!("sha256:../{}", &hex[3..]),
            format!("sha256:{}\u{e9}", &hex[2..]),
            format!("sha256:{hex}:{hex}"),
        ];
        malformed.push(format!("sha256:{}", "0".repeat(1 << 20)));
        for text in malformed {
            let error = text.parse::<Digest>().unwrap_err();
            assert!(matches!(error, DigestError::Hex { .. }), "{error:?}");
            assert!(error.to_string().len() < 500, "{error}");
        }
    }
}
