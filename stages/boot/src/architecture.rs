//! The processors that disks are made bootable for.

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// What images call amd64.
    X86_64,
    /// What images call arm64.
    Arm64,
}

impl Architecture {
    /// By its name in a platform of the image specification.
    #[must_use]
    pub fn by_oci_name(name: &str) -> Option<Architecture> {
        match name {
            "amd64" => Some(Architecture::X86_64),
            "arm64" => Some(Architecture::Arm64),
            _ => None,
        }
    }

    /// Its name in a platform of the image specification.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        match self {
            Architecture::X86_64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }

    /// The program that UEFI starts from a disk of which it knows nothing.
    #[must_use]
    pub fn default_loader(self) -> &'static str {
        match self {
            Architecture::X86_64 => "EFI/BOOT/BOOTX64.EFI",
            Architecture::Arm64 => "EFI/BOOT/BOOTAA64.EFI",
        }
    }

    /// The name of systemd-boot for it, which is also its name on a boot partition.
    #[must_use]
    pub fn systemd_boot_name(self) -> &'static str {
        match self {
            Architecture::X86_64 => "systemd-bootx64.efi",
            Architecture::Arm64 => "systemd-bootaa64.efi",
        }
    }

    /// The name of systemd's stub for it.
    #[must_use]
    pub fn stub_name(self) -> &'static str {
        match self {
            Architecture::X86_64 => "linuxx64.efi.stub",
            Architecture::Arm64 => "linuxaa64.efi.stub",
        }
    }

    /// The first program of a booted disk, if there is one.
    pub(crate) fn init(self) -> Option<&'static [u8]> {
        cvbake_init::program(match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "aarch64",
        })
    }

    /// What a program for UEFI has in its header.
    pub(crate) fn pe_machine(self) -> u16 {
        match self {
            Architecture::X86_64 => 0x8664,
            Architecture::Arm64 => 0xaa64,
        }
    }
}
