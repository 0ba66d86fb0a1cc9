//! Sets of extended attributes, each kept once.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::Xattr;

/// Numbers sets of extended attributes in the order in which they come first; number 0 is the empty
/// set.
///
/// Attributes can be most of what is known about a file (signatures are), so no set is there twice,
/// not even as a key.
#[derive(Debug)]
pub struct XattrSets {
    sets: Vec<Vec<Xattr>>,
    bytes: usize,
    table: HashTable<u32>,
    /// Randomly keyed, because an image chooses the attributes; the order of the table is never
    /// looked at.
    hasher: RandomState,
}

impl XattrSets {
    /// Nothing but the empty set.
    #[must_use]
    pub fn new() -> XattrSets {
        XattrSets { sets: vec![Vec::new()], bytes: 0, table: HashTable::new(), hasher: RandomState::new() }
    }

    /// The number of a set, whatever the order of the attributes; `None` if there are more than 32
    /// bits count.
    pub fn number(&mut self, mut set: Vec<Xattr>) -> Option<u32> {
        if set.is_empty() {
            return Some(0);
        }
        set.sort();
        let XattrSets { sets, bytes, table, hasher } = self;
        let hash = hasher.hash_one(&set);
        if let Some(&known) = table.find(hash, |&number| sets[number as usize] == set) {
            return Some(known);
        }
        let new = u32::try_from(sets.len()).ok()?;
        *bytes += size_of::<Vec<Xattr>>() + set.iter().map(Xattr::bytes).sum::<usize>();
        sets.push(set);
        table.insert_unique(hash, new, |&number| hasher.hash_one(&sets[number as usize]));
        Some(new)
    }

    /// The bytes of memory that the sets take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The set of a number that [`XattrSets::number`] gave, sorted by name.
    pub(crate) fn get(&self, number: u32) -> &[Xattr] {
        &self.sets[number as usize]
    }

    /// The sets by number, each sorted by name.
    #[must_use]
    pub fn into_sets(self) -> Vec<Vec<Xattr>> {
        self.sets
    }
}

impl Default for XattrSets {
    fn default() -> XattrSets {
        XattrSets::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_one_number() {
        let xattr = |name: &[u8]| Xattr { name: name.into(), value: (*b"x").into() };
        let mut sets = XattrSets::new();
        let numbers = [
            sets.number(vec![]),
            sets.number(vec![xattr(b"user.b"), xattr(b"user.a")]),
            sets.number(vec![xattr(b"user.a")]),
            sets.number(vec![xattr(b"user.a"), xattr(b"user.b")]),
        ];
        assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(1)]);
        let sorted = vec![xattr(b"user.a"), xattr(b"user.b")];
        assert_eq!(sets.into_sets(), [vec![], sorted, vec![xattr(b"user.a")]]);
    }
}
