//! The parts of the program that parse what others say, which need no system.

#[path = "../program/identify.rs"]
mod identify;
#[path = "../program/listed.rs"]
mod listed;
#[path = "../program/options.rs"]
mod options;
#[path = "../program/verity.rs"]
mod verity;

use identify::{ENTRY, Entries, Wanted, is_hash_tree, uuid};
use listed::Loading;
use options::{Options, Overlay, number};
use verity::{Superblock, partitions};

#[test]
fn a_program_without_a_library() {
    let program = super::program(std::env::consts::ARCH).unwrap();
    // On arm64 its segments begin at pages of 64 KiB.
    assert!(program.len() < 128 << 10, "{} bytes", program.len());
    let contains = |text: &[u8]| program.windows(text.len()).any(|window| window == text);
    assert!(!contains(env!("CARGO_MANIFEST_DIR").as_bytes()), "no path of this machine is in it");
    assert!(!contains(b"GNU C Library") && !contains(b"/ld-linux"), "it needs nothing else");
}

#[test]
fn command_lines() {
    let line = b"root=PARTUUID=01020304-0506-0708-090a-0b0c0d0e0f10 rw rootflags=\"a b\" \"init=/my init\" rootwait=5 \
        cvbake.overlay=tmpfs panic=-1 quiet ro -- init=/other\n";
    let options = Options::parse(line);
    let guid = [4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16];
    assert_eq!(options.wanted(), Some(Wanted::PartUuid(guid)));
    assert_eq!((options.root_flags, options.init), (Some(&b"a b"[..]), Some(&b"/my init"[..])));
    assert_eq!(
        (options.writable, options.wait, options.overlay, options.panics),
        (false, 5, Some(Overlay::Memory), true)
    );
    let empty = Options::parse(b"");
    assert_eq!((empty.wanted(), empty.wait, empty.panics), (None, 60, false));
    assert_eq!(number(b"4294967296"), None);
    for (root, wanted) in [
        ("/dev/vda2", Some(Wanted::Name(b"vda2"))),
        ("LABEL=root", Some(Wanted::Label(b"root"))),
        ("PARTLABEL=root", Some(Wanted::PartLabel(b"root"))),
        ("UUID=00000000-0000-0000-0000-0000000000ff", Some(Wanted::Uuid(255_u128.to_be_bytes()))),
        ("UUID=00000000-0000-0000-0000-0000000000f", None),
        ("PARTUUID=00000000-0000-0000-0000-0000000000fff", None),
        ("8:1", None),
    ] {
        let line = format!("root={root}");
        assert_eq!(Options::parse(line.as_bytes()).wanted(), wanted, "{root}");
    }
    assert_eq!(uuid(b"xx"), None);
}

/// What depends on a module that was not loaded is not given, and neither is what depends on that.
#[test]
fn lists_of_modules() {
    let given = |list: &str, failing: &[&str]| {
        let mut loading = Loading::new(list.as_bytes());
        let mut given = Vec::new();
        while let Some(path) = loading.next() {
            let path = std::str::from_utf8(path).unwrap().to_owned();
            if failing.contains(&path.as_str()) {
                loading.failed();
            }
            given.push(path);
        }
        given.join(" ")
    };
    let list = "/a\n/b 0\n/c\n/d 2 1\n/e 2";
    assert_eq!(given(list, &[]), "/a /b /c /d /e");
    assert_eq!(given(list, &["/a"]), "/a /c /e");
    assert_eq!(given(list, &["/c"]), "/a /b /c");
    assert_eq!(given("\n\n/a x 4294967296 999 2\n", &[]), "/a");
    let long: String = (0..300).map(|number| format!("/{number} 299\n")).collect();
    assert_eq!(given(&long, &["/299", "/0"]).split(' ').count(), 300);
}

#[test]
fn overlays_and_places_of_trees() {
    for (line, overlay) in [
        ("cvbake.overlay=tmpfs cvbake.overlay=none", None),
        ("cvbake.overlay=tmpfs cvbake.overlay=LABEL=mine", Some(Overlay::Device(&b"LABEL=mine"[..]))),
    ] {
        assert_eq!(Options::parse(line.as_bytes()).overlay, overlay, "{line}");
    }
    let line = b"systemd.verity_root_data=/dev/a systemd.verity_root_hash=/dev/b";
    let options = Options::parse(line);
    assert_eq!((options.verity_data, options.verity_hash), (Some(&b"/dev/a"[..]), Some(&b"/dev/b"[..])));
    for (value, offset) in [
        ("", Some(0)),
        ("superblock=yes", Some(0)),
        ("x,hash-offset=35651584", Some(35_651_584)),
        ("hash-offset=8589934592,x", Some(1 << 33)),
        ("hash-offset=1M", None),
        ("hash-offset=99999999999999999999", None),
    ] {
        let line = format!("systemd.verity_root_options={value}");
        assert_eq!(Options::parse(line.as_bytes()).hash_offset(), offset, "{value}");
    }
    assert_eq!(Options::parse(b"").hash_offset(), Some(0));
}

#[test]
fn entries_and_superblocks() {
    let mut entry = [0; ENTRY];
    entry[16..32].fill(7);
    let wanted = Wanted::PartUuid([7; 16]);
    assert!(!wanted.is_entry(&entry), "it is not in use");
    entry[0] = 1;
    assert!(wanted.is_entry(&entry) && !Wanted::Uuid([7; 16]).is_entry(&entry));
    entry[56] = b'r';
    assert!(Wanted::PartLabel(b"r").is_entry(&entry));
    assert!(!Wanted::PartLabel(b"").is_entry(&entry) && !Wanted::PartLabel(b"ro").is_entry(&entry));
    assert!(!Wanted::PartLabel(&[b'r'; 300]).is_entry(&entry));

    let mut superblock = [0; 1024];
    superblock[0x68..0x78].fill(9);
    superblock[0x78] = b'x';
    assert!(!Wanted::Uuid([9; 16]).is_superblock(&superblock), "it is none");
    superblock[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
    assert!(Wanted::Uuid([9; 16]).is_superblock(&superblock) && Wanted::Label(b"x").is_superblock(&superblock));
    let mut erofs = [0; 1024];
    erofs[..4].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    erofs[0x30..0x40].fill(9);
    erofs[0x40] = b'y';
    assert!(Wanted::Uuid([9; 16]).is_superblock(&erofs) && Wanted::Label(b"y").is_superblock(&erofs));
    assert!(!Wanted::Label(b"").is_superblock(&superblock) && !Wanted::Label(b"xy").is_superblock(&superblock));
}

#[test]
fn headers() {
    let mut header = [0; 96];
    header[..8].copy_from_slice(b"EFI PART");
    header[72] = 2;
    header[80] = 128;
    header[84] = 128;
    assert_eq!(Entries::of_header(&header), Some(Entries { lba: 2, count: 128, size: 128 }));
    for (at, value) in [(0, 0), (83, 1), (84, 127), (87, 1)] {
        let mut bad = header;
        bad[at] = value;
        assert_eq!(Entries::of_header(&bad), None, "{at}");
    }
}

#[test]
fn hash_trees() {
    let mut bytes = [0; 512];
    bytes[..8].copy_from_slice(b"verity\0\0");
    bytes[8] = 1;
    bytes[12] = 1;
    bytes[32..38].copy_from_slice(b"sha256");
    bytes[65] = 16;
    bytes[69] = 16;
    bytes[72] = 10;
    bytes[80] = 2;
    bytes[88..90].fill(0xaa);
    let superblock = Superblock::parse(&bytes).unwrap();
    assert_eq!(
        (superblock.sectors(), superblock.salt, superblock.algorithm),
        (Some(80), &[0xaa; 2][..], &b"sha256"[..])
    );
    for (at, value) in [(0, 0), (8, 2), (32, 0), (33, b' '), (65, 17), (67, 1), (79, 255), (81, 2)] {
        let mut bad = bytes;
        bad[at] = value;
        assert_eq!(Superblock::parse(&bad), None, "{at}");
    }
    // What is left of the block of the superblock is not used.
    for (offset, first) in [(0, 1), (4096, 2), (4096 + 512, 2), (8192 - 256, 3), (u64::MAX - 4095, 1 << 52)] {
        assert_eq!(superblock.first_block(offset), Some(first), "{offset}");
    }
    assert_eq!(superblock.first_block(u64::MAX), None);
    let mut beginning = [0; 32];
    beginning.copy_from_slice(&bytes[..32]);
    beginning[16..].fill(7);
    assert!(is_hash_tree(&beginning, &Wanted::Uuid([7; 16])) && !is_hash_tree(&beginning, &Wanted::PartUuid([7; 16])));
    beginning[0] = 0;
    assert!(!is_hash_tree(&beginning, &Wanted::Uuid([7; 16])));
    let hash = [b'1'; 64];
    assert_eq!(partitions(&hash), Some((Wanted::PartUuid([0x11; 16]), Wanted::PartUuid([0x11; 16]))));
    assert_eq!(partitions(&hash[1..]), None);
    assert_eq!(partitions(&[b'g'; 64]), None);
}
