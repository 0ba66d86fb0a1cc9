//! One header block.
//!
//! ```text
//!   0  name(100)  mode(8)  uid(8)  gid(8)  size(12)  mtime(12)  chksum(8)  typeflag(1)  linkname(100)
//! 257  magic(6) version(2)  uname(32)  gname(32)  devmajor(8)  devminor(8)                   all but V7
//! 345  prefix(155)                                                                           ustar
//! 345  prefix(131)  atime(12)  ctime(12)  …  508 "tar\0"                                     star
//! 345  atime(12)  ctime(12)  …  386 sparse(4 × 24)  482 isextended(1)  483 realsize(12)      GNU
//! ```

use std::ops::Range;

use super::{BLOCK_SIZE, Time, number};
use crate::{TarProblem, escape};

pub(super) type Block = [u8; BLOCK_SIZE];

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHKSUM: Range<usize> = 148..156;
const TYPEFLAG: usize = 156;
const LINKNAME: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const DEVMAJOR: Range<usize> = 329..337;
const DEVMINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_ATIME: Range<usize> = 476..488;
const STAR_CTIME: Range<usize> = 488..500;
const STAR_TRAILER: Range<usize> = 508..512;
const GNU_ATIME: Range<usize> = 345..357;
const GNU_CTIME: Range<usize> = 357..369;
pub(super) const GNU_SPARSE: Range<usize> = 386..482;
pub(super) const GNU_ISEXTENDED: usize = 482;
pub(super) const GNU_REALSIZE: Range<usize> = 483..495;

/// Whose header it is, which decides what its last third means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl Format {
    fn detect(block: &Block) -> Format {
        match &block[MAGIC] {
            b"ustar  \0" => Format::Gnu,
            magic if magic.starts_with(b"ustar\0") && &block[STAR_TRAILER] == b"tar\0" => Format::Star,
            magic if magic.starts_with(b"ustar\0") => Format::Ustar,
            _ => Format::V7,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Format::V7 => "V7",
            Format::Ustar => "ustar",
            Format::Star => "star",
            Format::Gnu => "GNU",
        }
    }
}

/// The numbers of a header.
pub(super) struct Fields {
    pub(super) format: Format,
    pub(super) type_byte: u8,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) atime: Option<Time>,
    pub(super) ctime: Option<Time>,
}

pub(super) fn is_zero(block: &Block) -> bool {
    block.iter().fold(0, |all, byte| all | byte) == 0
}

/// Checks the sum of a header's bytes, those of the sum itself counted as spaces.
pub(super) fn check_sum(block: &Block) -> Result<(), TarProblem> {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let field = &block[CHKSUM];
    let spaces = u32::from(b' ') * 8;
    let computed = sum(block) - sum(field) + spaces;
    let stated = number::octal(field);
    if stated == Some(u64::from(computed)) {
        return Ok(());
    }
    // Some old archivers summed signed characters.
    let high = block[..CHKSUM.start].iter().chain(&block[CHKSUM.end..]).filter(|&&byte| byte >= 0x80).count();
    let signed = i64::from(computed) - 256 * i64::try_from(high).expect("at most 512 bytes");
    match stated.map(i64::try_from) {
        Some(Ok(stated)) if stated == signed => Ok(()),
        _ => Err(TarProblem::Checksum { computed, stated: escape(field) }),
    }
}

/// What a block at the start of a stream is that is no header: one that has neither the magic
/// number of one nor a checksum is not merely a damaged one.
pub(super) fn not_a_header(block: &[u8]) -> Option<TarProblem> {
    if let Some(found) = other_format(block) {
        return Some(TarProblem::NotTar { found });
    }
    let has_magic = block.get(MAGIC).is_some_and(|magic| magic.starts_with(b"ustar"));
    let has_sum = block.get(CHKSUM).and_then(number::octal).is_some_and(|stated| stated != 0);
    let is_whole = block.len() == size_of::<Block>();
    (is_whole && !has_magic && !has_sum).then_some(TarProblem::NoHeader)
}

/// The well-known format that data begins like. A header has NULs, so that it is no text, and
/// blanks in front of a page or a document are no name.
fn other_format(block: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 15] = [
        (b"\xfd7zXZ\0", "xz data, a compression that is not supported"),
        (b"BZh", "bzip2 data, a compression that is not supported"),
        (b"\x04\x22\x4d\x18", "lz4 data, a compression that is not supported"),
        (b"\x1f\x8b", "gzip data inside the archive"),
        (b"\x28\xb5\x2f\xfd", "zstd data inside the archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"hsqs", "a squashfs image"),
        (b"\x7fELF", "a program"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"070701", "a cpio archive"),
        (b"!<arch>\n", "an ar archive, such as a Debian package"),
        (b"QFI\xfb", "a qcow2 disk"),
        (b"#!", "a script"),
        (b"<", "an HTML or XML page"),
        (b"{", "a JSON document"),
    ];
    let start = block.trim_ascii_start();
    let start = if is_text(block) { start } else { block };
    let known = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)).map(|&(_, format)| format);
    known.or((!block.is_empty() && is_text(block)).then_some("plain text"))
}

/// Whether a terminal would show all of it; a character may be cut off at the end.
fn is_text(block: &[u8]) -> bool {
    let (valid, rest) = match block.utf8_chunks().next() {
        Some(first) => (first.valid(), block.len() - first.valid().len()),
        None => ("", 0),
    };
    rest < 4
        && valid.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\r' | '\t' | '\x0c'))
}

pub(super) fn parse(block: &Block) -> Result<Fields, TarProblem> {
    let format = Format::detect(block);
    let optional_time = |name, range: Range<usize>| {
        let time = number::time(name, &block[range])?;
        Ok((time != Time::default()).then_some(time))
    };
    let (atime, ctime) = match format {
        Format::Gnu if go_prefix(block).is_some() => (None, None),
        Format::Gnu => (optional_time("atime", GNU_ATIME)?, optional_time("ctime", GNU_CTIME)?),
        Format::Star => (optional_time("atime", STAR_ATIME)?, optional_time("ctime", STAR_CTIME)?),
        Format::V7 | Format::Ustar => (None, None),
    };
    let mode = number::field("mode", &block[MODE])?;
    let out_of_range = |_| TarProblem::NumberRange { field: "mode", found: mode, max: u32::MAX.into() };
    Ok(Fields {
        format,
        type_byte: block[TYPEFLAG],
        mode: u32::try_from(mode).map_err(out_of_range)?,
        uid: number::unsigned("uid", &block[UID])?,
        gid: number::unsigned("gid", &block[GID])?,
        size: number::unsigned("size", &block[SIZE])?,
        mtime: number::time("mtime", &block[MTIME])?,
        atime,
        ctime,
    })
}

/// The prefix of a path where a GNU header has its times: Go wrote such headers for long paths up
/// to version 1.7, so there are images with them. As in Go's own reader, the times must make no
/// sense, and the prefix must be text.
fn go_prefix(block: &Block) -> Option<&[u8]> {
    let prefix = text(&block[PREFIX]);
    let is_time = |range: Range<usize>| number::time("time", &block[range]).is_ok();
    let is_prefix = block[TYPEFLAG] != b'S' && prefix.is_ascii() && !(is_time(GNU_ATIME) && is_time(GNU_CTIME));
    (is_prefix && !prefix.is_empty()).then_some(prefix)
}

/// The device number of a device.
pub(super) fn device(block: &Block, format: Format) -> Result<(u64, u64), TarProblem> {
    // V7 knew no devices; the bytes are anything.
    if format == Format::V7 {
        return Ok((0, 0));
    }
    Ok((number::unsigned("devmajor", &block[DEVMAJOR])?, number::unsigned("devminor", &block[DEVMINOR])?))
}

/// Makes `path` the path of the header.
pub(super) fn path(block: &Block, path: &mut Vec<u8>) {
    path.clear();
    let prefix = match Format::detect(block) {
        Format::Ustar => text(&block[PREFIX]),
        Format::Star => text(&block[STAR_PREFIX]),
        Format::Gnu => go_prefix(block).unwrap_or_default(),
        Format::V7 => &[],
    };
    if !prefix.is_empty() {
        path.extend_from_slice(prefix);
        path.push(b'/');
    }
    path.extend_from_slice(text(&block[NAME]));
}

pub(super) fn link(block: &Block) -> &[u8] {
    text(&block[LINKNAME])
}

/// A field up to its first NUL, or the whole field.
fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&byte| byte == 0).unwrap_or(field.len())]
}
