//! What is written in a format is read, and nothing that is damaged is taken for anything.
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use cvbake_disk::{Container, Draft, RawDisk, ReadAt, Sink as _, qcow2, vhd};

const LEN: u64 = 300 << 20;

/// What is written: at the borders of clusters, blocks and tables.
const USED: [Range<u64>; 4] =
    [0..5000, (2 << 20) - 3..(2 << 20) + 70_000, (64 << 20) + 65_536..(64 << 20) + 131_072, LEN - 700..LEN];

fn content(range: &Range<u64>) -> Vec<u8> {
    range.clone().map(|at| u8::try_from(at % 251).unwrap() | 1).collect()
}

/// A file of a format.
fn file(container: &Container) -> File {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
    let filling = container.begin(&draft).unwrap();
    for range in USED {
        filling.write_at(range.start, &content(&range)).unwrap();
    }
    filling.finish().unwrap();
    draft.file().try_clone().unwrap()
}

fn containers() -> Vec<Container> {
    vec![
        Container::qcow2(LEN, USED, None).unwrap(),
        Container::fixed_vhd(LEN, [7; 16]).unwrap(),
        Container::dynamic_vhd(LEN, USED, [7; 16]).unwrap(),
    ]
}

fn open(file: &File) -> io::Result<Arc<dyn ReadAt>> {
    let own = file.try_clone()?;
    if vhd::Info::is_vhd(file)? {
        return Ok(Arc::new(vhd::Info::read(file)?.disk(own, None)));
    }
    Ok(Arc::new(qcow2::Info::read(file)?.disk(own, None)?))
}

/// All of a disk that is content, and how much that is.
fn read(disk: &dyn ReadAt) -> io::Result<(Vec<Range<u64>>, u64)> {
    let (mut at, mut ranges, mut bytes) = (0, Vec::new(), 0);
    while let Some(range) = disk.next_content(at)? {
        assert!(range.start >= at && range.end > range.start && range.end <= disk.len_bytes(), "{range:?} from {at}");
        at = range.end;
        bytes += range.end - range.start;
        ranges.push(range);
    }
    Ok((ranges, bytes))
}

#[test]
fn what_is_written_is_read() {
    for (number, container) in containers().iter().enumerate() {
        let disk = open(&file(container)).unwrap();
        assert_eq!(disk.len_bytes(), LEN);
        for range in USED {
            // With zeros on both sides, across whatever is between.
            let around = range.start.saturating_sub(9000)..(range.end + 9000).min(LEN);
            let mut bytes = vec![9; usize::try_from(around.end - around.start).unwrap()];
            disk.read_at(around.start, &mut bytes).unwrap();
            let before = usize::try_from(range.start - around.start).unwrap();
            let after = usize::try_from(range.end - around.start).unwrap();
            assert!(bytes[before..after] == content(&range), "{number}: {range:?}");
            assert!(bytes[..before].iter().chain(&bytes[after..]).all(|byte| *byte == 0), "{number}: {range:?}");
        }
        let (ranges, bytes) = read(&*disk).unwrap();
        assert!(bytes < 10 << 20, "{number}: holes are no content: {ranges:?}");
        for used in USED {
            let covered: u64 =
                ranges.iter().map(|range| range.end.min(used.end).saturating_sub(range.start.max(used.start))).sum();
            assert_eq!(covered, used.end - used.start, "{number}: {used:?} in {ranges:?}");
        }
        let mut byte = [0];
        for offset in [LEN, u64::MAX] {
            assert_eq!(disk.read_at(offset, &mut byte).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(disk.next_content(offset).unwrap(), None);
        }
    }
}

/// A dirty page of a parent shows where nothing is written, and nowhere else.
#[test]
fn parents() {
    let under = tempfile::tempfile().unwrap();
    under.write_all_at(&vec![0xaa; 8 << 20], 0).unwrap();
    let parent: Arc<dyn ReadAt> = Arc::new(RawDisk::new(under).unwrap());
    let file = file(&containers()[0]);
    let disk = qcow2::Info::read(&file).unwrap().disk(file, Some(parent)).unwrap();
    let byte = |offset: u64| {
        let mut byte = [1];
        disk.read_at(offset, &mut byte).unwrap();
        byte[0]
    };
    // The rest of a cluster that is written; one that is not; behind the end of the parent.
    assert_eq!([byte(6000), byte(100_000), byte(9 << 20)], [0, 0xaa, 0]);
    assert_eq!(byte(3), 3);
    let (ranges, _) = read(&disk).unwrap();
    assert!(ranges.iter().any(|range| range.contains(&100_000)), "{ranges:?}");
    assert!(!ranges.iter().any(|range| range.contains(&(9 << 20))), "{ranges:?}");
}

/// Whatever is cut off or changed: an error or a disk, and never a panic, and the error is a line.
#[test]
fn damage() {
    let said = |error: io::Error| {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n') && text.len() < 300, "{text}");
    };
    let try_all = |file: &File| match open(file) {
        Err(error) => said(error),
        Ok(disk) => {
            if let Err(error) = read(&*disk) {
                said(error);
            }
            let mut bytes = [0; 5000];
            for offset in [0, (2 << 20) - 3, 64 << 20, LEN - 700] {
                if let Err(error) = disk.read_at(offset, &mut bytes) {
                    said(error);
                }
            }
        }
    };
    for container in containers() {
        let file = file(&container);
        let len = file.metadata().unwrap().len();
        // Headers, tables, footer: a page of each structure.
        let starts: Vec<u64> = container.pieces().iter().map(|piece| piece.offset).collect();
        for at in starts.iter().flat_map(|start| *start..(*start + 112).min(len)) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            for other in [0, 1, 0x40, 0x7f, 0x80, 0xff] {
                file.write_all_at(&[other], at).unwrap();
                try_all(&file);
            }
            file.write_all_at(&byte, at).unwrap();
        }
        let mut cuts: Vec<u64> = starts.iter().flat_map(|start| [*start, start + 1, start + 8, start + 512]).collect();
        cuts.extend([0, 1, 3, 4, 7, 71, 72, 103, 104, 511, 512, 513]);
        cuts.sort_unstable_by(|one, other| other.cmp(one));
        for cut in cuts.into_iter().filter(|cut| *cut < len) {
            file.set_len(cut).unwrap();
            try_all(&file);
        }
    }
}
