//! The records of a PAX extended header.
//!
//! ```text
//! record = length " " key "=" value "\n"        length: decimal, of the whole record
//! ```
//!
//! A value may hold anything, newlines and NULs too: only the length tells where it ends.

use std::ops::Range;

use super::{Time, number};
use crate::{TarProblem, escape};

/// What the extended header of one entry says, kept as places in its body.
#[derive(Default, Debug)]
pub(super) struct Pax {
    pub(super) body: Vec<u8>,
    path: Option<Range<usize>>,
    linkpath: Option<Range<usize>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) ctime: Option<Time>,
    /// Name and value of each.
    xattrs: Vec<(Range<usize>, Range<usize>)>,
    pub(super) sparse: Sparse,
}

/// The `GNU.sparse.*` records.
#[derive(Default, Debug)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    name: Option<Range<usize>>,
    /// `size` of the versions 0.0 and 0.1, `realsize` of 1.0.
    pub(super) real_size: Option<u64>,
    pub(super) numblocks: Option<u64>,
    /// The `offset` and `numbytes` of version 0.0, in turn.
    pub(super) pairs: Vec<u64>,
    map: Option<Range<usize>>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Pax {
    pub(super) fn clear(&mut self) {
        if self.body.is_empty() {
            return;
        }
        let Pax { mut body, mut xattrs, mut sparse, .. } = std::mem::take(self);
        body.clear();
        xattrs.clear();
        sparse.pairs.clear();
        *self = Pax { body, xattrs, sparse: Sparse { pairs: sparse.pairs, ..Sparse::default() }, ..Pax::default() };
    }

    pub(super) fn path(&self) -> Option<&[u8]> {
        self.path.clone().map(|range| &self.body[range])
    }

    pub(super) fn linkpath(&self) -> Option<&[u8]> {
        self.linkpath.clone().map(|range| &self.body[range])
    }

    pub(super) fn sparse_name(&self) -> Option<&[u8]> {
        self.sparse.name.clone().map(|range| &self.body[range])
    }

    pub(super) fn sparse_map(&self) -> Option<&[u8]> {
        self.sparse.map.clone().map(|range| &self.body[range])
    }

    pub(super) fn xattrs(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.xattrs.iter().map(|(name, value)| (&self.body[name.clone()], &self.body[value.clone()]))
    }

    /// Reads the records of `body`.
    pub(super) fn parse(&mut self) -> Result<(), TarProblem> {
        let mut at = 0;
        while at < self.body.len() {
            let malformed = |reason| TarProblem::PaxRecord { at, reason };
            let record = record(&self.body[at..]).map_err(malformed)?;
            let key = at + record.key.start..at + record.key.end;
            let value = at + record.value.start..at + record.value.end;
            self.record(key, value)?.map_err(malformed)?;
            at += record.len;
        }
        // The last of several records with one key counts.
        if self.xattrs.len() > 1 {
            let body = &self.body;
            self.xattrs.sort_by(|a, b| body[a.0.clone()].cmp(&body[b.0.clone()]));
            self.xattrs.dedup_by(|later, earlier| {
                let same = body[later.0.clone()] == body[earlier.0.clone()];
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Ok(())
    }

    /// Takes one record; the inner error is one of its grammar.
    fn record(&mut self, key: Range<usize>, value: Range<usize>) -> Result<Result<(), &'static str>, TarProblem> {
        let bytes = &self.body[value.clone()];
        let name = &self.body[key.clone()];
        if name.contains(&0) {
            return Ok(Err("the key has a NUL"));
        }
        match name {
            b"path" => self.path = text("path", bytes, value)?,
            b"linkpath" => self.linkpath = text("linkpath", bytes, value)?,
            b"size" => self.size = decimal("size", bytes)?,
            b"uid" => self.uid = decimal("uid", bytes)?,
            b"gid" => self.gid = decimal("gid", bytes)?,
            b"mtime" => self.mtime = time("mtime", bytes)?,
            b"atime" => self.atime = time("atime", bytes)?,
            b"ctime" => self.ctime = time("ctime", bytes)?,
            _ if name.starts_with(XATTR) => {
                let name = key.start + XATTR.len()..key.end;
                if name.is_empty() {
                    return Ok(Err("the extended attribute has no name"));
                }
                // An empty value is an attribute with an empty value, not the removal of a record.
                self.xattrs.push((name, value));
            }
            _ if name.starts_with(b"GNU.sparse.") => return self.sparse_record(key, value),
            _ => {}
        }
        Ok(Ok(()))
    }

    fn sparse_record(
        &mut self,
        key: Range<usize>,
        value: Range<usize>,
    ) -> Result<Result<(), &'static str>, TarProblem> {
        let bytes = &self.body[value.clone()];
        let sparse = &mut self.sparse;
        match &self.body[key] {
            b"GNU.sparse.major" => sparse.major = decimal("GNU.sparse.major", bytes)?,
            b"GNU.sparse.minor" => sparse.minor = decimal("GNU.sparse.minor", bytes)?,
            b"GNU.sparse.name" => sparse.name = text("GNU.sparse.name", bytes, value)?,
            b"GNU.sparse.size" => sparse.real_size = decimal("GNU.sparse.size", bytes)?,
            b"GNU.sparse.realsize" => sparse.real_size = decimal("GNU.sparse.realsize", bytes)?,
            b"GNU.sparse.numblocks" => sparse.numblocks = decimal("GNU.sparse.numblocks", bytes)?,
            b"GNU.sparse.map" => sparse.map = Some(value).filter(|value| !value.is_empty()),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" if bytes.is_empty() => {}
            b"GNU.sparse.offset" => {
                if !sparse.pairs.len().is_multiple_of(2) {
                    return Ok(Err("a second GNU.sparse.offset before GNU.sparse.numbytes"));
                }
                sparse.pairs.extend(decimal("GNU.sparse.offset", bytes)?);
            }
            b"GNU.sparse.numbytes" => {
                if sparse.pairs.len().is_multiple_of(2) {
                    return Ok(Err("GNU.sparse.numbytes before GNU.sparse.offset"));
                }
                sparse.pairs.extend(decimal("GNU.sparse.numbytes", bytes)?);
            }
            _ => {}
        }
        Ok(Ok(()))
    }
}

impl Sparse {
    /// Whether there is any of them.
    pub(super) fn any(&self) -> bool {
        let numbers = [self.major, self.minor, self.real_size, self.numblocks];
        numbers.iter().any(Option::is_some) || self.name.is_some() || self.map.is_some() || !self.pairs.is_empty()
    }
}

/// The parts of the record at the start of some bytes.
struct Record {
    len: usize,
    key: Range<usize>,
    value: Range<usize>,
}

fn record(bytes: &[u8]) -> Result<Record, &'static str> {
    let space = bytes.iter().position(|byte| !byte.is_ascii_digit()).ok_or("the length has no end")?;
    if bytes[space] != b' ' || space == 0 {
        return Err("expected a decimal length and a space");
    }
    let len = number::decimal(&bytes[..space]).and_then(|len| usize::try_from(len).ok());
    let len = len.filter(|&len| len <= bytes.len()).ok_or("the record is longer than the extended header")?;
    // "5 k=\n" is no shorter for any number of digits.
    if len < space + 4 {
        return Err("the length is too small for a record");
    }
    if bytes[len - 1] != b'\n' {
        return Err("the record does not end with a newline");
    }
    let equals = bytes[space + 1..len - 1].iter().position(|&byte| byte == b'=').ok_or("the record has no '='")?;
    if equals == 0 {
        return Err("the key is empty");
    }
    let key = space + 1..space + 1 + equals;
    Ok(Record { len, value: key.end + 1..len - 1, key })
}

/// A record with an empty value counts as none.
fn text(key: &'static str, bytes: &[u8], value: Range<usize>) -> Result<Option<Range<usize>>, TarProblem> {
    if bytes.contains(&0) {
        return Err(TarProblem::PaxValue { key, found: escape(bytes), expected: "a path without a NUL" });
    }
    Ok(Some(value).filter(|value| !value.is_empty()))
}

fn decimal(key: &'static str, bytes: &[u8]) -> Result<Option<u64>, TarProblem> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let expected = "a decimal number from 0 to 2^64-1";
    number::decimal(bytes).map(Some).ok_or_else(|| TarProblem::PaxValue { key, found: escape(bytes), expected })
}

fn time(key: &'static str, bytes: &[u8]) -> Result<Option<Time>, TarProblem> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let expected = "decimal seconds";
    number::decimal_time(bytes).map(Some).ok_or_else(|| TarProblem::PaxValue { key, found: escape(bytes), expected })
}
