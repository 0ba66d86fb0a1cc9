//! The ways to name an image, which are the same for every command that reads the store.

use std::fs;

use crate::image_store::import;
use crate::images::image;
use crate::registry::Registry;
use crate::support::bake::{Bake, Place};
use crate::support::image::write_layout;
use crate::support::run::Outcome;
use crate::support::{ext4, sample};

/// A command with the place's store, that asks no registry but one.
fn run(place: &Place, args: &[&str]) -> Outcome {
    let home = place.path().join("home");
    let bake = Bake::of(args).args(["--progress", "none", "--store"]).arg(place.store());
    bake.env("HOME", home).env("XDG_RUNTIME_DIR", "").env("DOCKER_CONFIG", "").env("REGISTRY_AUTH_FILE", "").run()
}

fn layout(place: &Place) -> String {
    format!("oci:{}:latest", place.path().join("image").display())
}

/// Every file on the disk that a name leads to.
fn baked(place: &Place, args: &[&str]) -> String {
    let disk = place.disk().display().to_string();
    let outcome = run(place, &[&["bake", "--platform", "linux/amd64", "--force", "-o", &disk], args].concat());
    assert!(outcome.code == Some(0), "{}", outcome.describe());
    ext4::listing(&place.disk())
}

#[test]
fn ends_of_names_and_digests_can_be_baked_and_pushed() {
    let place = Place::with(&sample::small("named"));
    import(&place, &[&layout(&place), "r.example/team/app:v1"]).ok();
    let expected = baked(&place, &["r.example/team/app:v1", "--pull", "never"]);
    let shown = image(&place, &["ls", "--json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let manifest = shown[0]["digest"].as_str().unwrap().to_owned();
    let config = fs::read(place.store().join("blobs").join(manifest.replace(':', "/"))).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let config = config["config"]["digest"].as_str().unwrap().to_owned();
    let ways = ["app", "app:v1", "team/app:v1", &manifest, &manifest[..14], &manifest[7..15], &config, &config[7..19]];
    for name in ways {
        assert_eq!(baked(&place, &[name]), expected, "{name}");
        assert_eq!(baked(&place, &[name, "--pull", "never"]), expected, "{name}");
    }

    let registry = Registry::start(&place, false);
    for (at, name) in ways.iter().enumerate() {
        let target = format!("{}/pushed:{at}", registry.host);
        let pushed = run(&place, &["push", name, &target, "--platform", "linux/amd64"]);
        assert!(pushed.code == Some(0) && pushed.stdout.contains(&manifest), "{}", pushed.describe());
    }
    let nameless = run(&place, &["push", &manifest]);
    assert!(nameless.error(&[2]).contains("no name to push"), "{}", nameless.describe());
    // Its own name is the one that it has in the store.
    let own = format!("{}/own/image:v2", registry.host);
    image(&place, &["tag", "app:v1", &own]).ok();
    let pushed = run(&place, &["push", "image:v2", "--platform", "linux/amd64"]);
    assert!(pushed.code == Some(0) && pushed.stdout.contains(&own), "{}", pushed.describe());
}

#[test]
fn short_names_are_pushed_to_where_they_are_pulled_from() {
    let place = Place::with(&sample::small("pushed"));
    let registry = Registry::start(&place, false);
    let conf = |text: &str| {
        fs::write(place.path().join("registries.conf"), text).unwrap();
        place.path().join("registries.conf").display().to_string()
    };
    let one = conf(&format!("unqualified-search-registries = [{:?}]", registry.host));
    let push = |conf: &str| {
        run(&place, &["push", &layout(&place), "team/app:v1", "--platform", "linux/amd64", "--registries-conf", conf])
    };
    let pushed = push(&one);
    let target = format!("{}/team/app:v1", registry.host);
    assert!(pushed.code == Some(0) && pushed.stdout.contains(&target), "{}", pushed.describe());
    let pulled = run(&place, &["pull", "team/app:v1", "--platform", "linux/amd64", "--registries-conf", &one]);
    assert!(pulled.code == Some(0) && pulled.stdout.contains(&target), "{}", pulled.describe());
    let two = conf(&format!("unqualified-search-registries = [{:?}, \"docker.io\"]", registry.host));
    let several = push(&two);
    let problem = several.error(&[3]);
    assert!(problem.contains(&target) && problem.contains("docker.io/team/app:v1"), "{}", several.describe());
}

#[test]
fn registries_are_no_images() {
    let place = Place::with(&sample::small("x"));
    for args in [
        &["push", &layout(&place), "127.0.0.1:5055"][..],
        &["pull", "localhost:5000"],
        &["bake", "r.example.com:5000", "-o", "disk.ext4"],
    ] {
        let outcome = run(&place, args);
        let problem = outcome.error(&[2]);
        assert!(problem.contains("is a registry, expected the name of an image in it"), "{}", outcome.describe());
        assert!(outcome.stderr.contains("/NAME:TAG"), "{}", outcome.describe());
    }
}

/// `lay:v2` is what is at that path, and not an image `lay` of Docker Hub.
#[test]
fn a_layout_without_its_transport() {
    let place = Place::with(&sample::small("x"));
    let command = format!("cd {} && \"$@\"", place.path().display());
    let outcome = place.bake_source("image:latest").shell(&command).run();
    outcome.error(&[2]);
    assert!(outcome.stderr.contains("write oci:image:latest"), "{}", outcome.describe());
}

/// An image has its name again when it comes back from a file.
#[test]
fn names_go_along() {
    let place = Place::with(&sample::small("there and back"));
    import(&place, &[&layout(&place), "r.example/team/app:v1"]).ok();
    let out = place.path().join("out").display().to_string();
    for target in
        [format!("oci-archive:{out}/app.tar"), format!("oci:{out}/app"), format!("docker-archive:{out}/docker.tar")]
    {
        image(&place, &["export", "app:v1", &target, "--platform", "linux/amd64"]).ok();
        image(&place, &["rm", "app:v1"]).ok();
        let back = import(&place, &[&target]).ok();
        assert!(back.stdout.contains("r.example/team/app:v1"), "{}", back.describe());
    }
    // What is asked for by its digest has no name to go along, and one that is given is the only
    // one.
    let digest = image(&place, &["ls", "-q", "app:v1"]).ok().stdout.trim().to_owned();
    let target = format!("docker-archive:{out}/docker.tar");
    image(&place, &["export", &digest, &target, "--force"]).ok();
    import(&place, &[&target]).run().error(&[2]);
    image(&place, &["export", "app:v1", &format!("{target}:b:1"), "--force"]).ok();
    let back = import(&place, &[&target]).ok();
    assert!(back.stdout.starts_with("Imported docker.io/library/b:1\n"), "{}", back.describe());
}

/// Of several images without names in full, one at a time gets one.
#[test]
fn several_images_without_names_are_imported_one_by_one() {
    let place = Place::new();
    let layout = place.path().join("image");
    let entries = ["one", "two"].map(|text| {
        write_layout(&sample::small(text), &layout);
        let index = fs::read_to_string(layout.join("index.json")).unwrap();
        let entry = index.split_once("\"manifests\":[").unwrap().1.strip_suffix("]}").unwrap().to_owned();
        entry.replace(r#"ref.name":"latest""#, &format!(r#"ref.name":"{text}""#))
    });
    fs::write(layout.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")))
        .unwrap();
    let source = format!("oci:{}", layout.display());
    let refused = import(&place, &[&source, "--platform", "linux/amd64"]).run();
    assert!(refused.error(&[2]).contains("does not name the images in full"), "{}", refused.describe());
    let hint = refused.stderr.split("hint: ").nth(1).unwrap();
    assert!(hint.contains(&format!("`cvbake image import {source}:one team/app:v1 --store ")), "{hint}");
    import(&place, &[&format!("{source}:one"), "team/app:v1", "--platform", "linux/amd64"]).ok();
}

/// What `docker save` writes has tags that several images may have, and their names in full beside
/// them.
#[test]
fn names_that_docker_gives() {
    let place = Place::with(&sample::small("one"));
    let layout = place.path().join("image");
    // The entry of an image, called `latest` there, with a name in full.
    let entry = |name: &str| {
        let index = fs::read_to_string(layout.join("index.json")).unwrap();
        let index = index.split_once("\"manifests\":[").unwrap().1.strip_suffix("]}").unwrap().to_owned();
        let tag = r#""org.opencontainers.image.ref.name":"latest""#;
        assert!(index.contains(tag), "{index}");
        index.replace(tag, &format!(r#""io.containerd.image.name":"{name}",{tag}"#))
    };
    let one = entry("docker.io/team/app1:latest");
    write_layout(&sample::small("two"), &layout);
    let two = entry("docker.io/team/app2:latest");
    fs::write(layout.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{one},{two}]}}"#)).unwrap();
    let source = format!("oci:{}", place.path().join("image").display());
    let imported = import(&place, &[&source, "--platform", "linux/amd64"]).ok();
    for name in ["docker.io/team/app1:latest", "docker.io/team/app2:latest"] {
        assert!(imported.stdout.contains(name), "{}", imported.describe());
    }
    let one = baked(&place, &["team/app1", "--pull", "never"]);
    assert_ne!(one, baked(&place, &["team/app2", "--pull", "never"]));
}

/// Several tags of what a registry would be asked for are not several that are meant, and neither
/// are digits that look like a digest.
#[test]
fn other_tags_are_not_meant() {
    let place = Place::with(&sample::small("old"));
    let conf = place.path().join("registries.conf");
    fs::write(&conf, "unqualified-search-registries = ['127.0.0.1:1']\n[aliases]\n\"fed\" = \"127.0.0.1:1/fed\"")
        .unwrap();
    let conf = conf.display().to_string();
    for name in
        ["127.0.0.1:1/foo:1", "127.0.0.1:1/foo:2", "127.0.0.1:1/cafe:1", "127.0.0.1:1/fed:41", "r.example/fed:latest"]
    {
        import(&place, &[&layout(&place), name]).ok();
    }
    import(&place, &[&layout(&place), "docker.io/library/mine:latest"]).ok();
    let disk = place.path().join("out/other.ext4").display().to_string();
    for name in ["foo", "cafe", "fed"] {
        let outcome = run(&place, &["bake", name, "-o", &disk, "--registries-conf", &conf]);
        assert!(outcome.error(&[9]).contains("127.0.0.1:1"), "{name}: {}", outcome.describe());
    }
    for name in ["mine", "foo:2"] {
        baked(&place, &[name, "--registries-conf", &conf]);
    }
    baked(&place, &["mine", "--registries-conf", &conf, "--pull", "never"]);
}
