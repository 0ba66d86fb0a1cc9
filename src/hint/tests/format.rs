//! Formats that cannot hold a disk, and disks that are to be parents.

use cvbake::disk::{FormatError, TooLarge};
use cvbake::disks::FileFormat;
use cvbake::error::ChainProblem;
use cvbake::vhdx::{Error as Vhdx, ReadError};

use super::*;

fn too_large(format: &'static str) -> TooLarge {
    TooLarge { format, len_bytes: (1 << 41) + 1, max: 1 << 41 }
}

/// About a file that somebody has named, or that a child says is its parent.
fn unread(is_named_by_child: bool, source: ReadError) -> Error {
    Error::ReadDisk { path: path(), child: is_named_by_child.then(path), source }
}

fn chain(problem: ChainProblem) -> Error {
    Error::Chain { path: path(), problem }
}

#[test]
fn formats() {
    assert_advised(vec![
        (image(too_large("VHD")), Kind::Fit, "-o disk.vhdx writes"),
        (image(too_large("qcow2")), Kind::Fit, "choose a smaller --size"),
        (image(Vhdx::TooLarge(too_large("VHDX"))), Kind::Fit, "choose a smaller --size"),
        (Vhdx::BlockSize { block_size: 1 }.into(), Kind::Usage, "--vhdx-block-size 1M"),
        (Vhdx::SectorSize { sector_size: 1 }.into(), Kind::Usage, "--vhdx-sector-size 512"),
    ]);
    assert_eq!(too_large("VHD").to_string(), "a disk of 2049 GiB is too large for VHD, expected at most 2048 GiB");
}

#[test]
fn parents() {
    let open = |child: bool, errno| Error::OpenDisk { path: path(), child: child.then(path), source: os(errno) };
    let wrong =
        |source| Error::ReadFormat { path: path(), child: None, format: FileFormat::Qcow2, source: Box::new(source) };
    let other = || ReadError::NotVhdx { found: Vec::new() };
    assert_advised(vec![
        (open(false, Errno::NOENT), Kind::Source, "check the path"),
        (open(true, Errno::NOENT), Kind::Source, "put the parent back"),
        (open(false, Errno::IO), Kind::Source, "dmesg"),
        (open(false, Errno::ACCESS), Kind::Source, ""),
        (wrong(FormatError::Unsupported { what: "x" }), Kind::Source, "qemu-img check"),
        (wrong(FormatError::Checksum { what: "footer" }), Kind::Source, "copy it or bake it again"),
        (chain(ChainProblem::Elsewhere { name: "/x".to_owned() }), Kind::Source, "--parent FILE"),
        (chain(ChainProblem::AnyFile { name: "../x".to_owned() }), Kind::Source, "--parent FILE"),
        (chain(ChainProblem::NoFormat { name: "x".to_owned() }), Kind::Source, "--parent FILE"),
        (chain(ChainProblem::Unsaid { format: FileFormat::Vhd }), Kind::Source, "--from raw"),
        (chain(ChainProblem::Other { parent: path() }), Kind::Source, "restore the parent"),
        (chain(ChainProblem::NoParent { parent: path() }), Kind::Source, "leave out --parent"),
        (unread(false, other()), Kind::Source, "cvbake disk convert DISK -o parent.vhdx"),
        (unread(true, other()), Kind::Source, "restore the parent"),
        (unread(false, ReadError::Log), Kind::Source, "qemu-img check -r all"),
        (unread(false, ReadError::CutOff { found: 1, expected: 2 }), Kind::Source, "copy it or bake it again"),
        (unread(false, ReadError::Damaged { what: "header" }), Kind::Source, "copy it or bake it again"),
        (unread(false, ReadError::Version { found: 2 }), Kind::Source, ""),
        (chain(ChainProblem::Changed { parent: path() }), Kind::Source, "restore the parent"),
        (chain(ChainProblem::Circle { parent: path() }), Kind::Source, "restore the parent"),
        (chain(ChainProblem::TooLong { max: 64 }), Kind::Source, "further up"),
        (chain(ChainProblem::NoRelativePath), Kind::Source, "cvbake disk child"),
        (
            Error::NoParentOf { path: path(), found: FileFormat::Vhdx, child: FileFormat::Qcow2 },
            Kind::Usage,
            "name the child of a VHDX child.vhdx",
        ),
        (Error::BackingName { path: path(), len: 2000 }, Kind::Usage, "move both disks"),
        (Error::WindowsName { path: path() }, Kind::Usage, "rename it"),
    ]);
}
