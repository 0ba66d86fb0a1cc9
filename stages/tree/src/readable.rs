//! What a filesystem could hold and Linux hands out to nobody, so that it is as if it were not
//! there, but for programs that look at the disk.

use crate::{Inode, Kind, Place, Tree, Xattr, escape_short};

/// Extended attributes that were left out of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// The first inode that has lost some.
    pub first: Place,
    /// What kind of file it is, in words.
    pub kind: &'static str,
    /// The name of the first attribute that it has lost, escaped.
    pub name: String,
    /// How many inodes have lost some.
    pub inodes: usize,
}

impl Tree {
    /// Leaves out what Linux refuses to read back from any filesystem: `user.*` on anything but
    /// files and directories, and access control lists on symbolic links.
    pub fn leave_out_unreadable(&mut self) -> Option<LeftOut> {
        self.leave_out(|inode, xattr| !is_readable(inode, &xattr.name))
    }

    /// Leaves out unwanted extended attributes; `None` if there are none.
    pub fn leave_out(&mut self, is_unwanted: impl Fn(Inode<'_>, &Xattr) -> bool) -> Option<LeftOut> {
        let (inode, name) = self.inodes().find_map(|inode| {
            let lost = inode.xattrs().iter().find(|xattr| is_unwanted(inode, xattr));
            lost.map(|xattr| (inode, escape_short(&xattr.name)))
        })?;
        let (first, kind) = (Place::of(inode), kind(inode));
        let inodes = self.retain_xattrs(|inode, xattr| !is_unwanted(inode, xattr));
        Some(LeftOut { first, kind, name, inodes })
    }
}

/// `xattr_permission` and `posix_acl_xattr_get` in the kernel decide.
fn is_readable(inode: Inode<'_>, name: &[u8]) -> bool {
    match inode.kind() {
        Kind::Directory | Kind::File(_) => true,
        Kind::Symlink(_) => !name.starts_with(b"user.") && !name.starts_with(b"system.posix_acl_"),
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => !name.starts_with(b"user."),
    }
}

fn kind(inode: Inode<'_>) -> &'static str {
    match inode.kind() {
        Kind::Directory => "a directory",
        Kind::File(_) => "a file",
        Kind::Symlink(_) => "a symbolic link",
        Kind::CharDevice(_) | Kind::BlockDevice(_) => "a device",
        Kind::Fifo => "a named pipe",
        Kind::Socket => "a socket",
    }
}

#[cfg(test)]
mod tests {
    use crate::{Builder, Device, Ino, Meta};

    use super::*;

    #[test]
    fn what_linux_reads_back_stays() {
        let xattr = |name: &str| Xattr { name: name.as_bytes().into(), value: (*b"v").into() };
        let names = ["security.selinux", "system.posix_acl_access", "trusted.t", "user.", "user.a", "user.b"];
        let meta = Meta { xattrs: names.iter().map(|name| xattr(name)).collect(), ..Meta::default() };
        let mut builder = Builder::new(&meta);
        let device = Device { major: 1, minor: 3 };
        for (name, kind) in [
            ("block", Kind::BlockDevice(device)),
            ("char", Kind::CharDevice(device)),
            ("dir", Kind::Directory),
            ("fifo", Kind::Fifo),
            ("link", Kind::Symlink(b"t")),
            ("socket", Kind::Socket),
        ] {
            builder.add(Ino::ROOT, name.as_bytes(), kind, &meta).unwrap();
        }
        let few = Meta { xattrs: vec![xattr("security.selinux"), xattr("trusted.t")], ..Meta::default() };
        builder.add(Ino::ROOT, b"other", Kind::Symlink(b"t"), &few).unwrap();
        let mut tree = builder.finish().unwrap();

        let left_out = tree.leave_out_unreadable().unwrap();
        assert_eq!((left_out.first.path.as_str(), left_out.name.as_str()), ("/block", "user."));
        assert_eq!((left_out.kind, left_out.inodes), ("a device", 5));
        let left = |path: &str| tree.lookup(path.as_bytes()).unwrap().xattrs().len();
        let counts = ["", "dir", "block", "char", "fifo", "socket", "link", "other"].map(left);
        assert_eq!(counts, [6, 6, 3, 3, 3, 3, 2, 2]);
        // What is equal has one number, whether it was so before or not.
        let set = |path: &str| tree.lookup(path.as_bytes()).unwrap().xattr_set();
        assert_eq!(set("link"), set("other"));
        assert_eq!(set("block"), set("fifo"));
        assert_eq!(set(""), set("dir"));
        assert!(set("block") != set("link") && set("block") != set("dir"));
        assert_eq!(tree.leave_out_unreadable(), None, "nothing is left to leave out");
    }
}
