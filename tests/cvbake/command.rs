//! The command itself: help, completions, exit statuses, and what goes to which stream.

use crate::support::bake::{Bake, Place};
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
