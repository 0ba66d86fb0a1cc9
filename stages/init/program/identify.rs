//! What tells one device from another: the partition table of a disk, and the superblock of a
//! filesystem. All of it is said by devices, and nothing is taken for granted.

/// More entries than that are none that anybody writes.
const MAX_ENTRIES: u32 = 1024;

/// How long an entry of a partition table is, of which only the beginning is looked at.
pub(crate) const ENTRY: usize = 128;

/// What names the device of the root filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted<'l> {
    /// The identity of a partition, as its table has it.
    PartUuid([u8; 16]),
    /// The name of a partition, in its table.
    PartLabel(&'l [u8]),
    /// The identity of an ext4 or EROFS filesystem, or of a hash tree.
    Uuid([u8; 16]),
    /// The label of an ext4 or EROFS filesystem.
    Label(&'l [u8]),
    /// A name below `/dev`.
    Name(&'l [u8]),
}

impl<'l> Wanted<'l> {
    pub(crate) fn parse(text: &'l [u8]) -> Option<Wanted<'l>> {
        let is = |prefix: &[u8]| text.strip_prefix(prefix);
        if let Some(rest) = is(b"PARTUUID=") {
            return uuid(rest).map(|guid| Wanted::PartUuid(stored(guid)));
        }
        if let Some(rest) = is(b"UUID=") {
            return uuid(rest).map(Wanted::Uuid);
        }
        if let Some(rest) = is(b"PARTLABEL=") {
            return Some(Wanted::PartLabel(rest));
        }
        if let Some(rest) = is(b"LABEL=") {
            return Some(Wanted::Label(rest));
        }
        is(b"/dev/").map(Wanted::Name)
    }

    /// Whether an entry of a partition table, which is in use, is the one.
    pub(crate) fn is_entry(&self, entry: &[u8; ENTRY]) -> bool {
        if entry[..16] == [0; 16] {
            return false;
        }
        match self {
            Wanted::PartUuid(guid) => entry[16..32] == *guid,
            Wanted::PartLabel(label) => {
                let mut units = entry[56..].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
                label.iter().all(|byte| units.next() == Some(u16::from(*byte))) && units.next().unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether the second KiB of a device is the superblock of the filesystem.
    pub(crate) fn is_superblock(&self, superblock: &[u8; 1024]) -> bool {
        // Where the UUID is, and behind it the label, both of sixteen bytes.
        let at = if superblock[0x38..0x3a] == [0x53, 0xef] {
            0x68
        } else if superblock[..4] == [0xe2, 0xe1, 0xf5, 0xe0] {
            0x30
        } else {
            return false;
        };
        match self {
            Wanted::Uuid(uuid) => superblock[at..at + 16] == *uuid,
            Wanted::Label(label) => {
                let name = &superblock[at + 16..at + 32];
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                !label.is_empty() && name[..end] == **label
            }
            _ => false,
        }
    }
}

/// Whether the beginning of a device is the superblock of a hash tree of this identity.
pub(crate) fn is_hash_tree(beginning: &[u8; 32], wanted: &Wanted<'_>) -> bool {
    beginning[..8] == *b"verity\0\0" && matches!(wanted, Wanted::Uuid(uuid) if beginning[16..] == *uuid)
}

/// Where the entries of a partition table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) lba: u64,
    pub(crate) count: u32,
    pub(crate) size: u32,
}

impl Entries {
    /// What a header says. The kernel has checked the table before it made devices of partitions,
    /// so its checksums are not looked at again.
    pub(crate) fn of_header(header: &[u8; 96]) -> Option<Entries> {
        if header[..8] != *b"EFI PART" {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let lba = u64::from(word(72)) | u64::from(word(76)) << 32;
        let (count, size) = (word(80), word(84));
        (count <= MAX_ENTRIES && (128..=4096).contains(&size)).then_some(Entries { lba, count, size })
    }
}

/// A UUID as it is written, with hyphens or without.
pub(crate) fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut digits = 0;
    for byte in text.iter().filter(|byte| **byte != b'-') {
        let digit = u8::try_from(char::from(*byte).to_digit(16)?).ok()?;
        *uuid.get_mut(digits / 2)? |= digit << (4 * (1 - digits % 2));
        digits += 1;
    }
    (digits == 32).then_some(uuid)
}

/// A GUID as a partition table has it: the first three fields are little-endian.
pub(crate) fn stored(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = guid;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}
