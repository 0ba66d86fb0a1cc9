//! Notes: small texts under a digest, which mean something to whoever wrote them, and nothing to the store.
//!
//! Nothing depends on a note: one that is lost costs the work that it would have saved. So there are only so many of them, and
//! those that were not used for longest make room.

use std::io::Read as _;

use cvbake_verify::Digest;

use crate::entry::{Fault, fault, times};
use crate::{Damage, Error, Event, Store};

const NOTES: &str = "notes-v1";

/// How many there are at most.
const MAX_NOTES: usize = 4000;

/// The longest note.
const MAX_LEN: u64 = 1 << 20;

impl Store {
    /// A note, if there is one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn note(&self, key: &Digest, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.open_entry(NOTES, key, on)? else { return Ok(None) };
        let read = || {
            if entry.len > MAX_LEN {
                return Err(Fault::Damage(Damage::Length { expected: MAX_LEN, found: entry.len }));
            }
            let mut text = Vec::new();
            (&entry.file).take(MAX_LEN).read_to_end(&mut text).map_err(fault)?;
            Ok(text)
        };
        let read = read();
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
        let dir = self.root.subdir(NOTES)?.subdir(key.algorithm().name())?;
        // After a crash a note may be anything; it need not be waited for.
        self.write_new(&dir, &key.hex(), text, |_| Ok(()))?;
        let mut notes = self.entries(NOTES)?;
        if notes.len() > MAX_NOTES {
            notes.sort_by_key(|(_, stat)| times(stat).1);
            for (old, _) in &notes[..notes.len() - MAX_NOTES] {
                self.remove_entry(NOTES, old)?;
            }
        }
        Ok(())
    }
}
