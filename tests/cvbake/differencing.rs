//! Differencing disks: whoever reads a child reads its parent, and a parent that is not what it was
//! is refused.

use std::fs;
use std::path::Path;

use crate::formats::PYTHON;
use crate::support::bake::{Bake, Place};
use crate::support::ext4;
use crate::support::run::Outcome;
use crate::support::sample;
use crate::support::tools::{succeed, tool};

fn child(parent: &Path, path: &Path, args: &[&str]) -> Outcome {
    Bake::of(&["disk", "child"]).arg(parent).arg("-o").arg(path).args(args).run()
}

/// The disk in a chain of files, the child first, as libvhdi reads it.
fn by_libvhdi(files: &[&Path]) -> String {
    let raw = files[0].with_extension("by-libvhdi");
    let script = "
import pyvhdi, sys
disks = []
for name in sys.argv[2:]:
    disk = pyvhdi.file()
    disk.open(name)
    disks.append(disk)
for child, parent in reversed(list(zip(disks, disks[1:]))):
    child.set_parent(parent)
size = disks[0].get_media_size()
with open(sys.argv[1], 'wb') as raw:
    raw.truncate(size)
    for offset in range(0, size, 1 << 16):
        piece = disks[0].read_buffer_at_offset(min(size - offset, 1 << 16), offset)
        if piece != bytes(len(piece)):
            raw.seek(offset)
            raw.write(piece)
";
    succeed(tool(PYTHON, "python3-libvhdi").args(["-c", script]).arg(&raw).args(files));
    ext4::bytes_of(&raw)
}

#[test]
fn a_child_is_its_parent_until_it_is_written_to() {
    let place = Place::with(&sample::varied());
    let (dir, below) = (place.writable("disks"), place.writable("disks/below"));
    place.bake().arg("-o").arg(dir.join("raw.ext4")).ok();
    let raw = ext4::bytes_of(&dir.join("raw.ext4"));
    for (number, args) in [&[][..], &["--subformat", "fixed"], &["--vhdx-block-size", "32M"]].into_iter().enumerate() {
        let parent = dir.join(format!("parent-{number}.vhdx"));
        place.bake().args(args).arg("-o").arg(&parent).ok();
        let before = fs::read(&parent).unwrap();
        let (first, second) = (dir.join(format!("child-{number}.vhdx")), below.join(format!("child-{number}.vhdx")));
        let made = child(&parent, &first, &["--json"]);
        assert_eq!(made.code, Some(0), "{}", made.describe());
        let told: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
        assert_eq!(told["relative_path"], format!(".\\parent-{number}.vhdx"));
        let absolute = r"\\?\C:\disks\child.vhdx";
        let made = child(&first, &second, &["--absolute-path", absolute, "--vhdx-block-size", "2M"]);
        assert!(made.stdout.contains(&format!("  parent  ..\\child-{number}.vhdx\n")), "{}", made.describe());
        assert_eq!(by_libvhdi(&[&first, &parent]), raw, "{args:?}");
        assert_eq!(by_libvhdi(&[&second, &first, &parent]), raw, "{args:?}");
        assert!(fs::read(&parent).unwrap() == before, "a parent stays as it is");
        assert!(fs::metadata(&first).unwrap().len() < 6 << 20, "a child has nothing");
        let info = succeed(tool("qemu-img", "qemu-utils").args(["info", "--output=json", "-f", "vhdx"]).arg(&parent));
        assert!(info.contains("virtual-size"), "{info}");
        // The same once more; two children of a parent are two disks.
        let again = dir.join("again");
        fs::create_dir_all(&again).unwrap();
        let identity = |file: &Path| fs::read(file).unwrap()[(64 << 10) + 32..(64 << 10) + 48].to_vec();
        assert_ne!(identity(&first), identity(&second));
        let bytes = fs::read(&first).unwrap();
        assert_eq!(child(&parent, &first, &["--force"]).code, Some(0));
        assert!(fs::read(&first).unwrap() == bytes);
    }
}

/// A qcow2 with a backing file: QEMU reads and writes it, and leaves the parent alone.
#[test]
fn a_child_for_qemu() {
    let place = Place::with(&sample::varied());
    let (dir, below) = (place.writable("disks"), place.writable("disks/below"));
    let qemu = |program: &str, args: &[&str], paths: &[&Path]| {
        succeed(tool(program, "qemu-utils").args(args).args(paths));
    };
    let convert = |from: &Path, to: &Path| {
        let bake = Bake::of(&["disk", "convert", "--progress", "none", "--force"]).arg(from).arg(to);
        assert_eq!(bake.run().code, Some(0));
        ext4::bytes_of(to)
    };
    let (by_qemu, ours) = (dir.join("by-qemu.raw"), dir.join("ours.raw"));
    for (name, args, format) in [
        ("plain.qcow2", &[][..], "qcow2"),
        ("packed.qcow2", &["--compress", "zstd"], "qcow2"),
        ("disk.ext4", &[], "raw"),
        // QEMU takes what is in front of a colon for a protocol.
        ("nbd:a b.ext4", &[], "raw"),
    ] {
        let parent = dir.join(name);
        place.bake().args(args).arg("-o").arg(&parent).ok();
        let before = fs::read(&parent).unwrap();
        let (first, second) = (dir.join("first.qcow2"), below.join("second.qcow2"));
        let made = child(&parent, &first, &["--json", "--force"]);
        assert_eq!(made.code, Some(0), "{}", made.describe());
        let told: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
        assert_eq!((&told["format"], &told["parent_format"]), (&"qcow2".into(), &format.into()));
        let made = child(&first, &second, &["--force"]);
        assert!(made.stdout.contains("  parent  ../first.qcow2\n"), "{}", made.describe());
        for file in [&first, &second] {
            qemu("qemu-img", &["check", "-q", "-f", "qcow2"], &[file]);
        }
        let info = succeed(tool("qemu-img", "qemu-utils").args(["info", "--output=json", "-f", "qcow2"]).arg(&first));
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["backing-filename-format"], format);
        assert_eq!(info["full-backing-filename"].as_str().map(Path::new).and_then(Path::file_name), parent.file_name());
        assert!(fs::metadata(&first).unwrap().len() <= 4 * 65_536, "a child has nothing");
        // What it is before and after it is written to.
        let whole = convert(&parent, &ours);
        qemu("qemu-img", &["convert", "-f", "qcow2", "-O", "raw"], &[&second, &by_qemu]);
        assert_eq!((ext4::bytes_of(&by_qemu), convert(&second, &ours)), (whole.clone(), whole.clone()), "{name}");
        qemu("qemu-io", &["-f", "qcow2", "-c", "write -P 7 1M 100k"], &[&first]);
        qemu("qemu-io", &["-f", "qcow2", "-c", "write -P 9 1100k 3k"], &[&second]);
        qemu("qemu-img", &["check", "-q", "-f", "qcow2"], &[&second]);
        qemu("qemu-io", &["-f", "qcow2", "-c", "read -P 7 1M 76k", "-c", "read -P 9 1100k 3k"], &[&second]);
        qemu("qemu-img", &["convert", "-f", "qcow2", "-O", "raw"], &[&second, &by_qemu]);
        let written = convert(&second, &ours);
        assert_eq!(ext4::bytes_of(&by_qemu), written, "{name}");
        assert_ne!(written, whole);
        assert!(fs::read(&parent).unwrap() == before, "a parent stays as it is");
        assert!(child(&second, &first, &["--force"]).error(&[2]).contains("which it reads from"));
    }
    // What a guest may have written is not what the child says of its parent, unless somebody does.
    fs::copy(dir.join("plain.qcow2"), dir.join("guest.img")).unwrap();
    let new = dir.join("new.qcow2");
    let outcome = child(&dir.join("guest.img"), &new, &[]);
    assert!(outcome.error(&[3]).contains("its content is that of a qcow2, and its name does not say so"));
    assert!(outcome.stderr.contains("--from raw"), "{}", outcome.describe());
    for format in ["raw", "qcow2"] {
        let made = child(&dir.join("guest.img"), &new, &["--from", format, "--force", "--json"]);
        assert!(made.stdout.contains(&format!(r#""parent_format":"{format}""#)), "{}", made.describe());
    }
}

#[test]
fn parents_that_are_not_as_they_should_be() {
    let place = Place::with(&sample::small("content"));
    let dir = place.writable("disks");
    let at = |name: &str| dir.join(name);
    for name in ["parent.vhdx", "other.vhdx"] {
        place.bake().args(["--label", name.split('.').next().unwrap(), "-o"]).arg(at(name)).ok();
    }
    assert_eq!(child(&at("parent.vhdx"), &at("child.vhdx"), &[]).code, Some(0));
    let fails = |parent: &str, args: &[&str], code: i32, says: &str| {
        let outcome = child(&at(parent), &at("new.vhdx"), args);
        assert!(outcome.error(&[code]).contains(says), "{says}: {}", outcome.describe());
        assert!(!at("new.vhdx").exists());
    };
    // A chain is as good as its links.
    let parent = fs::read(at("parent.vhdx")).unwrap();
    fs::copy(at("other.vhdx"), at("parent.vhdx")).unwrap();
    fails("child.vhdx", &[], 3, "parent.vhdx was changed after the child was made");
    fs::remove_file(at("parent.vhdx")).unwrap();
    fails("child.vhdx", &[], 3, "parent.vhdx, the parent of");
    fs::hard_link(at("child.vhdx"), at("parent.vhdx")).unwrap();
    fails("child.vhdx", &[], 3, "is one of its own children");
    fs::remove_file(at("parent.vhdx")).unwrap();
    fs::write(at("parent.vhdx"), parent).unwrap();
    assert_eq!(child(&at("child.vhdx"), &at("grandchild.vhdx"), &[]).code, Some(0));
    // What is no VHDX.
    fs::write(at("text.vhdx"), "text").unwrap();
    fails("text.vhdx", &[], 3, r#"text.vhdx as a VHDX: expected "vhdxfile" at its beginning, found "text""#);
    fails("missing.vhdx", &[], 3, "missing.vhdx");
    fails(".", &[], 3, "");
    for (name, args, says) in [
        ("child.qcow2", &[][..], "parent.vhdx is a VHDX, expected a qcow2 or a raw disk as the parent of a qcow2"),
        ("child.raw", &[], "expected a name that ends in .vhdx, .avhdx or .qcow2"),
        ("child.qcow2", &["--vhdx-block-size", "2M"], "--vhdx-block-size is for vhdx"),
        ("child.vhdx", &["--from", "raw"], "--from is for qcow2"),
    ] {
        let outcome = child(&at("parent.vhdx"), &at(name), args);
        assert!(outcome.error(&[2]).contains(says), "{says}: {}", outcome.describe());
        assert!(outcome.stderr.lines().count() > 1, "it has a hint: {}", outcome.describe());
    }
    for path in ["C:\\parent.vhdx", "/parent.vhdx", "\\\\?\\C:/parent.vhdx"] {
        fails("parent.vhdx", &["--absolute-path", path], 2, "no whole path of Windows");
    }
    fails("parent.vhdx", &["--vhdx-block-size", "3M"], 2, "expected a power of two from 1M to 256M");
    // Neither the parent nor a parent of that is replaced by a child.
    fs::hard_link(at("parent.vhdx"), at("same.vhdx")).unwrap();
    for (of, path) in [
        ("parent.vhdx", "parent.vhdx"),
        ("parent.vhdx", "same.vhdx"),
        ("child.vhdx", "parent.vhdx"),
        ("grandchild.vhdx", "same.vhdx"),
    ] {
        let before = fs::read(at(path)).unwrap();
        let outcome = child(&at(of), &at(path), &["--force"]);
        assert!(outcome.error(&[2]).contains("it would replace"), "{of} {path}");
        assert!(fs::read(at(path)).unwrap() == before, "{of} {path}");
    }
}

/// A parent's path is the word of a file that anybody may have made.
#[test]
fn paths_that_lead_elsewhere() {
    let place = Place::with(&sample::small("content"));
    let dir = place.writable("disks");
    let at = |name: &str| dir.join(name);
    place.bake().arg("-o").arg(at("parent.vhdx")).ok();
    assert_eq!(child(&at("parent.vhdx"), &at("child.vhdx"), &[]).code, Some(0));
    let whole = fs::read(at("child.vhdx")).unwrap();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let path = utf16(r".\parent.vhdx");
    let position = whole.windows(path.len()).position(|bytes| bytes == path).unwrap();
    succeed(tool("mkfifo", "coreutils").arg(at("pipe.vhdx")));
    // Each as long as the path that it takes the place of.
    for (other, says) in [
        ("/dev/zero/xyz", "child.vhdx: it says that its parent is at \"/dev/zero/xyz\", which is no path of Windows"),
        (r".\.\.\.\.\.\.", "it is not a regular file"),
        (r".\.\pipe.vhdx", "it is not a regular file"),
        (r".\\child.vhdx", "is one of its own children"),
    ] {
        let mut bytes = whole.clone();
        bytes[position..position + path.len()].copy_from_slice(&utf16(other));
        fs::write(at("child.vhdx"), bytes).unwrap();
        let outcome = child(&at("child.vhdx"), &at("new.vhdx"), &[]);
        assert!(outcome.error(&[3]).contains(says), "{other}: {}", outcome.describe());
        assert!(!at("new.vhdx").exists());
    }
}
