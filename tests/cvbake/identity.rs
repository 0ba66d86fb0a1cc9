//! One image is one thing, whichever way it comes: the same layers are the same disk, and the same
//! archive gets the same digest.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::image_store::{file, import};
use crate::images::image;
use crate::registry::{Registry, cvbake};
use crate::support::bake::{Bake, Place};
use crate::support::ext4::bytes_of;
use crate::support::image::{Compression, Images, docker_archive};
use crate::support::run::Outcome;
use crate::support::sample;
use crate::support::tools::{needs_disk, succeed, tool};

fn told(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.describe()))
}

/// The digest that an import names.
fn imported(bake: Bake) -> String {
    told(&bake.arg("--json").ok())["images"][0]["image"].as_str().unwrap().to_owned()
}

/// Writes to a named pipe in pieces of these lengths, again and again.
fn pour(bytes: &[u8], pipe: &Path, pieces: &[usize]) {
    let mut pipe = File::options().write(true).open(pipe).unwrap();
    let mut rest = bytes;
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        // The reader may have had enough.
        if pipe.write_all(now).is_err() || later.is_empty() {
            return;
        }
        rest = later;
    }
}

/// Text that compresses, and noise that does not.
const ROOT: &str = "
    repeat 200 file etc/conf{i} rep:{i}00:\"a line of text, over and over\\n\"
    file bin/large rand:900000:1 mode=0755
    file zeros zeros:400000
    link l -> etc";

#[test]
fn gzip_is_a_function_of_the_content() {
    let layer = sample::layer(ROOT, Compression::Plain);
    let place = Place::new();
    let tar = file(&place, "root.tar", &layer.tar);
    let from_file = imported(import(&place, &[&format!("tar:{}", tar.display()), "whole:1"]));
    let pipe = place.path().join("pipe");
    succeed(tool("mkfifo", "coreutils").arg(&pipe));
    crate::support::bake::mode(&pipe, 0o666);
    for (number, pieces) in [&[4096][..], &[1, 70_001, 777], &[65_537], &[12_345, 3], &[usize::MAX]].iter().enumerate()
    {
        let name = format!("piped:{number}");
        let found = std::thread::scope(|scope| {
            scope.spawn(|| pour(&layer.tar, &pipe, pieces));
            imported(import(&place, &["tar:-", &name]).stdin(pipe.clone()))
        });
        assert_eq!(found, from_file, "{pieces:?}");
    }
    // What is piped through another program is cut as that one likes.
    let piped = place.path().join("out/piped.tar.gz");
    let whole = place.path().join("out/whole.tar.gz");
    image(&place, &["export", "whole:1", "tar:-", "--compress", "gzip"])
        .shell(&format!("exec >{}", piped.display()))
        .ok();
    image(&place, &["export", "whole:1", &whole.display().to_string()]).ok();
    assert!(std::fs::read(piped).unwrap() == std::fs::read(whole).unwrap());
}

/// Layers that are compressed, and one that is there twice.
fn archive(old: bool) -> (Images, Vec<u8>) {
    let layer = |text: &str| sample::layer(text, Compression::Plain);
    let again = layer("file again rep:100000:\"twice \"");
    let images = Images::of(vec![layer(ROOT), again.clone(), layer("file etc/.wh.conf1\nfile b \"b\""), again]);
    let bytes = docker_archive(&images.images[0], &["a/b:c"], old);
    (images, bytes)
}

#[test]
fn a_docker_archive_has_one_digest() {
    for (old, jobs) in [(true, "1"), (false, "4")] {
        let (_, bytes) = archive(old);
        let place = Place::new();
        let registry = Registry::start(&place, false);
        let source = format!("docker-archive:{}", file(&place, "docker.tar", &bytes).display());
        let by_import = imported(import(&place, &[&source, "--jobs", jobs]));
        let name = format!("{}/a/b:c", registry.host);
        let pushed = Bake::of(&["push", &source, &name, "--json", "--progress", "none", "--store"]);
        let pushed = pushed.arg(place.store()).env("HOME", place.path().join("home")).ok();
        assert_eq!(told(&pushed)["image"], by_import.as_str(), "pushed");
        for target in ["oci:{}/layout:x", "oci-archive:{}/image.tar:x"] {
            let target = target.replace("{}", &place.path().join("out").display().to_string());
            let exported = image(&place, &["export", &source, &target, "--platform", "linux/amd64", "--json"]).ok();
            assert_eq!(told(&exported)["image"], by_import.as_str(), "{target}");
        }
        let pulled = told(&cvbake(&place, &["pull", &name, "--json"]).ok());
        assert_eq!(pulled["image"], by_import.as_str(), "pulled");
    }
}

/// People see one digest called `image`.
#[test]
fn an_import_says_one_digest() {
    let (_, bytes) = archive(true);
    let place = Place::new();
    let source = format!("docker-archive:{}", file(&place, "docker.tar", &bytes).display());
    for progress in ["plain", "json"] {
        let outcome = import(&place, &[&source]).progress(progress).ok();
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let digests: std::collections::BTreeSet<&str> =
            said.match_indices("sha256:").map(|(at, _)| &said[at..at + 71]).collect();
        assert_eq!(digests.len(), 1, "{}", outcome.describe());
    }
}

#[test]
fn a_docker_archive_is_one_disk() {
    let (images, bytes) = archive(false);
    let place = Place::with(&images);
    let registry = Registry::start(&place, false);
    let source = format!("docker-archive:{}", file(&place, "docker.tar", &bytes).display());
    let run = |bake: Bake| (told(&bake.args(["--force", "--json"]).ok()), bytes_of(&place.disk()));
    let (first, disk) = run(place.bake_source(&source));
    import(&place, &[&source]).ok();
    import(&place, &[&source, "zstd:1", "--compress", "zstd"]).ok();
    let name = format!("{}/a/b:c", registry.host);
    let pushed = Bake::of(&["push", &source, &name, "--progress", "none", "--store"]).arg(place.store());
    pushed.env("HOME", place.path().join("home")).ok();
    let back = format!("docker-archive:{}", place.path().join("out/back.tar").display());
    image(&place, &["export", "a/b:c", &back]).ok();
    for bake in [
        place.bake(),
        place.bake_source("a/b:c").args(["--pull", "never"]),
        place.bake_source("zstd:1").args(["--pull", "never"]),
        place.bake_source(&back),
        place.bake_source(&source).no_cache(),
        crate::registry::pull_and_build(&place, &name),
    ] {
        let (other, bytes) = run(bake);
        let reference = &other["reference"];
        assert_eq!(other["disk"]["uuid"], first["disk"]["uuid"], "{reference}");
        assert_eq!(other["config"], first["config"], "{reference}");
        assert_eq!(bytes, disk, "{reference}");
    }
    // The other engine has the same identity from the same place.
    for source in [source.as_str(), "a/b:c"] {
        let (mkfs, _) = run(place.bake_source(source).args(["--engine", "mkfs"]));
        assert_eq!(mkfs["disk"]["uuid"], first["disk"]["uuid"], "{source}");
    }
}

#[test]
fn a_root_filesystem_is_one_disk() {
    let place = Place::new();
    let layer = sample::layer(ROOT, Compression::Plain);
    let tar = format!("tar:{}", file(&place, "root.tar", &layer.tar).display());
    let bake = |source: &str| {
        place.bake_source(source).args(["--force", "--json", "--pull", "never"]).ok();
        bytes_of(&place.disk())
    };
    let first = bake(&tar);
    import(&place, &[&tar, "root:1", "--platform", "linux/amd64"]).ok();
    import(&place, &[&tar, "root:2", "--platform", "linux/amd64", "--cmd", "/bin/sh", "--compress", "none"]).ok();
    for name in ["root:1", "root:2"] {
        assert_eq!(bake(name), first, "{name}");
    }
}

/// What names the archive, and is shown for it, names the image in the store as well.
#[test]
fn the_configuration_names_the_image() {
    let (_, bytes) = archive(true);
    let place = Place::new();
    let source = format!("docker-archive:{}", file(&place, "docker.tar", &bytes).display());
    let baked = told(&place.bake_source(&source).arg("--json").ok());
    let config = baked["config"].as_str().unwrap();
    assert_eq!(baked["image"], config, "it has no manifest");
    let shown = place.bake_source(&source).arg("--force").ok().stdout;
    assert!(shown.contains(&format!("\n  config  {config} (")), "{shown}");
    let manifest = imported(import(&place, &[&source]));
    for text in [config, &config[..19], &config["sha256:".len()..]] {
        let found = image(&place, &["inspect", text]).ok();
        assert!(found.stdout.contains(&manifest), "{}", found.describe());
    }
    image(&place, &["tag", config, "by/config:1"]).ok();
    let target = format!("oci:{}", place.path().join("out/x").display());
    assert_eq!(
        told(&image(&place, &["export", config, &target, "--json"]).platform("linux/amd64").ok())["image"],
        manifest
    );
    // Of two that differ in nothing but how they are compressed, it says nothing.
    import(&place, &[&source, "zstd:1", "--compress", "zstd"]).ok();
    let several = image(&place, &["inspect", config]).run();
    assert!(several.error(&[3]).contains(&manifest), "{}", several.describe());
    let none = image(&place, &["inspect", "sha256:0000"]).run();
    assert!(none.error(&[3]).contains("has no image"), "{}", none.describe());
}

/// A disk is used again for what is another image by its documents, and the same by its layers.
#[test]
fn a_disk_of_the_archive_serves_the_image() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let (_, bytes) = archive(true);
    let place = Place::new();
    let source = format!("docker-archive:{}", file(&place, "docker.tar", &bytes).display());
    import(&place, &[&source]).ok();
    let bake = |source: &str| {
        let bake = place.bake_source(source).args(["--force", "--json", "--pull", "never"]);
        told(&bake.env("CVBAKE_REUSE", "auto").ok())
    };
    let (first, second) = (bake(&source), bake("a/b:c"));
    assert_eq!(second["reused"], place.disk().display().to_string().as_str(), "{second}");
    assert_eq!((&first["disk"]["uuid"], &first["files"]), (&second["disk"]["uuid"], &second["files"]));
    assert_eq!(first["config"], second["config"]);
    assert_ne!(first["image"], second["image"], "by which the store knows it");
}

/// Whoever makes a manifest can name any blobs beside any configuration: that a disk of what they
/// should unpack to is there proves nothing.
#[test]
fn blobs_that_unpack_to_something_else_are_refused_whatever_was_made_before() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let layer = sample::layer("file f \"x\"", Compression::Gzip);
    let mut other = sample::layer("file f \"y\"", Compression::Gzip);
    other.diff_id.clone_from(&layer.diff_id);
    let (good, bad) = (Place::with(&Images::of(vec![layer])), Place::with(&Images::of(vec![other])));
    for _ in 0..2 {
        good.bake().arg("--force").env("CVBAKE_REUSE", "auto").ok();
        let outcome = bad.bake().store(&good.store()).env("CVBAKE_REUSE", "auto").run();
        outcome.error(&[4]);
        assert!(!bad.disk().exists(), "{}", outcome.describe());
    }
}
