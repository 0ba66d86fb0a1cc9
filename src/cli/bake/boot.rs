//! How a disk is booted: the options, and what they lack or contradict.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};
use cvbake::fetch::{Source, TarSource};
use cvbake::text::line;
use cvbake::{Boot, BootBy, ImageSource, KernelSource, LoaderSource};

use super::help;
use super::target::Target;
use crate::cli::{source, values};
use crate::failure::Failure;

/// The options of booting.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Booting")]
pub(super) struct BootArgs {
    /// Make the disk bootable: none, uefi, direct
    #[arg(long, value_enum, value_name = "HOW", default_value_t, hide_possible_values = true, long_help = help::boot())]
    boot: How,

    /// Boot this kernel: a file, or an image that has one [default: the kernel of the image]
    ///
    /// A file is a bzImage or, with --boot direct, also a vmlinux with a PVH entry; for arm64, an
    /// Image. An image has its kernel in /kernel and the modules in the archive /kernel.tar, as
    /// those of linuxkit do; in /usr/lib/modules/VERSION/vmlinuz, as those of bootc do; or in
    /// /boot/vmlinuz-VERSION. On Debian, `apt-get download linux-image-cloud-amd64` and `dpkg -x`
    /// give one without installing it.
    #[arg(long, value_name = "FILE|IMAGE", value_hint = ValueHint::FilePath)]
    kernel: Option<OsString>,

    /// Take the kernel's modules from this directory [default: where they are beside the kernel]
    ///
    /// It is the directory that has modules.dep or modules.order, such as /lib/modules/6.1.0-amd64,
    /// or the root of a tree that has it there. Only modules that a boot needs go into the
    /// initramfs: those of disk controllers (virtio, NVMe, Hyper-V, SCSI, AHCI) and of the root
    /// filesystem. Without modules, the kernel must have their drivers built in.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    modules: Option<PathBuf>,

    /// With --boot uefi, start the kernel with this stub of systemd
    /// [default: /usr/lib/systemd/boot/efi/linuxx64.efi.stub of the image or of this machine]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    stub: Option<PathBuf>,

    /// With --boot uefi, put a boot loader in front of the kernel: systemd-boot, or its file
    /// [default: none, as UEFI starts the kernel itself]
    ///
    /// It is started by UEFI, and starts the kernel by the entry that cvbake writes. It shows a
    /// menu when a key is held down, and systems that install kernels later can add entries. With
    /// `systemd-boot`, it is /usr/lib/systemd/boot/efi/systemd-bootx64.efi of the image that the
    /// kernel is from, or of this machine (Debian: package systemd-boot-efi). A path names the
    /// file.
    #[arg(long, value_name = "systemd-boot|FILE", value_hint = ValueHint::FilePath)]
    loader: Option<PathBuf>,

    /// Add this to the kernel's command line, such as "console=ttyS0"
    ///
    /// cvbake says where the root filesystem is: root=PARTUUID=… (or, with --boot direct,
    /// root=UUID=…) rootfstype=ext4 rw. What is added comes later, and counts more. With
    /// cvbake.overlay=tmpfs, changes to the root filesystem are kept in memory; with
    /// cvbake.overlay=LABEL=… on that ext4 filesystem, which may be on another disk. With --verity,
    /// it says roothash=… and cvbake.overlay=tmpfs; cvbake.overlay=none leaves the overlay out.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,

    /// With --boot uefi, set the size of the boot partition [default: 256M]
    ///
    /// It holds several kernels. What is not used of it takes no room where files have holes. With
    /// sectors of 4096 bytes, the default is 512M: FAT32 begins at 256 MiB there, and at 33 MiB
    /// elsewhere.
    #[arg(long, value_name = "SIZE", value_parser = values::partition_size)]
    esp_size: Option<u64>,
}

/// What starts a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum How {
    /// Nothing: the disk is a filesystem
    #[default]
    None,
    /// UEFI, from a boot partition
    Uefi,
    /// A hypervisor that is given the kernel
    Direct,
}

impl BootArgs {
    /// How the disk of an image is to be booted.
    pub(super) fn boot(&self, image: &ImageSource) -> Result<Option<Boot>, Failure> {
        let by = match self.boot {
            How::None => None,
            How::Uefi => Some(BootBy::Uefi),
            How::Direct => Some(BootBy::Direct),
        };
        let given = [
            ("--kernel", self.kernel.is_some(), true),
            ("--modules", self.modules.is_some(), true),
            ("--append", self.append.is_some(), true),
            ("--stub", self.stub.is_some(), false),
            ("--loader", self.loader.is_some(), false),
            ("--esp-size", self.esp_size.is_some(), false),
        ];
        let unfit = |direct: bool| by.is_none() || by == Some(BootBy::Direct) && !direct;
        if let Some((option, ..)) = given.iter().find(|(_, given, direct)| *given && unfit(*direct)) {
            let hint =
                if by.is_none() { "add --boot uefi or --boot direct" } else { "leave it out, or choose --boot uefi" };
            return Err(Failure::Usage {
                problem: format!(
                    "{option} is for {}",
                    if by.is_none() { "disks that boot" } else { "disks that UEFI boots" }
                ),
                hint: Some(hint.to_owned()),
            });
        }
        let Some(by) = by else { return Ok(None) };
        let mut boot = Boot::new(by);
        boot.kernel = self.kernel(image)?;
        boot.modules = self.modules.clone();
        boot.stub = self.stub.clone();
        // A file of that name is `./systemd-boot`.
        boot.loader = self.loader.clone().map(|loader| match loader.to_str() {
            Some("systemd-boot") => LoaderSource::SystemdBoot,
            _ => LoaderSource::File(loader),
        });
        boot.append = self.append.clone().unwrap_or_default();
        boot.esp_bytes = self.esp_size;
        Ok(Some(boot))
    }

    /// Whether the disk is to be booted.
    pub(super) fn is_asked(&self) -> bool {
        self.boot != How::None
    }

    /// Whether firmware boots the disk.
    pub(super) fn is_uefi(&self) -> bool {
        self.boot == How::Uefi
    }

    /// Refuses what does not go together with other options.
    pub(super) fn check(&self, target: Option<Target>) -> Result<(), Failure> {
        let wrong = |problem: &str, hint: &str| {
            Err(Failure::Usage { problem: problem.to_owned(), hint: Some(hint.to_owned()) })
        };
        match (self.boot, target) {
            (How::Uefi, Some(Target::Wsl)) => wrong(
                "WSL takes a disk without partitions, and --boot uefi makes some",
                "leave out --boot: WSL has a kernel",
            ),
            _ => Ok(()),
        }
    }

    fn kernel(&self, image: &ImageSource) -> Result<KernelSource, Failure> {
        let Some(text) = &self.kernel else {
            return match image {
                // It can be read once, and the kernel is looked for before.
                ImageSource::At(Source::Tar(TarSource::Stdin)) => Err(Failure::Usage {
                    problem: "the kernel of an image from standard input cannot be found: it is read only once"
                        .to_owned(),
                    hint: Some("write it to a file first, or name a kernel with --kernel FILE".to_owned()),
                }),
                _ => Ok(KernelSource::Own),
            };
        };
        let path = PathBuf::from(text);
        // A path is one even where nothing is: an error about a registry would lead away from it.
        let is_path = text.to_str().is_some_and(|text| text.starts_with(['/', '.']));
        if is_path || path.is_file() {
            return Ok(KernelSource::File(path));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ["vmlinu", "bzImage", "Image"].iter().any(|start| name.starts_with(start)) && !name.contains([':', '@']) {
            let shown = line(&text.to_string_lossy());
            return Err(Failure::Usage {
                problem: format!("--kernel {shown}: there is no such file, and it is hardly the name of an image"),
                hint: Some(format!("check the path; --kernel docker://{shown} is an image in a registry")),
            });
        }
        Ok(KernelSource::Image(source::image(text)?))
    }
}
