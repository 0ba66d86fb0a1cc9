//! Hash trees of disks: in every format, where they are asked for, and as `veritysetup` has them.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base_pack;
use crate::support::bake::{Bake, Place, names};
use crate::support::oracle::Mount;
use crate::support::tools::{needs_disk, needs_mounts, run, succeed, tool};
use crate::support::{ext4, oracle, sample};

/// The disk in a file as a raw one, by QEMU.
fn raw(disk: &Path, format: &str) -> PathBuf {
    let raw = disk.with_extension("by-qemu");
    succeed(tool("qemu-img", "qemu-utils").args(["convert", "-f", format, "-O", "raw"]).args([disk, &raw]));
    raw
}

/// Whether `veritysetup` finds that a disk is what its root hash says.
fn verified(data: &Path, hashes: &Path, told: &Value) -> bool {
    let (root, offset) = (told["verity"]["root_hash"].as_str().unwrap(), &told["verity"]["hash_offset"]);
    let mut command = tool("veritysetup", "cryptsetup-bin");
    command.arg("verify").args([data, hashes]).arg(root).arg(format!("--hash-offset={offset}"));
    run(&mut command).status.success()
}

fn told(place: &Place, file: &Path, args: &[&str]) -> Value {
    let outcome = place.bake().args(args).args(["--force", "--json", "-o"]).arg(file).ok();
    serde_json::from_str(&outcome.stdout).unwrap()
}

const FORMATS: [(&str, &str, &[&str]); 7] = [
    ("disk.ext4", "raw", &[]),
    ("disk.qcow2", "qcow2", &[]),
    ("disk.vhd", "vpc", &[]),
    ("fixed.vhd", "vpc", &["--subformat", "fixed"]),
    ("disk.vhdx", "vhdx", &[]),
    ("fixed.vhdx", "vhdx", &["--subformat", "fixed"]),
    ("large.vhdx", "vhdx", &["--vhdx-block-size", "32M"]),
];

fn every_format(place: &Place, more: &[&str]) {
    let dir = place.writable("disks");
    let mut roots = Vec::new();
    for (name, format, args) in FORMATS {
        for (option, is_beside) in [("--verity", false), ("--verity=beside", true)] {
            let file = dir.join(name);
            let told = told(place, &file, &[args, more, &[option]].concat());
            let disk = raw(&file, format);
            let hashes = if is_beside { dir.join(format!("{name}.verity")) } else { disk.clone() };
            assert!(verified(&disk, &hashes, &told), "{name} {option} {told}");
            assert_eq!(told["verity"]["place"], if is_beside { "beside" } else { "append" });
            assert_eq!(told["verity"]["path"].as_str(), is_beside.then(|| hashes.to_str().unwrap()), "{told}");
            if is_beside {
                assert_eq!(hashes.metadata().unwrap().len(), told["verity"]["hash_bytes"].as_u64().unwrap());
            } else {
                assert_eq!(told["verity"]["hash_offset"], told["verity"]["data_bytes"]);
                assert!(!names(&dir).contains(&format!("{name}.verity")));
            }
            let found = Bake::of(&["inspect", "--json"]).arg(&file).ok().stdout;
            let found: Value = serde_json::from_str(&found).unwrap();
            let root = if is_beside { &Value::Null } else { &told["verity"]["root_hash"] };
            assert_eq!(&found["verity"]["root_hash"], root, "{found}");
            // The filesystem is clean, and alone where it was.
            oracle::fsck(&disk);
            roots.push(told["verity"]["root_hash"].as_str().unwrap().to_owned());
            std::fs::remove_file(&file).unwrap();
            if is_beside {
                std::fs::remove_file(&hashes).unwrap();
            }
        }
    }
    if !more.contains(&"mkfs") {
        roots.dedup();
        assert_eq!(roots.len(), 1, "the filesystem is the same, and so is its root hash");
    }
}

#[test]
fn every_format_is_verified() {
    every_format(&Place::with(&sample::varied()), &[]);
}

/// With a base pack, which is unpacked to its place where a format has one, and a length that is no
/// multiple of a block.
#[test]
fn every_format_is_verified_with_a_base_pack() {
    let place = Place::with(&base_pack::images(&[base_pack::LARGE, base_pack::SMALL]));
    every_format(&place, &["--size", "150000001", "--journal"]);
}

#[test]
fn every_format_is_verified_by_the_other_engine() {
    every_format(&Place::with(&sample::small("content")), &["--engine", "mkfs"]);
}

#[test]
fn a_changed_byte_is_found() {
    let place = Place::with(&sample::varied());
    let file = place.writable("disks").join("disk.ext4");
    let told = told(&place, &file, &["--verity", "-j", "3"]);
    assert!(verified(&file, &file, &told));
    let disk = std::fs::File::options().read(true).write(true).open(&file).unwrap();
    let data_bytes = told["verity"]["data_bytes"].as_u64().unwrap();
    for offset in [5000, data_bytes - 1, data_bytes + 4096 + 7] {
        let mut byte = [0];
        disk.read_exact_at(&mut byte, offset).unwrap();
        disk.write_all_at(&[!byte[0]], offset).unwrap();
        assert!(!verified(&file, &file, &told), "{offset}");
        disk.write_all_at(&byte, offset).unwrap();
    }
    assert!(verified(&file, &file, &told));
}

/// The tree is a function of the disk: not of the threads, nor of whether the disk was copied from
/// an earlier one.
#[test]
fn the_same_tree_again() {
    let place = Place::with(&base_pack::images(&[base_pack::LARGE, base_pack::SMALL]));
    let dir = place.writable("disks");
    let first = told(&place, &dir.join("first"), &["--verity", "-j", "1"]);
    let bytes = ext4::bytes_of(&dir.join("first"));
    let again = told(&place, &dir.join("again"), &["--verity", "-j", "8", "--reuse", "auto"]);
    assert_eq!(again["verity"], first["verity"]);
    assert_eq!(ext4::bytes_of(&dir.join("again")), bytes);
    if needs_disk("disks that are used again") {
        assert!(again["reused"].is_string(), "{again}");
        let kept = told(&place, &dir.join("first"), &["--verity", "--reuse", "auto"]);
        assert_eq!((&kept["unchanged"], &kept["verity"]), (&Value::Bool(true), &first["verity"]));
    }
    // A disk without a tree is another one, and so is one that has its tree elsewhere.
    let plain = told(&place, &dir.join("plain"), &["--size", "min", "--no-journal"]);
    assert_eq!(plain["verity"], Value::Null);
    assert_eq!(plain["disk"]["bytes"], first["verity"]["data_bytes"]);
    let beside = told(&place, &dir.join("beside"), &["--verity=beside", "--reuse", "auto"]);
    assert_eq!(beside["reused"], Value::Null);
    assert_eq!(ext4::bytes_of(&dir.join("beside")), ext4::bytes_of(&dir.join("plain")));
    assert_eq!(beside["verity"]["root_hash"], first["verity"]["root_hash"]);
    let once_more = told(&place, &dir.join("beside"), &["--verity=beside", "--reuse", "auto"]);
    assert_eq!(once_more["verity"], beside["verity"]);
    assert!(verified(&dir.join("beside"), &dir.join("beside.verity"), &once_more));
}

/// Linux mounts it read-only, with a journal and without, and what it reads leaves the tree valid.
#[test]
fn mounted_read_only() {
    if !needs_mounts("a disk with a hash tree, mounted read-only") {
        return;
    }
    let place = Place::with(&sample::varied());
    let file = place.writable("disks").join("disk.ext4");
    for journal in ["--journal", "--no-journal"] {
        let told = told(&place, &file, &["--verity", journal]);
        let mount = Mount::read_only(&file);
        assert_eq!(std::fs::read(mount.root.join("etc/conf100")).unwrap(), b"replaced");
        mount.unmount();
        assert!(verified(&file, &file, &told), "{journal}");
    }
}

/// A plan says where the tree would be, and nobody's file is replaced unasked.
#[test]
fn plans_and_files_in_the_way() {
    let place = Place::with(&sample::varied());
    let dir = place.writable("disks");
    let file = dir.join("disk.ext4");
    let planned = told(&place, &file, &["--verity", "--dry-run"]);
    assert_eq!(planned["verity"]["root_hash"], Value::Null);
    let outcome = place.bake().args(["--verity", "-o"]).arg(&file).ok();
    assert_eq!(planned["disk"]["bytes"], file.metadata().unwrap().len());
    let told = told(&place, &file, &["--verity"]);
    let root = told["verity"]["root_hash"].as_str().unwrap();
    assert!(outcome.stdout.contains(&format!("verity  {root}\n")), "{}", outcome.describe());
    let offset = &planned["verity"]["hash_offset"];
    assert!(outcome.stdout.contains(&format!("at offset {offset}\n")), "{}", outcome.describe());
    let outcome = place.bake().args(["--verity=beside", "--size", "1M", "-o"]).arg(dir.join("small")).run();
    outcome.error(&[5]);
    assert_eq!(names(&dir), ["disk.ext4"], "a bake that fails leaves neither of the two files");
    let source = dir.join("archive.verity");
    std::fs::write(&source, "").unwrap();
    let tar = format!("tar:{}", source.display());
    let outcome = place.bake_source(&tar).args(["--verity=beside", "--force", "-o"]).arg(dir.join("archive")).run();
    assert!(outcome.error(&[2]).contains("archive.verity is the source"), "{}", outcome.describe());
    std::fs::write(dir.join("other.verity"), "somebody's").unwrap();
    for args in [&["--verity=beside"][..], &["--verity=beside", "--dry-run"]] {
        let outcome = place.bake().args(args).arg("-o").arg(dir.join("other")).run();
        assert!(outcome.error(&[6]).contains("other.verity exists already"), "{}", outcome.describe());
    }
    assert_eq!(std::fs::read(dir.join("other.verity")).unwrap(), b"somebody's");
    assert!(!dir.join("other").exists());
}
