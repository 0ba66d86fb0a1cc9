//! EFI programs: their sections, and the hash by which firmware knows them.
//!
//! Specification: "PE Format" of Microsoft; names of fields are those in it.

use ring::digest::{Context, SHA256};

use crate::error::Error;
use crate::pcr::Sha256;

/// How many sections an image may have: what the specification says loaders take.
pub const MAX_SECTIONS: u16 = 96;

/// A program, taken apart.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    bytes: &'a [u8],
    size_of_headers: usize,
    /// Where `CheckSum` is.
    check_sum: usize,
    /// Where the entry of the attribute certificate table is, if there is one, and its `Size`.
    certificates: Option<(usize, usize)>,
    sections: Vec<Section<'a>>,
}

/// A part of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    name: [u8; 8],
    virtual_size: u32,
    pointer: usize,
    raw: &'a [u8],
}

impl<'a> Section<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        &self.name[..end]
    }

    /// What it has in memory.
    ///
    /// # Errors
    /// When that is more than it has in the file.
    pub fn content(&self) -> Result<&'a [u8], Error> {
        let size = usize::try_from(self.virtual_size).unwrap_or(usize::MAX);
        self.raw.get(..size).ok_or_else(|| Error::NotInFile {
            name: self.name().escape_ascii().to_string(),
            virtual_size: self.virtual_size,
            raw_size: u32::try_from(self.raw.len()).unwrap_or(u32::MAX),
        })
    }
}

/// Integers at offsets, as far as there are any.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn get<const N: usize>(self, offset: usize, what: &str) -> Result<[u8; N], Error> {
        let found = self.0.get(offset..).and_then(|rest| rest.first_chunk());
        found.copied().ok_or_else(|| cut_off(what, offset.saturating_add(N), self.0))
    }

    fn u16(self, offset: usize, what: &str) -> Result<u16, Error> {
        self.get(offset, what).map(u16::from_le_bytes)
    }

    fn u32(self, offset: usize, what: &str) -> Result<u32, Error> {
        self.get(offset, what).map(u32::from_le_bytes)
    }

    fn size(self, offset: usize, what: &str) -> Result<usize, Error> {
        // Whoever has fewer bits for a length has no such image.
        Ok(usize::try_from(self.u32(offset, what)?).unwrap_or(usize::MAX))
    }
}

fn cut_off(what: &str, end: usize, bytes: &[u8]) -> Error {
    Error::CutOff { what: what.to_owned(), end: end as u64, len: bytes.len() as u64 }
}

impl<'a> Image<'a> {
    /// Takes a program apart.
    ///
    /// # Errors
    /// When it is none, or something is not in it that it says it has.
    pub fn parse(bytes: &'a [u8]) -> Result<Image<'a>, Error> {
        const COFF_HEADER: usize = 20;
        const SECTION_HEADER: usize = 40;
        let fields = Fields(bytes);
        let not = |expected, offset: usize| Err(Error::NotPe { expected, offset: offset as u64 });
        if !bytes.starts_with(b"MZ") {
            return not("\"MZ\"", 0);
        }
        let pe = fields.size(0x3c, "the offset of the PE header")?;
        if fields.get::<4>(pe, "the PE signature")? != *b"PE\0\0" {
            return not("\"PE\\0\\0\"", pe);
        }
        let coff = pe + 4;
        let count = fields.u16(coff + 2, "the COFF header")?;
        if count > MAX_SECTIONS {
            return Err(Error::TooManySections { found: count, max: MAX_SECTIONS });
        }
        let optional = coff + COFF_HEADER;
        let table = optional + usize::from(fields.u16(coff + 16, "the COFF header")?);
        let directories = match fields.u16(optional, "the optional header")? {
            0x10b => optional + 96,
            0x20b => optional + 112,
            _ => return not("the magic of an optional header", optional),
        };
        let size_of_headers = fields.size(optional + 60, "the optional header")?;
        let end_of_table = table + usize::from(count) * SECTION_HEADER;
        let inner_end = end_of_table.max(directories).max(size_of_headers);
        if inner_end > bytes.len() || size_of_headers < end_of_table.max(directories) {
            return Err(cut_off("the headers", inner_end, bytes));
        }
        const CERTIFICATES: usize = 4;
        let has_certificates = fields.size(directories - 4, "the optional header")? > CERTIFICATES;
        let entry = directories + CERTIFICATES * 8;
        let certificates = match has_certificates {
            true if entry + 8 > size_of_headers => return Err(cut_off("the data directories", entry + 8, bytes)),
            true => Some((entry, fields.size(entry + 4, "the data directories")?)),
            false => None,
        };
        let sections = (0..usize::from(count)).map(|number| {
            let header = table + number * SECTION_HEADER;
            let what = "a section header";
            let (size, pointer) = (fields.size(header + 16, what)?, fields.size(header + 20, what)?);
            let name = fields.get(header, what)?;
            // Without bytes in the file, where they would be says nothing.
            let end = pointer.saturating_add(size);
            let raw = if size == 0 { Some(&[][..]) } else { bytes.get(pointer..end) };
            let raw = raw.ok_or_else(|| cut_off(&format!("section {}", name.escape_ascii()), end, bytes))?;
            Ok(Section { name, virtual_size: fields.u32(header + 8, what)?, pointer, raw })
        });
        Ok(Image {
            bytes,
            size_of_headers,
            check_sum: optional + 64,
            certificates,
            sections: sections.collect::<Result<_, Error>>()?,
        })
    }

    /// Its parts, in the order of their headers.
    #[must_use]
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The only section of a name, if there is one.
    ///
    /// # Errors
    /// When there are several.
    pub fn section(&self, name: &'static str) -> Result<Option<&Section<'a>>, Error> {
        let mut named = self.sections.iter().filter(|section| section.name() == name.as_bytes());
        match (named.next(), named.next()) {
            (_, Some(_)) => Err(Error::Twice { name }),
            (found, None) => Ok(found),
        }
    }

    /// The hash that is signed, and that firmware measures: of all but what a signature changes.
    #[must_use]
    pub fn authenticode(&self) -> Sha256 {
        let mut context = Context::new(&SHA256);
        context.update(&self.bytes[..self.check_sum]);
        let behind = self.check_sum + 4;
        match self.certificates {
            None => context.update(&self.bytes[behind..self.size_of_headers]),
            Some((entry, _)) => {
                context.update(&self.bytes[behind..entry]);
                context.update(&self.bytes[entry + 8..self.size_of_headers]);
            }
        }
        let mut sections: Vec<_> = self.sections.iter().filter(|section| !section.raw.is_empty()).collect();
        sections.sort_by_key(|section| section.pointer);
        sections.iter().for_each(|section| context.update(section.raw));
        // What is counted is what was hashed, wherever that is, as firmware counts it.
        let hashed = sections.iter().fold(self.size_of_headers, |sum, section| sum.saturating_add(section.raw.len()));
        let signed = self.certificates.map_or(0, |(_, size)| size);
        if let Some(rest) = self.bytes.len().checked_sub(signed).and_then(|end| self.bytes.get(hashed..end)) {
            context.update(rest);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}
