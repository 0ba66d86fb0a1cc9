//! What names disks and filesystems, derived so that the same is named the same.

use cvbake_verify::{Algorithm, Digest};

/// A UUID (version 8 of RFC 9562) that is a function of some bytes, and of what it is for.
pub(crate) fn uuid(purpose: &str, of: &[u8]) -> [u8; 16] {
    let hash = Digest::for_bytes(Algorithm::Sha256, &[format!("cvbake {purpose} ").as_bytes(), of].concat());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.bytes()[..16]);
    uuid[6] = 0x80 | uuid[6] & 0x0f;
    uuid[8] = 0x80 | uuid[8] & 0x3f;
    uuid
}
