//! What a disk is booted by, once it was read: what becomes of it.

use cvbake_boot::{Architecture, Initramfs, Kernel, Loader, Stub, esp_files, unified};
use cvbake_disk::gpt::{self, ALIGNMENT};
use cvbake_disk::{Piece, fat};
use cvbake_measure::{Prediction, predict};
use cvbake_verify::{Digest, Image};
use cvbake_verity::RootHash;

use super::by::BootBy;
use crate::error::Error;
use crate::protection::Verity;
use crate::text::{hex, uuid};

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

/// Where the kernel finds the root filesystem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root {
    /// The identity of its partition, or of the filesystem where there are none.
    pub(crate) identity: [u8; 16],
    /// By what dm-verity checks it, if it does.
    pub(crate) check: Option<RootCheck>,
}

/// By what dm-verity checks the root filesystem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RootCheck {
    pub(crate) place: Verity,
    /// Zeros where it is not known yet: lengths do not follow from it.
    pub(crate) root_hash: RootHash,
    /// What the hash tree is called.
    pub(crate) tree: [u8; 16],
    /// Where on its device it begins.
    pub(crate) offset: u64,
}

impl Root {
    /// One that nobody knows yet, of which what is said is as long as it ever is.
    pub(crate) fn unknown(verity: Option<Verity>) -> Root {
        let check = |place| RootCheck { place, root_hash: [0; 32], tree: [0; 16], offset: u64::MAX };
        Root { identity: [0; 16], check: verity.map(check) }
    }
}

impl Prepared {
    /// What the kernel is told: where the root filesystem is, wherever the disk is, and what the
    /// user adds, which counts more because it comes later.
    pub(crate) fn command_line(&self, root: &Root) -> String {
        let identity = uuid(root.identity);
        let (place, mode) = match (&root.check, self.by) {
            (Some(check), _) => (check.words(&identity), "ro cvbake.overlay=tmpfs"),
            (None, BootBy::Uefi) => (format!("root=PARTUUID={identity}"), self.mode()),
            (None, BootBy::Direct) => (format!("root=UUID={identity}"), self.mode()),
        };
        let space = if self.append.is_empty() { "" } else { " " };
        format!("{place} rootfstype={} {mode}{space}{}", self.filesystem, self.append)
    }

    /// How a root filesystem is mounted that nothing checks.
    fn mode(&self) -> &'static str {
        // Nobody writes to the other.
        if self.filesystem == "ext4" { "rw" } else { "ro" }
    }

    /// What booting leaves in a TPM, if this stub is one of which that is known. Behind a boot
    /// loader it is somebody's choice what is booted.
    pub(crate) fn prediction(&self, command_line: &str) -> Option<Prediction> {
        let stub = self.stub.as_ref().filter(|_| self.loader.is_none())?;
        predict(&unified(&self.kernel, &self.initramfs, stub, command_line).ok()?).ok()
    }

    /// The boot partition, planned; offsets are its own.
    pub(crate) fn esp(
        &self,
        root: &Root,
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

    /// The type of the partition with its hash tree.
    pub(crate) fn root_verity_kind(&self) -> [u8; 16] {
        match self.kernel.architecture {
            Architecture::Arm64 => gpt::kind::ROOT_VERITY_ARM64,
            _ => gpt::kind::ROOT_VERITY_X86_64,
        }
    }
}

impl RootCheck {
    /// What the command line says of it: options of systemd, where a partition's name says less
    /// than all.
    fn words(&self, filesystem: &str) -> String {
        let hash = format!("roothash={}", hex(&self.root_hash));
        let devices = |tree: &str| {
            format!("{hash} systemd.verity_root_data=UUID={filesystem} systemd.verity_root_hash=UUID={tree}")
        };
        match self.place {
            Verity::Partition => hash,
            Verity::Beside => devices(&uuid(self.tree)),
            Verity::Append => {
                let offset = self.offset;
                format!("{} systemd.verity_root_options=hash-offset={offset}", devices(filesystem))
            }
        }
    }
}
