//! The tree of a disk, computed from the data up.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;

use cvbake_disk::{ReadAt, Sink};
use zerocopy::IntoBytes as _;

use crate::error::{Error, Part};
use crate::hasher::{Bytes, RootHash, Salt, ZEROS};
use crate::layout::{BLOCK, BLOCK_LEN, FANOUT, Layout};
use crate::parallel::in_parallel;
use crate::superblock::{Identity, LEN, VeritySb};

/// So many blocks of level 0 are computed and written at once: 4 MiB of data and 32 KiB of hashes.
/// Less would be more calls to the kernel, more would leave threads without work at the end.
const PIECE: u64 = 8;

/// So much data is read at once, which stays within the second-level cache.
const READ_BLOCKS: u64 = 64;

impl Layout {
    /// Hashes the data, with a number of threads, and writes the hash area from `offset` of a sink
    /// on. `go_on` is called with how many more bytes of the data are hashed; when it returns
    /// `false`, the work ends.
    ///
    /// # Errors
    /// When the data can't be read or the hash area not be written, or the work was ended.
    ///
    /// # Panics
    /// When the data are not as long as planned.
    pub fn write(
        &self,
        identity: &Identity,
        data: &dyn ReadAt,
        sink: &dyn Sink,
        offset: u64,
        jobs: NonZeroUsize,
        go_on: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<RootHash, Error> {
        assert!(data.len_bytes() == self.data_blocks() * BLOCK, "it is planned for this length");
        let salt = Salt::new(&identity.salt);
        let root = if let Some(lowest) = self.levels().first() {
            let builder = Builder {
                layout: self,
                zero: salt.hash(&ZEROS),
                salt,
                data,
                sink,
                offset,
                open: Mutex::default(),
                root: Mutex::default(),
            };
            in_parallel(lowest.blocks.div_ceil(PIECE), jobs, &|piece| builder.piece(piece, go_on))?;
            builder.root.into_inner().expect("all threads have ended").expect("every block was hashed")
        } else {
            let mut block = ZEROS;
            read(data, 0, &mut block)?;
            salt.hash(&block)
        };
        let mut first = ZEROS;
        let superblock = VeritySb::new(identity, self);
        first[..LEN].copy_from_slice(superblock.as_bytes());
        sink.write_at(offset, &first)?;
        Ok(root)
    }
}

fn read(data: &dyn ReadAt, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
    data.read_at(offset, bytes).map_err(|source| Error::Read { part: Part::Data, offset, source })
}

/// A tree that grows from below.
struct Builder<'a> {
    layout: &'a Layout,
    salt: Salt,
    /// The hash of a block of zeros.
    zero: RootHash,
    data: &'a dyn ReadAt,
    sink: &'a dyn Sink,
    offset: u64,
    /// Blocks of the levels above the lowest one, by level and number, of which not all hashes are
    /// known: hardly more than there are threads and levels.
    open: Mutex<BTreeMap<(usize, u64), Open>>,
    root: Mutex<Option<RootHash>>,
}

struct Open {
    block: Box<Bytes>,
    missing: u64,
}

impl Builder<'_> {
    /// Computes some blocks of the lowest level.
    fn piece(&self, piece: u64, go_on: &(dyn Fn(u64) -> bool + Sync)) -> Result<(), Error> {
        let level = self.layout.levels()[0];
        let blocks = piece * PIECE..((piece + 1) * PIECE).min(level.blocks);
        let data = blocks.start * FANOUT..(blocks.end * FANOUT).min(self.layout.data_blocks());
        let mut hashes = vec![0; index((blocks.end - blocks.start) * BLOCK)];
        self.hash_data(data.clone(), &mut hashes)?;
        self.sink.write_at(self.offset + level.offset(blocks.start), &hashes)?;
        let mut last = None::<(Bytes, RootHash)>;
        for (number, block) in blocks.zip(hashes.as_chunks::<BLOCK_LEN>().0) {
            // In a hole, one is as the other.
            let hash = match &last {
                Some((same, hash)) if same == block => *hash,
                _ => self.salt.hash(block),
            };
            last = Some((*block, hash));
            self.put(1, number, hash)?;
        }
        if go_on((data.end - data.start) * BLOCK) { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Fills `hashes` with those of blocks of data. What is behind the last stays zeros.
    fn hash_data(&self, data: Range<u64>, hashes: &mut [u8]) -> Result<(), Error> {
        let (mut slots, _) = hashes.as_chunks_mut::<32>();
        slots = &mut slots[..index(data.end - data.start)];
        slots.fill(self.zero);
        let mut buffer = vec![0; index(READ_BLOCKS * BLOCK)];
        let mut at = data.start;
        while at < data.end {
            let offset = at * BLOCK;
            let next = self.data.next_content(offset);
            let next = next.map_err(|source| Error::Read { part: Part::Data, offset, source })?;
            let Some(next) = next else { return Ok(()) };
            let end = next.end.div_ceil(BLOCK).min(data.end);
            at = (next.start / BLOCK).max(at);
            while at < end {
                let count = READ_BLOCKS.min(end - at);
                let bytes = &mut buffer[..index(count * BLOCK)];
                read(self.data, at * BLOCK, bytes)?;
                let first = index(at - data.start);
                for (slot, block) in slots[first..].iter_mut().zip(bytes.as_chunks().0) {
                    // To compare is a tenth of the work of hashing.
                    if *block != ZEROS {
                        *slot = self.salt.hash(block);
                    }
                }
                at += count;
            }
        }
        Ok(())
    }

    /// Takes the hash of a block of the level below, and does with a block that becomes whole what
    /// is to be done with it.
    fn put(&self, level: usize, mut number: u64, mut hash: RootHash) -> Result<(), Error> {
        for level in level.. {
            if level == self.layout.levels().len() {
                *self.root.lock().expect("nobody panics while it is locked") = Some(hash);
                return Ok(());
            }
            let (block, slot) = (number / FANOUT, index(number % FANOUT));
            let Some(whole) = self.enter(level, block, slot, &hash) else { return Ok(()) };
            self.sink.write_at(self.offset + self.layout.levels()[level].offset(block), &whole[..])?;
            (number, hash) = (block, self.salt.hash(&whole));
        }
        unreachable!("there are more numbers than levels")
    }

    /// Enters a hash; returns the block if that was its last.
    fn enter(&self, level: usize, block: u64, slot: usize, hash: &RootHash) -> Option<Box<Bytes>> {
        let mut all = self.open.lock().expect("nobody panics while it is locked");
        let open = all.entry((level, block)).or_insert_with(|| {
            let below = self.layout.below(level, block);
            Open { block: Box::new(ZEROS), missing: below.end - below.start }
        });
        open.block[slot * hash.len()..][..hash.len()].copy_from_slice(hash);
        open.missing -= 1;
        if open.missing == 0 { all.remove(&(level, block)).map(|open| open.block) } else { None }
    }
}

/// An index within a piece.
fn index(number: u64) -> usize {
    usize::try_from(number).expect("within a piece of the tree")
}
