//! Disks that are full, stores that are damaged, limits that are low, outputs that are in the way.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::support::bake::{Bake, Place, as_user, files_below, mode, names, own};
use crate::support::ext4::bytes_of;
use crate::support::tools::{succeed, tool};
use crate::support::{oracle, sample};

const OUTPUT: &[i32] = &[6];
const STORE: &[i32] = &[7];

#[test]
fn no_file_may_grow() {
    let place = Place::with(&sample::large());
    // In units of 512 bytes: from what the error message needs (it goes to a file, here) to almost
    // enough.
    for blocks in [4, 8, 100, 1000, 5000, 20_000] {
        std::fs::remove_dir_all(place.store()).ok();
        let outcome = place.bake().shell("trap '' XFSZ").shell(&format!("ulimit -f {blocks}")).run();
        if outcome.code == Some(0) {
            continue;
        }
        let line = outcome.error(&[6, 7]);
        assert!(line.contains(&place.path().display().to_string()), "names the file: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
    place.bake().ok();
    oracle::fsck(&place.disk());
}

#[test]
fn few_files_may_be_open() {
    let place = Place::with(&sample::varied());
    place.bake().ok();
    let expected = bytes_of(&place.disk());
    std::fs::remove_dir_all(place.store()).unwrap();
    for _cold_then_warm in 0..2 {
        place.bake().args(["--force", "--jobs", "16"]).shell("ulimit -n 64").ok();
        assert_eq!(bytes_of(&place.disk()), expected);
    }
    let many = Place::with(&crate::scale::many_layers());
    for jobs in ["1", "16"] {
        many.bake().args(["--force", "--jobs", jobs]).shell("ulimit -n 64").ok();
        many.bake().args(["--force", "--jobs", jobs, "--keep-packs", "always"]).shell("ulimit -n 64").ok();
        std::fs::remove_dir_all(many.store()).unwrap();
    }
}

#[test]
fn umasks() {
    for (umask, expected) in [("000", 0o666), ("077", 0o600), ("022", 0o644), ("027", 0o640)] {
        let place = Place::with(&sample::varied());
        place.bake().shell(&format!("umask {umask}")).ok();
        let found = std::fs::metadata(place.disk()).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, expected, "umask {umask}");
        let store = std::fs::metadata(place.store()).unwrap().permissions().mode() & 0o7777;
        assert_eq!(store, 0o700, "the store with umask {umask}");
        place.bake().arg("--force").shell(&format!("umask {umask}")).ok();
    }
}

#[test]
fn an_output_that_exists() {
    let place = Place::with(&sample::small("content"));
    std::fs::write(place.disk(), "precious").unwrap();
    let outcome = place.bake().run();
    let line = outcome.error(OUTPUT);
    assert!(line.contains("disk.ext4") && outcome.stderr.contains("--force"), "{}", outcome.describe());
    assert_eq!(std::fs::read(place.disk()).unwrap(), b"precious");
    place.assert_no_leftovers(&["disk.ext4"]);
    place.bake().arg("--force").ok();
    oracle::fsck(&place.disk());
    place.assert_no_leftovers(&["disk.ext4"]);
}

/// A failed run with `--force` leaves the old disk as it was.
#[test]
fn an_output_that_exists_and_a_failure() {
    let mut images = sample::small("content");
    images.images[0].layers[0].diff_id = format!("sha256:{}", "1".repeat(64));
    let place = Place::with(&images);
    std::fs::write(place.disk(), "precious").unwrap();
    place.bake().arg("--force").run().error(&[4]);
    assert_eq!(std::fs::read(place.disk()).unwrap(), b"precious");
    place.assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn outputs_that_are_no_files() {
    let place = Place::with(&sample::small("content"));
    let target = place.path().join("out/target");
    std::fs::write(&target, "precious").unwrap();
    own(&target);
    type Make<'m> = &'m dyn Fn(&Path);
    let make: [(&str, Make<'_>); 5] = [
        ("a link to a file", &|disk| symlink(&target, disk).unwrap()),
        ("a link to nothing", &|disk| symlink(place.path().join("out/nothing"), disk).unwrap()),
        ("a directory", &|disk| std::fs::create_dir(disk).unwrap()),
        ("a FIFO", &|disk| drop(succeed(tool("mkfifo", "coreutils").arg(disk)))),
        ("a link to a device", &|disk| symlink("/dev/null", disk).unwrap()),
    ];
    for (what, make) in make {
        make(&place.disk());
        for args in [&[][..], &["--force"]] {
            let outcome = place.bake().args::<&str>(args).run();
            let line = outcome.error(OUTPUT);
            assert!(line.contains("disk.ext4"), "{what}: {}", outcome.describe());
            assert_eq!(std::fs::read(&target).unwrap(), b"precious", "{what}");
            assert!(!place.path().join("out/nothing").exists(), "{what}: written through");
            place.assert_no_leftovers(&["disk.ext4", "target"]);
        }
        match place.disk().symlink_metadata().unwrap().is_dir() {
            true => std::fs::remove_dir(place.disk()).unwrap(),
            false => std::fs::remove_file(place.disk()).unwrap(),
        }
    }
}

#[test]
fn outputs_that_cannot_be() {
    let place = Place::with(&sample::small("content"));
    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    own(&closed);
    mode(&closed, 0o555);
    for (output, codes) in [
        (closed.join("disk.ext4"), OUTPUT),
        (place.path().join("no/such/directory/disk.ext4"), OUTPUT),
        (PathBuf::from("/dev/null"), OUTPUT),
        (PathBuf::from("/proc/disk.ext4"), OUTPUT),
        (PathBuf::from("-"), &[2, 6]),
        (PathBuf::from(""), &[2, 6]),
        (place.path().join("out/.."), OUTPUT),
        (place.path().join("out/"), OUTPUT),
    ] {
        let image = format!("oci:{}", place.path().join("image").display());
        let bake = Bake::of(&["bake", &image, "--progress", "none", "--store"]).arg(place.store());
        let outcome = bake.platform("linux/amd64").arg("-o").arg(&output).run();
        outcome.error(codes);
        place.assert_no_leftovers(&[]);
    }
    assert_eq!(names(&closed), [""; 0]);
}

#[test]
fn a_store_that_cannot_be_written() {
    let place = Place::with(&sample::varied());
    place.bake().ok();
    std::fs::remove_file(place.disk()).unwrap();
    let outcome = {
        std::fs::remove_dir_all(place.store()).unwrap();
        std::fs::create_dir(place.store()).unwrap();
        own(&place.store());
        mode(&place.store(), 0o500);
        place.bake().run()
    };
    let line = outcome.error(STORE);
    assert!(line.contains(&place.store().display().to_string()), "{}", outcome.describe());
    place.assert_no_leftovers(&[]);
    mode(&place.store(), 0o700);
    place.bake().ok();
}

#[test]
fn stores_that_are_none() {
    let place = Place::with(&sample::small("content"));
    let file = place.path().join("home/file");
    std::fs::write(&file, "precious").unwrap();
    own(&file);
    let full = place.writable("home/full");
    std::fs::write(full.join("holiday.jpg"), "precious").unwrap();
    let foreign = place.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    mode(&foreign, 0o777);
    let stores = [file.clone(), file.join("below"), PathBuf::from("/proc/store"), full.clone()];
    let foreign = crate::support::tools::needs_root("a store of another user").then_some(foreign);
    for store in stores.into_iter().chain(foreign) {
        let outcome = place.bake().arg("--force").store(&store).run();
        let line = outcome.error(STORE);
        assert!(line.contains(&store.display().to_string()), "{}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    assert_eq!(names(&full), ["holiday.jpg"]);
}

/// Every entry of a store, damaged in every way: noticed, made anew, and the disk is the same.
#[test]
fn damaged_store_entries() {
    let place = Place::with(&sample::varied());
    let bake = || place.bake().args(["--force", "--keep-packs", "always"]);
    bake().ok();
    let expected = bytes_of(&place.disk());
    let entries = || {
        let of = |kind: &str| files_below(&place.store().join(kind));
        let mut entries: Vec<PathBuf> = [of("indexes-v1"), of("packs-v1")].concat();
        entries.retain(|path| std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0));
        entries
    };
    assert_eq!(entries().len(), 6, "an index and a pack of each layer: {:?}", files_below(&place.store()));
    for at in 0..entries().len() {
        let path = entries()[at].clone();
        let len = std::fs::metadata(&path).unwrap().len();
        for damage in 0..10 {
            std::fs::write(place.path().join("good"), std::fs::read(&path).unwrap()).unwrap();
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let flip = |offset: u64| {
                let mut byte = [0];
                file.read_exact_at(&mut byte, offset).unwrap();
                file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
            };
            match damage {
                0 => flip(0),
                1 => flip(len / 3),
                2 => flip(len / 2),
                3 => flip(len - 1),
                4 => file.set_len(0).unwrap(),
                5 => file.set_len(len - 1).unwrap(),
                6 => file.set_len(len + 4096).unwrap(),
                _ => std::fs::remove_file(&path).unwrap(),
            }
            match damage {
                7 => drop(succeed(as_user("mkfifo", "coreutils").arg(&path))),
                8 => drop(succeed(as_user("mkdir", "coreutils").arg(&path))),
                9 => symlink("/dev/zero", &path).unwrap(),
                _ => {}
            }
            let outcome = bake().ok();
            let what = format!("{} with damage {damage}: {}", path.display(), outcome.describe());
            assert_eq!(bytes_of(&place.disk()), expected, "{what}");
            place.assert_no_leftovers(&["disk.ext4"]);
            if !path.exists() {
                // The run that finds a pack damaged inflates the layer on its way to the disk; the
                // next one keeps it again.
                bake().ok();
            }
            let meta = path.symlink_metadata().unwrap_or_else(|error| panic!("made anew: {error}: {what}"));
            assert!(meta.is_file() && meta.len() == len, "made anew: {what}");
        }
    }
}

/// A store whose damaged entry can be read but belongs to another layer.
#[test]
fn store_entries_under_wrong_names() {
    let place = Place::with(&sample::varied());
    let bake = || place.bake().args(["--force", "--keep-packs", "always"]);
    bake().ok();
    let expected = bytes_of(&place.disk());
    for kind in ["indexes-v1", "packs-v1"] {
        let entries = files_below(&place.store().join(kind));
        let (first, rest) = entries.split_first().expect("entries of every kind");
        for other in rest {
            std::fs::copy(first, other).unwrap();
        }
        bake().ok();
        assert_eq!(bytes_of(&place.disk()), expected, "{kind}");
    }
}

#[test]
fn default_stores() {
    for (env, expected) in [("XDG_DATA_HOME", "home/data/cvbake"), ("HOME", "home/.local/share/cvbake")] {
        let place = Place::with(&sample::small("content"));
        let value = if env == "HOME" { place.path().join("home") } else { place.path().join("home/data") };
        let image = format!("oci:{}", place.path().join("image").display());
        let bake = Bake::of(&["bake", &image, "--progress", "none"]).platform("linux/amd64");
        bake.arg("-o").arg(place.disk()).env("HOME", place.path().join("home")).env(env, value).ok();
        let store = place.path().join(expected);
        assert_eq!(std::fs::metadata(&store).unwrap().permissions().mode() & 0o7777, 0o700, "{}", store.display());
    }
}
