//! The same images as EROFS: every fixture, every format, and what is refused.

use crate::base_pack::{LARGE, SMALL};
use crate::cases;
use crate::support::bake::{Bake, Place};
use crate::support::case::{Case, Expected};
use crate::support::image::{Compression, Images};
use crate::support::tools::{succeed, tool};
use crate::support::{erofs, expected, sample, seen};

/// Fixtures whose times ext4 can't hold: what they expect is the nearest one that it can, and EROFS
/// has them as they are.
const BEYOND_EXT4: [&str; 2] = ["times-beyond-ext4", "times-that-fsck-doubts"];

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
        (&["--verify"], "--verify is for ext4, and this disk is erofs"),
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

/// Whoever looks into it is told what it is, and not that it is a damaged ext4.
#[test]
fn what_does_not_read_it_knows_it() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    place.bake_erofs().ok();
    for command in [&["inspect"][..], &["disk", "ls"]] {
        let outcome = Bake::of(command).arg(place.erofs_disk()).run();
        let error = outcome.error(&[3]);
        assert!(error.contains("it has an EROFS filesystem, which cvbake does not read; expected ext4"), "{error}");
    }
}

/// A filesystem that nobody writes to is what hash trees are for.
#[test]
fn a_hash_tree_behind_it() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Plain)]));
    let told = place.bake_erofs().args(["--json", "--verity"]).ok().stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let verity = &told["verity"];
    let (root, offset) = (verity["root_hash"].as_str().unwrap(), verity["hash_offset"].as_u64().unwrap());
    erofs::fsck(&place.erofs_disk());
    let mut verify = tool("veritysetup", "cryptsetup-bin");
    verify.arg("verify").arg(place.erofs_disk()).arg(place.erofs_disk());
    succeed(verify.arg(root).arg(format!("--hash-offset={offset}")));
}
