//! What is on the boot partition.
//!
//! | who starts the disk | by what |
//! |---|---|
//! | UEFI | `EFI/BOOT/BOOTX64.EFI`, a unified kernel image, or the boot loader |
//! | the boot loader, such as systemd-boot | the entry, or `EFI/Linux/cvbake.efi` |
//! | the firmware of Cloud Hypervisor | `loader/entries/cvbake.conf`, named in `loader/loader.conf` |
//!
//! Specifications: UAPI.1 (entries) and UAPI.5 (unified kernel images).

use std::sync::Arc;

use cvbake_disk::fat::File;

use crate::{Error, Initramfs, Kernel, Loader, Sections, Stub};

/// What the system is called where one of several is chosen. Not the image's name: the same files
/// are the same disk, whatever they are called.
const OS_RELEASE: &str = "ID=cvbake\nNAME=cvbake\nPRETTY_NAME=cvbake\n";

/// The longest command line that all kernels for a processor take whole: that of x86-64, less its
/// zero.
const MAX_COMMAND_LINE: usize = 2047;

/// Checks what is said to the kernel.
///
/// # Errors
/// When it would be cut, or is more than a line.
pub fn check_command_line(line: &str) -> Result<(), Error> {
    let is_line = !line.bytes().any(|byte| byte.is_ascii_control());
    match line.len() <= MAX_COMMAND_LINE && is_line {
        true => Ok(()),
        false => Err(Error::CommandLine { found: line.len(), max: MAX_COMMAND_LINE }),
    }
}

/// The unified kernel image that UEFI starts.
///
/// # Errors
/// When the kernel can't be started by UEFI, or the command line is too long.
pub fn unified(kernel: &Kernel, initramfs: &Initramfs, stub: &Stub, command_line: &str) -> Result<Vec<u8>, Error> {
    if !kernel.format.is_efi() {
        return Err(Error::NoEfi { name: kernel.name.clone(), found: kernel.format.name() });
    }
    check_command_line(command_line)?;
    stub.unified(&Sections {
        os_release: OS_RELEASE,
        command_line,
        version: kernel.version.as_deref(),
        initramfs: &initramfs.archive,
        kernel: &kernel.content,
    })
}

/// The files of the boot partition. UEFI starts the boot loader, if there is one.
///
/// # Errors
/// As [`unified`].
pub fn esp_files(
    kernel: &Kernel,
    initramfs: &Initramfs,
    stub: &Stub,
    loader: Option<&Loader>,
    command_line: &str,
) -> Result<Vec<File>, Error> {
    let unified: Arc<[u8]> = unified(kernel, initramfs, stub, command_line)?.into();
    let version = kernel.version.as_ref().map(|version| format!("version {version}\n")).unwrap_or_default();
    let entry = format!("title cvbake\n{version}linux /cvbake/linux\ninitrd /cvbake/initrd\noptions {command_line}\n");
    let file = |path: &str, content: Arc<[u8]>| File { path: path.to_owned(), content };
    let text = |text: &str| Arc::from(text.as_bytes());
    let first = loader.map_or(&unified, |loader| &loader.content);
    let mut files = vec![
        file(kernel.architecture.default_loader(), Arc::clone(first)),
        file("EFI/Linux/cvbake.efi", unified),
        file("loader/loader.conf", text("default cvbake.conf\n")),
        file("loader/entries/cvbake.conf", text(&entry)),
        file("cvbake/linux", Arc::clone(&kernel.content)),
        file("cvbake/initrd", initramfs.archive.as_slice().into()),
    ];
    if let Some(loader) = loader {
        // Where `bootctl update` looks for it, on the running machine.
        let path = format!("EFI/systemd/{}", kernel.architecture.systemd_boot_name());
        files.push(file(&path, Arc::clone(&loader.content)));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let line = "root=LABEL=x ".repeat(157);
        assert!(check_command_line(&line).is_ok() && check_command_line("").is_ok());
        let says = |line: &str| check_command_line(line).unwrap_err().to_string();
        let expected = "the command line has 2054 bytes, expected at most 2047, in one line";
        assert_eq!(says(&"root=LABEL=x ".repeat(158)), expected);
        assert!(says("a\nb").contains("in one line"));
    }
}
