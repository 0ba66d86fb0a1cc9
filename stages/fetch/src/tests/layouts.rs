//! `oci:` directories, and what `oci-archive:` shares with them.

use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// A layout of two tags, and its descriptors.
fn two_tags() -> (Files, String, String) {
    let mut files = Files::default();
    let (one, two) = (files.image("amd64", &["one"]), files.image("amd64", &["two", "three", "two"]));
    files.layout(&[tagged(&one, "v1"), tagged(&two, "docker.io/library/x:v2")]);
    (files, one, two)
}

fn digest_of(descriptor: &str) -> &str {
    let start = descriptor.find("sha256:").unwrap();
    &descriptor[start..start + 7 + 64]
}

/// Runs a test on the files as a directory and as an archive.
fn both(files: &Files, test: &dyn Fn(&Place, &str, &Path)) {
    let place = Place::new();
    files.write_to(&place.path("layout"));
    test(&place, "oci", &place.path("layout"));
    test(&place, "oci-archive", &place.file("layout.tar", &files.tar()));
}

#[test]
fn names_select() {
    let (files, one, two) = two_tags();
    both(&files, &|place, transport, path| {
        assert_eq!(place.layers(transport, path, ":v1"), ["one"]);
        assert_eq!(place.layers(transport, path, ":docker.io/library/x:v2"), ["two", "three", "two"]);
        assert_eq!(place.layers(transport, path, &format!("@{}", digest_of(&one))), ["one"]);
        let error = place.error(transport, path, "");
        assert!(
            error.ends_with("several images; expected the name of one of them: docker.io/library/x:v2, v1"),
            "{error}"
        );
        let error = place.error(transport, path, ":v3");
        assert!(error.ends_with("no image \"v3\"; available: docker.io/library/x:v2, v1"), "{error}");
        let error = place.error(transport, path, &format!("@{}", Digest::sha256(b"")));
        assert!(error.contains(digest_of(&one)) && error.contains(digest_of(&two)), "{error}");
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    });
}

#[test]
fn one_image_needs_no_name() {
    let mut files = Files::default();
    let image = files.image("amd64", &["one"]);
    let attestation = with(&files.image("amd64", &[]), r#""platform":{"os":"unknown","architecture":"unknown"}"#);
    for entries in [
        vec![image.clone()],
        vec![tagged(&image, "v1")],
        vec![tagged(&image, "v1"), tagged(&image, "latest")],
        vec![image.clone(), image.clone(), attestation.clone()],
    ] {
        files.layout(&entries);
        both(&files, &|place, transport, path| assert_eq!(place.layers(transport, path, ""), ["one"]));
    }
    files.layout(&[]);
    both(&files, &|place, transport, path| {
        assert!(place.error(transport, path, "").ends_with("contains no image"));
        assert!(place.error(transport, path, ":x").ends_with("no image \"x\"; available: none"));
    });
}

#[test]
fn one_name_for_several_platforms() {
    let mut files = Files::default();
    let platform = |architecture: &str| format!(r#""platform":{{"os":"linux","architecture":"{architecture}"}}"#);
    let (amd64, arm64) = (files.image("amd64", &["amd"]), files.image("arm64", &["arm"]));
    let (amd64, arm64) = (with(&amd64, &platform("amd64")), with(&arm64, &platform("arm64")));
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{arm64},{amd64}]}}"#);
    let index = files.blob(INDEX, index);
    for entries in
        [vec![tagged(&index, "x")], vec![tagged(&arm64, "x"), tagged(&amd64, "x")], vec![arm64.clone(), amd64.clone()]]
    {
        files.layout(&entries);
        both(&files, &|place, transport, path| {
            assert_eq!(place.layers(transport, path, ""), ["amd"]);
            let named = entries[0].contains("ref.name");
            if named {
                assert_eq!(place.layers(transport, path, ":x"), ["amd"]);
            }
        });
    }
    let other = with(&files.image("amd64", &["other"]), &platform("amd64"));
    files.layout(&[tagged(&amd64, "x"), tagged(&other, "x")]);
    both(&files, &|place, transport, path| {
        let blobs = place.open(transport, path, ":x").unwrap();
        let error = verify(&*blobs).unwrap_err().to_string();
        assert!(error.contains("several images for linux/amd64"), "{error}");
    });
}

#[test]
fn what_is_no_layout() {
    let (good, ..) = two_tags();
    let marker = |text: &str| {
        let mut files = good.clone();
        files.set("oci-layout", text);
        files
    };
    let index = |text: &str| {
        let mut files = good.clone();
        files.set("index.json", text);
        files
    };
    let mut docker = good.clone().without("oci-layout");
    docker.add("manifest.json", "[]");
    let large = " ".repeat(cvbake_verify::json::MAX_BYTES + 1);
    let table = [
        (good.clone().without("oci-layout"), "not an OCI image layout: oci-layout is missing"),
        (docker, "oci-layout is missing, but it has manifest.json as Docker archives do"),
        (good.clone().without("index.json"), "index.json is missing"),
        (marker("{}"), "oci-layout has no imageLayoutVersion"),
        (marker(r#"{"imageLayoutVersion":"2.0.0"}"#), r#"expected imageLayoutVersion "1.0.0", found "2.0.0""#),
        (marker(r#"{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}"#), "duplicate key"),
        (
            marker(r#"{"imageLayoutVersion":"1.0.0","ImageLayoutVersion":"2.0.0"}"#),
            r#"oci-layout: expected the key "imageLayoutVersion" in this spelling, found "ImageLayoutVersion""#,
        ),
        (
            index(r#"{"schemaVersion":2,"Manifests":[],"manifests":[]}"#),
            r#"index.json: expected the key "manifests" in this spelling, found "Manifests""#,
        ),
        (marker(&large), "oci-layout: larger than the 4194304 bytes"),
        (index(&large), "index.json: larger than the 4194304 bytes"),
        (index(""), "index.json: EOF"),
        (index("<html>"), "index.json: expected value"),
        (index(r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#), "duplicate key"),
        (index(r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:zz","size":1}]}"#), "entry 1: digest"),
    ];
    for (files, expected) in table {
        both(&files, &|place, transport, path| {
            let error = place.error(transport, path, ":v1");
            assert!(error.starts_with(&path.display().to_string()) && error.contains(expected), "{error}");
        });
    }
    let place = Place::new();
    let error = place.error("oci", &place.path("nowhere"), "");
    assert!(error.starts_with(&format!("cannot open {}/nowhere: No such file", place.0.path().display())), "{error}");
    let error = place.error("oci", &place.file("file", b""), "");
    assert!(error.ends_with("file: not an OCI image layout: not a directory"), "{error}");
}

#[test]
fn missing_and_wrong_blobs() {
    let (good, one, _) = two_tags();
    let name = format!("blobs/sha256/{}", &digest_of(&one)[7..]);
    both(&good.clone().without(&name), &|place, transport, path| {
        let blobs = place.open(transport, path, ":v1").unwrap();
        let error = chain(&verify(&*blobs).unwrap_err());
        let expected = format!(
            "manifest {}: cannot be read: {}: blob {} is missing",
            digest_of(&one),
            path.display(),
            digest_of(&one)
        );
        assert_eq!(error, expected);
    });
    let layer = format!("blobs/sha256/{}", Digest::sha256(b"one").hex());
    for (content, expected) in [("onE", "another digest"), ("on", "too short"), ("onee", "too long"), ("", "too short")]
    {
        let mut files = good.clone();
        files.set(&layer, content);
        both(&files, &|place, transport, path| {
            let blobs = place.open(transport, path, ":v1").unwrap();
            let image = verify(&*blobs).unwrap();
            let error = image.layers()[0].open(&*blobs).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        });
    }
}

#[test]
fn blobs_that_are_no_files() {
    let (files, one, _) = two_tags();
    let place = Place::new();
    let layout = place.path("layout");
    files.write_to(&layout);
    let blob = layout.join("blobs/sha256").join(&digest_of(&one)[7..]);
    let moved = place.path("moved");
    fs::rename(&blob, &moved).unwrap();
    let error = || {
        let blobs = place.open("oci", &layout, ":v1").unwrap();
        chain(&verify(&*blobs).unwrap_err())
    };

    // Opening it would wait for a writer that never comes.
    mknodat(CWD, &blob, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let expected = format!("{}: expected a regular file, found a named pipe", blob.display());
    assert!(error().ends_with(&expected), "{}", error());
    fs::remove_file(&blob).unwrap();

    fs::create_dir(&blob).unwrap();
    assert!(error().ends_with("expected a regular file, found a directory"), "{}", error());
    fs::remove_dir(&blob).unwrap();

    symlink("/dev/zero", &blob).unwrap();
    assert!(error().ends_with("expected a regular file, found a device"), "{}", error());
    fs::remove_file(&blob).unwrap();

    let _listener = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    symlink(place.path("socket"), &blob).unwrap();
    assert!(error().ends_with("expected a regular file, found a socket"), "{}", error());
    fs::remove_file(&blob).unwrap();

    symlink(&blob, &blob).unwrap();
    assert!(error().contains(&format!("cannot open {}", blob.display())), "{}", error());
    fs::remove_file(&blob).unwrap();

    symlink(place.path("nowhere"), &blob).unwrap();
    assert!(error().contains("is missing"), "{}", error());
    fs::remove_file(&blob).unwrap();

    symlink(&moved, &blob).unwrap();
    assert_eq!(place.layers("oci", &layout, ":v1"), ["one"]);

    fs::remove_file(layout.join("index.json")).unwrap();
    mknodat(CWD, layout.join("index.json"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(place.error("oci", &layout, ":v1").ends_with("index.json: expected a regular file, found a named pipe"));
}

#[test]
fn layers_are_read_at_the_same_time() {
    let mut files = Files::default();
    let texts: Vec<String> = (0..8).map(|number: u8| char::from(b'a' + number).to_string().repeat(100_000)).collect();
    let layers: Vec<&str> = texts.iter().map(String::as_str).collect();
    let image = files.image("amd64", &layers);
    files.layout(&[image]);
    both(&files, &|place, transport, path| {
        let blobs = place.open(transport, path, "").unwrap();
        let image = verify(&*blobs).unwrap();
        std::thread::scope(|scope| {
            for (layer, text) in image.layers().iter().zip(&texts) {
                let blobs = &*blobs;
                scope.spawn(move || {
                    let mut read = String::new();
                    layer.open(blobs).unwrap().read_to_string(&mut read).unwrap();
                    assert!(read == *text, "layer {}", layer.number());
                });
            }
        });
    });
}
