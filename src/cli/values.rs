//! Values of options: from text, and back where a result shows them.

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use cvbake::disks::NewSize;
use cvbake::ext4::{Inodes, Size};

/// How large the disk becomes: `auto`, `min`, `+512M`, `20G`.
pub(super) fn size(text: &str) -> Result<Size, String> {
    match (text, text.strip_prefix('+')) {
        ("auto", _) => Ok(Size::Auto),
        ("min", _) => Ok(Size::Min),
        (_, Some(extra)) => bytes(extra).map(Size::Extra),
        (exact, None) => bytes(exact).map(Size::Exact),
    }
    .map_err(|problem| {
        format!("{problem}, expected auto, min, a size such as 20G, or +512M for that much more than min")
    })
}

/// How large a disk is to be: `20G`, or `+5G` for so much more than it is.
pub(super) fn new_size(text: &str) -> Result<NewSize, String> {
    /// No disk is as short: whoever says so few bytes has meant another unit.
    const LEAST: u64 = 1 << 20;
    if text.starts_with('-') {
        return Err("expected the new size, such as 20G, also to make the disk smaller; that takes --shrink".to_owned());
    }
    let size = match text.strip_prefix('+') {
        Some(extra) => bytes(extra).map(NewSize::Extra),
        None => bytes(text).map(NewSize::Exact),
    };
    match size.map_err(|problem| format!("{problem}, expected a size such as 20G, or +5G for that much more"))? {
        NewSize::Exact(bytes) if bytes < LEAST => {
            Err(format!("{bytes} bytes are no disk, expected at least 1M; with a unit: {text}M or {text}G"))
        }
        size => Ok(size),
    }
}

/// How many inodes the filesystem has: `auto`, `100000`, `1/16K`.
pub(super) fn inodes(text: &str) -> Result<Inodes, String> {
    match (text, text.strip_prefix("1/")) {
        ("auto", _) => Ok(Inodes::Auto),
        (_, Some(ratio)) => match bytes(ratio)? {
            0 => Err("an inode cannot have 0 bytes".to_owned()),
            bytes => Ok(Inodes::BytesPerInode(bytes)),
        },
        (count, None) if is_number(count) => {
            count.parse().map(Inodes::Count).map_err(|_| format!("a filesystem has at most {} inodes", u32::MAX))
        }
        _ => Err("expected auto, a number, or one inode per SIZE bytes, such as 1/16K".to_owned()),
    }
}

/// How much a store may have in it: `20G`.
pub(super) fn store_size(text: &str) -> Result<u64, String> {
    bytes(text).map_err(|problem| format!("{problem}, expected a size such as 20G"))
}

/// The size of a block of a VHDX file: `1M`.
pub(super) fn block_size(text: &str) -> Result<u32, String> {
    let expected = |problem: String| format!("{problem}, expected a power of two from 1M to 256M");
    let size = bytes(text).map_err(expected)?;
    let size = u32::try_from(size).ok().filter(|size| size.is_power_of_two() && (1 << 20..=256 << 20).contains(size));
    size.ok_or_else(|| expected(format!("{text:?} is no size of a block")))
}

/// The size of a partition: `256M`.
pub(super) fn partition_size(text: &str) -> Result<u64, String> {
    /// FAT32 has no larger ones.
    const MAX: u64 = 1 << 40;
    /// FAT32 has no smaller ones, either: 65525 clusters of a sector of 512 bytes, with its tables.
    const MIN: u64 = 34 << 20;
    match bytes(text) {
        Ok(size) if size < MIN => {
            Err(format!("{text:?} is too small for FAT32, expected at least 34M (260M with sectors of 4096 bytes)"))
        }
        Ok(size) if (MIN..=MAX).contains(&size) => Ok(size),
        _ => Err(format!("{text:?} is no size of a partition, expected one such as 256M")),
    }
}

/// A path of Windows from the root, in its long form: `\\\\?\\C:\\disks\\parent.vhdx`.
pub(super) fn win32_path(text: &str) -> Result<String, String> {
    let is_long = text.strip_prefix(r"\\?\").is_some_and(|rest| rest.contains('\\') && !rest.contains('/'));
    match is_long && text.encode_utf16().count() <= 32767 {
        true => Ok(text.to_owned()),
        false => Err(format!(r"{text:?} is no whole path of Windows, expected one such as \\?\C:\disks\parent.vhdx")),
    }
}

/// The size of a sector: `512`, `4096` or `4K`.
pub(super) fn sector_size(text: &str) -> Result<u32, String> {
    match bytes(text) {
        Ok(512) => Ok(512),
        Ok(4096) => Ok(4096),
        _ => Err(format!("{text:?} is no size of a sector, expected 512 or 4096")),
    }
}

/// How long something was not used: `7d`, `12h`, `30m`, `2w`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is not a period of time, expected one such as 30m, 12h, 7d or 2w");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(expected)?;
    let seconds: u64 = match unit {
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(expected()),
    };
    if !is_number(number) {
        return Err(expected());
    }
    let number: Option<u64> = number.parse().ok();
    let seconds = number.and_then(|number| number.checked_mul(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("{text} is too long"))
}

/// A number of bytes with a unit: `K M G T` and `KiB MiB GiB TiB` are powers of 1024, `KB MB GB TB`
/// of 1000.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let no_size = || match unit.starts_with(['.', ',']) {
        true if !number.is_empty() => format!("{text:?} is not a size: the number has to be whole"),
        _ => format!("{text:?} is not a size"),
    };
    if number.is_empty() {
        return Err(no_size());
    }
    let (base, power) = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => (1, 0),
        "K" | "KIB" => (1024, 1),
        "M" | "MIB" => (1024, 2),
        "G" | "GIB" => (1024, 3),
        "T" | "TIB" => (1024, 4),
        "KB" => (1000, 1),
        "MB" => (1000, 2),
        "GB" => (1000, 3),
        "TB" => (1000, 4),
        _ => return Err(no_size()),
    };
    let number: Option<u64> = number.parse().ok();
    number.and_then(|number| number.checked_mul(u64::pow(base, power))).ok_or_else(|| format!("{text} is too large"))
}

/// How many threads work at once.
pub(super) fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, at least 1".to_owned())
}

/// How many bytes are sent at once: `16M`.
pub(super) fn chunk_size(text: &str) -> Result<NonZeroU64, String> {
    /// Less would be more requests than anybody waits for.
    const MIN: u64 = 64 << 10;
    let size = bytes(text).map_err(|problem| format!("{problem}, expected a size such as 16M"))?;
    NonZeroU64::new(size).filter(|size| size.get() >= MIN).ok_or_else(|| "expected at least 64K".to_owned())
}

/// The value of a switch in a variable.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Ok(true),
        "false" | "no" | "off" | "0" | "n" | "f" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// What `--insecure` without a value stands for: the registry that is asked for. Nobody can write
/// it on a command line or in a variable, so that a value that is empty by mistake does not mean
/// it.
pub(super) const ASKED: &str = "\0";

/// A registry, as `HOST` or `HOST:PORT`: what is no such thing would never be one that is asked,
/// and nobody would learn why.
pub(super) fn host(text: &str) -> Result<String, String> {
    const SWITCHES: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "1", "0"];
    let (host, port) = match text.rsplit_once(':').filter(|_| !text.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && !host.starts_with('-')
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    let is_port = port.is_none_or(|port| is_number(port) && port.parse::<u16>().is_ok());
    if text == ASKED || (is_host && is_port && !SWITCHES.contains(&text)) {
        return Ok(text.to_owned());
    }
    Err("expected a registry without scheme and path, such as localhost:5000; the option alone stands for the registry in the name of \
         the image"
        .to_owned())
}

/// The text of a UUID in its usual form.
pub(super) fn uuid(text: &str) -> Result<[u8; 16], String> {
    /// Where the hyphens stand.
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let wrong = || "expected a UUID such as 6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned();
    let well_formed = text
        .bytes()
        .enumerate()
        .all(|(at, byte)| if HYPHENS.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() });
    if text.len() != 36 || !well_formed {
        return Err(wrong());
    }
    let number = u128::from_str_radix(&text.replace('-', ""), 16).map_err(|_| wrong())?;
    Ok(number.to_be_bytes())
}

/// A UUID in its usual form.
pub(super) fn uuid_text(uuid: [u8; 16]) -> String {
    cvbake::text::uuid(uuid)
}

/// A filesystem's name, which need not be UTF-8.
pub(super) fn label(text: OsString) -> Result<Vec<u8>, String> {
    /// The length of the superblock's `s_volume_name`.
    const MAX: usize = 16;
    let label = text.into_vec();
    if label.len() > MAX { Err(format!("{} bytes, expected at most {MAX}", label.len())) } else { Ok(label) }
}

/// Seconds since 1970, as `SOURCE_DATE_EPOCH` has them: digits and nothing else.
pub(super) fn epoch(text: &str) -> Option<i64> {
    if is_number(text) { text.parse().ok() } else { None }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table = [
            ("auto", Size::Auto),
            ("min", Size::Min),
            ("4096", Size::Exact(4096)),
            ("512B", Size::Exact(512)),
            ("20G", Size::Exact(20 << 30)),
            ("20g", Size::Exact(20 << 30)),
            ("1KiB", Size::Exact(1024)),
            ("3MiB", Size::Exact(3 << 20)),
            ("2T", Size::Exact(2 << 40)),
            ("1TiB", Size::Exact(1 << 40)),
            ("5kB", Size::Exact(5000)),
            ("5GB", Size::Exact(5_000_000_000)),
            ("+512M", Size::Extra(512 << 20)),
            ("+0", Size::Extra(0)),
            ("18446744073709551615", Size::Exact(u64::MAX)),
        ];
        for (text, expected) in table {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert!(size("4.10M").unwrap_err().contains("the number has to be whole"));
        for text in [
            "",
            "+",
            "-1",
            "++1",
            "1.5G",
            "1 G",
            "G",
            "20X",
            "1e9",
            "0x10",
            "Auto",
            "18446744073709551616",
            "16777216T",
            "٣",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn new_sizes() {
        assert_eq!(new_size("20G"), Ok(NewSize::Exact(20 << 30)));
        assert_eq!(new_size("+512"), Ok(NewSize::Extra(512)));
        for text in ["", "+", "-1G", "min", "+-1", "1.5G", "600", "0"] {
            assert!(new_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn inode_counts() {
        let table = [
            ("auto", Inodes::Auto),
            ("0", Inodes::Count(0)),
            ("4294967295", Inodes::Count(u32::MAX)),
            ("1/16K", Inodes::BytesPerInode(16 << 10)),
            ("1/4096", Inodes::BytesPerInode(4096)),
        ];
        for (text, expected) in table {
            assert_eq!(inodes(text), Ok(expected), "{text}");
        }
        for text in ["", "4294967296", "1/0", "1/", "2/16K", "16K", "-1", "+5", "min"] {
            assert!(inodes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages() {
        let table = [("0m", 0), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)];
        for (text, seconds) in table {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "7",
            "7 d",
            "-7d",
            "+7d",
            "1.5h",
            "7D",
            "7s",
            "7days",
            "7٣",
            "٣d",
            "99999999999999999999d",
            "9999999999999999999w",
        ] {
            assert!(age(text).is_err(), "{text}");
        }
        assert_eq!(store_size("20G"), Ok(20 << 30));
        assert!(store_size("min").is_err() && store_size("").is_err());
    }

    #[test]
    fn uuids() {
        let text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let bytes = uuid(text).unwrap();
        assert_eq!(bytes[..4], [0x6b, 0xa7, 0xb8, 0x10]);
        assert_eq!(uuid_text(bytes), text);
        assert_eq!(uuid(&text.to_uppercase()), Ok(bytes));
        assert_eq!(uuid("00000000-0000-0000-0000-000000000000"), Ok([0; 16]));
        let wrong = [
            "",
            "6ba7b8109dad11d180b400c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
        ];
        for text in
            wrong.into_iter().chain(["6ba7b81-09dad-11d1-80b4-00c04fd430c8", "+ba7b810-9dad-11d1-80b4-00c04fd430c8"])
        {
            assert!(uuid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn switches() {
        for (text, expected) in [("true", true), ("1", true), ("ON", true), ("no", false), ("f", false)] {
            assert_eq!(switch(text), Ok(expected), "{text}");
        }
        assert!(switch("maybe").is_err() && switch("").is_err());
    }

    #[test]
    fn hosts() {
        for text in ["localhost", "localhost:5000", "ghcr.io", "127.0.0.1:80", "[::1]", "[::1]:5000", "A_b", ASKED] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "true",
            "false",
            "https://ghcr.io",
            "ghcr.io/team",
            "ghcr.io/",
            ":5000",
            "a:",
            "a:b",
            "a:70000",
            "::1",
            "[x]",
            "a b",
            "-a",
            "*",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(label("root".into()), Ok(b"root".to_vec()));
        assert_eq!(label(OsString::from_vec(vec![0xff; 16])), Ok(vec![0xff; 16]));
        assert!(label("seventeen letters".into()).is_err());
    }

    #[test]
    fn epochs() {
        assert_eq!(epoch("0"), Some(0));
        assert_eq!(epoch("9223372036854775807"), Some(i64::MAX));
        for text in ["", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "٣"] {
            assert_eq!(epoch(text), None, "{text}");
        }
    }
}
