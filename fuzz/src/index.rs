//! Stored indexes: bytes that are no index are an error, and whatever is accepted can be merged and replayed without harm.

use cvbake_tree::Time;
use cvbake_unpack::{Index, merge, replay};

/// Decodes an index and uses it.
pub fn check(input: &[u8]) {
    let Ok(index) = Index::decode(input) else { return };
    let bytes = index.encode();
    assert_eq!(Index::decode(&bytes).as_ref(), Ok(&index), "what was stored comes back");
    let layers = [&index, &index];
    for layers in [&layers[..1], &layers] {
        let Ok(tree) = merge(layers, Time::default()) else { continue };
        let mut listing = Vec::new();
        tree.listing(&mut |_| Ok(None), &mut listing).expect("memory takes everything");
        assert!(listing.starts_with(b"/"));
    }
    let _ = replay(&mut &input[..], &index, &mut |_, _| Ok(()));
}
