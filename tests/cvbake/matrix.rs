//! Each format, as programs and crates that others wrote read it: all that a reader can read gives
//! the same digest, and what it can't is refused. The table in `docs/formats.md` is what was seen.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cvbake::disk::gpt::{Partition, Table, kind};
use cvbake::disk::{Part, ReadAt as _};
use cvbake::disks::OpenOptions;

use crate::formats::PYTHON;
use crate::support::bake::{Bake, Place, own};
use crate::support::tools::{run, stderr, succeed, tool};

/// A format: how it is made of a raw disk, and who reads it.
struct Row {
    title: &'static str,
    file: &'static str,
    args: &'static [&'static str],
    /// Of a differencing disk: the file that has the rest.
    parent: Option<&'static str>,
    /// What the readers call it; QEMU by its own name.
    format: &'static str,
    qemu: &'static str,
    /// In the order of [`READERS`].
    cells: [Cell; READERS.len()],
}

/// What a reader makes of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// The same bytes.
    Same,
    /// It knows the format, and refuses this kind of it.
    Refused,
    /// It is for other formats.
    Other,
}

use Cell::{Other, Refused, Same};

const READERS: [&str; 7] = ["cvbake", "QEMU", "libvhdi", "dissect", "vhdx-core", "wxtla", "imago"];

const ROWS: [Row; 12] = [
    row("raw", "a.raw", &[], ("raw", "raw"), [Same, Same, Other, Other, Other, Same, Other]),
    row("qcow2", "a.qcow2", &[], ("qcow2", "qcow2"), [Same, Same, Other, Same, Other, Same, Same]),
    row(
        "qcow2, zlib",
        "zlib.qcow2",
        &["--compress", "zlib"],
        ("qcow2", "qcow2"),
        [Same, Same, Other, Same, Other, Same, Same],
    ),
    row(
        "qcow2, zstd",
        "zstd.qcow2",
        &["--compress", "zstd"],
        ("qcow2", "qcow2"),
        [Same, Same, Other, Same, Other, Same, Refused],
    ),
    child(
        "qcow2 with a backing file",
        "child.qcow2",
        "zlib.qcow2",
        "qcow2",
        [Same, Same, Other, Same, Other, Same, Same],
    ),
    row("VHD, dynamic", "a.vhd", &[], ("vhd", "vpc"), [Same, Same, Same, Same, Other, Same, Other]),
    row(
        "VHD, fixed",
        "fixed.vhd",
        &["--subformat", "fixed"],
        ("vhd", "vpc"),
        [Same, Same, Same, Same, Other, Same, Other],
    ),
    row("VHDX, dynamic", "a.vhdx", &[], ("vhdx", "vhdx"), [Same, Same, Same, Same, Same, Same, Other]),
    row(
        "VHDX, blocks of 32 MiB",
        "blocks.vhdx",
        &["--vhdx-block-size", "32M"],
        ("vhdx", "vhdx"),
        [Same, Same, Same, Same, Same, Same, Other],
    ),
    row(
        "VHDX, fixed",
        "fixed.vhdx",
        &["--subformat", "fixed"],
        ("vhdx", "vhdx"),
        [Same, Same, Same, Same, Same, Same, Other],
    ),
    row(
        "VHDX, sectors of 4096 bytes",
        "sectors.vhdx",
        &["--vhdx-sector-size", "4096"],
        ("vhdx", "vhdx"),
        [Same, Refused, Same, Same, Same, Same, Other],
    ),
    child("VHDX, differencing", "child.vhdx", "a.vhdx", "vhdx", [Same, Refused, Same, Same, Same, Same, Other]),
];

const fn row(
    title: &'static str,
    file: &'static str,
    args: &'static [&'static str],
    (format, qemu): (&'static str, &'static str),
    cells: [Cell; READERS.len()],
) -> Row {
    Row { title, file, args, parent: None, format, qemu, cells }
}

const fn child(
    title: &'static str,
    file: &'static str,
    parent: &'static str,
    format: &'static str,
    cells: [Cell; READERS.len()],
) -> Row {
    Row { title, file, args: &[], parent: Some(parent), format, qemu: format, cells }
}

/// Where `scripts/setup` installs readers.
fn readers() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let share = || named("XDG_DATA_HOME").unwrap_or_else(|| named("HOME").expect("a home").join(".local/share"));
    named("CVBAKE_READERS").unwrap_or_else(|| share().join("cvbake-readers"))
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run scripts/setup", path.display());
    path
}

/// The crates, as one program.
fn crates() -> Command {
    let mut command = Command::new(installed(readers().join("bin/cvbake-disk-readers")));
    command.env("LC_ALL", "C");
    command
}

/// A Python program that reads a disk and prints its digest.
fn python(script: &str) -> Command {
    let mut command = tool(PYTHON, "python3");
    let hash = "
import hashlib, sys
digest = hashlib.sha256()
while piece := disk.read(1 << 20):
    digest.update(piece)
print(digest.hexdigest())
";
    command.env("PYTHONPATH", installed(readers().join("python"))).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg("-c").arg(format!("import sys\n{script}{hash}"));
    command
}

const LIBVHDI: &str = "
import pyvhdi
disks = []
for name in sys.argv[1:]:
    disks.append(pyvhdi.file())
    disks[-1].open(name)
for child, parent in reversed(list(zip(disks, disks[1:]))):
    child.set_parent(parent)
disk = disks[0]
";

const DISSECT: &str = "
from pathlib import Path
from dissect.hypervisor.disk.qcow2 import QCow2
from dissect.hypervisor.disk.vhd import VHD
from dissect.hypervisor.disk.vhdx import VHDX
path = Path(sys.argv[1])
disk = VHDX(path) if path.suffix == '.vhdx' else VHD(path.open('rb')) if path.suffix == '.vhd' else QCow2(path).open()
";

fn sha256(path: &Path) -> String {
    let text = succeed(tool("sha256sum", "coreutils").arg(path));
    text.split(' ').next().expect("a digest").to_owned()
}

/// What a program printed, if it could read the disk.
fn printed(command: &mut Command) -> Result<String, String> {
    let output = run(command);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(stderr(&output)),
    }
}

/// The digest of a disk, as a reader reads it; nothing of a reader that is for other formats.
fn read_by(reader: &str, row: &Row, dir: &Path) -> Option<Result<String, String>> {
    let (file, raw) = (dir.join(row.file), dir.join("read.raw"));
    let parents: Vec<PathBuf> = row.parent.iter().map(|parent| dir.join(parent)).collect();
    let by_crate = |name: &str| printed(crates().args([name, row.format]).arg(&file).args(&parents));
    Some(match (reader, row.format) {
        ("cvbake", _) => {
            let bake = Bake::of(&["disk", "convert", "--progress", "none", "--force"]).arg(&file).arg(&raw);
            let outcome = bake.run();
            if outcome.code == Some(0) { Ok(sha256(&raw)) } else { Err(outcome.stderr) }
        }
        ("QEMU", _) => {
            let mut convert = tool("qemu-img", "qemu-utils");
            printed(convert.args(["convert", "-f", row.qemu, "-O", "raw"]).args([&file, &raw])).map(|_| sha256(&raw))
        }
        ("libvhdi", "vhd" | "vhdx") => printed(python(LIBVHDI).arg(&file).args(&parents)),
        ("dissect", "vhd" | "vhdx" | "qcow2") => printed(python(DISSECT).arg(&file)),
        ("vhdx-core", "vhdx") | ("imago", "qcow2") | ("wxtla", _) => match reader {
            // It follows the name in the file.
            "imago" => printed(crates().args(["imago", "qcow2"]).arg(&file)),
            _ => by_crate(reader),
        },
        _ => return None,
    })
}

/// A disk with content at the borders of clusters and blocks.
fn content(path: &Path) {
    let file = File::create(path).expect("a place for a disk");
    file.set_len(70 << 20).expect("a length");
    let mut state = 1_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..len).map(step).collect()
    };
    for at in [0, (2 << 20) - 3000, (33 << 20) + 65_536, (70 << 20) - 5000] {
        file.write_all_at(&noise(5000), at).expect("room");
    }
    file.write_all_at(&noise(300_000), 40 << 20).expect("room");
    file.write_all_at(&b"compressible ".repeat(100_000), 50 << 20).expect("room");
    own(path);
}

#[test]
fn all_readers_read_the_same() {
    let place = Place::new();
    let dir = place.writable("disks");
    content(&dir.join("disk.raw"));
    let expected = sha256(&dir.join("disk.raw"));
    let mut table = format!("| format | {} |\n|---|{}\n", READERS.join(" | "), "---|".repeat(READERS.len()));
    let mut wrong = String::new();
    for row in &ROWS {
        let file = dir.join(row.file);
        let made = match row.parent {
            None => {
                Bake::of(&["disk", "convert", "--progress", "none"]).args(row.args).arg(dir.join("disk.raw")).arg(&file)
            }
            Some(parent) => Bake::of(&["disk", "child"]).arg(dir.join(parent)).arg("-o").arg(&file),
        };
        made.ok();
        write!(table, "| {} |", row.title).expect("a string");
        for (reader, cell) in READERS.into_iter().zip(row.cells) {
            let read = read_by(reader, row, &dir);
            let found = match &read {
                Some(Ok(digest)) if *digest == expected => Same,
                Some(Ok(digest)) => panic!("{reader} reads {} otherwise: {digest}", row.title),
                Some(Err(_)) => Refused,
                None => Other,
            };
            if found != cell {
                writeln!(wrong, "{reader}, {}: {found:?}, expected {cell:?}: {read:?}", row.title).expect("a string");
            }
            let word = match found {
                Same => "same bytes",
                Refused => "refuses it",
                Other => "–",
            };
            write!(table, " {word} |").expect("a string");
        }
        table.push('\n');
    }
    assert!(wrong.is_empty(), "{wrong}");
    published(&table);
}

/// Compares the table with that of the document, or writes it there.
fn published(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let text = fs::read_to_string(&path).expect("the document");
    let (start, end) = ("<!-- matrix: written by tests/cvbake/matrix.rs -->\n", "<!-- end of matrix -->");
    let (front, rest) = text.split_once(start).expect("the place of the table");
    let (found, behind) = rest.split_once(end).expect("the end of the table");
    if std::env::var_os("CVBAKE_BLESS").is_some() {
        fs::write(&path, format!("{front}{start}{table}{end}{behind}")).expect("the document");
    } else {
        assert_eq!(found, table, "CVBAKE_BLESS=1 writes docs/formats.md");
    }
}

/// Partitions, as others find them, and what is in them.
#[test]
fn partition_tables_are_read_by_others() {
    let place = Place::new();
    let dir = place.writable("disks");
    content(&dir.join("disk.raw"));
    let bytes = fs::read(dir.join("disk.raw")).expect("the disk");
    let partition =
        |kind, number: u8, name: &str| Partition { kind, guid: [number; 16], flags: 0, name: name.to_owned() };
    let (esp, root) = (partition(kind::ESP, 1, "esp"), partition(kind::ROOT_X86_64, 2, "root"));
    let table = Table::plan([3; 16], 512, vec![(esp, 3 << 20), (root, bytes.len() as u64)]).expect("a table");
    let path = dir.join("gpt.raw");
    let file = File::create(&path).expect("a place for a disk");
    file.set_len(table.len_bytes).expect("a length");
    for piece in table.pieces() {
        file.write_all_at(&piece.bytes, piece.offset).expect("room");
    }
    let mut expected = String::new();
    for placed in &table.partitions {
        let len = placed.range.end - placed.range.start;
        let part = &bytes[..usize::try_from(len).expect("a part of it")];
        file.write_all_at(part, placed.range.start).expect("room");
        fs::write(dir.join("part"), part).expect("room");
        writeln!(expected, "{} {len} {}", placed.range.start, sha256(&dir.join("part"))).expect("a string");
    }
    own(&path);
    assert_eq!(succeed(crates().args(["wxtla", "gpt"]).arg(&path)), expected);
    assert!(succeed(tool("sgdisk", "gdisk").arg("-v").arg(&path)).contains("No problems found"));
    // Ours, of the same file in another format.
    Bake::of(&["disk", "convert", "--progress", "none", "--compress", "zstd"])
        .arg(&path)
        .arg(dir.join("gpt.qcow2"))
        .ok();
    let disk = cvbake::disks::open(&dir.join("gpt.qcow2"), &OpenOptions::default()).expect("a disk").disk;
    let found = Table::read(&*disk).expect("a readable one").expect("a table");
    assert_eq!(found.table, table);
    for placed in &table.partitions {
        let part = Part::new(disk.clone(), placed.range.clone());
        let mut read = vec![0; usize::try_from(part.len_bytes()).expect("a part of it")];
        part.read_at(0, &mut read).expect("the partition");
        assert!(read == bytes[..read.len()], "{placed:?}");
    }
}
