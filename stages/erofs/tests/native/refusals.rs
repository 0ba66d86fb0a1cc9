//! What can't be stored is refused, by its path.

use cvbake_erofs::{Error, Layout, Options};
use cvbake_tree::{Device, FileData, Ino, Kind, Meta, Segment, Xattr};

use crate::support::{Maker, mode, options};

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().into(), value: value.into() }
}

fn refused(kind: Kind<'_>, meta: &Meta) -> String {
    let mut maker = Maker::new(&mode(0o755));
    maker.add(Ino::ROOT, b"f", kind, meta);
    let error = Layout::plan(&maker.finish().0, &options()).unwrap_err();
    assert_eq!(error.place().unwrap().path, "/f");
    error.to_string()
}

#[test]
fn each_names_the_path() {
    let segments = [Segment { file_block: 1, blocks: 1 }];
    let file = |size| Kind::File(FileData { size, pack: 0, pack_block: 0, segments: &segments });
    let device = Device { major: 4096, minor: 1 };
    let cases = [
        (file(1 << 44), "/f has 17592186044416 bytes, expected at most 17592186040320"),
        (file(4096), "/f: run of content at block 1 is out of order or beyond the file's 4096 bytes"),
        (Kind::Symlink(b""), "/f: target of the symbolic link has 0 bytes, expected 1 to 4095"),
        (Kind::Symlink(&[b'x'; 4096]), "/f: target of the symbolic link has 4096 bytes, expected 1 to 4095"),
        (Kind::Symlink(b"a\0b"), "/f: target of the symbolic link has a NUL at byte 1"),
        (Kind::CharDevice(device), "/f: device 4096:1 is out of range, expected at most 4095:1048575"),
    ];
    for (kind, expected) in cases {
        assert_eq!(refused(kind, &mode(0o644)), expected);
    }
}

#[test]
fn attributes_that_are_none() {
    let acl = |value: &[u8]| vec![xattr("system.posix_acl_access", value)];
    let cases = [
        (vec![xattr("user.", b"x")], "\"user.\": nothing follows the namespace"),
        (vec![xattr("", b"x")], "\"\": the name is empty"),
        (vec![xattr("user.a\0b", b"x")], "\"user.a\\\\x00b\": the name has a NUL in it"),
        (vec![xattr("user.a", b"x"), xattr("user.a", b"y")], "\"user.a\": it is there twice"),
        (vec![xattr("user.a", &[0; 65536])], "\"user.a\" needs 65544 bytes, 65535 are available"),
        (
            (0..5).map(|number| xattr(&format!("user.{number}"), &[0; 60000])).collect(),
            "\"user.4\" needs 60008 bytes, 22104 are available",
        ),
    ];
    for (xattrs, expected) in cases {
        let found = refused(Kind::Fifo, &Meta { xattrs, ..mode(0o644) });
        assert_eq!(found, format!("/f: extended attribute {expected}"));
    }
    let cases = [
        (&b"\x01\0\0\0\x01\0\x07\0\xff\xff\xff\xff"[..], "version 1, expected 2"),
        (b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff", "length 11, expected 4 bytes and 8 more for each entry"),
        (b"\x02\0", "length 2, expected 4 bytes and 8 more for each entry"),
        (b"\x02\0\0\0\x03\0\x07\0\xff\xff\xff\xff", "tag 3, expected 1, 2, 4, 8, 16 or 32"),
    ];
    for (value, expected) in cases {
        let found = refused(Kind::Fifo, &Meta { xattrs: acl(value), ..mode(0o644) });
        assert_eq!(found, format!("/f: access control list in \"system.posix_acl_access\": {expected}"));
    }
}

#[test]
fn what_is_about_the_whole() {
    let tree = Maker::new(&mode(0o755)).finish().0;
    let label = Layout::plan(&tree, &Options { label: vec![b'x'; 16], ..options() }).unwrap_err();
    assert_eq!(label.to_string(), "the label \"xxxxxxxxxxxxxxxx\" has 16 bytes, expected at most 15");
    assert!(label.place().is_none());
    let mut maker = Maker::new(&mode(0o755));
    for number in 0..2u64 {
        let segments = [Segment { file_block: 0, blocks: 1 << 31 }];
        let data = FileData { size: 1 << 43, pack: 0, pack_block: number << 31, segments: &segments };
        maker.add(Ino::ROOT, number.to_string().as_bytes(), Kind::File(data), &mode(0o644));
    }
    let error = Layout::plan(&maker.finish().0, &options()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert_eq!(error.to_string(), "a filesystem of 16385 GiB is too large, expected at most 16383 GiB");
}
