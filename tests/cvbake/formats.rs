//! Disks in formats other than raw: whatever is around it, the filesystem is the same, and programs
//! that others wrote read it.

use std::path::Path;

use cvbake::control::Control;
use cvbake::disk::Subformat;
use cvbake::disk::qcow2::Compression;
use cvbake::ext4::mkfs::Programs;
use cvbake::fetch::Source;
use cvbake::vhdx::Options;
use cvbake::{Engine, Ext4, Filesystem, Format, Job, Output};

use crate::base_pack;
use crate::support::bake::{Place, mode};
use crate::support::image::Images;
use crate::support::tools::{needs_disk, succeed, tool};
use crate::support::{ext4, sample};

/// Every format, and what QEMU calls it. It knows no VHDX with sectors of 4096 bytes.
fn formats() -> Vec<(Format, Option<&'static str>)> {
    let fixed = Options { subformat: Subformat::Fixed, ..Options::default() };
    let sectors = Options { logical_sector_size: 4096, ..Options::default() };
    let blocks = |options: Options| Options { block_size: 32 << 20, ..options };
    vec![
        (Format::Raw, Some("raw")),
        (Format::Qcow2(None), Some("qcow2")),
        (Format::Qcow2(Some(Compression::Zlib)), Some("qcow2")),
        (Format::Qcow2(Some(Compression::Zstd)), Some("qcow2")),
        (Format::Vhd(Subformat::Fixed), Some("vpc")),
        (Format::Vhd(Subformat::Dynamic), Some("vpc")),
        (Format::Vhdx(Options::default()), Some("vhdx")),
        (Format::Vhdx(blocks(Options::default())), Some("vhdx")),
        (Format::Vhdx(fixed), Some("vhdx")),
        (Format::Vhdx(blocks(fixed)), Some("vhdx")),
        (Format::Vhdx(sectors), None),
    ]
}

fn bake(place: &Place, format: Format, filesystem: &Ext4, name: &str) -> std::path::PathBuf {
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let mut job = Job::new(source.parse::<Source>().unwrap());
    job.format = format;
    job.filesystem = Filesystem::Ext4(filesystem.clone());
    let path = place.path().join(name);
    let mut output = Output::new(&path);
    (output.replace, output.sync) = (true, false);
    cvbake::bake(&job, &output, &Control::new(), &|_| {})
        .unwrap_or_else(|error| panic!("{format:?}: {}", error.line()));
    path
}

/// The disk in a file, as QEMU reads it.
fn by_qemu(file: &Path, format: &str) -> String {
    let raw = file.with_extension("by-qemu");
    if ["qcow2", "vhdx"].contains(&format) {
        succeed(tool("qemu-img", "qemu-utils").args(["check", "-f", format]).arg(file));
    }
    succeed(tool("qemu-img", "qemu-utils").args(["convert", "-f", format, "-O", "raw"]).args([file, &raw]));
    ext4::bytes_of(&raw)
}

/// The system's own, which has the packages of the system.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The disk in a VHD or VHDX file, as libvhdi reads it.
fn by_libvhdi(file: &Path) -> String {
    let raw = file.with_extension("by-libvhdi");
    let script = "
import pyvhdi, sys
disk = pyvhdi.file()
disk.open(sys.argv[1])
size = disk.get_media_size()
with open(sys.argv[2], 'wb') as raw:
    raw.truncate(size)
    for offset in range(0, size, 1 << 16):
        piece = disk.read_buffer_at_offset(min(size - offset, 1 << 16), offset)
        if piece != bytes(len(piece)):
            raw.seek(offset)
            raw.write(piece)
";
    succeed(tool(PYTHON, "python3-libvhdi").args(["-c", script]).args([file, &raw]));
    ext4::bytes_of(&raw)
}

fn check(images: &Images, filesystem: &Ext4) {
    let place = Place::with(images);
    let raw = ext4::bytes_of(&bake(&place, Format::Raw, filesystem, "disk.raw"));
    for (number, (format, name)) in formats().into_iter().enumerate() {
        let file = bake(&place, format, filesystem, &format!("disk-{number}"));
        if let Some(name) = name {
            assert_eq!(by_qemu(&file, name), raw, "{format:?} by QEMU");
        }
        if matches!(format, Format::Vhd(_) | Format::Vhdx(_)) {
            assert_eq!(by_libvhdi(&file), raw, "{format:?} by libvhdi");
        }
        let again = bake(&place, format, filesystem, "again");
        assert_eq!(ext4::bytes_of(&again), ext4::bytes_of(&file), "{format:?}");
    }
}

#[test]
fn every_format_holds_the_same_disk() {
    check(&sample::varied(), &Ext4::default());
}

/// With a base pack, which is unpacked to its place where a format has one.
#[test]
fn every_format_holds_the_same_large_disk() {
    check(&base_pack::images(&[base_pack::LARGE, base_pack::SMALL]), &Ext4::default());
}

#[test]
fn every_format_holds_what_e2fsprogs_made() {
    let programs = Programs::find(&std::env::var_os("PATH").unwrap()).unwrap();
    // Its disks differ from one bake to the next, so each is compared with itself.
    let place = Place::with(&sample::varied());
    let filesystem = Ext4 { engine: Engine::Mkfs(programs), ..Ext4::default() };
    let expected = ext4::listing(&bake(&place, Format::Raw, &filesystem, "disk.raw"));
    for (number, (format, name)) in formats().into_iter().enumerate() {
        let file = bake(&place, format, &filesystem, &format!("disk-{number}"));
        if let Some(name) = name {
            by_qemu(&file, name);
            assert_eq!(ext4::listing(&file.with_extension("by-qemu")), expected, "{format:?}");
        }
    }
}

/// Two disks of one recipe that e2fsprogs made otherwise, as two versions of it do: a child of one
/// is not taken for a child of the other.
#[test]
fn what_e2fsprogs_made_names_the_disk() {
    let place = Place::with(&sample::small("content"));
    let path = std::env::var_os("PATH").unwrap();
    let dir = place.writable("programs");
    let script = "#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\nmke2fs \"$@\" && exec tune2fs -e panic disk\n";
    std::fs::write(dir.join("mke2fs"), script).unwrap();
    mode(&dir.join("mke2fs"), 0o755);
    let other = std::env::join_paths([dir].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let [real, other] = [path, other].map(|path| Programs::find(&path).unwrap());
    for format in [Format::Vhdx(Options::default()), Format::Vhd(Subformat::Fixed), Format::Vhd(Subformat::Dynamic)] {
        let identity = |programs: &Programs, name: &str| {
            let filesystem = Ext4 { engine: Engine::Mkfs(programs.clone()), ..Ext4::default() };
            let bytes = std::fs::read(bake(&place, format, &filesystem, name)).unwrap();
            match format {
                Format::Vhd(_) => bytes[bytes.len() - 512 + 68..][..16].to_vec(),
                _ => bytes[(64 << 10) + 32..][..16].to_vec(),
            }
        };
        let first = identity(&real, "disk");
        assert_eq!(identity(&real, "again"), first, "{format:?}");
        assert_ne!(identity(&other, "other"), first, "{format:?}");
    }
}

/// Lengths at which a format rounds, or changes the unit of something.
#[test]
fn lengths_that_are_no_multiples() {
    let place = Place::with(&sample::small("content"));
    for size in [(16 << 20) + 1, (32 << 20) - 512, (512 << 20) + 4096, (5 << 30) + 7 * 512] {
        let filesystem = Ext4 { size: cvbake::ext4::Size::Exact(size), ..Ext4::default() };
        for (format, name) in formats() {
            let file = bake(&place, format, &filesystem, "disk");
            let Some(name) = name else { continue };
            let info = succeed(tool("qemu-img", "qemu-utils").args(["info", "--output=json", "-f", name]).arg(&file));
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["virtual-size"].as_u64(), Some(size.next_multiple_of(512)), "{format:?}");
        }
    }
}

/// The name says the format, and the result says it, too.
#[test]
fn the_program_writes_what_the_name_says() {
    let place = Place::with(&sample::varied());
    let raw = ext4::bytes_of(&bake(&place, Format::Raw, &Ext4::default(), "disk.raw"));
    for (name, args, qemu, told) in [
        ("disk.qcow2", &[][..], "qcow2", "in a qcow2,"),
        ("zlib.qcow2", &["--compress", "zlib"], "qcow2", "in a qcow2 compressed with zlib,"),
        ("zstd.qcow2", &["--compress", "zstd"], "qcow2", "in a qcow2 compressed with zstd,"),
        ("disk.vhd", &[], "vpc", "in a dynamic vhd,"),
        ("disk.vhdx", &["--subformat", "fixed", "--vhdx-block-size", "2M"], "vhdx", "in a fixed vhdx,"),
        ("disk.img", &["--format", "vhdx"], "vhdx", "in a dynamic vhdx,"),
        ("disk.ext4", &[], "raw", "ext4, "),
    ] {
        let file = place.writable("formats").join(name);
        let bake = || place.bake().args(args).arg("-o").arg(&file);
        let outcome = bake().ok();
        assert!(outcome.stdout.contains(told), "{}", outcome.describe());
        assert_eq!(by_qemu(&file, qemu), raw, "{name}");
        let before = ext4::bytes_of(&file);
        let outcome = bake().args(["--force", "--json"]).ok();
        let told: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(told["disk"]["bytes"], place.path().join("disk.raw").metadata().unwrap().len());
        assert_eq!(told["disk"]["format"].as_str(), Some(if qemu == "vpc" { "vhd" } else { qemu }));
        assert_eq!(ext4::bytes_of(&file), before, "{name}");
    }
}

/// A plan is held to the limits of the format, as a bake is.
#[test]
fn a_disk_that_the_format_cannot_hold() {
    let place = Place::with(&sample::varied());
    let file = place.writable("formats").join("disk.vhd");
    for args in [&[][..], &["--dry-run"]] {
        let outcome = place.bake().args(args).args(["--size", "3T", "-o"]).arg(&file).run();
        let error = outcome.error(&[5]);
        assert!(error.contains("a disk of 3072 GiB is too large for VHD, expected at most 2040 GiB"), "{error}");
        assert!(outcome.stderr.contains("-o disk.vhdx writes a VHDX"), "{}", outcome.describe());
    }
}

/// A disk of one format is not taken for one of another, and is copied for one of the same.
#[test]
fn formats_are_told_apart_when_disks_are_reused() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let place = Place::with(&base_pack::images(&[base_pack::LARGE, base_pack::SMALL]));
    let store = place.writable("store");
    let dir = place.writable("formats");
    let bake = |name: &str, args: &[&str]| {
        let outcome = place
            .bake()
            .store(&store)
            .args(args)
            .env("CVBAKE_REUSE", "auto")
            .args(["--force", "--json", "-o"])
            .arg(dir.join(name))
            .ok();
        serde_json::from_str::<serde_json::Value>(&outcome.stdout).unwrap()
    };
    for (name, args) in [
        ("a.raw", &[][..]),
        ("a.vhdx", &[]),
        ("a-fixed.vhdx", &["--subformat", "fixed"]),
        ("zstd.qcow2", &["--compress", "zstd"]),
        ("a.qcow2", &[]),
    ] {
        let first = bake(name, args);
        assert_eq!(first.get("reused"), None, "{name}: {first}");
        let before = ext4::bytes_of(&dir.join(name));
        let again = bake(&format!("again-{name}"), args);
        assert!(again["reused"].as_str().is_some_and(|path| path.ends_with(name)), "{name}: {again}");
        assert_eq!(ext4::bytes_of(&dir.join(format!("again-{name}"))), before, "{name}");
    }
    let mut raws = Vec::new();
    for (name, format) in
        [("a.raw", "raw"), ("a.vhdx", "vhdx"), ("a-fixed.vhdx", "vhdx"), ("zstd.qcow2", "qcow2"), ("a.qcow2", "qcow2")]
    {
        raws.push(by_qemu(&dir.join(name), format));
    }
    assert!(raws.iter().all(|raw| *raw == raws[0]), "content that is taken from another format's disk is right");
}
