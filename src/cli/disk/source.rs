//! A disk that is read.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};
use cvbake::disks::{FileFormat, OpenOptions};

/// How a disk is read.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SourceArgs {
    /// Read the disk as a file of this format [default: by its content]
    ///
    /// What a raw disk has at its beginning or its end is for whoever uses the disk to choose, and
    /// can look like another format: say raw for disks of others. A disk that has a parent by its
    /// content is read without this option only if its name ends accordingly.
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<Name>,

    /// Read the parent (backing file) from this file, wherever the disk says that it is; again for
    /// the parent of that
    #[arg(long = "parent", value_name = "FILE", value_hint = ValueHint::FilePath)]
    parents: Vec<PathBuf>,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Name {
    /// The disk and nothing else
    Raw,
    /// The format of QEMU
    Qcow2,
    /// The format of Virtual PC and Azure
    Vhd,
    /// The format of Hyper-V
    Vhdx,
}

impl Name {
    pub(in crate::cli) fn format(self) -> FileFormat {
        match self {
            Name::Raw => FileFormat::Raw,
            Name::Qcow2 => FileFormat::Qcow2,
            Name::Vhd => FileFormat::Vhd,
            Name::Vhdx => FileFormat::Vhdx,
        }
    }
}

impl SourceArgs {
    pub(in crate::cli) fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::default();
        options.format = self.from.map(Name::format);
        options.parents.clone_from(&self.parents);
        options
    }
}
