//! Disks for the places where they are used: what `--target` sets, and what it refuses.

use serde_json::Value;

use crate::support::bake::Place;
use crate::support::sample;
use crate::support::tools::{succeed, tool};

/// The exit statuses of a wrong argument, and of an image that does not fit.
const USAGE: &[i32] = &[2];
const FIT: &[i32] = &[5];

/// Each target, the format that QEMU finds in its disks, and of which its length is a multiple.
const TARGETS: [(&str, &str, u64); 7] = [
    ("wsl", "vhdx", 512),
    ("azure", "vpc", 1 << 20),
    ("hyperv", "vhdx", 512),
    ("kubevirt", "qcow2", 512),
    ("firecracker", "raw", 512),
    ("cloud-hypervisor", "raw", 512),
    ("qemu", "qcow2", 512),
];

#[test]
fn every_target_gets_its_format() {
    let place = Place::with(&sample::varied());
    for (target, format, unit) in TARGETS {
        for engine in ["native", "mkfs"] {
            let file = place.writable("disks").join(format!("{target}-{engine}.img"));
            // The smallest filesystem is a multiple of nothing but its blocks.
            let args = ["--target", target, "--engine", engine, "--size", "min", "--json", "-o"];
            let outcome = place.bake().args(args).arg(&file).ok();
            let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
            let info = tool("qemu-img", "qemu-utils").args(["info", "--output=json", "-f", format]).arg(&file).output();
            let info: Value = serde_json::from_slice(&info.unwrap().stdout).unwrap();
            let len = info["virtual-size"].as_u64().unwrap();
            assert!(len.is_multiple_of(unit), "{target}: {info}");
            assert_eq!(told["disk"]["bytes"], len, "{target}");
            assert_eq!(told["target"]["name"], target);
            assert!(told["target"]["rules"].as_array().is_some_and(|rules| !rules.is_empty()), "{told}");
            if target == "azure" {
                assert_eq!(told["disk"]["subformat"], "fixed");
                assert_eq!(file.metadata().unwrap().len(), len + 512);
            }
            if target == "wsl" {
                let raw = file.with_extension("by-qemu");
                succeed(
                    tool("qemu-img", "qemu-utils").args(["convert", "-f", "vhdx", "-O", "raw"]).args([&file, &raw]),
                );
                let stats = succeed(tool("debugfs", "e2fsprogs").args(["-R", "stats"]).arg(&raw));
                let options = stats.lines().find(|line| line.starts_with("Default mount options:")).unwrap();
                assert!(options.contains("journal_data_ordered"), "{options}");
            }
        }
    }
}

/// What the target sets is shown before anything is written; what it can't set is a warning.
#[test]
fn what_is_set_is_shown() {
    let place = Place::with(&sample::varied());
    let outcome = place.bake().args(["--target", "azure", "--dry-run"]).ok();
    let line = outcome.stdout.lines().find(|line| line.starts_with("  target")).unwrap_or_default();
    let rules = "azure: format vhd; subformat fixed; length a multiple of 1 MiB; largest length at most 1023 GiB";
    assert!(line.contains(rules), "{}", outcome.describe());
    assert!(outcome.stdout.contains("in a fixed vhd"), "{}", outcome.describe());
    let warnings = outcome.warnings();
    assert_eq!(warnings.len(), 1, "{}", outcome.describe());
    assert!(warnings[0].contains("the disk will not boot: without a boot partition, Azure can attach"), "{warnings:?}");
    assert_eq!(place.bake().args(["--target", "qemu", "--dry-run"]).ok().warnings(), [""; 0]);
}

#[test]
fn what_a_target_takes_as_asked_for() {
    let place = Place::with(&sample::varied());
    let dir = place.writable("disks");
    for (target, name, args, words) in [
        ("wsl", "a.vhd", &[][..], "in a dynamic vhd"),
        ("wsl", "b.vhdx", &["--subformat", "fixed", "--no-journal"], "in a fixed vhdx"),
        ("azure", "c.vhd", &["--size", "256M"], "in a fixed vhd"),
        ("azure", "d.vhd", &["--verity"], "in a fixed vhd"),
        ("kubevirt", "e.raw", &[], "ext4, "),
        ("qemu", "f.vhdx", &["--vhdx-sector-size", "512"], "in a dynamic vhdx"),
        ("cloud-hypervisor", "g.img", &["--format", "qcow2"], "in a qcow2"),
    ] {
        let outcome = place.bake().args(["--target", target]).args(args).arg("-o").arg(dir.join(name)).ok();
        assert!(outcome.stdout.contains(words), "{}", outcome.describe());
    }
}

#[test]
fn what_a_target_refuses() {
    let place = Place::with(&sample::varied());
    let dir = place.writable("disks");
    for (target, name, args, problem) in [
        ("azure", "disk.vhdx", &[][..], "format for --target azure: expected vhd, found vhdx"),
        ("azure", "disk", &["--format", "qcow2"], "format for --target azure: expected vhd, found qcow2"),
        ("azure", "disk", &["--subformat", "dynamic"], "subformat for --target azure: expected fixed, found dynamic"),
        ("azure", "disk", &["--size", "10000001"], "expected a multiple of 1 MiB, found 10000001 bytes"),
        ("azure", "disk", &["--size", "1T"], "expected at most 1023 GiB, found 1099511627776 bytes"),
        ("hyperv", "disk.vhd", &[], "format for --target hyperv: expected vhdx, found vhd"),
        ("wsl", "disk.qcow2", &[], "format for --target wsl: expected vhdx or vhd, found qcow2"),
        ("wsl", "disk", &["--verity"], "dm-verity for --target wsl: expected none, found dm-verity"),
        ("kubevirt", "disk.vhd", &[], "format for --target kubevirt: expected qcow2 or raw, found vhd"),
        ("firecracker", "disk.qcow2", &[], "format for --target firecracker: expected raw, found qcow2"),
        ("cloud-hypervisor", "disk.vhdx", &["--vhdx-sector-size", "4096"], "expected 512 bytes, found 4096"),
        ("qemu", "disk.vhdx", &["--vhdx-sector-size", "4096"], "expected 512 bytes, found 4096"),
    ] {
        let outcome = place.bake().args(["--target", target]).args(args).arg("-o").arg(dir.join(name)).run();
        assert!(outcome.error(USAGE).contains(problem), "{}", outcome.describe());
        assert!(outcome.stderr.contains("cvbake: hint:"), "{}", outcome.describe());
        assert!(!dir.join(name).exists());
    }
    // What is known only when the disk is planned.
    let outcome = place.bake().args(["--target", "azure", "--size", "+1023G"]).run();
    assert!(outcome.error(FIT).contains("too large for Azure, expected at most 1023 GiB"), "{}", outcome.describe());
}

/// An image that WSL would not take for a distribution; a disk of it that was baked for nobody is
/// not taken for one that was baked for WSL.
#[test]
fn files_that_a_target_wants() {
    let place = Place::with(&sample::small("neither a shell nor a configuration"));
    let file = place.writable("disks").join("disk.vhdx");
    place.bake().arg("-o").arg(&file).ok();
    for args in [&[][..], &["--dry-run"]] {
        let outcome = place.bake().args(["--target", "wsl", "--force", "-o"]).arg(&file).args(args).run();
        let error = outcome.error(FIT);
        assert!(error.contains("the image has neither /etc nor /bin/sh, and WSL takes only images that do"), "{error}");
    }
}
