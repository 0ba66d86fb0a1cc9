//! What a disk is booted by, once it was read: what becomes of it.

use cvbake_boot::{Architecture, Initramfs, Kernel, Loader, Stub, esp_files};
use cvbake_disk::gpt::{self, ALIGNMENT};
use cvbake_disk::{Piece, fat};
use cvbake_verify::{Digest, Image};

use super::by::BootBy;
use crate::error::Error;
use crate::text::uuid;

/// What a disk is booted by, read and checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) by: BootBy,
    /// The root filesystem, by the name that Linux has for its type.
    pub(crate) filesystem: &'static str,
    pub(crate) kernel: Kernel,
    pub(crate) initramfs: Initramfs,
    /// For UEFI.
    pub(crate) stub: Option<Stub>,
    pub(crate) loader: Option<Loader>,
    pub(crate) append: String,
    pub(crate) esp_bytes: u64,
    /// What names all of it.
    pub(crate) key: Digest,
}

impl Prepared {
    /// What the kernel is told: where the root filesystem is, wherever the disk is, and what the
    /// user adds, which counts more because it comes later. `root` is the identity of the
    /// partition, or of the filesystem where there are none.
    pub(crate) fn command_line(&self, root: [u8; 16]) -> String {
        let name = match self.by {
            BootBy::Uefi => "PARTUUID",
            BootBy::Direct => "UUID",
        };
        let space = if self.append.is_empty() { "" } else { " " };
        // Nobody writes to the other.
        let mode = if self.filesystem == "ext4" { "rw" } else { "ro" };
        format!("root={name}={} rootfstype={} {mode}{space}{}", uuid(root), self.filesystem, self.append)
    }

    /// The boot partition, planned; offsets are its own.
    pub(crate) fn esp(
        &self,
        root: [u8; 16],
        identity: [u8; 16],
        sector_size: u32,
        epoch: i64,
    ) -> Result<Vec<Piece>, Error> {
        let stub = self.stub.as_ref().expect("UEFI has a stub");
        let files = esp_files(&self.kernel, &self.initramfs, stub, self.loader.as_ref(), &self.command_line(root))?;
        let [a, b, c, d, ..] = identity;
        let options = fat::Options {
            len_bytes: self.esp_bytes,
            sector_size,
            offset: ALIGNMENT,
            volume_id: u32::from_be_bytes([a, b, c, d]),
            label: "ESP",
            epoch,
        };
        Ok(fat::plan(&files, &options)?)
    }

    /// Whether an image is for the processors that the kernel is for; one that says nothing is.
    pub(crate) fn check(&self, image: &Image) -> Result<(), Error> {
        let platform = image.config().and_then(|config| config.platform());
        let expected = self.kernel.architecture.oci_name();
        match platform.map(|platform| platform.architecture().to_owned()) {
            Some(found) if found != expected => {
                Err(Error::KernelArchitecture { kernel: self.kernel.name.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }

    /// The type of the root partition.
    pub(crate) fn root_kind(&self) -> [u8; 16] {
        match self.kernel.architecture {
            Architecture::Arm64 => gpt::kind::ROOT_ARM64,
            _ => gpt::kind::ROOT_X86_64,
        }
    }
}
