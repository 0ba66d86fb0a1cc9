//! Where the hash tree of a disk goes.

use clap::ValueEnum;
use cvbake::Verity;

use crate::failure::Failure;

/// As it is said on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// Where the boot of the disk looks for it
    Auto,
    /// Behind the filesystem
    Append,
    /// Into another file
    Beside,
    /// Into a partition
    Partition,
}

impl Name {
    /// The place on a disk, which UEFI boots or not.
    pub(super) fn place(self, is_uefi: bool) -> Verity {
        match self {
            Name::Auto if is_uefi => Verity::Partition,
            Name::Auto | Name::Append => Verity::Append,
            Name::Beside => Verity::Beside,
            Name::Partition => Verity::Partition,
        }
    }

    /// Refuses a place where nobody would look.
    pub(super) fn check(self, is_uefi: bool) -> Result<(), Failure> {
        let (problem, hint) = match (self, is_uefi) {
            (Name::Append | Name::Beside, true) => (
                "--boot uefi looks for the hash tree in a partition: expected --verity=partition",
                "choose --verity, which makes the partition, or --boot direct",
            ),
            (Name::Partition, false) => (
                "--verity=partition is for disks that UEFI boots: others have no partitions",
                "add --boot uefi, or choose --verity, which puts the tree behind the filesystem",
            ),
            _ => return Ok(()),
        };
        Err(Failure::Usage { problem: problem.to_owned(), hint: Some(hint.to_owned()) })
    }
}
