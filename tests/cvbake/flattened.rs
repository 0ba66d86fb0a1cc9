//! Every fixture whose image is well formed, flattened into a tar: baked again, it has the same
//! files with the same attributes.

use crate::cases::files;
use crate::images::{image, source};
use crate::support::bake::Place;
use crate::support::case::{Case, Expected};
use crate::support::{expected, ext4, seen};

/// So many tests share the fixtures, so that they run beside one another.
const PARTS: usize = 4;

fn run_part(part: usize) {
    let mut failures = Vec::new();
    let mut count = 0;
    for file in files().iter().skip(part).step_by(PARTS) {
        let case = Case::read(file);
        if let Expected::Tree(lines) = &case.expected {
            count += 1;
            let flattened = || {
                let found = flatten_and_bake(&case);
                seen::assert_same(&case.name, &found, &expected::listing(lines));
            };
            // All fixtures run, whatever the others do.
            if let Err(panic) = std::panic::catch_unwind(flattened) {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                failures.push(format!("== {}\n{text}", file.display()));
            }
        }
    }
    assert!(count > 20, "{count} fixtures");
    assert!(failures.is_empty(), "{} of {count} fixtures:\n{}", failures.len(), failures.join("\n"));
}

fn flatten_and_bake(case: &Case) -> String {
    let place = Place::with(&case.images);
    let tar = place.path().join("out/root.tar").display().to_string();
    let platform = case.platform.as_deref().unwrap_or("linux/amd64");
    let mut export = image(&place, &["export", &source(&place), &tar, "--platform", platform]);
    let mut bake = place.bake_source(&format!("tar:{tar}")).args(&case.args);
    for (name, value) in &case.env {
        (export, bake) = (export.env(name, value), bake.env(name, value));
    }
    export.ok();
    bake.ok();
    ext4::listing(&place.disk())
}

#[test]
fn first_part() {
    run_part(0);
}

#[test]
fn second_part() {
    run_part(1);
}

#[test]
fn third_part() {
    run_part(2);
}

#[test]
fn fourth_part() {
    run_part(3);
}
