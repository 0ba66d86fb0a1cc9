//! How a differencing disk names its parent.

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::format::{ParentLocatorEntry, ParentLocatorHeader, VHDX_LOCATOR};

/// Where the parent of a disk is, and how it is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// What the parent calls its content, as a UUID is written.
    pub parent_linkage: [u8; 16],
    /// Where the parent is, seen from the child, with `\\` between names.
    pub relative_path: Option<String>,
    /// Where the parent is on a machine with Windows: `\\?\C:\disks\parent.vhdx`.
    pub absolute_win32_path: Option<String>,
}

const LINKAGE: &str = "parent_linkage";
const RELATIVE: &str = "relative_path";
const ABSOLUTE: &str = "absolute_win32_path";

/// How many keys a locator may have. The format has five.
const MAX_KEYS: usize = 64;

impl Locator {
    /// The metadata item.
    pub(crate) fn item(&self) -> Vec<u8> {
        let linkage = braced(self.parent_linkage);
        let paths = [(RELATIVE, &self.relative_path), (ABSOLUTE, &self.absolute_win32_path)];
        let paths = paths.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?)));
        let pairs: Vec<(&str, &str)> = [(LINKAGE, linkage.as_str())].into_iter().chain(paths).collect();
        let count = U16::new(u16::try_from(pairs.len()).expect("three at most"));
        let header = ParentLocatorHeader { locator_type: VHDX_LOCATOR, reserved: U16::ZERO, key_value_count: count };
        let mut table = header.as_bytes().to_vec();
        let mut texts: Vec<u8> = Vec::new();
        let first_text = size_of::<ParentLocatorHeader>() + pairs.len() * size_of::<ParentLocatorEntry>();
        for (key, value) in pairs {
            let mut put = |text: &str| {
                let at = U32::new(u32::try_from(first_text + texts.len()).expect("paths are short"));
                let before = texts.len();
                texts.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
                (at, U16::new(u16::try_from(texts.len() - before).expect("paths are checked to be short")))
            };
            let ((key_offset, key_length), (value_offset, value_length)) = (put(key), put(value));
            let entry = ParentLocatorEntry { key_offset, value_offset, key_length, value_length };
            table.extend_from_slice(entry.as_bytes());
        }
        table.extend_from_slice(&texts);
        table
    }

    /// What a metadata item says; nothing if it is none, or of another type.
    pub(crate) fn parse(item: &[u8]) -> Option<Locator> {
        let (header, rest) = ParentLocatorHeader::read_from_prefix(item).ok()?;
        let count = usize::from(header.key_value_count.get());
        if header.locator_type != VHDX_LOCATOR || count > MAX_KEYS {
            return None;
        }
        let text = |offset, length| text(item, offset, length);
        let mut locator = Locator { parent_linkage: [0; 16], relative_path: None, absolute_win32_path: None };
        let mut has_linkage = false;
        let mut rest = rest;
        for _ in 0..count {
            let (entry, after) = ParentLocatorEntry::read_from_prefix(rest).ok()?;
            rest = after;
            let value = text(entry.value_offset, entry.value_length)?;
            match text(entry.key_offset, entry.key_length)?.as_str() {
                LINKAGE => {
                    locator.parent_linkage = unbraced(&value)?;
                    has_linkage = true;
                }
                RELATIVE => locator.relative_path = Some(value),
                ABSOLUTE => locator.absolute_win32_path = Some(value),
                _ => {}
            }
        }
        has_linkage.then_some(locator)
    }
}

/// The keys in a metadata item; nothing if it is no locator.
pub(crate) fn keys(item: &[u8]) -> Option<Vec<String>> {
    let (header, mut rest) = ParentLocatorHeader::read_from_prefix(item).ok()?;
    let count = usize::from(header.key_value_count.get());
    if header.locator_type != VHDX_LOCATOR || count > MAX_KEYS {
        return None;
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        let (entry, after) = ParentLocatorEntry::read_from_prefix(rest).ok()?;
        rest = after;
        text(item, entry.value_offset, entry.value_length)?;
        keys.push(text(item, entry.key_offset, entry.key_length)?);
    }
    Some(keys)
}

/// A text of an item, in UTF-16.
fn text(item: &[u8], offset: U32, length: U16) -> Option<String> {
    let start = usize::try_from(offset.get()).ok()?;
    let bytes = item.get(start..start.checked_add(length.get().into())?)?;
    let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).ok()
}

/// A UUID in lower case and braces.
pub(crate) fn braced(uuid: [u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{{}-{}-{}-{}-{}}}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn unbraced(text: &str) -> Option<[u8; 16]> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let hex: String = inner.split('-').collect();
    if inner.len() != 36 || hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, at) in uuid.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locator() -> Locator {
        Locator {
            parent_linkage: *b"0123456789abcdef",
            relative_path: Some(r"..\Grüße\parent.vhdx".to_owned()),
            absolute_win32_path: Some(r"\\?\C:\parent.vhdx".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let only_relative = Locator { absolute_win32_path: None, ..locator() };
        for locator in [locator(), only_relative] {
            assert_eq!(Locator::parse(&locator.item()), Some(locator));
        }
        assert_eq!(braced(*b"0123456789abcdef"), "{30313233-3435-3637-3839-616263646566}");
    }

    /// Whatever is cut off or changed, nothing is read that is not there.
    #[test]
    fn damaged_ones() {
        let item = locator().item();
        for len in 0..item.len() {
            assert_ne!(Locator::parse(&item[..len]), Some(locator()), "{len}");
        }
        for at in 0..56 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut other = item.clone();
                other[at] = value;
                let _ = Locator::parse(&other);
            }
        }
        for text in ["", "{}", "{30313233-3435-3637-3839-61626364656é}", "30313233-3435-3637-3839-616263646566"] {
            assert_eq!(unbraced(text), None, "{text}");
        }
    }
}
