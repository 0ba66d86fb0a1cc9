//! A file of a disk format → the disk in it: qcow2, VHD and VHDX.
//!
//! For any bytes, with the checksums put right: an error is a line; what is read is the same again;
//! content comes in its order, within the disk, and what is between reads as zeros. A file in which
//! the check finds nothing can be gone through to its end.
//!
//! Such a file is mostly zeros, so the input says what is not:
//!
//! ```text
//! length in KiB (2 bytes), then, again and again: offset (4 bytes) │ count (2 bytes) │ so many
//! bytes
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use cvbake_disk::{Container, Faults, ReadAt, qcow2, vhd};
use cvbake_vhdx as vhdx;

use crate::line;

/// How many ranges are gone through: a disk may have a million.
const MAX_RANGES: usize = 300;

/// How much is read at once.
const PIECE: usize = 3000;

/// A qcow2 file.
pub fn qcow2(input: &[u8]) {
    let file = file(input);
    let disk = qcow2::Info::read(&file).and_then(|info| info.disk(again(&file), None));
    let disk = disk.map_err(|error| drop(line(&error))).ok();
    walk(disk.map(|disk| Arc::new(disk) as Arc<dyn ReadAt>), &qcow2::check(&file).expect("a file can be read"));
}

/// A VHD file.
pub fn vhd(input: &[u8]) {
    let file = file(input);
    let len = file.metadata().expect("a file").len();
    // The footer at both ends, and the header behind the first.
    for (offset, len, sum) in [(0, 512, 64), (len.saturating_sub(512), 512, 64), (512, 1024, 36)] {
        seal(&file, offset, len, sum, |bytes| (!bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()).to_be_bytes());
    }
    let info = vhd::Info::read(&file).map_err(|error| drop(line(&error))).ok();
    let disk = info.map(|info| Arc::new(info.disk(again(&file), None)) as Arc<dyn ReadAt>);
    walk(disk, &vhd::check(&file).expect("a file can be read"));
}

/// A VHDX file.
pub fn vhdx(input: &[u8]) {
    let file = file(input);
    for (offset, len) in [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)] {
        seal(&file, offset, len, 4, |bytes| crc32c::crc32c(bytes).to_le_bytes());
    }
    let info = vhdx::Info::read(&file).map_err(|error| drop(line(&error))).ok();
    let disk = info.map(|info| Arc::new(info.disk(again(&file), None)) as Arc<dyn ReadAt>);
    walk(disk, &vhdx::check(&file).expect("a file can be read"));
}

/// Goes through a disk.
fn walk(disk: Option<Arc<dyn ReadAt>>, faults: &Faults) {
    let said = |text: &str| assert!(!text.is_empty() && !text.contains('\n') && text.len() < 500, "{text:?}");
    faults.list.iter().for_each(|fault| said(&fault.problem));
    let Some(disk) = disk else { return assert!(!faults.is_empty(), "what can't be read has a fault") };
    let (len, mut at) = (disk.len_bytes(), 0);
    for _ in 0..MAX_RANGES {
        let range = match disk.next_content(at) {
            Ok(Some(range)) => range,
            Ok(None) => return,
            Err(error) => {
                said(&error.to_string());
                assert!(!faults.is_empty(), "sound, but {error}");
                return;
            }
        };
        assert!(at <= range.start && range.start < range.end && range.end <= len, "{range:?} from {at} of {len}");
        let bytes = |start: u64, end: u64| {
            let mut bytes = vec![1; usize::try_from(end - start).map_or(PIECE, |len| len.min(PIECE))];
            disk.read_at(start, &mut bytes).map(|()| bytes)
        };
        match (bytes(range.start, range.end), bytes(range.start, range.end)) {
            (Ok(one), Ok(other)) => assert!(one == other, "read twice"),
            (Err(error), Err(_)) => said(&error.to_string()),
            _ => panic!("read once and not again"),
        }
        if range.start > at
            && let Ok(hole) = bytes(range.start - 1, range.start)
        {
            assert!(hole == [0], "what is no content is zeros");
        }
        at = range.end;
    }
}

fn again(file: &File) -> File {
    file.try_clone().expect("a file")
}

/// The file that an input says.
fn file(input: &[u8]) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    let Some((len, mut rest)) = input.split_first_chunk::<2>() else { return file };
    let len = u64::from(u16::from_be_bytes(*len)) << 10;
    file.set_len(len).expect("a temporary file");
    while let Some((offset, after)) = rest.split_first_chunk::<4>()
        && let Some((count, after)) = after.split_first_chunk::<2>()
    {
        let (bytes, after) = after.split_at(usize::from(u16::from_be_bytes(*count)).min(after.len()));
        let offset = u64::from(u32::from_be_bytes(*offset));
        let there = usize::try_from(len.saturating_sub(offset)).map_or(bytes.len(), |there| there.min(bytes.len()));
        file.write_all_at(&bytes[..there], offset).expect("a temporary file");
        rest = after;
    }
    file
}

/// Puts the checksum of a structure right: a mutation that only breaks it finds nothing.
fn seal(file: &File, offset: u64, len: usize, at: usize, sum: fn(&[u8]) -> [u8; 4]) {
    let mut bytes = vec![0; len];
    if file.read_exact_at(&mut bytes, offset).is_ok() {
        bytes[at..at + 4].fill(0);
        file.write_all_at(&sum(&bytes), offset + at as u64).expect("a temporary file");
    }
}

/// Inputs that are disks of each format.
pub(crate) fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const LEN: u64 = 20 << 20;
    let used = || [0..70_000_u64, (5 << 20)..(5 << 20) + 1, LEN - 1..LEN];
    let identity = vhdx::Identity { file_write: [1; 16], data_write: [2; 16], virtual_disk: [3; 16] };
    let fixed = vhdx::Options { subformat: cvbake_disk::Subformat::Fixed, ..vhdx::Options::default() };
    let whole = "20 MiB fit every format";
    vec![
        ("qcow2", "plain", input(&Container::qcow2(LEN, used(), None).expect(whole))),
        ("vhd", "dynamic", input(&Container::dynamic_vhd(LEN, used(), [7; 16]).expect(whole))),
        ("vhd", "fixed", input(&Container::fixed_vhd(LEN, [7; 16]).expect(whole))),
        ("vhdx", "dynamic", input(&vhdx::Options::default().plan(LEN, used(), None, &identity).expect(whole))),
        ("vhdx", "fixed", input(&fixed.plan(LEN, used(), None, &identity).expect(whole))),
    ]
}

/// The input that says what a container has, with a little content in each of its runs.
fn input(container: &Container) -> Vec<u8> {
    let len = container.len_bytes().next_multiple_of(1024) >> 10;
    let mut input = u16::try_from(len).expect("less than 64 MiB").to_be_bytes().to_vec();
    let mut put = |offset: u64, bytes: &[u8]| {
        input.extend(u32::try_from(offset).expect("less than 64 MiB").to_be_bytes());
        input.extend(u16::try_from(bytes.len()).expect("a piece").to_be_bytes());
        input.extend(bytes);
    };
    for piece in container.pieces() {
        // In parts, without the zeros.
        for (number, part) in piece.bytes.chunks(512).enumerate() {
            let end = part.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if end > 0 {
                put(piece.offset + number as u64 * 512, &part[..end]);
            }
        }
    }
    container.runs().iter().for_each(|run| put(run.to, b"content"));
    input
}
