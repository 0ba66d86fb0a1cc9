//! The plan says truly what is written, and it is a function.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use cvbake_disk::{Error, Sink};
use cvbake_ext4::{Layout, Options, Region, Size, Use};
use cvbake_tree::Placement;
use cvbake_tree::{FileData, Ino, Kind, Segment, Tree};

use crate::support::{Maker, bake, fsck, mode, options};

/// Remembers what is written, and refuses to be written to twice.
#[derive(Default)]
struct Recorder(Mutex<BTreeMap<u64, Vec<u8>>>);

impl Sink for Recorder {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut writes = self.0.lock().unwrap();
        let before = writes.range(..offset + bytes.len() as u64).next_back();
        assert!(before.is_none_or(|(at, written)| at + written.len() as u64 <= offset), "written twice at {offset}");
        writes.insert(offset, bytes.to_vec());
        Ok(())
    }
}

/// Many directories and files, with content from two packs of which not all is used.
fn tree() -> Tree {
    let mut maker = Maker::new(&mode(0o755));
    for dir in 0..200u32 {
        let ino = maker.dir(Ino::ROOT, dir.to_string().as_bytes());
        for file in 0..100u32 {
            let content = vec![1; usize::try_from(dir * file * 7 % 20_000).unwrap()];
            maker.file(
                ino,
                format!("file with a long name {file}").as_bytes(),
                (dir + file) % 2,
                &content,
                &mode(0o644),
            );
        }
        let dead = maker.packs[0].len() + 4096;
        maker.packs[0].resize(dead, 0);
    }
    maker.finish().0
}

#[test]
fn what_is_written_is_what_was_planned() {
    let tree = tree();
    let sizes = [Size::Min, Size::Auto, Size::Exact(20 << 30)];
    for (size, base_pack) in sizes.into_iter().flat_map(|size| [(size, None), (size, Some(0)), (size, Some(1))]) {
        let layout = Layout::plan(&tree, &Options { size, base_pack, ..options() }).unwrap();
        assert_eq!(layout.base_pack(), base_pack);
        let recorder = Recorder::default();
        layout.write_metadata(&tree, &recorder).unwrap();
        let metadata = recorder.0.into_inner().unwrap();
        // The gaps of a base pack cut what stands in them.
        assert!(metadata.len() < if base_pack == Some(0) { 400 } else { 60 }, "{} writes", metadata.len());
        let mut written: Vec<Range<u64>> = metadata.iter().map(|(&at, bytes)| at..at + bytes.len() as u64).collect();
        written.extend(
            layout
                .placements()
                .iter()
                .map(|&Placement { disk_block, blocks, .. }| disk_block * 4096..(disk_block + blocks) * 4096),
        );
        written.sort_by_key(|range| range.start);
        assert!(written.windows(2).all(|pair| pair[0].end <= pair[1].start), "content on metadata");
        let used: Vec<Range<u64>> = layout.used_ranges().collect();
        assert!(used.windows(2).all(|pair| pair[0].end < pair[1].start), "{used:?}");
        assert!(used.last().unwrap().end <= layout.block_count() * 4096);
        for range in &written {
            assert!(
                used.iter().any(|used| used.start <= range.start && range.end <= used.end),
                "{range:?} is not planned"
            );
        }
        let (written, used) =
            [&written, &used].map(|ranges| ranges.iter().map(|range| range.end - range.start).sum::<u64>()).into();
        // A bitmap without a bit, of a last group that is whole and empty, needs no writing.
        assert!(written <= used && used - written <= 4096, "{written} of {used}");
        assert!(used <= layout.used_bytes());
    }
}

#[test]
fn placements_are_few_and_in_order() {
    let tree = tree();
    let layout = Layout::plan(&tree, &Options { size: Size::Min, ..options() }).unwrap();
    let placements = layout.placements();
    assert!(placements.is_sorted());
    // Pack 0 has a gap behind each directory; pack 1 is one run; either may be cut by the copies of
    // the superblock.
    assert!(placements.len() < 200 + 1 + 4, "{}", placements.len());
    assert!(placements.windows(2).all(|pair| pair[0].disk_block + pair[0].blocks <= pair[1].disk_block));
}

/// Three quarters of a base pack are alive, or it is none; and content that two files share can't
/// stand for both.
#[test]
fn a_base_pack_is_mostly_alive() {
    let plan = |files: &[(u64, u32)]| {
        let mut maker = Maker::new(&mode(0o755));
        for (number, &(pack_block, blocks)) in files.iter().enumerate() {
            let segments = [Segment { file_block: 0, blocks }];
            let data = FileData { size: u64::from(blocks) * 4096, pack: 1, pack_block, segments: &segments };
            maker.add(Ino::ROOT, number.to_string().as_bytes(), Kind::File(data), &mode(0o600));
        }
        let tree = maker.finish().0;
        Layout::plan(&tree, &Options { base_pack: Some(1), ..options() }).unwrap().base_pack()
    };
    assert_eq!(plan(&[(100, 300)]), Some(1));
    assert_eq!(plan(&[(101, 300)]), None);
    assert_eq!(plan(&[(0, 200), (250, 100), (350, 50)]), Some(1));
    assert_eq!(plan(&[(0, 200), (199, 100)]), None);
    assert_eq!(plan(&[]), None);
    // A gap behind every file: 256 of them are no trouble, 5000 in as many times 100 blocks are.
    let gaps = |files: u64, blocks: u32| {
        let step = u64::from(blocks) + 1;
        (0..files).map(|file| (file * step, blocks)).collect::<Vec<_>>()
    };
    assert_eq!(plan(&gaps(256, 3)), Some(1));
    assert_eq!(plan(&gaps(5000, 300)), Some(1));
    assert_eq!(plan(&gaps(5000, 100)), None);
}

#[test]
fn same_tree_same_bytes() {
    let bytes = |options: &Options| {
        let mut maker = Maker::new(&mode(0o755));
        for number in 0..3000u32 {
            maker.file(Ino::ROOT, format!("f{number}").as_bytes(), 0, &number.to_le_bytes(), &mode(0o644));
        }
        let (tree, packs) = maker.finish();
        let disk = bake(&tree, &packs, options);
        fsck(disk.path());
        std::fs::read(disk.path()).unwrap()
    };
    let options = Options { size: Size::Min, ..options() };
    let first = bytes(&options);
    assert!(first == bytes(&options));
    for other in [
        Options { uuid: [7; 16], ..options.clone() },
        Options { hash_seed: [7; 16], ..options.clone() },
        Options { hash_seed: [0; 16], ..options.clone() },
        Options { label: b"other".to_vec(), ..options.clone() },
        Options { epoch: 1, ..options.clone() },
        Options { epoch: -1, ..options.clone() },
    ] {
        assert!(first != bytes(&other), "{other:?}");
    }
}

#[test]
fn the_map_has_each_block_once() {
    let tree = tree();
    let sizes = [Size::Min, Size::Auto, Size::Exact(20 << 30)];
    for (size, base_pack) in sizes.into_iter().flat_map(|size| [(size, None), (size, Some(0)), (size, Some(1))]) {
        let layout = Layout::plan(&tree, &Options { size, base_pack, ..options() }).unwrap();
        let regions = layout.regions();
        let mut at = 0;
        for Region { blocks, .. } in &regions {
            assert!(blocks.start == at && blocks.end > at, "{blocks:?} at {at}");
            at = blocks.end;
        }
        assert_eq!(at, layout.block_count());
        let alike = |pair: &[Region]| pair[0].used_for == pair[1].used_for && pair[0].is_written == pair[1].is_written;
        assert!(!regions.windows(2).any(alike), "what is alike is one region");
        let sum = |is: &dyn Fn(&Region) -> bool| -> u64 {
            regions.iter().filter(|region| is(region)).map(|region| region.blocks.end - region.blocks.start).sum()
        };
        assert_eq!(sum(&|region| region.used_for == Use::Free), layout.free_blocks());
        for pack in [0, 1] {
            let placed = layout.placements().iter().filter(|place| place.pack == pack);
            let placed: u64 = placed.map(|place| place.blocks).sum();
            assert_eq!(sum(&|region| region.used_for == Use::Content { pack }), placed);
        }
        let written: u64 = layout.used_ranges().map(|range| range.end - range.start).sum();
        assert_eq!(sum(&|region| region.is_written) * 4096, written);
        assert!(!regions.iter().any(|region| region.used_for == Use::Free && region.is_written));
        assert!(sum(&|region| region.used_for == Use::Structure) > 200, "a block for each directory");
        assert!(sum(&|region| region.used_for == Use::Journal) >= 1024);
    }
}
