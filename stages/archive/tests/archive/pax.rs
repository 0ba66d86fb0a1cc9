//! PAX extended headers.

use cvbake_archive::tar::{Kind, MAX_RECORD_BODY, Time};

use crate::build::{Tar, head, record, tar};
use crate::read::{Item, one, read, refused};

fn with(records: &[(&str, &[u8])]) -> Item {
    one(&tar().pax(records).file("name", b"content").end())
}

#[test]
fn records_win_over_the_header_for_one_entry() {
    let archive = tar()
        .pax(&[
            ("path", b"p\xffth"),
            ("linkpath", b"t/rget"),
            ("uid", b"4294967296"),
            ("gid", b"18446744073709551615"),
            ("mtime", b"1.5"),
            ("atime", b"-1.5"),
            ("ctime", b"0"),
            ("uname", b"nobody"),
            ("comment", b""),
            ("VENDOR.key", b"\0\n="),
        ])
        .head(head("name").kind(b'2').link("link"))
        .file("next", b"")
        .end();
    let items = read(&archive).unwrap();
    let item = &items[0];
    assert_eq!(
        (item.path.as_slice(), item.kind, item.link.as_slice()),
        (&b"p\xffth"[..], Kind::Symlink, &b"t/rget"[..])
    );
    assert_eq!(item.owner, (1 << 32, u64::MAX));
    assert_eq!(item.mtime, Time { secs: 1, nanos: 500_000_000 });
    assert_eq!(item.atime, Some(Time { secs: -2, nanos: 500_000_000 }));
    assert_eq!(item.ctime, Some(Time { secs: 0, nanos: 0 }));
    let next = &items[1];
    assert_eq!((next.path.as_slice(), next.owner), (&b"next"[..], (0o1750, 0o144)));
    assert_eq!((next.mtime, next.atime, next.ctime), (Time { secs: 15, nanos: 0 }, None, None));
}

#[test]
fn size_wins_over_the_header() {
    let archive = tar().pax(&[("size", b"600")]).head(head("a").size(3)).body(&[5; 600]).file("b", b"").end();
    let items = read(&archive).unwrap();
    assert_eq!((items[0].size, items[0].stored.as_slice()), (600, &[5; 600][..]));
    assert_eq!(items[1].path, b"b");
}

#[test]
fn values_are_bytes() {
    // Each of these has led a reader that looks for newlines to another path, a lost capability or
    // another size.
    let evil = b"\x01\n18 path=/etc/passwd\n12 size=9999\n\0=\n";
    let item = with(&[("SCHILY.xattr.user.evil", evil), ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n\x04")]);
    assert_eq!((item.path.as_slice(), item.size), (&b"name"[..], 7));
    assert_eq!(
        item.xattrs,
        [(b"security.capability".to_vec(), b"\x01\0\0\x02\n\x04".to_vec()), (b"user.evil".to_vec(), evil.to_vec())]
    );
    assert_eq!(with(&[("path", b"a\n10 path=b\n=")]).path, b"a\n10 path=b\n=");
}

#[test]
fn extended_attributes() {
    let pairs = |item: Item| item.xattrs;
    // An empty one is one; of two with one name the last counts; they come sorted, and belong to
    // one entry.
    let records: [(&str, &[u8]); 5] = [
        ("SCHILY.xattr.user.b", b"first"),
        ("SCHILY.xattr.user.c", b""),
        ("SCHILY.xattr.user.a", b"a"),
        ("SCHILY.xattr.user.b", b"second"),
        ("SCHILY.xattr.user.b", b"third"),
    ];
    let expected = [("user.a", "a"), ("user.b", "third"), ("user.c", "")];
    let expected = expected.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    assert_eq!(pairs(with(&records)), expected);
    assert_eq!(pairs(one(&tar().file("a", b"").end())), []);
    let largest = vec![0xab; 65536];
    assert_eq!(pairs(with(&[("SCHILY.xattr.user.large", &largest)]))[0].1, largest);
    // The record splits at its first '='.
    assert_eq!(pairs(with(&[("SCHILY.xattr.user.k=v", b"w")])), [(b"user.k".to_vec(), b"v=w".to_vec())]);
    refused(&tar().pax(&[("SCHILY.xattr.", b"v")]).file("a", b"").end(), "the extended attribute has no name");
    refused(&tar().pax(&[("SCHILY.xattr.a\0b", b"v")]).file("a", b"").end(), "the key has a NUL");
    // Other writers' copies of the same thing are none of ours.
    assert_eq!(pairs(with(&[("LIBARCHIVE.xattr.user.a", b"djE="), ("SCHILY.acl.access", b"user::rwx")])), []);
}

#[test]
fn empty_values_are_no_records() {
    let keys = ["path", "linkpath", "size", "uid", "gid", "mtime", "atime", "ctime"];
    let empty = keys.map(|key| (key, &b""[..]));
    let plain = one(&tar().file("name", b"content").end());
    let item = with(&empty);
    assert_eq!(Item { offset: 0, data_offset: 512, ..item }, plain);
    // It also takes back an earlier record of the same header.
    let item = with(&[("path", b"other"), ("uid", b"7"), ("path", b""), ("uid", b"")]);
    assert_eq!((item.path.as_slice(), item.owner), (&b"name"[..], (0o1750, 0o144)));
    assert_eq!(with(&[("path", b"first"), ("path", b"last")]).path, b"last");
    assert_eq!(one(&tar().pax(&[]).file("name", b"").end()).path, b"name");
}

#[test]
fn malformed_records() {
    let cases: [(&[u8], &str); 24] = [
        (b"x", "at byte 0 of the extended header: expected a decimal length and a space"),
        (b"\0", "expected a decimal length and a space"),
        (b" path=a\n", "expected a decimal length and a space"),
        (b"-10 path=a\n", "expected a decimal length and a space"),
        (b"0x0a path=a\n", "expected a decimal length and a space"),
        (b"10\tpath=a\n", "expected a decimal length and a space"),
        (b"10", "the length has no end"),
        (b"0 path=a\n", "the length is too small"),
        (b"1 path=a\n", "the length is too small"),
        (b"4 path=a\n", "the length is too small"),
        (b"8 path=a\n", "does not end with a newline"),
        (b"11 path=a\n", "the record is longer than the extended header"),
        (b"99999999999999999999999 path=a\n", "the record is longer than the extended header"),
        (b"18446744073709551615 path=a\n", "the record is longer than the extended header"),
        (b"10 path=ab", "does not end with a newline"),
        (b"9 path-a\n", "the record has no '='"),
        (b"10 pathxa\n", "the record has no '='"),
        (b"6 =ab\n", "the key is empty"),
        (b"7 =abc\n", "the key is empty"),
        (b"10 path=a\n\n", "at byte 10 of the extended header: expected a decimal length and a space"),
        (b"10 path=a\nx", "at byte 10 of the extended header"),
        (b"10 path=a\n\0\0\0", "at byte 10 of the extended header"),
        (b"11 pa\0th=a\n", "the key has a NUL"),
        (b"5 k=v\n", "does not end with a newline"),
    ];
    for (body, words) in cases {
        refused(&tar().pax_raw(body).file("a", b"").end(), words);
    }
    // Leading zeros change nothing.
    assert_eq!(one(&tar().pax_raw(b"00013 path=a\n").file("x", b"").end()).path, b"a");
}

#[test]
fn malformed_values() {
    let cases: [(&str, &[u8], &str); 20] = [
        ("path", b"a\0b", r#"PAX record path holds "a\x00b", expected a path without a NUL"#),
        ("linkpath", b"\0", "PAX record linkpath holds"),
        ("size", b"-1", r#"PAX record size holds "-1", expected a decimal number from 0 to 2^64-1"#),
        ("size", b"0x10", "PAX record size holds"),
        ("size", b"18446744073709551616", "PAX record size holds"),
        ("size", b"1.0", "PAX record size holds"),
        ("size", b" 1", "PAX record size holds"),
        ("size", b"1\n", "PAX record size holds"),
        ("uid", b"root", "PAX record uid holds"),
        ("uid", b"+1", "PAX record uid holds"),
        ("uid", b"-1", "PAX record uid holds"),
        ("gid", b"1e3", "PAX record gid holds"),
        ("gid", b"1_000", "PAX record gid holds"),
        ("mtime", b"yesterday", r#"PAX record mtime holds "yesterday", expected decimal seconds"#),
        ("mtime", b".5", "PAX record mtime holds"),
        ("mtime", b"1.5.5", "PAX record mtime holds"),
        ("mtime", b"0x1", "PAX record mtime holds"),
        ("atime", b"1e9", "PAX record atime holds"),
        ("ctime", b"--1", "PAX record ctime holds"),
        ("ctime", b"1,5", "PAX record ctime holds"),
    ];
    for (key, value, words) in cases {
        refused(&tar().pax(&[(key, value)]).file("a", b"").end(), words);
        // Also where a later record of the same key is right.
        refused(&tar().pax(&[(key, value), (key, b"1")]).file("a", b"").end(), words);
    }
}

#[test]
fn dangling_headers() {
    let pax = || tar().pax(&[("path", b"a")]);
    let ends = [Tar::end, |tar: Tar| tar.bytes];
    for end in ends {
        refused(
            &end(pax()),
            "dangling PAX extended header: expected the entry it describes, found the end of the archive",
        );
    }
    refused(&pax().pax(&[("uid", b"1")]).file("x", b"").end(), "a second PAX extended header for one entry");
    refused(
        &pax().entry(head("g").kind(b'g'), b"").file("x", b"").end(),
        "dangling PAX extended header: expected the entry it describes, found a PAX global header",
    );
    for len in 513..1024 {
        if len % 61 == 0 {
            refused(&pax().bytes[..len], "before the end of a PAX extended header");
        }
    }
}

#[test]
fn global_headers_are_passed_over() {
    let global = |body: &[u8]| tar().entry(head("pax_global_header").kind(b'g'), body);
    let archive =
        global(&record(b"path", b"other")).entry(head("g").kind(b'g'), b"not even records").file("name", b"x").end();
    assert_eq!(one(&archive).path, b"name");
    assert!(read(&global(b"11 comment=\n").end()).unwrap().is_empty());
    let limit = usize::try_from(MAX_RECORD_BODY).unwrap();
    assert_eq!(one(&global(&vec![1; limit]).file("name", b"").end()).path, b"name");
    refused(&global(&vec![1; limit + 1]).end(), "PAX global header of 1048577 bytes, expected at most 1048576");
    refused(&global(&[1; 100]).bytes[..600], "truncated archive");
}

#[test]
fn large_headers() {
    let limit = usize::try_from(MAX_RECORD_BODY).unwrap();
    let fits = record(b"comment", &vec![b'x'; limit - "1048576 comment=\n".len()]);
    assert_eq!(fits.len(), limit);
    assert_eq!(one(&tar().pax_raw(&fits).file("name", b"").end()).path, b"name");
    refused(&tar().pax_raw(&[&fits[..], b"\n"].concat()).end(), "PAX extended header of 1048577 bytes");
    // What is claimed costs nothing: there is no body.
    let claimed = tar().head(head("x").kind(b'x').at(124, b"77777777777\0")).end();
    refused(&claimed, "PAX extended header of 8589934591 bytes, expected at most 1048576");
}
