//! Filesystems that mke2fs made, with features that our writer does not use, read back.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use cvbake_ext4::Use;
use cvbake_ext4::read::{Error, Filesystem, Follow};
use cvbake_tree::Kind;

use crate::regions::{free_by_dumpe2fs, only};
use crate::support::{debugfs, listing, open, tool};

/// A directory of an ordinary user with everything that one can make.
fn source() -> tempfile::TempDir {
    let dir = without_holes();
    let sparse = fs::File::create(dir.path().join("sparse")).unwrap();
    for block in 0..60u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[9; 3000], block * 300_000).unwrap();
    }
    sparse.set_len(20_000_001).unwrap();
    dir
}

/// The same but for a file with holes: mke2fs gets the size of such a one wrong with `inline_data`.
fn without_holes() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("tiny"), b"a few bytes").unwrap();
    fs::write(at("small"), [7; 100]).unwrap();
    fs::write(at("block"), [1; 4096]).unwrap();
    fs::write(at("large"), (0..3_000_000u32).map(|byte| byte.to_le_bytes()[1]).collect::<Vec<u8>>()).unwrap();
    fs::hard_link(at("large"), at("hard")).unwrap();
    symlink("short", at("fast")).unwrap();
    symlink("x".repeat(59), at("fastest")).unwrap();
    symlink("y".repeat(60), at("slow")).unwrap();
    symlink("z/".repeat(500), at("slower")).unwrap();
    fs::create_dir_all(at("deep/er/and/deeper")).unwrap();
    fs::write(at("deep/er/and/deeper/file"), b"deep").unwrap();
    symlink("../../../tiny", at("deep/er/and/up")).unwrap();
    symlink("/deep/er", at("absolute")).unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::create_dir(at("many")).unwrap();
    for number in 0..800 {
        fs::write(at(&format!("many/{number}{}", "-".repeat(number % 250))), number.to_string()).unwrap();
    }
    fs::create_dir(at("few")).unwrap();
    for number in 0..5 {
        fs::write(at(&format!("few/{number}")), b"").unwrap();
    }
    fs::set_permissions(at("small"), fs::Permissions::from_mode(0o4711)).unwrap();
    dir
}

/// mke2fs of the source, with options.
fn make(dir: &Path, source: &Path, options: &[&str]) -> PathBuf {
    let disk = dir.join("disk");
    let mut command = tool("mke2fs");
    if !options.contains(&"-t") {
        command.args(["-t", "ext4"]);
    }
    command.args(["-q", "-F", "-d"]).arg(source).args(options).arg(&disk).arg("80M");
    let output = command.output().expect("mke2fs (Debian: e2fsprogs)");
    assert!(output.status.success(), "mke2fs {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    disk
}

/// The listing of a directory of the host: the paths, and what mke2fs keeps of each.
fn host_listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let shown = path.strip_prefix(root).unwrap().display().to_string();
            let rest = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_file() {
                format!("{} {:08x}", meta.len(), crc32c::crc32c(&fs::read(&path).unwrap()))
            } else {
                waiting.push(path);
                String::new()
            };
            let mode = if meta.is_symlink() { 0o777 } else { meta.mode() & 0o7777 };
            lines.push(format!("{shown} {mode:o} {}:{} {} {rest}", meta.uid(), meta.gid(), meta.mtime()));
        }
    }
    lines.sort();
    lines
}

/// The same of a filesystem.
fn disk_listing(disk: &Path) -> Vec<String> {
    let files = open(disk).tree().unwrap();
    let mut lines = Vec::new();
    let mut waiting = vec![(String::new(), files.tree().root())];
    while let Some((path, dir)) = waiting.pop() {
        for (name, inode) in dir.children().filter(|(name, _)| *name != b"lost+found") {
            let shown = format!("{path}{}", String::from_utf8_lossy(name));
            let rest = match inode.kind() {
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                Kind::File(data) => {
                    let mut checksum = 0;
                    let each = &mut |bytes: &[u8]| {
                        checksum = crc32c::crc32c_append(checksum, bytes);
                        Ok(())
                    };
                    data.read(&files, each).unwrap();
                    format!("{} {checksum:08x}", data.size)
                }
                _ => String::new(),
            };
            let owner = format!("{}:{}", inode.uid(), inode.gid());
            lines.push(format!("{shown} {:o} {owner} {} {rest}", inode.mode(), inode.mtime().secs));
            if inode.is_dir() {
                waiting.push((shown + "/", inode));
            }
        }
    }
    lines.sort();
    lines
}

#[test]
fn whatever_the_features() {
    const SETS: [&[&str]; 17] = [
        &["-b", "4096"],
        &["-b", "1024"],
        &["-b", "2048"],
        &["-O", "^extents,^64bit"],
        &["-b", "1024", "-O", "^extents,^64bit,^flex_bg"],
        &["-O", "^metadata_csum"],
        &["-O", "^metadata_csum,uninit_bg"],
        &["-O", "^metadata_csum,uninit_bg,^64bit"],
        &["-O", "metadata_csum_seed"],
        &["-O", "inline_data"],
        &["-b", "1024", "-O", "inline_data,^metadata_csum"],
        &["-O", "meta_bg,^resize_inode"],
        &["-b", "1024", "-O", "meta_bg,^resize_inode,64bit"],
        &["-O", "bigalloc"],
        &["-O", "^filetype,^dir_index,^has_journal,^metadata_csum"],
        &["-I", "128", "-O", "^metadata_csum"],
        &["-I", "1024"],
    ];
    let sources = [source(), without_holes()];
    let listings = sources.each_ref().map(|source| host_listing(source.path()));
    for options in SETS {
        let which = usize::from(options.iter().any(|option| option.contains("inline_data")));
        let (source, expected) = (&sources[which], &listings[which]);
        let dir = tempfile::tempdir().unwrap();
        let disk = make(dir.path(), source.path(), options);
        let found = disk_listing(&disk);
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected, "{options:?}");
        }
        assert_eq!(found.len(), expected.len(), "{options:?}");
        // A directory that mke2fs fills is linear until e2fsck optimizes it.
        let optimized = tool("e2fsck").args(["-fyD"]).arg(&disk).output().expect("e2fsck (Debian: e2fsprogs)");
        assert!(optimized.status.code().is_some_and(|code| code <= 1), "{options:?}");
        assert!(disk_listing(&disk) == *expected, "{options:?}, with indexes");
        let info = open(&disk).info().clone();
        let said = debugfs(&disk, "show_super_stats -h");
        let value = |key: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        assert_eq!(info.block_size.to_string(), value("Block size"));
        assert_eq!(info.blocks.to_string(), value("Block count"));
        assert_eq!(info.free_blocks.to_string(), value("Free blocks"));
        assert_eq!(info.inodes.to_string(), value("Inode count"));
        assert_eq!(info.free_inodes.to_string(), value("Free inodes"));
        assert_eq!(info.features.join(" "), value("Filesystem features"), "{options:?}");
        let filesystem = open(&disk);
        let regions = filesystem.regions(&filesystem.tree().unwrap(), &|_| 0).unwrap();
        let free = only(&regions, &|used_for| used_for == Use::Free);
        let mut expected = free_by_dumpe2fs(&disk);
        if options.contains(&"bigalloc") {
            // It tells the last cluster of a run by the first of its 16 blocks.
            expected.iter_mut().for_each(|run| run.end += 15);
        }
        assert_eq!(free, expected, "{options:?}");
    }
}

#[test]
fn ext2_and_ext3_too() {
    let source = source();
    let expected = host_listing(source.path());
    for options in [&["-t", "ext2"][..], &["-t", "ext3", "-b", "1024"], &["-t", "ext2", "-b", "1024", "-O", "none"]] {
        let dir = tempfile::tempdir().unwrap();
        assert!(disk_listing(&make(dir.path(), source.path(), options)) == expected, "{options:?}");
    }
}

#[test]
fn paths_lead_where_linux_goes() {
    let (source, dir) = (source(), tempfile::tempdir().unwrap());
    let filesystem = open(&make(dir.path(), source.path(), &[]));
    let ino = |path: &str, follow| filesystem.lookup(path.as_bytes(), follow).map(|node| node.ino);
    let deep = ino("/deep/er/and/deeper/file", Follow::Never).unwrap();
    for path in ["deep//er/./and/deeper/file", "/absolute/and/deeper/file", "/../absolute/../er/and/deeper/file"] {
        assert_eq!(ino(path, Follow::All).unwrap(), deep, "{path}");
    }
    assert_eq!(ino("/deep/er/and/up", Follow::All).unwrap(), ino("/tiny", Follow::Never).unwrap());
    assert_ne!(ino("/deep/er/and/up", Follow::Parents).unwrap(), ino("/tiny", Follow::Never).unwrap());
    assert!(matches!(ino("/absolute/and", Follow::Never), Err(Error::At { .. })));
    assert!(ino("/absolute/and", Follow::Parents).is_ok());
    let error = ino("/loop", Follow::All).unwrap_err();
    assert_eq!(error.to_string(), "/loop leads over more than 40 symbolic links");
    assert_eq!(ino("/deep/none", Follow::All).unwrap_err().to_string(), "/deep/none does not exist");
    assert!(matches!(ino("/tiny/x", Follow::All), Err(Error::At { .. })));
    let tiny = filesystem.lookup(b"tiny", Follow::Never).unwrap();
    let content = filesystem.content(&tiny).unwrap();
    let mut bytes = [0; 3];
    content.read_at(2, &mut bytes).unwrap();
    assert_eq!(&bytes, b"few");
    assert!(content.read_at(9, &mut bytes).is_err());
}

#[test]
fn what_cannot_be_read_is_named() {
    let (source, dir) = (source(), tempfile::tempdir().unwrap());
    // A journal that nobody replayed is no reason not to read.
    let disk = make(dir.path(), source.path(), &[]);
    let mut command = tool("debugfs");
    command.args(["-w", "-R", "feature +needs_recovery +encrypt"]).arg(&disk);
    assert!(command.output().unwrap().status.success());
    let opened = |disk: &Path| {
        Filesystem::open(std::sync::Arc::new(cvbake_disk::RawDisk::new(fs::File::open(disk).unwrap()).unwrap()))
    };
    let error = opened(&disk).unwrap_err();
    assert_eq!(error.to_string(), "the filesystem has features that cvbake does not read: encrypt");
    command = tool("debugfs");
    command.args(["-w", "-R", "feature -encrypt"]).arg(&disk);
    assert!(command.output().unwrap().status.success());
    let filesystem = opened(&disk).unwrap();
    assert!(filesystem.info().needs_recovery);
    let files = std::sync::Arc::new(filesystem).tree().unwrap();
    assert!(listing(files.tree(), &files).contains("/deep/er/and/deeper/file file "));
}
