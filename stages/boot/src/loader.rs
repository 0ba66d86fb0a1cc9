//! A boot loader: a program for UEFI that is started before the kernel, and finds it on the boot
//! partition.

use std::sync::Arc;

use crate::uki::Headers;
use crate::{Architecture, Error};

/// A boot loader that reads entries of the Boot Loader Specification, and finds unified kernel
/// images in `EFI/Linux`, as systemd-boot does.
#[derive(Debug, Clone)]
pub struct Loader {
    /// What its file is called.
    pub name: String,
    /// The file. It is used as it is: a signature stays right.
    pub content: Arc<[u8]>,
}

impl Loader {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it is no program for UEFI on that architecture.
    pub fn parse(name: &str, content: Vec<u8>, architecture: Architecture) -> Result<Loader, Error> {
        match Headers::find(&content, architecture) {
            Ok(_) => Ok(Loader { name: name.to_owned(), content: content.into() }),
            Err(problem) => Err(Error::NoLoader { name: name.to_owned(), problem }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs() {
        let path = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
        let content = std::fs::read(path).expect("systemd-boot is missing: scripts/setup installs systemd-boot-efi");
        assert!(Loader::parse("l", content.clone(), Architecture::X86_64).is_ok());
        let says = |content: Vec<u8>, architecture| Loader::parse("l", content, architecture).unwrap_err().to_string();
        let error = says(content.clone(), Architecture::Arm64);
        assert_eq!(error, "l is no boot loader for UEFI: it is for another architecture than the kernel");
        assert!(says(b"text".to_vec(), Architecture::X86_64).ends_with("it is no program for UEFI"));
        (0..1000).for_each(|len| drop(Loader::parse("l", content[..len].to_vec(), Architecture::X86_64)));
    }
}
