//! What to do about a format that cannot hold a disk, and about a disk that is to be a parent.

use std::io::ErrorKind;

use cvbake::disk::FormatError;
use cvbake::disks::FileFormat;
use cvbake::error::{ChainProblem, Error};
use cvbake::vhdx::{Error as VhdxError, ReadError};

const SMALLER: &str = "choose a smaller --size";
const FOUND: &str = "leave out --from: the format is found by what the file has in it";
const NOT_VHDX: &str = "leave out --from: the format is found by what the file has in it; `cvbake disk convert DISK -o parent.vhdx` makes a \
                        VHDX of a disk in another format";
const IN_USE: &str =
    "end the machine that uses it; after a crash, `qemu-img check -r all` carries out what the log says";
const DAMAGED: &str = "the file is damaged or incomplete: copy it or bake it again";
const RESTORE: &str = "restore the parent as it was, or make its children again";

pub(super) fn of(error: &Error) -> Option<&'static str> {
    match error {
        Error::TooLarge(error) | Error::Vhdx(VhdxError::TooLarge(error)) => Some(match error.format {
            "VHD" => "choose a smaller --size; -o disk.vhdx writes a VHDX, which may have 64 TiB",
            _ => SMALLER,
        }),
        Error::Vhdx(VhdxError::BlockSize { .. }) => Some("choose --vhdx-block-size 1M or a larger power of two"),
        Error::Vhdx(VhdxError::SectorSize { .. }) => Some("choose --vhdx-sector-size 512, which every reader knows"),
        Error::ReadDisk { child, source, .. } => of_unread(source, child.is_some()),
        Error::ReadFormat { child, source, .. } => of_wrong(source, child.is_some()),
        Error::OpenDisk { child, source, .. } if source.kind() == ErrorKind::NotFound => Some(match child {
            Some(_) => {
                "put the parent back where the child says that it is; parent and child can be moved together; --parent names it where it is"
            }
            None => "check the path of the disk",
        }),
        Error::Chain { problem, .. } => Some(match problem {
            ChainProblem::Changed { .. } | ChainProblem::Other { .. } | ChainProblem::Circle { .. } => RESTORE,
            ChainProblem::Elsewhere { .. } | ChainProblem::AnyFile { .. } | ChainProblem::NoFormat { .. } => {
                "if you trust the file, --parent FILE names its backing file; `qemu-img rebase -u -b FILE -F FORMAT` writes another name into it"
            }
            ChainProblem::Unsaid { .. } | ChainProblem::Unclear { .. } => {
                "if you trust the file, --from qcow2, vhd or vhdx says what it is; --from raw reads it as it is"
            }
            ChainProblem::NoParent { .. } => "leave out --parent: one for each disk that has a parent",
            ChainProblem::TooLong { .. } => "make the child of a disk further up, or of one that has everything",
            ChainProblem::NoRelativePath => "make it again with `cvbake disk child`, which writes a relative path",
            _ => return None,
        }),
        Error::NoParentOf { child: FileFormat::Qcow2, .. } => {
            Some("name the child of a VHDX child.vhdx; `cvbake disk convert` makes a qcow2 of another disk")
        }
        Error::BackingName { .. } => Some("move both disks into one directory"),
        Error::WindowsName { .. } => Some("rename it, or move both disks into one directory"),
        _ => None,
    }
}

/// The same of another format.
fn of_wrong(error: &FormatError, is_named_by_child: bool) -> Option<&'static str> {
    match error {
        FormatError::NotIt { .. } if is_named_by_child => Some(RESTORE),
        FormatError::NotIt { .. } => Some(FOUND),
        FormatError::Unsupported { .. } => Some(
            "`qemu-img check -r all` repairs a file that was not closed; `qemu-img convert` reads all that QEMU has",
        ),
        FormatError::Read { .. } => None,
        _ => Some(DAMAGED),
    }
}

/// What to do about a file that is no VHDX, or none that is whole.
fn of_unread(error: &ReadError, is_named_by_child: bool) -> Option<&'static str> {
    match error {
        ReadError::NotVhdx { .. } if is_named_by_child => Some(RESTORE),
        ReadError::NotVhdx { .. } => Some(NOT_VHDX),
        ReadError::Log => Some(IN_USE),
        ReadError::CutOff { .. } | ReadError::Damaged { .. } | ReadError::Missing { .. } | ReadError::Field { .. } => {
            Some(DAMAGED)
        }
        _ => None,
    }
}
