//! Both engines make the same of every fixture: the one is the oracle of the other.

use crate::cases::{files, group_of};
use crate::support::bake::Place;
use crate::support::case::{Case, Expected};
use crate::support::{ext4, oracle, seen};

/// What e2fsprogs can't hold, with what the error says.
const EXCEPTIONS: &[(&str, &str)] =
    &[("directories-lost-and-found-is-a-file", "e2fsprogs cannot make this name as anything")];

/// Bakes every fixture of some groups that has a tree with both engines.
fn same_trees(groups: &[&str]) {
    let mut compared = 0;
    for file in files().iter().filter(|file| groups.contains(&group_of(file).as_str())) {
        let case = Case::read(file);
        let Expected::Tree(_) = &case.expected else { continue };
        let exception = EXCEPTIONS.iter().find(|(name, _)| file.file_stem().is_some_and(|stem| stem == *name));
        let place = Place::with(&case.images);
        let bake = |engine: &str| {
            let mut bake = place.bake().args(&case.args).args(["--force", "--engine", engine]);
            if let Some(platform) = &case.platform {
                bake = bake.platform(platform);
            }
            case.env.iter().fold(bake, |bake, (name, value)| bake.env(name, value))
        };
        if let Some((_, says)) = exception {
            let outcome = bake("mkfs").run();
            assert!(outcome.error(&[5]).contains(says), "{}", outcome.describe());
            continue;
        }
        bake("native").ok();
        let native = ext4::listing(&place.disk());
        bake("mkfs").ok();
        oracle::fsck(&place.disk());
        let what = format!("{}: engine mkfs (+) and engine native (-)", case.name);
        seen::assert_same(&what, &ext4::listing(&place.disk()), &native);
        place.assert_no_leftovers(&["disk.ext4"]);
        compared += 1;
    }
    assert!(compared > 0, "no fixture of {groups:?} has a tree");
}

#[test]
fn attributes() {
    same_trees(&["acl", "xattrs", "times", "numbers"]);
}

#[test]
fn kinds() {
    same_trees(&["devices", "types", "symlinks", "names", "sparse"]);
}

#[test]
fn merges() {
    same_trees(&["directories", "duplicates", "hardlinks", "parents", "whiteouts"]);
}

#[test]
fn archives() {
    same_trees(&["compression", "manifest", "pax", "tar"]);
}
