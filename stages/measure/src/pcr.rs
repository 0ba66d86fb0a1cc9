//! A register of a TPM.

use std::fmt;

use ring::digest::{SHA256, digest};

/// A SHA-256.
pub type Sha256 = [u8; 32];

/// The SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A register in the bank of SHA-256: it can only be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pcr([u8; 32]);

impl Pcr {
    /// Puts a digest behind all that were put in before.
    pub fn extend(&mut self, digest: &Sha256) {
        let mut both = [0; 64];
        both[..32].copy_from_slice(&self.0);
        both[32..].copy_from_slice(digest);
        self.0 = sha256(&both);
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
