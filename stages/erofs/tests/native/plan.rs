//! The plan as a value.

use std::ops::Range;
use std::sync::Mutex;

use cvbake_disk::{Error, Sink};
use cvbake_erofs::{Layout, Options};
use cvbake_tree::{FileData, Ino, Kind, Meta, Segment, Time, Tree};

use crate::support::{Maker, bake, fsck, mode, options};

/// Remembers where something was written.
struct Ranges(Mutex<Vec<Range<u64>>>);

impl Sink for Ranges {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.0.lock().unwrap().push(offset..offset + bytes.len() as u64);
        Ok(())
    }
}

fn some_tree() -> (Tree, Vec<Vec<u8>>) {
    let mut maker = Maker::new(&mode(0o755));
    for number in 0..300u32 {
        let dir = maker.add(Ino::ROOT, format!("{number:0200}").as_bytes(), Kind::Directory, &mode(0o755));
        for file in 0..number % 100 {
            maker.add(
                dir,
                format!("{file}").as_bytes(),
                Kind::Symlink(&[b't'; 3000][..(5 * file as usize) + 1]),
                &mode(0o777),
            );
        }
        let content = number.to_le_bytes().repeat(5000);
        maker.file(dir, b"content", number % 2, &content, &mode(0o644));
    }
    maker.finish()
}

/// Formats that map blocks have room for nothing else.
#[test]
fn nothing_is_written_but_what_was_planned() {
    let (tree, _) = some_tree();
    for base_pack in [None, Some(1)] {
        let layout = Layout::plan(&tree, &Options { base_pack, ..options() }).unwrap();
        assert_eq!(layout.base_pack(), base_pack);
        let sink = Ranges(Mutex::default());
        layout.write_metadata(&tree, &sink).unwrap();
        let used: Vec<Range<u64>> = layout.used_ranges().collect();
        assert!(used.windows(2).all(|pair| pair[0].end < pair[1].start));
        assert!(used.last().unwrap().end <= layout.len_bytes());
        let mut written = sink.0.into_inner().unwrap();
        assert!(written.len() < 20, "writes are large: {}", written.len());
        written.sort_by_key(|range| range.start);
        assert!(written.windows(2).all(|pair| pair[0].end <= pair[1].start), "nothing is written twice");
        for range in written {
            assert!(used.iter().any(|used| used.start <= range.start && range.end <= used.end), "{range:?}");
        }
        for place in layout.placements() {
            let (start, end) = (place.disk_block * 4096, (place.disk_block + place.blocks) * 4096);
            assert!(used.iter().any(|used| used.start <= start && end <= used.end));
        }
    }
}

#[test]
fn same_tree_same_bytes() {
    let (tree, packs) = some_tree();
    let bytes = |options: &Options| {
        let disk = bake(&tree, &packs, options);
        fsck(disk.path());
        std::fs::read(disk.path()).unwrap()
    };
    let first = bytes(&options());
    assert!(first == bytes(&options()));
    for other in [
        Options { uuid: [7; 16], ..options() },
        Options { label: b"other".to_vec(), ..options() },
        Options { epoch: 1, ..options() },
        Options { epoch: -1, ..options() },
        Options { base_pack: Some(0), ..options() },
    ] {
        assert!(first != bytes(&other), "{other:?}");
    }
}

/// Fifteen of sixteen blocks of a base pack are alive, or it is none; and content that two files
/// share can't stand for both.
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
    assert_eq!(plan(&[(100, 1500)]), Some(1));
    assert_eq!(plan(&[(101, 1500)]), None);
    assert_eq!(plan(&[(0, 200), (210, 100), (310, 50)]), Some(1));
    assert_eq!(plan(&[(0, 200), (199, 100)]), None);
    assert_eq!(plan(&[]), None);
    let gaps = |files: u64, blocks: u32| {
        let step = u64::from(blocks) + 1;
        (0..files).map(|file| (file * step, blocks)).collect::<Vec<_>>()
    };
    assert_eq!(plan(&gaps(256, 15)), Some(1));
    assert_eq!(plan(&gaps(256, 14)), None);
    assert_eq!(plan(&gaps(5000, 300)), Some(1));
    assert_eq!(plan(&gaps(5000, 100)), None);
}

/// What has nothing large about it takes half the room.
#[test]
fn small_inodes_are_small() {
    let len = |meta: &Meta| {
        let mut maker = Maker::new(meta);
        for number in 0..1280 {
            maker.add(Ino::ROOT, format!("{number:04}").as_bytes(), Kind::Fifo, meta);
        }
        Layout::plan(&maker.finish().0, &options()).unwrap().len_bytes() / 4096
    };
    let now = Meta { mtime: Time::from_secs(options().epoch), ..mode(0o644) };
    // Block 0, 10 or 20 of inodes and the root's own, 5 of the directory.
    assert_eq!(len(&now), 17);
    for large in [
        Meta { uid: 65536, ..now.clone() },
        Meta { gid: 65536, ..now.clone() },
        Meta { mtime: Time { nanos: 1, ..now.mtime }, ..now.clone() },
        mode(0o644),
    ] {
        assert_eq!(len(&large), 27, "{large:?}");
    }
}
