//! Images that are looked at where they are: nothing but their documents is read, and nothing is
//! kept.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::images::image;
use crate::support::bake::{Bake, Place, names};
use crate::support::image::{Compression, Edit, Image, Images, Layer, digest, docker_archive, tar_directory};
use crate::support::run::Outcome;
use crate::support::sample::{layer, small};
use crate::support::server::{Answer, Server};

fn one(platform: &str) -> Image {
    let new = r#""created":"2024-05-06T07:08:09Z","history":[{"created_by":"ADD \u001b[2J"},{"created_by":"ENV A=1","empty_layer":true},{"created_by":"RUN make"}],"config":{"Unknown":[1]}"#;
    let edit = Edit { document: "config".to_owned(), old: br#""config":{}"#.to_vec(), new: new.into() };
    let layers = ["a", "b"].map(|name| layer(&format!("file {name} \"{name} for {platform}\""), Compression::Gzip));
    Image { platform: Some(platform.to_owned()), layers: layers.into(), edits: vec![edit], ..Image::default() }
}

/// An index of two images.
fn two() -> Images {
    Images { images: vec![one("linux/amd64"), one("linux/arm64")], nested: 1, ..Images::default() }
}

fn parsed(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.describe()))
}

fn blob(layout: &Path, digest: &str) -> Vec<u8> {
    fs::read(layout.join("blobs").join(digest.replacen(':', "/", 1))).unwrap()
}

/// A run in a place where there is no store.
fn look(place: &Place, args: &[&str]) -> Bake {
    image(place, args).env("REGISTRY_AUTH_FILE", "").env("DOCKER_CONFIG", "").env("XDG_RUNTIME_DIR", "")
}

#[test]
fn layouts_archives_and_registries_say_the_same() {
    let images = two();
    let place = Place::with(&images);
    let dir = place.path().join("image");
    let archive = place.path().join("image.tar");
    fs::write(&archive, tar_directory(&dir)).unwrap();
    let server = Server::start(&place, |_| Answer::Right);
    let top: Value = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
    let top = top["manifests"][0]["digest"].as_str().unwrap();
    let index: Value = serde_json::from_slice(&blob(&dir, top)).unwrap();
    let registry = format!("docker://{}", server.name());
    for source in [
        format!("oci:{}:latest", dir.display()),
        format!("oci-archive:{}:latest", archive.display()),
        registry.clone(),
        format!("{}@{top}", registry.strip_suffix(":v1").unwrap()),
    ] {
        assert_eq!(look(&place, &["inspect", "--raw", &source]).ok().stdout.as_bytes(), blob(&dir, top), "{source}");
        for (at, platform) in ["linux/amd64", "linux/arm64"].into_iter().enumerate() {
            let manifest = index["manifests"][at]["digest"].as_str().unwrap();
            let run = |args: &[&str]| look(&place, &[args, &[&source, "--platform", platform]].concat()).ok();
            let raw = run(&["inspect", "--raw"]).stdout;
            assert_eq!(raw.as_bytes(), blob(&dir, manifest), "{source} {platform}");
            let raw: Value = serde_json::from_str(&raw).unwrap();
            let config = raw["config"]["digest"].as_str().unwrap();
            assert_eq!(run(&["inspect", "--raw-config"]).stdout.as_bytes(), blob(&dir, config));

            let shown = &parsed(&run(&["inspect"]))[0];
            assert_eq!((&shown["name"], &shown["names"]), (&json!(source), &json!([])));
            assert_eq!((&shown["digest"], &shown["manifest_digest"]), (&json!(top), &json!(manifest)));
            assert_eq!((&shown["manifest"], &shown["index"]), (&raw, &index));
            assert_eq!(shown["config"]["config"], json!({ "Unknown": [1] }));
            assert_eq!((&shown["platform"], &shown["created"]), (&json!(platform), &json!("2024-05-06T07:08:09Z")));
            let layers = &images.images[at].layers;
            for (shown, layer) in shown["layers"].as_array().unwrap().iter().zip(layers) {
                let expected = json!({
                    "digest": layer.digest, "media_type": shown["media_type"], "bytes": layer.size, "diff_id": layer.diff_id,
                });
                assert_eq!(*shown, expected, "nothing is said of the store");
            }
            assert_eq!(shown.get("complete"), None);

            let rows = parsed(&run(&["history", "--json"]));
            let by: Vec<&str> =
                rows.as_array().unwrap().iter().map(|row| row["created_by"].as_str().unwrap()).collect();
            assert_eq!(by, ["RUN make", "ENV A=1", "ADD \u{1b}[2J"]);
            assert_eq!((&rows[0]["layer"], &rows[1]["layer"]), (&json!(layers[1].digest), &Value::Null));
            let text = run(&["history"]).stdout;
            assert!(text.contains("ADD \\u{1b}[2J"), "{text}");
        }
    }
    for layer in images.images.iter().flat_map(|image| &image.layers) {
        assert!(server.asked(&layer.digest).is_empty(), "layers are not fetched");
    }
    assert!(!place.store().exists(), "and nothing is kept");
    assert_eq!(names(&place.path().join("home")), [""; 0]);
    let absent = look(&place, &["inspect", &registry, "--platform", "linux/riscv64"]).run();
    absent.error(&[4]);
    assert!(absent.stderr.contains("--platform linux/amd64"), "{}", absent.describe());
}

#[test]
fn what_has_no_manifest() {
    let image = one("linux/amd64");
    let place = Place::with(&Images { images: vec![image.clone()], ..Images::default() });
    let path = place.path().join("docker.tar");
    fs::write(&path, docker_archive(&image, &["a:latest"], false)).unwrap();
    let docker = format!("docker-archive:{}", path.display());
    let run = |args: &[&str]| look(&place, args).args(["--platform", "linux/amd64"]);
    let shown = &parsed(&run(&["inspect", &docker]).ok())[0];
    let config = run(&["inspect", "--raw-config", &docker]).ok().stdout;
    assert_eq!(shown["digest"], digest("sha256", config.as_bytes()));
    assert_eq!(shown["config"], serde_json::from_str::<Value>(&config).unwrap());
    assert_eq!(
        (&shown["manifest"], &shown["manifest_digest"], &shown["media_type"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(shown["layers"][1]["diff_id"], image.layers[1].diff_id.as_str());
    let rows = parsed(&run(&["history", "--json", &docker]).ok());
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["diff_id"]), (2, &json!(image.layers[1].diff_id)));
    assert!(run(&["inspect", "--raw", &docker]).run().error(&[3]).contains("has no manifest"));

    let Layer { tar, .. } = layer("file f \"x\"", Compression::Plain);
    let path = place.path().join("root.tar");
    fs::write(&path, &tar).unwrap();
    let root = format!("tar:{}", path.display());
    let shown = &parsed(&run(&["inspect", &root]).ok())[0];
    assert_eq!((&shown["digest"], &shown["config"], &shown["bytes"]), (&Value::Null, &Value::Null, &json!(tar.len())));
    assert_eq!(parsed(&run(&["history", "--json", &root]).ok()).as_array().unwrap().len(), 1);
    run(&["inspect", "--raw", &root]).run().error(&[3]);
    assert!(run(&["inspect", "--raw-config", &root]).run().error(&[2]).contains("no configuration"));
    assert!(!place.store().exists());
}

/// A mere name is one of the store's; what may be meant instead is said, and not done.
#[test]
fn names_that_the_store_does_not_have() {
    let place = Place::with(&small("x"));
    let server = Server::start(&place, |_| Answer::Right);
    for command in ["inspect", "history"] {
        let outcome = look(&place, &[command, &server.name()]).run();
        assert!(outcome.error(&[3]).contains("the store has no image"), "{}", outcome.describe());
        assert!(outcome.stderr.contains(&format!("docker://{} asks", server.name())), "{}", outcome.describe());
        // No such name can be asked for.
        let outcome = look(&place, &[command, "No Name"]).run();
        outcome.error(&[3]);
        assert!(!outcome.stderr.contains("docker://"), "{}", outcome.describe());
        let outcome = look(&place, &[command]).arg(place.path().join("image")).run();
        assert!(outcome.error(&[2]).contains("is a directory in the OCI image layout"), "{}", outcome.describe());
    }
    assert!(server.asked("").is_empty(), "nobody was asked");
}

/// What is no image has a manifest, too, which skopeo and crane show.
#[test]
fn artifacts_have_documents() {
    let place = Place::with(&small("x"));
    let manifest = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
    let server = Server::start(&place, move |asked| match asked.path.contains("/manifests/v1") {
        true => {
            let media_type = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
            Answer::Other(200, media_type.to_owned(), manifest.into())
        }
        false => Answer::Right,
    });
    let name = format!("docker://{}", server.name());
    assert_eq!(look(&place, &["inspect", "--raw", &name]).ok().stdout, manifest);
    look(&place, &["inspect", &name]).run().error(&[3]);
}
