//! The reader: what our writer and `mkfs.erofs` wrote comes back, and disks that lie are refused.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cvbake_disk::ReadAt;
use cvbake_erofs::read::{Error, Filesystem, Follow, NodeKind};
use cvbake_tree::{Device, Ino, Kind, Meta, Time, Tree, Xattr};

use crate::support::{Maker, bake, listing, mode, options, read_back};

/// A disk in memory with some bytes changed.
#[derive(Clone)]
struct Changed {
    bytes: Arc<Vec<u8>>,
    at: Range<usize>,
    with: [u8; 8],
}

impl ReadAt for Changed {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let from = self.bytes.get(start..start.saturating_add(bytes.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        for (at, with) in self.at.clone().zip(self.with) {
            if let Some(byte) = at.checked_sub(start).and_then(|at| bytes.get_mut(at)) {
                *byte = with;
            }
        }
        Ok(())
    }
}

fn plain(bytes: Vec<u8>) -> Changed {
    Changed { bytes: Arc::new(bytes), at: 0..0, with: [0; 8] }
}

/// The whole line of an error.
fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Reads all that there is; what comes back is compared, if anything does.
fn read(disk: Changed) -> Result<String, String> {
    let filesystem = Arc::new(Filesystem::open(Arc::new(disk)).map_err(|error| line(&error))?);
    for path in ["/dir/file", "/slow", "/many/77", "/fast/x"] {
        if let Ok(node) = filesystem.lookup(path.as_bytes(), Follow::All) {
            drop((filesystem.xattrs(&node), filesystem.content(&node), filesystem.read_dir(&node)));
        }
    }
    let files = filesystem.tree().map_err(|error| line(&error))?;
    Ok(listing(files.tree(), &files))
}

/// A small tree with one of everything that the metadata can have.
fn small() -> (Tree, Vec<Vec<u8>>) {
    let mut maker = Maker::new(&mode(0o755));
    let xattr = |name: &str, len| Xattr { name: name.as_bytes().into(), value: vec![1; len].into() };
    let acl = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 9, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255];
    let acl = Xattr { name: b"system.posix_acl_access"[..].into(), value: acl[..].into() };
    let attributes = Meta { xattrs: vec![xattr("user.a", 3), xattr("user.large", 300), acl], ..mode(0o644) };
    let dir = maker.add(Ino::ROOT, b"dir", Kind::Directory, &mode(0o755));
    let file = maker.file(dir, b"file", 0, &[1; 9000], &attributes);
    maker.builder.link(Ino::ROOT, b"hard", file).unwrap();
    let content: Vec<u8> = (0..20).flat_map(|piece| [[piece % 2; 4096], [0; 4096]].concat()).collect();
    maker.file(dir, b"pieces", 0, &content, &mode(0o600));
    maker.file(dir, b"zeros", 0, &[0; 70_000], &mode(0o600));
    maker.add(Ino::ROOT, b"slow", Kind::Symlink(&[b's'; 4000]), &mode(0o777));
    maker.add(Ino::ROOT, b"fast", Kind::Symlink(b"dir/file"), &mode(0o777));
    maker.add(Ino::ROOT, b"null", Kind::CharDevice(Device { major: 1, minor: 3 }), &mode(0o666));
    let many = maker.add(Ino::ROOT, b"many", Kind::Directory, &mode(0o755));
    for number in 0..80 {
        maker.add(many, format!("{number}-{}", "n".repeat(100)).as_bytes(), Kind::Fifo, &mode(0o600));
    }
    maker.finish()
}

#[test]
fn paths_lead_to_files() {
    let (tree, packs) = small();
    let disk = bake(&tree, &packs, &options());
    let filesystem = Filesystem::open(Arc::new(plain(std::fs::read(disk.path()).unwrap()))).unwrap();
    let info = filesystem.info();
    assert_eq!(
        (info.label.as_slice(), info.block_size, info.made),
        (&b"cvbake"[..], 4096, Time::from_secs(1_700_000_000))
    );
    assert_eq!(info.features, ["sb_csum", "mtime", "chunked_file"]);
    let kind = |path: &str, follow| filesystem.lookup(path.as_bytes(), follow).map(|node| node.kind);
    assert_eq!(kind("/fast", Follow::All).unwrap(), NodeKind::File);
    assert_eq!(kind("/fast", Follow::Parents).unwrap(), NodeKind::Symlink);
    assert_eq!(kind("many/../../dir/.", Follow::Never).unwrap(), NodeKind::Directory);
    assert_eq!(kind("null", Follow::All).unwrap(), NodeKind::CharDevice(Device { major: 1, minor: 3 }));
    for (path, says) in [
        ("/nothing", "/nothing does not exist"),
        ("/slow/x", "/slow/x does not exist"),
        ("/null/x", "/null/x is a device, expected a path through directories"),
    ] {
        assert_eq!(kind(path, Follow::All).unwrap_err().to_string(), says);
    }
    let pieces = filesystem.lookup(b"dir/pieces", Follow::All).unwrap();
    let content = filesystem.content(&pieces).unwrap();
    assert_eq!(content.next_content(0), Some(8192..12288), "holes are known");
    let mut bytes = [9; 8192];
    content.read_at(8192 - 2048, &mut bytes).unwrap();
    assert_eq!((bytes[0], bytes[2047], bytes[2048], bytes[6143], bytes[6144]), (0, 0, 1, 1, 0));
    assert!(content.read_at(content.len_bytes() - 1, &mut [0; 2]).is_err(), "behind the end");
}

/// Every eight bytes of the metadata, changed in turn to what is likely to be taken for something:
/// it ends, soon and without a panic, and most is found.
#[test]
fn it_ends() {
    let (tree, packs) = small();
    let disk = bake(&tree, &packs, &options());
    let bytes = Arc::new(std::fs::read(disk.path()).unwrap());
    let right = read(plain(bytes.to_vec())).unwrap();
    let places = (0..bytes.len()).step_by(8).filter(|&at| bytes[at..at + 8] != [0; 8]);
    let mut errors = BTreeSet::new();
    let (mut found, mut same, mut other) = (0, 0, 0);
    for at in places {
        let old: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
        let mut one = old;
        one[0] = one[0].wrapping_add(1);
        let mut high = old;
        (high[3], high[7]) = (0x80, 0x7f);
        for with in [[0; 8], [0xff; 8], one, high] {
            match read(Changed { bytes: bytes.clone(), at: at..at + 8, with }) {
                Err(error) => {
                    assert!(!error.contains('\n'), "{error}");
                    found += 1;
                    errors
                        .insert(error.split(|byte: char| byte.is_ascii_digit()).next().unwrap_or_default().to_owned());
                }
                Ok(listing) if listing == right => same += 1,
                // There is a checksum of the superblock, and of nothing else.
                Ok(_) => other += 1,
            }
        }
    }
    assert!(found > 500 && other > 1000 && errors.len() > 10, "{found} found, {same} same, {other} other: {errors:?}");
    for at in (1024..1152).step_by(8) {
        let mut with: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
        with[1] ^= 0x41;
        assert!(read(Changed { bytes: bytes.clone(), at: at..at + 8, with }).is_err(), "{at}");
    }
}

/// Where on a disk an inode is, and its disk without a checksum, so that nothing else is found.
struct Liar {
    bytes: Vec<u8>,
    filesystem: Filesystem,
}

impl Liar {
    fn new() -> Liar {
        let (tree, packs) = small();
        let disk = bake(&tree, &packs, &options());
        let mut bytes = std::fs::read(disk.path()).unwrap();
        bytes[1024 + 8] &= !1;
        let filesystem = Filesystem::open(Arc::new(plain(bytes.clone()))).unwrap();
        Liar { bytes, filesystem }
    }

    fn inode(&self, path: &str) -> usize {
        let meta = u32::from_le_bytes(self.bytes[1024 + 0x28..1024 + 0x2c].try_into().unwrap());
        let nid = self.filesystem.lookup(path.as_bytes(), Follow::Never).unwrap().nid;
        usize::try_from(u64::from(meta) * 4096 + nid * 32).unwrap()
    }

    /// Changes bytes of an inode, and reads.
    fn with(&self, path: &str, field: usize, value: &[u8]) -> Result<String, String> {
        let mut bytes = self.bytes.clone();
        let at = self.inode(path) + field;
        bytes[at..at + value.len()].copy_from_slice(value);
        read(plain(bytes))
    }

    fn superblock(&self, field: usize, value: &[u8]) -> Result<String, String> {
        let mut bytes = self.bytes.clone();
        bytes[1024 + field..1024 + field + value.len()].copy_from_slice(value);
        read(plain(bytes))
    }
}

/// Claims far beyond what there is, places outside, cycles, and what belongs to two.
#[test]
fn claims_are_not_believed() {
    let liar = Liar::new();
    let refused = |found: Result<String, String>, says: &str| {
        let error = found.unwrap_err();
        assert!(error.contains(says), "{error}, expected {says}");
    };
    refused(liar.superblock(0x24, &u32::MAX.to_le_bytes()), "the superblock: blocks is 4294967295");
    refused(liar.superblock(0x0e, &u16::MAX.to_le_bytes()), "its number is 65535");
    refused(liar.superblock(0x28, &u32::MAX.to_le_bytes()), "its number is");
    refused(liar.superblock(0x0c, &[40]), "blkszbits is 40, expected 9 to 16");
    refused(liar.superblock(0x50, &[0x80, 1]), "features that cvbake does not read: 48bit, metabox");
    refused(liar.superblock(0x50, &[0, 0, 0, 0x40]), "features that cvbake does not read: bit 30");
    // Sizes: of a file, of a directory, of a map of chunks, each of more than there is.
    let huge = &(1u64 << 40).to_le_bytes();
    refused(liar.with("/hard", 8, huge), "/hard: inode");
    refused(liar.with("/many", 8, huge), "/many: inode");
    refused(liar.with("/dir/pieces", 8, huge), "a map of 268435456 chunks within the filesystem");
    refused(liar.with("/dir/pieces", 8, &u64::MAX.to_le_bytes()), "/dir/pieces: inode");
    refused(liar.with("/dir/pieces", 16, &[0xff]), "the format of its chunks is 255, expected at most 63");
    // Places: outside, and those of others.
    refused(liar.with("/hard", 16, &u32::MAX.to_le_bytes()), "i_u is 4294967295");
    refused(liar.with("/hard", 16, &[1, 0, 0, 0]), "belongs to another, too");
    refused(liar.with("/hard", 44, &[9]), "i_nlink is 9, expected 2");
    refused(liar.with("/null", 4, &[0, 0xf0]), "i_mode is 61440");
    refused(liar.with("/hard", 0, &[3]), "is compressed, expected plain content, which is all that cvbake reads");
    refused(liar.with("/hard", 0, &[0x7f]), "i_format is 127");
    refused(liar.with("/hard", 2, &[0xff, 0xff]), "belongs to another, too");
    // An entry of the map that was never written, one outside, and one on another device.
    let node = liar.filesystem.lookup(b"/dir/pieces", Follow::Never).unwrap();
    assert_eq!(node.size, 40 * 4096);
    refused(liar.with("/dir/pieces", 64, &[0; 4]), "a chunk's block is 0");
    refused(liar.with("/dir/pieces", 64, &[0, 0, 0, 0x70]), "a chunk's block is 1879048192");
    refused(liar.with("/dir/pieces", 16, &[0x20]), "device_id is 65535, expected 0, this disk");
}

/// Directories that lead into each other.
#[test]
fn cycles_are_refused() {
    let mut maker = Maker::new(&mode(0o755));
    let a = maker.add(Ino::ROOT, b"a", Kind::Directory, &mode(0o755));
    maker.add(a, b"b", Kind::Directory, &mode(0o755));
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    let bytes = std::fs::read(disk.path()).unwrap();
    let filesystem = Filesystem::open(Arc::new(plain(bytes.clone()))).unwrap();
    let nid = |path: &str| filesystem.lookup(path.as_bytes(), Follow::Never).unwrap().nid.to_le_bytes();
    let (a, b) = (nid("/a"), nid("/a/b"));
    let mut errors = Vec::new();
    for at in (0..bytes.len() - 8).filter(|&at| bytes[at..at + 8] == b) {
        errors.extend(read(Changed { bytes: Arc::new(bytes.clone()), at: at..at + 8, with: a }).err());
    }
    assert!(errors.iter().any(|error| error.ends_with("the directory has a second name")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("its \".\" is not the directory itself")), "{errors:?}");
}

/// Runs Debian's writer over a directory.
fn mkfs(args: &[&str], dir: &Path) -> Vec<u8> {
    let image = tempfile::NamedTempFile::new().unwrap();
    let mut mkfs = Command::new("mkfs.erofs");
    let output = mkfs.args(args).arg(image.path()).arg(dir).output().expect("mkfs.erofs (Debian: erofs-utils)");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(image.path()).unwrap()
}

/// A directory of the host with what an ordinary user can make.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("a/b/c")).unwrap();
    for size in [0, 1, 4000, 4095, 4096, 4097, 12_288, 300_000] {
        let content: Vec<u8> = (0..size).map(|byte| u8::try_from(byte % 251 + 1).unwrap()).collect();
        std::fs::write(at(&format!("a/f{size}")), content).unwrap();
    }
    for number in 0..600 {
        std::fs::write(at(&format!("a/b/{number}-{}", "n".repeat(number % 90))), number.to_string()).unwrap();
    }
    std::fs::write(at("zeros"), vec![0; 1 << 20]).unwrap();
    std::fs::hard_link(at("a/f4097"), at("hard")).unwrap();
    std::os::unix::fs::symlink("a/f1", at("short")).unwrap();
    std::os::unix::fs::symlink("x".repeat(3000), at("long")).unwrap();
    std::fs::set_permissions(at("a/f1"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    for (name, count) in [("a/f4096", 1), ("a/f1", 2), ("a/f0", 2), ("a/b", 2), ("zeros", 2)] {
        for number in 0..count {
            let (key, value) = (format!("user.{number}"), "v".repeat(70));
            rustix::fs::setxattr(at(name), key, value.as_bytes(), rustix::fs::XattrFlags::empty()).unwrap();
        }
    }
    dir
}

/// Compares an image with the directory that it was made of.
fn assert_like(bytes: Vec<u8>, dir: &Path, what: &str) {
    let filesystem = Arc::new(Filesystem::open(Arc::new(plain(bytes))).unwrap());
    let files = filesystem.tree().unwrap_or_else(|error| panic!("{what}: {}", line(&error)));
    let mut waiting = vec![(dir.to_owned(), files.tree().root())];
    let mut seen = 0;
    while let Some((path, inode)) = waiting.pop() {
        seen += 1;
        let shown = format!("{what}: {}", path.display());
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(u32::from(inode.mode()), meta.mode() & 0o7777, "{shown}");
        assert_eq!((inode.uid(), inode.gid()), (meta.uid(), meta.gid()), "{shown}");
        let mut names: Vec<_> = Vec::new();
        match inode.kind() {
            Kind::Directory => {
                names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                names.sort();
            }
            Kind::Symlink(target) => {
                assert_eq!(std::fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes(), target);
            }
            Kind::File(data) => {
                let mut content = Vec::new();
                data.read(&files, &mut |bytes| {
                    content.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
                assert!(content == std::fs::read(&path).unwrap(), "{shown}");
                assert_eq!(u64::from(inode.name_count()), meta.nlink(), "{shown}");
            }
            other => panic!("{shown}: {other:?}"),
        }
        let mut value = vec![0; 1000];
        for xattr in inode.xattrs() {
            let len = rustix::fs::lgetxattr(&path, &*xattr.name, &mut value).unwrap();
            assert_eq!(&value[..len], &*xattr.value, "{shown}");
        }
        let mut list = vec![0; 1000];
        let len = rustix::fs::llistxattr(&path, &mut list).unwrap();
        let count = list[..len].split(|&byte| byte == 0).filter(|name| name.starts_with(b"user.")).count();
        assert_eq!(inode.xattrs().len(), count, "{shown}");
        assert_eq!(names.len(), inode.child_count(), "{shown}");
        for (name, (found, child)) in names.iter().zip(inode.children()) {
            assert_eq!(name.as_encoded_bytes(), found, "{shown}");
            waiting.push((path.join(name), child));
        }
    }
    assert_eq!(seen, 616, "{what}");
}

#[test]
fn what_mkfs_writes() {
    let dir = directory();
    // Inline ends, shared attributes; none of both; chunks, of one block and of many, which may be
    // shared; both kinds of inodes.
    for args in [
        &[][..],
        &["-Enoinline_data"],
        &["-x", "1000"],
        &["--chunksize=4096"],
        &["--chunksize=65536"],
        &["-Eforce-inode-extended"],
        &["-Eforce-inode-compact", "-T", "1700000000"],
        &["-Eforce-chunk-indexes", "--chunksize=4096"],
    ] {
        assert_like(mkfs(args, dir.path()), dir.path(), &args.join(" "));
    }
}

#[test]
fn what_mkfs_compresses() {
    let dir = directory();
    std::fs::write(dir.path().join("a/text"), "the same again ".repeat(10_000)).unwrap();
    let filesystem = Arc::new(Filesystem::open(Arc::new(plain(mkfs(&["-zlz4"], dir.path())))).unwrap());
    let error = filesystem.tree().unwrap_err();
    assert!(line(&error).ends_with("is compressed, expected plain content, which is all that cvbake reads"), "{error}");
    assert!(line(&error).starts_with("/"), "it names the file: {error}");
    // Names and attributes are there all the same, and so is what is not compressed.
    let text = filesystem.lookup(b"/a/text", Follow::All).unwrap();
    assert_eq!((text.kind, text.size), (NodeKind::File, 150_000));
    assert!(matches!(filesystem.content(&text), Err(Error::Compressed { .. })));
    let small = filesystem.lookup(b"/short", Follow::All).unwrap();
    let mut byte = [0];
    filesystem.content(&small).unwrap().read_at(0, &mut byte).unwrap();
    assert_eq!(byte, [1]);
}

#[test]
fn what_is_no_filesystem() {
    for (len, says) in [(100, "the disk has 100 bytes"), (1 << 20, "the magic number is 0x00000000")] {
        let error = read(plain(vec![0; len])).unwrap_err();
        assert!(error.starts_with("there is no EROFS filesystem") && error.contains(says), "{error}");
    }
    let (tree, packs) = small();
    let disk = bake(&tree, &packs, &options());
    let mut bytes = std::fs::read(disk.path()).unwrap();
    read_back(disk.path(), &tree, &packs);
    bytes.truncate(bytes.len() / 2);
    let error = read(plain(bytes)).unwrap_err();
    assert!(error.starts_with("the superblock: blocks is "), "cut off: {error}");
}
