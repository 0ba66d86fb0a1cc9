//! Every fixture whose image is well formed, flattened into a tar: baked again, it has the same
//! files with the same attributes.

use crate::base_pack::SMALL;
use crate::cases::files;
use crate::images::{image, source};
use crate::support::bake::{Bake, Place};
use crate::support::case::{Case, Expected};
use crate::support::image::{Compression, Images};
use crate::support::{expected, ext4, sample, seen};

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

/// An archive by the name of the output: the one that an export writes.
#[test]
fn a_bake_into_a_tar_is_an_export() {
    let place = Place::with(&Images::of(vec![sample::layer(SMALL, Compression::Gzip)]));
    let out = place.path().join("out");
    for ending in ["tar", "tar.gz", "tgz", "tar.zst"] {
        let (baked, exported) = (out.join(format!("baked.{ending}")), out.join(format!("exported.{ending}")));
        let bake = |args: &[&str]| {
            let bake = Bake::of(&["bake", &source(&place), "-o"]).arg(&baked).args(args);
            bake.platform("linux/amd64").store(&place.store()).progress("none").env("HOME", place.path().join("home"))
        };
        // The schema of an export, which each run is checked by.
        assert!(bake(&["--json"]).ok().stdout.contains(r#""format":"tar""#));
        image(&place, &["export", &source(&place), &exported.display().to_string()]).ok();
        let bytes = std::fs::read(&baked).unwrap();
        assert!(bytes == std::fs::read(&exported).unwrap(), "{ending}");
        // A file that is there is not replaced, and what is about disks is refused.
        assert!(bake(&[]).run().error(&[6]).contains("exists already"));
        for option in [&["--size", "1G"][..], &["--fs", "erofs"], &["--format", "vhd"], &["--digest"], &["-n"]] {
            let outcome = bake(option).arg("--force").run();
            assert!(outcome.error(&[2]).contains("is for disks, and "), "{}", outcome.describe());
        }
        bake(&["--force"]).no_cache().ok();
        assert!(bytes == std::fs::read(&baked).unwrap(), "{ending} without a store");
        std::fs::remove_file(&exported).unwrap();
    }
    place.assert_no_leftovers(&["baked.tar", "baked.tar.gz", "baked.tgz", "baked.tar.zst"]);
}
