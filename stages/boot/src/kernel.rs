//! Kernels: what a file is, and which version.

use std::sync::Arc;

use crate::{Architecture, Error, Files};

/// A kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What its file is called.
    pub name: String,
    /// The file.
    pub content: Arc<[u8]>,
    /// What kind of file it is.
    pub format: KernelFormat,
    /// What it is for.
    pub architecture: Architecture,
    /// Its version, as `uname -r` says it; not every file says one.
    pub version: Option<String>,
}

/// Kinds of files that kernels are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelFormat {
    /// What distributions have on x86-64.
    BzImage {
        /// Whether UEFI can start it.
        efi: bool,
    },
    /// An ELF file that hypervisors start by its PVH entry.
    Vmlinux,
    /// What distributions have on arm64.
    Arm64Image {
        /// Whether UEFI can start it.
        efi: bool,
    },
}

impl KernelFormat {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KernelFormat::BzImage { .. } => "bzImage",
            KernelFormat::Vmlinux => "vmlinux",
            KernelFormat::Arm64Image { .. } => "Image",
        }
    }

    /// Whether UEFI can start it.
    #[must_use]
    pub fn is_efi(self) -> bool {
        matches!(self, KernelFormat::BzImage { efi: true } | KernelFormat::Arm64Image { efi: true })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl Kernel {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it is no kernel.
    pub fn parse(name: &str, content: Vec<u8>) -> Result<Kernel, Error> {
        let wrong = |problem| Error::NoKernel { name: name.to_owned(), problem };
        let is_efi = content.starts_with(b"MZ");
        let (format, architecture, version) = if content.get(0x202..0x206) == Some(b"HdrS") {
            (KernelFormat::BzImage { efi: is_efi }, Architecture::X86_64, setup_version(&content).map_err(wrong)?)
        } else if content.get(56..60) == Some(b"ARM\x64") {
            (KernelFormat::Arm64Image { efi: is_efi }, Architecture::Arm64, banner(&content))
        } else if content.starts_with(b"\x7fELF") {
            check_elf(&content).map_err(wrong)?;
            (KernelFormat::Vmlinux, Architecture::X86_64, banner(&content))
        } else {
            return Err(wrong(match content.get(..4) {
                None => "it has less than four bytes",
                Some([0x1f, 0x8b, ..]) => "it is compressed with gzip",
                Some([0x28, 0xb5, 0x2f, 0xfd]) => "it is compressed with zstd",
                Some(_) => "it has no signature of one",
            }));
        };
        Ok(Kernel { name: name.to_owned(), content: content.into(), format, architecture, version })
    }

    /// The kernel of a tree: as linuxkit's images have it, as distributions do, or as bootc's
    /// images do.
    ///
    /// # Errors
    /// When there is none, there are several, or it is none.
    pub fn find(files: &dyn Files) -> Result<Kernel, Error> {
        let mut found = Vec::new();
        if files.names("")?.iter().any(|name| name == "kernel") {
            found.push("kernel".to_owned());
        }
        if found.is_empty() {
            for modules in ["usr/lib/modules", "lib/modules"] {
                for version in files.names(modules)? {
                    let directory = format!("{modules}/{version}");
                    if files.names(&directory)?.iter().any(|name| name == "vmlinuz") {
                        found.push(format!("{directory}/vmlinuz"));
                    }
                }
                // The one is often a link to the other.
                if !found.is_empty() {
                    break;
                }
            }
        }
        if found.is_empty() {
            let is_kernel = |name: &String| {
                name == "vmlinux" || name == "Image" || name.starts_with("vmlinuz") && !name.contains("rescue")
            };
            let names: Vec<String> = files.names("boot")?.into_iter().filter(is_kernel).collect();
            // `vmlinuz` is a link to one with a version.
            let versioned: Vec<String> = names.iter().filter(|name| name.contains('-')).cloned().collect();
            let names = if versioned.is_empty() { names } else { versioned };
            found.extend(names.into_iter().map(|name| format!("boot/{name}")));
        }
        let place = files.name();
        match found.as_slice() {
            [] => Err(Error::KernelMissing { place }),
            [one] => match files.read(one)? {
                Some(content) => Kernel::parse(&format!("{place}: {one}"), content),
                None => Err(Error::KernelMissing { place }),
            },
            [one, other, ..] => Err(Error::KernelAmbiguous { place, one: one.clone(), other: other.clone() }),
        }
    }
}

/// The version that a bzImage says in its header.
fn setup_version(content: &[u8]) -> Result<Option<String>, &'static str> {
    if content.get(0x1fe..0x200) != Some(&[0x55, 0xaa]) {
        return Err("its boot sector has no signature");
    }
    // Since version 2.06 the command line may be longer than 255 bytes.
    if u16_at(content, 0x206).is_none_or(|version| version < 0x0206) {
        return Err("it is of before 2007");
    }
    // Bit 0 of what it can do: it starts in 64-bit mode.
    if u16_at(content, 0x236).is_none_or(|flags| flags & 1 == 0) {
        return Err("it is for 32 bits");
    }
    let at = usize::from(u16_at(content, 0x20e).unwrap_or(0));
    Ok((at != 0).then(|| first_word(content.get(at + 0x200..).unwrap_or_default())).flatten())
}

/// A version: letters, digits and a few other characters.
fn first_word(text: &[u8]) -> Option<String> {
    /// Longer than a kernel's, which has 64.
    const MAX: usize = 128;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._+~".contains(byte);
    let end = text.iter().take(MAX).position(|byte| !is_part(byte))?;
    String::from_utf8(text[..end].to_vec()).ok().filter(|word| !word.is_empty())
}

/// What a kernel says first when it starts, if it is not compressed.
fn banner(content: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let mut rest = content;
    while let Some(at) = find(rest, BANNER) {
        rest = &rest[at + BANNER.len()..];
        // Formats of messages have the same words.
        if let Some(version) =
            first_word(rest).filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
        {
            return Some(version);
        }
    }
    None
}

/// Where one text is in another. Fast enough for kernels: most bytes are not the first.
pub(crate) fn find(content: &[u8], text: &[u8]) -> Option<usize> {
    let (&first, _) = text.split_first()?;
    let mut from = 0;
    loop {
        from += content.get(from..)?.iter().position(|&byte| byte == first)?;
        if content[from..].starts_with(text) {
            return Some(from);
        }
        from += 1;
    }
}

/// Whether an ELF file is a kernel that a hypervisor starts: it has a note with an entry.
fn check_elf(content: &[u8]) -> Result<(), &'static str> {
    const EM_X86_64: u16 = 62;
    const PT_NOTE: u32 = 4;
    /// More than any kernel's.
    const MAX_HEADERS: u16 = 256;
    const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
    /// Kernels have less than a KiB of notes. All segments may be the same, and notes be short.
    const MAX_NOTES: usize = 1 << 20;
    if content.get(4..6) != Some(&[2, 1]) || u16_at(content, 18) != Some(EM_X86_64) {
        return Err("it is an ELF file for other than x86-64");
    }
    let headers = u64_at(content, 32).and_then(|offset| usize::try_from(offset).ok()).ok_or("it is cut short")?;
    let count = u16_at(content, 56).filter(|&count| count <= MAX_HEADERS).ok_or("it has too many segments")?;
    for number in 0..usize::from(count) {
        let header = headers.checked_add(number * 56).and_then(|at| content.get(at..)?.get(..56));
        let header = header.ok_or("it is cut short")?;
        if u32_at(header, 0) != Some(PT_NOTE) {
            continue;
        }
        let range = u64_at(header, 8).zip(u64_at(header, 32));
        let notes = range.and_then(|(offset, len)| {
            let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
            content.get(offset..offset.checked_add(len)?)
        });
        let mut notes = notes.ok_or("it is cut short")?;
        if notes.len() > MAX_NOTES {
            return Err("it has more than a MiB of notes");
        }
        while let Some((name, value, kind)) = u32_at(notes, 0)
            .zip(u32_at(notes, 4))
            .zip(u32_at(notes, 8))
            .and_then(|((name, value), kind)| Some((usize::try_from(name).ok()?, usize::try_from(value).ok()?, kind)))
        {
            if kind == XEN_ELFNOTE_PHYS32_ENTRY && notes.get(12..15) == Some(b"Xen") {
                return Ok(());
            }
            let len =
                [name, value].iter().try_fold(12_usize, |sum, len| sum.checked_add(len.checked_next_multiple_of(4)?));
            notes = len.and_then(|len| notes.get(len..)).unwrap_or_default();
        }
    }
    Err("it is an ELF file without a PVH entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with the fields that are looked at.
    pub(crate) fn bz_image(version: &str) -> Vec<u8> {
        let mut image = vec![0; 4096];
        image[..2].copy_from_slice(b"MZ");
        image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x236] = 1;
        image[0x20e..0x210].copy_from_slice(&0x600_u16.to_le_bytes());
        let text = format!("{version} (builder@machine) #1 SMP");
        image[0x800..0x800 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    fn vmlinux() -> Vec<u8> {
        let mut elf = vec![0; 4096];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        elf[32] = 64;
        elf[56] = 2;
        let note = 64 + 56;
        elf[note] = 4;
        elf[note + 8..note + 10].copy_from_slice(&1024_u16.to_le_bytes());
        elf[note + 32] = 64;
        // Another note in front of the one.
        elf[1024..1024 + 16].copy_from_slice(&[4, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, b'G', b'N', b'U', 0]);
        elf[1048..1048 + 16].copy_from_slice(&[4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0]);
        elf[2000..2030].copy_from_slice(b"Linux version %s Linux version");
        elf[2030..2040].copy_from_slice(b" 6.12.1-x ");
        elf
    }

    #[test]
    fn kernels() {
        let kernel = Kernel::parse("k", bz_image("6.1.0-57-cloud-amd64")).unwrap();
        assert_eq!((kernel.format, kernel.architecture), (KernelFormat::BzImage { efi: true }, Architecture::X86_64));
        assert_eq!(kernel.version.as_deref(), Some("6.1.0-57-cloud-amd64"));
        let kernel = Kernel::parse("k", vmlinux()).unwrap();
        assert_eq!((kernel.format, kernel.version.as_deref()), (KernelFormat::Vmlinux, Some("6.12.1-x")));
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"ARM\x64");
        let kernel = Kernel::parse("k", image).unwrap();
        assert_eq!((kernel.architecture, kernel.format.is_efi()), (Architecture::Arm64, false));
    }

    #[test]
    fn what_is_none() {
        let says = |content: Vec<u8>| Kernel::parse("k", content).unwrap_err().to_string();
        let set = |mut content: Vec<u8>, at: usize, value: u8| {
            content[at] = value;
            content
        };
        let mut long_notes = set(vmlinux(), 64 + 56 + 34, 0x20);
        long_notes.resize(4 << 20, 0);
        for (content, problem) in [
            (vec![], "less than four bytes"),
            (vec![0x1f, 0x8b, 0, 0], "compressed with gzip"),
            (b"not a kernel".to_vec(), "no signature"),
            (set(bz_image("1"), 0x1fe, 0), "boot sector"),
            (set(bz_image("1"), 0x206, 5), "before 2007"),
            (set(bz_image("1"), 0x236, 0), "32 bits"),
            (set(vmlinux(), 18, 3), "other than x86-64"),
            (set(vmlinux(), 57, 2), "too many segments"),
            (set(vmlinux(), 39, 1), "cut short"),
            (set(vmlinux(), 64 + 56 + 15, 0xff), "cut short"),
            (set(vmlinux(), 1056, 17), "without a PVH entry"),
            (set(vmlinux(), 1031, 0xff), "without a PVH entry"),
            (long_notes, "more than a MiB of notes"),
        ] {
            let error = says(content);
            assert!(error.contains(problem), "{error}, expected {problem}");
        }
        // A version outside of the file is none.
        let kernel = Kernel::parse("k", set(bz_image("1"), 0x20f, 0xff)).unwrap();
        assert_eq!(kernel.version, None);
    }
}
