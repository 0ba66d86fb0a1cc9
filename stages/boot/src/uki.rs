//! A unified kernel image: a program for UEFI that has a kernel, an initramfs and a command line in
//! it.
//!
//! It is systemd's stub with more sections, which the stub finds by their names. Specification:
//! UAPI.5, and "PE Format" of Microsoft.

use std::ops::Range;

use crate::{Architecture, Error};

/// A program that starts the kernel that is put into it.
#[derive(Debug, Clone)]
pub struct Stub {
    name: String,
    content: Vec<u8>,
    /// Where its headers are.
    coff: usize,
    optional: usize,
    table: usize,
    sections: u16,
    section_alignment: u32,
    file_alignment: u32,
    /// Where the next section goes in memory.
    end: u32,
}

/// What is put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sections<'a> {
    /// What the system is called, in the form of `/etc/os-release`.
    pub os_release: &'a str,
    /// The command line.
    pub command_line: &'a str,
    /// The kernel's version.
    pub version: Option<&'a str>,
    /// The initramfs.
    pub initramfs: &'a [u8],
    /// The kernel.
    pub kernel: &'a [u8],
}

const SECTION_HEADER: usize = 40;
/// More than any linker makes.
const MAX_SECTIONS: u16 = 96;
/// How many are added at most.
const ADDED: usize = 5;

const IMAGE_SCN_CNT_INITIALIZED_DATA: u32 = 0x0000_0040;
const IMAGE_SCN_MEM_READ: u32 = 0x4000_0000;

// Where fields of the optional header are.
const SIZE_OF_INITIALIZED_DATA: usize = 8;
const SECTION_ALIGNMENT: usize = 32;
const FILE_ALIGNMENT: usize = 36;
const SIZE_OF_IMAGE: usize = 56;
const SIZE_OF_HEADERS: usize = 60;
const CHECK_SUM: usize = 64;
const SUBSYSTEM: usize = 68;
const NUMBER_OF_RVA_AND_SIZES: usize = 108;
const CERTIFICATE_TABLE: usize = 112 + 4 * 8;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

const CUT: &str = "it is cut short";

/// Where the headers of a program for UEFI are.
pub(crate) struct Headers {
    coff: usize,
    optional: usize,
    /// The headers of its sections, and how many there are.
    table: usize,
    sections: u16,
}

impl Headers {
    /// Looks at a file; what is wrong with it where it is no such program.
    pub(crate) fn find(content: &[u8], architecture: Architecture) -> Result<Headers, &'static str> {
        const NONE: &str = "it is no program for UEFI";
        const PE32_PLUS: u16 = 0x20b;
        const EFI_APPLICATION: u16 = 10;
        if !content.starts_with(b"MZ") {
            return Err(NONE);
        }
        let pe = usize::try_from(u32_at(content, 0x3c).ok_or(CUT)?).expect("32 bits fit");
        if content.get(pe..).is_none_or(|rest| !rest.starts_with(b"PE\0\0")) {
            return Err(NONE);
        }
        let coff = pe + 4;
        if u16_at(content, coff) != Some(architecture.pe_machine()) {
            return Err("it is for another architecture than the kernel");
        }
        let sections = u16_at(content, coff + 2).ok_or(CUT)?;
        let optional = coff + 20;
        let optional_len = usize::from(u16_at(content, coff + 16).ok_or(CUT)?);
        let is_known = u16_at(content, optional) == Some(PE32_PLUS) && optional_len >= CERTIFICATE_TABLE + 8;
        if !is_known || u16_at(content, optional + SUBSYSTEM) != Some(EFI_APPLICATION) || sections > MAX_SECTIONS {
            return Err("it is no application for UEFI of 64 bits");
        }
        Ok(Headers { coff, optional, table: optional + optional_len, sections })
    }
}

impl Stub {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it is no stub for that architecture.
    pub fn parse(name: &str, content: Vec<u8>, architecture: Architecture) -> Result<Stub, Error> {
        let wrong = |problem| Error::NoStub { name: name.to_owned(), problem };
        let index = |value: u32| usize::try_from(value).expect("32 bits fit");
        let Headers { coff, optional, table, sections } = Headers::find(&content, architecture).map_err(wrong)?;
        let field = |at| u32_at(&content, optional + at).ok_or(wrong(CUT));
        let (section_alignment, file_alignment) = (field(SECTION_ALIGNMENT)?, field(FILE_ALIGNMENT)?);
        let is_alignment = |value: u32| value.is_power_of_two() && (16..=65536).contains(&value);
        if !is_alignment(section_alignment) || !is_alignment(file_alignment) {
            return Err(wrong("its sections have no alignment"));
        }
        let (mut end, mut raw_end, mut raw_sum) = (0, 0_u32, 0_u64);
        let mut first = u32::MAX;
        for number in 0..usize::from(sections) {
            let header = content.get(table + number * SECTION_HEADER..).and_then(|rest| rest.get(..SECTION_HEADER));
            let header = header.ok_or(wrong(CUT))?;
            if is_added(&header[..8]) {
                return Err(wrong("it has a kernel already"));
            }
            let field = |at| u32_at(header, at).expect("a header has forty bytes");
            let (virtual_size, address, raw_size, raw) = (field(8), field(12), field(16), field(20));
            let in_file = raw.checked_add(raw_size).is_some_and(|end| index(end) <= content.len());
            let section_end = address.checked_add(virtual_size.max(raw_size));
            let Some(section_end) = section_end.filter(|_| in_file) else { return Err(wrong(CUT)) };
            end = end.max(section_end);
            if raw_size > 0 {
                (first, raw_end) = (first.min(raw), raw_end.max(raw + raw_size));
                raw_sum += u64::from(raw_size);
            }
        }
        if raw_sum > content.len() as u64 {
            return Err(wrong("its sections overlap"));
        }
        let room = field(SIZE_OF_HEADERS)?.min(first);
        let headers_end = table + (usize::from(sections) + ADDED) * SECTION_HEADER;
        if headers_end > index(room).min(content.len()) {
            return Err(wrong("there is no room in its headers for five more sections"));
        }
        if certificates(&content, optional).is_some_and(|range| range.start < index(raw_end).max(headers_end)) {
            return Err(wrong("its signature is not behind its sections"));
        }
        let name = name.to_owned();
        Ok(Stub { name, content, coff, optional, table, sections, section_alignment, file_alignment, end })
    }

    /// What its file is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file, as it was.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The stub with all that in it.
    ///
    /// # Errors
    /// When that is more than a program for UEFI holds.
    pub fn unified(&self, sections: &Sections<'_>) -> Result<Vec<u8>, Error> {
        let too_large = || Error::NoStub { name: self.name.clone(), problem: "with the kernel it has more than 4 GiB" };
        let added = [
            (b".osrel\0\0", Some(sections.os_release.as_bytes())),
            (b".cmdline", Some(sections.command_line.as_bytes())),
            (b".uname\0\0", sections.version.map(str::as_bytes)),
            (b".initrd\0", Some(sections.initramfs)),
            (b".linux\0\0", Some(sections.kernel)),
        ];
        let mut image = self.without_signature();
        let mut address = self.end;
        let mut count = self.sections;
        let mut data = u32_at(&image, self.optional + SIZE_OF_INITIALIZED_DATA).unwrap_or(0);
        for (name, content) in added.into_iter().filter_map(|(name, content)| Some((name, content?))) {
            let narrow = |len: usize| u32::try_from(len).map_err(|_| too_large());
            let file_alignment = usize::try_from(self.file_alignment).expect("32 bits fit");
            image.resize(image.len().next_multiple_of(file_alignment), 0);
            address = address.checked_next_multiple_of(self.section_alignment).ok_or_else(too_large)?;
            let size = narrow(content.len())?;
            let raw_size = size.checked_next_multiple_of(self.file_alignment).ok_or_else(too_large)?;
            let raw = narrow(image.len())?;
            let mut header = [0; SECTION_HEADER];
            header[..8].copy_from_slice(name);
            let flags = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ;
            for (at, value) in [(8, size), (12, address), (16, raw_size), (20, raw), (36, flags)] {
                header[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            let at = self.table + usize::from(count) * SECTION_HEADER;
            image[at..at + SECTION_HEADER].copy_from_slice(&header);
            image.extend_from_slice(content);
            image.resize(image.len().next_multiple_of(file_alignment), 0);
            address = address.checked_add(size).ok_or_else(too_large)?;
            data = data.checked_add(raw_size).ok_or_else(too_large)?;
            count += 1;
        }
        let size = address.checked_next_multiple_of(self.section_alignment).ok_or_else(too_large)?;
        image[self.coff + 2..self.coff + 4].copy_from_slice(&count.to_le_bytes());
        let mut put = |at: usize, value: u32| {
            image[self.optional + at..self.optional + at + 4].copy_from_slice(&value.to_le_bytes());
        };
        put(SIZE_OF_INITIALIZED_DATA, data);
        put(SIZE_OF_IMAGE, size);
        put(CHECK_SUM, 0);
        let sum = check_sum(&image).ok_or_else(too_large)?;
        let at = self.optional + CHECK_SUM;
        image[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        Ok(image)
    }

    /// The stub without a signature, which would not be right any more.
    fn without_signature(&self) -> Vec<u8> {
        let mut image = self.content.clone();
        if let Some(range) = certificates(&image, self.optional) {
            let at = self.optional + CERTIFICATE_TABLE;
            image[at..at + 8].fill(0);
            // It is the last thing in the file, and where it is not it does no harm.
            if range.end == image.len() {
                image.truncate(range.start);
            }
        }
        image
    }
}

/// Where a signature is, if there is one.
fn certificates(content: &[u8], optional: usize) -> Option<Range<usize>> {
    const CERTIFICATES: u32 = 4;
    u32_at(content, optional + NUMBER_OF_RVA_AND_SIZES).filter(|count| *count > CERTIFICATES)?;
    let at = optional + CERTIFICATE_TABLE;
    let (offset, len) = u32_at(content, at).zip(u32_at(content, at + 4))?;
    let index = |value: u32| usize::try_from(value).expect("32 bits fit");
    (offset != 0 && len != 0).then(|| index(offset)..index(offset) + index(len))
}

fn is_added(name: &[u8]) -> bool {
    [&b".linux\0\0"[..], b".initrd\0", b".cmdline"].contains(&name)
}

/// The checksum of a program: sixteen bits at a time with the carry, and the length.
fn check_sum(image: &[u8]) -> Option<u32> {
    let word = |pair: &[u8]| u64::from(u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = image.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u32::try_from(sum + image.len() as u64).ok()
}

#[cfg(test)]
mod tests;
