//! GNU sparse files in their four forms.

use std::io::Read;

use cvbake_archive::tar::{MAX_EXTENTS, MAX_SPARSE_SIZE, Reader};

use crate::build::{Head, Tar, head, record, tar};
use crate::read::{Item, one, read, refused};

type Map<'a> = &'a [(u64, u64)];
type Records<'a> = &'a [(&'a str, &'a [u8])];

/// The bytes that the parts of a map hold: never zeros, different at every place.
fn parts(map: Map) -> Vec<u8> {
    let places = map.iter().flat_map(|&(offset, len)| offset..offset + len);
    places.map(|place| u8::try_from(place % 255 + 1).unwrap()).collect()
}

fn checked(item: Item, real: u64, map: Map) -> Item {
    assert!(item.sparse);
    assert_eq!(item.size, real);
    let stored: Vec<_> = map.iter().copied().filter(|&(_, len)| len > 0).collect();
    assert_eq!(item.extents, stored);
    assert_eq!(item.stored, parts(map));
    item
}

/// A header field of 12 bytes: octal, or base-256 where that is too small.
fn field(number: u64) -> Vec<u8> {
    if number < 1 << 33 {
        return format!("{number:011o}\0").into_bytes();
    }
    [&[0x80, 0, 0, 0][..], &number.to_be_bytes()].concat()
}

fn part((offset, len): (u64, u64)) -> Vec<u8> {
    [field(offset), field(len)].concat()
}

/// The header of an old sparse file and its extension blocks.
fn old_blocks(map: Map, real: u64, stored: usize) -> Tar {
    let (first, rest) = map.split_at(map.len().min(4));
    let mut block = head("sparse").gnu().kind(b'S').size(stored).at(483, &field(real));
    for (number, &pair) in first.iter().enumerate() {
        block = block.at(386 + 24 * number, &part(pair));
    }
    let mut archive = tar().head(if rest.is_empty() { block } else { block.at(482, &[1]) });
    for chunk in rest.chunks(21) {
        let mut extension: Vec<u8> = chunk.iter().flat_map(|&pair| part(pair)).collect();
        extension.resize(512, 0);
        let is_last = chunk.as_ptr_range().end == rest.as_ptr_range().end;
        extension[504] = u8::from(!is_last);
        archive = archive.raw(&extension);
    }
    archive
}

fn old(map: Map, real: u64) -> Vec<u8> {
    let content = parts(map);
    old_blocks(map, real, content.len()).body(&content).file("next", b"n").end()
}

fn version_0_0(map: Map, real: u64) -> Vec<u8> {
    let mut records = [record(b"GNU.sparse.size", real.to_string().as_bytes())].concat();
    records.extend(record(b"GNU.sparse.numblocks", map.len().to_string().as_bytes()));
    for (offset, len) in map {
        records.extend(record(b"GNU.sparse.offset", offset.to_string().as_bytes()));
        records.extend(record(b"GNU.sparse.numbytes", len.to_string().as_bytes()));
    }
    tar().pax_raw(&records).file("sparse", &parts(map)).file("next", b"n").end()
}

fn map_text(map: Map) -> String {
    map.iter().map(|(offset, len)| format!("{offset},{len}")).collect::<Vec<_>>().join(",")
}

fn version_0_1(map: Map, real: u64) -> Vec<u8> {
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.size", real.to_string().as_bytes()),
        ("GNU.sparse.numblocks", map.len().to_string().as_bytes()),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.map", map_text(map).as_bytes()),
    ]
    .map(|(key, value)| (key, &*value.to_vec().leak()));
    tar().pax(&records).file("GNUSparseFile.0/x", &parts(map)).file("next", b"n").end()
}

/// The map as it stands before the content, filled up to a block.
fn map_lines(map: Map) -> Vec<u8> {
    let numbers = map.iter().flat_map(|&(offset, len)| [offset, len]);
    let mut lines = format!("{}\n", map.len()).into_bytes();
    numbers.for_each(|number| lines.extend(format!("{number}\n").into_bytes()));
    lines.resize(lines.len().next_multiple_of(512), 0);
    lines
}

fn version_1_0_raw(head_of_content: &[u8], content: &[u8], real: u64) -> Vec<u8> {
    let real = real.to_string();
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", real.as_bytes()),
    ];
    tar().pax(&records).file("GNUSparseFile.0/x", &[head_of_content, content].concat()).file("next", b"n").end()
}

fn version_1_0(map: Map, real: u64) -> Vec<u8> {
    version_1_0_raw(&map_lines(map), &parts(map), real)
}

type Form = fn(Map, u64) -> Vec<u8>;
const FORMS: [Form; 4] = [old, version_0_0, version_0_1, version_1_0];

#[test]
fn all_forms_say_the_same() {
    let many: Vec<(u64, u64)> = (0..100).map(|at| (at * 1000, 7 + at)).collect();
    let maps: [(Map, u64); 9] = [
        (&[(0, 512), (1024, 100)], 5000),
        (&[(4096, 1000)], 5096),
        (&[(0, 10), (10, 10)], 20),
        (&[(1000, 24), (1 << 20, 0)], 1 << 20),
        (&[(1 << 43, 1)], 1 << 44),
        (&[(0, 1), (10, 1), (20, 1), (30, 1)], 31),
        (&[(0, 1), (10, 1), (20, 1), (30, 1), (40, 1)], 41),
        (&many[..25], 100_000),
        (&many, 100_000),
    ];
    for form in FORMS {
        for (map, real) in maps {
            let items = read(&form(map, real)).unwrap_or_else(|error| panic!("{error}: {map:?}"));
            assert_eq!(items.len(), 2);
            assert_eq!(checked(items[0].clone(), real, map).path, b"sparse");
            assert_eq!(items[1].stored, b"n");
        }
    }
}

#[test]
fn nothing_but_holes() {
    for form in FORMS {
        for map in [&[][..], &[(1 << 20, 0)]] {
            let items = read(&form(map, 1 << 20)).unwrap();
            checked(items[0].clone(), 1 << 20, map);
        }
    }
    // The copying reader makes the zeros.
    let archive = version_1_0(&[], 100_000);
    let mut reader = Reader::new(&archive[..]);
    let mut content = Vec::new();
    reader.next_entry().unwrap().unwrap().data.read_to_end(&mut content).unwrap();
    assert_eq!(content, vec![0; 100_000]);
}

#[test]
fn maps_that_are_wrong() {
    let cases: [(Map, u64, &str); 7] = [
        (&[(100, 10), (50, 10)], 1000, "a part starts at 50, before the end of the part before it, 110"),
        (&[(100, 10), (109, 10)], 1000, "a part starts at 109, before the end of the part before it, 110"),
        (&[(100, 0), (50, 10)], 1000, "a part starts at 50, before the end of the part before it, 100"),
        (&[(100, 10)], 109, "a part of 10 bytes at 100 ends after the file's size, 109"),
        (&[(101, 0)], 100, "a part of 0 bytes at 101 ends after the file's size, 100"),
        (&[(0, 1)], MAX_SPARSE_SIZE + 1, "its size is 17592186044417 bytes, expected at most 17592186044416"),
        (&[], u64::MAX >> 3, "expected at most 17592186044416"),
    ];
    for (map, real, words) in cases {
        for form in FORMS {
            refused(&form(map, real), words);
        }
    }
    // The old form's size in base-256, beyond the limit and beyond numbers.
    let with_size = |size: &[u8; 12]| tar().head(head("a").gnu().kind(b'S').at(483, size)).end();
    refused(&with_size(b"\x80\0\0\0\0\0\x10\0\0\0\0\x01"), "its size is 17592186044417 bytes");
    refused(&with_size(&[0xff; 12]), "realsize field holds -1");
    refused(&with_size(b"one\0\0\0\0\0\0\0\0\0"), "realsize field holds \"one");
}

#[test]
fn maps_that_do_not_fit_the_content() {
    let map: Map = &[(0, 600), (1000, 100)];
    for (stored, words) in
        [(&parts(map)[1..], "its map describes 700 bytes, but 699 are stored"), (&[1; 701], "but 701 are stored")]
    {
        refused(&old_blocks(map, 2000, stored.len()).body(stored).end(), words);
        let records: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"2000"), ("GNU.sparse.map", b"0,600,1000,100")];
        refused(&tar().pax(&records).file("a", stored).end(), words);
        refused(&version_1_0_raw(&map_lines(map), stored, 2000), words);
    }
    // PAX wins over the header here, too.
    let archive = tar()
        .pax(&[("GNU.sparse.size", b"2000"), ("GNU.sparse.map", b"0,600,1000,100"), ("size", b"700")])
        .head(head("sparse").size(3))
        .body(&parts(map))
        .end();
    checked(one(&archive), 2000, map);
    let blocks = old_blocks(map, 2000, 3).bytes;
    checked(one(&tar().pax(&[("size", b"700")]).raw(&blocks).body(&parts(map)).end()), 2000, map);
}

#[test]
fn old_maps_with_gaps() {
    let base = || head("a").gnu().kind(b'S').at(483, &field(1000));
    refused(&tar().head(base().at(410, &part((0, 0)))).end(), "its map has a gap");
    refused(&tar().head(base().at(386, &field(5))).end(), "its map has a gap");
    refused(&tar().head(base().at(398, &field(5))).end(), "its map has a gap");
    refused(&tar().head(base().at(386, &part((0, 0))).at(482, &[1])).end(), "its map goes on after its end");
    refused(&tar().head(base().at(386, b"zzz").at(398, b"1")).end(), "sparse offset field holds");
    refused(&tar().head(base().at(386, b"1").at(398, &[0xff; 12])).end(), "sparse numbytes field holds -1");
    let map: Vec<(u64, u64)> = (0..60).map(|at| (at * 10, 1)).collect();
    let blocks = old_blocks(&map, 1000, 60).bytes;
    assert_eq!(blocks.len(), 512 * 4);
    refused(&blocks[..1000], "truncated archive: the stream ends 24 bytes before the end of a sparse file's map");
    refused(&blocks[..1024], "the stream ends 512 bytes before the end of a sparse file's map");
}

#[test]
fn extended_headers_that_are_no_map() {
    let cases: [(Records, &str); 19] = [
        (&[("GNU.sparse.map", b"0,1")], "neither GNU.sparse.size nor GNU.sparse.realsize"),
        (&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")], "neither GNU.sparse.size nor GNU.sparse.realsize"),
        (&[("GNU.sparse.name", b"x")], "neither a map nor a version"),
        (&[("GNU.sparse.realsize", b"1")], "neither a map nor a version"),
        (&[("GNU.sparse.major", b"1")], "version 1.?, expected 0.0, 0.1 or 1.0"),
        (&[("GNU.sparse.minor", b"0")], "version ?.0"),
        (&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"1")], "version 1.1"),
        (&[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0")], "version 2.0"),
        (&[("GNU.sparse.major", b"one")], "PAX record GNU.sparse.major holds"),
        (&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0")], "GNU.sparse.map is not pairs of decimal numbers"),
        (&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,1,")], "GNU.sparse.map is not pairs"),
        (&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,-1")], "GNU.sparse.map is not pairs"),
        (&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0, 1")], "GNU.sparse.map is not pairs"),
        (&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,99999999999999999999")], "GNU.sparse.map is not pairs"),
        (&[("GNU.sparse.size", b"9"), ("GNU.sparse.offset", b"0")], "GNU.sparse.offset without GNU.sparse.numbytes"),
        (&[("GNU.sparse.numbytes", b"0")], "GNU.sparse.numbytes before GNU.sparse.offset"),
        (&[("GNU.sparse.offset", b"0"), ("GNU.sparse.offset", b"0")], "a second GNU.sparse.offset"),
        (
            &[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,1"), ("GNU.sparse.numblocks", b"2")],
            "GNU.sparse.numblocks is 2, but the map has 1 parts",
        ),
        (&[("GNU.sparse.name", b"a\0b")], "PAX record GNU.sparse.name holds"),
    ];
    for (records, words) in cases {
        refused(&tar().pax(records).file("a", b"1").end(), words);
    }
    let size = ("GNU.sparse.size", &b"9"[..]);
    let pair: [(&str, &[u8]); 2] = [("GNU.sparse.offset", b"0"), ("GNU.sparse.numbytes", b"1")];
    let both = [size, pair[0], pair[1], ("GNU.sparse.map", b"0,1")];
    refused(&tar().pax(&both).file("a", b"1").end(), "two maps in one extended header");
    let version = [size, ("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.map", b"0,1")];
    refused(&tar().pax(&version).file("a", b"1").end(), "version 1.0 with a map in the extended header");
    // Records with empty values are none.
    let empty: [(&str, &[u8]); 4] =
        [("GNU.sparse.map", b""), ("GNU.sparse.major", b""), ("GNU.sparse.name", b""), ("GNU.sparse.offset", b"")];
    assert!(!one(&tar().pax(&empty).file("a", b"1").end()).sparse);
}

#[test]
fn only_files_are_sparse() {
    let records: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"9,0")];
    for byte in b'1'..=b'6' {
        refused(&tar().pax(&records).head(head("a").kind(byte)).end(), "GNU.sparse records for a");
    }
    for byte in [0, b'0', b'7'] {
        assert_eq!(one(&tar().pax(&records).head(head("a").kind(byte)).end()).size, 9);
    }
    refused(&tar().pax(&records).head(head("a").gnu().kind(b'S')).end(), "GNU.sparse records for an entry of type 'S'");
}

#[test]
fn names_of_sparse_files() {
    let records: [(&str, &[u8]); 5] = [
        ("GNU.sparse.name", b"real"),
        ("path", b"GNUSparseFile.7/real"),
        ("GNU.sparse.major", b"0"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.size", b"0"),
    ];
    assert_eq!(one(&tar().pax(&records).file("a", b"").end()).path, b"real");
    let conflict = tar().pax(&records[..1]).long(b'L', b"long").file("a", b"").end();
    refused(&conflict, "both the PAX record path and a GNU long path");
}

#[test]
fn maps_before_the_content() {
    let pad = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let cases: [(&str, &str); 9] = [
        ("x\n", "is not lines of decimal numbers"),
        ("\n", "is not lines of decimal numbers"),
        ("1\n0\n", "is not lines of decimal numbers"),
        ("1\n0,1\n", "is not lines of decimal numbers"),
        ("1\n 0\n1\n", "is not lines of decimal numbers"),
        ("1\n-1\n1\n", "is not lines of decimal numbers"),
        ("99999999999999999999\n", "a number of its map is larger than 2^64-1"),
        ("1048577\n", "its map has 1048577 parts, expected at most 1048576"),
        ("18446744073709551615\n", "its map has 18446744073709551615 parts"),
    ];
    for (text, words) in cases {
        refused(&version_1_0_raw(&pad(text), &[], 1000), words);
    }
    refused(&version_1_0_raw(b"", &[], 1000), "its map is longer than what is stored");
    refused(&version_1_0_raw(b"0\n", &[], 1000), "its map is longer than what is stored");
    let long = "0".repeat(511) + "1";
    refused(&version_1_0_raw(long.as_bytes(), &[], 1000), "its map is longer than what is stored");
    // A number may go over the edge of a block.
    let edge = format!("{}2\n0\n1\n5\n1\n", "0".repeat(511));
    checked(read(&version_1_0_raw(&pad(&edge), &parts(&[(0, 1), (5, 1)]), 6)).unwrap().remove(0), 6, &[(0, 1), (5, 1)]);
    let whole = version_1_0(&[(0, 1)], 6);
    refused(&whole[..512 * 3 + 100], "the stream ends 412 bytes before the end of a sparse file's map");
}

#[test]
fn too_many_parts() {
    // Parts of no bytes cost an archive nothing but their place in the map.
    let lines = |count: usize| {
        let mut lines = format!("{count}\n{}", "0\n0\n".repeat(count)).into_bytes();
        lines.resize(lines.len().next_multiple_of(512), 0);
        lines
    };
    let read_one = |archive: &[u8]| Reader::new(archive).next_entry().map(|entry| entry.unwrap().header.size);
    assert_eq!(read_one(&version_1_0_raw(&lines(MAX_EXTENTS), &[], 1000)).unwrap(), 1000);
    let error = read_one(&version_1_0_raw(&lines(MAX_EXTENTS + 1), &[], 1000)).unwrap_err();
    assert!(error.to_string().contains("expected at most 1048576"), "{error}");

    let extensions = MAX_EXTENTS / 21 + 1;
    let mut archive = tar();
    let first: Head =
        (0..4).fold(head("a").gnu().kind(b'S').at(482, &[1]), |head, at| head.at(386 + 24 * at, &part((0, 0))));
    archive = archive.head(first);
    let mut extension = part((0, 0)).repeat(21);
    extension.resize(512, 0);
    extension[504] = 1;
    archive = archive.raw(&extension.repeat(extensions));
    let error = read_one(&archive.bytes).unwrap_err();
    assert!(error.to_string().contains("its map has more than 1048576 parts"), "{error}");
}
