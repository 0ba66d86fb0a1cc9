//! A disk that was made before of the same image and options is used again, and never one that is not that any more.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use serde_json::Value;

use crate::registry::cvbake;
use crate::support::bake::{Bake, Place, files_below, mode, own};
use crate::support::sample;
use crate::support::server::{Answer, Server};
use crate::support::tools::needs_disk;

/// Bakes where disks may be used again: the result object.
fn bake(bake: Bake) -> Value {
    let outcome = bake.env("CVBAKE_REUSE", "auto").arg("--json").ok();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.describe()))
}

fn to(place: &Place, disk: &Path) -> Bake {
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let bake = Bake::of(&["bake", &source, "-o"]).arg(disk).progress("none").platform("linux/amd64");
    bake.store(&place.store()).env("HOME", place.path().join("home"))
}

fn reused(result: &Value) -> Option<&str> {
    result["reused"].as_str()
}

#[test]
fn it_stays_or_is_copied() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let place = Place::with(&sample::varied());
    let dir = place.writable("disks");
    let (first, second) = (dir.join("first.ext4"), dir.join("second.ext4"));
    let made = bake(to(&place, &first).arg("--digest"));
    assert_eq!(reused(&made), None);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = (inode(&first), fs::read(&first).unwrap());

    let again = bake(to(&place, &first).args(["--force", "--digest"]));
    assert_eq!(reused(&again), Some(first.to_str().unwrap()));
    assert_eq!((inode(&first), fs::read(&first).unwrap()), before);

    let copy = bake(to(&place, &second).arg("--digest"));
    assert_eq!(reused(&copy), Some(first.to_str().unwrap()));
    assert!(fs::read(&second).unwrap() == before.1);
    assert!(inode(&second) != before.0);
    assert!(fs::metadata(&second).unwrap().blocks() <= fs::metadata(&first).unwrap().blocks(), "holes stay holes");
    for result in [&again, &copy] {
        for part in ["image", "files", "disk"] {
            let without_place = |result: &Value| {
                let mut part = result[part].clone();
                if let Some(disk) = part.as_object_mut() {
                    disk.retain(|name, _| name != "path" && name != "allocated_bytes");
                }
                part
            };
            assert_eq!(without_place(result), without_place(&made));
        }
        assert_eq!(result["layers"][0]["diff_id"], made["layers"][0]["diff_id"]);
        assert_eq!(result["layers"][0]["entries"], made["layers"][0]["entries"]);
        assert_eq!(result["layers"][0]["cached"], "disk");
    }
    // The first one is gone: then it is the second one's turn, and then nobody's.
    fs::remove_file(&first).unwrap();
    assert_eq!(reused(&bake(to(&place, &first))), Some(second.to_str().unwrap()));
    fs::remove_file(&first).unwrap();
    fs::remove_file(&second).unwrap();
    assert_eq!(reused(&bake(to(&place, &first))), None);
    assert!(fs::read(&first).unwrap() == before.1);
}

#[test]
fn only_the_same_is_the_same() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let place = Place::with(&sample::varied());
    let dir = place.writable("disks");
    let (first, second) = (dir.join("first.ext4"), dir.join("second.ext4"));
    bake(to(&place, &first));
    let differing: [&[&str]; 8] = [
        &["--size", "min"],
        &["--inodes", "20000"],
        &["--label", "x"],
        &["--uuid", "00112233-4455-4677-8899-aabbccddeeff"],
        &["--no-journal"],
        &["--engine", "mkfs"],
        &["--keep-packs", "always"],
        &["--no-cache"],
    ];
    for args in differing {
        assert_eq!(reused(&bake(to(&place, &second).arg("--force").args(args))), None, "{args:?}");
    }
    assert_eq!(reused(&bake(to(&place, &second).arg("--force").env("SOURCE_DATE_EPOCH", "77"))), None);
    // The first one is still what it was.
    assert_eq!(reused(&bake(to(&place, &second).arg("--force"))), Some(first.to_str().unwrap()));
}

#[test]
fn a_disk_that_was_touched_is_made_anew() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let place = Place::with(&sample::varied());
    let disk = place.writable("disks").join("disk.ext4");
    bake(to(&place, &disk));
    let right = fs::read(&disk).unwrap();
    let write = |offset: u64, bytes: &[u8]| {
        File::options().write(true).open(&disk).unwrap().write_all_at(bytes, offset).unwrap();
    };
    let touches: [(&str, &dyn Fn()); 6] = [
        ("another byte", &|| write(1 << 20, b"x")),
        ("the same byte", &|| write(0, &right[..1])),
        ("longer", &|| write(right.len() as u64, b"x")),
        ("shorter", &|| File::options().write(true).open(&disk).unwrap().set_len(4096).unwrap()),
        ("another file", &|| {
            fs::remove_file(&disk).unwrap();
            fs::write(&disk, &right).unwrap();
            own(&disk);
        }),
        ("another mode", &|| mode(&disk, 0o640)),
    ];
    for (what, touch) in touches {
        touch();
        assert_eq!(reused(&bake(to(&place, &disk).arg("--force"))), None, "{what}");
        assert!(fs::read(&disk).unwrap() == right, "{what}");
        assert!(reused(&bake(to(&place, &disk).arg("--force"))).is_some(), "{what}, and then made anew");
    }
    // Nor is one that is perhaps not on stable storage, and one that can't be read is no reason to fail.
    assert_eq!(reused(&bake(to(&place, &disk).arg("--force").args(["--sync", "never", "--reuse", "never"]))), None);
    assert_eq!(reused(&bake(to(&place, &disk).arg("--force"))), None);
}

/// What says where a disk is may be anything, and nothing is worse for it.
#[test]
fn notes_that_are_damaged() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let place = Place::with(&sample::small("x"));
    let disk = place.writable("disks").join("disk.ext4");
    bake(to(&place, &disk));
    let notes = place.store().join("notes-v1/sha256");
    for text in ["", "{}", "[1,2", "{\"places\":[]}"] {
        for note in fs::read_dir(&notes).unwrap() {
            fs::write(note.unwrap().path(), text).unwrap();
        }
        assert_eq!(reused(&bake(to(&place, &disk).arg("--force"))), None, "{text:?}");
    }
    assert_eq!(reused(&bake(to(&place, &disk).arg("--force"))), Some(disk.to_str().unwrap()));
}

/// A pull that is part of the job is done as well: what the store lacks is fetched.
#[test]
fn the_image_comes_into_the_store_all_the_same() {
    if !needs_disk("disks that are used again") {
        return;
    }
    let place = Place::with(&sample::varied());
    let server = Server::start(&place, |_| Answer::Right);
    let disk = place.writable("disks").join("disk.ext4");
    let again = || bake(cvbake(&place, &["pull-and-build", &server.name(), "--force", "-o"]).arg(&disk));
    assert_eq!(reused(&again()), None);
    assert_eq!(reused(&again()), disk.to_str());
    let blobs = files_below(&place.store().join("blobs/sha256"));
    let blob = blobs.iter().max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
    let len = blob.metadata().unwrap().len();
    File::options().write(true).open(blob).unwrap().set_len(len / 2).unwrap();
    assert_eq!(reused(&again()), None);
    assert_eq!(blob.metadata().unwrap().len(), len);
    assert_eq!(reused(&again()), disk.to_str());
}
