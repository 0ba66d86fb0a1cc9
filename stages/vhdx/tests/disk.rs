//! The disk in a file is read, and that of its parent behind it.
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use cvbake_disk::{Container, Draft, ReadAt, Sink as _, Subformat};
use cvbake_vhdx::{Identity, Info, Locator, Options};

const IDENTITY: Identity = Identity { file_write: [1; 16], data_write: [2; 16], virtual_disk: [3; 16] };

/// More than one chunk of sector bitmaps, with blocks of 1 MiB.
const LEN: u64 = 9 << 30;

const USED: [Range<u64>; 4] =
    [0..5000, (4 << 30) - 3..(4 << 30) + 70_000, (6 << 30) + 65_536..(6 << 30) + 131_072, LEN - 700..LEN];

fn content(range: &Range<u64>) -> Vec<u8> {
    range.clone().map(|at| u8::try_from(at % 251).unwrap() | 1).collect()
}

fn file(container: &Container, used: &[Range<u64>]) -> File {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
    let filling = container.begin(&draft).unwrap();
    used.iter().for_each(|range| filling.write_at(range.start, &content(range)).unwrap());
    filling.finish().unwrap();
    draft.file().try_clone().unwrap()
}

fn variants() -> Vec<Options> {
    let plain = Options::default();
    let fixed = Options { subformat: Subformat::Fixed, ..plain };
    let blocks = |options: Options| Options { block_size: 32 << 20, ..options };
    let sectors = Options { logical_sector_size: 4096, ..plain };
    vec![plain, fixed, blocks(plain), blocks(fixed), sectors]
}

fn open(file: &File, parent: Option<Arc<dyn ReadAt>>) -> io::Result<Arc<dyn ReadAt>> {
    Ok(Arc::new(Info::read(file)?.disk(file.try_clone()?, parent)))
}

fn ranges(disk: &dyn ReadAt) -> io::Result<Vec<Range<u64>>> {
    let (mut at, mut ranges) = (0, Vec::new());
    while let Some(range) = disk.next_content(at)? {
        assert!(range.start >= at && range.end > range.start && range.end <= disk.len_bytes(), "{range:?} from {at}");
        at = range.end;
        ranges.push(range);
    }
    Ok(ranges)
}

fn bytes_at(disk: &dyn ReadAt, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![9; len];
    disk.read_at(offset, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read() {
    for options in variants() {
        let file = file(&options.plan(LEN, USED, None, &IDENTITY).unwrap(), &USED);
        let disk = open(&file, None).unwrap();
        assert_eq!(disk.len_bytes(), LEN);
        for range in USED {
            let (before, after) = (range.start.min(9000), (LEN - range.end).min(9000));
            let len = usize::try_from(range.end - range.start + before + after).unwrap();
            let bytes = bytes_at(&*disk, range.start - before, len);
            let (start, end) = (usize::try_from(before).unwrap(), len - usize::try_from(after).unwrap());
            assert!(bytes[start..end] == content(&range), "{options:?}: {range:?}");
            assert!(bytes[..start].iter().chain(&bytes[end..]).all(|byte| *byte == 0), "{options:?}: {range:?}");
        }
        let ranges = ranges(&*disk).unwrap();
        assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() < 1 << 20, "{options:?}: {ranges:?}");
    }
}

/// The longest disk costs nothing where it has nothing.
#[test]
fn sixty_four_tebibytes() {
    let container = Options::default().plan(64 << 40, [0..1, (64 << 40) - 1..64 << 40], None, &IDENTITY).unwrap();
    let last = (64 << 40) - 1..64 << 40;
    let disk = open(&file(&container, std::slice::from_ref(&last)), None).unwrap();
    let ranges = ranges(&*disk).unwrap();
    assert_eq!(ranges.last().map(|range| range.end), Some(64 << 40));
    assert_eq!(bytes_at(&*disk, (64 << 40) - 2, 2), [0, u8::try_from(((64_u64 << 40) - 1) % 251).unwrap() | 1]);
}

/// Sectors of a block that are in the child, and the others on the parent.
#[test]
fn sector_bitmaps() {
    for options in variants().into_iter().filter(|options| options.subformat == Subformat::Dynamic) {
        let parent_file = file(&options.plan(LEN, USED, None, &IDENTITY).unwrap(), &USED);
        let info = Info::read(&parent_file).unwrap();
        let locator = Locator {
            parent_linkage: info.data_write,
            relative_path: Some(r".\parent.vhdx".to_owned()),
            absolute_win32_path: None,
        };
        let container = options.plan_child(&info, &locator, &IDENTITY).unwrap();
        let child_file = file(&container, &[]);
        let parent = open(&parent_file, None).unwrap();
        let disk = open(&child_file, Some(Arc::clone(&parent))).unwrap();
        assert_eq!(ranges(&*disk).unwrap(), ranges(&*parent).unwrap(), "{options:?}: a child without anything");
        // The block in which the second range begins is in the child in part: its last two sectors.
        let (block, sector) = (u64::from(options.block_size), u64::from(options.logical_sector_size));
        let at = (4 << 30) - block;
        let ratio = (1 << 23) * sector / block;
        let number = at / block;
        let end = container.len_bytes().next_multiple_of(block);
        child_file.set_len(end + block).unwrap();
        child_file.write_all_at(&vec![0x55; usize::try_from(2 * sector).unwrap()], end + block - 2 * sector).unwrap();
        let bat = 3 << 20;
        child_file.write_all_at(&(end | 7).to_le_bytes(), bat + (number + number / ratio) * 8).unwrap();
        let chunk = number / ratio;
        let mut entry = [0; 8];
        child_file.read_exact_at(&mut entry, bat + (chunk * (ratio + 1) + ratio) * 8).unwrap();
        let bitmap = u64::from_le_bytes(entry) & !((1 << 20) - 1);
        let last = ((4 << 30) / sector - 1) % (1 << 23);
        assert_eq!(last % 8, 7);
        child_file.write_all_at(&[0xc0], bitmap + last / 8).unwrap();
        let disk = open(&child_file, Some(Arc::clone(&parent))).unwrap();
        let len = usize::try_from(3 * sector).unwrap();
        let mut expected = bytes_at(&*parent, (4 << 30) - 3 * sector, len);
        expected[usize::try_from(sector).unwrap()..].fill(0x55);
        assert!(bytes_at(&*disk, (4 << 30) - 3 * sector, len) == expected, "{options:?}");
        assert_eq!(bytes_at(&*disk, 4 << 30, 1000), bytes_at(&*parent, 4 << 30, 1000), "{options:?}");
        let found = ranges(&*disk).unwrap();
        assert!(found.iter().any(|range| range.start <= (4 << 30) - 2 * sector && range.end > (4 << 30) - 2 * sector));
        // A block that is there in part is nothing on a disk without a parent.
        let entry = (end | 7).to_le_bytes();
        parent_file.write_all_at(&entry, bat).unwrap();
        let error = open(&parent_file, None).unwrap().read_at(0, &mut [0]).unwrap_err().to_string();
        assert!(error.contains("expected"), "{error}");
    }
}

/// Entries of the table that nobody may believe.
#[test]
fn entries_that_lie() {
    let options = Options::default();
    let container = options.plan(LEN, USED, None, &IDENTITY).unwrap();
    let says = |entry: u64| {
        let file = file(&container, &USED);
        file.write_all_at(&entry.to_le_bytes(), 3 << 20).unwrap();
        let disk = open(&file, None).unwrap();
        let error = disk.read_at(10, &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(disk.next_content(0).is_err());
        disk.read_at(1 << 30, &mut [0; 10]).unwrap();
        error.to_string()
    };
    let start = "the entry of the block at offset 0 of the disk is ";
    assert_eq!(says(4), format!("{start}0x4, expected a state that the format has"));
    assert_eq!(says((1 << 40) | 6), format!("{start}0x10000000006, expected a place within the file"));
    assert_eq!(says(!0xf_ffff | 6), format!("{start}0xfffffffffff00006, expected a place within the file"));
    for offset in [0, 1, 2, 3] {
        assert!(says((offset << 20) | 6).contains("outside of the headers, the log, the table and the metadata"));
    }
    // A table that is too short for the disk: the size of the disk is the second metadata item.
    let file = file(&container, &USED);
    file.write_all_at(&(64_u64 << 40).to_le_bytes(), (2 << 20) + (64 << 10) + 8).unwrap();
    let error = Info::read(&file).unwrap_err().to_string();
    assert!(error.starts_with("the length of the block allocation table is 1048576, expected 8 bytes"), "{error}");
}
