//! The envelope of an index.
//!
//! ```text
//! offset   0: 8 bytes  "cvbkidx" and 1, the version of the envelope
//!          8: 8 bytes  n, the length of the payload, little-endian
//!         16: n bytes  the payload
//!     16 + n: 4 bytes  CRC-32C of all before and of the digest's text, little-endian
//! ```
//!
//! The digest is covered by the checksum but not stored, so an entry under a wrong name does not
//! pass.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;

use cvbake_verify::Digest;

use crate::entry::{Entry, Fault, fault};
use crate::error::Damage;

const MAGIC: [u8; 8] = *b"cvbkidx\x01";
const HEADER: usize = 16;
const TRAILER: usize = 4;

/// The longest index: some hundred bytes for each of some ten million entries, more than a tree of
/// our 32-bit numbers holds.
const MAX_LEN: u64 = 1 << 32;

/// Writes the index of a layer.
pub(crate) fn write(mut file: &File, layer: &Digest, payload: &[u8]) -> io::Result<()> {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let trailer = checksum(&header, payload, layer).to_le_bytes();
    let mut parts = [IoSlice::new(&header), IoSlice::new(payload), IoSlice::new(&trailer)];
    let mut parts = &mut parts[..];
    while !parts.is_empty() {
        let written = file.write_vectored(parts)?;
        IoSlice::advance_slices(&mut parts, written);
    }
    Ok(())
}

fn checksum(header: &[u8], payload: &[u8], layer: &Digest) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(header), payload);
    crc32c::crc32c_append(crc, layer.to_string().as_bytes())
}

/// Reads the index of a layer.
pub(crate) fn read(entry: &Entry, layer: &Digest) -> Result<Vec<u8>, Fault> {
    let damage = |damage| Err(Fault::Damage(damage));
    let envelope = (HEADER + TRAILER) as u64;
    if entry.len < envelope || entry.len - envelope > MAX_LEN {
        return damage(Damage::Length { expected: envelope, found: entry.len });
    }
    let mut header = [0; HEADER];
    entry.file.read_exact_at(&mut header, 0).map_err(fault)?;
    let (magic, len) = header.split_at(8);
    if magic != MAGIC {
        return damage(Damage::Header);
    }
    let len = u64::from_le_bytes(len.try_into().expect("eight bytes"));
    if len != entry.len - envelope {
        return damage(Damage::Length { expected: len.saturating_add(envelope), found: entry.len });
    }
    let len = usize::try_from(len).expect("below the longest index");
    let mut payload = Vec::new();
    payload.try_reserve_exact(len + TRAILER).map_err(|_| Fault::Error(std::io::ErrorKind::OutOfMemory.into()))?;
    payload.resize(len + TRAILER, 0);
    entry.file.read_exact_at(&mut payload, HEADER as u64).map_err(fault)?;
    let trailer = payload.split_off(len);
    let expected = u32::from_le_bytes(trailer[..].try_into().expect("four bytes"));
    let found = checksum(&header, &payload, layer);
    if found != expected {
        return damage(Damage::Checksum { from: 0, to: HEADER as u64 + len as u64, expected, found });
    }
    Ok(payload)
}
