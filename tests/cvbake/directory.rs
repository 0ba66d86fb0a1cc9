//! Images as directories of the host: every fixture, as root and as an ordinary user.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::Value;

use crate::cases;
use crate::erofs::BEYOND_EXT4;
use crate::images::{image, source};
use crate::support::bake::{Bake, Place, names};
use crate::support::case::{Case, Expected};
use crate::support::image::{Compression, Images};
use crate::support::oracle::listing_of;
use crate::support::tools::{is_root, needs_root};
use crate::support::{expected, sample, seen};

const RECORD: &str = "xattr:user.containers.override_stat=";

/// A bake into `out/NAME` as a directory.
fn bake_dir(place: &Place, name: &str) -> Bake {
    let target = format!("dir:{}", place.path().join("out").join(name).display());
    Bake::of(&["bake", &source(place), "-o", &target]).progress("none").platform("linux/amd64").no_cache()
}

/// Calls `check` with a place, a bake and the listing of every fixture that makes a disk, which
/// gives what is found; what `lens` leaves of that and of the fixture's listing is compared.
fn every_fixture(lens: fn(&str) -> String, check: fn(&Place, Bake, &str) -> String) {
    let (mut failures, mut count) = (Vec::new(), 0);
    for file in cases::files() {
        let case = Case::read(&file);
        let Expected::Tree(lines) = &case.expected else { continue };
        count += 1;
        let checked = std::panic::catch_unwind(|| {
            let place = Place::with(&case.images);
            let mut bake = bake_dir(&place, "root");
            if let Some(platform) = &case.platform {
                bake = bake.platform(platform);
            }
            for (name, value) in &case.env {
                bake = bake.env(name, value);
            }
            let listing = |text: &str| {
                let has_times = !BEYOND_EXT4.contains(&&*case.name);
                let is_kept = |field: &&str| has_times || !field.starts_with("mtime=");
                let line = |line: &str| line.split(' ').filter(is_kept).collect::<Vec<_>>().join(" ") + "\n";
                text.lines().map(|text| line(&lens(text))).collect::<String>()
            };
            let expected = expected::listing(lines);
            let found = check(&place, bake, &expected);
            seen::assert_same(&case.name, &listing(&found), &listing(&plain(&expected)));
            assert_eq!(names(&place.path().join("out")), ["root"], "{}", case.name);
        });
        if let Err(panic) = checked {
            failures.push(format!("== {}\n{}", case.name, panic.downcast_ref::<String>().cloned().unwrap_or_default()));
        }
    }
    assert!(count > 150, "{count} fixtures");
    assert!(failures.is_empty(), "{} of {count} fixtures:\n{}", failures.len(), failures.join("\n"));
}

/// Without what a directory of the host has of its own: times of access and of change.
fn plain(listing: &str) -> String {
    let is_kept = |field: &&str| !field.starts_with("atime=") && !field.starts_with("ctime=");
    listing.lines().map(|line| line.split(' ').filter(is_kept).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn root_gives_files_all_that_the_image_says() {
    if !needs_root("directories with owners and devices") {
        return;
    }
    every_fixture(str::to_owned, |place, bake, _| {
        bake.with_root().ok();
        plain(&listing_of(&place.path().join("out/root")))
    });
}

/// What stands in the record of a file, in the place of what the file has itself.
fn recorded(line: &str) -> String {
    let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let Some(at) = fields.iter().position(|field| field.starts_with(RECORD)) else { return line.to_owned() };
    let hex = fields.remove(at)[RECORD.len()..].to_owned();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let record: String = (0..hex.len()).step_by(2).map(|at| char::from(byte(at))).collect();
    let parts: Vec<&str> = record.split(':').collect();
    let [uid, gid, mode, kind] = parts[..] else { panic!("{record}") };
    assert!(mode.len() == 4, "{record}");
    let (kind, device) = match kind.split('-').collect::<Vec<_>>()[..] {
        [kind, major, minor] => (kind.to_owned(), Some(format!("device={major}:{minor}"))),
        _ => (kind.replace("pipe", "fifo"), None),
    };
    // It can be read and removed by whoever made it, and runs with nobody's rights.
    let own = u32::from_str_radix(&fields[2], 8).unwrap();
    let least = if kind == "dir" { 0o700 } else { 0o600 };
    assert_eq!(own, u32::from_str_radix(mode, 8).unwrap() & 0o777 | least, "{line}");
    if !["dir", "file"].contains(&&*kind) {
        assert_eq!((&*fields[1], &*fields[5]), ("file", "size=0"), "{line}");
        fields.drain(5..7);
        device.into_iter().for_each(|device| fields.insert(5, device));
    }
    (fields[1], fields[2], fields[3]) = (kind, mode.to_owned(), format!("{uid}:{gid}"));
    fields.join(" ")
}

/// What an ordinary user's directory can't have.
fn lost(line: &str) -> String {
    let is_link = line.split(' ').nth(1) == Some("link");
    let is_kept = |field: &&str| !field.starts_with("xattr:") || field.starts_with("xattr:user.") && !is_link;
    let mut fields: Vec<&str> = line.split(' ').filter(is_kept).collect();
    if is_link {
        fields[3] = "-";
    }
    fields.join(" ")
}

#[test]
fn others_record_what_they_cannot_give() {
    every_fixture(lost, |place, bake, expected| {
        let outcome = bake.arg("--json").ok();
        let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!((&told["format"], told["not_kept"].is_array()), (&"dir".into(), true));
        // Whatever is not there is told.
        let loses = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            let is_special = ["char", "block", "fifo", "socket"].contains(&fields[1]);
            let has_owner = fields[1] == "link" && fields[3] != "0:0";
            is_special || has_owner || line.matches(" xattr:").count() > lost(line).matches(" xattr:").count()
        };
        let is_told = !told["not_kept"].as_array().unwrap().is_empty();
        assert!(is_told || !expected.lines().any(loses), "{told}");
        let found = plain(&listing_of(&place.path().join("out/root")));
        found.lines().map(|line| recorded(line) + "\n").collect()
    });
}

/// What is told, by kind, with the first path: as warnings, and in JSON.
#[test]
fn what_is_lost_is_told() {
    let place = Place::with(&sample::varied());
    let outcome = bake_dir(&place, "root").arg("--json").ok();
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let kinds: BTreeMap<&str, u64> = told["not_kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| {
            let what = lost["what"].as_str().unwrap();
            assert!(outcome.stderr.contains(what), "{what}: {}", outcome.describe());
            assert!(lost["first"].as_str().unwrap().starts_with('/'));
            (what, lost["files"].as_u64().unwrap())
        })
        .collect();
    assert!(kinds.contains_key("a device, pipe or socket is an empty file that records what it is"), "{kinds:?}");
    assert!(outcome.stderr.contains("warning: not kept of /"), "{}", outcome.describe());
    // The same by the other command, from the same image.
    let target = format!("dir:{}", place.path().join("out/again").display());
    image(&place, &["export", &source(&place), &target, "--platform", "linux/amd64"]).ok();
    let listings = ["root", "again"].map(|name| plain(&listing_of(&place.path().join("out").join(name))));
    seen::assert_same("export", &listings[1], &listings[0]);
    if is_root() {
        let meta = fs::metadata(place.path().join("out/root")).unwrap();
        assert_ne!(meta.uid(), 0, "an ordinary user has made it");
    }
}

/// What is there stays as it is, and nothing half-made is left.
#[test]
fn what_is_there_stays() {
    let place = Place::with(&sample::varied());
    let out = place.writable("out");
    let refused = |name: &str| {
        let outcome = bake_dir(&place, name).run();
        let error = outcome.error(&[6]).to_owned();
        assert!(error.contains("expected no such file or an empty directory"), "{error}");
        assert!(outcome.stderr.contains("choose another name"), "{}", outcome.describe());
    };
    fs::create_dir(out.join("full")).unwrap();
    fs::write(out.join("full/file"), "theirs").unwrap();
    fs::write(out.join("file"), "theirs").unwrap();
    std::os::unix::fs::symlink("elsewhere", out.join("dangling")).unwrap();
    fs::create_dir(out.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", out.join("link")).unwrap();
    ["full", "file", "dangling", "link"].into_iter().for_each(refused);
    assert_eq!(fs::read_to_string(out.join("full/file")).unwrap(), "theirs");
    assert_eq!(fs::read_dir(out.join("elsewhere")).unwrap().count(), 0);
    // An empty one gives way.
    let empty = place.writable("out/empty");
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o700)).unwrap();
    bake_dir(&place, "empty").ok();
    assert!(fs::read_dir(&empty).unwrap().count() > 0);
    assert_eq!(names(&out), ["dangling", "elsewhere", "empty", "file", "full", "link"]);
    for (args, says) in [
        (&["--force"][..], "--force is for disks"),
        (&["--verity"], "--verity is for disks"),
        (&["--size", "1G"], "--size is for disks"),
    ] {
        let outcome = bake_dir(&place, "new").args(args).run();
        assert!(outcome.error(&[2]).contains(says), "{}", outcome.describe());
    }
    let outcome = Bake::of(&["bake", &source(&place), "-o", "dir:"]).run();
    assert!(outcome.error(&[2]).contains("dir: names no directory"), "{}", outcome.describe());
}

/// A link of the image that leads out of it leads nowhere while the directory is filled.
#[test]
fn links_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let layers = [
        format!(
            "link away -> {0}\nlink up -> ../../../../../../../..{0}\ndir d\nlink d/away -> {0}",
            outside.path().display()
        ),
        "file away/one \"x\"\nfile up/two \"x\"\nfile d/away/three \"x\" mode=4755".to_owned(),
    ];
    let layers = layers.iter().map(|text| sample::layer(text, Compression::Plain)).collect();
    let place = Place::with(&Images::of(layers));
    bake_dir(&place, "root").ok();
    assert_eq!(names(&place.path().join("out")), ["root"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let inside = place.path().join("out/root").join(outside.path().strip_prefix("/").unwrap());
    assert_eq!(names(&inside), ["one", "three", "two"], "links are followed in the image");
    let mode = fs::metadata(inside.join("three")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "nobody else's rights come with it");
}
