//! What layers are together.

use crate::{Algorithm, Digest};

/// The `ChainID` of the image specification: what a stack of layers is once it is unpacked, lowest
/// layer first. However the layers are compressed, and whatever document lists them, the same stack
/// has the same one; that of a single layer is the layer's `diff_id`.
///
/// The specification has none of no layers. Here that is the digest of nothing.
#[must_use]
pub fn chain_id(diff_ids: &[Digest]) -> Digest {
    let Some((lowest, others)) = diff_ids.split_first() else { return Digest::sha256(b"") };
    let add =
        |below: Digest, layer: &Digest| Digest::for_bytes(Algorithm::Sha256, format!("{below} {layer}").as_bytes());
    others.iter().fold(*lowest, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '%s %s' A B | sha256sum`.
    #[test]
    fn as_in_the_specification() {
        let [a, b, c] = ["a", "b", "c"].map(|text| Digest::sha256(text.as_bytes()));
        assert_eq!(chain_id(&[a]), a);
        assert_eq!(
            chain_id(&[a, b]).to_string(),
            "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676"
        );
        assert_eq!(
            chain_id(&[a, b, c]).to_string(),
            "sha256:2fce7f8ce91bcf0a1428b36e1024639fdbd9469eea762dba98aa749631885106"
        );
        assert_eq!(chain_id(&[a, b, c]), chain_id(&[chain_id(&[a, b]), c]));
        assert_ne!(chain_id(&[a, b]), chain_id(&[b, a]));
        assert_eq!(chain_id(&[]).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
