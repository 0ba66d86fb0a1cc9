//! Names: eight characters and three in upper case, and a long one where that is not enough.

use zerocopy::IntoBytes as _;
use zerocopy::byteorder::little_endian::U16;

use super::format::{ATTR_LONG_NAME, LongNameEntry};

/// How many units of a long name an entry has.
const UNITS: usize = 13;

/// What is wrong with a name. Only ASCII: what case is elsewhere, each reader decides in its own
/// way.
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("a name is empty"),
        "." | ".." => Err("a name is . or .."),
        _ if name.len() > 255 => Err("a name has more than 255 characters"),
        _ if name.ends_with(['.', ' ']) => Err("a name ends in a full stop or a space"),
        _ if name.bytes().any(|byte| !matches!(byte, b' '..=b'~') || br#""*/:<>?\|"#.contains(&byte)) => {
            Err("a name has a character that names there do not have")
        }
        _ => Ok(()),
    }
}

/// Whether a short name says all.
fn is_short(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = |part: &str, max| {
        part.len() <= max && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    !stem.is_empty() && fits(stem, 8) && fits(extension, 3) && !name.ends_with('.')
}

/// How many entries of a directory a name takes.
pub(super) fn entries(name: &str) -> usize {
    if is_short(name) { 1 } else { 1 + name.len().div_ceil(UNITS) }
}

/// A short name, padded with spaces; of one that has a full stop, only a directory's own.
pub(super) fn padded(name: &str) -> [u8; 11] {
    let mut padded = [b' '; 11];
    padded.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte);
    padded
}

fn joined(stem: &str, extension: &str) -> [u8; 11] {
    let mut short = padded(stem);
    short[8..].iter_mut().zip(extension.bytes()).for_each(|(to, byte)| *to = byte);
    short
}

/// The short name of each.
pub(super) fn shorts<'n>(names: impl Iterator<Item = &'n String> + Clone) -> Vec<(&'n str, [u8; 11])> {
    let split = |name: &'n str| name.split_once('.').unwrap_or((name, ""));
    let mut taken: Vec<[u8; 11]> = Vec::new();
    for name in names.clone().filter(|name| is_short(name)) {
        let (stem, extension) = split(name);
        taken.push(joined(stem, extension));
    }
    let shorten = |name: &'n String| {
        if is_short(name) {
            let (stem, extension) = split(name);
            return (name.as_str(), joined(stem, extension));
        }
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let clean = |part: &str, max| {
            let plain = part.bytes().filter(u8::is_ascii_alphanumeric).take(max);
            plain.map(|byte| char::from(byte.to_ascii_uppercase())).collect::<String>()
        };
        let extension = clean(extension, 3);
        let numbered = (1..).map(|number: u32| {
            let tail = format!("~{number}");
            joined(&format!("{}{tail}", clean(stem, 8 - tail.len())), &extension)
        });
        let short = numbered.filter(|short| !taken.contains(short)).take(1).last();
        let short = short.expect("there are more numbers than names");
        taken.push(short);
        (name.as_str(), short)
    };
    names.map(shorten).collect()
}

/// The entries of a long name, which are in front of that of the short one.
pub(super) fn long_entries(name: &str, short: [u8; 11]) -> Vec<u8> {
    if is_short(name) {
        return Vec::new();
    }
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    // A name that does not fill its last entry ends in a zero, and all bits are set behind it.
    let count = name.len().div_ceil(UNITS);
    let ended = name.bytes().map(u16::from).chain([0]).chain(std::iter::repeat(0xffff));
    let units: Vec<U16> = ended.take(count * UNITS).map(U16::new).collect();
    let entry = |number: usize| {
        let units = &units[(number - 1) * UNITS..number * UNITS];
        let part = |at: usize| units[at];
        let last = if number == count { 0x40 } else { 0 };
        let entry = LongNameEntry {
            ldir_ord: last | u8::try_from(number).expect("at most 20"),
            ldir_name1: std::array::from_fn(part),
            ldir_attr: ATTR_LONG_NAME,
            ldir_type: 0,
            ldir_chksum: sum,
            ldir_name2: std::array::from_fn(|at| part(5 + at)),
            ldir_fst_clus_lo: U16::ZERO,
            ldir_name3: std::array::from_fn(|at| part(11 + at)),
        };
        entry.as_bytes().to_vec()
    };
    (1..=count).rev().flat_map(entry).collect()
}
