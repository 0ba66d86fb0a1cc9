//! Slips of whoever types: the answer says what was expected, and nothing is done meanwhile.

use std::fs;

use crate::image_store::{file, layout};
use crate::images::image;
use crate::support::bake::{Bake, Place, names};
use crate::support::image::Compression;
use crate::support::sample::{layer, small};

/// An empty store and one that is not there would look the same.
#[test]
fn a_store_that_is_named_and_not_there() {
    let place = Place::new();
    let nowhere = place.path().join("nowhere");
    let said = format!("there is no store at {}", nowhere.display());
    let run = |args: &[&str]| Bake::of(args).env("HOME", place.path().join("home"));
    for args in [&["ls"][..], &["tag", "a", "b"], &["rm", "a"], &["inspect", "a"], &["history", "a"]] {
        let outcome = run(&[&["image"], args].concat()).env("CVBAKE_STORE", &nowhere).run();
        assert_eq!(
            outcome.warnings().iter().filter(|warning| warning.contains(&said)).count(),
            1,
            "{}",
            outcome.describe()
        );
        assert_eq!(outcome.code, Some(if args == ["ls"] { 0 } else { 3 }), "{}", outcome.describe());
    }
    // A push looks for the image there, and makes no store for that.
    let outcome = run(&["push", "a", "localhost:1/a"]).env("CVBAKE_STORE", &nowhere).run();
    assert!(outcome.warnings()[0].contains(&said) && outcome.code == Some(3), "{}", outcome.describe());
    let by_argument = run(&["image", "ls", "--store"]).arg(&nowhere).ok();
    assert!(by_argument.warnings()[0].contains(&said), "{}", by_argument.describe());
    // Nobody has named the usual one, which comes with the first image.
    assert!(run(&["image", "ls"]).ok().warnings().is_empty());
    assert!(!nowhere.exists());
}

#[test]
fn neither_store_nor_registry() {
    let place = Place::new();
    for source in ["alpine", "docker://alpine", "sha256:1234"] {
        let outcome = place.bake_source(source).no_cache().args(["--pull", "never"]).run();
        let line = outcome.error(&[2]);
        assert!(line.contains("there is nowhere to take the image from"), "{line}");
        assert!(outcome.stderr.contains("hint: leave out --no-cache"), "{}", outcome.describe());
    }
}

/// Nothing is written under a name that promises something else.
#[test]
fn endings_of_what_is_not_written() {
    let place = Place::with(&small("x"));
    let out = place.path().join("out");
    let kept = file(&place, "out/x.tar.xz", b"kept");
    for target in ["tar:{}/f.tar.xz", "docker-archive:{}/f.tar.bz2", "oci-archive:{}/f.zip"] {
        let target = target.replace("{}", &out.display().to_string());
        let outcome = image(&place, &["export", &layout(&place), &target]).run();
        assert!(outcome.error(&[2]).contains("expected a name that ends in .tar, .tar.gz"), "{}", outcome.describe());
    }
    let outcome = Bake::of(&["bake", &layout(&place), "--force", "-o"]).arg(&kept).run();
    assert!(outcome.error(&[2]).contains("a disk is neither an archive nor compressed"), "{}", outcome.describe());
    assert_eq!(names(&out), ["x.tar.xz"]);
    assert_eq!(fs::read(&kept).unwrap(), b"kept");
    let target = format!("tar:{}/f.tar.xz", out.display());
    image(&place, &["export", "--compress", "none", &layout(&place), &target]).ok();
}

/// What is created first has a name that nobody has given.
#[test]
fn outputs_that_cannot_be_created() {
    let place = Place::with(&small("x"));
    let outcome = Bake::of(&["bake", &layout(&place), "-o", "/proc/disk.ext4"]).no_cache().run();
    assert!(outcome.error(&[6]).contains("cannot create /proc/disk.ext4: "), "{}", outcome.describe());
}

/// Each source with what is wrong, and what can be done about it.
#[test]
fn sources_that_are_none() {
    let place = Place::new();
    let root = layer("file f \"x\"", Compression::Plain).tar;
    file(&place, "root.tar", &root);
    file(&place, "cut.tar", &root[..700]);
    file(&place, "cut.tar.gz", &Compression::Gzip.compress(&root)[..40]);
    file(&place, "empty", b"");
    fs::create_dir(place.path().join("dir")).unwrap();
    let dir = place.path().display().to_string();
    for (source, line, hint) in [
        ("-", "- is not an image source: expected tar:-", "only tar: reads standard input: tar:-"),
        ("docker-archive:-", "cannot open -", "only tar: reads standard input: tar:-"),
        ("docker:localhost:5000/x", "is not an image source", "write docker://localhost:5000/x"),
        ("tar:{}/nofile", "cannot open {}/nofile", "check the path in tar:{}/nofile"),
        ("oci:{}/nodir", "cannot open {}/nodir", "check the path in oci:{}/nodir"),
        ("oci:{}/dir", "oci-layout is missing", "`tar -C {}/dir -cf rootfs.tar .`"),
        ("{}/nosuch.tar", "no such file or directory", "check the path, and write tar:{}/nosuch.tar"),
        ("tar:{}/empty", "is empty, expected a tar archive", "write it again"),
        ("docker-archive:{}/empty", "is empty, expected a tar archive", "write it again"),
        ("oci-archive:{}/empty", "is empty, expected a tar archive", "write it again"),
        (
            "docker-archive:{}/root.tar",
            "manifest.json is missing",
            "if it is a root filesystem, write tar:{}/root.tar\n",
        ),
        ("oci-archive:{}/root.tar", "oci-layout is missing", "if it is a root filesystem, write tar:{}/root.tar\n"),
        ("tar:{}/cut.tar", "truncated", "the file ends too early"),
        ("oci-archive:{}/cut.tar", "truncated", "the file ends too early"),
        ("tar:{}/cut.tar.gz", "truncated", "the file ends too early"),
        ("docker-archive:{}/cut.tar.gz", "truncated", "the file ends too early"),
    ] {
        let [source, line, hint] = [source, line, hint].map(|text| text.replace("{}", &dir));
        let outcome = place.bake_source(&source).run();
        assert!(outcome.error(&[2, 3, 4]).contains(&line), "{}", outcome.describe());
        assert!(outcome.stderr.contains(&hint), "{hint:?}: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
}

#[test]
fn formats_of_lists() {
    let place = Place::with(&small("x"));
    image(&place, &["import", &layout(&place), "team/app:v1"]).ok();
    let list = |format: &str| image(&place, &["ls", "--format", format]).ok().stdout;
    assert_eq!(list(r"table {{.Repository}}\t{{.Tag}}"), "REPOSITORY          TAG\ndocker.io/team/app  v1\n");
    assert_eq!(list("table"), image(&place, &["ls"]).ok().stdout);
    let inspected = image(&place, &["inspect", "team/app:v1"]).ok().stdout;
    assert_eq!(image(&place, &["inspect", "--json", "team/app:v1"]).ok().stdout, inspected);
}

#[test]
fn switches_in_variables() {
    let place = Place::with(&small("x"));
    let outcome = place.bake().env("CVBAKE_NO_JOURNAL", "maybe").run();
    let line = outcome.error(&[2]);
    assert!(line.contains("'--no-journal': expected true or false (set by the variable CVBAKE_NO_JOURNAL)"), "{line}");
    place.bake().env("CVBAKE_NO_JOURNAL", "Yes").ok();
}

/// Images where disks are meant, disks where the host is, and files that are not there.
#[test]
fn one_thing_for_another() {
    let place = Place::with(&small("x"));
    let disk = place.disk();
    place.bake().ok();
    let at = |text: &str| text.replace("{}", &disk.display().to_string());
    for (args, error, hint) in [
        (&["inspect", "oci:img"][..], "oci:img: expected a disk, found the name of an image", "--against oci:img"),
        (
            &["verify", "oci:img", "--against", "{}"],
            "expected a disk, found the name of an image",
            "`cvbake tree oci:img`",
        ),
        (&["diff", "{}", "oci:img"], "oci:img: expected a disk", "`cvbake verify DISK --against oci:img`"),
        (&["disk", "ls", "oci:img:/etc"], "expected a disk, found the name of an image", "cvbake tree"),
        (
            &["disk", "cp", "{}:/f", "{}:/g"],
            "expected a place on the host, found one on a disk",
            "put the files into a layer",
        ),
        (&["disk", "cp", "{}:/", "{}.no/way/down"], "cannot write", "make the directory first"),
        (
            &["bake", "oci:img", "-o", "{}.x.vhdx", "--target", "firecracker"],
            "expected raw, found vhdx",
            "name the disk disk.ext4, or leave out --format",
        ),
        (
            &["bake", "oci:img", "-o", "{}.x", "--boot", "uefi", "--kernel", "boot/vmlinuz"],
            "--kernel boot/vmlinuz: there is no such file",
            "docker://boot/vmlinuz is an image",
        ),
    ] {
        let args: Vec<String> = args.iter().map(|text| at(text)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let outcome = Bake::of(&args).run();
        let said = format!("{}{}", outcome.stderr, outcome.stdout);
        assert!(said.contains(error) && said.contains(hint) && outcome.code != Some(0), "{}", outcome.describe());
    }
}
