//! The other sources: an image in one archive, as different programs write it, and a plain root
//! filesystem.

use std::path::{Path, PathBuf};

use crate::support::bake::Place;
use crate::support::image::{Compression, Image, Images, docker_archive, tar_directory, write_layout};
use crate::support::tar::{Member, Tar};
use crate::support::{ext4, oracle, sample, seen};

/// The listing that the varied image has, baked from its layout.
fn expected(images: &Images) -> String {
    let place = Place::with(images);
    place.bake().ok();
    ext4::listing(&place.disk())
}

fn file(place: &Place, name: &str, bytes: &[u8]) -> PathBuf {
    let path = place.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn assert_bakes(place: &Place, source: &str, expected: &str) {
    place.bake_source(source).arg("--force").ok();
    seen::assert_same(source, &oracle::agreed_listing(&place.disk()), expected);
    place.assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn oci_archives() {
    let images = sample::varied();
    let place = Place::with(&images);
    place.bake().ok();
    let direct = ext4::bytes_of(&place.disk());
    let tar = tar_directory(&place.path().join("image"));
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        let path = file(&place, "image.tar", &compression.compress(&tar));
        for tag in ["", ":latest"] {
            let source = format!("oci-archive:{}{tag}", path.display());
            place.bake_source(&source).arg("--force").ok();
            let bytes = ext4::bytes_of(&place.disk());
            assert_eq!(bytes, direct, "{source}: the same manifest, the same bytes");
        }
    }
    place.assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn docker_archives() {
    let images = sample::varied();
    let expected = expected(&images);
    let image = &images.images[0];
    let place = Place::new();
    for (old, tags) in [(true, &["example.com/a/b:1.0"][..]), (false, &["b:latest", "c:2"]), (true, &[])] {
        let tar = docker_archive(image, tags, old);
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            let path = file(&place, "image.tar", &compression.compress(&tar));
            assert_bakes(&place, &format!("docker-archive:{}", path.display()), &expected);
        }
        let path = file(&place, "image.tar", &tar);
        for tag in tags {
            assert_bakes(&place, &format!("docker-archive:{}:{tag}", path.display()), &expected);
        }
        let wrong =
            place.bake_source(&format!("docker-archive:{}:nobody/nothing:1", path.display())).arg("--force").run();
        let line = wrong.error(&[3]);
        assert!(tags.iter().all(|tag| line.contains(tag)), "what there is: {}", wrong.describe());
    }
}

/// Equal layers are one file and symbolic links to it, in what `docker save` wrote before version
/// 25.
#[test]
fn docker_archives_with_equal_layers() {
    let layer = |text: &str| sample::layer(text, Compression::Gzip);
    let layers = vec![layer("file f \"1\""), layer("file .wh.f"), layer("file f \"1\""), layer("file g \"2\"")];
    let images = Images::of(layers);
    let expected = expected(&images);
    let place = Place::new();
    for old in [true, false] {
        let path = file(&place, "image.tar", &docker_archive(&images.images[0], &["x:1"], old));
        assert_bakes(&place, &format!("docker-archive:{}", path.display()), &expected);
    }
}

#[test]
fn docker_archives_that_lie() {
    let image = |text: &str| Image { layers: vec![sample::layer(text, Compression::Plain)], ..Image::default() };
    let good = docker_archive(&image("file f \"f\""), &["x:1"], true);
    let place = Place::new();
    // A layer of another image under the name of this one's: the config's diff_id decides.
    let other = image("file evil \"f\"").layers[0].tar.clone();
    let config = r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["DIFF"]}}"#;
    let config = config.replace("DIFF", &image("file f \"f\"").layers[0].diff_id);
    let member = |path: &str, content: &[u8]| Member::file(path.as_bytes(), content);
    let manifest = |layers: &str| format!(r#"[{{"Config":"c.json","RepoTags":["x:1"],"Layers":[{layers}]}}]"#);
    let archive = |layers: &str, extra: &[Member]| {
        let mut members =
            vec![member("c.json", config.as_bytes()), member("manifest.json", manifest(layers).as_bytes())];
        members.extend_from_slice(extra);
        Tar::of(&members).finish()
    };
    let lying: [(&str, Vec<u8>, &[i32]); 7] = [
        ("a layer of another image", archive(r#""l.tar""#, &[member("l.tar", &other)]), &[4]),
        ("a missing layer", archive(r#""l.tar""#, &[]), &[3, 4]),
        ("fewer layers than diff_ids", archive("", &[]), &[3, 4]),
        ("a layer outside", archive(r#""../../../../etc/passwd""#, &[]), &[3, 4]),
        ("a link that leads outside", archive(r#""l.tar""#, &[Member::link(b'2', b"l.tar", b"/etc/passwd")]), &[3, 4]),
        ("links in a circle", archive(r#""l.tar""#, &[Member::link(b'2', b"l.tar", b"l.tar")]), &[3, 4]),
        ("a cut archive", good[..good.len() / 2].to_vec(), &[3, 4]),
    ];
    for (what, bytes, codes) in lying {
        let path = file(&place, "image.tar", &bytes);
        let outcome = place.bake_source(&format!("docker-archive:{}", path.display())).run();
        let line = outcome.error(codes);
        assert!(line.contains("image.tar"), "{what}: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
}

#[test]
fn root_filesystems() {
    let layer =
        sample::layer("dir d mode=0711\nfile d/f rand:9999:1 own=5:6\nlink l -> d\nhard h -> d/f", Compression::Plain);
    let expected = expected(&Images::of(vec![layer.clone()]));
    let place = Place::new();
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        let path = file(&place, "root.tar", &compression.compress(&layer.tar));
        assert_bakes(&place, &format!("tar:{}", path.display()), &expected);
        place.bake_source("tar:-").stdin(path).arg("--force").ok();
        seen::assert_same("standard input", &oracle::agreed_listing(&place.disk()), &expected);
    }
    let path = file(&place, "root.tar", &layer.tar[..700]);
    for bake in [place.bake_source(&format!("tar:{}", path.display())), place.bake_source("tar:-").stdin(path.clone())]
    {
        let outcome = bake.arg("--force").run();
        outcome.error(&[4]);
    }
    place.assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn tags_and_digests_of_a_layout() {
    let images = sample::small("content");
    let expected = expected(&images);
    let place = Place::with(&images);
    let layout = place.path().join("image");
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    let at = index.find("sha256:").expect("a digest");
    let manifest = &index[at..at + 71];
    for rest in ["", ":latest", &format!("@{manifest}")] {
        assert_bakes(&place, &format!("oci:{}{rest}", layout.display()), &expected);
    }
    for (rest, says) in [(":nothing", "latest"), (&*format!("@sha256:{}", "0".repeat(64)), "000000")] {
        let outcome = place.bake_source(&format!("oci:{}{rest}", layout.display())).arg("--force").run();
        assert!(outcome.error(&[3]).contains(says), "{}", outcome.describe());
    }
}

#[test]
fn several_images_in_one_layout() {
    let place = Place::with(&sample::small("one"));
    let layout = place.path().join("image");
    let one = std::fs::read_to_string(layout.join("index.json")).unwrap();
    write_layout(&sample::small("two"), &layout);
    let two = std::fs::read_to_string(layout.join("index.json")).unwrap().replace(r#":"latest""#, r#":"other""#);
    let (head, _) = two.split_once("\"manifests\":[").expect("an index");
    let entries = |index: &str| index.split_once("\"manifests\":[").unwrap().1.strip_suffix("]}").unwrap().to_owned();
    let both = format!("{head}\"manifests\":[{},{}]}}", entries(&one), entries(&two));
    std::fs::write(layout.join("index.json"), both).unwrap();
    for (tag, content) in [("latest", "one"), ("other", "two")] {
        let expected = expected(&sample::small(content));
        assert_bakes(&place, &format!("oci:{}:{tag}", layout.display()), &expected);
    }
    let outcome = place.bake_source(&format!("oci:{}", layout.display())).arg("--force").run();
    let line = outcome.error(&[2, 3]);
    assert!(line.contains("latest") && line.contains("other"), "which: {}", outcome.describe());
}

#[test]
fn sources_that_are_none() {
    let place = Place::new();
    let there = Path::new("/dev/null");
    let sources = [
        "oci:/nothing/there:latest".to_owned(),
        "oci-archive:/nothing/there".to_owned(),
        "docker-archive:/nothing/there".to_owned(),
        "tar:/nothing/there".to_owned(),
        format!("oci:{}", there.display()),
        format!("docker-archive:{}", there.display()),
        format!("tar:{}", place.path().display()),
        "oci:".to_owned(),
        "".to_owned(),
    ];
    for source in sources {
        let outcome = place.bake_source(&source).run();
        outcome.error(&[2, 3, 4]);
        place.assert_no_leftovers(&[]);
    }
}
