//! Imports that find something there already, that are interrupted, and that were perhaps not meant
//! so.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::image_store::{file, import, layout};
use crate::images::{image, source};
use crate::kill::{at_many_moments, interrupted};
use crate::support::bake::{Bake, Place, assert_tidy, files_below};
use crate::support::image::{docker_archive, tar_directory};
use crate::support::run::Outcome;
use crate::support::sample::{large, small, varied};

fn store(place: &Place, args: &[&str]) -> Bake {
    Bake::of(&["store"]).args(args).store(&place.store()).env("HOME", place.path().join("home"))
}

fn counts(outcome: &Outcome) -> (u64, u64) {
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let image = &told["images"][0];
    (image["layers"].as_u64().unwrap(), image["present_layers"].as_u64().unwrap())
}

/// Blanks compress to nothing, and all documents of an index are kept until all are read.
#[test]
fn documents_that_are_padded() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let place = Place::with(&small("x"));
    let dir = place.path().join("image");
    let blob = |bytes: &[u8], media: &str| {
        let digest = crate::support::image::digest("sha256", bytes);
        fs::write(dir.join("blobs/sha256").join(&digest["sha256:".len()..]), bytes).unwrap();
        format!(r#"{{"mediaType":"{media}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let config = blob(b"{}", "application/vnd.oci.image.config.v1+json");
    let padded = |number: usize| {
        let annotations = format!(r#"{{"number":"{number}"}}"#);
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"annotations":{annotations}}}"#);
        let mut bytes = text.into_bytes();
        bytes.resize(4 << 20, b' ');
        blob(&bytes, MANIFEST)
    };
    let list = |entries: &[String]| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    let index = blob(list(&(0..40).map(padded).collect::<Vec<_>>()).as_bytes(), INDEX);
    fs::write(dir.join("index.json"), list(&[index])).unwrap();
    let from = format!("oci:{}", dir.display());
    let into = place.path().join("out/layout");
    for run in [
        import(&place, &[&from, "a:1"]),
        image(&place, &["export", &from, &format!("oci:{}", into.display()), "--all"]),
    ] {
        let outcome = run.run();
        assert!(outcome.error(&[4]).contains("67108864 bytes of manifests"), "{}", outcome.describe());
        assert!(outcome.peak_kib < 120 << 10, "{} KiB", outcome.peak_kib);
    }
}

#[test]
fn what_is_there_is_not_copied_again() {
    let images = varied();
    let place = Place::with(&images);
    let docker = file(&place, "docker.tar", &docker_archive(&images.images[0], &["b:1"], false));
    let docker = format!("docker-archive:{}", docker.display());
    for (from, name) in [(layout(&place), "a:1"), (docker, "b:1")] {
        let again = |progress| import(&place, &[&from, name, "--json"]).progress(progress).ok();
        assert_eq!(counts(&again("none")).0, 3);
        let told = again("none");
        assert_eq!(counts(&told), (3, 3), "{}", told.describe());
        let text = import(&place, &[&from, name]).ok().stdout;
        assert!(text.contains("layers  3 (3 already in the store)\n"), "{text}");
    }
    let blob = |digest: &str| place.store().join("blobs").join(digest.replace(':', "/"));
    let told = import(&place, &[&layout(&place), "a:1"]).progress("plain").ok();
    assert_eq!(told.stderr.matches("already in the store").count(), 3, "{}", told.describe());
    let told = import(&place, &[&layout(&place), "a:1"]).progress("json").ok();
    assert_eq!(told.stderr.matches(r#""cached":"blob""#).count(), 3, "{}", told.describe());

    // Of another length, gone, or in the store but not looked into yet.
    let layers = &images.images[0].layers;
    fs::write(blob(&layers[0].digest), "too short").unwrap();
    fs::remove_file(blob(&layers[1].digest)).unwrap();
    fs::remove_dir_all(place.store().join("indexes-v1/sha256")).unwrap();
    let told = import(&place, &[&layout(&place), "a:1", "--json"]).ok();
    assert_eq!(counts(&told), (3, 1), "{}", told.describe());
    for layer in layers {
        assert!(fs::read(blob(&layer.digest)).unwrap() == layer.blob, "{}", layer.digest);
    }
    assert_eq!(files_below(&place.store().join("indexes-v1")).len(), 3);
    // A small one that is damaged is made anew in any case.
    let shown: Value = serde_json::from_str(&image(&place, &["inspect", "a:1"]).ok().stdout).unwrap();
    let config = blob(shown[0]["manifest"]["config"]["digest"].as_str().unwrap());
    let bytes = fs::read(&config).unwrap();
    fs::write(&config, vec![b'x'; bytes.len()]).unwrap();
    import(&place, &[&layout(&place), "a:1"]).ok();
    assert!(fs::read(&config).unwrap() == bytes);
    assert_tidy(&place.store());
    store(&place, &["check"]).progress("none").ok();
}

#[test]
fn interrupted_imports_leave_nothing() {
    for (signal, number, code) in [(Signal::INT, 2, Some(130)), (Signal::TERM, 15, Some(143)), (Signal::KILL, 9, None)]
    {
        let place = Place::with(&large());
        let mut ended = 0;
        at_many_moments(|after| {
            fs::remove_dir_all(place.store()).ok();
            let outcome = interrupted(import(&place, &[&layout(&place), "a:1"]).spawn(), after, signal);
            if outcome.code == Some(0) {
                return true;
            }
            // Before the program has set itself up, the signal ends it by itself.
            let by_signal = outcome.signal == Some(number);
            assert!(by_signal || outcome.code == code, "{}", outcome.describe());
            ended += usize::from(!by_signal || code.is_none());
            if code.is_none() && place.store().join("indexes-v1").exists() {
                store(&place, &["gc", "-q"]).ok();
            }
            if place.store().exists() && (!by_signal || code.is_none()) {
                // Empty, they are locks.
                let partials = files_below(&place.store().join("partial"));
                let left: Vec<_> = partials.iter().filter(|path| path.metadata().unwrap().len() > 0).collect();
                assert!(left.is_empty(), "{left:?}");
                let scratch = files_below(&place.store().join("scratch"));
                let is_half = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().contains('-');
                assert_eq!(scratch.iter().filter(is_half).count(), 0, "{scratch:?}");
            }
            false
        });
        assert!(ended > 0, "it was ended at least once");
        import(&place, &[&layout(&place), "a:1"]).ok();
        store(&place, &["gc", "-q"]).ok();
        assert_tidy(&place.store());
        place.bake_source("a:1").args(["--pull", "never"]).ok();
    }
}

#[test]
fn archives_of_images_that_are_taken_for_root_filesystems() {
    let images = small("x");
    let place = Place::with(&images);
    let docker = file(&place, "docker.tar", &docker_archive(&images.images[0], &["b:1"], true));
    let oci = file(&place, "oci.tar", &tar_directory(&place.path().join("image")));
    for (path, transport, kind) in
        [(&docker, "docker-archive", "a docker archive"), (&oci, "oci-archive", "an OCI archive")]
    {
        let path = path.display();
        let warning = format!("tar:{path} looks like {kind} of an image, but is taken for a root filesystem");
        let hint = format!("to use the image in it, write {transport}:{path}");
        let out = place.path().join("out/new.tar.gz").display().to_string();
        let runs = [
            place.bake_source(&format!("tar:{path}")).arg("--force"),
            place.bake_source(&format!("tar:{path}")).args(["--force", "--dry-run"]),
            import(&place, &[&path.to_string(), "root"]),
            image(&place, &["export", &path.to_string(), &out, "--force"]),
        ];
        for run in runs {
            let outcome = run.progress("plain").ok();
            assert!(outcome.stderr.contains(&format!("warning: {warning}\n")), "{}", outcome.describe());
            assert!(outcome.stderr.contains(&format!("hint: {hint}\n")), "{}", outcome.describe());
        }
        let outcome = place.bake_source(&format!("tar:{path}")).args(["--force", "--json"]).progress("json").ok();
        let told = outcome.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told: Vec<Value> = told.filter(|event| event["event"] == "warning").collect();
        assert_eq!(told.len(), 1, "{}", outcome.describe());
        assert_eq!((&told[0]["message"], &told[0]["hint"]), (&warning.as_str().into(), &hint.as_str().into()));
        // The hint is right.
        place.bake_source(&format!("{transport}:{path}")).arg("--force").progress("plain").ok();
        let piped = place.bake_source("tar:-").arg("--force").stdin(path.to_string().into()).progress("plain").ok();
        assert!(piped.stderr.contains(&format!("{transport}:FILE")), "{}", piped.describe());
    }
    // What it becomes is said where it was not.
    import(&place, &[&layout(&place), "a:1"]).ok();
    let out = place.path().join("out/root.tar").display().to_string();
    let told = image(&place, &["export", "a:1", &out]).ok();
    assert!(told.stdout.contains("  format  tar (the root filesystem only)"), "{}", told.describe());
    let told = image(&place, &["export", &source(&place), &out, "--force", "--json", "--platform", "linux/amd64"]).ok();
    assert!(told.stdout.contains(r#""format":"tar""#) && told.warnings().is_empty(), "{}", told.describe());
    let told = place.bake_source(&format!("tar:{out}")).arg("--force").progress("plain").ok();
    assert!(told.warnings().is_empty(), "{}", told.describe());
}

/// A disk begins with zeros, as an archive ends. What is nothing but zeros is an archive of
/// nothing, which is hardly meant.
#[test]
fn disks_and_empty_archives() {
    let place = Place::with(&small("x"));
    place.bake().ok();
    fs::rename(place.disk(), place.path().join("other.ext4")).unwrap();
    let disk = place.path().join("other.ext4").display().to_string();
    for run in [
        place.bake_source(&format!("tar:{disk}")),
        place.bake_source(&format!("tar:{disk}")).arg("--dry-run"),
        place.bake_source("tar:-").stdin(disk.clone().into()),
        import(&place, &[&format!("tar:{disk}"), "x"]),
    ] {
        let outcome = run.run();
        let line = outcome.error(&[4]);
        assert!(line.contains("found zeros at the beginning and data at byte 1024"), "{}", outcome.describe());
        assert!(!place.disk().exists());
    }
    let path = file(&place, "empty.tar", &[0; 10240]).display().to_string();
    let out = place.path().join("out/new.tar.gz").display().to_string();
    for run in [
        place.bake_source(&format!("tar:{path}")).arg("--force"),
        place.bake_source(&format!("tar:{path}")).args(["--force", "--dry-run"]),
        import(&place, &[&path, "empty"]),
        image(&place, &["export", &path, &out, "--force"]),
    ] {
        let outcome = run.progress("plain").ok();
        let warning = format!("warning: tar:{path} is an empty archive: the root filesystem has no files\n");
        assert!(outcome.stderr.contains(&warning), "{}", outcome.describe());
    }
}
