//! What holds for any disk; `veritysetup` is the judge of the program's tests.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use cvbake_disk::{Raw, RawDisk};
use proptest::prelude::*;

use super::*;

const JOBS: [usize; 3] = [1, 2, 7];

fn identity() -> Identity {
    Identity { uuid: *b"\x11\x11\x11\x11\x22\x22\x83\x33\x84\x44\x55\x55\x55\x55\x55\x55", salt: [0xab; 32] }
}

fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A disk of so many blocks, of which some have content.
fn disk(blocks: u64, content: &[u64]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(blocks * BLOCK).unwrap();
    for &block in content {
        file.write_all_at(&(block + 1).to_le_bytes().repeat(200), block * BLOCK + 77).unwrap();
    }
    file
}

fn raw(file: &File) -> RawDisk {
    RawDisk::new(file.try_clone().unwrap()).unwrap()
}

fn bytes(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The hash area of a disk, and its root hash.
fn written(disk: &File, offset: u64, count: usize) -> (File, RootHash) {
    let (data, area) = (raw(disk), tempfile::tempfile().unwrap());
    let layout = Layout::plan(disk.metadata().unwrap().len()).unwrap();
    let sink = Raw::new(&area, Path::new("area"));
    let root = layout.write(&identity(), &data, &sink, offset, jobs(count), &|_| true).unwrap();
    assert_eq!(area.metadata().unwrap().len(), offset + layout.area_bytes());
    (area, root)
}

fn checked(disk: &File, area: &File, offset: u64, root: &RootHash, count: usize) -> Result<Checked, Error> {
    check(&raw(disk), &raw(area), offset, root, jobs(count), &|_| true)
}

fn hex(root: &RootHash) -> String {
    root.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `veritysetup` says when it is run with these arguments.
fn veritysetup(args: &[&str]) -> (bool, String) {
    let output = Command::new("veritysetup")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(args)
        .output()
        .expect("veritysetup: see scripts/setup");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Around all borders: of a block of hashes, of a piece of work, of a level.
const SIZES: [u64; 16] = [1, 2, 3, 127, 128, 129, 255, 256, 1023, 1024, 1025, 16383, 16384, 16385, 20000, 33000];

#[test]
fn the_same_bytes_as_veritysetup() {
    let dir = tempfile::tempdir().unwrap();
    let name = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for blocks in SIZES {
        let content = [0, 1, blocks / 2, blocks.saturating_sub(130), blocks - 1];
        let content: Vec<u64> = content.into_iter().filter(|&block| block < blocks).collect();
        let ours = disk(blocks, &content);
        std::fs::write(name("data"), bytes(&ours)).unwrap();
        let salt = format!("--salt={}", "ab".repeat(32));
        let uuid = "--uuid=11111111-2222-8333-8444-555555555555";
        let _ = std::fs::remove_file(name("theirs"));
        let (made, said) = veritysetup(&["format", &name("data"), &name("theirs"), &salt, uuid]);
        assert!(made, "{said}");
        for count in JOBS {
            let (area, root) = written(&ours, 0, count);
            assert!(said.contains(&hex(&root)), "{blocks} blocks: {} is not in {said}", hex(&root));
            assert!(bytes(&area) == std::fs::read(name("theirs")).unwrap(), "{blocks} blocks, {count} threads");
            assert_eq!(checked(&ours, &area, 0, &root, count).unwrap().data_blocks, blocks);
            let found = find(&raw(&area), 0).unwrap();
            assert_eq!((found.data_blocks, found.uuid), (blocks, identity().uuid));
            assert_eq!(found.bytes, area.metadata().unwrap().len());
            assert_eq!(found.root_hash, (blocks > 1).then_some(root));
        }
        // And behind the data, in one file.
        let (area, root) = written(&ours, blocks * BLOCK, 2);
        ours.write_all_at(&bytes(&area)[usize::try_from(blocks * BLOCK).unwrap()..], blocks * BLOCK).unwrap();
        std::fs::write(name("data"), bytes(&ours)).unwrap();
        let offset = format!("--hash-offset={}", blocks * BLOCK);
        let (holds, said) = veritysetup(&["verify", &name("data"), &name("data"), &hex(&root), &offset]);
        assert!(holds, "{said}");
        assert_eq!(checked(&ours, &ours, blocks * BLOCK, &root, 2).unwrap().uuid, identity().uuid);
    }
}

/// A hash area that `veritysetup` has put at no multiple of a block.
#[test]
fn any_sector_may_have_the_superblock() {
    let dir = tempfile::tempdir().unwrap();
    let name = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let ours = disk(300, &[5, 7, 299]);
    std::fs::write(name("data"), bytes(&ours)).unwrap();
    for offset in [512, 3584, 4096, 4608] {
        let option = format!("--hash-offset={offset}");
        let (made, said) = veritysetup(&["format", &name("data"), &name("area"), &option, "--salt=-"]);
        assert!(made, "{said}");
        let root = said.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
        let digits = root.as_bytes().as_chunks::<2>().0;
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let root: RootHash = digits.iter().map(byte).collect::<Vec<u8>>().try_into().unwrap();
        let area = File::open(name("area")).unwrap();
        checked(&ours, &area, offset, &root, 2).unwrap();
    }
}

#[test]
fn levels_of_a_very_large_disk() {
    let layout = Layout::plan(1 << 40).unwrap();
    let blocks: Vec<u64> = layout.levels().iter().map(|level| level.blocks).collect();
    assert_eq!(blocks, [1 << 21, 1 << 14, 1 << 7, 1]);
    let first: Vec<u64> = layout.levels().iter().map(|level| level.first).collect();
    assert_eq!(first, [130 + (1 << 14), 130, 2, 1]);
    assert_eq!(layout.area_bytes(), (1 + 1 + (1 << 7) + (1 << 14) + (1 << 21)) * BLOCK);
    assert!(Layout::plan(1 << 50).is_ok());
    for len in [0, 1, 4095, 4097, (1 << 50) + 4096, u64::MAX, u64::MAX - 4095] {
        assert!(Layout::plan(len).is_err(), "{len}");
    }
}

#[test]
fn who_ends_the_work_ends_it() {
    let ours = disk(5000, &[1]);
    let layout = Layout::plan(5000 * BLOCK).unwrap();
    let area = tempfile::tempfile().unwrap();
    let sink = Raw::new(&area, Path::new("area"));
    let error = layout.write(&identity(), &raw(&ours), &sink, 0, jobs(2), &|_| false).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    let told = AtomicU64::new(0);
    let go_on = |bytes| told.fetch_add(bytes, Ordering::Relaxed) < u64::MAX;
    let root = layout.write(&identity(), &raw(&ours), &sink, 0, jobs(2), &go_on).unwrap();
    assert_eq!(told.swap(0, Ordering::Relaxed), 5000 * BLOCK);
    check(&raw(&ours), &raw(&area), 0, &root, jobs(2), &go_on).unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 5000 * BLOCK);
    let error = check(&raw(&ours), &raw(&area), 0, &root, jobs(2), &|_| false).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
}

/// The first block that is wrong is named, wherever it is and however many threads look.
#[test]
fn a_flipped_bit_is_found() {
    let ours = disk(40000, &[3, 20000, 39999]);
    let (area, root) = written(&ours, 0, 2);
    let layout = Layout::plan(40000 * BLOCK).unwrap();
    let flip = |file: &File, offset: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    };
    let [low, middle, top] = layout.levels() else { panic!("three levels") };
    let table = [
        (&ours, 20000 * BLOCK + 4095, "block 20000"),
        (&ours, 5 * BLOCK, "block 5"),
        (&area, low.offset(311), "block 311 of level 0 of the hash tree"),
        (&area, middle.offset(2) + 31, "block 2 of level 1 of the hash tree"),
        (&area, top.offset(0) + 4000, "block 0 of level 2 of the hash tree"),
    ];
    for (file, offset, place) in table {
        flip(file, offset);
        // One that comes later in the order of checking.
        flip(&ours, 39998 * BLOCK);
        for count in JOBS {
            let error = checked(&ours, &area, 0, &root, count).unwrap_err();
            assert_eq!(error.to_string(), format!("{place} does not have the expected hash"), "{count} threads");
        }
        flip(&ours, 39998 * BLOCK);
        flip(file, offset);
    }
    checked(&ours, &area, 0, &root, 2).unwrap();
    let mut other = root;
    other[31] ^= 1;
    assert!(checked(&ours, &area, 0, &other, 2).is_err());
    // The salt decides about everything, and nothing covers it but the root hash.
    flip(&area, 88);
    assert!(matches!(checked(&ours, &area, 0, &root, 2), Err(Error::Mismatch { .. })));
}

#[test]
fn superblocks_that_lie() {
    let ours = disk(300, &[5]);
    let (area, root) = written(&ours, 0, 1);
    let good = bytes(&area);
    let says = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bad, 0).unwrap();
        checked(&ours, &file, 0, &root, 2).unwrap_err().to_string()
    };
    assert_eq!(says(0, b"Verity"), "there is no superblock of dm-verity, expected the signature \"verity\"");
    assert_eq!(says(8, &[2]), "version of the superblock is 2, expected 1");
    assert_eq!(says(12, &[0]), "hash_type of the superblock is 0, expected 1");
    assert_eq!(says(32, b"sha512"), "the superblock's algorithm is \"sha512\", expected sha256");
    assert_eq!(says(32, b"sha256\n"), "the superblock's algorithm is \"sha256\\n\", expected sha256");
    assert_eq!(says(65, &[2]), "data_block_size of the superblock is 512, expected 4096");
    assert_eq!(says(68, &[0; 4]), "hash_block_size of the superblock is 0, expected 4096");
    assert_eq!(says(72, &[0; 8]), format!("a hash tree of 0 blocks, expected 1 to {}", 1_u64 << 38));
    assert_eq!(says(72, &[255; 8]), format!("a hash tree of {} blocks, expected 1 to {}", u64::MAX, 1_u64 << 38));
    assert_eq!(says(72, &301_u64.to_le_bytes()), "the disk has 1228800 bytes, expected 1232896");
    assert_eq!(says(80, &257_u16.to_le_bytes()), "the superblock's salt has 257 bytes, expected at most 256");
    // A tree of fewer blocks, whose top is another one.
    assert!(says(72, &128_u64.to_le_bytes()).ends_with("does not have the expected hash"));
    for (len, found) in [(0, 0), (511, 511), (4096, 4096), (good.len() - 1, good.len() - 1)] {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&good[..len], 0).unwrap();
        let error = checked(&ours, &file, 0, &root, 2).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the hash area has {found} bytes, expected ")), "{error}");
    }
    assert!(checked(&ours, &area, u64::MAX, &root, 2).is_err());
}

#[test]
fn partitions_are_named_by_the_root_hash() {
    let root: RootHash = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let (data, hashes) = partition_uuids(&root);
    assert_eq!((data[0], data[15], hashes[0], hashes[15]), (0, 15, 16, 31));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Any disk is checked by its own tree, however many threads made it, and no other disk is.
    #[test]
    fn any_disk(blocks in 1_u64..3000, content in proptest::collection::vec(0_u64..3000, 0..12), flip in 0_u64..3000) {
        let content: Vec<u64> = content.into_iter().filter(|&block| block < blocks).collect();
        let ours = disk(blocks, &content);
        let (area, root) = written(&ours, 0, 1);
        let (other, same) = written(&ours, 0, 3);
        prop_assert_eq!(root, same);
        prop_assert!(bytes(&area) == bytes(&other));
        prop_assert!(checked(&ours, &area, 0, &root, 3).is_ok());
        let block = flip % blocks;
        ours.write_all_at(&[0xee], block * BLOCK + 3000).unwrap();
        let found = checked(&ours, &area, 0, &root, 3);
        prop_assert!(matches!(found, Err(Error::Mismatch { place: Place::Data(at) }) if at == block), "{:?}", found);
    }
}
