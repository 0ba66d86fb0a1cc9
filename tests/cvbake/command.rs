//! The command itself: help, completions, exit statuses, and what goes to which stream.

use crate::support::bake::{Bake, Place, own};
use crate::support::image::Compression;
use crate::support::sample;

#[test]
fn help_and_its_like() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["bake", "--help"],
        &["bake", "-h"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
        &["man", "image", "ls"],
        &["help"],
        &["help", "image"],
        &["help", "image", "ls"],
        &["image", "help", "ls"],
    ] {
        let outcome = Bake::of(args).ok();
        assert!(outcome.stdout.len() > 10 && outcome.stderr.is_empty(), "{}", outcome.describe());
    }
    let help = Bake::of(&["bake", "--help"]).ok().stdout;
    for option in [
        "--output",
        "--force",
        "--platform",
        "--size",
        "--inodes",
        "--label",
        "--uuid",
        "--no-journal",
        "--engine",
        "--store",
        "--no-cache",
        "--jobs",
        "--dry-run",
        "--json",
        "--progress",
    ] {
        assert!(help.contains(option), "{option} is explained");
    }
}

#[test]
fn command_lines_that_make_no_sense() {
    for args in [
        &[][..],
        &["bake"],
        &["bake", "oci:x"],
        &["bake", "--no-such-option"],
        &["no-such-command"],
        &["bake", "a", "b"],
        &["man", "image", "no-such-command"],
        &["help", "no-such-command"],
    ] {
        let outcome = Bake::of(args).run();
        assert_eq!(outcome.code, Some(2), "{}", outcome.describe());
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{}", outcome.describe());
    }
}

/// Nobody gets the image that whoever has the name of their file in a registry has made.
#[test]
fn paths_are_not_names_in_registries() {
    let place = Place::with(&sample::small("content"));
    std::fs::create_dir(place.path().join("rootfs")).unwrap();
    std::fs::write(place.path().join("web.tar"), "").unwrap();
    let there = format!("cd {}", place.path().display());
    for (text, problem, hint) in [
        ("nosuch.tar", "nosuch.tar looks like a path, but there is no such file", "tar:nosuch.tar"),
        ("./nosuch", "./nosuch looks like a path, but there is no such file", "oci:./nosuch"),
        ("rootfs", "rootfs is a directory, and could be the name of an image", "oci:rootfs"),
        ("image", "image is a directory in the OCI image layout", "oci:image"),
        ("web.tar", "web.tar is a file, and could be the name of an image", "docker-archive:web.tar"),
    ] {
        for args in [
            &["bake", text, "-o", "out/x"][..],
            &["pull-and-build", text, "-o", "out/x"],
            &["pull", text],
            &["push", text, "localhost:1/x"],
            &["image", "export", text, "oci:out/x"],
            &["image", "import", text, "x"],
        ] {
            // A plain archive is a root filesystem for these two.
            if args[0] == "image" && text.ends_with(".tar") {
                continue;
            }
            let outcome = Bake::of(args).shell(&there).env("HOME", place.path().join("home")).run();
            assert!(outcome.error(&[2]).contains(problem), "{args:?}: {}", outcome.describe());
            assert!(outcome.stderr.contains(hint), "{args:?}: {}", outcome.describe());
        }
    }
}

/// A hint names no option that the command does not have.
#[test]
fn hints_are_for_the_command() {
    let place = Place::with(&sample::small("content"));
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let bake = Bake::of(&["bake", &source, "-o"]).arg(place.disk()).arg("--store").arg(&file).run();
    bake.error(&[7]);
    assert!(bake.stderr.contains("hint: --store DIR uses another directory; --no-cache bakes"), "{}", bake.describe());
    let import = Bake::of(&["image", "import", &source, "x", "--store"]).arg(&file).run();
    import.error(&[7]);
    assert!(import.stderr.ends_with("hint: --store DIR uses another directory\n"), "{}", import.describe());
}

#[test]
fn quiet_and_json() {
    let place = Place::with(&sample::small("content"));
    let outcome = place.bake().args(["--json", "--quiet"]).ok();
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&report["dry_run"], outcome.stderr.as_str()), (&false.into(), ""));
    let store = |args: &[&str]| Bake::of(&["store"]).args(args).store(&place.store()).ok();
    for args in
        [&["gc", "--json", "-q"][..], &["prune", "--json", "-q", "--keep-size", "0"], &["check", "--json", "-q"]]
    {
        let outcome = store(args);
        assert!(outcome.stdout.starts_with('{') && outcome.stderr.is_empty(), "{}", outcome.describe());
    }
}

#[test]
fn streams() {
    let place = Place::with(&sample::small("content"));
    let bake = |progress: &str| place.bake().arg("--force").progress(progress).ok();
    let none = bake("none");
    assert!(none.stderr.is_empty(), "{}", none.describe());
    let plain = bake("plain");
    assert!(
        plain.stderr.lines().all(|line| line.starts_with("cvbake: ")) && !plain.stderr.is_empty(),
        "{}",
        plain.describe()
    );
    assert!(!plain.stderr.contains('\x1b') && !plain.stderr.contains('\r'), "no drawing: {}", plain.describe());
    let auto = bake("auto");
    assert!(!auto.stderr.contains('\x1b'), "no terminal, no drawing: {}", auto.describe());
    let json = bake("json");
    for line in json.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["event"].is_string(), "{line}");
    }
    assert!(json.stderr.lines().count() > 3, "{}", json.describe());
}

/// Streams that are closed or full are no reason to panic, and none to lose a disk.
#[test]
fn streams_that_fail() {
    let place = Place::with(&sample::small("content"));
    for (redirect, codes) in
        [(">&-", &[0, 6][..]), (">/dev/full", &[0, 6]), ("2>&-", &[0]), ("2>/dev/full", &[0]), ("<&-", &[0])]
    {
        for (progress, args) in [("plain", &[][..]), ("json", &[]), ("none", &["--json"])] {
            let bake = place.bake().arg("--force").progress(progress).args::<&str>(args);
            let outcome = bake.shell(&format!("exec {redirect}")).run();
            let what = format!("{redirect} {progress} {args:?}: {}", outcome.describe());
            assert!(outcome.code.is_some_and(|code| codes.contains(&code)), "{what}");
            place.assert_no_leftovers(&["disk.ext4"]);
        }
    }
}

#[test]
fn help_that_cannot_be_written() {
    for (redirect, code) in [(">/dev/full", 6), (">/dev/null", 0)] {
        for args in [&["--help"][..], &["bake", "--help"], &["--version"]] {
            let outcome = Bake::of(args).shell(&format!("exec {redirect}")).run();
            assert_eq!(outcome.code, Some(code), "{redirect}: {}", outcome.describe());
        }
    }
}

/// The disk would replace what it is made of.
#[test]
fn the_source_is_not_the_output() {
    let place = Place::new();
    let layer = sample::layer("file f \"x\"", Compression::Gzip);
    let path = place.path().join("out/w.img");
    std::fs::write(&path, &layer.blob).unwrap();
    own(&path);
    std::os::unix::fs::symlink("w.img", place.path().join("out/link")).unwrap();
    let before = std::fs::read(&path).unwrap();
    for (source, output) in [("w.img", "w.img"), ("link", "w.img"), ("w.img", "link")] {
        let [source, output] = [source, output].map(|name| place.path().join("out").join(name));
        let bake = place.bake_source(&format!("tar:{}", source.display())).arg("--force").arg("-o").arg(&output);
        assert!(bake.run().error(&[2]).contains("is the source"));
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
