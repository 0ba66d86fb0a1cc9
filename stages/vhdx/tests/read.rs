//! What is written is read, and nothing that is damaged is taken for anything.
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use cvbake_disk::{Container, Subformat};
use cvbake_vhdx::{Identity, Info, Locator, Options};

const IDENTITY: Identity = Identity { file_write: [1; 16], data_write: *b"0123456789abcdef", virtual_disk: [3; 16] };

/// A file with the format's own bytes.
fn file(container: &Container) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(container.len_bytes()).unwrap();
    container.pieces().iter().for_each(|piece| file.write_all_at(&piece.bytes, piece.offset).unwrap());
    file
}

fn plain() -> Container {
    Options::default().plan(5 << 30, [0..4096, 4 << 30..(4 << 30) + 1], None, &IDENTITY).unwrap()
}

fn child(parent: &Info) -> Container {
    let locator = Locator {
        parent_linkage: parent.data_write,
        relative_path: Some(r".\parent.vhdx".to_owned()),
        absolute_win32_path: None,
    };
    Options::default().plan_child(parent, &locator, &Identity { data_write: [9; 16], ..IDENTITY }).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let fixed = Options { subformat: Subformat::Fixed, logical_sector_size: 4096, block_size: 4 << 20 };
    let info = Info::read(&file(&fixed.plan((1 << 30) + 512, [], None, &IDENTITY).unwrap())).unwrap();
    assert_eq!((info.virtual_disk_size, info.block_size, info.logical_sector_size), ((1 << 30) + 4096, 4 << 20, 4096));
    assert!(info.is_fixed && info.parent.is_none());
    let info = Info::read(&file(&plain())).unwrap();
    assert_eq!((info.data_write, info.virtual_disk, info.virtual_disk_size), (*b"0123456789abcdef", [3; 16], 5 << 30));
    assert!(!info.is_fixed);
    let child = Info::read(&file(&child(&info))).unwrap();
    let parent = child.parent.unwrap();
    assert_eq!((parent.parent_linkage, parent.relative_path.as_deref()), (info.data_write, Some(r".\parent.vhdx")));
    assert_eq!((child.virtual_disk_size, child.data_write), (5 << 30, [9; 16]));
}

/// One copy of each structure may be damaged. Where both are, or what there is only once is
/// damaged, there is an error, or the same as before; never another disk of that identity.
#[test]
fn damage() {
    let info = Info::read(&file(&plain())).unwrap();
    for (name, container) in [("plain", plain()), ("child", child(&info))] {
        let whole = Info::read(&file(&container)).unwrap();
        let file = file(&container);
        let metadata = 2_u64 << 20;
        let places = (0..9_u64).chain((64 << 10)..(64 << 10) + 90).chain((192 << 10)..(192 << 10) + 90);
        let places = places.chain(metadata..metadata + 230).chain(metadata + (64 << 10)..metadata + (64 << 10) + 120);
        for at in places {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            for other in [0, 1, 2, 0x10, 0x7f, 0x80, 0xff] {
                file.write_all_at(&[other], at).unwrap();
                if let Ok(read) = Info::read(&file)
                    && at < metadata
                {
                    assert_eq!(read, whole, "{name}: byte {at} is {other}");
                }
            }
            file.write_all_at(&byte, at).unwrap();
        }
        for len in [0, 1, 7, 8, 9, 65536, 1 << 20, (2 << 20) + 100, (3 << 20) - 1] {
            file.set_len(len).unwrap();
            let error = Info::read(&file).unwrap_err().to_string();
            assert!(!error.is_empty(), "{len}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let says = |at: u64, bytes: &[u8], copies: &[u64]| {
        let file = file(&plain());
        copies.iter().for_each(|copy| file.write_all_at(bytes, copy + at).unwrap());
        Info::read(&file).unwrap_err().to_string()
    };
    assert_eq!(says(0, b"vhdxfilf", &[0]), "expected \"vhdxfile\" at its beginning, found \"vhdxfilf\"");
    assert_eq!(says(20, &[7], &[64 << 10, 128 << 10]), "both copies of the header are damaged");
    assert_eq!(says(20, &[7], &[192 << 10, 256 << 10]), "both copies of the region table are damaged");
    // The number of metadata items; the first item's identification; the block size.
    assert_eq!(says(10, &[0, 9], &[2 << 20]), "the number of metadata items is 2304, expected at most 2047");
    assert!(says(32, &[7], &[2 << 20]).starts_with("an unknown metadata item that readers must know: {caa167"));
    assert_eq!(
        says(0, &[0, 0, 0, 3], &[(2 << 20) + (64 << 10)]),
        "the block size is 50331648, expected a power of two from 1 MiB to 256 MiB"
    );
    // The second item's identification, and its flags.
    let parameters = [0x37, 0x67, 0xA1, 0xCA, 0x36, 0xFA, 0x43, 0x4D, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B];
    assert_eq!(
        says(64, &parameters, &[2 << 20]),
        "it has the metadata item {caa16737-fa36-4d43-b3b6-33f0aa44e76b} twice"
    );
    assert!(says(64 + 24, &[7], &[2 << 20]).starts_with("an unknown metadata item that readers must know: {2fa54224"));
    assert_eq!(says(64 + 24, &[1], &[2 << 20]), "it has no size of the disk");
}
