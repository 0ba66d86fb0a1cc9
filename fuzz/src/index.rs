//! Stored indexes.
//!
//! For any bytes: an error is a line. For accepted input: it is what encoding writes, whole and
//! with nothing behind it; and it can be merged and replayed, the same way each time, or that is an
//! error.

use cvbake_tree::Time;
use cvbake_unpack::{Index, merge, replay};

use crate::line;

/// Decodes an index and uses it.
pub fn check(input: &[u8]) {
    let index = match Index::decode(input) {
        Ok(index) => index,
        Err(error) => return drop(line(&error)),
    };
    let bytes = index.encode();
    assert_eq!(Index::decode(&bytes).as_ref(), Ok(&index), "what was stored comes back");
    let layers = [&index, &index];
    for layers in [&layers[..1], &layers] {
        let tree = match (merge(layers, Time::default()), merge(layers, Time::default())) {
            (Ok(tree), Ok(again)) => {
                assert_eq!(tree, again, "merging twice");
                tree
            }
            (Err(error), Err(again)) => {
                assert_eq!(line(&error), line(&again), "merging twice");
                continue;
            }
            _ => panic!("merging works once of two times"),
        };
        let mut listing = Vec::new();
        tree.listing(&mut |_| Ok(None), &mut listing).expect("memory takes everything");
        assert!(listing.starts_with(b"/"));
    }
    assert!(Index::decode(&bytes[..bytes.len() - 1]).is_err(), "no index is the beginning of another");
    assert!(Index::decode(&[&bytes[..], b"x"].concat()).is_err(), "nothing follows an index");
    // What it describes is not what is replayed: then that is noticed.
    if let Err(error) = replay(&mut &input[..], &index, &mut |_, _| Ok(())) {
        line(&error);
    }
}
