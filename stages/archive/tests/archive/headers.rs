//! What stands in a header block.

use cvbake_archive::tar::{Kind, Time};

use crate::build::{Head, head, tar};
use crate::read::{one, read, refused};

fn entry(head: Head) -> Vec<u8> {
    tar().head(head).end()
}

#[test]
fn a_file_with_everything() {
    let item = one(&tar().file("etc/motd", b"welcome\n").end());
    assert_eq!((item.path.as_slice(), item.kind), (&b"etc/motd"[..], Kind::File));
    assert_eq!((item.mode, item.owner, item.size), (0o644, (0o1750, 0o144), 8));
    assert_eq!((item.mtime, item.atime, item.ctime), (Time { secs: 15, nanos: 0 }, None, None));
    assert_eq!((item.stored.as_slice(), item.extents.as_slice()), (&b"welcome\n"[..], &[(0, 8)][..]));
    assert_eq!((item.offset, item.data_offset), (0, 512));
    assert!(!item.sparse);
}

#[test]
fn offsets_are_those_of_the_entrys_own_header() {
    let archive = tar().file("a", &[1; 513]).pax(&[("path", b"b")]).file("x", b"2").end();
    let items = read(&archive).unwrap();
    assert_eq!((items[1].offset, items[1].data_offset), (512 + 1024 + 1024, 512 + 1024 + 1024 + 512));
    assert_eq!(archive[usize::try_from(items[1].data_offset).unwrap()], b'2');
}

#[test]
fn every_type() {
    let cases = [
        (0, Kind::File),
        (b'0', Kind::File),
        (b'7', Kind::File),
        (b'1', Kind::HardLink),
        (b'2', Kind::Symlink),
        (b'3', Kind::CharDevice),
        (b'4', Kind::BlockDevice),
        (b'5', Kind::Directory),
        (b'6', Kind::Fifo),
    ];
    for (byte, kind) in cases {
        for format in [Head::gnu, Head::v7, |head: Head| head] {
            let item = one(&entry(format(head("name")).kind(byte).link("target")));
            assert_eq!(item.kind, kind);
            let is_link = matches!(kind, Kind::HardLink | Kind::Symlink);
            assert_eq!(item.link, if is_link { &b"target"[..] } else { b"" });
        }
    }
    for byte in (0..=255u8).filter(|byte| !b"\x0001234567xgLK".contains(byte)) {
        refused(&entry(head("name").kind(byte)), &format!("byte {byte:#04x}"));
    }
    refused(
        &entry(head("name").kind(b'V')),
        r#"entry "name", the tar header at byte 0: entry type 'V' (byte 0x56) is not"#,
    );
    // Only GNU headers have room for a sparse file's map.
    refused(&entry(head("name").kind(b'S')), "entry type 'S'");
    refused(&entry(head("name").v7().kind(b'S')), "entry type 'S' (byte 0x53) is not supported in a V7 header");
    // Records came with the magic number.
    for byte in *b"xgLK" {
        refused(&entry(head("name").v7().kind(byte)), &format!("(byte {byte:#04x}) is not supported in a V7 header"));
    }
}

#[test]
fn old_directories_end_with_a_slash() {
    for format in [Head::gnu, Head::v7, |head: Head| head] {
        let item = one(&entry(format(head("dir/")).kind(0)));
        assert_eq!((item.kind, item.path.as_slice()), (Kind::Directory, &b"dir/"[..]));
        assert_eq!(one(&entry(format(head("file/")).kind(b'0'))).kind, Kind::File);
    }
    refused(
        &tar().entry(head("dir/").kind(0), b"x").end(),
        "a directory cannot have content, but the header states 1 bytes",
    );
    let renamed = tar().pax(&[("path", b"dir/")]).head(head("file").kind(0)).end();
    assert_eq!(one(&renamed).kind, Kind::Directory);
}

#[test]
fn content_only_where_there_can_be_some() {
    for byte in b'1'..=b'6' {
        refused(
            &tar().entry(head("name").kind(byte), b"x").end(),
            "cannot have content, but the header states 1 bytes",
        );
        let pax = tar().pax(&[("size", b"7")]).head(head("name").kind(byte)).body(b"1234567").end();
        refused(&pax, "cannot have content, but the header states 7 bytes");
        // PAX wins the other way round as well.
        let pax = tar().pax(&[("size", b"0")]).head(head("name").kind(byte).size(7)).file("next", b"").end();
        assert_eq!(read(&pax).unwrap().len(), 2);
    }
}

#[test]
fn prefixes() {
    let full = "p".repeat(155);
    let name = "n".repeat(100);
    let path = |head| one(&entry(head)).path;
    assert_eq!(path(head("b").at(345, b"a")), b"a/b");
    assert_eq!(path(head(&name).at(345, full.as_bytes())), format!("{full}/{name}").as_bytes());
    assert_eq!(path(head("").at(345, b"a")), b"a/");
    // There other formats have other fields.
    assert_eq!(path(head("b").gnu().at(345, b"00000000001\0")), b"b");
    assert_eq!(path(head("b").v7().at(345, b"a")), b"b");
    let star = head("b").at(345, &full.as_bytes()[..131]).at(508, b"tar\0");
    assert_eq!(path(star.at(476, b"00000000001\x0000000000002\0")), format!("{}/b", &full[..131]).as_bytes());
}

#[test]
fn names_are_bytes() {
    let names: [&[u8]; 4] = [b"\xff\xfe", b" a ", b"a\nb", b"\x01"];
    for name in names {
        assert_eq!(one(&entry(head("").at(0, name))).path, name);
    }
    assert_eq!(one(&entry(head("name\0garbage"))).path, b"name");
    assert_eq!(one(&entry(head(""))).path, b"");
}

#[test]
fn times_of_gnu_and_star_headers() {
    let (one_sec, two_secs) = (Some(Time { secs: 1, nanos: 0 }), Some(Time { secs: 2, nanos: 0 }));
    let times = b"00000000001\x0000000000002\0";
    let gnu = one(&entry(head("a").gnu().at(345, times)));
    assert_eq!((gnu.atime, gnu.ctime), (one_sec, two_secs));
    let star = one(&entry(head("a").at(476, times).at(508, b"tar\0")));
    assert_eq!((star.atime, star.ctime), (one_sec, two_secs));
    let zero = one(&entry(head("a").gnu().at(345, b"00000000000\0")));
    assert_eq!((zero.atime, zero.ctime), (None, None));
    let go = one(&entry(head("a").gnu().at(345, b"some/prefix")));
    assert_eq!((&go.path[..], go.atime, go.ctime), (&b"some/prefix/a"[..], None, None));
    refused(&entry(head("a").gnu().at(345, b"some/\xffprefix")), "atime field holds");
}

#[test]
fn numbers() {
    let owner = |head| one(&entry(head)).owner;
    assert_eq!(owner(head("a").at(108, b"7777777\0").at(116, b" 77777 \0")), (0o7_777_777, 0o77777));
    assert_eq!(owner(head("a").at(108, b"77777777").at(116, &[0; 8])), (0o77_777_777, 0));
    assert_eq!(
        owner(head("a").at(108, b"\x80\0\0\x01\0\0\0\0").at(116, b"\x80\0\0\0\xff\xff\xff\xff")),
        (1 << 32, (1 << 32) - 1)
    );
    let device = |head: Head| one(&entry(head.kind(b'3'))).device;
    assert_eq!(device(head("a").at(329, b"0000005\x000000001\0")), (5, 1));
    assert_eq!(
        device(head("a").at(329, b"\x80\0\0\0\xff\xff\xff\xff\x80\0\0\x01\0\0\0\0")),
        (u64::from(u32::MAX), 1 << 32)
    );
    // What is no device has no number, whatever stands there.
    assert_eq!(one(&entry(head("a").at(329, b"garbage!garbage!"))).device, (0, 0));
    assert_eq!(one(&entry(head("a").at(136, &[0xff; 12]))).mtime, Time { secs: -1, nanos: 0 });
    assert_eq!(one(&entry(head("a").at(136, b"\x80\0\0\0\0\0\0\x01\0\0\0\0"))).mtime, Time { secs: 1 << 32, nanos: 0 });
    assert_eq!(one(&entry(head("a").at(100, b"0100755\0"))).mode, 0o100_755);
}

#[test]
fn numbers_that_are_none() {
    let minus_one = [0xff; 12];
    let cases: [(Head, &str); 12] = [
        (head("a").at(100, b"garbage\0"), r#"mode field holds "garbage\x00", expected an octal or base-256 number"#),
        (
            head("a").at(100, b"\x80\0\0\x01\0\0\0\0"),
            "mode field holds 4294967296, expected a number from 0 to 4294967295",
        ),
        (head("a").at(100, &minus_one[..8]), "mode field holds -1"),
        (head("a").at(108, b"00008\0\0\0"), "uid field holds"),
        (head("a").at(108, &minus_one[..8]), "uid field holds -1"),
        (head("a").at(116, b"1 2\0\0\0\0\0"), "gid field holds"),
        (head("a").at(116, &minus_one[..8]), "gid field holds -1"),
        (head("a").at(124, b"-0000000001\0"), "size field holds"),
        (head("a").at(124, &minus_one), "size field holds -1, expected a number from 0 to 18446744073709551615"),
        (head("a").at(124, b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), "size field holds 18446744073709551616"),
        (head("a").at(136, b"1.5\0\0\0\0\0\0\0\0\0"), "mtime field holds"),
        (head("a").kind(b'4').at(329, b"zz\0\0\0\0\0\0"), "devmajor field holds"),
    ];
    for (head, words) in cases {
        refused(&entry(head), words);
    }
}

#[test]
fn checksums() {
    let with = |stated: &str| {
        let mut block = head("naïve").done();
        block[148..156].fill(0);
        block[148..148 + stated.len()].copy_from_slice(stated.as_bytes());
        tar().raw(&block).end()
    };
    let unsigned: u32 = head("naïve").at(148, &[b' '; 8]).done()[..].iter().map(|&byte| u32::from(byte)).sum();
    let field: u32 = head("naïve").done()[148..156].iter().map(|&byte| u32::from(byte)).sum();
    let unsigned = unsigned - field + 8 * 32;
    for sum in [unsigned, unsigned - 2 * 256] {
        for stated in [format!("{sum:06o}\0 "), format!("{sum:o}"), format!(" {sum:o} "), format!("{sum:08o}")] {
            assert_eq!(one(&with(&stated)).path, "naïve".as_bytes());
        }
    }
    for stated in ["", "0", "000000", "garbage", "7777777"] {
        refused(&with(stated), "wrong header checksum: expected");
    }
    refused(
        &with(&format!("{:06o}\0 ", unsigned + 1)),
        &format!("wrong header checksum: expected {unsigned:06o}, found \"{:06o}", unsigned + 1),
    );
    // Any one byte that changes is noticed.
    let good = entry(head("a").link("b"));
    for at in (0..512).filter(|at| !(148..156).contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 0x15;
        refused(&bad, "wrong header checksum: expected");
    }
}

#[test]
fn other_formats_are_told() {
    let cases: [(&[u8], &str); 7] = [
        (b"login\nsystem\n", "found what looks like plain text"),
        (b"\n\t <!DOCTYPE html>", "found what looks like an HTML or XML page"),
        ("Bitte hier anmelden: \u{fc}\n".as_bytes(), "found what looks like plain text"),
        (b"#!/bin/sh\n", "found what looks like a script"),
        (b"\xfd7zXZ\0\0\0", "found what looks like xz data"),
        (b"<!DOCTYPE html><html>", "found what looks like an HTML or XML page"),
        (b"{\"schemaVersion\": 2}", "found what looks like a JSON document"),
    ];
    for (start, words) in cases {
        refused(start, words);
        refused(&[start, &[b' '; 2000]].concat(), words);
    }
    // Of no format that is known; an entry that is cut off or damaged is something else.
    let words = "expected a tar archive, found data that does not begin with a tar header";
    refused(&(0..2000u32).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect::<Vec<u8>>(), words);
    refused(&[[1; 100].as_slice(), &[0; 900]].concat(), words);
    refused(&entry(head("a"))[..400], "truncated archive");
    refused(&tar().file("a", b"").raw(&[1; 512]).bytes, "wrong header checksum");
    refused(&tar().file("a", b"").raw(b"{").bytes, "truncated archive");
    // A real entry may have such a name.
    assert_eq!(one(&entry(head("{"))).path, b"{");
}
