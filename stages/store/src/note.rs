//! Notes: small texts under a digest, which mean something to whoever wrote them, and nothing to
//! the store.
//!
//! ```text
//! offset 0: 4 bytes  CRC-32C of the digest's text and of the note, little-endian
//!        4:          the note
//! ```
//!
//! Nothing depends on a note: one that is lost costs the work that it would have saved. So it is
//! not synced, there are only so many, and those that were not used for longest make room.

use std::io::Read as _;

use cvbake_verify::Digest;

use crate::entry::{Entry, Fault, fault, times};
use crate::{Damage, Error, Event, Store};

const NOTES: &str = "notes-v1";

/// How many there are at most, more or less: some for each of the layers and disks of some hundred
/// images, of a few hundred bytes, rarely of some ten thousand.
const MAX_NOTES: usize = 4000;

/// The longest note: what is noted of an image of ten thousand layers has a tenth of that.
const MAX_LEN: u64 = 1 << 20;

const CHECKSUM: usize = 4;

impl Store {
    /// A note, if there is one; a damaged one is removed, reported, and counts as absent.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn note(&self, key: &Digest, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.open_entry(NOTES, key, on)? else { return Ok(None) };
        let read = read(&entry, key);
        entry.touch();
        Ok(entry.settle(read, on)?.map(|(_, text)| text))
    }

    /// Keeps a note, in the place of what had its key. One that is too long is not kept.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_note(&self, key: &Digest, text: &[u8]) -> Result<(), Error> {
        if text.len() as u64 > MAX_LEN {
            return self.remove_entry(NOTES, key);
        }
        let bytes = [&checksum(text, key).to_le_bytes(), text].concat();
        let dir = self.root.subdir(NOTES)?.subdir(key.algorithm().name())?;
        let _never_synced = self.write_new(&dir, &key.hex(), &bytes, |_| Ok(()))?;
        // To look at all of them takes a while, and there is no hurry: now and then is enough.
        if key.bytes()[0] == 0 { self.forget_notes() } else { Ok(()) }
    }

    /// Removes the notes that are too many.
    fn forget_notes(&self) -> Result<(), Error> {
        let mut notes = self.entries(NOTES)?;
        let too_many = notes.len().saturating_sub(MAX_NOTES);
        notes.sort_by_key(|(_, stat)| times(stat).1);
        notes[..too_many].iter().try_for_each(|(old, _)| self.remove_entry(NOTES, old))
    }
}

fn checksum(text: &[u8], key: &Digest) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key.to_string().as_bytes()), text)
}

fn read(entry: &Entry, key: &Digest) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    (&entry.file).take(CHECKSUM as u64 + MAX_LEN + 1).read_to_end(&mut bytes).map_err(fault)?;
    let Some((expected, text)) = bytes.split_first_chunk() else {
        return Err(Fault::Damage(Damage::Length { expected: CHECKSUM as u64, found: entry.len }));
    };
    let (expected, found) = (u32::from_le_bytes(*expected), checksum(text, key));
    match expected == found {
        true => Ok(text.to_owned()),
        false => Err(Fault::Damage(Damage::Checksum { from: 0, to: text.len() as u64, expected, found })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_noted_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let store = Store::open(dir.path(), &|_| {}).unwrap();
        let keys: Vec<Digest> = (0..600_u32).map(|number| Digest::sha256(&number.to_le_bytes())).collect();
        assert!(keys.iter().any(|key| key.bytes()[0] == 0), "some of them look at all");
        for (number, key) in keys.iter().enumerate() {
            store.put_note(key, number.to_string().as_bytes()).unwrap();
        }
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(store.note(key, &|_| {}).unwrap(), Some(number.to_string().into_bytes()));
        }
        assert_eq!(store.note(&Digest::sha256(b"nothing"), &|_| {}).unwrap(), None);
        let path = |key: &Digest| dir.path().join(NOTES).join("sha256").join(key.hex());
        let good = std::fs::read(path(&keys[0])).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(path(&keys[0]), bad).unwrap();
            assert_eq!(store.note(&keys[0], &|_| {}).unwrap(), None, "byte {at}");
            assert!(!path(&keys[0]).exists());
        }
        for bad in [&b""[..], b"123", &vec![0; 2 << 20], &std::fs::read(path(&keys[1])).unwrap()] {
            std::fs::write(path(&keys[0]), bad).unwrap();
            assert_eq!(store.note(&keys[0], &|_| {}).unwrap(), None);
        }
        store.put_note(&keys[1], &vec![0; 2 << 20]).unwrap();
        assert_eq!(store.note(&keys[1], &|_| {}).unwrap(), None, "too long to be kept");
    }
}
