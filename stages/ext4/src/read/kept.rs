//! What of a tree comes back from a disk.

use cvbake_tree::{Time, Tree, Xattr};

use crate::format::inode::{decode_time, encode_time};
use crate::format::xattr as format;

/// Makes a tree that a disk was made of the tree that is read from the disk: times that an inode
/// can't hold become the nearest that it can; an empty access control list is none, and entries of
/// one that name nobody have no number.
pub fn as_kept(tree: &mut Tree) {
    tree.map_times(|time| {
        let (low, extra) = encode_time(time.secs, time.nanos);
        let (secs, nanos) = decode_time(low, extra).expect("a time that was encoded");
        Time { secs, nanos }
    });
    tree.map_xattrs(|xattr| match &*xattr.name {
        b"system.posix_acl_access" | b"system.posix_acl_default" => {
            let value = acl(&xattr.value);
            (value.len() > 4).then(|| Xattr { name: xattr.name.clone(), value: value.into() })
        }
        _ => Some(xattr.clone()),
    });
}

/// A list in the kernel's form; a malformed one stays as it is, and is nowhere on a disk.
fn acl(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    for entry in value.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
        if !matches!(u16::from_le_bytes([entry[0], entry[1]]), format::ACL_USER | format::ACL_GROUP) {
            entry[4..].fill(0xff);
        }
    }
    value
}
