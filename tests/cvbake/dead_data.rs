//! What an upper layer deletes or replaces is nowhere in the disk's bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::support::bake::{Bake, Place};
use crate::support::ext4::{Ext4, data_runs};
use crate::support::image::{Compression, Images};
use crate::support::sample;

/// The bytes of a file, without its holes.
fn data(file: &File) -> Vec<u8> {
    let mut data = Vec::new();
    for run in data_runs(file) {
        let from = data.len();
        data.resize(from + usize::try_from(run.end - run.start).unwrap(), 0);
        file.read_exact_at(&mut data[from..], run.start).unwrap();
    }
    data
}

fn images() -> Images {
    let lower = "
        dir d
        file d/whited-out-name rep:20000:\"DEAD-whited-out\"
        file d/small-whited-out-name \"DEAD-small\"
        file replaced rep:9000:\"DEAD-replaced\"
        file shorter rep:4096:\"DEAD-shorter\"
        dir opaque
        file opaque/below-opaque-name rep:70000:\"DEAD-opaque\"
        dir becomes-file
        file becomes-file/lost-child-name rep:5000:\"DEAD-child\"
        link removed-link -> rep:200:\"DEAD-target\"
        link replaced-link -> rep:200:\"DEAD-other-target\"
        file attributes \"ALIVE-attributes\" x:user.key=\"DEAD-in-inode\" x:user.big=rep:1500:\"DEAD-in-block\"
        file linked rep:5000:\"ALIVE-linked\"
        hard other -> linked
        file kept rep:5000:\"ALIVE-kept\"
        file duplicate rep:5000:\"DEAD-duplicate\"
        file duplicate rep:3000:\"ALIVE-duplicate\"
        file d/third-layer-name rep:5000:\"DEAD-third-layer\"";
    let upper = "
        file d/.wh.whited-out-name
        file d/.wh.small-whited-out-name
        file replaced rep:5000:\"ALIVE-replaced\"
        file shorter \"ALIVE-shorter\"
        file opaque/.wh..wh..opq
        file opaque/new rep:100:\"ALIVE-opaque\"
        file becomes-file \"ALIVE-file\"
        file .wh.removed-link
        link replaced-link -> rep:200:\"ALIVE-target\"
        file attributes \"ALIVE-attributes\"
        file .wh.linked
        file brief rep:6000:\"DEAD-brief\"";
    let top = "file d/.wh.third-layer-name\nfile .wh.brief";
    let layer = |text| sample::layer(text, Compression::Gzip);
    Images::of(vec![layer(lower), layer(upper), layer(top)])
}

const SEARCHED: &[&str] = &[
    "ALIVE-attributes",
    "ALIVE-linked",
    "ALIVE-kept",
    "ALIVE-duplicate",
    "ALIVE-replaced",
    "ALIVE-target",
    "DEAD-",
    "whited-out-name",
    "below-opaque-name",
    "lost-child-name",
    "removed-link",
    "third-layer-name",
    "brief",
];

fn check(place: &Place, bake: &Bake) {
    let what = bake.ok().describe();
    let disk = place.disk();
    let data = data(&File::open(&disk).unwrap());
    let found: BTreeSet<&str> = SEARCHED
        .iter()
        .copied()
        .filter(|text| data.windows(text.len()).any(|window| window == text.as_bytes()))
        .collect();
    let alive: BTreeSet<&str> = SEARCHED.iter().copied().filter(|text| text.starts_with("ALIVE")).collect();
    assert_eq!(found, alive, "what is on the disk, and what should be: {what}");
    assert_eq!(Ext4::open(&disk).dirty_free_blocks(), [0; 0], "free blocks hold nothing: {what}");
}

#[test]
fn removed_data_is_absent() {
    let place = Place::with(&images());
    let bake = || place.bake().arg("--force");
    check(&place, &bake());
    // A warm store writes by another road, and so does one that keeps packs.
    check(&place, &bake());
    check(&place, &bake().args(["--keep-packs", "always"]));
    check(&place, &bake().args(["--keep-packs", "always"]));
    check(&place, &bake().no_cache());
    check(&place, &bake().args(["--size", "min"]));
    check(&place, &bake().args(["--engine", "mkfs"]));
}
