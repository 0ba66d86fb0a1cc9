//! Filesystems that run full under the output and under the store: small tmpfs of all sizes, and a
//! btrfs with a quota.

use crate::images::{image, source};
use crate::registry::{Registry, cvbake, pull_and_build};
use crate::support::bake::{Bake, Place, assert_tidy, mode, names};
use crate::support::mount::Small;
use crate::support::server::{Answer, Server};
use crate::support::tools::needs_mounts;
use crate::support::{ext4, sample};

const SIZES: [&str; 9] = ["8k", "64k", "300k", "1m", "3m", "5m", "10m", "20m", "28m"];

fn expected() -> String {
    let place = Place::with(&sample::large());
    place.bake().ok();
    ext4::bytes_of(&place.disk())
}

#[test]
fn the_outputs_filesystem_is_full() {
    if !needs_mounts("a filesystem that is full") {
        return;
    }
    let expected = expected();
    let place = Place::with(&sample::large());
    let mut failures = 0;
    for size in SIZES {
        let small = Small::mount(&place.path().join("out"), size);
        let outcome = place.bake().inside(small.holder.id()).run();
        if outcome.code == Some(0) {
            assert_eq!(ext4::bytes_of(&small.outside().join("disk.ext4")), expected, "{size}");
            continue;
        }
        failures += 1;
        let line = outcome.error(&[6]);
        let out = place.path().join("out").display().to_string();
        assert!(line.contains(&out) && line.contains("No space left"), "{size}: {}", outcome.describe());
        assert_eq!(names(&small.outside()), [""; 0], "nothing is left: {}", outcome.describe());
        small.grow("200m");
        place.bake().inside(small.holder.id()).ok();
        assert_eq!(ext4::bytes_of(&small.outside().join("disk.ext4")), expected, "{size}, then larger");
    }
    assert!(failures >= 3, "the smallest were too small");
}

/// As soon as there is a plan, it is known that there is no room: nothing is written then.
#[test]
fn there_is_no_room_for_what_is_planned() {
    if !needs_mounts("a filesystem that is too small") {
        return;
    }
    let place = Place::with(&sample::large());
    place.bake().ok();
    let expected = ext4::bytes_of(&place.disk());
    let out = place.path().join("out");
    let small = Small::mount(&out, "9m");
    // With what the store has of it, without, and by the other engine.
    let new = place.writable("home/new");
    let bake = || place.bake().progress("json").inside(small.holder.id());
    for bake in [bake(), bake().store(&new), bake().args(["--jobs", "1"]), bake().args(["--engine", "mkfs"])] {
        let outcome = bake.run();
        assert_eq!(outcome.code, Some(6), "{}", outcome.describe());
        let line = outcome.stderr.lines().find(|line| line.contains(r#""event":"error""#)).expect("an error");
        let disk = place.disk().display().to_string();
        for part in
            [&disk, "needs at least 2", " MiB, and its filesystem has 9.0 MiB free", "No space left", "free some space"]
        {
            assert!(line.contains(part), "{part}: {}", outcome.describe());
        }
        assert!(!outcome.stderr.contains(r#""stage":"write""#), "nothing is written: {}", outcome.describe());
        assert_eq!(names(&small.outside()), [""; 0]);
    }
    // What fits is not refused: here by less than a MiB. One that stands there is replaced only
    // when the new one is whole.
    small.grow("26m");
    let least = || place.bake().args(["--force", "--size", "min", "--no-journal"]).inside(small.holder.id());
    least().ok();
    let outcome = least().run();
    assert!(outcome.error(&[6]).contains("needs at least 25.1 MiB"), "{}", outcome.describe());
    small.grow("200m");
    place.bake().arg("--force").inside(small.holder.id()).ok();
    assert_eq!(ext4::bytes_of(&small.outside().join("disk.ext4")), expected);
}

/// Neither half an export nor an image that is half imported.
#[test]
fn there_is_no_room_for_an_export_or_an_import() {
    if !needs_mounts("a filesystem that is full") {
        return;
    }
    let place = Place::with(&sample::large());
    let source = source(&place);
    let home = place.path().join("home");
    for (transport, size) in
        [("oci", "5m"), ("oci-archive", "1m"), ("docker-archive", "10m"), ("tar", "8k"), ("tar", "20m")]
    {
        let small = Small::mount(&place.path().join("out"), size);
        let target = format!("{transport}:{}", place.path().join("out/x").display());
        let export = || image(&place, &["export", &source, &target]).platform("linux/amd64").inside(small.holder.id());
        let outcome = export().run();
        assert!(outcome.error(&[6]).contains("No space left"), "{target}: {}", outcome.describe());
        assert!(outcome.stderr.contains("free some space"), "{}", outcome.describe());
        assert_eq!(names(&small.outside()), [""; 0], "nothing is left: {}", outcome.describe());
        small.grow("200m");
        export().ok();
        assert_eq!(names(&small.outside()), ["x"]);
    }
    mode(&home, 0o777);
    let small = Small::mount(&home, "10m");
    let import = || image(&place, &["import", &source, "large"]).inside(small.holder.id());
    let outcome = import().run();
    assert!(outcome.error(&[7]).contains("No space left"), "{}", outcome.describe());
    assert_tidy(&small.outside().join("store"));
    let rows = || image(&place, &["ls", "--quiet"]).inside(small.holder.id()).ok().stdout;
    assert_eq!(rows(), "");
    small.grow("200m");
    import().ok();
    assert_eq!(rows().lines().count(), 1);
}

#[test]
fn the_stores_filesystem_is_full() {
    if !needs_mounts("a filesystem that is full") {
        return;
    }
    let expected = expected();
    for keep in [&[][..], &["--keep-packs", "always"]] {
        let place = Place::with(&sample::large());
        let home = place.path().join("home");
        mode(&home, 0o777);
        let mut failures = 0;
        for size in SIZES {
            let small = Small::mount(&home, size);
            let bake = || place.bake().args::<&str>(keep).arg("--force").inside(small.holder.id());
            let outcome = bake().run();
            if outcome.code != Some(0) {
                failures += 1;
                let line = outcome.error(&[7]);
                let there = home.display().to_string();
                assert!(line.contains(&there) && line.contains("No space left"), "{size}: {}", outcome.describe());
                // Not of another store, which may have room.
                let store = place.store().display().to_string();
                for part in ["`cvbake store gc --store {}`", "`cvbake store prune --store {}`", "--store DIR"] {
                    assert!(outcome.stderr.contains(&part.replace("{}", &store)), "{part}: {}", outcome.describe());
                }
                assert!(!outcome.stderr.contains("-o "), "{}", outcome.describe());
                assert_tidy(&small.outside().join("store"));
                small.grow("300m");
                bake().ok();
            }
            assert_eq!(ext4::bytes_of(&place.disk()), expected, "{size} {keep:?}");
            drop(small);
            std::fs::remove_file(place.disk()).unwrap();
        }
        assert!(failures >= 1, "the smallest were too small {keep:?}");
    }
}

#[test]
fn a_full_store_can_be_pruned() {
    if !needs_mounts("a filesystem that is full") {
        return;
    }
    let place = Place::with(&sample::varied());
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    let home = place.path().join("home");
    mode(&home, 0o777);
    let small = Small::mount(&home, "30m");
    cvbake(&place, &["pull", &name]).inside(small.holder.id()).ok();
    let mut filler = std::fs::File::create(small.outside().join("filler")).unwrap();
    for piece in [1 << 20, 4096, 1] {
        while std::io::Write::write(&mut filler, &vec![0; piece]).is_ok_and(|written| written > 0) {}
    }
    let store = |args: &[&str]| {
        let bake = Bake::of(&["store"]).args(args).store(&place.store()).env("HOME", &home);
        bake.inside(small.holder.id()).ok()
    };
    assert!(store(&["gc"]).stdout.starts_with("Removed nothing"));
    let pruned = store(&["prune", "--keep-size", "0"]);
    assert!(pruned.stdout.contains("Removed 1 image, 5 blobs: "), "{}", pruned.describe());
    assert!(store(&["check", "--progress", "none"]).stdout.ends_with("nothing damaged\n"));
    let listed = std::fs::read_to_string(small.outside().join("store/index.json")).unwrap();
    assert!(listed.contains(r#""manifests":[]"#), "{listed}");
}

#[test]
fn the_stores_filesystem_is_full_while_pulling() {
    if !needs_mounts("a filesystem that is full") {
        return;
    }
    let expected = expected();
    let place = Place::with(&sample::large());
    let server = Server::start(&place, |_| Answer::Right);
    let home = place.path().join("home");
    mode(&home, 0o777);
    let mut resumed = 0;
    for size in ["8k", "300k", "5m", "12m", "20m", "30m"] {
        let small = Small::mount(&home, size);
        let build = || pull_and_build(&place, &server.name()).inside(small.holder.id());
        let pull = || cvbake(&place, &["pull", &server.name()]).inside(small.holder.id());
        for run in [build(), pull()] {
            let outcome = run.run();
            if outcome.code == Some(0) {
                assert_eq!(size, "30m", "{}", outcome.describe());
                continue;
            }
            // What is unpacked for the disk only stands there, too, and what makes room for it is
            // the same.
            let line = outcome.error(&[7]);
            let hint = "`cvbake store gc --store ";
            assert!(line.contains(&home.display().to_string()) && line.contains("No space left"), "{size}: {line}");
            assert!(outcome.stderr.contains(hint), "{}", outcome.describe());
            assert_eq!(names(&place.path().join("out")), [""; 0], "{size}");
            assert_eq!(names(&small.outside().join("store/scratch")), [""; 0], "{size}");
        }
        let before = server.asked("/blobs/").len();
        small.grow("300m");
        build().ok();
        resumed += server.asked("/blobs/")[before..].iter().filter(|asked| asked.from > 0).count();
        assert_eq!(ext4::bytes_of(&place.disk()), expected, "{size}");
        assert_tidy(&small.outside().join("store"));
        std::fs::remove_file(place.disk()).unwrap();
        if size == "8k" {
            small.remount("ro");
            for run in [build(), pull()] {
                let outcome = run.run();
                let line = outcome.error(&[7]);
                let there = line.contains(&home.display().to_string());
                assert!(there && line.contains("Read-only file system"), "{}", outcome.describe());
                assert_eq!(names(&place.path().join("out")), [""; 0]);
            }
            build().no_cache().ok();
            std::fs::remove_file(place.disk()).unwrap();
        }
    }
    assert!(resumed > 0, "what had found room is not downloaded again");
}

#[test]
fn the_stores_quota_is_exceeded() {
    if !needs_mounts("a filesystem with a quota") {
        return;
    }
    let expected = expected();
    let place = Place::with(&sample::large());
    let server = Server::start(&place, |_| Answer::Right);
    let home = place.path().join("home");
    let small = Small::with_quota(&home, "5M");
    let build = || pull_and_build(&place, &server.name()).inside(small.holder.id());
    for run in [build(), cvbake(&place, &["pull", &server.name()]).inside(small.holder.id())] {
        let outcome = run.run();
        let line = outcome.error(&[7]);
        assert!(
            line.contains(&home.display().to_string()) && line.contains("quota exceeded"),
            "{}",
            outcome.describe()
        );
        assert!(outcome.stderr.contains("free some space"), "{}", outcome.describe());
        assert_eq!(names(&place.path().join("out")), [""; 0]);
        assert_eq!(names(&small.outside().join("store/scratch")), [""; 0]);
    }
    small.raise_quota("none");
    build().ok();
    assert_eq!(ext4::bytes_of(&place.disk()), expected);
    assert_tidy(&small.outside().join("store"));
}
