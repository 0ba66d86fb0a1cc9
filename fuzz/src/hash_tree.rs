//! A disk and a hash area of anybody's.
//!
//! An input is a root hash, how many blocks of data there are, the data, and the hash area. For any
//! bytes: however many threads check them, they come to the same, and an error is a line. For
//! accepted input: any other root hash is refused, and so is any other data that the tree is about.

use std::io;
use std::num::NonZeroUsize;

use cvbake::disk::{Error as DiskError, ReadAt, Sink};
use cvbake::verity::{BLOCK, Identity, Layout, RootHash};

use crate::line;

struct Memory<'b>(&'b [u8]);

impl ReadAt for Memory<'_> {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
        let found = rest.and_then(|rest| rest.get(..bytes.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }
}

fn checked(data: &[u8], area: &[u8], root: &RootHash, jobs: usize) -> Result<u64, String> {
    let jobs = NonZeroUsize::new(jobs).expect("at least one");
    let checked = cvbake::verity::check(&Memory(data), &Memory(area), 0, root, jobs, &|_| true);
    checked.map(|checked| checked.data_blocks).map_err(|error| line(&error))
}

/// Checks a disk by its tree.
pub fn check(input: &[u8]) {
    let Some((root, rest)) = input.split_first_chunk::<32>() else { return };
    let Some((&blocks, rest)) = rest.split_first() else { return };
    let block = usize::try_from(BLOCK).expect("a block");
    let (data, area) = rest.split_at((usize::from(blocks) * block).min(rest.len()));
    let found = checked(data, area, root, 1);
    assert_eq!(checked(data, area, root, 3), found, "whoever checks it");
    let Ok(data_blocks) = found else { return };
    let mut other = *root;
    other[31] ^= 1;
    assert!(checked(data, area, &other, 1).is_err(), "another root hash");
    let end = usize::try_from(data_blocks).expect("as many as there are") * block;
    let mut other = data.to_vec();
    other[end - 1] ^= 1;
    assert!(checked(&other, area, root, 2).is_err(), "other data");
}

struct Area(std::sync::Mutex<Vec<u8>>);

impl Sink for Area {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut area = self.0.lock().expect("nobody panics while it is locked");
        let offset = usize::try_from(offset).expect("a short area");
        let end = (offset + bytes.len()).max(area.len());
        area.resize(end, 0);
        area[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// An input that is accepted, of so many blocks.
pub(crate) fn seed(blocks: u8) -> Vec<u8> {
    let data: Vec<u8> = (0..u64::from(blocks)).flat_map(|number| vec![number.to_le_bytes()[0]; 4096]).collect();
    let layout = Layout::plan(data.len() as u64).expect("whole blocks");
    let (area, identity) = (Area(Vec::new().into()), Identity { uuid: [1; 16], salt: [2; 32] });
    let root = layout.write(&identity, &Memory(&data), &area, 0, NonZeroUsize::MIN, &|_| true).expect("in memory");
    let area = area.0.into_inner().expect("all threads have ended");
    [&root[..], &[blocks], &data, &area].concat()
}
