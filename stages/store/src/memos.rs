//! Memos: small texts under a digest, which mean something to whoever wrote them, and nothing to
//! the store.
//!
//! ```text
//! offset 0: 4 bytes  CRC-32C of the digest's text and of the memo, little-endian
//!        4:          the memo
//! ```
//!
//! Nothing depends on a memo: one that is lost costs the work that it would have saved. So it is
//! not synced, there are only so many, and those that were not used for longest make room.

use std::io::Read as _;

use cvbake_verify::Digest;

use crate::entry::{Entry, Fault, fault, times};
use crate::error::{Damage, Error};
use crate::event::Observer;
use crate::files::Files;

const MEMOS: &str = "notes-v1";

/// How many there are at most, more or less: some for each of the layers and disks of some hundred
/// images, of a few hundred bytes, rarely of some ten thousand.
const MAX_MEMOS: usize = 4000;

/// The longest memo: what is remembered of an image of ten thousand layers has a tenth of that.
const MAX_LEN: u64 = 1 << 20;

const CHECKSUM: usize = 4;

/// The memos of a store.
#[derive(Debug, Clone, Copy)]
pub struct Memos<'s> {
    files: &'s Files,
}

impl<'s> Memos<'s> {
    pub(crate) fn new(files: &'s Files) -> Memos<'s> {
        Memos { files }
    }

    /// A memo, if there is one; a damaged one is removed, reported, and counts as absent.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn get(self, key: &Digest, on: Observer<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.files.open_entry(MEMOS, key, on)? else { return Ok(None) };
        let read = read(&entry, key);
        entry.touch();
        Ok(entry.into_checked(read, on)?.map(|(_, text)| text))
    }

    /// Keeps a memo, in the place of what had its key. One that is too long is not kept.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put(self, key: &Digest, text: &[u8]) -> Result<(), Error> {
        if text.len() as u64 > MAX_LEN {
            return self.files.remove_entry(MEMOS, key);
        }
        let bytes = [&checksum(text, key).to_le_bytes(), text].concat();
        let dir = self.files.root.subdir(MEMOS)?.subdir(key.algorithm().name())?;
        let _never_synced = self.files.put_small(&dir, &key.hex(), &bytes, |_| Ok(()))?;
        // To look at all of them takes a while, and there is no hurry: now and then is enough.
        if key.bytes()[0] == 0 { self.forget() } else { Ok(()) }
    }

    /// Removes the memos that are too many.
    fn forget(self) -> Result<(), Error> {
        let mut memos = self.files.entries(MEMOS)?;
        let too_many = memos.len().saturating_sub(MAX_MEMOS);
        memos.sort_by_key(|(_, stat)| times(stat).1);
        memos[..too_many].iter().try_for_each(|(old, _)| self.files.remove_entry(MEMOS, old))
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
    use crate::dir::Dir;

    #[test]
    fn only_what_was_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let files = Files::new(Dir::open_root(dir.path()).unwrap());
        let memos = Memos::new(&files);
        let keys: Vec<Digest> = (0..600_u32).map(|number| Digest::sha256(&number.to_le_bytes())).collect();
        assert!(keys.iter().any(|key| key.bytes()[0] == 0), "some of them look at all");
        for (number, key) in keys.iter().enumerate() {
            memos.put(key, number.to_string().as_bytes()).unwrap();
        }
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(memos.get(key, &|_| {}).unwrap(), Some(number.to_string().into_bytes()));
        }
        assert_eq!(memos.get(&Digest::sha256(b"nothing"), &|_| {}).unwrap(), None);
        let path = |key: &Digest| dir.path().join(MEMOS).join("sha256").join(key.hex());
        let good = std::fs::read(path(&keys[0])).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(path(&keys[0]), bad).unwrap();
            assert_eq!(memos.get(&keys[0], &|_| {}).unwrap(), None, "byte {at}");
            assert!(!path(&keys[0]).exists());
        }
        for bad in [&b""[..], b"123", &vec![0; 2 << 20], &std::fs::read(path(&keys[1])).unwrap()] {
            std::fs::write(path(&keys[0]), bad).unwrap();
            assert_eq!(memos.get(&keys[0], &|_| {}).unwrap(), None);
        }
        memos.put(&keys[1], &vec![0; 2 << 20]).unwrap();
        assert_eq!(memos.get(&keys[1], &|_| {}).unwrap(), None, "too long to be kept");
    }
}
