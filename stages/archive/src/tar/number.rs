//! The numbers of headers and of PAX records.

use super::Time;
use crate::{TarProblem, escape};

const NANOS_PER_SEC: u32 = 1_000_000_000;

/// A header field: octal digits between spaces and NULs, or base-256 if the top bit is set. An
/// empty field is 0.
pub(super) fn field(name: &'static str, bytes: &[u8]) -> Result<i128, TarProblem> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(base_256(bytes));
    }
    octal(bytes).map(i128::from).ok_or_else(|| TarProblem::Number { field: name, found: escape(bytes) })
}

/// A header field that can't be negative.
pub(super) fn unsigned(name: &'static str, bytes: &[u8]) -> Result<u64, TarProblem> {
    let found = field(name, bytes)?;
    u64::try_from(found).map_err(|_| TarProblem::NumberRange { field: name, found, max: u64::MAX })
}

/// A header field that is a time.
pub(super) fn time(name: &'static str, bytes: &[u8]) -> Result<Time, TarProblem> {
    let found = field(name, bytes)?;
    let secs = i64::try_from(found).unwrap_or(if found < 0 { i64::MIN } else { i64::MAX });
    Ok(Time { secs, nanos: 0 })
}

/// A two's complement number, big-endian, whose top bit is the mark of base-256 and whose next bit
/// is the sign. Fields have at most 12 bytes.
fn base_256(bytes: &[u8]) -> i128 {
    let negative = bytes[0] & 0x40 != 0;
    let first = if negative { bytes[0] } else { bytes[0] & 0x7f };
    let start = i128::from(if negative { -1i8 } else { 0 });
    bytes[1..].iter().fold(start << 8 | i128::from(first), |number, &byte| number << 8 | i128::from(byte))
}

/// Octal digits between spaces and NULs; nothing at all is 0.
pub(super) fn octal(bytes: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let len = bytes.iter().position(is_blank).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(len);
    if !rest.iter().all(is_blank) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| match digit {
        // A field has at most 12 digits, 36 bits.
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Decimal digits and nothing else.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, &digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Decimal seconds since 1970: perhaps negative, perhaps with a fraction, rounded towards the past;
/// `None` for anything else. What is beyond the range ends at its end.
pub(super) fn decimal_time(bytes: &[u8]) -> Option<Time> {
    let (negative, bytes) = bytes.strip_prefix(b"-").map_or((false, bytes), |rest| (true, rest));
    let point = bytes.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = point.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let secs = decimal(whole).and_then(|secs| i64::try_from(secs).ok());
    let mut nanos =
        (0..9).fold(0, |nanos, at| nanos * 10 + u32::from(fraction.get(at).map_or(0, |digit| digit - b'0')));
    if !negative {
        return Some(secs.map_or(Time { secs: i64::MAX, nanos: NANOS_PER_SEC - 1 }, |secs| Time { secs, nanos }));
    }
    if fraction.iter().skip(9).any(|&digit| digit != b'0') {
        nanos += 1;
    }
    Some(match secs {
        None => Time { secs: i64::MIN, nanos: 0 },
        Some(secs) if nanos == 0 => Time { secs: -secs, nanos },
        Some(secs) => Time { secs: -secs - 1, nanos: NANOS_PER_SEC - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields() {
        let cases: [(&[u8], Option<u64>); 14] = [
            (b"0000644\0", Some(0o644)),
            (b" 000644 ", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0 644\0 ", Some(0o644)),
            (b"644", Some(0o644)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"", Some(0)),
            (b"\0\0\0\0", Some(0)),
            (b"    ", Some(0)),
            (b"0000648\0", None),
            (b"12 34\0", None),
            (b"12\x0034\0", None),
            (b"-000644\0", None),
            (b"0x644\0", None),
        ];
        for (bytes, number) in cases {
            assert_eq!(octal(bytes), number, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn base_256_fields() {
        let cases: [(&[u8], i128); 9] = [
            (b"\x80\0\0\0\0\0\0\x01", 1),
            (b"\x80\0\0\x01\0\0\0\0", 1 << 32),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff", (1 << 62) - 1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\xff\xff\xff\xff\xff\xff\xff\x85", -123),
            (b"\xc0\0\0\0\0\0\0\0", -(1 << 62)),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX as i128),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", 1 << 64),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", i64::MIN as i128),
        ];
        for (bytes, number) in cases {
            assert_eq!(field("size", bytes), Ok(number), "{}", bytes.escape_ascii());
        }
        let too_large = b"\x80\0\0\x01\0\0\0\0\0\0\0\0";
        assert!(matches!(
            unsigned("size", too_large),
            Err(TarProblem::NumberRange { found: 0x1_0000_0000_0000_0000, .. })
        ));
        assert!(matches!(unsigned("uid", &[0xff; 8]), Err(TarProblem::NumberRange { field: "uid", found: -1, .. })));
        assert_eq!(time("mtime", too_large), Ok(Time { secs: i64::MAX, nanos: 0 }));
        assert_eq!(
            time("mtime", b"\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xff"),
            Ok(Time { secs: i64::MIN, nanos: 0 })
        );
        assert_eq!(time("mtime", &[0xff; 12]), Ok(Time { secs: -1, nanos: 0 }));
    }

    #[test]
    fn decimal_numbers() {
        let cases: [(&[u8], Option<u64>); 10] = [
            (b"0", Some(0)),
            (b"0012", Some(12)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"-1", None),
            (b"+1", None),
            (b" 1", None),
            (b"0x1", None),
            (b"1.0", None),
        ];
        for (bytes, number) in cases {
            assert_eq!(decimal(bytes), number, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn decimal_times() {
        let cases: [(&str, Option<(i64, u32)>); 26] = [
            ("0", Some((0, 0))),
            ("1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            ("1.5", Some((1, 500_000_000))),
            ("1.0000000009", Some((1, 0))),
            ("1.9999999999", Some((1, 999_999_999))),
            ("1.", Some((1, 0))),
            ("-1", Some((-1, 0))),
            ("-0", Some((0, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("-1.000000001", Some((-2, 999_999_999))),
            ("-1.0000000001", Some((-2, 999_999_999))),
            ("-1.9999999999", Some((-2, 0))),
            ("-1.0000000000", Some((-1, 0))),
            ("9223372036854775807", Some((i64::MAX, 0))),
            ("9223372036854775808", Some((i64::MAX, 999_999_999))),
            ("99999999999999999999999999", Some((i64::MAX, 999_999_999))),
            ("-9223372036854775807.5", Some((i64::MIN, 500_000_000))),
            ("-99999999999999999999999999", Some((i64::MIN, 0))),
            ("", None),
            ("-", None),
            (".5", None),
            ("1.5.5", None),
            ("1e9", None),
            ("+1", None),
            ("1,5", None),
        ];
        for (text, time) in cases {
            let found = decimal_time(text.as_bytes()).map(|time| (time.secs, time.nanos));
            assert_eq!(found, time, "{text}");
        }
    }
}
