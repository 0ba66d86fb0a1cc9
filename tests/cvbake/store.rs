//! `cvbake store`, by an ordinary user: what it shows, what it removes, and that no running bake
//! notices.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::registry::{Registry, cvbake, pull_and_build};
use crate::support::bake::{Bake, Place, as_user, files_below, names};
use crate::support::image::write_layout;
use crate::support::sample::{small, varied};
use crate::support::tools::succeed;

/// A run of `cvbake store`.
fn store(place: &Place, args: &[&str]) -> Bake {
    Bake::of(&["store"]).args(args).store(&place.store()).env("HOME", place.path().join("home"))
}

fn json(place: &Place, args: &[&str]) -> Value {
    let outcome = store(place, args).arg("--json").ok();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.describe()))
}

fn blobs(place: &Place) -> Vec<PathBuf> {
    files_below(&place.store().join("blobs"))
}

#[test]
fn what_is_pulled_is_counted_collected_and_pulled_again() {
    let place = Place::with(&varied());
    let missing = store(&place, &["stats"]).run();
    assert!(missing.error(&[7]).contains("there is no store at"), "{}", missing.describe());
    assert!(!place.store().exists());

    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    pull_and_build(&place, &name).ok();
    let stats = json(&place, &["stats"]);
    assert_eq!((&stats["images"], &stats["layers"], &stats["blobs"]["count"]), (&1.into(), &3.into(), &5.into()));
    assert_eq!((&stats["reclaimable_bytes"], &stats["last_collection"]), (&0.into(), &Value::Null));
    let listed: u64 = blobs(&place).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(stats["blobs"]["bytes"], listed);
    assert!(store(&place, &["stats"]).ok().stdout.contains("\n  images       1, 3 layers\n"));

    // What no image has: the index of a layer of a layout elsewhere stays, unless all is to go.
    let other = Place::new();
    write_layout(&small("elsewhere"), &other.path().join("image"));
    let elsewhere = format!("oci:{}:latest", other.path().join("image").display());
    place.bake_source(&elsewhere).arg("--force").ok();
    assert_eq!(json(&place, &["gc"])["bytes"], 0);
    let planned = json(&place, &["gc", "--all", "--dry-run"]);
    assert_eq!((&planned["layers"], &planned["blobs"], &planned["dry_run"]), (&1.into(), &0.into(), &true.into()));
    assert_eq!(json(&place, &["stats"])["indexes"]["count"], 4);
    let text = store(&place, &["gc", "--all"]).ok().stdout;
    assert!(text.starts_with("Removed 1 unpacked layer: "), "{text}");
    let stats = json(&place, &["stats"]);
    assert!(stats["indexes"]["count"] == 3 && stats["last_collection"].is_u64(), "{stats}");
    assert_eq!(store(&place, &["gc", "-q"]).ok().stdout, "");

    store(&place, &["prune"]).run().error(&[2]);
    assert_eq!(json(&place, &["prune", "--older-than", "1h"])["images"], Value::Array(Vec::new()));
    let pruned = json(&place, &["prune", "--keep-size", "1K"]);
    assert_eq!((&pruned["images"][0], &pruned["left_bytes"]), (&name.as_str().into(), &0.into()));
    assert_eq!(blobs(&place), [""; 0].map(PathBuf::from));
    let never = pull_and_build(&place, &name).args(["--pull", "never"]).run();
    never.error(&[3]);
    pull_and_build(&place, &name).ok();
    place.assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn saying_what_would_be_baked_makes_no_store() {
    let place = Place::with(&small("x"));
    place.bake().arg("--dry-run").ok();
    assert!(!place.store().exists());
    // The one at the usual place neither.
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let bake = Bake::of(&["bake", &source, "-n"]).platform("linux/amd64").progress("none");
    bake.env("HOME", place.path().join("home")).ok();
    assert_eq!(names(&place.path().join("home")), [""; 0]);
}

#[test]
fn a_check_finds_damage_and_repairs_it() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    pull_and_build(&place, &name).args(["--keep-packs", "always"]).ok();
    let expected = fs::read(place.disk()).unwrap();
    let whole = store(&place, &["check", "--progress", "plain"]).ok();
    assert!(
        whole.stdout.ends_with(": nothing damaged\n") && whole.stderr.contains("checking "),
        "{}",
        whole.describe()
    );

    let pick = |dir: &str| files_below(&place.store().join(dir)).swap_remove(0);
    let largest = blobs(&place).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let harmed = [largest, pick("indexes-v1"), pick("packs-v1")];
    for path in &harmed {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let found = store(&place, &["check", "--progress", "none"]).run();
    found.error(&[7]);
    assert!(found.stderr.contains("check --repair"), "{}", found.describe());
    for path in &harmed {
        let told = found.stdout.lines().filter(|line| line.starts_with(&format!("{}: ", path.display())));
        assert_eq!(told.count(), 1, "{}: {}", path.display(), found.describe());
    }
    let report = store(&place, &["check", "--json", "--progress", "none"]).run();
    report.error(&[7]);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!((&report["repaired"], report["damaged"].as_array().unwrap().len()), (&false.into(), 3));
    let repaired = store(&place, &["check", "--repair"]).ok();
    assert!(repaired.stdout.contains("3 damaged, repaired"), "{}", repaired.describe());
    assert!(harmed.iter().all(|path| !path.exists()));
    store(&place, &["check"]).ok();
    pull_and_build(&place, &name).ok();
    assert!(fs::read(place.disk()).unwrap() == expected, "the same disk of what was fetched again");
}

#[test]
fn a_damaged_pack_that_is_to_be_kept_is_made_again() {
    let place = Place::with(&varied());
    let bake = |keep: &str| place.bake().args(["--force", "--keep-packs", keep]).ok();
    bake("always");
    let expected = fs::read(place.disk()).unwrap();
    let packs = || files_below(&place.store().join("packs-v1"));
    let path = packs().into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = fs::read(&path).unwrap();
    for keep in ["always", "never"] {
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        fs::write(&path, bytes).unwrap();
        let outcome = bake(keep);
        assert!(outcome.warnings().iter().any(|line| line.contains("checksum")), "{}", outcome.describe());
        assert!(fs::read(place.disk()).unwrap() == expected);
        let kept = path.exists().then(|| fs::read(&path).unwrap() == whole);
        assert_eq!(kept, (keep == "always").then_some(true), "{keep}");
    }
}

#[test]
fn other_programs_read_the_store_and_lost_names_come_back() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    cvbake(&place, &["pull", &name]).ok();
    drop(registry);
    let inspect = || {
        let mut command = as_user("skopeo", "skopeo");
        command.arg("--override-os=linux").arg("--override-arch=amd64").arg("inspect");
        let text = succeed(command.arg(format!("oci:{}:{name}", place.store().display())));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(inspect()["Layers"].as_array().unwrap().len(), 3);

    let lose = |file: &str| {
        let path = place.store().join(file);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    };
    for collect in [&["gc"][..], &["gc", "--all"], &["prune", "--older-than", "1d"], &["prune", "--keep-size", "1G"]] {
        lose("repositories");
        let collected = store(&place, collect).arg("--json").ok();
        assert!(collected.stdout.contains(r#""images":[],"blobs":0,"layers":0"#), "{}", collected.describe());
        assert!(collected.stderr.contains("1 name from index.json"), "{}", collected.describe());
    }
    lose("repositories");
    let lost = store(&place, &["check", "--progress", "none"]).run();
    assert!(lost.error(&[7]).contains("damaged") && lost.stdout.contains("lost"), "{}", lost.describe());
    pull_and_build(&place, &name).args(["--pull", "never"]).ok();

    lose("index.json");
    store(&place, &["check", "--repair"]).ok();
    assert_eq!(inspect()["Layers"].as_array().unwrap().len(), 3);

    // Where nothing says the name, the image stays, without one.
    lose("index.json");
    lose("repositories");
    let lost = store(&place, &["gc"]).run();
    assert!(lost.error(&[7]).contains("names of the images"), "{}", lost.describe());
    store(&place, &["check", "--repair"]).ok();
    assert_eq!(json(&place, &["gc"])["bytes"], 0);
    assert_eq!(json(&place, &["stats"])["images"], 1);
    assert_eq!(names(&place.store().join("repositories")), ["%"]);
    let pruned = json(&place, &["prune", "--keep-size", "0"]);
    assert!(pruned["images"][0].as_str().unwrap().starts_with("@sha256:"), "{pruned}");
}

#[test]
fn the_store_is_kept_small_enough() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    let first = registry.push(&place, "some/image:v1");
    cvbake(&place, &["pull", &first, "--max-store-size", "1G"]).ok();
    let bytes = json(&place, &["stats"])["total_bytes"].as_u64().unwrap();
    fs::remove_dir_all(place.path().join("image")).unwrap();
    write_layout(&small("second"), &place.path().join("image"));
    let second = registry.push(&place, "other/image:v2");
    pull_and_build(&place, &second).args(["--max-store-size", &bytes.to_string()]).ok();
    drop(registry);
    assert_eq!(json(&place, &["stats"])["images"], 1);
    pull_and_build(&place, &first).args(["--pull", "never"]).run().error(&[3]);
    // The image that was just used stays, even if it is too large by itself.
    let outcome = pull_and_build(&place, &second).args(["--pull", "never", "--max-store-size", "1"]).ok();
    assert!(outcome.warnings().iter().any(|line| line.contains("in use")), "{}", outcome.describe());
    pull_and_build(&place, &second).args(["--pull", "never"]).ok();
}

/// What no registry gives back goes last, and not at all unless somebody asks; what goes is named.
#[test]
fn imported_images_are_kept() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    let pulled = registry.push(&place, "some/image:v1");
    let import = |text: &str, name: &str| {
        write_layout(&small(text), &place.path().join("other"));
        let source = format!("oci:{}", place.path().join("other").display());
        crate::image_store::import(&place, &[&source, name]).ok();
    };
    import("first", "mine/first:1");
    cvbake(&place, &["pull", &pulled]).ok();
    import("second", "mine/second:1");
    crate::images::image(&place, &["tag", "mine/second:1", "mine/again:1"]).ok();
    crate::images::image(&place, &["tag", &pulled, "theirs/again:1"]).ok();
    let report = |outcome: &crate::support::run::Outcome| -> Value { serde_json::from_str(&outcome.stdout).unwrap() };
    let known = || {
        let rows = report(&crate::images::image(&place, &["ls", "--json"]).ok());
        let names = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let mine = ["docker.io/mine/again:1", "docker.io/mine/first:1", "docker.io/mine/second:1"];
    assert_eq!(known().len(), 5);

    // Asked how it would be: the others are enough for this.
    let bytes = json(&place, &["stats"])["total_bytes"].as_u64().unwrap();
    let plan = |keep: u64| json(&place, &["prune", "--dry-run", "--keep-size", &keep.to_string()]);
    let theirs = plan(bytes / 2);
    assert_eq!(theirs["imported"], serde_json::json!([]), "{theirs}");
    assert_eq!(theirs["images"], serde_json::json!([pulled.as_str(), "docker.io/theirs/again:1"]), "{theirs}");
    assert_eq!(plan(0)["imported"], serde_json::json!(mine));

    // A bake that wants room, of something that is not in the store.
    write_layout(&small("third"), &place.path().join("third"));
    let third = format!("oci:{}", place.path().join("third").display());
    let bake = || place.bake_source(&third).args(["--force", "--max-store-size", "1"]);
    let outcome = bake().arg("--json").ok();
    let removed = &report(&outcome)["pruned"];
    assert_eq!(removed["images"], serde_json::json!([pulled.as_str(), "docker.io/theirs/again:1"]), "{removed}");
    assert_eq!((&removed["imported"], removed["bytes"].as_u64() > Some(0)), (&serde_json::json!([]), true));
    assert_eq!(known(), mine);
    let warning = outcome.warnings().join("\n");
    assert!(mine.iter().all(|name| warning.contains(name)), "who stays: {}", outcome.describe());
    assert!(outcome.stderr.contains("--prune-imported"), "{}", outcome.describe());
    // The names of an image whose file says nothing, as older versions wrote it, count as imported.
    let file = place.store().join("repositories/docker.io/mine/first/:1");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(r#","origin":"import""#, "")).unwrap();
    let outcome = bake().ok();
    assert_eq!(known(), mine);
    assert!(!outcome.stdout.contains("removed"), "{}", outcome.describe());
    // What is pulled over an imported one can be pulled again.
    cvbake(&place, &["pull", &pulled]).ok();
    let outcome = bake().arg("--prune-imported").ok();
    assert_eq!(known(), [""; 0], "{}", outcome.describe());
    let line = outcome.stdout.lines().find(|line| line.contains("removed")).expect("what was removed");
    assert!(mine.iter().chain([&pulled.as_str()]).all(|name| line.contains(name)), "{line}");
}

#[test]
fn bakes_do_not_notice_collections() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    pull_and_build(&place, &name).ok();
    let expected = fs::read(place.disk()).unwrap();
    let local = || place.bake().arg("--force");
    local().ok();
    let local_expected = fs::read(place.disk()).unwrap();

    let mut collections = 0;
    for round in 0..4 {
        let disks = ["one", "two", "three"].map(|disk| place.path().join(format!("out/{disk}")));
        let bake = |disk: &PathBuf| cvbake(&place, &["pull-and-build", &name, "--force", "-o"]).arg(disk);
        let mut running: Vec<_> = disks[..2].iter().map(|disk| bake(disk).spawn()).collect();
        running.push(local().spawn());
        running.push(bake(&disks[2]).args(["--keep-packs", "always", "--jobs", "1"]).spawn());
        while running.iter_mut().any(|run| run.running()) {
            let collect: &[&str] = if round % 2 == 0 { &["gc", "--all"] } else { &["prune", "--keep-size", "0"] };
            store(&place, collect).ok();
            collections += 1;
        }
        for run in running {
            let outcome = run.wait();
            assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
        }
        for disk in &disks {
            assert!(fs::read(disk).unwrap() == expected, "{}", disk.display());
        }
        assert!(fs::read(place.disk()).unwrap() == local_expected);
    }
    assert!(collections > 0);
    store(&place, &["check"]).ok();
    assert_eq!(names(&place.store().join("pins")), [""; 0]);
}
