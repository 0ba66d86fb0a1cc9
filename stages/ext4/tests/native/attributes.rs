//! Extended attributes: where they go, who shares them, what is refused.

use cvbake_ext4::{Error, Layout, Options, Size};
use cvbake_tree::{Ino, Kind, Meta, Xattr};

use crate::support::{Maker, bake, compare, debugfs, fsck, mode, options};

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().into(), value: value.into() }
}

fn with(xattrs: Vec<Xattr>) -> Meta {
    Meta { xattrs, ..mode(0o644) }
}

/// Which block has an inode's attributes, and how many inodes share it.
fn block_of(disk: &std::path::Path, path: &str) -> u64 {
    let said = debugfs(disk, &format!("stat \"{path}\""));
    let (_, rest) = said.split_once("File ACL: ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn blocks_are_shared() {
    let mut maker = Maker::new(&mode(0o755));
    let large = xattr("user.large", &[b'L'; 500]);
    for number in 0..2500 {
        // Half of them have something small as well, which goes into the inode: what remains is the
        // same.
        let mut xattrs = vec![large.clone()];
        if number % 2 == 0 {
            xattrs.push(xattr("user.a", b"small"));
        }
        maker.file(Ino::ROOT, format!("f{number:04}").as_bytes(), 0, b"", &with(xattrs));
    }
    for number in 0..3 {
        let other = vec![xattr("user.large", &[number; 500])];
        maker.add(Ino::ROOT, &[b'o', b'0' + number], Kind::Directory, &with(other));
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, ..options() });
    fsck(disk.path());
    assert_eq!(compare(disk.path(), &tree, &packs), 2503);
    let block = |path| block_of(disk.path(), path);
    let first = block("f0000");
    assert!(first > 0);
    assert_eq!([block("f0001"), block("f1023"), block("f1024"), block("f2499")], [first, first, first + 1, first + 2]);
    assert_eq!([block("o0"), block("o1"), block("o2")], [first + 3, first + 4, first + 5]);
    assert!(debugfs(disk.path(), "ea_list f0002").contains("user.a (5) = \"small\""));
}

#[test]
fn as_much_as_fits() {
    // In an inode: 88 bytes. In a block: 4060. An entry has 16, names and values are filled up to
    // multiples of 4.
    let sets = [
        (vec![xattr("user.a", &[1; 68])], false),
        (vec![xattr("user.a", &[1; 69])], true),
        (vec![xattr("user.a", &[1; 24]), xattr("user.b", &[1; 24])], false),
        (vec![xattr("user.a", &[1; 24]), xattr("user.b", &[1; 25])], true),
        (vec![xattr("user.a", &[1; 4040])], true),
        (vec![xattr("user.a", &[1; 68]), xattr("user.b", &[1; 4040])], true),
        (vec![xattr("user.b", &[1; 68]), xattr("user.a", &[1; 4040])], true),
        // In the order of names, the small one would take the inode, and the rest would not fit in
        // a block.
        (vec![xattr("user.a", &[1; 4]), xattr("user.b", &[1; 60]), xattr("user.c", &[1; 3992])], true),
        (vec![xattr(&format!("user.{}", "n".repeat(250)), b"")], true),
        (vec![xattr("system.posix_acl_access", b""), xattr("system.posix_acl_default", b"\x02\0\0\0")], false),
    ];
    let mut maker = Maker::new(&mode(0o755));
    for (at, (set, _)) in sets.iter().enumerate() {
        maker.file(Ino::ROOT, at.to_string().as_bytes(), 0, b"", &with(set.clone()));
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    for (at, (set, in_block)) in sets.iter().enumerate() {
        assert_eq!(block_of(disk.path(), &at.to_string()) > 0, *in_block, "{at}");
        let list = debugfs(disk.path(), &format!("ea_list {at}"));
        for Xattr { name, value } in set {
            let name = String::from_utf8(name.to_vec()).unwrap();
            // An empty access control list is none.
            assert_eq!(list.contains(&format!("{name} ({})", value.len())), at != 9, "{at}: {list}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let acl = |value: &[u8]| vec![xattr("system.posix_acl_access", value)];
    let cases = [
        (vec![xattr("user.a", &[1; 4041])], "/f: extended attribute \"user.a\" needs 4064 bytes, 4060 are available"),
        (
            vec![xattr("user.a", &[1; 4000]), xattr("user.b", &[1; 100])],
            "/f: extended attribute \"user.b\" needs 120 bytes, 88 are available",
        ),
        (vec![xattr("user.", b"x")], "/f: extended attribute \"user.\": nothing follows the namespace"),
        (vec![xattr("", b"x")], "/f: extended attribute \"\": the name is empty"),
        (vec![xattr("user.a\0b", b"x")], "/f: extended attribute \"user.a\\\\x00b\": the name has a NUL in it"),
        (vec![xattr("user.a", b"x"), xattr("user.a", b"y")], "/f: extended attribute \"user.a\": it is there twice"),
        (
            acl(b"\x01\0\0\0\x01\0\x07\0\xff\xff\xff\xff"),
            "/f: access control list in \"system.posix_acl_access\": version 1, expected 2",
        ),
        (
            acl(b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff"),
            "/f: access control list in \"system.posix_acl_access\": length 11, expected 4 bytes and 8 more for each entry",
        ),
        (
            acl(b"\x02\0"),
            "/f: access control list in \"system.posix_acl_access\": length 2, expected 4 bytes and 8 more for each entry",
        ),
        (
            acl(b"\x02\0\0\0\x03\0\x07\0\xff\xff\xff\xff"),
            "/f: access control list in \"system.posix_acl_access\": tag 3, expected 1, 2, 4, 8, 16 or 32",
        ),
    ];
    for (xattrs, expected) in cases {
        let mut maker = Maker::new(&mode(0o755));
        maker.file(Ino::ROOT, b"f", 0, b"", &with(xattrs));
        let error = Layout::plan(&maker.finish().0, &options()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let mut maker = Maker::new(&with(vec![xattr(&format!("user.{}", "n".repeat(251)), b"")]));
    maker.dir(Ino::ROOT, b"d");
    let error = Layout::plan(&maker.finish().0, &options()).unwrap_err();
    assert!(
        matches!(&error, Error::XattrName { path, problem: "the name has more than 255 bytes", .. } if path.path == "/")
    );
}
