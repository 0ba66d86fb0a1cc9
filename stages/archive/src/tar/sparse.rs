//! The maps of GNU sparse files.
//!
//! | form | where the map is | stored content |
//! |---|---|---|
//! | old GNU | in the header (4 parts) and in extension blocks (21 each), type `S` | the parts |
//! | 0.0 | PAX `GNU.sparse.offset` and `GNU.sparse.numbytes` in turn | the parts |
//! | 0.1 | PAX `GNU.sparse.map`, numbers with commas between | the parts |
//! | 1.0 | before the content: numbers with newlines behind, filled up to a block | the map, then the parts |

use std::io::BufRead;

use super::header::{self, Block};
use super::input::Input;
use super::pax::Pax;
use super::{BLOCK_SIZE, Extent, MAX_EXTENTS, MAX_SPARSE_SIZE, number};
use crate::{Error, TarProblem};

/// Why there is no map: the stream's fault or the map's.
pub(super) enum Failure {
    Stream(Error),
    Map(TarProblem),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Stream(error)
    }
}

impl From<TarProblem> for Failure {
    fn from(problem: TarProblem) -> Failure {
        Failure::Map(problem)
    }
}

fn malformed(reason: impl Into<String>) -> TarProblem {
    TarProblem::Sparse { reason: reason.into() }
}

/// A map that is being read.
struct Map<'a> {
    extents: &'a mut Vec<Extent>,
    /// How many parts have been read, empty ones included.
    parts: usize,
    /// Where the last part ends.
    end: u64,
    real_size: u64,
}

impl Map<'_> {
    fn new(extents: &mut Vec<Extent>, real_size: u64) -> Result<Map<'_>, TarProblem> {
        if real_size > MAX_SPARSE_SIZE {
            return Err(malformed(format!("its size is {real_size} bytes, expected at most {MAX_SPARSE_SIZE}")));
        }
        extents.clear();
        Ok(Map { extents, parts: 0, end: 0, real_size })
    }

    fn push(&mut self, offset: u64, len: u64) -> Result<(), TarProblem> {
        self.parts += 1;
        if self.parts > MAX_EXTENTS {
            return Err(malformed(format!("its map has more than {MAX_EXTENTS} parts")));
        }
        if offset < self.end {
            let reason = format!("a part starts at {offset}, before the end of the part before it, {}", self.end);
            return Err(malformed(reason));
        }
        let end = offset.checked_add(len).filter(|&end| end <= self.real_size);
        let too_far =
            || malformed(format!("a part of {len} bytes at {offset} ends after the file's size, {}", self.real_size));
        self.end = end.ok_or_else(too_far)?;
        // Empty parts mark the size of a file that ends with a hole.
        if len > 0 {
            self.extents.push(Extent { offset, len });
        }
        Ok(())
    }

    fn finish(self, stored: u64) -> Result<(), TarProblem> {
        let mapped: u64 = self.extents.iter().map(|extent| extent.len).sum();
        if mapped != stored {
            return Err(malformed(format!("its map describes {mapped} bytes, but {stored} are stored")));
        }
        Ok(())
    }
}

/// Reads the map of an entry of type `S`; `block` is its header, and is overwritten. Returns the
/// size of the file.
pub(super) fn old_gnu<R: BufRead>(
    input: &mut Input<R>,
    block: &mut Block,
    stored: u64,
    extents: &mut Vec<Extent>,
) -> Result<u64, Failure> {
    let real_size = number::unsigned("realsize", &block[header::GNU_REALSIZE])?;
    let mut map = Map::new(extents, real_size)?;
    let mut parts = header::GNU_SPARSE;
    let mut is_extended = header::GNU_ISEXTENDED;
    loop {
        let mut ended = false;
        for part in block[parts].chunks_exact(24) {
            if part.iter().all(|&byte| byte == 0) {
                ended = true;
                continue;
            }
            // Readers disagree on whether a gap ends the map, so there must be none.
            let (offset, len) = part.split_at(12);
            if ended || offset[0] == 0 || len[0] == 0 {
                return Err(malformed("its map has a gap").into());
            }
            map.push(number::unsigned("sparse offset", offset)?, number::unsigned("sparse numbytes", len)?)?;
        }
        if block[is_extended] == 0 {
            break;
        }
        if ended {
            return Err(malformed("its map goes on after its end").into());
        }
        let have = input.block(block)?;
        if have < BLOCK_SIZE {
            let missing = (BLOCK_SIZE - have) as u64;
            return Err(TarProblem::Truncated { inside: "a sparse file's map", missing }.into());
        }
        (parts, is_extended) = (0..504, 504);
    }
    map.finish(stored)?;
    Ok(real_size)
}

/// Reads the map that an extended header describes. Returns the size of the file.
pub(super) fn pax<R: BufRead>(
    input: &mut Input<R>,
    pax: &Pax,
    stored: u64,
    extents: &mut Vec<Extent>,
) -> Result<u64, Failure> {
    let sparse = &pax.sparse;
    let has_map = pax.sparse_map().is_some();
    let in_data = match (sparse.major, sparse.minor) {
        (Some(1), Some(0)) if has_map || !sparse.pairs.is_empty() => {
            return Err(malformed("version 1.0 with a map in the extended header").into());
        }
        (Some(1), Some(0)) => true,
        (Some(0), Some(0 | 1)) => false,
        (None, None) if has_map || sparse.numblocks.is_some() || !sparse.pairs.is_empty() => false,
        (None, None) => return Err(malformed("GNU.sparse records, but neither a map nor a version").into()),
        (major, minor) => {
            let part = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
            let reason = format!("version {}.{}, expected 0.0, 0.1 or 1.0", part(major), part(minor));
            return Err(malformed(reason).into());
        }
    };
    let real_size = sparse.real_size.ok_or_else(|| malformed("neither GNU.sparse.size nor GNU.sparse.realsize"))?;
    let mut map = Map::new(extents, real_size)?;
    if in_data {
        let in_map = map_in_data(input, stored, &mut map)?;
        map.finish(stored - in_map)?;
        return Ok(real_size);
    }
    match pax.sparse_map() {
        Some(_) if !sparse.pairs.is_empty() => return Err(malformed("two maps in one extended header").into()),
        Some(text) => {
            let mut numbers = text.split(|&byte| byte == b',').map(number::decimal);
            while let Some(offset) = numbers.next() {
                let pair = offset.zip(numbers.next().flatten());
                let (offset, len) = pair.ok_or_else(|| malformed("GNU.sparse.map is not pairs of decimal numbers"))?;
                map.push(offset, len)?;
            }
        }
        None => {
            let (pairs, rest) = sparse.pairs.as_chunks();
            if !rest.is_empty() {
                return Err(malformed("GNU.sparse.offset without GNU.sparse.numbytes").into());
            }
            for &[offset, len] in pairs {
                map.push(offset, len)?;
            }
        }
    }
    if let Some(stated) = sparse.numblocks.filter(|&stated| stated != map.parts as u64) {
        let reason = format!("GNU.sparse.numblocks is {stated}, but the map has {} parts", map.parts);
        return Err(malformed(reason).into());
    }
    map.finish(stored)?;
    Ok(real_size)
}

/// Reads the map at the head of the content, at most `stored` bytes. Returns how many bytes it
/// takes there.
fn map_in_data<R: BufRead>(input: &mut Input<R>, stored: u64, map: &mut Map<'_>) -> Result<u64, Failure> {
    let mut numbers = Numbers { block: [0; BLOCK_SIZE], at: BLOCK_SIZE, read: 0, stored };
    let parts = numbers.next(input)?;
    if parts > MAX_EXTENTS as u64 {
        return Err(malformed(format!("its map has {parts} parts, expected at most {MAX_EXTENTS}")).into());
    }
    for _ in 0..parts {
        let offset = numbers.next(input)?;
        let len = numbers.next(input)?;
        map.push(offset, len)?;
    }
    Ok(numbers.read)
}

/// Lines of decimal numbers in whole blocks.
struct Numbers {
    block: Block,
    at: usize,
    read: u64,
    stored: u64,
}

impl Numbers {
    fn next<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<u64, Failure> {
        let mut number: Option<u64> = None;
        loop {
            if self.at == BLOCK_SIZE {
                self.refill(input)?;
            }
            let byte = self.block[self.at];
            self.at += 1;
            let digit = match (byte, number) {
                (b'\n', Some(number)) => return Ok(number),
                (b'0'..=b'9', _) => u64::from(byte - b'0'),
                _ => return Err(malformed("the map before its content is not lines of decimal numbers").into()),
            };
            let next = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit));
            number = Some(next.ok_or_else(|| malformed("a number of its map is larger than 2^64-1"))?);
        }
    }

    fn refill<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<(), Failure> {
        if self.stored - self.read < BLOCK_SIZE as u64 {
            return Err(malformed("its map is longer than what is stored").into());
        }
        let have = input.block(&mut self.block)?;
        if have < BLOCK_SIZE {
            let missing = (BLOCK_SIZE - have) as u64;
            return Err(TarProblem::Truncated { inside: "a sparse file's map", missing }.into());
        }
        self.read += BLOCK_SIZE as u64;
        self.at = 0;
        Ok(())
    }
}
