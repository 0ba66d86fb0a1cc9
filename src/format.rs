//! Which file a disk becomes.

use std::fmt;

use cvbake_disk::qcow2::Compression;
use cvbake_disk::{Container, Subformat};

/// What a disk is stored as: what is around its filesystem, and where in the file that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// The filesystem and nothing else.
    #[default]
    Raw,
    /// The format of QEMU, with compressed clusters if that is said.
    Qcow2(Option<Compression>),
    /// The format of Virtual PC and Azure.
    Vhd(Subformat),
    /// The format of Hyper-V.
    Vhdx(cvbake_vhdx::Options),
}

impl Format {
    /// What it is called: the ending of its files, too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2(_) => "qcow2",
            Format::Vhd(_) => "vhd",
            Format::Vhdx(_) => "vhdx",
        }
    }

    /// What a file of it is.
    pub(crate) fn of_file(self) -> FileFormat {
        match self {
            Format::Raw => FileFormat::Raw,
            Format::Qcow2(_) => FileFormat::Qcow2,
            Format::Vhd(_) => FileFormat::Vhd,
            Format::Vhdx(_) => FileFormat::Vhdx,
        }
    }

    /// Whether a file has all blocks of its disk, where the format leaves the choice.
    #[must_use]
    pub fn subformat(self) -> Option<Subformat> {
        match self {
            Format::Raw | Format::Qcow2(_) => None,
            Format::Vhd(subformat) => Some(subformat),
            Format::Vhdx(options) => Some(options.subformat),
        }
    }

    /// How its blocks are compressed, if they are.
    #[must_use]
    pub fn compression(self) -> Option<Compression> {
        match self {
            Format::Qcow2(compression) => compression,
            Format::Raw | Format::Vhd(_) | Format::Vhdx(_) => None,
        }
    }

    /// How many bytes a sector of the disk has.
    pub(crate) fn sector_size(self) -> u32 {
        match self {
            Format::Raw | Format::Qcow2(_) | Format::Vhd(_) => 512,
            Format::Vhdx(options) => options.logical_sector_size,
        }
    }

    /// Where in the file a part of the disk is that begins at `start`, known before the filesystem
    /// is planned: so a layer can be unpacked to its place meanwhile. A format that maps blocks has
    /// the part in front of all others.
    pub(crate) fn place(self, start: u64) -> Option<u64> {
        match self {
            // What is compressed is made of a disk that stands.
            Format::Raw | Format::Qcow2(Some(_)) | Format::Vhd(Subformat::Fixed) => Some(start),
            Format::Qcow2(None) => Some(Container::qcow2_place(start)),
            // There are bitmaps between the blocks.
            Format::Vhd(Subformat::Dynamic) => None,
            Format::Vhdx(options) => Some(options.base().map_or_else(|| options.place(start), |base| base + start)),
        }
    }

    /// Where in the file the disk begins, if it is stored in one piece.
    pub(crate) fn base(self) -> Option<u64> {
        match self {
            Format::Raw | Format::Qcow2(Some(_)) | Format::Vhd(Subformat::Fixed) => Some(0),
            Format::Qcow2(None) | Format::Vhd(Subformat::Dynamic) => None,
            Format::Vhdx(options) => options.base(),
        }
    }
}

/// What a file with a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// The disk and nothing else.
    Raw,
    /// The format of QEMU.
    Qcow2,
    /// The format of Virtual PC and Azure.
    Vhd,
    /// The format of Hyper-V.
    Vhdx,
}

impl FileFormat {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Raw => "raw",
            FileFormat::Qcow2 => "qcow2",
            FileFormat::Vhd => "vhd",
            FileFormat::Vhdx => "vhdx",
        }
    }
}

/// As it is written in a sentence.
impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileFormat::Raw => "raw disk",
            FileFormat::Qcow2 => "qcow2",
            FileFormat::Vhd => "VHD",
            FileFormat::Vhdx => "VHDX",
        })
    }
}
