//! Which file a disk becomes.

use cvbake_disk::Subformat;

/// What a disk is stored as: what is around its filesystem, and where in the file that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// The filesystem and nothing else.
    #[default]
    Raw,
    /// The format of QEMU.
    Qcow2,
    /// The format of Virtual PC and Azure.
    Vhd(Subformat),
    /// The format of Hyper-V.
    Vhdx(cvbake_vhdx::Options),
}

impl Format {
    /// Where in the file the filesystem begins, if it is stored in one piece; known before the
    /// filesystem is planned, so that a layer can be unpacked to its place meanwhile.
    pub(crate) fn base(self) -> Option<u64> {
        match self {
            Format::Raw | Format::Vhd(Subformat::Fixed) => Some(0),
            Format::Qcow2 | Format::Vhd(Subformat::Dynamic) => None,
            Format::Vhdx(options) => options.base(),
        }
    }
}
