//! Disks that lie: an error or the right answer, and always soon.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cvbake_disk::{Claims, RawDisk, ReadAt};
use cvbake_ext4::read::{Filesystem, Follow};
use cvbake_ext4::{Options, Size};
use cvbake_tree::{Device, Ino, Kind, Meta, Xattr};

use crate::support::{Maker, bake, debugfs, listing, mode, open, options, tool};

/// A disk in memory with some bytes changed, of which reading a piece costs something.
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

/// A small tree with one of everything that the metadata can have.
fn small() -> Maker {
    let mut maker = Maker::new(&mode(0o755));
    let xattr = |name: &str, len| Xattr { name: name.as_bytes().into(), value: vec![1; len].into() };
    let acl = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 9, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255];
    let acl = Xattr { name: b"system.posix_acl_access"[..].into(), value: acl[..].into() };
    let attributes = Meta { xattrs: vec![xattr("user.a", 3), xattr("user.large", 300), acl], ..mode(0o644) };
    let dir = maker.dir(Ino::ROOT, b"dir");
    let file = maker.file(dir, b"file", 0, &[1; 9000], &attributes);
    maker.builder.link(Ino::ROOT, b"hard", file).unwrap();
    // Enough pieces for a tree with a level below the inode.
    let content: Vec<u8> = (0..20).flat_map(|piece| [[piece % 2; 4096], [0; 4096]].concat()).collect();
    maker.file(dir, b"pieces", 0, &content, &mode(0o600));
    maker.add(Ino::ROOT, b"slow", Kind::Symlink(&[b's'; 70]), &mode(0o777));
    maker.add(Ino::ROOT, b"fast", Kind::Symlink(b"dir/file"), &mode(0o777));
    maker.add(Ino::ROOT, b"null", Kind::CharDevice(Device { major: 1, minor: 3 }), &mode(0o666));
    let many = maker.dir(Ino::ROOT, b"many");
    for number in 0..80 {
        maker.add(many, format!("{number}-{}", "n".repeat(100)).as_bytes(), Kind::Fifo, &mode(0o600));
    }
    maker
}

/// Reads all that there is; what comes back is compared, if anything does.
fn read(disk: Changed) -> Result<String, String> {
    let filesystem = Arc::new(Filesystem::open(Arc::new(disk)).map_err(|error| error.to_string())?);
    for path in ["/dir/file", "/slow", "/many/77", "/fast/x"] {
        if let Ok(node) = filesystem.lookup(path.as_bytes(), Follow::All) {
            drop((filesystem.xattrs(&node), filesystem.content(&node), filesystem.read_dir(&node)));
        }
    }
    let files = filesystem.tree().map_err(|error| error.to_string())?;
    Ok(listing(files.tree(), &files))
}

/// The bytes of a disk that are not content of files, in pieces of eight.
fn metadata(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).step_by(8).filter(|&at| bytes[at..at + 8] != [0; 8] || at % 512 < 16).collect()
}

/// Every eight bytes of a filesystem with checksums, changed in turn: the change is found, or it is
/// where nothing that is read stands.
#[test]
fn checksums_find_every_change() {
    let (tree, packs) = small().finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, journal: false, ..options() });
    let bytes = Arc::new(std::fs::read(disk.path()).unwrap());
    let right = read(Changed { bytes: bytes.clone(), at: 0..0, with: [0; 8] }).unwrap();
    let (mut found, mut same, mut content) = (0, 0, 0);
    for at in metadata(&bytes) {
        let mut with: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
        with.iter_mut().for_each(|byte| *byte ^= 0x41);
        match read(Changed { bytes: bytes.clone(), at: at..at + 8, with }) {
            Err(_) => found += 1,
            Ok(listing) if listing == right => same += 1,
            // Only the content of files has no checksum.
            Ok(listing) => {
                let kept =
                    |line: &str| line.split(' ').filter(|field| !field.starts_with("sha256=")).collect::<String>();
                assert!(
                    listing.lines().map(kept).eq(right.lines().map(kept)) || is_target(&listing, &right),
                    "{at:#x}"
                );
                content += 1;
            }
        }
    }
    assert!(found > 1000 && same > 100 && content > 100, "{found} found, {same} same, {content} of content");
}

/// A symbolic link's long target is a block without a checksum, too.
fn is_target(listing: &str, right: &str) -> bool {
    let kept = |line: &str| line.split(" target=").next().unwrap_or_default().to_owned();
    listing.lines().map(kept).eq(right.lines().map(kept))
}

/// The same without checksums, and with values that are likelier to be taken for something: only
/// that it ends, soon and without a panic, can be asked for.
#[test]
fn without_checksums_it_ends() {
    let (tree, packs) = small().finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, journal: false, ..options() });
    let plain = tool("tune2fs").args(["-O", "^metadata_csum"]).arg(disk.path()).output().unwrap();
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    assert!(!debugfs(disk.path(), "features").contains("metadata_csum"));
    let bytes = Arc::new(std::fs::read(disk.path()).unwrap());
    read(Changed { bytes: bytes.clone(), at: 0..0, with: [0; 8] }).unwrap();
    let places = metadata(&bytes);
    let mut errors = BTreeSet::new();
    let mut variants = 0;
    for at in places {
        let old: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
        let mut one = old;
        one[0] = one[0].wrapping_add(1);
        let mut high = old;
        (high[3], high[7]) = (0x80, 0x7f);
        for with in [[0; 8], [0xff; 8], one, high] {
            variants += 1;
            if let Err(error) = read(Changed { bytes: bytes.clone(), at: at..at + 8, with }) {
                errors.insert(error.split(|byte: char| byte.is_ascii_digit()).next().unwrap_or_default().to_owned());
            }
        }
    }
    assert!(variants > 3000 && errors.len() > 5, "{variants} variants: {errors:?}");
}

/// Lists that claim far more than there is.
#[test]
fn claims_are_not_believed() {
    let (tree, packs) = small().finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, journal: false, ..options() });
    let change = |commands: &[&str]| {
        let copy = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(disk.path(), copy.path()).unwrap();
        for command in commands {
            let said = tool("debugfs").args(["-w", "-R", command]).arg(copy.path()).output().unwrap();
            assert!(said.status.success(), "{command}");
        }
        let bytes = Arc::new(std::fs::read(copy.path()).unwrap());
        read(Changed { bytes, at: 0..0, with: [0; 8] })
    };
    let refused = |commands: &[&str], says: &str| {
        let error = change(commands).unwrap_err();
        assert!(error.contains(says), "{commands:?}: {error}");
    };
    // debugfs computes checksums, as whoever wants to be believed does.
    refused(&["sif dir size 4398046511104"], "/dir");
    refused(&["link dir many/again"], "/many/again");
    refused(&["link dir dir/again"], "/dir/again");
    refused(&["sif dir/file links_count 3"], "inode");
    refused(&["ssv blocks_count 4000000000"], "the superblock");
    refused(&["ssv inodes_count 4000000000"], "the superblock");
    refused(&["sif null mode 0xf000"], "/null");
    let huge = change(&["sif dir/pieces size 17592186044416"]);
    assert!(huge.is_err(), "more blocks than 32 bits count");
}

/// One block in several places of a file, or in several files, would make a few KiB of disk more
/// than any host has room for. What reads a single file finds that as well.
#[test]
fn content_is_there_once() {
    let (tree, packs) = small().finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, journal: false, ..options() });
    let change = |command: &str| {
        let said = tool("debugfs").args(["-w", "-R", command]).arg(disk.path()).output().unwrap();
        assert!(said.status.success(), "{command}");
    };
    let first = debugfs(disk.path(), "blocks dir/file");
    let first = first.split_whitespace().next().unwrap();
    // Two extents where there was one, with the same blocks.
    for (word, value) in [(0, "0x0002f30a"), (6, "3"), (7, "3"), (8, first)] {
        change(&format!("sif dir/file block[{word}] {value}"));
    }
    change("sif dir/file size 24576");
    let filesystem = open(disk.path());
    let node = filesystem.lookup(b"/dir/file", Follow::All).unwrap();
    let error = filesystem.content(&node).unwrap_err().to_string();
    assert!(error.contains(&format!("block {first} is there twice")), "{error}");
    // As it was; and now another file has it.
    change("sif dir/file block[0] 0x0001f30a");
    change(&format!("sif slow block[5] {first}"));
    let filesystem = open(disk.path());
    let mut claims = Claims::default();
    let node = |path: &[u8]| filesystem.lookup(path, Follow::Never).unwrap();
    filesystem.claim(&node(b"/dir/file"), &mut claims).unwrap();
    filesystem.claim(&node(b"/null"), &mut claims).unwrap();
    let error = filesystem.claim(&node(b"/slow"), &mut claims).unwrap_err().to_string();
    assert!(error.contains("belongs to another file, too"), "{error}");
}

/// Attributes whose values are the same bytes, hundreds of times.
#[test]
fn values_of_attributes_are_there_once() {
    let (tree, packs) = small().finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, journal: false, ..options() });
    let plain = tool("tune2fs").args(["-O", "^metadata_csum"]).arg(disk.path()).output().unwrap();
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    let mut bytes = std::fs::read(disk.path()).unwrap();
    let block = (0..bytes.len()).step_by(4096).find(|&at| bytes[at..].starts_with(&[0, 0, 2, 0xea])).unwrap();
    // An entry: the length of the name, the namespace, the value's offset; its size at 8.
    let mut at = block + 32;
    for name in [b'x', b'y'] {
        bytes[at..at + 20].copy_from_slice(&[1, 1, 0, 4, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, name, 0, 0, 0]);
        at += 20;
    }
    bytes[at..at + 4].fill(0);
    let with = |bytes: &[u8]| read(Changed { bytes: Arc::new(bytes.to_vec()), at: 0..0, with: [0; 8] });
    assert!(with(&bytes).unwrap().contains("user.y="), "2048 bytes, twice, fit into 4096");
    bytes[block + 32 + 8..block + 32 + 10].copy_from_slice(&2049_u16.to_le_bytes());
    let disk = Changed { bytes: Arc::new(bytes), at: 0..0, with: [0; 8] };
    let filesystem = Arc::new(Filesystem::open(Arc::new(disk)).unwrap());
    let error = filesystem.tree().unwrap_err();
    let problem = std::error::Error::source(&error).unwrap().to_string();
    assert!(problem.contains("its values have more bytes than there are"), "{problem}");
}

/// Blocks of 64 KiB let a file have content where a tree has no numbers any more.
#[test]
fn content_that_is_far_out() {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(64 << 20).unwrap();
    let made = tool("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "65536"]).arg(disk.path()).output();
    assert!(made.expect("mke2fs (Debian: e2fsprogs)").status.success());
    let commands = ["write /etc/passwd f", "sif f block[3] 0x10000000", "sif f size 17592186109952"];
    for command in commands {
        let said = tool("debugfs").args(["-w", "-R", command]).arg(disk.path()).output().unwrap();
        assert!(said.status.success(), "{command}");
    }
    let filesystem = open(disk.path());
    let error = filesystem.tree().unwrap_err();
    let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(text.starts_with("/f: inode") && text.contains("expected content within the first 2^32 blocks"), "{text}");
}

/// Counts what is read.
struct Counted(RawDisk, AtomicU64);

impl ReadAt for Counted {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.1.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.0.read_at(offset, bytes)
    }
}

/// Links that lead through the same directories again and again cost no more than those.
#[test]
fn directories_on_a_way_are_read_once() {
    let mut maker = small();
    for link in 0..30 {
        let name = format!("l{link}");
        let next = if link == 29 { "dir/file".to_owned() } else { format!("l{}", link + 1) };
        let target = format!("{}{next}", "many/../".repeat(500));
        maker.add(Ino::ROOT, name.as_bytes(), Kind::Symlink(target.as_bytes()), &mode(0o777));
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, journal: false, ..options() });
    let raw = RawDisk::new(std::fs::File::open(disk.path()).unwrap()).unwrap();
    let counted = Arc::new(Counted(raw, AtomicU64::new(0)));
    let filesystem = Filesystem::open(counted.clone()).unwrap();
    assert_eq!(filesystem.lookup(b"/l0", Follow::All).unwrap().size, 9000);
    let read = counted.1.load(Ordering::Relaxed);
    assert!(read < 3000 * 4096, "{read} bytes were read for 30 links through two directories");
}
