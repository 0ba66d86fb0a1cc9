//! Much of everything: entries in one directory, directories in one another, layers, names; with a bound on memory.

use crate::support::bake::Place;
use crate::support::image::{Compression, Images, Layer};
use crate::support::run::Outcome;
use crate::support::tar::{Member, Tar};
use crate::support::{ext4, oracle, sample};

/// What a bake may use: 64 MiB and 200 bytes for every entry, and something for a build that is not optimised.
fn assert_small(outcome: &Outcome, entries: u64) {
    let limit = 64 * 1024 + entries * 200 / 1024;
    eprintln!("{entries} entries: {} KiB at most, {limit} KiB allowed", outcome.peak_kib);
    assert!(outcome.peak_kib <= limit, "{} KiB for {entries} entries, {limit} allowed", outcome.peak_kib);
}

fn place(members: &[Member]) -> Place {
    Place::with(&Images::of(vec![Layer::new(Tar::of(members), Compression::Gzip)]))
}

/// 120 layers, each with a file of its own, one that all have, and a whiteout of the one before.
pub(crate) fn many_layers() -> Images {
    let layer = |number: u32| {
        let text = format!(
            "file own{number} \"{number}\"\nfile all \"{number}\"\nfile dir/{number}/f \"{number}\"\nfile .wh.own{}",
            number.wrapping_sub(1)
        );
        sample::layer(&text, if number.is_multiple_of(2) { Compression::Gzip } else { Compression::Zstd })
    };
    Images::of((0..120).map(layer).collect())
}

#[test]
fn layers() {
    let place = Place::with(&many_layers());
    let outcome = place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 1 + 1 + 120 * 2 + 1 + 1, "{listing:.2000}");
    assert!(listing.contains("/own119 file"));
    assert_small(&outcome, 500);
}

#[test]
fn entries_in_one_directory() {
    const COUNT: u64 = 100_000;
    let members: Vec<_> =
        (0..COUNT).map(|at| Member::file(format!("dir/a-file-with-number-{at}").as_bytes(), b"")).collect();
    let place = place(&members);
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    assert_eq!(ext4::listing(&place.disk()).lines().count() as u64, COUNT + 2);
    assert_small(&outcome, COUNT);
    let outcome = place.bake().arg("--force").ok();
    assert_small(&outcome, COUNT);
    if crate::support::tools::is_root() {
        // The kernel finds names through the index, not by reading everything.
        let mount = oracle::Mount::read_only(&place.disk());
        for at in (0..COUNT).step_by(997) {
            assert!(mount.root.join(format!("dir/a-file-with-number-{at}")).exists(), "{at}");
        }
        assert!(!mount.root.join("dir/a-file-with-number-x").exists());
        mount.unmount();
    }
}

#[test]
fn directories_in_one_directory() {
    const COUNT: u64 = 70_000;
    let members: Vec<_> = (0..COUNT).map(|at| Member::dir(format!("dir/{at}/").as_bytes())).collect();
    let place = place(&members);
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    assert_eq!(ext4::listing(&place.disk()).lines().count() as u64, COUNT + 2);
    assert_small(&outcome, COUNT);
}

#[test]
fn directories_in_one_another() {
    let path = vec!["d"; 1000].join("/");
    let place = place(&[Member::file(format!("{path}/file").as_bytes(), b"deep")]);
    place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 1002);
    assert!(listing.contains(&format!("/{path}/file file")));
}

#[test]
fn directories_in_one_another_and_away_again() {
    let path = vec!["d"; 1000].join("/");
    let deep = |text: &str| sample::layer(text, Compression::Gzip);
    let layers =
        vec![deep(&format!("file {path}/file \"x\"")), deep("file .wh.d"), deep(&format!("file {path}/other \"y\""))];
    let place = Place::with(&Images::of(layers));
    place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 1002);
    assert!(listing.contains(&format!("/{path}/other file")) && !listing.contains("/file "));
}

#[test]
fn many_small_files_in_many_directories() {
    const COUNT: u64 = 60_000;
    let file = |at: u64| {
        Member::file(format!("node_modules/p{}/lib/{}/f{at}.js", at / 60, at % 7).as_bytes(), &at.to_le_bytes())
    };
    let members: Vec<_> = (0..COUNT).map(file).collect();
    let place = place(&members);
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    let directories = 1 + 1000 * 9;
    assert_eq!(ext4::listing(&place.disk()).lines().count() as u64, 1 + directories + COUNT);
    assert_small(&outcome, COUNT + directories);
}

/// 1 GiB of zeros in a few kilobytes: memory is bounded by what is kept, and zeros are holes.
#[test]
fn a_layer_that_is_large_unpacked() {
    const PIECE: usize = 16 << 20;
    const PIECES: u64 = 64;
    let head = Member {
        pax: vec![(b"size".to_vec(), (PIECE as u64 * PIECES).to_string().into())],
        ..Member::file(b"big", b"")
    };
    let mut tar = Tar::of(&[head]).finish();
    tar.truncate(tar.len() - 1024);
    let piece = vec![0; PIECE];
    let mut blob = Compression::Gzip.compress(&tar);
    let member = Compression::Gzip.compress(&piece);
    let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
    sha2::Digest::update(&mut hasher, &tar);
    for _ in 0..PIECES {
        blob.extend_from_slice(&member);
        sha2::Digest::update(&mut hasher, &piece);
    }
    blob.extend(Compression::Gzip.compress(&[0; 1024]));
    sha2::Digest::update(&mut hasher, [0; 1024]);
    let mut layer = Layer::from_bytes(Vec::new(), Compression::Gzip);
    layer.digest = crate::support::image::digest("sha256", &blob);
    layer.size = blob.len() as u64;
    layer.blob = blob;
    layer.diff_id = format!("sha256:{}", crate::support::image::hex(&sha2::Digest::finalize(hasher)));
    let place = Place::with(&Images::of(vec![layer]));
    let outcome = place.bake().args(["--size", "min"]).ok();
    assert_small(&outcome, 1);
    oracle::fsck(&place.disk());
    let meta = std::fs::metadata(place.disk()).unwrap();
    let allocated = std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
    assert!(allocated < 64 << 20, "zeros are holes: {allocated} bytes allocated of {}", meta.len());
    assert!(ext4::listing(&place.disk()).contains("/big file 0644 0:0 mtime=1.000000000 size=1073741824"));
}
