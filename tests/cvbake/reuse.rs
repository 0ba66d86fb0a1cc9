//! A disk that was made before of the same image and options is used again, and never one that is
//! not that any more.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base_pack::{LARGE, SMALL, images};
use crate::registry::cvbake;
use crate::support::bake::{Bake, Place, files_below, mode, own};
use crate::support::ext4;
use crate::support::image::Images;
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
    assert_eq!((reused(&again), &again["unchanged"]), (Some(first.to_str().unwrap()), &true.into()));
    let told = to(&place, &first).env("CVBAKE_REUSE", "auto").arg("--force").ok().stdout;
    assert!(told.contains("first.ext4 (unchanged)\n") && !told.contains("copied"), "{told}");
    assert_eq!((inode(&first), fs::read(&first).unwrap()), before);

    let copy = bake(to(&place, &second).arg("--digest"));
    assert_eq!((reused(&copy), &copy["unchanged"]), (Some(first.to_str().unwrap()), &false.into()));
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
    // Nor is one that is perhaps not on stable storage, and one that can't be read is no reason to
    // fail.
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

/// Two images that have layers in common, and a store for both.
struct Pair {
    places: [Place; 2],
    /// The disks as they are without a store.
    expected: [String; 2],
}

impl Pair {
    /// None where there is nothing to write such disks on.
    fn of(images: [Images; 2]) -> Option<Pair> {
        if !needs_disk("disks that are used again") {
            return None;
        }
        let places = images.map(|images| Place::with(&images));
        let expected = [0, 1].map(|at: usize| {
            places[at].bake().no_cache().ok();
            let bytes = ext4::bytes_of(&places[at].disk());
            fs::remove_file(places[at].disk()).unwrap();
            bytes
        });
        Some(Pair { places, expected })
    }

    fn disk(&self, at: usize) -> PathBuf {
        self.places[at].disk()
    }

    fn source(&self, at: usize) -> String {
        format!("oci:{}:latest", self.places[at].path().join("image").display())
    }

    /// The notes that say where content is.
    fn content_notes(&self) -> Vec<PathBuf> {
        let mut notes = files_below(&self.places[0].store().join("notes-v1"));
        notes.retain(|note| fs::read(note).unwrap().windows(7).any(|bytes| bytes == b"\"runs\":"));
        notes
    }

    /// Bakes one of them, and sees to it that the disk is right; what the store had of each layer.
    fn bake(&self, at: usize, args: &[&str]) -> Vec<String> {
        // Where blocks can be shared, packs would be kept.
        let run = Bake::of(&["bake", &self.source(at), "--force", "--keep-packs", "never", "-o"]);
        let run = run.arg(self.disk(at)).progress("none").platform("linux/amd64").store(&self.places[0].store());
        let result = bake(run.env("HOME", self.places[0].path().join("home")).args(args));
        assert_eq!(ext4::bytes_of(&self.disk(at)), self.expected[at], "{result}");
        assert_eq!(reused(&result), None);
        self.places[at].assert_no_leftovers(&["disk.ext4"]);
        let layers = result["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["cached"].as_str().unwrap().to_owned()).collect()
    }

    /// Removes the largest layer from where an image is.
    fn lose_layer(&self, at: usize) {
        let blobs = files_below(&self.places[at].path().join("image/blobs"));
        fs::remove_file(blobs.iter().max_by_key(|blob| blob.metadata().unwrap().len()).unwrap()).unwrap();
    }
}

const OTHER: &str = "repeat 200 file other{i} rand:5000:{i}\nfile .wh.replaced\nfile kept-name \"ANOTHER\"";

#[test]
fn layers_come_from_a_disk_of_another_image() {
    let Some(pair) = Pair::of([images(&[LARGE, SMALL]), images(&[LARGE, SMALL, OTHER, LARGE, SMALL])]) else { return };
    assert_eq!(pair.bake(0, &[]), ["nothing", "nothing"]);
    assert_eq!(pair.bake(1, &[]), ["disk", "disk", "nothing", "disk", "disk"]);
    fs::remove_file(pair.disk(0)).unwrap();
    pair.lose_layer(0);
    assert_eq!(pair.bake(0, &[]), ["disk", "disk"]);
}

#[test]
fn a_disk_that_has_not_all_of_a_layer() {
    let Some(pair) = Pair::of([images(&[LARGE, SMALL]), images(&[LARGE, OTHER])]) else { return };
    assert_eq!(pair.bake(0, &[]), ["nothing", "nothing"]);
    assert_eq!(pair.bake(1, &[]), ["index", "nothing"], "the one has nothing of what it removes");
    fs::remove_file(pair.disk(0)).unwrap();
    assert_eq!(pair.bake(0, &[]), ["disk", "index"], "what the other one lacks is not wanted here");
}

#[test]
fn content_of_a_disk_that_was_touched_is_not_used() {
    let Some(pair) = Pair::of([images(&[LARGE]), images(&[LARGE, OTHER])]) else { return };
    assert_eq!(pair.bake(0, &[]), ["nothing"]);
    assert_eq!(pair.bake(1, &["--reuse", "never"]), ["index", "nothing"]);
    fs::remove_file(pair.disk(1)).unwrap();
    assert_eq!(pair.bake(1, &[]), ["disk", "index"], "it is where it was");
    for at in [0, 1] {
        let disk = File::options().write(true).open(pair.disk(at)).unwrap();
        let middle = disk.metadata().unwrap().len() / 2;
        disk.write_all_at(b"x", middle).unwrap();
    }
    assert_eq!(pair.bake(1, &[]), ["index", "index"]);
    assert_eq!(pair.bake(0, &[]), ["index"]);
    fs::remove_file(pair.disk(1)).unwrap();
    assert_eq!(pair.bake(1, &[]), ["disk", "index"], "it is right again");
}

/// To see whether a pack is right, all of it is read; a disk is as it was.
#[test]
fn a_disk_goes_before_a_pack() {
    let Some(pair) = Pair::of([images(&[LARGE, SMALL]), images(&[LARGE, SMALL, OTHER])]) else { return };
    let always = ["--keep-packs", "always"];
    assert_eq!(pair.bake(0, &always), ["nothing", "nothing"]);
    let packs = || files_below(&pair.places[0].store().join("packs-v1"));
    assert_eq!(packs().len(), 2);
    assert_eq!(pair.bake(1, &[]), ["disk", "disk", "nothing"]);
    fs::remove_file(pair.disk(1)).unwrap();
    assert_eq!(pair.bake(1, &always), ["content", "content", "nothing"], "what is to be kept is looked at");
    fs::remove_file(pair.disk(0)).unwrap();
    fs::remove_file(pair.disk(1)).unwrap();
    assert_eq!(pair.bake(0, &[]), ["content", "content"]);
    fs::remove_file(pair.disk(0)).unwrap();
    for pack in packs() {
        File::options().write(true).open(pack).unwrap().write_all_at(b"x", 5000).unwrap();
    }
    assert_eq!(pair.bake(0, &[]), ["content", "content"], "that they are damaged is found out later");
    assert_eq!(packs().len(), 1, "but for that of the third layer, which was not wanted");
    assert_eq!(pair.bake(1, &[])[..2], ["disk", "disk"]);
}

#[test]
fn notes_of_content_that_are_damaged() {
    let Some(pair) = Pair::of([images(&[LARGE]), images(&[LARGE, OTHER])]) else { return };
    pair.bake(0, &[]);
    let [note] = &pair.content_notes()[..] else { panic!("one layer, one note") };
    let good = fs::read(note).unwrap();
    let text = String::from_utf8(good[4..].to_vec()).unwrap();
    let (head, _) = text.split_once("\"runs\":").unwrap();
    let runs = |runs: &str| format!("{head}\"runs\":{runs}}}]}}");
    let bad = [
        "",
        "{}",
        "[[1,2",
        &text[..text.len() - 1],
        &runs("[]"),
        &runs("[[0,0,0]]"),
        &runs("[[0,18446744073709551615,2]]"),
        &runs("[[18446744073709551615,0,2]]"),
        &runs("[[0,0,18446744073709551615]]"),
        &runs("[[0,1,1099511627776]]"),
        &runs("[[0,0,4],[2,0,1099511627776]]"),
        &text.replace("\"layout\":\"sha256:", "\"layout\":\"sha256:0"),
        &text.replace("\"disk\":\"sha256:", "\"disk\":\"sha1:"),
    ];
    for text in bad {
        // With a checksum that is right, too: a note may be right and about something else.
        let name = format!("sha256:{}", note.file_name().unwrap().to_string_lossy());
        let crc = crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), text.as_bytes());
        fs::write(note, [&crc.to_le_bytes(), text.as_bytes()].concat()).unwrap();
        assert_eq!(pair.bake(1, &[])[0], "index", "{text}");
        fs::remove_file(pair.disk(1)).unwrap();
    }
    fs::write(note, good).unwrap();
    own(note);
    assert_eq!(pair.bake(1, &[])[0], "disk");
}

/// A pull that is part of the job brings a layer into the store, also if a disk has its content.
#[test]
fn layers_come_into_the_store_all_the_same() {
    let Some(pair) = Pair::of([images(&[LARGE]), images(&[LARGE, OTHER])]) else { return };
    assert_eq!(pair.bake(0, &[]), ["nothing"]);
    let server = Server::start(&pair.places[1], |_| Answer::Right);
    let store = pair.places[0].store();
    let disk = pair.places[0].writable("more").join("disk.ext4");
    let from_registry = |disk: &Path| {
        let run = cvbake(&pair.places[1], &["pull-and-build", &server.name(), "--force", "-o"]).arg(disk).store(&store);
        let result = bake(run.args(["--keep-packs", "never"]));
        assert_eq!(ext4::bytes_of(disk), pair.expected[1]);
        result["layers"][0]["cached"].as_str().unwrap().to_owned()
    };
    assert_eq!(from_registry(&disk), "index");
    assert_eq!(files_below(&store.join("blobs/sha256")).len(), 4, "manifest, configuration and two layers");
    fs::remove_file(&disk).unwrap();
    assert_eq!(from_registry(&disk), "disk", "now the layer is there");
}
