//! Images of the store of which something is missing, and names that are: what is told, and that
//! nothing is changed by looking.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::image_store::{import, layout};
use crate::images::image;
use crate::registry::{Registry, cvbake};
use crate::support::bake::{Bake, Place, files_below, names};
use crate::support::image::{Image, Images};
use crate::support::sample::{small, varied};

fn check(place: &Place, args: &[&str]) -> Bake {
    let bake = Bake::of(&["store", "check"]).args(args).store(&place.store());
    bake.env("HOME", place.path().join("home")).progress("none")
}

/// What tidies the store.
fn collect(place: &Place, args: &[&str]) -> Bake {
    Bake::of(&["store"]).args(args).store(&place.store()).env("HOME", place.path().join("home"))
}

fn blob(place: &Place, digest: &str) -> PathBuf {
    place.store().join("blobs").join(digest.replace(':', "/"))
}

/// Paths and contents of all that is in the store.
fn everything(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = files_below(&place.store());
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn lose(place: &Place, name: &str) {
    let path = place.store().join(name);
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

#[test]
fn what_images_lack_is_named_and_imported_again() {
    let images = varied();
    let place = Place::with(&images);
    import(&place, &[&layout(&place), "a:1"]).ok();
    image(&place, &["tag", "a:1", "b:1"]).ok();
    let whole: Value = serde_json::from_str(&check(&place, &["--json"]).ok().stdout).unwrap();
    assert_eq!(whole["incomplete"], Value::Array(Vec::new()));
    assert_eq!((&whole["unnamed"], &whole["hints"]), (&whole["incomplete"], &whole["incomplete"]));

    let layers = &images.images[0].layers;
    let (gone, harmed) = (&layers[1], &layers[2]);
    fs::remove_file(blob(&place, &gone.digest)).unwrap();
    let outcome = check(&place, &[]).ok();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    for (line, name) in lines.iter().zip(["docker.io/library/a:1", "docker.io/library/b:1"]) {
        let expected = format!("{name} (linux/amd64): incomplete: lacks layer 2 ({}, ", gone.digest);
        assert!(line.starts_with(&expected), "{}", outcome.describe());
    }
    assert!(lines[2].ends_with(": nothing damaged, 2 images incomplete"), "{}", outcome.describe());
    assert!(outcome.stderr.contains("`cvbake pull --store "), "{}", outcome.describe());
    assert!(outcome.stderr.contains("`cvbake image import --store "), "{}", outcome.describe());

    // What is damaged is lacking, too; then that is an error.
    let mut bytes = fs::read(blob(&place, &harmed.digest)).unwrap();
    bytes[20] ^= 1;
    fs::write(blob(&place, &harmed.digest), bytes).unwrap();
    let outcome = check(&place, &["--json"]).run();
    outcome.error(&[7]);
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let lacks = &told["incomplete"][1]["lacks"];
    assert_eq!(
        (&told["incomplete"][1]["name"], &lacks[0]["part"]),
        (&"docker.io/library/b:1".into(), &"layer 2".into())
    );
    assert_eq!((&lacks[0]["damaged"], &lacks[1]["damaged"]), (&false.into(), &true.into()));
    assert_eq!((&lacks[1]["digest"], &lacks[1]["bytes"]), (&harmed.digest.as_str().into(), &harmed.blob.len().into()));
    let hint = told["hints"][0].as_str().unwrap();
    assert!(hint.contains("`cvbake pull --store ") && hint.contains("`cvbake image import --store "), "{hint}");
    check(&place, &["--repair"]).ok();
    import(&place, &[&layout(&place), "a:1"]).ok();
    assert!(check(&place, &[]).ok().stdout.ends_with(": nothing damaged\n"));
}

#[test]
fn of_several_platforms_those_that_were_never_there_are_not_missing() {
    let platform = |platform: &str, text: &str| {
        let mut image: Image = small(text).images.remove(0);
        image.platform = Some(platform.to_owned());
        image
    };
    let images = [platform("linux/amd64", "one"), platform("linux/arm64", "two")];
    let place = Place::with(&Images { images: images.to_vec(), ..Images::default() });
    import(&place, &[&layout(&place), "all"]).ok();
    let digest = &images[1].layers[0].digest;
    fs::remove_file(blob(&place, digest)).unwrap();
    let told = check(&place, &[]).ok().stdout;
    let expected = format!("docker.io/library/all:latest (linux/arm64): incomplete: lacks layer 1 ({digest}, ");
    assert!(told.starts_with(&expected) && told.lines().count() == 2, "{told}");
    let shown = image(&place, &["inspect", "all", "--platform", "linux/arm64"]).ok().stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let manifest = shown[0]["manifest_digest"].as_str().unwrap();
    fs::remove_file(blob(&place, manifest)).unwrap();
    let told = check(&place, &[]).ok().stdout;
    assert!(told.starts_with("Checked "), "never fetched, as far as anybody can tell: {told}");
    // Whoever wants it is told what is there instead.
    let disk = place.disk().display().to_string();
    let out = format!("oci:{}", place.path().join("out/x").display());
    let wants =
        |args: &[&str]| Bake::of(args).args(["--platform", "linux/arm64"]).store(&place.store()).progress("none");
    for run in [
        wants(&["bake", "all", "--pull", "never", "-o", &disk]),
        wants(&["bake", "all", "--pull", "never", "--dry-run"]),
        wants(&["image", "export", "all", &out, "--pull", "never"]),
        wants(&["push", "all", "docker://localhost:1/x:v1"]),
    ] {
        let outcome = run.env("HOME", place.path().join("home")).run();
        let line = outcome.error(&[3]);
        assert!(line.contains("the store has it for linux/amd64, not for linux/arm64"), "{}", outcome.describe());
        // No registry gives what was imported.
        let hint = outcome.stderr.split("hint: ").nth(1);
        assert_eq!(hint, Some("--platform chooses one that is there\n"), "{}", outcome.describe());
    }
    let shown = image(&place, &["inspect", "--raw", "all", "--platform", "linux/amd64"]).ok().stdout;
    fs::remove_file(blob(&place, &crate::support::image::digest("sha256", shown.as_bytes()))).unwrap();
    let told = check(&place, &[]).ok().stdout;
    assert_eq!(told.matches("incomplete: lacks manifest (").count(), 2, "{told}");
}

#[test]
fn listing_changes_nothing() {
    let images = varied();
    let place = Place::with(&images);
    import(&place, &[&layout(&place), "a:1"]).ok();
    image(&place, &["tag", "a:1", "b:1", "c:1"]).ok();
    let complete = |expected: bool| {
        let before = everything(&place);
        let outcome = image(&place, &["ls", "--json", "a:1"]).ok();
        let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(told[0]["complete"], expected, "{}", outcome.describe());
        let shown: Value = serde_json::from_str(&image(&place, &["inspect", "a:1"]).ok().stdout).unwrap();
        assert_eq!(shown[0]["complete"], expected, "{shown}");
        assert!(everything(&place) == before, "nothing is changed: {}", outcome.describe());
        outcome
    };
    complete(true);
    let path = blob(&place, &images.images[0].layers[1].digest);
    fs::write(&path, "too short").unwrap();
    let outcome = complete(false);
    let warnings = outcome.warnings();
    assert!(warnings.iter().any(|line| line.contains("is damaged: it has 9 bytes")), "{}", outcome.describe());
    assert!(outcome.stderr.contains("store check --repair"), "{}", outcome.describe());
    assert!(image(&place, &["ls"]).ok().stdout.contains("(incomplete)"));
    fs::write(place.store().join("repositories/docker.io/library/b/:1"), "").unwrap();
    lose(&place, "repositories/docker.io/library/c/:1");
    let outcome = complete(false);
    assert!(outcome.stderr.contains("b/:1 is damaged"), "{}", outcome.describe());
    assert!(outcome.stderr.contains("names of 2 images are lost"), "{}", outcome.describe());
}

#[test]
fn names_that_are_lost_are_told_and_images_without_one_are_given_one() {
    let place = Place::with(&small("x"));
    import(&place, &[&layout(&place), "a:1"]).ok();
    let digest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    lose(&place, "repositories");
    let before = everything(&place);
    let outcome = image(&place, &["ls", "--json"]).ok();
    assert_eq!(outcome.stdout, "[]\n");
    assert!(outcome.stderr.contains("the name of an image is lost"), "{}", outcome.describe());
    assert!(outcome.stderr.contains("store check --repair"), "{}", outcome.describe());
    assert!(everything(&place) == before);
    check(&place, &["--repair"]).ok();
    assert_eq!(image(&place, &["ls", "-q"]).ok().stdout.trim(), digest);

    lose(&place, "repositories");
    lose(&place, "index.json");
    let outcome = image(&place, &["ls"]).ok();
    assert!(outcome.stderr.contains("the names of all images are lost"), "{}", outcome.describe());
    // A new name makes it look as if all were well.
    let other = Place::with(&small("y"));
    import(&place, &[&layout(&other), "b:1"]).ok();
    let outcome = check(&place, &[]).ok();
    assert!(outcome.stdout.contains(&format!("{digest}: this image has no name\n")), "{}", outcome.describe());
    assert!(outcome.stderr.contains("`cvbake image tag DIGEST NAME --store "), "{}", outcome.describe());
    let told: Value = serde_json::from_str(&check(&place, &["--json"]).ok().stdout).unwrap();
    assert_eq!(told["unnamed"][0], digest.as_str());
    assert!(told["hints"][0].as_str().unwrap().contains("`cvbake image tag DIGEST NAME --store "), "{told}");
    image(&place, &["tag", &digest[..20], "c:1"]).ok();
    place.bake_source("c:1").args(["--pull", "never"]).ok();
    let told = check(&place, &[]).ok();
    assert!(told.stdout.ends_with(": nothing damaged\n") && told.stderr.is_empty(), "{}", told.describe());
    image(&place, &["tag", &"0".repeat(64), "d:1"]).run().error(&[3]);
}

/// The last name of an imported image goes to another one: it is told, and the image stays until
/// somebody says that it may go.
#[test]
fn an_imported_image_outlives_its_last_name() {
    let place = Place::with(&small("first"));
    import(&place, &[&layout(&place), "a:1"]).ok();
    let digest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    let other = Place::with(&small("second"));
    let moved = import(&place, &[&layout(&other), "a:1"]).ok();
    for part in [&*format!("{digest}, which was imported"), &format!("`cvbake image tag {digest} NAME --store ")] {
        assert!(moved.stderr.contains(part), "{part}: {}", moved.describe());
    }
    let rows = || image(&place, &["ls", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}"]).ok().stdout;
    assert!(rows().starts_with(&format!("<none> <none> {digest}\n")), "{}", rows());
    let listed: Value = serde_json::from_str(&image(&place, &["ls", "--json", &digest[..16]]).ok().stdout).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["tag"]), (&format!("@{digest}").into(), &Value::Null));
    let shown: Value = serde_json::from_str(&image(&place, &["inspect", &digest[..16]]).ok().stdout).unwrap();
    assert_eq!((&shown[0]["names"], &shown[0]["digest"]), (&Value::Array(Vec::new()), &digest.as_str().into()));
    image(&place, &["history", &digest]).ok();
    let target = format!("oci:{}", place.path().join("out").display());
    image(&place, &["export", &digest, &target]).ok();
    assert_eq!(serde_json::from_str::<Value>(&check(&place, &["--json"]).ok().stdout).unwrap()["unnamed"][0], digest);

    // Neither what removes another image, nor what makes room, nor what tidies up takes it along.
    import(&place, &[&layout(&other), "b:1"]).ok();
    image(&place, &["rm", "b:1"]).ok();
    let kept = place.bake_source("a:1").args(["--pull", "never", "--max-store-size", "1"]).ok();
    assert!(kept.stderr.contains("images that were imported stay"), "{}", kept.describe());
    collect(&place, &["gc"]).ok();
    assert_eq!(rows().lines().count(), 2);

    // A name is as good as before, and is one that no registry gives back.
    image(&place, &["tag", &digest, "c:1"]).ok();
    assert!(!rows().contains("<none>"), "{}", rows());
    let moved = image(&place, &["tag", "a:1", "c:1"]).ok();
    assert!(moved.stderr.contains(&digest), "{}", moved.describe());
    let unnamed: Value = serde_json::from_str(&collect(&place, &["gc", "--all", "-n", "--json"]).ok().stdout).unwrap();
    assert_eq!(unnamed["imported"][0], format!("@{digest}"));
    let removed = image(&place, &["rm", &digest[..16]]).ok();
    assert!(removed.stdout.starts_with(&format!("Removed  {digest}\n")), "{}", removed.describe());
    assert!(!rows().contains("<none>"), "{}", rows());
}

/// Whoever uses an image by its digest every day has it tomorrow, too.
#[test]
fn an_image_without_a_name_stays_while_it_is_used() {
    let place = Place::with(&small("first"));
    import(&place, &[&layout(&place), "a:1"]).ok();
    let digest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    let other = Place::with(&small("second"));
    import(&place, &[&layout(&other), "a:1"]).ok();
    let registry = Registry::start(&place, false);
    let target = format!("docker://{}/used/image:v1", registry.host);
    let out = format!("oci:{}", place.path().join("out/x").display());
    let file = place.store().join(format!("repositories/%/@{digest}"));
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let hex = &digest["sha256:".len()..];
    for used in [
        place.bake_source(&digest),
        place.bake_source(&hex[..12]).arg("--force"),
        image(&place, &["export", &digest, &out]),
        cvbake(&place, &["push", &digest, &target]),
    ] {
        let times = fs::FileTimes::new().set_accessed(old).set_modified(old);
        fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        used.ok();
        let collected = collect(&place, &["gc", "--json"]).ok();
        assert!(collected.stdout.contains(r#""images":[]"#) && file.exists(), "{}", collected.describe());
    }
    let times = fs::FileTimes::new().set_accessed(old).set_modified(old);
    fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
    image(&place, &["inspect", &digest]).ok();
    collect(&place, &["gc"]).ok();
    assert!(!file.exists(), "looked at, and not used");
}

/// What a registry gives back is seen and found as well, and needs no name to go.
#[test]
fn a_pulled_image_that_lost_its_name_is_found() {
    let place = Place::with(&small("first"));
    import(&place, &[&layout(&place), "a:1"]).ok();
    let digest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    lose(&place, "repositories/docker.io/library/a/:1");
    lose(&place, "index.json");
    let rows = image(&place, &["ls", "--format", "{{.Name}} {{.Digest}}"]).ok().stdout;
    assert_eq!(rows, format!("<none> {digest}\n"));
    let config = image(&place, &["inspect", "--raw", &digest]).ok().stdout;
    let config: Value = serde_json::from_str(&config).unwrap();
    let config = config["config"]["digest"].as_str().unwrap();
    for text in [&digest, &digest[..20], config, &config["sha256:".len()..][..8]] {
        image(&place, &["inspect", text]).ok();
        image(&place, &["history", text]).ok();
    }
    let removed = image(&place, &["rm", "--json", &digest, &digest]).ok();
    let expected = format!(r#"{{"images":[{{"image":"{digest}","untagged":[],"removed":true}}],"freed_bytes":"#);
    assert!(removed.stdout.starts_with(&expected), "{}", removed.describe());
    assert_eq!(names(&place.store().join("blobs/sha256")), [""; 0]);
}

/// An image that was pulled and has no name goes with any other: nobody loses one without being
/// told.
#[test]
fn a_pulled_image_that_loses_its_name_is_told_and_named_when_it_goes() {
    let place = Place::with(&small("first"));
    let registry = Registry::start(&place, false);
    let pulled = registry.push(&place, "some/image:v1");
    cvbake(&place, &["pull", &pulled]).ok();
    let digest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    let other = Place::with(&small("second"));
    import(&place, &[&layout(&other), "a:1"]).ok();
    let ours = image(&place, &["ls", "-q", "a:1"]).ok().stdout.trim().to_owned();
    // As long as it has another name there is nothing to tell.
    image(&place, &["tag", &pulled, "b:1"]).ok();
    assert_eq!(image(&place, &["tag", "a:1", "b:1"]).ok().stderr, "");
    for lose in [&["tag", "a:1", &pulled][..], &["import", &layout(&other), &pulled]] {
        let lost = image(&place, lose).ok();
        let expected = format!("{pulled} names another image now: {digest}, which was pulled, has no name any more");
        assert!(lost.stderr.contains(&expected), "{}", lost.describe());
        assert!(lost.stderr.contains(&format!("`cvbake image tag {digest} NAME --store ")), "{}", lost.describe());
        cvbake(&place, &["pull", &pulled]).ok();
    }
    image(&place, &["tag", "a:1", &pulled]).ok();
    let removed = image(&place, &["rm", "--force", &ours]).ok();
    let end = format!("Removed  {ours}\nRemoved  {digest} (pulled; it had no name)\nFreed    ");
    assert!(removed.stdout.contains(&end), "{}", removed.describe());

    cvbake(&place, &["pull", &pulled]).ok();
    import(&place, &[&layout(&other), "a:1"]).ok();
    image(&place, &["tag", "a:1", &pulled]).ok();
    let removed: Value = serde_json::from_str(&image(&place, &["rm", "-f", "--json", &ours]).ok().stdout).unwrap();
    let expected = serde_json::json!({ "image": digest, "untagged": [], "removed": true });
    assert_eq!(removed["images"][1], expected, "{removed}");
}

/// An image that a registry has as well was imported all the same, and its new names say so.
#[test]
fn a_tag_does_not_make_a_registry_of_a_file() {
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, false);
    let pulled = registry.push(&place, "some/image:v1");
    cvbake(&place, &["pull", &pulled]).ok();
    import(&place, &[&layout(&place), "a:1"]).ok();
    image(&place, &["tag", &pulled, "b:1"]).ok();
    image(&place, &["tag", "a:1", "c:1"]).ok();
    let all: Value =
        serde_json::from_str(&collect(&place, &["prune", "--keep-size", "0", "-n", "--json"]).ok().stdout).unwrap();
    let imported: Vec<_> = ["a", "b", "c"].iter().map(|name| format!("docker.io/library/{name}:1")).collect();
    assert_eq!(all["imported"], serde_json::json!(imported));
}
