//! What to do about a disk that cannot be made bootable.

use cvbake::booting::Error as BootError;
use cvbake::disk::fat;
use cvbake::error::Error;

const A_KERNEL: &str = "--kernel FILE takes one from this machine, such as a bzImage that `apt-get download linux-image-cloud-amd64` and `dpkg -x` \
     give; --kernel IMAGE takes one from another image";
const MODULES: &str =
    "--modules DIR names the modules of that kernel; without any, the kernel must have the drivers of disks built in";

pub(super) fn of(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Boot(error) => return of_boot(error),
        Error::Esp(fat::Error::NoRoom { .. }) => "choose a larger --esp-size",
        Error::Esp(_) => "choose another --esp-size: 34M or more, or 260M with --vhdx-sector-size 4096",
        Error::StubMissing { .. } => {
            "--stub FILE names one; on Debian and Ubuntu it is in the package systemd-boot-efi; --boot direct needs none"
        }
        Error::LoaderMissing { .. } => {
            "--loader FILE names one; on Debian and Ubuntu it is in the package systemd-boot-efi; without --loader, UEFI starts the kernel itself"
        }
        Error::ModuleArchive { .. } => MODULES,
        Error::HashTreePlace { .. } => {
            "--verity alone puts it into a partition with --boot uefi, and behind the filesystem otherwise"
        }
        Error::KernelArchitecture { .. } => {
            "--platform chooses the image for another processor; --kernel chooses another kernel"
        }
        _ => return None,
    })
}

fn of_boot(error: &BootError) -> Option<&'static str> {
    Some(match error {
        BootError::NoKernel { .. } | BootError::KernelMissing { .. } => A_KERNEL,
        BootError::KernelAmbiguous { .. } => "--kernel FILE names one of them, copied out of the image",
        BootError::NoModules { .. }
        | BootError::ModuleMissing { .. }
        | BootError::ModuleVersion { .. }
        | BootError::Dependency { .. } => MODULES,
        BootError::NoInit { .. } => "run a cvbake for that processor, or under an emulator of it",
        BootError::NoEfi { .. } => "choose a bzImage, or --boot direct",
        BootError::CommandLine { .. } => "choose a shorter --append",
        BootError::NoLoader { .. } => {
            "--loader FILE names another, such as systemd-bootx64.efi in the Debian package systemd-boot-efi"
        }
        BootError::NoStub { .. } => {
            "--stub FILE names another; on Debian and Ubuntu it is linuxx64.efi.stub in the package systemd-boot-efi"
        }
        _ => return None,
    })
}
