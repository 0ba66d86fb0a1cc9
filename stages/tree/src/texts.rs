//! Texts that many inodes have, such as targets of symbolic links, each kept once.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Knows where in a list of bytes which text stands.
#[derive(Debug, Default)]
pub struct Texts {
    /// Start and length of each.
    table: HashTable<(u32, u16)>,
    /// Randomly keyed, because an image chooses the texts; the order of the table is never looked
    /// at.
    hasher: RandomState,
}

impl Texts {
    /// Where a text stands in `bytes`, always the same list, and how long it is: it is appended if
    /// it does not stand there yet. `None` if the place or the length has more bits than there are.
    pub fn place(&mut self, bytes: &mut Vec<u8>, text: &[u8]) -> Option<(u32, u16)> {
        let Texts { table, hasher } = self;
        let at = |&(start, len): &(u32, u16)| start as usize..start as usize + usize::from(len);
        let hash = hasher.hash_one(text);
        if let Some(&known) = table.find(hash, |place| &bytes[at(place)] == text) {
            return Some(known);
        }
        let new = (u32::try_from(bytes.len()).ok()?, u16::try_from(text.len()).ok()?);
        bytes.extend_from_slice(text);
        table.insert_unique(hash, new, |place| hasher.hash_one(&bytes[at(place)]));
        Some(new)
    }

    /// The bytes of memory that it takes beside the texts, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.table.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_stand_there_once() {
        let (mut texts, mut bytes) = (Texts::default(), b"before".to_vec());
        let mut place = |text: &[u8]| texts.place(&mut bytes, text);
        assert_eq!([place(b"one"), place(b"two"), place(b"one")], [Some((6, 3)), Some((9, 3)), Some((6, 3))]);
        assert_eq!(place(&[0; 1 << 16]), None);
        assert_eq!(bytes, b"beforeonetwo");
    }
}
