//! What is particular to archives: `oci-archive:`, `docker-archive:` and `tar:`.

use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tar::EntryType;

use super::*;

/// The archive of an image with `manifest.json`.
fn docker(items: &[(&str, &[&str], &[&str])]) -> Files {
    let mut files = Files::default();
    let list = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    let item = |(config, tags, layers): &(&str, &[&str], &[&str])| {
        format!(
            r#"{{"Config":"{config}","RepoTags":[{}],"Layers":[{}],"LayerSources":null}}"#,
            list(tags),
            list(layers)
        )
    };
    files.add("manifest.json", format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(",")));
    files
}

/// An archive of one image of two layers.
fn simple() -> Files {
    let mut files = docker(&[("config.json", &["x:1"], &["a/layer.tar", "b/layer.tar"])]);
    files.add("config.json", config("amd64", &["one", "two"]));
    files.add("a/layer.tar", "one");
    files.add("b/layer.tar", "two");
    files
}

/// A `manifest.json` of images with so many names.
fn tagged_items(counts: &[usize]) -> String {
    let item = |count: &usize| format!(r#"{{"Config":"c","RepoTags":[{}]}}"#, vec!["\"x:1\""; *count].join(","));
    format!("[{}]", counts.iter().map(item).collect::<Vec<_>>().join(","))
}

fn leftovers(place: &Place) -> usize {
    fs::read_dir(place.scratch()).unwrap().count()
}

/// A megabyte of archive may say anything of gigabytes of zeros.
#[test]
fn zeros_of_compressed_archives_take_no_room() {
    const ZEROS: usize = 256 << 20;
    let mut tar = simple().tar();
    tar.resize(tar.len() + ZEROS, 0);
    let place = Place::new();
    let (path, len) = (place.file("zeros", &zstd::encode_all(&tar[..], 1).unwrap()), tar.len() as u64);
    let file = File::open(path).unwrap();
    let plain = crate::archive::decompress(file, "zeros", &place.scratch()).unwrap().metadata().unwrap();
    assert_eq!(plain.len(), len);
    assert!(plain.blocks() * 512 < 16 << 20, "{} blocks", plain.blocks());
}

#[test]
fn compressed_archives() {
    let mut oci = Files::default();
    let image = oci.image("amd64", &["one"]);
    oci.layout(&[image]);
    let place = Place::new();
    for (transport, tar) in [("oci-archive", oci.tar()), ("docker-archive", simple().tar())] {
        let plain = place.layers(transport, &place.file("plain", &tar), "");
        assert_eq!(plain[0], "one");
        let gzipped = gzip(&tar);
        for (name, bytes) in [("gzip", gzipped.clone()), ("zstd", zstd::encode_all(&tar[..], 1).unwrap())] {
            assert_eq!(place.layers(transport, &place.file(name, &bytes), ""), plain, "{name}");
        }
        let truncated = place.file("truncated", &gzipped[..gzipped.len() - 5]);
        let error = place.error(transport, &truncated, "");
        assert!(error.contains("cannot read") && error.contains("truncated"), "{error}");
    }
    assert_eq!(leftovers(&place), 0);
}

#[test]
fn archives_through_a_pipe() {
    let place = Place::new();
    let path = place.path("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let writer = path.clone();
    let writer = thread::spawn(move || fs::write(writer, simple().tar()).unwrap());
    assert_eq!(place.layers("docker-archive", &path, ""), ["one", "two"]);
    writer.join().unwrap();
}

#[test]
fn what_is_no_archive() {
    let place = Place::new();
    for transport in ["oci-archive", "docker-archive"] {
        let error = place.error(transport, &place.path("nowhere"), "");
        assert!(error.starts_with("cannot open") && error.contains("nowhere: No such file"), "{error}");
        let error = place.error(transport, &place.scratch(), "");
        assert!(error.ends_with("scratch: expected a file, found a directory"), "{error}");
        let error = place.error(transport, &place.file("text", &b"just some text ".repeat(100)), "");
        assert!(error.starts_with(&place.path("text").display().to_string()), "{error}");
        let error = place.error(transport, &place.file("empty", b""), "");
        assert!(error.ends_with("empty: is empty, expected a tar archive"), "{error}");
        let tar = simple().tar();
        let error = place.error(transport, &place.file("cut", &tar[..tar.len() - 1024 - 512]), "");
        assert!(error.contains("truncated"), "{error}");
    }
    let mut oci = Files::default();
    oci.layout(&[]);
    let error = place.error("docker-archive", &place.file("oci", &oci.tar()), "");
    assert!(error.ends_with("manifest.json is missing, but it has oci-layout as OCI archives do"), "{error}");
    let missing = place.path("no-scratch");
    let source: Source = format!("oci-archive:{}", place.file("x.gz", &gzip(&oci.tar())).display()).parse().unwrap();
    let error = chain(&crate::open(&source, &missing, io::empty()).err().unwrap());
    assert!(
        error.starts_with(&format!("cannot write a temporary file in {}: No such file", missing.display())),
        "{error}"
    );
}

#[test]
fn repeated_files() {
    let place = Place::new();
    let mut oci = Files::default();
    let image = oci.image("amd64", &["one"]);
    oci.layout(&[image]);
    // A blob is held to its digest, whichever of them it is.
    let blobs = oci.0.clone();
    oci.0.extend(blobs.into_iter().filter(|file| file.0.starts_with("blobs/")));
    assert_eq!(place.layers("oci-archive", &place.file("blobs", &oci.tar()), ""), ["one"]);
    for name in ["oci-layout", "index.json"] {
        let mut twice = oci.clone();
        let content = twice.0.iter().find(|file| file.0 == name).unwrap().1.clone();
        twice.add(format!("./{name}"), content);
        let error = place.error("oci-archive", &place.file("twice", &twice.tar()), "");
        assert!(error.ends_with(&format!("{name:?} in the archive is there more than once")), "{error}");
    }
    for name in ["manifest.json", "config.json"] {
        let mut twice = simple();
        twice.add(name, "[]");
        let error = place.error("docker-archive", &place.file("twice", &twice.tar()), "");
        assert!(error.ends_with("is there more than once"), "{error}");
    }
    // So is what a link leads to, and a directory in a file's way.
    let links = |members: &[(&str, &str)]| {
        let mut builder = tar::Builder::new(Vec::new());
        append_link(&mut builder, EntryType::Symlink, "manifest.json", "./real.json");
        append_link(&mut builder, EntryType::Symlink, "real.json", "m/manifest.json");
        for (name, content) in members {
            append(&mut builder, name, content.as_bytes());
        }
        for (name, content) in simple().without("manifest.json").0 {
            append(&mut builder, &name, &content);
        }
        builder.into_inner().unwrap()
    };
    let manifest = String::from_utf8(simple().0[0].1.clone()).unwrap();
    let once = links(&[("m/manifest.json", &manifest)]);
    assert_eq!(place.layers("docker-archive", &place.file("once", &once), ""), ["one", "two"]);
    let twice = links(&[("m/manifest.json", "[]"), ("m/manifest.json", &manifest)]);
    let error = place.error("docker-archive", &place.file("twice", &twice), "");
    assert!(error.ends_with("\"m/manifest.json\" in the archive is there more than once"), "{error}");
    for directory_first in [true, false] {
        let mut builder = tar::Builder::new(Vec::new());
        let directory = |builder: &mut _| append_link(builder, EntryType::Directory, "manifest.json/", "");
        if directory_first {
            directory(&mut builder);
        }
        simple().0.iter().for_each(|(name, content)| append(&mut builder, name, content));
        if !directory_first {
            directory(&mut builder);
            // Those on the way to files are often there several times.
            (0..3).for_each(|_| append_link(&mut builder, EntryType::Directory, "a/", ""));
        }
        let error = place.error("docker-archive", &place.file("dir", &builder.into_inner().unwrap()), "");
        assert!(error.ends_with("\"manifest.json\" in the archive is there more than once"), "{error}");
    }
    // For a layer, the last one counts.
    let mut twice = simple();
    twice.add("a/layer.tar", "another");
    assert_eq!(place.layers("docker-archive", &place.file("twice", &twice.tar()), "")[0], "another");
}

#[test]
fn names_have_a_largest_length_together() {
    use crate::archive::{MAX_NAME, MAX_NAMES_BYTES};
    let place = Place::new();
    // The parent is a part of where a link leads to.
    let (parent, target) = ("p/".repeat(100), "t/".repeat(MAX_NAME / 2));
    let count = |more: usize| MAX_NAMES_BYTES / (206 + 200 + MAX_NAME - 1) + more;
    let build = |links: usize| {
        let mut builder = tar::Builder::new(Vec::new());
        for number in 0..links {
            append_link(&mut builder, EntryType::Symlink, &format!("{parent}{number:06}"), &target);
        }
        place.file("x.tar", &builder.into_inner().unwrap())
    };
    let error = place.error("docker-archive", &build(count(1)), "");
    assert!(error.ends_with("more than 33554432 bytes of names in the archive"), "{error}");
    let error = place.error("docker-archive", &build(count(0) - 100), "");
    assert!(error.ends_with("manifest.json is missing"), "{error}");
    // Those of one name are kept once.
    let mut builder = tar::Builder::new(Vec::new());
    for _ in 0..count(1) {
        append_link(&mut builder, EntryType::Symlink, &format!("{parent}000000"), &target);
    }
    let error = place.error("docker-archive", &place.file("x.tar", &builder.into_inner().unwrap()), "");
    assert!(error.ends_with("manifest.json is missing"), "{error}");
}

#[test]
fn docker_names_select() {
    let mut files = docker(&[
        ("one.json", &["alpine:latest", "ghcr.io/a/b:c"], &["one"]),
        ("two.json", &["docker.io/library/alpine:3"], &["two"]),
        ("three.json", &[], &[]),
    ]);
    files.add("one.json", config("amd64", &["one"]));
    files.add("two.json", config("amd64", &["two"]));
    files.add("three.json", config("amd64", &[]));
    files.add("one", "one");
    files.add("two", "two");
    let place = Place::new();
    let path = place.file("x.tar", &files.tar());
    let table = [
        (":alpine", "one"),
        (":docker.io/library/alpine", "one"),
        (":ghcr.io/a/b:c", "one"),
        (":@0", "one"),
        (":alpine:3", "two"),
        (":library/alpine:3", "two"),
        (":@1", "two"),
    ];
    for (suffix, expected) in table {
        assert_eq!(place.layers("docker-archive", &path, suffix), [expected], "{suffix}");
    }
    assert!(place.layers("docker-archive", &path, ":@2").is_empty());
    let available = "alpine:latest, ghcr.io/a/b:c, docker.io/library/alpine:3, @2";
    for (suffix, expected) in [
        (":alpine:4", "no image \"docker.io/library/alpine:4\"; available: "),
        (":@3", "no image \"@3\"; available: "),
        ("", "contains several images; expected the name of one of them: "),
    ] {
        let error = place.error("docker-archive", &path, suffix);
        assert!(error.ends_with(&format!("{expected}{available}")), "{error}");
    }
    let same = docker(&[("a", &["x:1"], &[]), ("b", &["x:1"], &[])]);
    let error = place.error("docker-archive", &place.file("same", &same.tar()), ":x:1");
    assert!(error.ends_with("contains several images; expected the name of one of them: @0, @1"), "{error}");
    let error = place.error("docker-archive", &place.file("none", &docker(&[]).tar()), "");
    assert!(error.ends_with("contains no image"), "{error}");
}

#[test]
fn docker_layers_may_be_links() {
    let manifest = simple();
    let place = Place::new();
    let build = |links: &[(EntryType, &str, &str)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, target) in links {
            append_link(&mut builder, *kind, name, target);
        }
        append(&mut builder, "manifest.json", &manifest.0[0].1);
        append(&mut builder, "config.json", config("amd64", &["same", "same"]).as_bytes());
        append(&mut builder, "real.tar", b"same");
        builder.into_inner().unwrap()
    };
    use EntryType::{Link, Symlink};
    let good: [&[_]; 4] = [
        &[(Symlink, "a/layer.tar", "../real.tar"), (Symlink, "b/layer.tar", "../a/layer.tar")],
        &[(Link, "a/layer.tar", "real.tar"), (Link, "b/layer.tar", "./real.tar")],
        &[(Symlink, "a/layer.tar", "/real.tar"), (Symlink, "b/layer.tar", "./../b/../real.tar")],
        &[(Symlink, "b/layer.tar", "../real.tar"), (Link, "a/layer.tar", "b/layer.tar")],
    ];
    for links in good {
        assert_eq!(place.layers("docker-archive", &place.file("x.tar", &build(links)), ""), ["same", "same"]);
    }
    let fine = (Symlink, "b/layer.tar", "../real.tar");
    let bad = [
        ((Symlink, "a/layer.tar", "../../etc/passwd"), "\"a/layer.tar\" in the archive is a link out of the archive"),
        (
            (Symlink, "a/layer.tar", "layer.tar"),
            "\"a/layer.tar\" in the archive is a link with too many others behind it",
        ),
        ((Symlink, "a/layer.tar", "/etc/passwd"), "no file \"a/layer.tar\" in the archive"),
        ((EntryType::Fifo, "a/layer.tar", ""), "\"a/layer.tar\" in the archive is a named pipe"),
        ((EntryType::Char, "a/layer.tar", ""), "\"a/layer.tar\" in the archive is a device"),
        ((EntryType::Directory, "a/layer.tar", ""), "no file \"a/layer.tar\" in the archive"),
    ];
    for (link, expected) in bad {
        let tar = build(&[link, fine]);
        let error = place.error("docker-archive", &place.file("x.tar", &tar), "");
        assert!(error.ends_with(expected), "{error}");
    }
    let out = String::from_utf8(manifest.0[0].1.clone()).unwrap().replace("a/layer.tar", "../x");
    let mut files = simple();
    files.set("manifest.json", out);
    let error = place.error("docker-archive", &place.file("x.tar", &files.tar()), "");
    assert!(error.ends_with("\"../x\" in the archive is a path out of the archive"), "{error}");
}

#[test]
fn docker_names_that_claim_a_digest() {
    let place = Place::new();
    let config = config("amd64", &["one"]);
    let hex = |text: &str| Digest::sha256(text.as_bytes()).hex();
    let good = [
        (format!("{}.json", hex(&config)), "layer".to_owned()),
        (format!("blobs/sha256/{}", hex(&config)), format!("blobs/sha256/{}", hex("one"))),
        ("some.json".to_owned(), "0123.tar".to_owned()),
    ];
    let build = |names: &(String, String), layer: &str| {
        let mut files = docker(&[(&names.0, &[], &[&names.1])]);
        files.add(&names.0, &config);
        files.add(&names.1, layer);
        place.file("x.tar", &files.tar())
    };
    for names in &good {
        let path = build(names, "one");
        assert_eq!(place.layers("docker-archive", &path, ""), ["one"]);
        let blobs = place.open("docker-archive", &path, "").unwrap();
        let digest = verify(&*blobs).unwrap().identity().digest();
        assert_eq!(digest, Some(Digest::sha256(config.as_bytes())));
    }
    for name in [format!("{}.json", hex("x")), format!("blobs/sha256/{}", hex("x"))] {
        let blobs = place.open("docker-archive", &build(&(name, "layer".to_owned()), "one"), "").unwrap();
        let error = verify(&*blobs).unwrap_err().to_string();
        assert!(error.contains("has another digest"), "{error}");
    }
    let blobs = place.open("docker-archive", &build(&good[1], "onE"), "").unwrap();
    let image = verify(&*blobs).unwrap();
    let error = image.layers()[0].open(&*blobs).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("has another digest"), "{error}");
}

#[test]
fn wrong_docker_archives() {
    let place = Place::new();
    let manifest = |text: &str| {
        let mut files = simple();
        files.set("manifest.json", text);
        files
    };
    let table = [
        (simple().without("config.json"), "no file \"config.json\" in the archive"),
        (simple().without("b/layer.tar"), "no file \"b/layer.tar\" in the archive"),
        (manifest("{}"), "manifest.json: invalid type"),
        (manifest("[[]]"), "expected an object"),
        (manifest("[{}]"), "manifest.json: missing field `Config`"),
        (manifest(r#"[{"Config":"a","Config":"b"}]"#), "duplicate key \"Config\""),
        (manifest(r#"[{"Config":"a","config":"b"}]"#), r#"expected the key "Config" in this spelling, found "config""#),
        (manifest(r#"[{"Config":"a","layers":[]}]"#), r#"expected the key "Layers" in this spelling, found "layers""#),
        (manifest(r#"[{"Config":"a","RepoTagſ":[]}]"#), r#"expected the key "RepoTags" in this spelling"#),
        (manifest(&tagged_items(&[1000, 1])), "manifest.json: more than 1000 RepoTags"),
        (manifest(&tagged_items(&[1001])), "manifest.json: more than 1000 RepoTags"),
        (manifest(&tagged_items(&[500, 500])), "contains several images"),
        (manifest(&tagged_items(&[0; 10_001])), "manifest.json: more than 10000 images"),
        (manifest(&" ".repeat(cvbake_verify::json::MAX_BYTES + 1)), "manifest.json: larger than"),
    ];
    for (files, expected) in table {
        let error = place.error("docker-archive", &place.file("x.tar", &files.tar()), "");
        assert!(error.contains("x.tar: ") && error.contains(expected), "{error}");
    }
    let mut files = simple();
    files.set("config.json", config("amd64", &["one"]));
    let blobs = place.open("docker-archive", &place.file("x.tar", &files.tar()), "").unwrap();
    assert!(verify(&*blobs).unwrap_err().to_string().contains("2 layers, but config"));
    let descriptor = Descriptor { media_type: CONFIG.to_owned(), digest: Digest::sha256(b""), size: 0 };
    assert!(blobs.open(&descriptor).is_err());
}

#[test]
fn plain_tars() {
    let place = Place::new();
    let path = place.file("root:fs.tar", b"the tar");
    let blobs = place.open("tar", &path, "").unwrap();
    let image = verify(&*blobs).unwrap();
    assert_eq!(image.layers_len_bytes(), Some(7));
    for _ in 0..2 {
        assert_eq!(contents(&image, &*blobs), ["the tar"]);
    }
    // Somebody cuts the file short.
    fs::write(&path, b"the").unwrap();
    let error = image.layers()[0].open(&*blobs).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(chain(&error).starts_with(&format!("cannot read {}", path.display())), "{error}");

    let error = place.error("tar", &place.scratch(), "");
    assert!(error.ends_with("expected a file, found a directory"), "{error}");
    assert!(place.error("tar", &place.path("nowhere"), "").starts_with("cannot open"));
}

#[test]
fn plain_tars_that_come_once() {
    let place = Place::new();
    let stdin = crate::open(&"tar:-".parse().unwrap(), &place.scratch(), &b"from stdin"[..]).unwrap();
    let path = place.path("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let writer = path.clone();
    let writer = thread::spawn(move || fs::write(writer, "from pipe").unwrap());
    let pipe = place.open("tar", &path, "").unwrap();
    for (blobs, content, name) in [(stdin, "from stdin", "standard input"), (pipe, "from pipe", path.to_str().unwrap())]
    {
        let image = verify(&*blobs).unwrap();
        assert_eq!((image.layers_len_bytes(), contents(&image, &*blobs)), (None, vec![content.to_owned()]));
        let error = chain(&image.layers()[0].open(&*blobs).err().unwrap());
        assert!(error.contains(&format!("{name}: has been read already")), "{error}");
    }
    writer.join().unwrap();

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let blobs = crate::open(&"tar:-".parse().unwrap(), &place.scratch(), Broken).unwrap();
    let error = verify(&*blobs).unwrap().layers()[0].open(&*blobs).unwrap().read(&mut [0]).unwrap_err();
    assert_eq!(chain(&error), "cannot read standard input: broken");
}
