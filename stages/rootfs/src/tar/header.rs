//! Header blocks and PAX records.
//!
//! What the header block can't hold stands in records in front of it, and as near as possible in
//! the block: programs that don't know the records see a shortened name or a rounded time, and not
//! an archive that is broken.

use cvbake_tree::{Device, Time};
use tar::EntryType;

/// The unit of the format.
pub(super) const BLOCK: usize = 512;

/// The largest numbers of the octal fields of 8 and of 12 bytes.
const MAX_7_DIGITS: u64 = (1 << 21) - 1;
const MAX_11_DIGITS: u64 = (1 << 33) - 1;

/// How much room a name has in the block.
const NAME: usize = 100;

/// The records of one entry.
#[derive(Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// Adds a record. Its length counts its own digits.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        self.0.extend_from_slice(format!("{len} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The block in front of records.
pub(super) fn extended(len: usize) -> [u8; BLOCK] {
    let mut header = Header::new();
    header.set_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.0.set_size(len as u64);
    // Nobody who knows the type looks at the name.
    header.set_name(b"PaxHeaders/entry");
    header.finish()
}

/// The block of an entry.
pub(super) struct Header(tar::Header);

impl Header {
    pub(super) fn new() -> Header {
        let mut header = tar::Header::new_ustar();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        Header(header)
    }

    /// The bytes with their checksum.
    pub(super) fn finish(&self) -> [u8; BLOCK] {
        let mut header = self.0.clone();
        header.set_cksum();
        *header.as_bytes()
    }

    pub(super) fn set_type(&mut self, entry_type: EntryType) {
        self.0.set_entry_type(entry_type);
    }

    pub(super) fn set_mode(&mut self, mode: u16) {
        self.0.set_mode(mode.into());
    }

    pub(super) fn set_owner(&mut self, uid: u32, gid: u32, records: &mut Records) {
        for (key, id) in [("uid", uid), ("gid", gid)] {
            let id = u64::from(id);
            let fits = id <= MAX_7_DIGITS;
            let shown = if fits { id } else { MAX_7_DIGITS };
            if key == "uid" {
                self.0.set_uid(shown)
            } else {
                self.0.set_gid(shown)
            }
            if !fits {
                records.push(key.as_bytes(), id.to_string().as_bytes());
            }
        }
    }

    pub(super) fn set_size(&mut self, size: u64, records: &mut Records) {
        self.0.set_size(size.min(MAX_11_DIGITS));
        if size > MAX_11_DIGITS {
            records.push(b"size", size.to_string().as_bytes());
        }
    }

    pub(super) fn set_mtime(&mut self, time: Time, records: &mut Records) {
        let shown = u64::try_from(time.secs).unwrap_or(0).min(MAX_11_DIGITS);
        self.0.set_mtime(shown);
        if time != Time::from_secs(shown.cast_signed()) {
            records.push(b"mtime", decimal(time).as_bytes());
        }
    }

    pub(super) fn set_device(&mut self, Device { major, minor }: Device) {
        let ustar = self.0.as_ustar_mut().expect("it was made as one");
        // Numbers that 7 octal digits don't hold, which Linux does not have, are written in binary.
        ustar.set_device_major(major);
        ustar.set_device_minor(minor);
    }

    pub(super) fn set_path(&mut self, path: &[u8], records: &mut Records) {
        if path.len() > NAME {
            records.push(b"path", path);
        }
        self.set_name(path);
    }

    /// The path of a file that is stored without its holes: it stands in a record, so that programs
    /// that don't know the form don't take what they unpack for the file.
    pub(super) fn set_sparse_path(&mut self, path: &[u8], real_size: u64, records: &mut Records) {
        records.push(b"GNU.sparse.major", b"1");
        records.push(b"GNU.sparse.minor", b"0");
        records.push(b"GNU.sparse.name", path);
        records.push(b"GNU.sparse.realsize", real_size.to_string().as_bytes());
        self.set_name(&[b"GNUSparseFile.0/", path].concat());
    }

    pub(super) fn set_link(&mut self, target: &[u8], records: &mut Records) {
        if target.len() > NAME {
            records.push(b"linkpath", target);
        }
        let ustar = self.0.as_ustar_mut().expect("it was made as one");
        let shown = &target[..target.len().min(NAME)];
        ustar.linkname[..shown.len()].copy_from_slice(shown);
    }

    fn set_name(&mut self, name: &[u8]) {
        let ustar = self.0.as_ustar_mut().expect("it was made as one");
        let shown = &name[..name.len().min(NAME)];
        ustar.name[..shown.len()].copy_from_slice(shown);
    }
}

/// Seconds as PAX has them: with as many digits after the point as say something.
pub(super) fn decimal(Time { secs, nanos }: Time) -> String {
    const NANOS: u32 = 1_000_000_000;
    // −1.25 s are −2 s and 750,000,000 ns.
    let (sign, whole, nanos) = match (secs < 0, nanos) {
        (true, 0) => ("-", secs.unsigned_abs(), 0),
        (true, nanos) => ("-", secs.unsigned_abs() - 1, NANOS - nanos),
        (false, nanos) => ("", secs.unsigned_abs(), nanos),
    };
    match nanos {
        0 => format!("{sign}{whole}"),
        nanos => format!("{sign}{whole}.{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let table = [
            (0, 0, "0"),
            (1, 500_000_000, "1.5"),
            (1_700_000_000, 1, "1700000000.000000001"),
            (-1, 0, "-1"),
            (-2, 750_000_000, "-1.25"),
            (-1, 999_999_999, "-0.000000001"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MAX, 10, "9223372036854775807.00000001"),
        ];
        for (secs, nanos, text) in table {
            assert_eq!(decimal(Time { secs, nanos }), text);
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        let record = |value: &str| {
            let mut records = Records::default();
            records.push(b"k", value.as_bytes());
            let text = String::from_utf8(records.bytes().to_vec()).unwrap();
            let (len, _) = text.split_once(' ').unwrap();
            assert_eq!(len.parse::<usize>().unwrap(), text.len());
            text
        };
        assert_eq!(record(""), "5 k=\n");
        for len in 0..1100 {
            record(&"x".repeat(len));
        }
    }
}
