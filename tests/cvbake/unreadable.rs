//! Blocks of a disk that can't be read any more, under the store and under sources: the kernel
//! itself says so, of a btrfs whose checksums don't fit.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::images::image;
use crate::registry::{Registry, cvbake, pull_and_build};
use crate::support::bake::{Bake, Place, assert_tidy, files_below, names, own};
use crate::support::image::{Compression, Images, docker_archive, tar_directory, write_layout};
use crate::support::mount::Small;
use crate::support::run::Outcome;
use crate::support::sample;
use crate::support::server::{Answer, Server};
use crate::support::tools::needs_mounts;

/// Two layers of many blocks, one of which is large enough to be read ahead.
fn images() -> Images {
    let small = "file first rand:100000:1\nrepeat 200 file dir/file{i} \"small file number {i}\"";
    let large = "file second rand:1200000:2";
    Images::of(vec![sample::layer(small, Compression::Gzip), sample::layer(large, Compression::Plain)])
}

/// A place whose store is on such a disk, a registry that has its image, and the image's disk.
struct Bad {
    small: Small,
    server: Server,
    place: Place,
    expected: Vec<u8>,
    /// Whether the registry has nothing.
    gone: Arc<AtomicBool>,
}

impl Bad {
    fn new() -> Bad {
        let place = Place::with(&images());
        place.bake().ok();
        let expected = fs::read(place.disk()).unwrap();
        fs::remove_file(place.disk()).unwrap();
        fs::remove_dir_all(place.store()).unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let is_gone = Arc::clone(&gone);
        let server = Server::start(&place, move |_| match is_gone.load(Ordering::Relaxed) {
            true => Answer::Other(404, String::new(), b"gone".to_vec()),
            false => Answer::Right,
        });
        let small = Small::checksummed(&place.path().join("home"));
        Bad { small, server, place, expected, gone }
    }

    /// A command of the program about the image in the registry.
    fn cvbake(&self, args: &[&str]) -> Bake {
        cvbake(&self.place, args).inside(self.small.holder.id())
    }

    fn build(&self, pull: &str) -> Bake {
        pull_and_build(&self.place, &self.server.name()).args(["--pull", pull]).inside(self.small.holder.id())
    }

    fn store(&self) -> PathBuf {
        self.small.outside().join("store")
    }

    /// The largest file of a kind of entry: its path for who is inside.
    fn largest(&self, kind: &str) -> PathBuf {
        let files = files_below(&self.store().join(kind));
        let largest = files.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        self.place.store().join(largest.strip_prefix(self.store()).unwrap())
    }

    fn outside(&self, path: &Path) -> PathBuf {
        self.store().join(path.strip_prefix(self.place.store()).unwrap())
    }

    /// Makes the middle of a file unreadable.
    fn spoil(&self, path: &Path) {
        self.small.spoil(path, middle(&self.outside(path)));
        fs::read(self.outside(path)).unwrap_err();
    }

    /// Fails unless a run has made the disk and said that something of the store can't be read,
    /// which can be read now.
    fn assert_made_good(&self, path: &Path, outcome: &Outcome) {
        let told = |line: &&str| line.contains(&path.display().to_string()) && line.contains("Input/output error");
        assert!(outcome.warnings().iter().any(told), "{}", outcome.describe());
        assert!(fs::read(self.place.disk()).unwrap() == self.expected, "{}", outcome.describe());
        fs::read(self.outside(path)).unwrap();
        assert_tidy(&self.store());
        fs::remove_file(self.place.disk()).unwrap();
    }
}

/// Where the block in the middle of a file begins.
fn middle(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len() / 2 / 4096 * 4096
}

/// Fails unless the one error is that this file can't be read.
fn assert_unreadable(path: &Path, outcome: &Outcome, code: i32) {
    let line = outcome.error(&[code]);
    let whole = format!("cannot read {}: Input/output error", path.display());
    assert!(line.ends_with(&whole), "{}", outcome.describe());
    assert!(outcome.stderr.contains("dmesg"), "{}", outcome.describe());
}

/// Whoever can have it from elsewhere has it from there; for all others it is an error, and what is
/// there stays.
#[test]
fn blobs_of_the_store() {
    if !needs_mounts("a disk with bad blocks") {
        return;
    }
    let bad = Bad::new();
    bad.cvbake(&["pull", &bad.server.name()]).ok();
    let registry = Registry::start(&bad.place, false);
    let archive = format!("oci-archive:{}", bad.place.path().join("out/image.tar").display());
    let mut blobs = files_below(&bad.store().join("blobs"));
    blobs.sort_by_key(|path| fs::metadata(path).unwrap().len());
    assert_eq!(blobs.len(), 4, "a manifest, a configuration, two layers: {blobs:?}");
    let index = fs::read(bad.place.path().join("image/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap();
    // Once where there is nothing else of a layer, and once with its index.
    let all = blobs.iter().map(|path| (path, false)).chain(blobs[2..].iter().map(|path| (path, true)));
    for (number, (blob, with_index)) in all.enumerate() {
        let indexes = files_below(&bad.store().join("indexes-v1"));
        match with_index {
            true => assert_eq!(indexes.len(), 2, "{indexes:?}"),
            false => indexes.into_iter().for_each(|path| fs::remove_file(path).unwrap()),
        }
        // What a push that fails has sent is not read for the next one.
        let target = format!("{}/a{number}:b", registry.host);
        let path = bad.place.store().join(blob.strip_prefix(bad.store()).unwrap());
        bad.spoil(&path);
        let name = bad.server.name();
        let export = image(&bad.place, &["export", manifest, &archive, "--platform", "linux/amd64"]);
        for run in [bad.build("never"), bad.cvbake(&["push", &name, &target]), export.inside(bad.small.holder.id())] {
            assert_unreadable(&path, &run.run(), 7);
            assert_eq!(names(&bad.place.path().join("out")), [""; 0]);
            assert_tidy(&bad.store());
        }
        // Nor does it go where nobody else turns out to have it.
        bad.gone.store(true, Ordering::Relaxed);
        bad.build("missing").run().error(&[3, 9]);
        assert!(bad.outside(&path).exists());
        bad.gone.store(false, Ordering::Relaxed);
        let before = bad.server.asked("some/image/").len();
        bad.assert_made_good(&path, &bad.build("missing").ok());
        assert_eq!(bad.server.asked("some/image/").len(), before + 1, "nothing else is fetched: {}", path.display());
    }
    let path = bad.largest("blobs");
    bad.spoil(&path);
    let pulled = bad.cvbake(&["pull", &bad.server.name()]).ok();
    assert!(pulled.stderr.contains("Input/output error"), "{}", pulled.describe());
    bad.build("never").ok();

    bad.spoil(&path);
    let check = |args: &[&str]| {
        let check = Bake::of(&["store", "check"]).args(args).store(&bad.place.store()).progress("none");
        check.env("HOME", bad.place.path().join("home")).inside(bad.small.holder.id())
    };
    let found = check(&[]).run();
    found.error(&[7]);
    let told = format!("{}: it cannot be read: Input/output error", path.display());
    assert!(found.stdout.contains(&told), "{}", found.describe());
    check(&["--repair"]).run();
    assert!(!bad.outside(&path).exists());
}

/// An index or pack is made again, of a layer that can be read.
#[test]
fn what_was_made_of_a_layer() {
    if !needs_mounts("a disk with bad blocks") {
        return;
    }
    let bad = Bad::new();
    let build = || bad.build("missing").args(["--keep-packs", "always"]);
    build().ok();
    for kind in ["indexes-v1", "packs-v1"] {
        let path = bad.largest(kind);
        bad.spoil(&path);
        bad.assert_made_good(&path, &build().ok());
    }
}

/// What an interrupted download has left is not built upon.
#[test]
fn the_beginning_of_a_blob() {
    if !needs_mounts("a disk with bad blocks") {
        return;
    }
    let bad = Bad::new();
    bad.cvbake(&["pull", &bad.server.name()]).ok();
    for offset in [0, 512 << 10] {
        let path = bad.largest("blobs");
        let whole = fs::read(bad.outside(&path)).unwrap();
        fs::remove_file(bad.outside(&path)).unwrap();
        let name = format!("sha256-{}", path.file_name().unwrap().to_str().unwrap());
        let partial = bad.store().join("partial").join(&name);
        fs::write(&partial, &whole[..1 << 20]).unwrap();
        own(&partial);
        bad.small.spoil(&bad.place.store().join("partial").join(&name), offset);
        let pulled = bad.cvbake(&["pull", &bad.server.name()]).ok();
        assert!(pulled.warnings().iter().any(|line| line.contains("fetching it again")), "{}", pulled.describe());
        assert!(fs::read(bad.outside(&path)).unwrap() == whole);
        assert_tidy(&bad.store());
    }
}

#[test]
fn archives_and_layouts() {
    if !needs_mounts("a disk with bad blocks") {
        return;
    }
    let images = images();
    let place = Place::with(&images);
    let from = place.writable("from");
    let small = Small::checksummed(&from);
    let path = from.join("file");
    let outside = small.outside().join("file");
    let layout = tar_directory(&place.path().join("image"));
    let docker = |old| docker_archive(&images.images[0], &["x:1"], old);
    let archives = [
        ("oci-archive", layout.clone()),
        ("oci-archive", Compression::Gzip.compress(&layout)),
        ("docker-archive", docker(true)),
        ("docker-archive", docker(false)),
        ("docker-archive", Compression::Zstd.compress(&docker(false))),
        ("tar", images.images[0].layers[0].blob.clone()),
        ("tar", images.images[0].layers[1].blob.clone()),
    ];
    let import = |source: &str| image(&place, &["import", source, "some/image", "--platform", "linux/amd64"]);
    let assert_unreadable = |path: &Path, source: &str, other: Bake| {
        for run in [place.bake_source(source), other] {
            let outcome = run.inside(small.holder.id()).run();
            let line = outcome.error(&[3]);
            let place_of = line.contains(&path.display().to_string());
            assert!(place_of && line.ends_with("Input/output error"), "{}", outcome.describe());
            assert!(outcome.stderr.contains("dmesg"), "{}", outcome.describe());
            place.assert_no_leftovers(&[]);
        }
    };
    for (transport, bytes) in archives {
        for at_start in [true, false] {
            fs::write(&outside, &bytes).unwrap();
            small.spoil(&path, if at_start { 0 } else { middle(&outside) });
            let source = format!("{transport}:{}", path.display());
            assert_unreadable(&path, &source, import(&source));
            fs::remove_file(&outside).unwrap();
        }
    }
    let outside = || small.outside().join("layout");
    write_layout(&images, &outside());
    for file in files_below(&outside()) {
        let path = from.join("layout").join(file.strip_prefix(outside()).unwrap());
        let bytes = fs::read(&file).unwrap();
        small.spoil(&path, middle(&file));
        let source = format!("oci:{}", from.join("layout").display());
        assert_unreadable(&path, &source, place.bake_source(&source).no_cache());
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(names(&place.store().join("repositories")), [""; 0], "no image of what could not be read");
}
