//! How the content of a file stands on the disk.

use cvbake_tree::{FileData, Segment};

use crate::format::{BLOCK_SIZE, CHUNK_BITS_MAX, EROFS_BLOCK_MAP_ENTRY_SIZE, EROFS_NULL_ADDR};

/// How the content of a file stands on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    /// There is none.
    Empty,
    /// As in its pack, without holes.
    Plain,
    /// In chunks: those that are nothing but holes are not there.
    Chunked(Chunks),
}

/// The chunks of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chunks {
    /// The logarithm of how many blocks each has.
    pub(crate) bits: u32,
    /// Whether some have both content and holes. Otherwise the content stands as in its pack.
    pub(crate) is_padded: bool,
    /// How many chunks there are.
    pub(crate) count: u64,
    /// How many blocks of the disk the file takes.
    pub(crate) blocks: u64,
}

/// A map this large, in bytes, is never too large.
const MAP_MIN: u64 = 64 << 10;
/// A larger one is not when it is at most such a part of the content, which one for every block is
/// of a file of some holes.
const MAP_PART: u64 = 512;

impl Stored {
    pub(crate) fn of(data: &FileData<'_>) -> Stored {
        let blocks = data.size.div_ceil(BLOCK_SIZE);
        match data.segments {
            _ if blocks == 0 => Stored::Empty,
            [Segment { file_block: 0, blocks: stored }] if u64::from(*stored) == blocks => Stored::Plain,
            _ => Stored::Chunked(Chunks::of(data, blocks)),
        }
    }

    /// How many blocks of the disk content takes.
    pub(crate) fn blocks(self, data: &FileData<'_>) -> u64 {
        match self {
            Stored::Empty => 0,
            Stored::Plain => data.stored_blocks(),
            Stored::Chunked(chunks) => chunks.blocks,
        }
    }

    /// How long the map behind the inode is, in bytes.
    pub(crate) fn map_bytes(self) -> u64 {
        match self {
            Stored::Empty | Stored::Plain => 0,
            Stored::Chunked(chunks) => chunks.count * EROFS_BLOCK_MAP_ENTRY_SIZE,
        }
    }

    pub(crate) fn is_padded(self) -> bool {
        matches!(self, Stored::Chunked(Chunks { is_padded: true, .. }))
    }
}

impl Chunks {
    fn of(data: &FileData<'_>, blocks: u64) -> Chunks {
        // Where content and holes meet; the end of the file may be anywhere within a chunk.
        let borders = data.segments.iter().flat_map(|segment| {
            let start = u64::from(segment.file_block);
            [start, start + u64::from(segment.blocks)]
        });
        let met = borders.filter(|&border| border < blocks).fold(0, |all, border| all | border);
        // One chunk that holds the file is large enough.
        let largest = blocks.next_power_of_two().trailing_zeros().min(CHUNK_BITS_MAX);
        let bits = if met == 0 { largest } else { met.trailing_zeros().min(largest) };
        let stored = data.stored_blocks();
        let exact = Chunks { bits, is_padded: false, count: blocks.div_ceil(1 << bits), blocks: stored };
        let map = exact.count * EROFS_BLOCK_MAP_ENTRY_SIZE;
        if map <= MAP_MIN || map <= stored * BLOCK_SIZE / MAP_PART {
            return exact;
        }
        let padded = (bits + 1..=largest).map(|bits| Chunks::padded(data, blocks, bits));
        padded.fold(exact, |best, next| if next.cost() < best.cost() { next } else { best })
    }

    /// With chunks that are filled up with zeros.
    fn padded(data: &FileData<'_>, blocks: u64, bits: u32) -> Chunks {
        let (mut taken, mut next) = (0, 0);
        for segment in data.segments {
            let start = u64::from(segment.file_block);
            let (first, end) = ((start >> bits).max(next), (start + u64::from(segment.blocks)).div_ceil(1 << bits));
            let end_block = (end << bits).min(blocks);
            if first < end {
                taken += end_block - (first << bits);
            }
            next = end;
        }
        Chunks { bits, is_padded: true, count: blocks.div_ceil(1 << bits), blocks: taken }
    }

    /// What it takes of the disk, in bytes.
    fn cost(&self) -> u64 {
        self.blocks * BLOCK_SIZE + self.count * EROFS_BLOCK_MAP_ENTRY_SIZE
    }

    /// Where each run of content stands, from the file's first block of the disk on.
    pub(crate) fn places<'s>(self, segments: &'s [Segment]) -> impl Iterator<Item = u64> + 's {
        // How many blocks stand before the chunk that comes next, and which that is.
        let (mut before, mut next) = (0, 0);
        segments.iter().map(move |segment| {
            let (start, len) = (u64::from(segment.file_block), u64::from(segment.blocks));
            if !self.is_padded {
                let place = before;
                before += len;
                return place;
            }
            let first = start >> self.bits;
            if first >= next {
                // Chunks that follow each other in the file do so on the disk.
                next = first;
            } else {
                before -= 1 << self.bits;
                next -= 1;
            }
            let place = before + start - (next << self.bits);
            let end = (start + len).div_ceil(1 << self.bits);
            before += (end - next) << self.bits;
            next = end;
            place
        })
    }

    /// The map: where each chunk starts on the disk, if the file starts at `start`.
    pub(crate) fn map<'s>(self, segments: &'s [Segment], start: u32) -> impl Iterator<Item = u32> + 's {
        let mut runs = segments.iter().zip(self.places(segments)).peekable();
        (0..self.count).map(move |chunk| {
            let (from, to) = (chunk << self.bits, (chunk + 1) << self.bits);
            let ends = |segment: &Segment| u64::from(segment.file_block) + u64::from(segment.blocks);
            while runs.next_if(|(segment, _)| ends(segment) <= from).is_some() {}
            match runs.peek() {
                Some(&(segment, place)) if u64::from(segment.file_block) < to => {
                    // Content that begins within the chunk has zeros before it.
                    let within = place + from;
                    let place = within - u64::from(segment.file_block);
                    start + u32::try_from(place).expect("the plan has 32-bit block numbers")
                }
                _ => EROFS_NULL_ADDR,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(runs: &[(u32, u32)]) -> Vec<Segment> {
        runs.iter().map(|&(file_block, blocks)| Segment { file_block, blocks }).collect()
    }

    fn chunks(size: u64, segments: &[Segment]) -> Chunks {
        match Stored::of(&FileData { size, pack: 0, pack_block: 0, segments }) {
            Stored::Chunked(chunks) => chunks,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_without_holes_have_no_chunks() {
        let stored = |size, runs: &[(u32, u32)]| {
            Stored::of(&FileData { size, pack: 0, pack_block: 0, segments: &segments(runs) })
        };
        assert_eq!(stored(0, &[]), Stored::Empty);
        assert_eq!(stored(1, &[(0, 1)]), Stored::Plain);
        assert_eq!(stored(8193, &[(0, 3)]), Stored::Plain);
        assert!(matches!(stored(8193, &[(0, 2)]), Stored::Chunked(_)));
        assert!(matches!(stored(8193, &[(1, 2)]), Stored::Chunked(_)));
    }

    #[test]
    fn chunks_are_as_large_as_the_holes_allow() {
        let cases = [
            (4096, &[][..], 0, 1),
            (5 * 4096, &[], 3, 1),
            (16 * 4096, &[(8, 8)], 3, 2),
            (13 * 4096 + 1, &[(8, 6)], 3, 2),
            (16 * 4096, &[(4, 8)], 2, 4),
            (16 * 4096, &[(1, 15)], 0, 16),
            (u64::from(u32::MAX) * 4096, &[], CHUNK_BITS_MAX, 8192),
        ];
        for (size, runs, bits, count) in cases {
            let chunks = chunks(size, &segments(runs));
            assert_eq!((chunks.bits, chunks.count, chunks.is_padded), (bits, count, false), "{runs:?}");
        }
    }

    #[test]
    fn maps_find_content_where_the_pack_has_it() {
        let map = |size, runs: &[(u32, u32)]| {
            let segments = segments(runs);
            chunks(size, &segments).map(&segments, 100).collect::<Vec<_>>()
        };
        const NONE: u32 = EROFS_NULL_ADDR;
        assert_eq!(map(3 * 4096, &[]), [NONE]);
        assert_eq!(map(4 * 4096, &[(1, 2)]), [NONE, 100, 101, NONE]);
        assert_eq!(map(8 * 4096, &[(0, 2), (4, 3)]), [100, 101, NONE, NONE, 102, 103, 104, NONE]);
        assert_eq!(map(8 * 4096, &[(0, 2), (4, 4)]), [100, NONE, 102, 104]);
    }

    /// A map for every block would take a gibibyte.
    #[test]
    fn maps_are_in_proportion() {
        let segments = segments(&[(0, 1), ((1 << 28) - 1, 1)]);
        let chunks = chunks(1 << 40, &segments);
        assert!(chunks.is_padded);
        assert!(chunks.cost() < 8 << 20, "{chunks:?}");
        let places: Vec<u64> = chunks.places(&segments).collect();
        let len = 1 << chunks.bits;
        assert_eq!(places, [0, 2 * len - 1]);
        let map: Vec<u32> = chunks.map(&segments, 7).filter(|&place| place != EROFS_NULL_ADDR).collect();
        assert_eq!(map, [7, 7 + u32::try_from(len).unwrap()]);
    }

    /// Runs in one chunk, across chunks, and one that begins in the chunk where another ends.
    #[test]
    fn padded_chunks_hold_each_run_in_its_place() {
        let segments = segments(&[(1, 1), (3, 2), (6, 4), (33, 1), (62, 3)]);
        let blocks = 65;
        for bits in 1..6 {
            let chunks = Chunks::padded(
                &FileData { size: blocks * 4096, pack: 0, pack_block: 0, segments: &segments },
                blocks,
                bits,
            );
            let map: Vec<u32> = chunks.map(&segments, 0).collect();
            let mut end = 0;
            for (segment, place) in segments.iter().zip(chunks.places(&segments)) {
                for block in 0..u64::from(segment.blocks) {
                    let at = u64::from(segment.file_block) + block;
                    let chunk = map[usize::try_from(at >> bits).unwrap()];
                    assert_ne!(chunk, EROFS_NULL_ADDR);
                    assert_eq!(place + block, u64::from(chunk) + at % (1 << bits), "{bits}: {segment:?}");
                }
                end = place + u64::from(segment.blocks);
            }
            assert_eq!(chunks.blocks, end.max(chunks.blocks), "{bits}");
            let last = map.iter().filter(|&&place| place != EROFS_NULL_ADDR).max().unwrap();
            assert!(u64::from(*last) + (1 << bits) >= chunks.blocks);
        }
    }
}
