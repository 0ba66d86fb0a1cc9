//! Archives of trees, read by GNU tar.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use cvbake_rootfs::{Error, Problem, tar};
use cvbake_tree::{Builder, Device, FileData, Ino, Kind, Meta, Packs, Segment, Time, Tree, Xattr};

/// A tree and the pack of its files.
struct Maker {
    builder: Builder,
    pack: Vec<u8>,
}

impl Maker {
    fn new() -> Maker {
        Maker { builder: Builder::new(&meta(0o751)), pack: Vec::new() }
    }

    fn add(&mut self, parent: Ino, name: &[u8], kind: Kind<'_>, meta: &Meta) -> Ino {
        self.builder.add(parent, name, kind, meta).unwrap()
    }

    /// A file of parts, each from a block on, and of a size.
    fn file(&mut self, parent: Ino, name: &[u8], size: u64, parts: &[(u32, &[u8])], meta: &Meta) -> Ino {
        let pack_block = self.pack.len() as u64 / 4096;
        let mut segments = Vec::new();
        for (file_block, bytes) in parts {
            self.pack.extend_from_slice(bytes);
            self.pack.resize(self.pack.len().next_multiple_of(4096), 0);
            segments
                .push(Segment { file_block: *file_block, blocks: u32::try_from(bytes.len().div_ceil(4096)).unwrap() });
        }
        let data = FileData { size, pack: 0, pack_block, segments: &segments };
        self.add(parent, name, Kind::File(data), meta)
    }

    fn finish(self) -> (Tree, Vec<Vec<u8>>) {
        (self.builder.finish().unwrap(), vec![self.pack])
    }
}

fn meta(mode: u16) -> Meta {
    Meta { mode, uid: 1, gid: 2, mtime: Time { secs: 1_700_000_000, nanos: 123_456_789 }, ..Meta::default() }
}

fn archive(tree: &Tree, packs: &dyn Packs) -> Vec<u8> {
    let mut bytes = Vec::new();
    let told = Cell::new(0);
    tar::write(tree, packs, &mut bytes, &|more| told.set(told.get() + more)).unwrap();
    assert_eq!(told.get(), tar::content_bytes(tree), "all content is told of");
    assert!(bytes.len().is_multiple_of(512) && bytes.ends_with(&[0; 1024]));
    bytes
}

/// GNU tar with an archive on its standard input; what it writes.
fn gnu_tar(args: &[&str], archive: &[u8]) -> String {
    let mut command = Command::new("tar");
    command.args(args).env("LC_ALL", "C").env("TZ", "UTC");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let archive = archive.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&archive));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "tar {args:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

fn everything() -> (Tree, Vec<Vec<u8>>) {
    let mut maker = Maker::new();
    let long = "x".repeat(200);
    let deep = maker.add(Ino::ROOT, long.as_bytes(), Kind::Directory, &meta(0o2775));
    let file = maker.file(deep, b"file", 5, &[(0, b"hello")], &meta(0o4755));
    maker.builder.link(Ino::ROOT, b"zz-second", file).unwrap();
    maker.add(Ino::ROOT, b"link", Kind::Symlink(long.as_bytes()), &meta(0o777));
    maker.add(Ino::ROOT, b"fifo", Kind::Fifo, &meta(0o600));
    maker.add(Ino::ROOT, b"bytes-\xff\n", Kind::Fifo, &meta(0o600));
    let huge = Meta { uid: 3_000_000_000, gid: 2_097_152, ..meta(0o644) };
    maker.file(Ino::ROOT, b"huge-ids", 0, &[], &huge);
    let times = [("before", -2, 750_000_000), ("far", 1 << 40, 0), ("whole", 7, 0)];
    for (name, secs, nanos) in times {
        let meta = Meta { mtime: Time { secs, nanos }, ..meta(0o644) };
        maker.file(Ino::ROOT, name.as_bytes(), 0, &[], &meta);
    }
    maker.file(Ino::ROOT, b"sparse", 3_000_001, &[(0, &[1; 4096]), (400, b"middle")], &meta(0o644));
    maker.file(Ino::ROOT, b"hole", 1 << 30, &[], &meta(0o644));
    maker.file(Ino::ROOT, b"some-zeros", 12_288, &[(0, &[1; 4096]), (2, &[2; 4096])], &meta(0o644));
    maker.finish()
}

#[test]
fn gnu_tar_lists_what_is_there() {
    let (tree, packs) = everything();
    let bytes = archive(&tree, &packs);
    assert_eq!(bytes, archive(&tree, &packs), "the same bytes each time");
    assert!(bytes.len() < 100_000, "holes take no room: {}", bytes.len());
    let listing = gnu_tar(&["-tv", "--full-time", "--numeric-owner", "--quoting-style=escape", "-f", "-"], &bytes);
    let long = "x".repeat(200);
    let time = "2023-11-14 22:13:20.123456789";
    let expected = [
        format!("drwxr-x--x 1/2 0 {time} ./"),
        // So GNU tar shows 23:59:58.75; it unpacks it right.
        "-rw-r--r-- 1/2 0 1969-12-31 23:59:59.25 before".to_owned(),
        format!("prw------- 1/2 0 {time} bytes-\\377\\n"),
        "-rw-r--r-- 1/2 0 36812-02-20 00:36:16 far".to_owned(),
        format!("prw------- 1/2 0 {time} fifo"),
        format!("-rw-r--r-- 1/2 1073741824 {time} hole"),
        format!("-rw-r--r-- 3000000000/2097152 0 {time} huge-ids"),
        format!("lrwxrwxrwx 1/2 0 {time} link -> {long}"),
        format!("-rw-r--r-- 1/2 12288 {time} some-zeros"),
        format!("-rw-r--r-- 1/2 3000001 {time} sparse"),
        "-rw-r--r-- 1/2 0 1970-01-01 00:00:07 whole".to_owned(),
        format!("drwxrwsr-x 1/2 0 {time} {long}/"),
        format!("-rwsr-xr-x 1/2 5 {time} {long}/file"),
        format!("hrwsr-xr-x 1/2 0 {time} zz-second link to {long}/file"),
    ];
    let found: Vec<String> =
        listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(found, expected);
}

#[test]
fn gnu_tar_unpacks_what_is_there() {
    let (tree, packs) = everything();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().to_str().unwrap();
    gnu_tar(
        &["-x", "--no-same-owner", "-p", "--warning=no-timestamp", "-C", target, "-f", "-"],
        &archive(&tree, &packs),
    );
    let long = "x".repeat(200);
    let stat = |name: &str| std::fs::symlink_metadata(dir.path().join(name)).unwrap();
    assert_eq!(stat("").mode() & 0o7777, 0o751);
    let file = stat(&format!("{long}/file"));
    assert_eq!((file.mode() & 0o7777, file.mtime(), file.mtime_nsec()), (0o4755, 1_700_000_000, 123_456_789));
    assert_eq!((file.ino(), file.nlink()), (stat("zz-second").ino(), 2));
    assert_eq!(std::fs::read(dir.path().join("zz-second")).unwrap(), b"hello");
    assert_eq!(std::fs::read_link(dir.path().join("link")).unwrap().as_os_str(), long.as_str());
    let before = stat("before");
    assert_eq!((before.mtime(), before.mtime_nsec()), (-2, 750_000_000));
    assert!(stat("fifo").file_type().is_fifo());
    let bytes = Path::new(std::ffi::OsStr::from_bytes(b"bytes-\xff\n"));
    assert!(std::fs::symlink_metadata(dir.path().join(bytes)).unwrap().file_type().is_fifo());
    let sparse = std::fs::read(dir.path().join("sparse")).unwrap();
    let mut expected = vec![0; 3_000_001];
    expected[..4096].fill(1);
    expected[400 * 4096..][..6].copy_from_slice(b"middle");
    assert!(sparse == expected);
    let hole = stat("hole");
    assert_eq!(hole.len(), 1 << 30);
    assert!(hole.blocks() * 512 < 1 << 20, "a hole is one again: {} blocks", hole.blocks());
    let zeros = std::fs::read(dir.path().join("some-zeros")).unwrap();
    assert_eq!((zeros[4095], zeros[4096], zeros[8191], zeros[8192]), (1, 0, 0, 2));
}

/// The records of an archive's PAX headers, by the order of the entries.
fn records(bytes: &[u8]) -> Vec<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut archive = ::tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().raw(true);
    let mut found = Vec::new();
    for entry in entries {
        let mut entry = entry.unwrap();
        if entry.header().entry_type() == ::tar::EntryType::XHeader {
            let mut body = Vec::new();
            io::Read::read_to_end(&mut entry, &mut body).unwrap();
            let mut records = BTreeMap::new();
            let mut rest = &body[..];
            while !rest.is_empty() {
                let space = rest.iter().position(|&byte| byte == b' ').unwrap();
                let len: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                let record = &rest[space + 1..len - 1];
                let equals = record.iter().position(|&byte| byte == b'=').unwrap();
                records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
                rest = &rest[len..];
            }
            found.push(records);
        }
    }
    found
}

#[test]
fn attributes_are_records_whatever_is_in_them() {
    let mut maker = Maker::new();
    let values: [&[u8]; 3] = [b"", b"a\nb=\0c\n12 path=x\n", &[0xff; 3000]];
    let xattrs = values
        .iter()
        .enumerate()
        .map(|(at, value)| Xattr { name: format!("user.\n{at}").into_bytes().into(), value: (*value).into() });
    let with = Meta {
        xattrs: xattrs.collect(),
        atime: Some(Time { secs: 5, nanos: 100 }),
        mtime: Time::from_secs(6),
        ..meta(0o644)
    };
    maker.file(Ino::ROOT, b"f", 0, &[], &with);
    let (tree, packs) = maker.finish();
    let bytes = archive(&tree, &packs);
    let records = records(&bytes);
    let of_file = records.last().unwrap();
    for (at, value) in values.iter().enumerate() {
        assert_eq!(of_file[format!("SCHILY.xattr.user.\n{at}").as_bytes()], *value);
    }
    assert_eq!(of_file[&b"atime"[..]], b"5.0000001");
    assert_eq!(of_file.len(), 4, "neither a path nor an mtime that the header has: {of_file:?}");
}

#[test]
fn devices() {
    let mut maker = Maker::new();
    for (name, kind) in [
        (&b"null"[..], Kind::CharDevice(Device { major: 1, minor: 3 })),
        (b"zero", Kind::CharDevice(Device { major: 0, minor: 0 })),
        (b"disk", Kind::BlockDevice(Device { major: 4095, minor: 1_048_575 })),
    ] {
        maker.add(Ino::ROOT, name, kind, &Meta { mode: 0o660, ..Meta::default() });
    }
    let (tree, packs) = maker.finish();
    let listing = gnu_tar(&["-tv", "--numeric-owner", "-f", "-"], &archive(&tree, &packs));
    for shown in ["brw-rw---- 0/0    4095,1048575", "crw-rw---- 0/0             1,3", "crw-rw---- 0/0             0,0"]
    {
        assert!(listing.contains(shown), "{shown}: {listing}");
    }
}

#[test]
fn deep_trees_need_no_stack() {
    let mut maker = Maker::new();
    let mut parent = Ino::ROOT;
    for _ in 0..3_000 {
        parent = maker.add(parent, b"d", Kind::Directory, &meta(0o755));
    }
    let (tree, packs) = maker.finish();
    let last = records(&archive(&tree, &packs)).last().unwrap()[&b"path"[..]].len();
    assert_eq!(last, 2 * 3_000);
}

/// A writer or a pack that fails.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Packs for Broken {
    fn read_at(&self, _: u32, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[test]
fn what_can_go_wrong_is_told_apart() {
    let (tree, packs) = everything();
    let error = tar::write(&tree, &packs, &mut Broken, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Write { source } if source.kind() == io::ErrorKind::StorageFull));
    let error = tar::write(&tree, &Broken, &mut io::sink(), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Content { path, .. } if path == "some-zeros"));

    let mut maker = Maker::new();
    maker.add(Ino::ROOT, b"s", Kind::Socket, &meta(0o644));
    let (tree, packs) = maker.finish();
    let error = tar::write(&tree, &packs, &mut io::sink(), &|_| {}).unwrap_err();
    assert!(matches!(&error, Error::Entry { path, problem: Problem::Socket } if path == "s"), "{error}");

    let mut maker = Maker::new();
    let xattrs = vec![Xattr { name: (*b"user.a=b").into(), value: (*b"c").into() }];
    maker.add(Ino::ROOT, b"f", Kind::Fifo, &Meta { xattrs, ..meta(0o644) });
    let (tree, packs) = maker.finish();
    let error = tar::write(&tree, &packs, &mut io::sink(), &|_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"f\" has an extended attribute \"user.a\\x3db\", expected a name without '=' and NUL"
    );
}
