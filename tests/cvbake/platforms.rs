//! All platforms of an image at once: into the store, and from there to anywhere without the
//! registry.

use std::fs;

use crate::images::image;
use crate::registry::{Registry, cvbake};
use crate::support::bake::{Bake, Place, files_below};
use crate::support::image::{Compression, Image, Images};
use crate::support::sample::layer;
use crate::support::server::{Answer, Server};
use crate::support::tools::{succeed, tool};

/// Two images that share a layer, in so many indexes within each other.
fn images(nested: usize) -> Images {
    let shared = layer("file shared rand:300000:1", Compression::Gzip);
    let of = |platform: &str| {
        let own = layer(&format!("file own \"{platform}\""), Compression::Zstd);
        Image { platform: Some(platform.to_owned()), layers: vec![shared.clone(), own], ..Image::default() }
    };
    Images { images: vec![of("linux/amd64"), of("linux/arm64")], nested, ..Images::default() }
}

/// The names of all blobs below a directory.
fn blobs(place: &Place, dir: &str) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> =
        files_below(&place.path().join(dir).join("blobs/sha256")).into_iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn everything_is_there_and_goes_everywhere() {
    // skopeo copies no index within another.
    let images = images(1);
    let place = Place::with(&images);
    let server = Server::start(&place, |_| Answer::Right);
    // The variable is weaker than any argument.
    let pull = |args: &[&str]| {
        let bake = Bake::of(&["pull", &server.name(), "--progress", "none"]).store(&place.store()).args(args);
        bake.env("CVBAKE_PLATFORM", "linux/arm64").env("HOME", place.path().join("home"))
    };
    let told = pull(&["--all", "--json"]).ok();
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path().join("image/index.json")).unwrap()).unwrap();
    assert_eq!(told["image"], index["manifests"][0]["digest"]);
    assert_eq!(told["platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
    assert_eq!((&told["platform"], told["layers"].as_array().unwrap().len()), (&serde_json::Value::Null, 3));
    let shared = &images.images[0].layers[0].digest;
    assert_eq!(server.asked(shared).len(), 1, "what both have is fetched once");
    assert_eq!(blobs(&place, "home/store"), blobs(&place, "image"), "blob for blob");
    assert!(pull(&["-a"]).ok().stdout.contains("(linux/amd64, linux/arm64)"));
    assert_eq!(server.asked(shared).len(), 1, "and never again");
    place.assert_no_leftovers(&[]);
    let name = server.name();
    drop(server);

    let listed: serde_json::Value = serde_json::from_str(&image(&place, &["ls", "--json"]).ok().stdout).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["complete"]), (&name.as_str().into(), &true.into()));
    assert_eq!(listed[0]["platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
    for platform in ["linux/amd64", "linux/arm64"] {
        let bake = place.bake_source(&name).platform(platform).args(["--force", "--pull", "never"]);
        bake.ok();
    }
    let out = place.path().join("out/exported");
    image(&place, &["export", "--all", &name, &format!("oci:{}:x", out.display())]).args(["--pull", "never"]).ok();
    assert_eq!(blobs(&place, "out/exported"), blobs(&place, "image"));

    let registry = Registry::start(&place, false);
    let target = format!("{}/all/of:it", registry.host);
    let push = Bake::of(&["push", "--all", &name, &target, "--progress", "none"]).store(&place.store());
    push.env("HOME", place.path().join("home")).env("REGISTRY_AUTH_FILE", "").ok();
    let back = place.path().join("back");
    let mut skopeo = tool("skopeo", "skopeo");
    skopeo.args(["--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false", "--preserve-digests"]);
    succeed(skopeo.arg(format!("docker://{target}")).arg(format!("oci:{}:x", back.display())));
    assert_eq!(blobs(&place, "back"), blobs(&place, "image"));
}

#[test]
fn indexes_within_indexes() {
    let place = Place::with(&images(3));
    let server = Server::start(&place, |_| Answer::Right);
    cvbake(&place, &["pull", &server.name()]).any_platform().arg("--all").ok();
    assert_eq!(blobs(&place, "home/store"), blobs(&place, "image"));
}

#[test]
fn one_image_without_an_index_is_all_there_is() {
    let images = Images { images: vec![images(1).images.remove(1)], ..Images::default() };
    let place = Place::with(&images);
    let server = Server::start(&place, |_| Answer::Right);
    let pull = |args: &[&str]| Bake::of(&["pull", &server.name()]).args(args).store(&place.store()).env("HOME", "/");
    pull(&["--all", "--progress", "none"]).ok();
    assert_eq!(blobs(&place, "home/store"), blobs(&place, "image"));
    pull(&["--all", "--platform", "linux/amd64"]).run().error(&[2]);
}

/// What a registry does not have of an index fails the pull, and nothing of that seems to be there.
#[test]
fn an_index_of_which_something_is_missing() {
    let images = images(2);
    let place = Place::with(&images);
    let lost = images.images[1].layers[1].digest.clone();
    let server = Server::start(&place, move |asked| match asked.path.ends_with(&lost) {
        true => Answer::Other(404, String::new(), Vec::new()),
        false => Answer::Right,
    });
    let outcome = cvbake(&place, &["pull", &server.name()]).any_platform().arg("--all").run();
    outcome.error(&[3]);
    let listed: serde_json::Value = serde_json::from_str(&image(&place, &["ls", "--json"]).ok().stdout).unwrap();
    assert_ne!(listed[0]["platforms"], serde_json::json!([]));
    let out = format!("oci:{}", place.path().join("out/x").display());
    let export = image(&place, &["export", "--all", &server.name(), &out]).args(["--pull", "never"]).run();
    assert_ne!(export.code, Some(0), "{}", export.describe());
    // The other one is there all the same.
    cvbake(&place, &["pull", &server.name()]).ok();
}

/// What is not there is fetched by the name that a registry knows, however the image is named here.
#[test]
fn the_platform_that_is_missing_is_fetched_by_name() {
    let place = Place::with(&images(1));
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    cvbake(&place, &["pull", &name]).ok();
    let digest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    for text in [name.as_str(), &digest, &digest[..19]] {
        let bake = place.bake_source(text).platform("linux/arm64").args(["--pull", "never"]).run();
        bake.error(&[3]);
        let store = place.store().display().to_string();
        let hint = format!("hint: `cvbake pull --platform linux/arm64 {name} --store {store}` fetches it; --platform ");
        assert!(bake.stderr.contains(&hint), "{}", bake.describe());
    }
    // An export may fetch it, and says so.
    let out = format!("oci:{}", place.path().join("out/all").display());
    let export = |out: &str| image(&place, &["export", "--all", &name, out]).env("XDG_RUNTIME_DIR", "");
    let first = export(&out).progress("plain").ok().stderr;
    assert!(first.contains("cvbake: fetching 2 blobs that the store does not have\n"), "{first}");
    let second = export(&out).progress("plain").ok().stderr;
    assert!(!second.contains("fetching"), "{second}");
}
