//! Compressed clusters: the same file for any number of threads, and what is read is what was
//! there.
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use cvbake_disk::qcow2::{Compression, Info, check};
use cvbake_disk::{Compressed, Draft, Error, ReadAt as _};

const CLUSTER: u64 = 64 << 10;

/// Longer than what an L2 table is about, and no multiple of anything.
const LEN: u64 = (700 << 20) + 1500;

/// What is content, and whether it can be compressed.
const USED: [(Range<u64>, bool); 6] = [
    (0..40 * CLUSTER, true),
    (40 * CLUSTER..80 * CLUSTER, false),
    (90 * CLUSTER..91 * CLUSTER, true),
    (513 << 20..(513 << 20) + 1000, false),
    (600 << 20..(600 << 20) + 300_000, true),
    (LEN - 700..LEN, false),
];

/// Bytes of the disk: text with numbers, or what looks like chance.
fn byte(at: u64) -> u8 {
    match USED.iter().find(|(range, _)| range.contains(&at)) {
        None => 0,
        Some((_, true)) if at % CLUSTER < 8 => at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0],
        Some((_, true)) => b"what is on a disk "[usize::try_from(at % 18).unwrap()],
        Some((_, false)) => {
            let mut state = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (state ^ (state >> 27)).to_be_bytes()[0]
        }
    }
}

fn used() -> impl Iterator<Item = Range<u64>> {
    USED.into_iter().map(|(range, _)| range)
}

fn write(draft: &Draft, compression: Compression, jobs: usize) -> u64 {
    let compressed = Compressed::plan(LEN, used(), compression).unwrap();
    let read = |offset: u64, bytes: &mut [u8]| {
        assert!(offset + bytes.len() as u64 <= LEN, "nothing behind the end is read");
        (offset..).zip(bytes).for_each(|(at, to)| *to = byte(at));
        Ok::<(), Error>(())
    };
    compressed.write(draft, NonZeroUsize::new(jobs).unwrap(), &read).unwrap()
}

fn draft(dir: &tempfile::TempDir) -> Draft {
    Draft::create(&dir.path().join("disk"), false).unwrap()
}

#[test]
fn any_number_of_threads_writes_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::Zlib, Compression::Zstd] {
        let mut files = Vec::new();
        for jobs in [1, 2, 7] {
            let draft = draft(&dir);
            let len = write(&draft, compression, jobs);
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            std::os::unix::fs::FileExt::read_exact_at(draft.file(), &mut bytes, 0).unwrap();
            assert_eq!((draft.file().metadata().unwrap().len(), len % CLUSTER), (len, 0));
            files.push((draft, bytes));
        }
        assert!(files.windows(2).all(|two| two[0].1 == two[1].1), "{compression:?}");
        let (draft, bytes) = files.swap_remove(0);
        let file = draft.file().try_clone().unwrap();
        assert!(check(&file).unwrap().is_empty(), "{:?}", check(&file).unwrap());
        let info = Info::read(&file).unwrap();
        assert_eq!((info.virtual_size, info.compression), (LEN.next_multiple_of(512), compression));
        assert!(info.is_compressed(&file).unwrap());
        let disk = info.disk(file, None).unwrap();
        for range in used() {
            // With what is around it.
            let (start, end) = (range.start.saturating_sub(100), (range.end + 100).min(LEN));
            let mut read = vec![9; usize::try_from(end - start).unwrap()];
            disk.read_at(start, &mut read).unwrap();
            assert!(read.iter().zip(start..).all(|(found, at)| *found == byte(at)), "{range:?}");
        }
        // Forty clusters that are stored as they are, two that are mostly zeros, and the tables.
        assert!((40 * CLUSTER..60 * CLUSTER).contains(&(bytes.len() as u64)), "{compression:?}: {}", bytes.len());
    }
}

/// The first error in the order of the disk, whoever meets one first.
#[test]
fn the_first_error_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let compressed = Compressed::plan(1 << 30, Some(0..1 << 30), Compression::Zstd).unwrap();
    assert_eq!(compressed.read_bytes(), 1 << 30);
    for jobs in [1, 4] {
        let read = |offset: u64, _: &mut [u8]| match offset {
            0..0x300_0000 => Ok(()),
            at => Err(Error::Read { path: "disk".into(), offset: at, len: 1, source: io::Error::other("no") }),
        };
        let error = compressed.write(&draft(&dir), NonZeroUsize::new(jobs).unwrap(), &read).unwrap_err();
        assert!(matches!(error, Error::Read { offset: 0x300_0000, .. }), "{error}");
    }
}

/// Nobody waits for a turn that never comes.
#[test]
#[should_panic(expected = "a scoped thread panicked")]
fn a_panic_ends_all() {
    let dir = tempfile::tempdir().unwrap();
    let compressed = Compressed::plan(1 << 30, Some(0..1 << 30), Compression::Zstd).unwrap();
    let main = std::thread::current().id();
    let met = AtomicBool::new(false);
    let read = |_: u64, _: &mut [u8]| {
        if std::thread::current().id() != main {
            met.store(true, Ordering::Relaxed);
            panic!("on another thread");
        }
        while !met.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok::<(), Error>(())
    };
    let _ = compressed.write(&draft(&dir), NonZeroUsize::new(3).unwrap(), &read);
}

#[test]
fn a_disk_without_content_is_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    for (len, used) in [(0, None), (1 << 20, None), (1 << 20, Some(0..1 << 20))] {
        let draft = draft(&dir);
        let compressed = Compressed::plan(len, used, Compression::Zlib).unwrap();
        let zeros = |_: u64, bytes: &mut [u8]| {
            bytes.fill(0);
            Ok::<(), Error>(())
        };
        assert_eq!(compressed.write(&draft, NonZeroUsize::MIN, &zeros).unwrap(), 4 * CLUSTER);
        assert!(check(draft.file()).unwrap().is_empty());
        assert_eq!(Info::read(draft.file()).unwrap().virtual_size, len);
    }
    assert!(Compressed::plan((2 << 50) + 1, [], Compression::Zstd).is_err());
}
