//! What ext4 or Linux can't hold: an error that names it, never a loss.

use cvbake_ext4::{Layout, Options};
use cvbake_tree::{Device, FileData, Ino, Kind, Segment};

use crate::support::{Maker, mode, options};

#[test]
fn each_names_the_path() {
    const TIB: u64 = 1 << 40;
    let segment = |file_block, blocks| Segment { file_block, blocks };
    let (late, twice) = ([segment(2, 1)], [segment(1, 2), segment(2, 1)]);
    let (none, far) = ([segment(0, 0)], [segment(u32::MAX, u32::MAX)]);
    let file = |size, segments| Kind::File(FileData { size, pack: 0, pack_block: 0, segments });
    let long = [b'x'; 4096];
    let cases = [
        (file(16 * TIB - 4095, &[]), "/a/b\\x20c has 17592186040321 bytes, expected at most 17592186040320"),
        (file(8192, &late), "/a/b\\x20c: run of content at block 2 is out of order or beyond the file's 8192 bytes"),
        (file(16384, &twice), "/a/b\\x20c: run of content at block 2 is out of order or beyond the file's 16384 bytes"),
        (file(1, &none), "/a/b\\x20c: run of content at block 0 is out of order or beyond the file's 1 bytes"),
        (
            file(16 * TIB - 4096, &far),
            "/a/b\\x20c: run of content at block 4294967295 is out of order or beyond the file's 17592186040320 bytes",
        ),
        (Kind::Symlink(b""), "/a/b\\x20c: target of the symbolic link has 0 bytes, expected 1 to 4095"),
        (Kind::Symlink(&long), "/a/b\\x20c: target of the symbolic link has 4096 bytes, expected 1 to 4095"),
        (Kind::Symlink(b"a\0b"), "/a/b\\x20c: target of the symbolic link has a NUL at byte 1"),
        (
            Kind::CharDevice(Device { major: 4096, minor: 0 }),
            "/a/b\\x20c: device 4096:0 is out of range, expected at most 4095:1048575",
        ),
        (
            Kind::BlockDevice(Device { major: 1, minor: 1 << 20 }),
            "/a/b\\x20c: device 1:1048576 is out of range, expected at most 4095:1048575",
        ),
    ];
    for (kind, expected) in cases {
        let mut maker = Maker::new(&mode(0o755));
        let dir = maker.dir(Ino::ROOT, b"a");
        maker.add(dir, b"b c", kind, &mode(0o644));
        let error = Layout::plan(&maker.finish().0, &options()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_label_that_is_too_long() {
    let (tree, _) = Maker::new(&mode(0o755)).finish();
    let plan = |label: &[u8]| Layout::plan(&tree, &Options { label: label.to_vec(), ..options() });
    plan(b"sixteen bytes ok").unwrap();
    let error = plan(b"seventeen bytes !").unwrap_err();
    assert_eq!(error.to_string(), "the label \"seventeen\\\\x20bytes\\\\x20!\" has 17 bytes, expected at most 16");
}
