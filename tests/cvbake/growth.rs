//! How much work a bake is and how that grows, in instructions: times depend on the machine, and on
//! what else it does.

use crate::support::bake::Place;
use crate::support::image::{Compression, Images, Layer};
use crate::support::tar::{Member, Tar};
use crate::support::tools::{succeed, tool};

/// What one more entry may cost. Of some 60,000 that it does in a build for tests, half are SHA-256
/// of its header and content.
///
/// Valgrind shows programs the same processor wherever it runs, so this is no matter of the machine
/// as long as that has AVX2.
#[cfg(target_arch = "x86_64")]
const PER_ENTRY: u64 = 100_000;

/// What one more layer may cost; it does about 1,000,000.
#[cfg(target_arch = "x86_64")]
const PER_LAYER: u64 = 1_500_000;

/// How many instructions a bake of an image takes, by valgrind.
fn instructions(images: &Images) -> u64 {
    let place = Place::with(images);
    let profile = place.path().join("profile");
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(&profile);
    succeed(
        tool("valgrind", "valgrind")
            .args(["--quiet", "--tool=callgrind"])
            .arg(out)
            .arg(env!("CARGO_BIN_EXE_cvbake"))
            .args(["bake", &format!("oci:{}:latest", place.path().join("image").display()), "--no-cache"])
            .args(["--platform", "linux/amd64", "--jobs", "1", "--sync", "never", "--quiet", "-o"])
            .arg(place.disk()),
    );
    assert!(place.disk().exists());
    let profile = std::fs::read_to_string(profile).unwrap();
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    total.trim().parse().unwrap()
}

/// So many files in so many layers, in directories of so many.
fn image(files: usize, layers: usize, per_directory: usize) -> Images {
    let member = |at: usize| {
        let path = format!("dir/{}/a-file-with-number-{at}", at / per_directory);
        Member::file(path.as_bytes(), &at.to_le_bytes())
    };
    let members: Vec<Member> = (0..files).map(member).collect();
    let layer = |members: &[Member]| Layer::new(Tar::of(members), Compression::Gzip);
    Images::of(members.chunks(files.div_ceil(layers)).map(layer).collect())
}

#[test]
fn with_files() {
    const FILES: usize = 500;
    const TIMES: usize = 8;
    let nothing = instructions(&image(1, 1, 1));
    for (what, per_directory) in [("many directories", 20), ("one directory", usize::MAX)] {
        let some = instructions(&image(FILES, 1, per_directory)) - nothing;
        let more = instructions(&image(FILES * TIMES, 1, per_directory)) - nothing;
        let each = more / (FILES * TIMES) as u64;
        eprintln!("files in {what}: {some}, and {more} for {TIMES} times as many, {each} each; {nothing} for nothing");
        assert!(more <= some * TIMES as u64 * 11 / 10, "{TIMES} times as many files in {what}: {some}, then {more}");
        #[cfg(target_arch = "x86_64")]
        assert!(each <= PER_ENTRY, "{each} for each of the files in {what}");
    }
}

#[test]
fn with_layers() {
    // As many in each layer, whatever their number.
    const FILES: usize = 1024;
    let [one, some, more] = [1, 8, 64].map(|layers| instructions(&image(FILES, layers, 20)));
    eprintln!("the same files in 1 layer: {one}, in 8: {some}, in 64: {more}");
    assert!(more - one <= (some - one) * 9 * 11 / 10, "seven more layers cost {}, 63 {}", some - one, more - one);
    #[cfg(target_arch = "x86_64")]
    assert!((more - one) / 63 <= PER_LAYER, "{} for each layer", (more - one) / 63);
}
