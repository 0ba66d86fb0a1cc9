//! What comes back from disks.

use cvbake_erofs::{BASE_PACK_BLOCK, Layout, Options, leave_out_unknown};
use cvbake_tree::{Device, FileData, Ino, Kind, Meta, Segment, Time, Xattr};

use crate::support::{Maker, bake, compare, fsck, mode, options};

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().into(), value: value.into() }
}

#[test]
fn an_empty_tree() {
    let (tree, packs) = Maker::new(&mode(0o755)).finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    assert_eq!(compare(disk.path(), &tree, &packs), 1);
    assert_eq!(disk.layout.len_bytes(), 2 * 4096, "a superblock and an inode");
}

#[test]
fn everything_comes_back() {
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
    let root = Meta { xattrs: vec![xattr("user.root", b"r"), xattr("system.posix_acl_default", acl)], ..mode(0o1777) };
    let mut maker = Maker::new(&root);
    let now = Time::from_secs(1_700_000_000);
    let metas = [
        mode(0o4755),
        Meta { uid: u32::MAX - 1, gid: 65536, ..mode(0o640) },
        Meta { mtime: Time { secs: -5_000_000_000, nanos: 999_999_999 }, ..mode(0) },
        Meta { mtime: Time { secs: 1 << 40, nanos: 1 }, ..mode(0o2711) },
        Meta { mtime: now, uid: 65535, gid: 7, ..mode(0o600) },
        Meta { mtime: now, xattrs: vec![xattr("security.capability", &[1; 20]), xattr("user.e", b"")], ..mode(0o755) },
        Meta { xattrs: vec![xattr("system.posix_acl_access", acl), xattr("trusted.t", &[7; 9000])], ..mode(0o755) },
    ];
    for (at, meta) in metas.iter().enumerate() {
        let dir = maker.add(Ino::ROOT, format!("d{at}").as_bytes(), Kind::Directory, meta);
        for size in [0, 1, 4095, 4096, 4097, 100_000] {
            let content: Vec<u8> = (0..size).map(|byte| u8::try_from(byte % 251 + 1).unwrap()).collect();
            let file = maker.file(dir, format!("f{size}").as_bytes(), u32::from(size > 4096), &content, meta);
            maker.builder.link(Ino::ROOT, format!("d{at}-{size}").as_bytes(), file).unwrap();
        }
        let link = Meta { xattrs: vec![], ..meta.clone() };
        for len in [1, 100, 1950, 1984, 2016, 2017, 4000, 4064, 4095] {
            let target: Vec<u8> = b"target/".iter().copied().cycle().take(len).collect();
            maker.add(dir, format!("l{len}").as_bytes(), Kind::Symlink(&target), &link);
        }
        let device = Device { major: 0xfff, minor: 0xf_ffff };
        maker.add(dir, b"block", Kind::BlockDevice(device), meta);
        maker.add(dir, b"char", Kind::CharDevice(Device { major: 1, minor: 3 }), meta);
        maker.add(dir, b"char0", Kind::CharDevice(Device { major: 0, minor: 0 }), meta);
        maker.add(dir, b"fifo", Kind::Fifo, meta);
        maker.add(dir, b"socket", Kind::Socket, meta);
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    assert_eq!(compare(disk.path(), &tree, &packs), 1 + 7 * 21);
}

/// Names around every border of a block, names that stand before the dots, and bytes that are no
/// text.
#[test]
fn directories_of_every_size() {
    let mut maker = Maker::new(&mode(0o755));
    for count in (0..120).chain([1000, 4000]) {
        let dir = maker.add(Ino::ROOT, format!("d{count}").as_bytes(), Kind::Directory, &mode(0o755));
        for number in 0..count {
            let name = match number % 4 {
                0 => format!("{number:03}{}", "n".repeat((number * 7) % 250)).into_bytes(),
                1 => format!("+{number}").into_bytes(),
                2 => [&b"\xff\n"[..], number.to_string().as_bytes()].concat(),
                _ => format!(".{number}").into_bytes(),
            };
            maker.add(dir, &name, Kind::Fifo, &mode(0o644));
        }
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    compare(disk.path(), &tree, &packs);
}

#[test]
fn deep() {
    let mut maker = Maker::new(&mode(0o755));
    let mut dir = Ino::ROOT;
    for _ in 0..400 {
        dir = maker.add(dir, b"d", Kind::Directory, &mode(0o755));
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    compare(disk.path(), &tree, &packs);
}

/// More subdirectories than an inode of 32 bytes counts. (The other reader looks at all of a
/// directory for each path below it.)
#[test]
fn wide() {
    let now = Meta { mtime: Time::from_secs(options().epoch), ..mode(0o755) };
    let mut maker = Maker::new(&now);
    for number in 0..70_000 {
        maker.add(Ino::ROOT, format!("s{number}").as_bytes(), Kind::Directory, &now);
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    let bytes = std::fs::read(disk.path()).unwrap();
    let fs = erofs_rs::EroFS::new(erofs_rs::backend::SliceImage::new(&bytes)).unwrap();
    assert_eq!(fs.get_inode(fs.super_block().root_inode_id()).unwrap().nlink(), 70_002);
    let names: Vec<Vec<u8>> =
        fs.read_dir("/").unwrap().map(|entry| entry.unwrap().dir_entry.file_name().to_vec()).collect();
    assert!(names.iter().map(|name| &name[..]).eq(tree.root().children().map(|(name, _)| name)));
}

#[test]
fn holes() {
    let mut maker = Maker::new(&mode(0o755));
    for (number, runs) in [
        &[(false, 1)][..],
        &[(false, 1000)],
        &[(true, 1), (false, 1)],
        &[(false, 1), (true, 1)],
        &[(true, 64), (false, 64), (true, 128)],
        &[(true, 3), (false, 50), (true, 1), (false, 1), (true, 70), (false, 9)],
        // Too large a map for a file of little content.
        &[(true, 1), (false, 40_000), (true, 3), (false, 1), (true, 1), (false, 30_000), (true, 1)],
    ]
    .into_iter()
    .enumerate()
    {
        for tail in [0, 1, 4095] {
            let mut content = Vec::new();
            for &(is_data, blocks) in runs {
                content.resize(content.len() + blocks * 4096, u8::from(is_data));
            }
            content.resize(content.len() + tail, 9);
            maker.file(Ino::ROOT, format!("f{number}-{tail}").as_bytes(), 0, &content, &mode(0o644));
        }
    }
    let (tree, packs) = maker.finish();
    for base_pack in [None, Some(0), Some(1)] {
        let disk = bake(&tree, &packs, &Options { base_pack, ..options() });
        fsck(disk.path());
        compare(disk.path(), &tree, &packs);
    }
}

/// A map with an entry for each block would take 1 GiB.
#[test]
fn a_terabyte_of_holes_is_small() {
    let mut maker = Maker::new(&mode(0o755));
    let segments = [Segment { file_block: 0, blocks: 1 }, Segment { file_block: (1 << 28) - 1, blocks: 1 }];
    let data = FileData { size: 1 << 40, pack: 0, pack_block: 0, segments: &segments };
    maker.packs[0] = vec![1; 8192];
    maker.add(Ino::ROOT, b"huge", Kind::File(data), &mode(0o644));
    let segments = [];
    let size = u64::from(u32::MAX) * 4096;
    maker.add(Ino::ROOT, b"empty", Kind::File(FileData { size, segments: &segments, ..data }), &mode(0o644));
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    assert!(disk.layout.len_bytes() < 8 << 20, "{}", disk.layout.len_bytes());
    let bytes = std::fs::read(disk.path()).unwrap();
    let fs = erofs_rs::EroFS::new(erofs_rs::backend::SliceImage::new(&bytes)).unwrap();
    let file = fs.open("/huge").unwrap();
    for (block, expected) in [(0u64, 1), (1, 0), (1 << 27, 0), ((1 << 28) - 2, 0), ((1 << 28) - 1, 1)] {
        let mut found = [9; 4096];
        assert_eq!(file.read_at(&mut found, block * 4096).unwrap(), 4096);
        assert_eq!(found, [expected; 4096], "{block}");
    }
    assert_eq!(fs.open("/empty").unwrap().size(), size);
}

#[test]
fn a_base_pack_stays_as_it_is() {
    let mut maker = Maker::new(&mode(0o755));
    for number in 0..600u32 {
        let pack = u32::from(number % 10 == 0);
        let mut content = number.to_le_bytes().repeat(3000);
        if number % 7 == 0 {
            content[4096..8192].fill(0);
        }
        maker.file(Ino::ROOT, format!("f{number}").as_bytes(), pack, &content, &mode(0o644));
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &Options { base_pack: Some(0), ..options() });
    fsck(disk.path());
    compare(disk.path(), &tree, &packs);
    assert_eq!(disk.layout.base_pack(), Some(0));
    let [first, ..] = disk.layout.placements() else { panic!("there is content") };
    assert_eq!((first.pack, first.pack_block, first.disk_block), (0, 0, BASE_PACK_BLOCK));
    assert_eq!(first.blocks, packs[0].len() as u64 / 4096);
    // What is not in the pack fills the room in front of it.
    assert!(disk.layout.placements()[1].disk_block < BASE_PACK_BLOCK);
    let content = packs.iter().map(|pack| pack.len() as u64).sum::<u64>();
    assert!(disk.layout.len_bytes() < content + (1 << 20), "the room in front is used");
}

#[test]
fn namespaces_without_a_number_are_left_out() {
    let meta = Meta {
        xattrs: vec![xattr("com.apple.x", b"1"), xattr("system.nfs4_acl", b"2"), xattr("user.u", b"3")],
        ..mode(0)
    };
    let mut maker = Maker::new(&mode(0o755));
    maker.add(Ino::ROOT, b"f", Kind::Fifo, &meta);
    let (mut tree, packs) = maker.finish();
    let error = Layout::plan(&tree, &options()).unwrap_err();
    let expected = "/f: extended attribute \"com.apple.x\": EROFS has no number for its namespace";
    assert_eq!(error.to_string(), expected);
    let left_out = leave_out_unknown(&mut tree).unwrap();
    assert_eq!((left_out.first.path.as_str(), left_out.name.as_str(), left_out.inodes), ("/f", "com.apple.x", 1));
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    compare(disk.path(), &tree, &packs);
}
