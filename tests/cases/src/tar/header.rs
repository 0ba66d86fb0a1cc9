//! The 512 bytes in front of every entry.

/// Name, offset and length of the fields, as POSIX (and, from `atime` on, GNU tar) lays them out.
const FIELDS: [(&str, usize, usize); 22] = [
    ("name", 0, 100),
    ("mode", 100, 8),
    ("uid", 108, 8),
    ("gid", 116, 8),
    ("size", 124, 12),
    ("mtime", 136, 12),
    ("chksum", 148, 8),
    ("typeflag", 156, 1),
    ("linkname", 157, 100),
    ("magic", 257, 8),
    ("uname", 265, 32),
    ("gname", 297, 32),
    ("devmajor", 329, 8),
    ("devminor", 337, 8),
    ("prefix", 345, 155),
    ("atime", 345, 12),
    ("ctime", 357, 12),
    ("offset", 369, 12),
    ("sparse", 386, 96),
    ("isextended", 482, 1),
    ("realsize", 483, 12),
    ("rest", 500, 12),
];

/// A header under construction. What is set first stays: later defaults don't overwrite what a
/// fixture asked for.
#[derive(Debug)]
pub struct Header {
    bytes: [u8; 512],
    set: Vec<&'static str>,
}

impl Header {
    /// A header of nothing but its magic and version.
    pub fn new(magic: &[u8]) -> Header {
        let mut bytes = [0; 512];
        bytes[257..257 + magic.len()].copy_from_slice(magic);
        Header { bytes, set: Vec::new() }
    }

    /// Sets a field to these bytes, filled up with NULs.
    pub fn raw(&mut self, field: &str, value: &[u8]) {
        let &(field, offset, len) =
            FIELDS.iter().find(|(name, ..)| *name == field).unwrap_or_else(|| panic!("a header has no field {field}"));
        assert!(value.len() <= len, "{field} holds {len} bytes, not {}", value.len());
        if !self.set.contains(&field) {
            self.bytes[offset..offset + len].fill(0);
            self.bytes[offset..offset + value.len()].copy_from_slice(value);
            self.set.push(field);
        }
    }

    /// Sets a field to a number in octal digits.
    pub fn octal(&mut self, field: &str, value: u64) {
        if self.set.contains(&field) {
            return;
        }
        let width = FIELDS.iter().find(|(name, ..)| *name == field).expect("a field with a number").2 - 1;
        let digits = format!("{value:0width$o}");
        assert!(digits.len() == width, "{value} does not fit {field}: use pax: or b256:");
        self.raw(field, digits.as_bytes());
    }

    /// Sets a field to a number in GNU's form: two's complement, the first bit set as the mark.
    pub fn binary(&mut self, field: &str, value: i128) {
        let width = FIELDS.iter().find(|(name, ..)| *name == field).expect("a field with a number").2;
        let mut bytes = value.to_be_bytes()[16 - width..].to_vec();
        bytes[0] |= 0x80;
        self.raw(field, &bytes);
    }

    /// The header with its checksum.
    pub fn seal(&self) -> [u8; 512] {
        let mut bytes = self.bytes;
        if !self.set.contains(&"chksum") {
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        bytes
    }
}
