//! Disks of all kinds of trees, under e2fsck.

use cvbake_ext4::{Layout, Options, Size};
use cvbake_tree::{Device, FileData, Ino, Kind, Meta, Packs, Segment, Time, Xattr};

use crate::support::{Maker, bake, compare, debugfs, fsck, mode, options, tool};

const SIZES: [Size; 4] = [Size::Min, Size::Auto, Size::Extra(5 << 20), Size::Exact(3 << 30)];

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().into(), value: value.into() }
}

#[test]
fn an_empty_tree() {
    let (tree, packs) = Maker::new(&mode(0o755)).finish();
    for size in SIZES {
        for journal in [true, false] {
            let disk = bake(&tree, &packs, &Options { size, journal, ..options() });
            fsck(disk.path());
            assert_eq!(compare(disk.path(), &tree, &packs), 0);
        }
    }
}

/// Something of every kind, with attributes of every kind.
pub(crate) fn everything() -> Maker {
    let root = Meta {
        mtime: Time { secs: 5, nanos: 6 },
        xattrs: vec![xattr("user.root", b"yes")],
        uid: 70000,
        gid: 80000,
        ..mode(0o1777)
    };
    let mut maker = Maker::new(&root);
    let dir = maker.dir(Ino::ROOT, b"dir");
    let content: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    let file =
        maker.file(dir, b"file", 1, &content, &Meta { mtime: Time { secs: -1, nanos: 999_999_999 }, ..mode(0o4755) });
    maker.builder.link(Ino::ROOT, b"hard\xff link", file).unwrap();
    maker.file(dir, b"empty", 0, b"", &mode(0o600));
    maker.file(dir, b"short", 0, b"short", &Meta { uid: u32::MAX - 1, gid: u32::MAX - 1, ..mode(0) });
    maker.file(dir, b"all hole", 0, &[0; 100_000], &mode(0o600));
    let mut holes = vec![0; 4096 * 20];
    for at in [0, 3, 4, 9, 11, 13, 15, 19] {
        holes[at * 4096..][..4096].fill(1 + u8::try_from(at).unwrap());
    }
    maker.file(dir, b"holes", 1, &holes, &mode(0o640));
    for (len, name) in [(1, b"link 1".as_slice()), (59, b"link 59"), (60, b"link 60"), (4095, b"link 4095")] {
        let target: Vec<u8> = (1..=len).map(|at| if at % 200 == 0 { b'/' } else { b'x' }).collect();
        maker.add(dir, name, Kind::Symlink(&target), &mode(0o777));
    }
    let devices = [(0, 0), (1, 3), (255, 255), (256, 0), (0, 256), (4095, (1 << 20) - 1)];
    for (at, (major, minor)) in devices.into_iter().enumerate() {
        let name = format!("dev{at}");
        maker.add(dir, format!("c{name}").as_bytes(), Kind::CharDevice(Device { major, minor }), &mode(0o666));
        maker.add(dir, format!("b{name}").as_bytes(), Kind::BlockDevice(Device { major, minor }), &mode(0o660));
    }
    maker.add(dir, b"fifo", Kind::Fifo, &mode(0o622));
    maker.add(dir, b"socket", Kind::Socket, &mode(0o755));
    let times =
        [(-(1i64 << 31), 0), ((1 << 31) - 1, 1), (1 << 31, 2), ((1 << 33) + 5, 3), ((1 << 34) - (1 << 31) - 1, 4)];
    for (secs, nanos) in times {
        let time = Time { secs, nanos };
        let meta = Meta { mtime: time, atime: Some(Time::from_secs(77)), ctime: Some(time), ..mode(0o700) };
        maker.add(dir, format!("at {secs}").as_bytes(), Kind::Directory, &meta);
    }
    let sets: [Vec<Xattr>; 7] = [
        vec![xattr("user.a", b"1")],
        vec![xattr("user.empty", b""), xattr("trusted.overlay.opaque", b"y")],
        vec![xattr("security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0")],
        vec![xattr("security.capability", &[1; 20]), xattr("user.large", &[b'L'; 3000])],
        vec![
            xattr("odd.space", b"v"),
            xattr("noprefix", b"w"),
            xattr("system.other", b"x"),
            xattr("gnu.translator", b"t"),
        ],
        (0..40).map(|at| xattr(&format!("user.{at}"), format!("value {at}").as_bytes())).collect(),
        vec![
            xattr("user.\u{fc}ml", "\u{e4}\u{f6}".as_bytes()),
            xattr(&format!("user.{}", "n".repeat(250)), &[0xff; 3700]),
        ],
    ];
    for (at, xattrs) in sets.into_iter().enumerate() {
        maker.file(
            dir,
            format!("attributes {at}").as_bytes(),
            0,
            b"x",
            &Meta { xattrs: xattrs.clone(), ..mode(0o644) },
        );
        maker.add(dir, format!("link {at} with").as_bytes(), Kind::Symlink(b"file"), &Meta { xattrs, ..mode(0o777) });
    }
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x05\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x05\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let acls = vec![xattr("system.posix_acl_access", acl), xattr("system.posix_acl_default", acl)];
    maker.add(dir, b"acl", Kind::Directory, &Meta { xattrs: acls, ..mode(0o750) });
    maker
}

#[test]
fn everything_comes_back() {
    let (tree, packs) = everything().finish();
    for size in SIZES {
        for journal in [true, false] {
            let disk = bake(&tree, &packs, &Options { size, journal, ..options() });
            fsck(disk.path());
            // Two names of a file and two directories have times that the other reader does not
            // know.
            assert_eq!(compare(disk.path(), &tree, &packs), tree.entry_count() - 4);
        }
    }
}

#[test]
fn debugfs_sees_what_other_readers_do_not() {
    let (tree, packs) = everything().finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, ..options() });
    let says = |command: &str, expected: &[&str]| {
        let said = debugfs(disk.path(), command);
        for expected in expected {
            assert!(said.contains(expected), "{command}: no {expected:?} in\n{said}");
        }
    };
    says("stat dir/cdev5", &["Type: character special", "Device major/minor number: 4095:1048575"]);
    says("stat dir/bdev4", &["Type: block special", "Device major/minor number: 00:256"]);
    says("stat dir/cdev2", &["Device major/minor number: 255:255"]);
    says("stat dir/fifo", &["Type: FIFO", "Blockcount: 0"]);
    says("stat dir/socket", &["Type: socket"]);
    says("stat \"dir/link 59\"", &["Fast link dest: \"xxx", "Blockcount: 0", "Flags: 0x0"]);
    says("stat \"dir/link 60\"", &["Blockcount: 8", "Flags: 0x80000"]);
    says(
        "stat \"dir/file\"",
        &["Links: 2", "mtime: 0xffffffff:ee6b27fc", "crtime: 0xffffffff:ee6b27fc", "Size: 160000"],
    );
    says("stat dir/holes", &["Blockcount: 72"]);
    says("stat lost+found", &["Inode: 11 ", "Mode:  0700", "Size: 16384", "Links: 2"]);
    says("ea_list \"dir/attributes 0\"", &["user.a (1) = \"1\""]);
    says("ea_list \"dir/attributes 1\"", &["user.empty (0)", "trusted.overlay.opaque (1) = \"y\""]);
    says(
        "ea_list \"dir/attributes 4\"",
        &["odd.space (1) = \"v\"", "noprefix (1) = \"w\"", "system.other (1)", "gnu.translator (1)"],
    );
    says("ea_list \"dir/attributes 5\"", &["user.0 (7) = \"value 0\"", "user.39 (8) = \"value 39\""]);
    says("ea_list \"dir/attributes 6\"", &["(3700)"]);
    says("ea_list dir/acl", &["system.posix_acl_access (28)", "system.posix_acl_default (28)"]);
    let said = String::from_utf8(tool("dumpe2fs").arg("-h").arg(disk.path()).output().unwrap().stdout).unwrap();
    for expected in [
        "has_journal ext_attr resize_inode dir_index filetype extent flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum\n",
        "Filesystem volume name:   cvbake\n",
        "Filesystem UUID:          00112233-4455-4677-8899-aabbccddeeff\n",
        "Filesystem flags:         signed_directory_hash \n",
        "Default mount options:    journal_data_ordered user_xattr acl\n",
        "Reserved block count:     0\n",
        "Directory Hash Seed:      01020304-0506-4708-890a-0b0c0d0e0f10\n",
        "Journal backup:           inode blocks\n",
        "Total journal size:       4096k\n",
        "Maximum mount count:      -1\n",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
}

#[test]
fn lost_found_of_the_image_is_kept() {
    let kinds = [Kind::Directory, Kind::Symlink(b"elsewhere"), Kind::Fifo];
    for kind in kinds {
        let mut maker = Maker::new(&mode(0o755));
        let own = maker.add(Ino::ROOT, b"lost+found", kind, &Meta { uid: 5, ..mode(0o711) });
        if kind == Kind::Directory {
            maker.file(own, b"#12", 0, b"found", &mode(0o600));
        }
        let (tree, packs) = maker.finish();
        let disk = bake(&tree, &packs, &options());
        fsck(disk.path());
        assert_eq!(compare(disk.path(), &tree, &packs), tree.entry_count());
    }
}

#[test]
fn content_of_many_extents() {
    let mut maker = Maker::new(&mode(0o755));
    // The most in an inode, one more, the most in one level of blocks, one more, two full levels.
    for extents in [4usize, 5, 340, 341, 4 * 340, 4 * 340 + 1, 20_000] {
        let mut content = vec![0; extents * 2 * 4096];
        for (at, block) in content.chunks_mut(4096).step_by(2).enumerate() {
            block[..8].copy_from_slice(&(at as u64 + 1).to_le_bytes());
        }
        maker.file(Ino::ROOT, extents.to_string().as_bytes(), 0, &content, &mode(0o644));
    }
    let (tree, packs) = maker.finish();
    for size in [Size::Min, Size::Auto] {
        let disk = bake(&tree, &packs, &Options { size, ..options() });
        fsck(disk.path());
        assert_eq!(compare(disk.path(), &tree, &packs), 7);
    }
}

/// Only metadata is written, so that the content costs nothing.
#[test]
fn the_largest_file() {
    const LAST: u32 = u32::MAX - 1;
    let segments: Vec<Segment> = (0..500_000).map(|at| Segment { file_block: at * 3, blocks: 1 }).collect();
    let end = [Segment { file_block: 7, blocks: 100_000 }, Segment { file_block: LAST, blocks: 1 }];
    let mut maker = Maker::new(&mode(0o755));
    let data = FileData { size: (u64::from(LAST) + 1) * 4096, pack: 0, pack_block: 0, segments: &end };
    maker.add(Ino::ROOT, b"largest", Kind::File(data), &mode(0o600));
    let data = FileData { size: 500_000 * 3 * 4096, pack: 1, pack_block: 9, segments: &segments };
    maker.add(Ino::ROOT, b"most extents", Kind::File(data), &mode(0o600));
    let (tree, _) = maker.finish();
    let layout = Layout::plan(&tree, &Options { size: Size::Min, ..options() }).unwrap();
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(layout.len_bytes()).unwrap();
    layout.write_metadata(&tree, &cvbake_disk::Raw::new(disk.as_file(), disk.path())).unwrap();
    fsck(disk.path());
    assert!(debugfs(disk.path(), "stat largest").contains("Size: 17592186040320"));
    assert_eq!(layout.placements().iter().map(|placement| placement.blocks).sum::<u64>(), 600_001);
}

/// Packs of numbers, each other than all before it.
struct Numbers;

impl Packs for Numbers {
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        for (number, bytes) in (offset / 8 + 1..).zip(buffer.chunks_mut(8)) {
            let number = number | u64::from(pack) << 60;
            bytes.copy_from_slice(&number.to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }
}

/// The copies of the superblock in groups 1 and 3 cut it.
#[test]
fn content_across_groups() {
    let mut maker = Maker::new(&mode(0o755));
    let mut pack_block = 0;
    for (number, blocks) in [20_000, 3, 70_000, 1, 35_000, 2].into_iter().enumerate() {
        let segments = [Segment { file_block: 0, blocks: 1 }, Segment { file_block: 5, blocks }];
        let data = FileData { size: (u64::from(blocks) + 5) * 4096, pack: 1, pack_block, segments: &segments };
        maker.add(Ino::ROOT, format!("f{number}").as_bytes(), Kind::File(data), &mode(0o600));
        pack_block += u64::from(blocks) + 3;
    }
    let tree = maker.finish().0;
    let sizes = [Size::Min, Size::Exact(5 << 30)];
    for (size, base_pack) in sizes.into_iter().flat_map(|size| [(size, None), (size, Some(1))]) {
        let disk = bake(&tree, &Numbers, &Options { size, base_pack, ..options() });
        fsck(disk.path());
        assert_eq!(compare(disk.path(), &tree, &Numbers), 6);
    }
}
