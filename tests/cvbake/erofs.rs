//! The same images as EROFS: every fixture, every format, and what is refused.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base_pack::{LARGE, SMALL};
use crate::cases;
use crate::support::bake::{Bake, Place};
use crate::support::case::{Case, Expected};
use crate::support::image::{Compression, Images};
use crate::support::tools::{succeed, tool};
use crate::support::{erofs, expected, sample, seen};

/// Fixtures whose times ext4 can't hold: what they expect is the nearest one that it can, and EROFS
/// has them as they are.
pub(crate) const BEYOND_EXT4: [&str; 2] = ["times-beyond-ext4", "times-that-fsck-doubts"];

/// A listing without what EROFS has no place for: times of access and of change, and attributes of
/// unknown namespaces.
fn without_what_is_not_kept(listing: &str, with_mtime: bool) -> String {
    let known = ["user.", "trusted.", "security.", "system.posix_acl_"];
    let is_kept = |field: &&str| match field.strip_prefix("xattr:") {
        Some(xattr) => known.iter().any(|namespace| xattr.starts_with(namespace)),
        None => {
            !field.starts_with("atime=") && !field.starts_with("ctime=") && (with_mtime || !field.starts_with("mtime="))
        }
    };
    let line = |line: &str| line.split(' ').filter(is_kept).collect::<Vec<_>>().join(" ") + "\n";
    listing.lines().map(line).collect()
}

#[test]
fn every_fixture_that_makes_a_disk() {
    let mut failures = Vec::new();
    let mut count = 0;
    for file in cases::files() {
        let case = Case::read(&file);
        let Expected::Tree(lines) = &case.expected else { continue };
        count += 1;
        let checked = std::panic::catch_unwind(|| {
            let place = Place::with(&case.images);
            let mut bake = place.bake_erofs();
            if let Some(platform) = &case.platform {
                bake = bake.platform(platform);
            }
            for (name, value) in &case.env {
                bake = bake.env(name, value);
            }
            bake.ok();
            place.assert_no_leftovers(&["disk.erofs"]);
            erofs::fsck(&place.erofs_disk());
            // Back with our own reader: the disk is what the fixture's image bakes to.
            let mut verify = place.verify(&place.erofs_disk());
            if let Some(platform) = &case.platform {
                verify = verify.platform(platform);
            }
            for (name, value) in &case.env {
                verify = verify.env(name, value);
            }
            assert!(verify.ok().stdout.contains(" is what "));
            let with_mtime = !BEYOND_EXT4.contains(&case.name.as_str());
            let found = without_what_is_not_kept(&erofs::listing(&place.erofs_disk()), with_mtime);
            seen::assert_same(&case.name, &found, &without_what_is_not_kept(&expected::listing(lines), with_mtime));
        });
        if let Err(panic) = checked {
            failures.push(format!("== {}\n{}", case.name, panic.downcast_ref::<String>().cloned().unwrap_or_default()));
        }
    }
    assert!(count > 150, "{count} fixtures");
    assert!(failures.is_empty(), "{} of {count} fixtures:\n{}", failures.len(), failures.join("\n"));
}

/// Whatever is around the filesystem, and whether or not a layer was unpacked to its place in it.
#[test]
fn every_format_has_the_same_filesystem() {
    for text in [SMALL, LARGE] {
        let place = Place::with(&Images::of(vec![
            sample::layer(text, Compression::Gzip),
            sample::layer(SMALL, Compression::Gzip),
        ]));
        place.bake_erofs().ok();
        erofs::fsck(&place.erofs_disk());
        let bytes = std::fs::read(place.erofs_disk()).unwrap();
        // Again from the store, with what it keeps, and from nothing.
        for args in
            [&["--force"][..], &["--force", "--keep-packs", "always"], &["--force"], &["--force", "--jobs", "1"]]
        {
            place.bake_erofs().args(args).ok();
            assert!(std::fs::read(place.erofs_disk()).unwrap() == bytes, "{args:?}");
        }
        place.bake_erofs().arg("--force").no_cache().ok();
        assert!(std::fs::read(place.erofs_disk()).unwrap() == bytes, "without a store");
        for (ending, options) in [
            ("qcow2", &[][..]),
            ("vhd", &["--subformat", "fixed"]),
            ("vhd", &["--subformat", "dynamic"]),
            ("vhdx", &["--subformat", "fixed"]),
            ("vhdx", &["--subformat", "dynamic"]),
        ] {
            let source = format!("oci:{}:latest", place.path().join("image").display());
            let disk = place.path().join("out").join(format!("disk.{ending}"));
            let bake = crate::support::bake::Bake::of(&["bake", &source, "--fs", "erofs", "--force", "-o"]).arg(&disk);
            bake.args(options).progress("none").platform("linux/amd64").no_cache().ok();
            let raw = place.path().join("raw");
            let format = if ending == "vhd" { "vpc" } else { ending };
            let mut convert = tool("qemu-img", "qemu-utils");
            succeed(convert.args(["convert", "-f", format, "-O", "raw"]).arg(&disk).arg(&raw));
            let mut found = std::fs::read(&raw).unwrap();
            // Disks are whole MiB in some formats.
            assert!(found.split_off(bytes.len()).iter().all(|&byte| byte == 0), "{ending} {options:?}");
            assert!(found == bytes, "{ending} {options:?}");
        }
    }
}

#[test]
fn what_is_for_ext4_is_refused() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    for (args, says) in [
        (&["--size", "1G"][..], "--size is for ext4, and this disk is erofs"),
        (&["--no-journal"], "--no-journal is for ext4"),
        (&["--engine", "mkfs"], "--engine mkfs is for ext4"),
        (&["--fs", "ext4"], "the name says erofs, and --fs says ext4"),
        (&["--label", "0123456789abcdef"], "has 16 bytes, expected at most 15"),
        (&["--fs", "btrfs"], "btrfs"),
    ] {
        let outcome = place.bake_erofs().args(args).run();
        assert!(outcome.error(&[2]).contains(says), "{args:?}: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
}

/// Identity and label are what was asked for, and what cannot be shown is said.
#[test]
fn what_is_told() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    let uuid = "01234567-89ab-4def-8123-456789abcdef";
    let told = place.bake_erofs().args(["--json", "--uuid", uuid, "--label", "root"]).ok();
    let told = told.stdout;
    assert!(told.contains(r#""filesystem":"erofs","format":"raw""#) && told.contains(uuid), "{told}");
    let superblock = succeed(tool("dump.erofs", "erofs-utils").arg("-s").arg(place.erofs_disk()));
    assert!(superblock.contains(uuid) && superblock.contains("sb_csum mtime"), "{superblock}");
    let planned = place.bake_erofs().args(["--force", "--dry-run"]).ok();
    let planned = planned.stdout;
    assert!(planned.contains(" erofs, ") && planned.contains(" inodes\n"), "{planned}");
}

fn cvbake(args: &[&str], disk: &Path) -> Bake {
    Bake::of(args).arg(disk)
}

/// `DISK:PATH`.
fn on(disk: &Path, path: &str) -> PathBuf {
    PathBuf::from(format!("{}:{path}", disk.display()))
}

/// Every command that looks into a disk looks into this one, in every format.
#[test]
fn it_is_read_back() {
    let place = Place::with(&sample::varied());
    place.bake_erofs().arg("--verify").ok();
    place.assert_no_leftovers(&["disk.erofs"]);
    let disk = place.erofs_disk();
    let tree = cvbake(&["disk", "tree", "--digests"], &disk).ok().stdout;
    // The crate erofs-rs finds the same, but for what its hashing leaves out.
    let fields = |text: &str| -> Vec<String> {
        let line =
            |line: &str| line.split(' ').filter(|field| !field.starts_with("sha256=")).collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect()
    };
    assert_eq!(fields(&tree), fields(&erofs::listing(&disk)));
    // What ext4 has is the same, file by file; its times of access and of change are its own.
    place.bake().ok();
    let same = Bake::of(&["diff", "--ignore", "times"]).arg(place.disk()).arg(&disk).ok();
    assert_eq!(same.stdout, "");
    for (name, more) in [("a.qcow2", &[][..]), ("a.vhd", &[]), ("a.vhdx", &[]), ("verity.erofs", &["--verity"])] {
        let disk = place.path().join("out").join(name);
        place.bake_erofs().arg("-o").arg(&disk).args(["--fs", "erofs", "--verify"]).args(more).ok();
        let same = place.verify(&disk).arg("--json").ok().stdout;
        let same: Value = serde_json::from_str(&same).unwrap();
        assert_eq!((&same["differing"], &same["has_its_uuid"]), (&Value::from(0), &Value::from(true)), "{name}");
        let told: Value = serde_json::from_str(&cvbake(&["inspect", "--json"], &disk).ok().stdout).unwrap();
        assert_eq!((&told["filesystem"]["type"], &told["filesystem"]["mounts"]), (&"erofs".into(), &Value::Null));
        assert_eq!(told["verity"].is_object(), name == "verity.erofs", "{told}");
    }
    let told = cvbake(&["inspect"], &disk).ok().stdout;
    assert!(told.contains("filesystem  erofs, blocks of 4.00 KiB") && !told.contains("mounts"), "{told}");
    let out = place.writable("copies").join("copied");
    Bake::of(&["disk", "cp", "--preserve"]).arg(on(&disk, "/")).arg(&out).ok();
    let listed = cvbake(&["disk", "ls", "-l"], &disk).ok().stdout;
    assert_eq!(listed.lines().count(), std::fs::read_dir(&out).unwrap().count(), "{listed}");
}

/// One byte of content, and one bit of a mode: both are found and named.
#[test]
fn what_was_changed_is_found() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    place.bake_erofs().ok();
    let tree = cvbake(&["disk", "tree"], &place.erofs_disk()).ok().stdout;
    let file = tree.lines().find(|line| line.contains(" file ") && !line.contains(" size=0")).unwrap();
    let path = file.split(' ').next().unwrap();
    let mut content = Bake::of(&["disk", "cat"]).arg(on(&place.erofs_disk(), path)).ok().stdout.into_bytes();
    content.truncate(64);
    let mut bytes = std::fs::read(place.erofs_disk()).unwrap();
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at] ^= 1;
    let changed = place.path().join("changed.erofs");
    std::fs::write(&changed, &bytes).unwrap();
    let outcome = place.verify(&changed).run();
    assert!(outcome.error(&[10]).contains("differ at 1 path"), "{}", outcome.describe());
    assert!(outcome.stdout.starts_with(&format!("~ {path} content: 0:")), "{}", outcome.describe());
}

/// A disk with partitions, whose root is EROFS: the partitions show, and the root is found.
#[test]
fn on_a_partition() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    place.bake_erofs().ok();
    let filesystem = std::fs::read(place.erofs_disk()).unwrap();
    // By its type, and by being the only one that can be read.
    for kind in ["8304", "8300"] {
        let disk = place.path().join("out/gpt.raw");
        let file = std::fs::File::create(&disk).unwrap();
        file.set_len((filesystem.len() as u64).next_multiple_of(1 << 20) + (8 << 20)).unwrap();
        let mut sgdisk = tool("sgdisk", "gdisk");
        let sectors = format!("2:8192:+{}", filesystem.len().div_ceil(512));
        sgdisk.args(["-n", "1:2048:+1M", "-t", "1:ef00", "-n", &sectors, "-t", &format!("2:{kind}")]);
        succeed(sgdisk.arg(&disk));
        file.write_all_at(&filesystem, 8192 * 512).unwrap();
        place.verify(&disk).ok();
        let told: Value = serde_json::from_str(&cvbake(&["inspect", "--json"], &disk).ok().stdout).unwrap();
        assert_eq!(
            (&told["partitions"][1]["filesystem"], &told["filesystem"]["partition"]),
            (&"erofs".into(), &2.into())
        );
        assert_eq!(
            cvbake(&["disk", "ls"], &disk).ok().stdout,
            cvbake(&["disk", "ls"], &place.erofs_disk()).ok().stdout
        );
    }
}

/// What `mkfs.erofs` compressed is told by the file, with what can be done.
#[test]
fn compressed_files_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text"), "the same again ".repeat(10_000)).unwrap();
    std::fs::write(dir.path().join("plain"), "x").unwrap();
    let out = tempfile::tempdir().unwrap();
    let disk = out.path().join("compressed.erofs");
    succeed(tool("mkfs.erofs", "erofs-utils").arg("-zlz4").arg(&disk).arg(dir.path()));
    assert_eq!(cvbake(&["disk", "ls"], &disk).ok().stdout, "plain\ntext\n");
    assert_eq!(cvbake(&["disk", "cat"], &on(&disk, "/plain")).ok().stdout, "x");
    for (args, path) in [(&["disk", "cat"][..], on(&disk, "/text")), (&["disk", "tree"], disk.clone())] {
        let outcome = cvbake(args, &path).run();
        let error = outcome.error(&[3]);
        assert!(
            error.contains("is compressed, expected plain content") && outcome.stderr.contains("fsck.erofs --extract"),
            "{error}"
        );
    }
}

/// A filesystem that nobody writes to is what hash trees are for.
#[test]
fn a_hash_tree_behind_it() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    let told = place.bake_erofs().args(["--json", "--verity"]).ok().stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    let verity = &told["verity"];
    let (root, offset) = (verity["root_hash"].as_str().unwrap(), verity["hash_offset"].as_u64().unwrap());
    erofs::fsck(&place.erofs_disk());
    let mut verify = tool("veritysetup", "cryptsetup-bin");
    verify.arg("verify").arg(place.erofs_disk()).arg(place.erofs_disk());
    succeed(verify.arg(root).arg(format!("--hash-offset={offset}")));
}
