//! The bytes of disks, on every machine and of every build: `fixtures/disks.txt` has the digest of
//! what each fixture becomes.
//!
//! An image becomes other bytes only if that is meant: then `GENERATION` in `src/recipe.rs` is
//! another number, and this writes the file anew: `CVBAKE_BLESS=1 cargo test --test cvbake
//! disks_of_this_generation`. `scripts/cross` has builds for other processors compared with the
//! same file.

use std::fmt::Write as _;
use std::path::Path;

use crate::base_pack::{LARGE, SMALL};
use crate::cases;
use crate::support::bake::Place;
use crate::support::case::{Case, Expected};
use crate::support::ext4;
use crate::support::image::{Compression, Images};
use crate::support::sample;

#[test]
fn disks_of_this_generation() {
    let mut page = String::new();
    // Images that are larger than fixtures are; on small disks, so that little is hashed.
    for (name, text) in [("a small layer", SMALL), ("a base pack", LARGE)] {
        let place = Place::with(&Images::of(vec![sample::layer(text, Compression::Plain)]));
        place.bake().args(["--size", "min"]).ok();
        writeln!(page, "{} {name}", ext4::bytes_of(&place.disk())).unwrap();
        place.bake_erofs().ok();
        writeln!(page, "{} {name} as EROFS", ext4::bytes_of(&place.erofs_disk())).unwrap();
    }
    for file in cases::files() {
        let case = Case::read(&file);
        if matches!(case.expected, Expected::Tree(_)) {
            let place = Place::with(&case.images);
            cases::bake(&case, &place).ok();
            writeln!(page, "{} {}", ext4::bytes_of(&place.disk()), case.name).unwrap();
            let mut bake = place.bake_erofs();
            for (name, value) in &case.env {
                bake = bake.env(name, value);
            }
            if let Some(platform) = &case.platform {
                bake = bake.platform(platform);
            }
            bake.ok();
            writeln!(page, "{} {} as EROFS", ext4::bytes_of(&place.erofs_disk()), case.name).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/disks.txt");
    if std::env::var_os("CVBAKE_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let others: Vec<&str> = page.lines().filter(|line| !kept.lines().any(|kept| kept == *line)).collect();
    assert_eq!(others, [""; 0], "disks that are not those of fixtures/disks.txt");
    assert_eq!(page, kept, "fixtures/disks.txt has others, too");
}
