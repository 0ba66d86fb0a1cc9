//! Disks in all formats, read and written, resized and checked: what others wrote is read, what is
//! written others read, and what is damaged is one line.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::formats::PYTHON;
use crate::support::bake::{Bake, Place, own};
use crate::support::ext4;
use crate::support::run::Outcome;
use crate::support::tools::{succeed, tool};

const LEN: u64 = 70 << 20;

/// A disk with content at the borders of clusters, blocks and tables.
fn raw(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(LEN).unwrap();
    let noise = |seed: u64, len: u64| -> Vec<u8> {
        let mut state = seed | 1;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..len).map(step).collect()
    };
    for at in [0, (2 << 20) - 3000, (33 << 20) + 65_536, LEN - 5000] {
        file.write_all_at(&noise(at, 5000), at).unwrap();
    }
    file.write_all_at(&b"compressible ".repeat(100_000), 50 << 20).unwrap();
    own(path);
}

fn disk(command: &str, args: &[&str], paths: &[&Path]) -> Outcome {
    let outcome = paths.iter().fold(Bake::of(&["disk", command]).args(args), |bake, path| bake.arg(path)).run();
    assert!(outcome.peak_kib < 200 << 10, "{}", outcome.describe());
    outcome
}

fn convert(from: &Path, to: &Path, args: &[&str]) -> Outcome {
    disk("convert", &[&["--progress", "none", "--force"], args].concat(), &[from, to])
}

fn ok(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
    outcome
}

fn qemu(args: &[&str], paths: &[&Path]) -> String {
    succeed(tool("qemu-img", "qemu-utils").args(args).args(paths))
}

/// A place with a disk, and what it holds.
fn place() -> (Place, PathBuf, String) {
    let place = Place::new();
    let dir = place.writable("disks");
    raw(&dir.join("disk.raw"));
    let content = ext4::bytes_of(&dir.join("disk.raw"));
    (place, dir, content)
}

/// What cvbake writes, and the format by which QEMU reads it.
const WRITTEN: [(&str, &str, &[&str]); 10] = [
    ("a.raw", "raw", &[]),
    ("a.qcow2", "qcow2", &[]),
    ("zlib.qcow2", "qcow2", &["--compress", "zlib"]),
    ("zstd.qcow2", "qcow2", &["--compress", "zstd"]),
    ("a.vhd", "vpc", &[]),
    ("fixed.vhd", "vpc", &["--subformat", "fixed"]),
    ("a.vhdx", "vhdx", &[]),
    ("fixed.vhdx", "vhdx", &["--subformat", "fixed"]),
    ("blocks.vhdx", "vhdx", &["--vhdx-block-size", "8M"]),
    ("sectors.vhdx", "", &["--vhdx-sector-size", "4096"]),
];

/// What QEMU writes.
const OF_QEMU: [&[&str]; 15] = [
    &["raw"],
    &["qcow2"],
    &["qcow2", "-o", "compat=0.10"],
    &["qcow2", "-c"],
    &["qcow2", "-c", "-o", "compression_type=zstd"],
    &["qcow2", "-c", "-o", "cluster_size=4k"],
    &["qcow2", "-c", "-o", "cluster_size=2M,compression_type=zstd"],
    &["qcow2", "-o", "cluster_size=512"],
    &["qcow2", "-o", "cluster_size=2M,refcount_bits=1"],
    &["qcow2", "-o", "preallocation=metadata"],
    &["vpc", "-o", "force_size=on"],
    &["vpc", "-o", "subformat=fixed,force_size=on"],
    &["vhdx"],
    &["vhdx", "-o", "subformat=fixed"],
    &["vhdx", "-o", "block_size=16M"],
];

#[test]
fn what_is_written_is_read_by_all() {
    let (_place, dir, content) = place();
    let (back, by_qemu, by_libvhdi) = (dir.join("back.raw"), dir.join("by-qemu"), dir.join("by-libvhdi"));
    for (name, format, args) in WRITTEN {
        let path = dir.join(name);
        ok(convert(&dir.join("disk.raw"), &path, args));
        ok(disk("check", &[], &[&path]));
        ok(convert(&path, &back, &[]));
        assert_eq!(ext4::bytes_of(&back), content, "{name}");
        if format == "qcow2" {
            qemu(&["check", "-f", format], &[&path]);
        }
        if !format.is_empty() {
            qemu(&["convert", "-f", format, "-O", "raw"], &[&path, &by_qemu]);
            assert_eq!(ext4::bytes_of(&by_qemu), content, "{name} by QEMU");
        }
        if name.contains(".vhd") {
            let script = "
import pyvhdi, sys
disk = pyvhdi.file()
disk.open(sys.argv[1])
with open(sys.argv[2], 'wb') as raw:
    for offset in range(0, disk.get_media_size(), 1 << 20):
        raw.write(disk.read_buffer_at_offset(min(disk.get_media_size() - offset, 1 << 20), offset))
";
            succeed(tool(PYTHON, "python3-libvhdi").args(["-c", script]).args([&path, &by_libvhdi]));
            assert_eq!(ext4::bytes_of(&by_libvhdi), content, "{name} by libvhdi");
        }
        // The same, from whatever it is read, with any number of threads.
        for from in ["disk.raw", "a.qcow2", "a.vhd"].map(|from| dir.join(from)).iter().filter(|from| from.exists()) {
            let again = dir.join(format!("again-{name}"));
            ok(convert(from, &again, &[args, &["--jobs", "1"]].concat()));
            assert_eq!(ext4::bytes_of(&again), ext4::bytes_of(&path), "{name} from {}", from.display());
        }
    }
}

#[test]
fn what_qemu_writes_is_read() {
    let (_place, dir, content) = place();
    let (file, back) = (dir.join("of-qemu"), dir.join("back.raw"));
    for args in OF_QEMU {
        let _ = fs::remove_file(&file);
        qemu(&[&["convert", "-f", "raw", "-O"], args].concat(), &[&dir.join("disk.raw"), &file]);
        ok(disk("check", &[], &[&file]));
        ok(convert(&file, &back, &[]));
        assert_eq!(ext4::bytes_of(&back), content, "{args:?}");
    }
}

/// A disk, what was written to its child, and what to the child of that.
#[test]
fn chains_become_one_disk() {
    let (place, dir, _) = place();
    let at = |name: &str| dir.join(name);
    let below = place.writable("disks/below");
    qemu(&["convert", "-O", "qcow2", "-c"], &[&at("disk.raw"), &at("base.qcow2")]);
    qemu(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2"], &[&at("middle.qcow2")]);
    // Longer than what is behind it; smaller clusters than those.
    let args = ["create", "-q", "-f", "qcow2", "-b", "../middle.qcow2", "-F", "qcow2", "-o", "cluster_size=4k"];
    succeed(tool("qemu-img", "qemu-utils").args(args).arg(below.join("top.qcow2")).arg("80M"));
    let io = |file: &Path, command: &str| {
        succeed(tool("qemu-io", "qemu-utils").args(["-f", "qcow2", "-c", command]).arg(file));
    };
    io(&at("middle.qcow2"), "write -P 7 50M 100k");
    io(&below.join("top.qcow2"), "write -P 9 52473k 3k");
    io(&below.join("top.qcow2"), "write -z 0 64k");
    own(&at("base.qcow2"));
    qemu(&["convert", "-f", "qcow2", "-O", "raw"], &[&below.join("top.qcow2"), &at("by-qemu")]);
    let told = ok(convert(&below.join("top.qcow2"), &at("back.raw"), &["--json"]));
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told["chain"].as_array().unwrap().len(), &told["bytes"]), (3, &(80_u64 << 20).into()));
    assert_eq!(ext4::bytes_of(&at("back.raw")), ext4::bytes_of(&at("by-qemu")));
    ok(disk("check", &[], &[&below.join("top.qcow2")]));
    // A backing file is followed where its name can be trusted, or somebody says it.
    let says = |name: &str, args: &[&str], says: &str| {
        let outcome = convert(&at(name), &at("new.raw"), args);
        let error = outcome.error(&[3]).to_owned();
        assert!(error.contains(says), "{says}: {}", outcome.describe());
        assert!(!at("new.raw").exists());
    };
    let absolute = at("base.qcow2").display().to_string();
    qemu(&["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &absolute], &[&at("absolute.qcow2")]);
    says("absolute.qcow2", &[], "and only relative paths are followed");
    ok(convert(&at("absolute.qcow2"), &at("named.raw"), &["--parent", &absolute]));
    qemu(&["rebase", "-u", "-F", "raw", "-b", "nbd:localhost:1"], &[&at("absolute.qcow2")]);
    says("absolute.qcow2", &[], "and only relative paths are followed");
    qemu(&["rebase", "-u", "-F", "raw", "-b", "none.raw"], &[&at("absolute.qcow2")]);
    says("absolute.qcow2", &[], "none.raw, the parent of");
    // Any file of the host could be a raw one: also by links that were unpacked with the disk.
    qemu(&["rebase", "-u", "-F", "raw", "-b", "below/../../../etc/passwd"], &[&at("absolute.qcow2")]);
    says("absolute.qcow2", &[], "of raw ones only those beside it or below are followed");
    std::os::unix::fs::symlink("/etc", at("etc")).unwrap();
    qemu(&["rebase", "-u", "-F", "raw", "-b", "etc/passwd"], &[&at("absolute.qcow2")]);
    says("absolute.qcow2", &[], "it is behind a symbolic link, which could lead to any file");
    ok(convert(&at("absolute.qcow2"), &at("over-raw.raw"), &["--parent", &at("disk.raw").display().to_string()]));
    qemu(&["rebase", "-u", "-F", "qcow2", "-b", "absolute.qcow2"], &[&at("absolute.qcow2")]);
    says("absolute.qcow2", &[], "is one of its own children");
    says("base.qcow2", &["--parent", &absolute], "it has no parent");
    // What a guest has written to a raw disk is no reason to read other files.
    fs::copy(at("middle.qcow2"), at("guest.img")).unwrap();
    says("guest.img", &[], "its content is that of a qcow2 with a parent, and its name does not say so");
    ok(convert(&at("guest.img"), &at("said.raw"), &["--from", "qcow2"]));
    // The new disk never takes the place of one that is read.
    for name in ["middle.qcow2", "base.qcow2"] {
        let outcome = convert(&at("middle.qcow2"), &at(name), &[]);
        assert!(outcome.error(&[2]).contains("which is being read"), "{name}");
    }
}

/// A differencing VHDX is flattened, whatever is in which of its files.
#[test]
fn children_become_whole() {
    let (_place, dir, content) = place();
    let at = |name: &str| dir.join(name);
    ok(convert(&at("disk.raw"), &at("parent.vhdx"), &[]));
    ok(Bake::of(&["disk", "child"]).arg(at("parent.vhdx")).arg("-o").arg(at("child.vhdx")).run());
    ok(convert(&at("child.vhdx"), &at("back.raw"), &[]));
    assert_eq!(ext4::bytes_of(&at("back.raw")), content);
    ok(disk("check", &[], &[&at("child.vhdx")]));
    // A parent with other content is refused, by name.
    ok(convert(&at("back.raw"), &at("parent.vhdx"), &["--vhdx-block-size", "2M"]));
    let outcome = convert(&at("child.vhdx"), &at("new.raw"), &[]);
    assert!(outcome.error(&[3]).contains("was changed after the child was made"), "{}", outcome.describe());
    let outcome = disk("check", &["--json"], &[&at("child.vhdx")]);
    outcome.error(&[10]);
    let told: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(told["sound"], false);
    assert!(told["problem"].as_str().unwrap().contains("was changed"), "{told}");
}

#[test]
fn disks_become_longer_and_shorter() {
    let (_place, dir, content) = place();
    let resize = |path: &Path, size: &str, args: &[&str]| {
        Bake::of(&["disk", "resize", "--progress", "none"]).args(args).arg(path).arg(size).run()
    };
    let back = dir.join("back.raw");
    for (name, format, args) in WRITTEN {
        let path = dir.join(name);
        ok(convert(&dir.join("disk.raw"), &path, args));
        let told = ok(resize(&path, "+20M", &["--json"]));
        let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!((&told["old_bytes"], &told["bytes"]), (&LEN.into(), &(LEN + (20 << 20)).into()), "{name}");
        ok(disk("check", &[], &[&path]));
        if !format.is_empty() {
            let info = qemu(&["info", "--output=json", "-f", format], &[&path]);
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["virtual-size"], LEN + (20 << 20), "{name}");
        }
        if name.starts_with("z") {
            assert!(qemu(&["check", "-f", format], &[&path]).contains("compressed clusters"), "it stays compressed");
        }
        let before = ext4::bytes_of(&path);
        let outcome = resize(&path, "70M", &[]);
        assert!(outcome.error(&[2]).contains("would become smaller"), "{name}: {}", outcome.describe());
        let outcome = resize(&path, "69M", &["--shrink"]);
        assert!(outcome.error(&[5]).contains("has content behind its new end, at offset"), "{}", outcome.describe());
        assert_eq!(ext4::bytes_of(&path), before, "{name}");
        assert!(ok(resize(&path, "70M", &["--shrink"])).stdout.contains("90.00 MiB → 70.00 MiB"), "{name}");
        ok(convert(&path, &back, &[]));
        assert_eq!(ext4::bytes_of(&back), content, "{name}");
    }
    let snapshots = dir.join("a.qcow2");
    qemu(&["snapshot", "-c", "one"], &[&snapshots]);
    let outcome = resize(&snapshots, "+1M", &[]);
    assert!(outcome.error(&[2]).contains("has internal snapshots"), "{}", outcome.describe());
}

/// What is cut off or changed is an error of one line or another disk; never a panic, a hang, or
/// memory without a limit.
#[test]
fn damaged_files() {
    let (_place, dir, _) = place();
    let at = |name: &str| dir.join(name);
    let (bad, new) = (at("bad"), at("new.raw"));
    qemu(&["convert", "-O", "qcow2", "-c"], &[&at("disk.raw"), &at("packed.qcow2")]);
    for (name, args) in [("a.qcow2", &[][..]), ("a.vhd", &[]), ("a.vhdx", &[])] {
        ok(convert(&at("disk.raw"), &at(name), args));
    }
    let try_it = |what: &str| {
        for outcome in [convert(&bad, &new, &[]), disk("check", &[], &[&bad])] {
            assert!(outcome.signal.is_none() && !outcome.stderr.contains("panicked"), "{what}: {}", outcome.describe());
            if outcome.code != Some(0) {
                outcome.error(&[3, 6, 10]);
            }
        }
    };
    for name in ["packed.qcow2", "a.qcow2", "a.vhd", "a.vhdx"] {
        let whole = fs::read(at(name)).unwrap();
        for len in [0, 3, 100, 511, 513, 70_000, 200_000, 1_100_000, whole.len() / 2, whole.len() - 1] {
            fs::write(&bad, &whole[..len.min(whole.len())]).unwrap();
            try_it(&format!("{name} cut to {len}"));
        }
        // Fields of the headers, and entries of the tables.
        let places: &[usize] = match name {
            "a.vhdx" => &[65_536 + 20, (2 << 20) + 40, (2 << 20) + 65_536, (2 << 20) + 65_545, 3 << 20, (3 << 20) + 3],
            "a.vhd" => &[48, 512 + 16, 512 + 28, 512 + 32, 1536, 1539],
            _ => &[8, 20, 24, 32, 36, 40, 48, 72, 79, 65_536, 0x3_0000, 0x3_0004, 0x4_0000, 0x4_0001, 0x4_0005],
        };
        for &place in places {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] = value;
                fs::write(&bad, bytes).unwrap();
                try_it(&format!("{name} with {value} at {place}"));
            }
        }
    }
    // Two parts of the disk in one place: one table entry is that of another.
    for (name, first, second, len, rule) in [
        ("a.vhdx", 3 << 20, (3 << 20) + 8, 8, "BAT_FILE_OFFSET_DUPLICATE"),
        ("a.vhd", 1536, 1540, 4, "VHD_BLOCK_OVERLAP"),
        ("a.qcow2", 0x4_0000, 0x4_0008, 8, "QCOW2_OVERLAP"),
    ] {
        let mut bytes = fs::read(at(name)).unwrap();
        bytes.copy_within(first..first + len, second);
        fs::write(&bad, bytes).unwrap();
        let outcome = disk("check", &[], &[&bad]);
        outcome.error(&[10]);
        assert!(outcome.stdout.contains(rule), "{}", outcome.describe());
    }
}

/// A name that promises something else is refused, also for what was never read.
#[test]
fn names_that_say_something_else() {
    let (place, dir, _) = place();
    for (name, says) in [
        ("new.tar", "a disk is no archive"),
        ("new.erofs", "keeps the filesystem that is on the disk"),
        ("new.foo", "the name says no format"),
        ("new.vmdk", "the format vmdk is not supported"),
    ] {
        let outcome = convert(&dir.join("disk.raw"), &dir.join(name), &[]);
        assert!(outcome.error(&[2]).contains(says), "{}", outcome.describe());
        assert!(outcome.stderr.contains("hint: "), "{}", outcome.describe());
        assert!(!dir.join(name).exists());
    }
    ok(convert(&dir.join("disk.raw"), &dir.join("new.foo"), &["--format", "raw"]));
    for (name, args, says) in [
        ("new.xfs", &[][..], "expected a filesystem that is written: ext4"),
        ("new.erofs", &["--format", "qcow2"], "which is a filesystem and nothing else, and --format says qcow2"),
    ] {
        let outcome = place.bake_source("oci:nowhere").args(args).arg("-o").arg(dir.join(name)).run();
        assert!(outcome.error(&[2]).contains(says), "{}", outcome.describe());
    }
}

/// What a check has looked at is said; a disk with partitions does not become smaller.
#[test]
fn partition_tables() {
    let (_place, dir, _) = place();
    let at = |name: &str| dir.join(name);
    let said = ok(disk("check", &[], &[&at("disk.raw")]));
    assert!(said.stdout.contains("nothing to check (raw)"), "{}", said.describe());
    let gpt = |name: &str| {
        let file = File::create(at(name)).unwrap();
        file.set_len(64 << 20).unwrap();
        succeed(tool("sgdisk", "gdisk").args(["-n", "1:2048:40960", "-t", "1:8300"]).arg(at(name)));
        own(&at(name));
        file
    };
    let file = gpt("gpt.raw");
    ok(convert(&at("gpt.raw"), &at("gpt.vhdx"), &[]));
    for name in ["gpt.raw", "gpt.vhdx"] {
        let said = ok(disk("check", &["--json"], &[&at(name)]));
        assert!(said.stdout.contains("\"partition table\""), "{}", said.describe());
        let resize = |size: &str| Bake::of(&["disk", "resize", "--shrink"]).arg(at(name)).arg(size).run();
        for (size, says) in [
            ("63M", "has a partition table, also at its end"),
            ("-1M", "expected the new size, such as 20G"),
            ("600", "600 bytes are no disk"),
        ] {
            let outcome = resize(size);
            assert!(outcome.error(&[2]).contains(says), "{}", outcome.describe());
        }
    }
    file.write_all_at(&[0xff; 8], 512 + 16).unwrap();
    let outcome = disk("check", &[], &[&at("gpt.raw")]);
    outcome.error(&[10]);
    assert!(outcome.stdout.contains("GPT: the partition table at the beginning: "), "{}", outcome.describe());
}
