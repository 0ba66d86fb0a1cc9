//! Images that are brought in though something about them is odd, and those that are not.

use crate::image_store::{bake_stored, file, import, layout};
use crate::images::{image, skopeo, source};
use crate::support::bake::{Place, names as names_below};
use crate::support::image::{Compression, Edit, Image, Images};
use crate::support::sample;

#[test]
fn what_cannot_be_baked_gets_no_name() {
    let place = Place::with(&sample::varied());
    let bad = sample::layer("file a \"1\"\nhard b -> nothing/../../..", Compression::Plain).tar;
    let good = sample::layer("file a rand:9999:1", Compression::Gzip).blob;
    for (name, bytes, codes) in [
        ("bad.tar", bad, &[4][..]),
        ("cut.tar.gz", good[..good.len() - 9].to_vec(), &[4]),
        ("empty.tar", Vec::new(), &[3]),
        ("text.tar", b"no archive at all, but text".repeat(40), &[4]),
    ] {
        let path = file(&place, name, &bytes);
        import(&place, &[&path.display().to_string(), "x"]).run().error(codes);
    }
    let blob = names_below(&place.path().join("image/blobs/sha256")).into_iter();
    let largest = blob.map(|name| place.path().join("image/blobs/sha256").join(name));
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    import(&place, &[&layout(&place), "x"]).run().error(&[4]);
    import(&place, &["alpine", "x"]).run().error(&[2]);
    import(&place, &[&layout(&place), "x", "--cmd", "true"]).run().error(&[2]);
    import(&place, &["tar:nothing"]).run().error(&[2]);
    for name in ["UPPER", "x@sha256:1234", "oci:x", ""] {
        import(&place, &[&layout(&place), name]).run().error(&[2]);
    }
    assert_eq!(image(&place, &["ls", "--quiet"]).ok().stdout, "");
    place.assert_no_leftovers(&[]);
}

/// Documents that somebody made to be in the way.
#[test]
fn odd_histories() {
    let small = || sample::layer("file a \"1\"", Compression::Gzip);
    let import_with = |new: &str| {
        let edit =
            Edit { document: "config".to_owned(), old: br#""config":{}"#.to_vec(), new: new.as_bytes().to_vec() };
        let image = Image { layers: vec![small()], edits: vec![edit], ..Image::default() };
        let place = Place::with(&Images { images: vec![image], ..Images::default() });
        import(&place, &[&layout(&place), "app"]).ok();
        place
    };
    // None at all.
    let place = import_with(r#""config":null"#);
    let text = image(&place, &["history", "app"]).ok().stdout;
    assert_eq!(text.lines().count(), 2, "the layer stands alone: {text}");
    image(&place, &["ls"]).ok();
    // More than anybody has, and none of them with a layer.
    let many = vec![r#"{"empty_layer":true}"#; 100_000].join(",");
    let place = import_with(&format!(r#""history":[{many}]"#));
    assert_eq!(image(&place, &["history", "app"]).ok().stdout.lines().count(), 100_002);
    assert!(image(&place, &["inspect", "app"]).ok().stdout.contains("\"complete\": true"));
    // Of another shape: the image can be baked, and nothing is told of its history.
    let place = import_with(r#""history":"none","created":7"#);
    assert_eq!(image(&place, &["history", "app"]).ok().stdout.lines().count(), 2);
    bake_stored(&place, "app").ok();
}

/// Names that no command gives, but that can stand in a store.
#[test]
fn odd_names() {
    let place = Place::with(&sample::small("x"));
    import(&place, &[&layout(&place), "a:1"]).with_root().ok();
    let run = |args: &[&str]| image(&place, args).with_root();
    let store = cvbake::store::Store::open(&place.store(), &|_| {}).unwrap();
    let reference = store.names().list(&|_| {}).unwrap().remove(0).reference;
    let digest = reference.digest;
    let evil = "evil\u{1b}[2J/x:\u{9b}1";
    for name in [format!("localhost:5000/x@{digest}"), evil.to_owned(), format!("@{digest}")] {
        store.names().set([&*name], &reference, cvbake::store::Origin::Registry, &|_| {}).unwrap();
    }
    let rows = run(&["ls", "--format", "{{.Repository}} {{.Tag}}"]).ok().stdout;
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort();
    assert_eq!(rows, ["<none> <none>", "docker.io/library/a 1", r"evil\u{1b}[2J/x \u{9b}1", "localhost:5000/x <none>"]);
    let removed = run(&["rm", "--force", &digest.to_string()]).ok();
    for text in [run(&["ls"]).ok().stdout, removed.stdout] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    assert_eq!(run(&["ls", "-q"]).ok().stdout, "");
}

/// Not all images that an index lists have to be there, but what is asked for has.
#[test]
fn an_index_with_images_that_are_not_there() {
    let platform = |platform: &str, text: &str| {
        let mut image = sample::small(text).images.remove(0);
        image.platform = Some(platform.to_owned());
        image
    };
    let images =
        Images { images: vec![platform("linux/amd64", "one"), platform("linux/arm64", "two")], ..Images::default() };
    let place = Place::with(&images);
    let arm = skopeo(&["--override-arch", "arm64", "inspect", "--format", "{{.Digest}}", &source(&place)]);
    let raw = skopeo(&["inspect", "--raw", &source(&place)]);
    let listed: Vec<&str> = raw.split("\"digest\":\"sha256:").skip(1).map(|rest| &rest[..64]).collect();
    assert_eq!(listed.len(), 2, "{raw} {arm}");
    std::fs::remove_file(place.path().join("image/blobs/sha256").join(listed[1])).unwrap();
    let all = import(&place, &[&layout(&place), "x"]).run();
    assert!(all.error(&[3, 4]).contains(listed[1]), "{}", all.describe());
    assert!(all.stderr.contains("--platform"), "{}", all.describe());
    import(&place, &[&layout(&place), "x", "--platform", "linux/amd64"]).ok();
    bake_stored(&place, "x").args(["--pull", "never"]).ok();
}
