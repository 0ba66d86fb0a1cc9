//! GNU long names.

use cvbake_archive::tar::MAX_RECORD_BODY;

use crate::build::{Tar, head, tar};
use crate::read::{one, read, refused};

#[test]
fn long_names_are_for_one_entry() {
    let long = "d/".repeat(3000) + "file";
    let target = "../".repeat(2000);
    let archive = tar()
        .long(b'K', &[target.as_bytes(), b"\0"].concat())
        .long(b'L', &[long.as_bytes(), b"\0"].concat())
        .head(head("short").gnu().kind(b'2').link("cut"))
        .head(head("next").gnu().kind(b'2').link("its own"))
        .end();
    let items = read(&archive).unwrap();
    assert_eq!((items[0].path.as_slice(), items[0].link.as_slice()), (long.as_bytes(), target.as_bytes()));
    assert_eq!((items[1].path.as_slice(), items[1].link.as_slice()), (&b"next"[..], &b"its own"[..]));
}

#[test]
fn names_with_and_without_their_nul() {
    for body in [&b"name"[..], b"name\0", b"name\0\0\0"] {
        assert_eq!(one(&tar().long(b'L', body).file("short", b"").end()).path, b"name");
    }
    assert_eq!(one(&tar().long(b'L', b"a\n\xff").file("short", b"").end()).path, b"a\n\xff");
    // A target is for links; nothing else has one.
    assert_eq!(one(&tar().long(b'K', b"target").file("name", b"").end()).link, b"");
}

#[test]
fn malformed_names() {
    refused(&tar().long(b'L', b"").file("a", b"").end(), "malformed GNU long path: the name is empty");
    refused(&tar().long(b'K', b"\0\0").file("a", b"").end(), "malformed GNU long link target: the name is empty");
    refused(&tar().long(b'L', b"a\0b").file("a", b"").end(), "bytes after the NUL that ends the name");
    let limit = usize::try_from(MAX_RECORD_BODY).unwrap();
    refused(
        &tar().long(b'L', &vec![b'a'; limit + 1]).end(),
        "GNU long path of 1048577 bytes, expected at most 1048576",
    );
    refused(&tar().long(b'L', &[b'a'; 700]).bytes[..1200], "before the end of a GNU long name");
    let claimed = tar().head(head("././@LongLink").gnu().kind(b'K').at(124, b"77777777777\0")).end();
    refused(&claimed, "GNU long link target of 8589934591 bytes");
}

#[test]
fn dangling_and_repeated_names() {
    let (path, link) = (|| tar().long(b'L', b"a"), || tar().long(b'K', b"b"));
    for end in [Tar::end, |tar: Tar| tar.bytes] {
        refused(&end(path()), "dangling GNU long path: expected the entry it describes, found the end of the archive");
        refused(&end(link()), "dangling GNU long link target");
    }
    refused(&path().long(b'L', b"b").file("x", b"").end(), "a second GNU long path for one entry");
    refused(&link().long(b'K', b"b").file("x", b"").end(), "a second GNU long link target for one entry");
    refused(&path().entry(head("g").kind(b'g'), b"").end(), "dangling GNU long path");
}

#[test]
fn with_pax() {
    let link = || head("short").kind(b'2').link("cut");
    // Side by side, in any order, as long as they do not say the same.
    let archive = tar().pax(&[("linkpath", b"pax"), ("uid", b"7")]).long(b'L', b"gnu").head(link()).end();
    let item = one(&archive);
    assert_eq!((item.path.as_slice(), item.link.as_slice(), item.owner.0), (&b"gnu"[..], &b"pax"[..], 7));
    let archive = tar().long(b'K', b"gnu").pax(&[("path", b"pax"), ("linkpath", b"")]).head(link()).end();
    let item = one(&archive);
    assert_eq!((item.path.as_slice(), item.link.as_slice()), (&b"pax"[..], &b"gnu"[..]));

    let archive = tar().pax(&[("path", b"pax")]).long(b'L', b"gnu").head(link()).end();
    refused(&archive, "both the PAX record path and a GNU long path for one entry");
    let archive = tar().long(b'K', b"gnu").pax(&[("linkpath", b"pax")]).head(link()).end();
    refused(&archive, "both the PAX record linkpath and a GNU long link target for one entry");
    // A size is that of the entry, not of the record between.
    let archive = tar().pax(&[("size", b"3")]).long(b'L', b"long name").head(head("a")).body(b"abc").end();
    assert_eq!((one(&archive).path, one(&archive).stored), (b"long name".to_vec(), b"abc".to_vec()));
}
