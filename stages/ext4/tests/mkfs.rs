//! The engine `mkfs`: as an ordinary user, whatever a tree has comes out of a filesystem that
//! e2fsprogs made.
//!
//! Read back by programs and crates that are not ours: debugfs, ext4-view, e2fsck.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cvbake_ext4::mkfs::{Disk, Error, Made, Programs, write};
use cvbake_ext4::{Inodes, Options, Size};
use cvbake_tree::{Builder, Device, FileData, Ino, Inode, Kind, Meta, Segment, Time, Tree, Xattr};
use ext4_view::{Ext4, FileType};

const MIB: u64 = 1024 * 1024;

/// A tree of all that is hard to make without root, or hard to say to a program.
fn nasty_tree() -> (Tree, Vec<Vec<u8>>) {
    let mut pack = Vec::new();
    let mut at = 0;
    let mut content = |bytes: &[u8]| {
        let start = at;
        pack.extend_from_slice(bytes);
        pack.resize(pack.len().next_multiple_of(4096), 0);
        at = pack.len() as u64 / 4096;
        start
    };
    let (small, dense, sparse) = (content(b"small\n"), content(&[7; 3 * 4096 + 5]), content(&[9; 2 * 4096]));
    let meta = |mode, uid, gid| Meta {
        mode,
        uid,
        gid,
        mtime: Time { secs: 1_700_000_000, nanos: 123_456_789 },
        ..Meta::default()
    };
    let xattrs = |list: &[(&[u8], &[u8])]| {
        list.iter().map(|&(name, value)| Xattr { name: name.into(), value: value.into() }).collect::<Vec<_>>()
    };
    let root = Meta { xattrs: xattrs(&[(b"user.root", b"of the tree")]), ..meta(0o1751, 5, 70000) };
    let mut builder = Builder::new(&root);
    let mut add = |dir, name: &[u8], kind: Kind<'_>, meta: Meta| builder.add(dir, name, kind, &meta).unwrap();
    let file = |size, pack_block, segments| Kind::File(FileData { size, pack: 0, pack_block, segments });
    let one = &[Segment { file_block: 0, blocks: 1 }];

    let dev = add(Ino::ROOT, b"dev", Kind::Directory, meta(0o755, 0, 0));
    add(dev, b"null", Kind::CharDevice(Device { major: 1, minor: 3 }), meta(0o666, 0, 0));
    add(dev, b"whiteout", Kind::CharDevice(Device { major: 0, minor: 0 }), meta(0, 0, 0));
    add(dev, b"large", Kind::BlockDevice(Device { major: 0xfff, minor: 0xf_ffff }), meta(0o660, 0, 6));
    add(dev, b"pipe", Kind::Fifo, meta(0o600, 1000, 1000));
    add(dev, b"socket", Kind::Socket, meta(0o755, 1000, 1000));
    let two_names = add(dev, b"tty", Kind::CharDevice(Device { major: 5, minor: 0 }), meta(0o620, 0, 5));

    let bin = add(Ino::ROOT, b"bin", Kind::Directory, meta(0o2775, 0, 4_000_000_000));
    add(bin, b"su", file(6, small, one), meta(0o4755, 0, 0));
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let ping = Meta { xattrs: xattrs(&[(b"security.capability", capability)]), ..meta(0o755, 0, 0) };
    let ping = add(bin, b"ping", file(3 * 4096 + 5, dense, &[Segment { file_block: 0, blocks: 4 }]), ping);
    let unreadable = add(bin, b"unreadable", file(0, 0, &[]), meta(0, 4_294_967_294, 4_294_967_294));
    let holes = &[Segment { file_block: 3, blocks: 1 }, Segment { file_block: 1_000_000, blocks: 1 }];
    add(bin, b"sparse", file(5_000_000_000, sparse, holes), meta(0o644, 1, 2));
    add(Ino::ROOT, b"no-one", Kind::Directory, meta(0, 0, 0));

    let times = add(Ino::ROOT, b"times", Kind::Directory, meta(0o755, 0, 0));
    for (name, secs, nanos) in [
        (&b"before 1970"[..], -1, 999_999_999),
        (b"1901", -(1 << 31), 0),
        (b"1970", 0, 0),
        (b"2038", (1 << 31) - 1, 1),
        (b"2039", 1 << 31, 2),
        (b"2106", (1 << 32) + 5, 3),
        (b"2446", (1 << 34) - (1 << 31) - 1, 999_999_999),
    ] {
        let mtime = Time { secs, nanos };
        add(times, name, Kind::Symlink(b"x"), Meta { mtime, ..meta(0o777, 3, 4) });
    }
    let three =
        Meta { atime: Some(Time { secs: 1, nanos: 2 }), ctime: Some(Time { secs: -3, nanos: 4 }), ..meta(0o644, 0, 0) };
    add(times, b"three", Kind::Fifo, three);

    let names = add(Ino::ROOT, b"names", Kind::Directory, meta(0o700, 0, 0));
    for name in [
        &b"-rf"[..],
        b"<12>",
        b"\"quoted\"",
        b"a b\tc",
        b"new\nline",
        b"back\\slash",
        b"\xff\xfe",
        b"#x",
        b"~",
        b"$(id)",
        b"lost+found",
        &[b'n'; 255],
        b"\x01\x7f\x1b[2J",
        b"...",
        b" ",
        b"Entry ' has an incorrect filetype (was 5, should be 3).",
    ] {
        add(names, name, Kind::CharDevice(Device { major: 1, minor: 5 }), meta(0o600, 0, 0));
    }
    // The longest target, of names that are not too long.
    let longest = &b"l/".repeat(2048)[..4095];
    let links = add(Ino::ROOT, b"links", Kind::Directory, meta(0o755, 0, 0));
    add(links, b"longest", Kind::Symlink(longest), meta(0o777, 8, 9));
    let mut hard = vec![(ping, "ping"), (two_names, "tty"), (unreadable, "unreadable")];
    for (name, target) in
        [("short", &b"t"[..]), ("fast", &[b'f'; 59]), ("slow", &[b's'; 60]), ("long", longest), ("odd", b"\xff \"\n\\")]
    {
        hard.push((add(links, name.as_bytes(), Kind::Symlink(target), meta(0o777, 10, 11)), name));
    }

    let attributes = add(Ino::ROOT, b"xattrs", Kind::Directory, meta(0o755, 0, 0));
    let acl = |entries: &[(u16, u16, u32)]| {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&perm.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    };
    let none = u32::MAX;
    let access = acl(&[(1, 6, none), (2, 7, 1000), (4, 4, none), (8, 1, 2_000_000), (0x10, 7, none), (0x20, 0, none)]);
    let default = acl(&[(1, 7, none), (4, 5, none), (0x20, 5, none)]);
    let long_name = [b"user.".as_slice(), &[b'x'; 250]].concat();
    for (name, list) in [
        (&b"empty"[..], xattrs(&[(b"user.empty", b""), (b"user.other", b"\0\xff\n\"")])),
        (
            b"trusted",
            xattrs(&[(b"trusted.overlay.opaque", b"y"), (b"security.selinux", b"system_u:object_r:etc_t:s0\0")]),
        ),
        (b"odd names", xattrs(&[(b"user.a b \"c\" <12> -r", b"1"), (b"user.\xff", b"2"), (&long_name, b"3")])),
        (b"large", xattrs(&[(b"user.large", &[b'v'; 3500])])),
        (b"many", (0..40).map(|n| xattrs(&[(format!("user.n{n}").as_bytes(), &[b'm'; 50])]).remove(0)).collect()),
        (b"acl", xattrs(&[(b"system.posix_acl_access", &access)])),
    ] {
        add(attributes, name, file(6, small, one), Meta { xattrs: list, ..meta(0o640, 0, 0) });
    }
    let both = xattrs(&[(b"system.posix_acl_access", &access), (b"system.posix_acl_default", &default)]);
    add(attributes, b"acl dir", Kind::Directory, Meta { xattrs: both, ..meta(0o770, 0, 0) });
    let device = Meta { xattrs: xattrs(&[(b"trusted.device", b"d")]), ..meta(0o600, 0, 0) };
    add(attributes, b"device", Kind::BlockDevice(Device { major: 8, minor: 0 }), device);
    let link = Meta { xattrs: xattrs(&[(b"trusted.link", b"l")]), ..meta(0o777, 0, 0) };
    add(attributes, b"link", Kind::Symlink(b"nowhere"), link);

    let many = add(Ino::ROOT, b"many", Kind::Directory, meta(0o755, 0, 0));
    for number in 0..1500 {
        add(
            many,
            format!("a file with a longish name {number}").as_bytes(),
            file(6, small, one),
            meta(0o644, number, 0),
        );
    }
    let mut deep = Ino::ROOT;
    for number in 0..100 {
        deep = add(deep, format!("deep{number}").as_bytes(), Kind::Directory, meta(0o711, number, 0));
    }
    let lost = add(Ino::ROOT, b"lost+found", Kind::Directory, meta(0o750, 77, 78));
    add(lost, b"found", Kind::Fifo, meta(0o600, 0, 0));
    for (number, (ino, name)) in hard.into_iter().enumerate() {
        builder.link(links, format!("another {name}").as_bytes(), ino).unwrap();
        builder.link(Ino::ROOT, format!("again {number}").as_bytes(), ino).unwrap();
    }
    (builder.finish().unwrap(), vec![pack])
}

fn options() -> Options {
    Options {
        size: Size::Exact(200 * MIB + 12345),
        label: b"-label \xff".to_vec(),
        uuid: [0x5a; 16],
        hash_seed: [0xc3; 16],
        epoch: 1_600_000_000,
        ..Options::default()
    }
}

/// A directory that an ordinary user may use as well.
fn shared_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

/// Bakes in a directory: `disk`, with `scratch` beside it.
fn bake(dir: &Path, tree: &Tree, packs: &Vec<Vec<u8>>, options: &Options) -> Result<Made, Error> {
    let scratch = tempfile::tempdir_in(dir).unwrap();
    let path = dir.join("-disk");
    let disk = Disk { file: &new_file(&path), path: &path };
    write(tree, packs, options, &Programs::find(OsStr::new("")).unwrap(), scratch.path(), disk)
}

fn new_file(path: &Path) -> File {
    File::options().read(true).write(true).create_new(true).open(path).unwrap()
}

/// Runs one of the ignored tests below as an ordinary user.
fn child(test: &str, dir: &Path) {
    let exe = std::env::current_exe().unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--"]).arg(exe);
        command
    } else {
        Command::new(exe)
    };
    let output = command.args(["--ignored", "--exact", test]).env("BAKE_DIR", dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("running 1 test\n"), "{text}{errors}");
    assert_eq!(errors, "", "programs say nothing to the user");
}

fn dir_of_child() -> PathBuf {
    assert!(!rustix::process::geteuid().is_root());
    std::env::var_os("BAKE_DIR").expect("started by another test").into()
}

/// What debugfs answers.
fn debugfs(disk: &Path, request: &str) -> String {
    let programs = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
    let output = Command::new("debugfs").env("PATH", programs).arg("-R").arg(request).arg(disk).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).lines().skip(1).collect::<String>();
    assert_eq!(said, "", "{request}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fsck(disk: &Path) {
    let programs = "/usr/local/sbin:/usr/sbin:/sbin";
    let output = Command::new("e2fsck").env("PATH", programs).args(["-fn"]).arg(disk).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Compares a directory and everything below with the tree, as ext4-view sees it. Returns how many
/// names it saw.
fn compare(disk: &Ext4, packs: &Vec<Vec<u8>>, path: &[u8], dir: Inode<'_>) -> usize {
    let as_path = |path: &[u8]| ext4_view::PathBuf::new(path);
    let mut found: Vec<_> = disk
        .read_dir(&as_path(path))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().as_ref().to_vec(), entry.file_type().unwrap()))
        .filter(|(name, _)| !matches!(&name[..], b"." | b".."))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected: Vec<_> = dir.children().map(|(name, inode)| (name.to_vec(), file_type(inode))).collect();
    assert_eq!(found, expected, "{}", path.escape_ascii());
    let mut seen = 0;
    for (name, inode) in dir.children() {
        let path = [if path == b"/" { b"" } else { path }, b"/", name].concat();
        let shown = path.escape_ascii().to_string();
        if !seen_by_ext4_view(inode) {
            seen += 1;
            continue;
        }
        let meta = disk.symlink_metadata(&as_path(&path)).unwrap();
        assert_eq!((meta.mode(), meta.uid(), meta.gid()), (inode.mode(), inode.uid(), inode.gid()), "{shown}");
        for (found, expected) in [(meta.modified(), inode.mtime()), (meta.accessed(), inode.atime())] {
            assert_eq!((found.seconds(), found.nanoseconds()), (expected.secs, expected.nanos), "{shown}");
        }
        match inode.kind() {
            Kind::Symlink(target) => assert_eq!(disk.read_link(&as_path(&path)).unwrap().as_ref(), target, "{shown}"),
            Kind::File(data) => {
                assert_eq!(meta.len(), data.size, "{shown}");
                // The content of the large one is looked at elsewhere.
                if data.size < MIB {
                    let mut content = Vec::new();
                    data.read(packs, &mut |bytes| {
                        content.extend_from_slice(bytes);
                        Ok(())
                    })
                    .unwrap();
                    assert!(disk.read(&as_path(&path)).unwrap() == content, "{shown}");
                }
            }
            Kind::Directory => seen += compare(disk, packs, &path, inode),
            _ => {}
        }
        seen += 1;
    }
    seen
}

/// It takes times whose lower half is negative for corruption:
/// `the_attributes_that_only_debugfs_shows` looks at those.
fn seen_by_ext4_view(inode: Inode<'_>) -> bool {
    [inode.mtime(), inode.atime(), inode.ctime()].iter().all(|time| time.secs & 0x8000_0000 == 0)
}

fn file_type(inode: Inode<'_>) -> FileType {
    match inode.kind() {
        Kind::Directory => FileType::Directory,
        Kind::File(_) => FileType::Regular,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::CharDevice(_) => FileType::CharacterDevice,
        Kind::BlockDevice(_) => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
    }
}

#[test]
fn an_ordinary_user_makes_what_only_root_could() {
    let (tree, packs) = nasty_tree();
    let dir = shared_dir();
    child("bakes_the_nasty_tree", dir.path());
    let disk = dir.path().join("-disk");
    fsck(&disk);
    assert_eq!(fs::metadata(&disk).unwrap().len(), 200 * MIB + 12345);
    let ext4 = Ext4::load(Box::new(fs::read(&disk).unwrap())).unwrap();
    assert_eq!(ext4.label().as_bytes(), b"-label \xff\0\0\0\0\0\0\0\0");
    assert_eq!(ext4.uuid().as_bytes(), &[0x5a; 16]);
    let seen = compare(&ext4, &packs, b"/", tree.root());
    assert_eq!(seen, tree.entry_count());
    let header = debugfs(&disk, "stats -h");
    for line in [
        "Filesystem created:       Sun Sep 13 12:26:40 2020",
        "Last write time:          Sun Sep 13 12:26:40 2020",
        "Last checked:             Sun Sep 13 12:26:40 2020",
        "Directory Hash Seed:      c3c3c3c3-c3c3-c3c3-c3c3-c3c3c3c3c3c3",
        "Reserved block count:     0",
        "Filesystem flags:         unsigned_directory_hash",
        "has_journal",
        "metadata_csum",
    ] {
        assert!(header.contains(line), "{line}: {header}");
    }
    let index = debugfs(&disk, "htree_dump /many");
    assert!(index.contains("Hash Version: 1") && index.contains("Number of entries"), "{index}");
    the_attributes_that_only_debugfs_shows(&disk, &tree);
    let disk_file = File::open(&disk).unwrap();
    for (block, byte) in [(0, None), (3, Some(9)), (4, None), (1_000_000, Some(9)), (1_000_001, None)] {
        let place: u64 = debugfs(&disk, &format!("bmap /bin/sparse {block}")).trim().parse().unwrap();
        assert_eq!(place == 0, byte.is_none(), "{block}");
        if let Some(byte) = byte {
            let mut found = [0; 4096];
            std::os::unix::fs::FileExt::read_exact_at(&disk_file, &mut found, place * 4096).unwrap();
            assert_eq!(found, [byte; 4096]);
        }
    }
}

#[test]
#[ignore = "the process that an_ordinary_user_makes_what_only_root_could starts"]
fn bakes_the_nasty_tree() {
    let (tree, packs) = nasty_tree();
    let made = bake(&dir_of_child(), &tree, &packs, &options()).unwrap();
    assert_eq!(made.len_bytes, 200 * MIB + 12345);
    assert_eq!(made.blocks, (200 * MIB + 12345) / 4096);
    assert!(made.free_blocks > 0 && made.inodes - made.free_inodes > tree.inode_count() as u64);
}

/// `struct ext4_acl_header` and its entries: a version, then tag and permissions, and the number
/// only for those that have one.
fn acl_on_disk(xattr: &[u8]) -> Vec<u8> {
    let mut bytes = 1_u32.to_le_bytes().to_vec();
    for entry in xattr[4..].chunks_exact(8) {
        let named = matches!(entry[0], 2 | 8);
        bytes.extend_from_slice(&entry[..if named { 8 } else { 4 }]);
    }
    bytes
}

/// Types, modes, owners, links, raw times, device numbers and extended attributes.
fn the_attributes_that_only_debugfs_shows(disk: &Path, tree: &Tree) {
    let mut paths = Vec::new();
    let mut stack = vec![(String::new(), tree.root())];
    while let Some((path, inode)) = stack.pop() {
        for (name, child) in inode.children() {
            let name = std::str::from_utf8(name).ok().filter(|name| !name.contains(['\n', '"', '<']));
            // Of many alike, one will do.
            if let Some(name) = name.filter(|name| !name.starts_with("a file with") && !name.starts_with("deep2")) {
                stack.push((format!("{path}/{name}"), child));
            }
        }
        paths.push((if path.is_empty() { "/".to_owned() } else { path }, inode));
    }
    assert!(paths.len() > 65);
    for (path, inode) in paths {
        let stat = debugfs(disk, &format!("stat \"{path}\""));
        let words = stat.split_whitespace().collect::<Vec<_>>().join(" ");
        let kind = match inode.kind() {
            Kind::Directory => "directory",
            Kind::File(_) => "regular",
            Kind::Symlink(_) => "symlink",
            Kind::CharDevice(_) => "character special",
            Kind::BlockDevice(_) => "block special",
            Kind::Fifo => "FIFO",
            Kind::Socket => "socket",
        };
        let mut expected = vec![
            format!("Type: {kind} Mode: 0{:03o} ", inode.mode()),
            format!("User: {} Group: {} ", inode.uid().cast_signed(), inode.gid().cast_signed()),
        ];
        for (name, time) in [("ctime", inode.ctime()), ("atime", inode.atime()), ("mtime", inode.mtime())] {
            // The kernel's definition: the lower half is signed, two more bits above it.
            let low = u32::try_from(time.secs & 0xffff_ffff).unwrap();
            let high = (time.secs - i64::from(low.cast_signed())) >> 32;
            expected.push(format!("{name}: 0x{low:08x}:{:08x} ", i64::from(time.nanos) << 2 | high));
        }
        match inode.kind() {
            Kind::Directory => {}
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                expected.push(format!("Device major/minor number: {:02}:{:02} ", device.major, device.minor));
            }
            Kind::File(FileData { size, .. }) => expected.push(format!("Size: {size} ")),
            Kind::Symlink(target) => expected.push(format!("Size: {} ", target.len())),
            Kind::Fifo | Kind::Socket => expected.push("Blockcount: 0 ".to_owned()),
        }
        if !inode.is_dir() {
            expected.push(format!("Links: {} ", inode.name_count()));
        }
        for expected in expected {
            assert!(words.contains(&expected), "{path}: {expected:?} in {words}");
        }
        let listed = debugfs(disk, &format!("ea_list \"{path}\""));
        let count = listed.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(count, inode.xattrs().len(), "{path}: {listed}");
        for xattr in inode.xattrs() {
            let Ok(name) = std::str::from_utf8(&xattr.name) else { continue };
            let value = disk.with_extension("value");
            let _ = fs::remove_file(&value);
            let acl = name.starts_with("system.posix_acl_");
            // Access control lists as they are on the disk: what debugfs makes of them is not what
            // the kernel does.
            let (raw, expected) = if acl { ("-r", acl_on_disk(&xattr.value)) } else { ("", xattr.value.to_vec()) };
            let name = name.replace('"', "\"\"");
            debugfs(disk, &format!("ea_get {raw} -f {} \"{path}\" \"{name}\"", value.display()));
            let found = fs::read(value).unwrap();
            assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{path} {name}");
        }
    }
}

fn small_tree() -> (Tree, Vec<Vec<u8>>) {
    let meta = Meta { mode: 0o755, uid: 1, gid: 2, ..Meta::default() };
    let mut builder = Builder::new(&meta);
    let dir = builder.add(Ino::ROOT, b"dir", Kind::Directory, &meta).unwrap();
    let segments = [Segment { file_block: 0, blocks: 256 }];
    for name in 0..20 {
        let data = FileData { size: MIB, pack: 0, pack_block: 0, segments: &segments };
        builder.add(dir, name.to_string().as_bytes(), Kind::File(data), &meta).unwrap();
    }
    builder.add(dir, b"null", Kind::CharDevice(Device { major: 1, minor: 3 }), &meta).unwrap();
    (builder.finish().unwrap(), vec![vec![1; 1 << 20]])
}

#[test]
fn sizes_and_options() {
    let (tree, packs) = small_tree();
    let base = Options { epoch: 1, ..Options::default() };
    for (options, expected) in [
        (Options { size: Size::Min, journal: false, ..base.clone() }, 20 * MIB..22 * MIB),
        (Options { size: Size::Min, ..base.clone() }, 24 * MIB..28 * MIB),
        (Options { size: Size::Extra(100 * MIB), ..base.clone() }, 124 * MIB..136 * MIB),
        (Options { size: Size::Auto, inodes: Inodes::Count(30_000), ..base.clone() }, 280 * MIB..300 * MIB),
        (Options { size: Size::Exact(64 * MIB), ..base.clone() }, 64 * MIB..64 * MIB + 1),
        (
            Options { size: Size::Exact(1 << 34), inodes: Inodes::BytesPerInode(65536), ..base.clone() },
            1 << 34..(1 << 34) + 1,
        ),
        (Options { size: Size::Auto, epoch: 0, ..base.clone() }, 280 * MIB..300 * MIB),
        (Options { size: Size::Auto, epoch: i64::MAX, ..base.clone() }, 280 * MIB..300 * MIB),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let made = bake(dir.path(), &tree, &packs, &options).unwrap();
        let disk = dir.path().join("-disk");
        assert!(expected.contains(&made.len_bytes), "{options:?} {made:?}");
        assert_eq!(fs::metadata(&disk).unwrap().len(), made.len_bytes);
        fsck(&disk);
        let header = debugfs(&disk, "stats -h");
        assert_eq!(header.contains("has_journal"), options.journal, "{options:?}");
        for line in
            [format!("Block count:              {}", made.blocks), format!("Inode count:              {}", made.inodes)]
        {
            assert!(header.contains(&line), "{line}: {header}");
        }
        match options.inodes {
            Inodes::Count(count) => assert!(made.inodes >= count.into()),
            Inodes::BytesPerInode(bytes) => assert!(made.inodes >= made.len_bytes / bytes),
            Inodes::Auto => {}
        }
    }
}

#[test]
fn the_same_bytes_wherever_it_is_made() {
    for ((tree, packs), options) in
        [(nasty_tree(), options()), (small_tree(), Options { size: Size::Extra(MIB), ..options() })]
    {
        let disks = ["plain", "-d LABEL=a b?x=\"\n'$(id)"].map(|name| {
            let parent = tempfile::tempdir().unwrap();
            let dir = parent.path().join(name);
            fs::create_dir(&dir).unwrap();
            bake(&dir, &tree, &packs, &options).unwrap();
            fs::read(dir.join("-disk")).unwrap()
        });
        assert!(disks[0] == disks[1]);
    }
}

#[test]
fn attributes_of_the_staging_directory_stay_outside() {
    let (tree, packs) = nasty_tree();
    let [plain, inherited] = [false, true].map(|inherit| {
        let dir = tempfile::tempdir().unwrap();
        if inherit {
            // What is made in a directory with a default access control list gets one too.
            let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\x01\0\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
            rustix::fs::setxattr(dir.path(), "system.posix_acl_default", acl, rustix::fs::XattrFlags::empty()).unwrap();
        }
        bake(dir.path(), &tree, &packs, &options()).unwrap();
        let disk = dir.path().join("-disk");
        let list = ["/dev/null", "/bin", "/bin/su", "/xattrs/acl", "/xattrs/acl dir", "/links/fast", "/links/longest", "/"];
        list.map(|path| {
            let mut lines: Vec<_> = debugfs(&disk, &format!("ea_list \"{path}\"")).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        })
    });
    assert_eq!(plain, inherited);
}

#[test]
fn what_cannot_be_held_is_an_error_that_names_it() {
    let one = |name: &[u8], kind: Kind<'_>, xattrs: Vec<Xattr>| {
        let mut builder = Builder::new(&Meta::default());
        builder.add(Ino::ROOT, name, kind, &Meta { xattrs, ..Meta::default() }).unwrap();
        builder.finish().unwrap()
    };
    let newline = Xattr { name: (*b"user.a\nb").into(), value: (*b"").into() };
    let mut many = Builder::new(&Meta::default());
    let dir = many.add(Ino::ROOT, b"dirs", Kind::Directory, &Meta::default()).unwrap();
    for number in 0..65001 {
        many.add(dir, number.to_string().as_bytes(), Kind::Directory, &Meta::default()).unwrap();
    }
    let small = Options { size: Size::Exact(6 * MIB), ..Options::default() };
    let empty = || Builder::new(&Meta::default()).finish().unwrap();
    for (tree, options, expected) in [
        (one(b"lost+found", Kind::Symlink(b"x"), vec![]), Options::default(), "/lost+found: "),
        (one(b"f", Kind::Fifo, vec![newline]), Options::default(), "/f: e2fsprogs cannot make an extended attribute"),
        (many.finish().unwrap(), Options::default(), "/dirs: e2fsprogs cannot make more than 65000"),
        (empty(), small.clone(), "e2fsprogs cannot make a journal"),
        (empty(), Options { size: Size::Exact(4096), ..small }, "too small for these files"),
        (one(b"f", Kind::Symlink(b""), vec![]), Options::default(), "/f: target of the symbolic link"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = bake(dir.path(), &tree, &vec![], &options).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn programs_that_are_missing_or_fail() {
    let (tree, packs) = small_tree();
    let bin = tempfile::tempdir().unwrap();
    for (script, expected) in [
        ("echo 'mke2fs: no \x1b such luck' >&2; exit 3", "mke2fs failed (exit status 3): mke2fs: no \\u{1b} such luck"),
        ("kill -9 $$", "mke2fs failed (killed by signal 9): "),
        ("exit 0", "the magic number of the superblock is 0, expected 61267"),
        ("yes 'a line'; exit 1 | head -c 100000000", "failed (exit status 1): "),
    ] {
        let script = script
            .replace("yes 'a line'; exit 1 |", "yes 'a line' |")
            .replace("head -c 100000000", "head -c 10000000; exit 1");
        let programs = with_mke2fs(bin.path(), &format!("PATH=/usr/bin:/bin\n{script}"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let disk = Disk { file: &new_file(&path), path: &path };
        let scratch = tempfile::tempdir().unwrap();
        let error = write(&tree, &packs, &Options::default(), &programs, scratch.path(), disk).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.len() < 1000 && !error.contains('\n'), "{error}");
    }
}

/// The programs, with a script of ours for mke2fs.
fn with_mke2fs(bin: &Path, script: &str) -> Programs {
    // Another process writes it: a child that another thread forks meanwhile would have it open for
    // writing, so that nobody could run it.
    let mut command = Command::new("sh");
    command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(bin.join("mke2fs")).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    write!(child.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
    assert!(child.wait().unwrap().success());
    Programs::find(bin.as_os_str()).unwrap()
}

/// Whoever owns the directory can put a link in the place of the disk, at any moment.
#[test]
fn programs_write_to_the_file_whatever_its_name_leads_to() {
    let (tree, packs) = small_tree();
    let (bin, dir, scratch) = (tempfile::tempdir().unwrap(), shared_dir(), tempfile::tempdir().unwrap());
    let [path, moved, precious] = ["disk", "moved", "precious"].map(|name| dir.path().join(name));
    fs::write(&precious, "precious").unwrap();
    let disk = Disk { file: &new_file(&path), path: &path };
    let swap = format!(
        "PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin\ncd '{}'\nmv disk moved\nln -s precious disk\ncd \"$OLDPWD\"\n\
         exec mke2fs \"$@\"",
        dir.path().display()
    );
    write(&tree, &packs, &Options::default(), &with_mke2fs(bin.path(), &swap), scratch.path(), disk).unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    let fsck = Command::new("e2fsck").env("PATH", "/usr/local/sbin:/usr/sbin:/sbin").arg("-fn").arg(&moved).output();
    assert!(fsck.unwrap().status.success());
}

#[test]
fn content_that_cannot_be_read_is_named() {
    let (tree, _) = small_tree();
    let dir = tempfile::tempdir().unwrap();
    let error = bake(dir.path(), &tree, &vec![vec![0; 4096]], &Options::default()).unwrap_err();
    assert!(matches!(&error, Error::Content { path, .. } if path.path == "/dir/0"), "{error}");
}
