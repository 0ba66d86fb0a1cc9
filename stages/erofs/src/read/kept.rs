//! What of a tree comes back from a disk.

use cvbake_tree::Tree;

use crate::layout::leave_out_unknown;

/// Makes a tree that a disk was made of the tree that is read from the disk: there are no times but
/// those of modification, no attributes of namespaces that EROFS has no number for, and an empty
/// access control list is none.
pub fn as_kept(tree: &mut Tree) {
    // Version and nothing else.
    const EMPTY_ACL: usize = 4;
    tree.forget_other_times();
    // Who bakes has told of them.
    let _told = leave_out_unknown(tree);
    tree.map_xattrs(|xattr| {
        let is_acl = matches!(&*xattr.name, b"system.posix_acl_access" | b"system.posix_acl_default");
        (!is_acl || xattr.value.len() > EMPTY_ACL).then(|| xattr.clone())
    });
}
