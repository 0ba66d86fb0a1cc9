//! Every fixture below `fixtures/cases`: the tree on the disk, or the error.

use std::path::{Path, PathBuf};

use crate::support::bake::{Bake, Place};
use crate::support::case::{Case, Expected, Failure};
use crate::support::run::Outcome;
use crate::support::{expected, oracle, seen};

/// The groups of fixtures: the first word of their names. One test each, so that they run beside
/// one another.
macro_rules! groups {
    ($($group:ident)*) => {
        const GROUPS: &[&str] = &[$(stringify!($group)),*];
        $(#[test] fn $group() { run_group(stringify!($group)); })*
    };
}

groups! { acl compression devices directories duplicates hardlinks hostile limits manifest names numbers parents pax
sparse symlinks tar times types whiteouts xattrs }

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases")
}

pub(crate) fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures are there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    files.sort();
    files
}

pub(crate) fn group_of(file: &Path) -> String {
    let name = file.file_stem().expect("a file name").to_string_lossy().into_owned();
    name.split('-').next().expect("a name").to_owned()
}

#[test]
fn every_fixture_is_in_a_group() {
    let files = files();
    assert!(files.len() > 150, "{} fixtures", files.len());
    for file in files {
        assert!(file.extension().is_some_and(|ending| ending == "case"), "{}", file.display());
        assert!(GROUPS.contains(&group_of(&file).as_str()), "{} belongs to no test", file.display());
        Case::read(&file);
    }
}

fn run_group(group: &str) {
    let files: Vec<_> = files().into_iter().filter(|file| group_of(file) == group).collect();
    assert!(!files.is_empty(), "no fixtures for {group}");
    let only = std::env::var("CASE").unwrap_or_default();
    let mut failures = Vec::new();
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&only)) {
        // All fixtures of a group run, whatever the others do.
        if let Err(panic) = std::panic::catch_unwind(|| run(&Case::read(file))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            failures.push(format!("== {}\n{}", file.display(), text.unwrap_or_default()));
        }
    }
    assert!(failures.is_empty(), "{} of {} fixtures:\n{}", failures.len(), files.len(), failures.join("\n"));
}

/// The bake of a fixture, as the fixture wants it.
pub(crate) fn bake(case: &Case, place: &Place) -> Bake {
    let mut bake = place.bake().args(&case.args);
    if let Some(platform) = &case.platform {
        bake = bake.platform(platform);
    }
    for (name, value) in &case.env {
        bake = bake.env(name, value);
    }
    bake
}

fn run(case: &Case) {
    let place = Place::with(&case.images);
    let outcome = bake(case, &place).run();
    let warnings = outcome.warnings();
    for text in &case.warnings {
        assert!(warnings.iter().any(|line| line.contains(text)), "no warning of {text}: {}", outcome.describe());
    }
    if case.warnings.is_empty() {
        assert!(warnings.is_empty(), "warnings: {}", outcome.describe());
    }
    match &case.expected {
        Expected::Tree(lines) => {
            assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
            place.assert_no_leftovers(&["disk.ext4"]);
            seen::assert_same(&case.name, &oracle::agreed_listing(&place.disk()), &expected::listing(lines));
            verify(case, &place);
        }
        Expected::Error(failure) => {
            check_error(failure, &outcome, &place);
            place.assert_no_leftovers(&[]);
        }
    }
}

/// The disk is what the image bakes to, as cvbake itself sees it.
fn verify(case: &Case, place: &Place) {
    let mut verify = place.verify(&place.disk());
    if let Some(platform) = &case.platform {
        verify = verify.platform(platform);
    }
    for (name, value) in case.env.iter().filter(|(name, _)| *name == "SOURCE_DATE_EPOCH") {
        verify = verify.env(name, value);
    }
    let outcome = verify.run();
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
}

fn check_error(failure: &Failure, outcome: &Outcome, place: &Place) {
    /// The exit status of an image that is not as it should be.
    const IMAGE: &[i32] = &[4];
    let line = outcome.error(if failure.codes.is_empty() { IMAGE } else { &failure.codes });
    let has = |text: &str| line.to_lowercase().contains(&text.to_lowercase());
    let image = place.path().join("image").display().to_string();
    assert!(has(&image), "the error names the image {image}: {}", outcome.describe());
    if let Some(layer) = failure.layer {
        assert!(has(&format!("layer {layer}")), "the error names layer {layer}: {}", outcome.describe());
    }
    if let Some(entry) = &failure.entry {
        // Names are shown escaped, one way or another; fixtures whose name needs it give the part
        // that does not.
        let entry = String::from_utf8_lossy(entry);
        assert!(has(&entry), "the error names the entry {entry}: {}", outcome.describe());
    }
    for alternatives in &failure.says {
        assert!(alternatives.iter().any(|text| has(text)), "the error says {alternatives:?}: {}", outcome.describe());
    }
}
