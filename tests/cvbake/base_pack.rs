//! The largest layer is unpacked onto the disk itself: the disk is the same as when it comes any
//! other way.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::support::bake::{Bake, Place};
use crate::support::ext4::{self, Ext4, data_runs};
use crate::support::image::{Compression, Images};
use crate::support::{oracle, sample, seen};

/// A large layer under a small one. Of the large one some is removed, some replaced, some has
/// holes.
pub(crate) const LARGE: &str = "
    repeat 20 file first{i} rand:300000:{i} mode=4755 own={i}:7
    file dead1 rep:2000000:\"DEAD-1\"
    file shared rand:9000:40
    hard kept-name -> shared
    file dead2 rep:9000:\"DEAD-2\"
    file holes \"start\"+\"end\" sparse=1.0 map=0:5,40000000:3 real=50000000
    file replaced rand:500000:41
    repeat 500 file small/file{i} rand:5000:{i}
    file big rand:14000000:42
    file last rep:5000:\"DEAD-last\"";

pub(crate) const SMALL: &str = "
    file .wh.dead1
    file .wh.dead2
    file .wh.shared
    file replaced \"ALIVE\"
    file .wh.last
    repeat 300 file upper{i} rand:3000:{i}";

pub(crate) fn images(layers: &[&str]) -> Images {
    let layer =
        |(at, text): (usize, &&str)| sample::layer(text, if at == 0 { Compression::Plain } else { Compression::Gzip });
    Images::of(layers.iter().enumerate().map(layer).collect())
}

/// Whether a disk has anything of a removed file on it.
fn has_dead(disk: &Path) -> bool {
    let file = File::open(disk).unwrap();
    data_runs(&file).into_iter().any(|run| {
        let mut data = vec![0; usize::try_from(run.end - run.start).unwrap()];
        file.read_exact_at(&mut data, run.start).unwrap();
        data.windows(5).any(|bytes| bytes == b"DEAD-")
    })
}

/// Every way to the disk gives the same one, which holds what the other engine's does.
fn check(images: &Images, sizes: &[&str]) {
    let place = Place::with(images);
    place.bake().args(["--engine", "mkfs"]).ok();
    let expected = ext4::listing(&place.disk());
    for size in sizes {
        let bake = || place.bake().args(["--force", "--size", size]);
        let cold = bake().no_cache().ok();
        oracle::fsck(&place.disk());
        seen::assert_same(&cold.describe(), &ext4::listing(&place.disk()), &expected);
        assert_eq!(Ext4::open(&place.disk()).dirty_free_blocks(), [0; 0], "free blocks hold nothing: {size}");
        assert!(!has_dead(&place.disk()), "removed data is on the disk");
        let first = ext4::bytes_of(&place.disk());
        let store = |name: &str| place.writable(name);
        let (new, packs) = (store(&format!("new-{size}")), store(&format!("packs-{size}")));
        let keep = ["--keep-packs", "always"];
        for bake in [
            bake().no_cache().args(["--jobs", "1"]),
            bake().store(&new),
            bake().store(&new).args(keep),
            bake().store(&packs).args(keep),
            bake().store(&packs).args(keep),
        ] {
            let outcome = bake.ok();
            assert_eq!(ext4::bytes_of(&place.disk()), first, "{}", outcome.describe());
            place.assert_no_leftovers(&["disk.ext4"]);
        }
    }
}

/// The same in formats that map blocks: there it comes first, and what is in the way of metadata is
/// moved to wherever its block is in the file.
#[test]
fn it_comes_first_where_blocks_are_mapped() {
    let place = Place::with(&images(&[LARGE, SMALL]));
    for size in ["auto", "6G"] {
        let bake =
            |name: &str| place.bake().args(["--force", "--size", size, "-o"]).arg(place.writable("out").join(name));
        bake("raw.ext4").no_cache().ok();
        for (name, args) in [
            ("disk.qcow2", &[][..]),
            ("disk.vhdx", &[]),
            ("blocks.vhdx", &["--vhdx-block-size", "8M"]),
            ("sectors.vhdx", &["--vhdx-sector-size", "4096"]),
        ] {
            let file = place.writable("out").join(name);
            let bake = || bake(name).args(args);
            bake().no_cache().ok();
            let raw = place.writable("out").join("converted.raw");
            Bake::of(&["disk", "convert", "--force"]).arg(&file).arg(&raw).ok();
            let expected = place.writable("out").join("raw.ext4");
            assert_eq!(ext4::bytes_of(&raw), ext4::bytes_of(&expected), "{name}, {size}");
            assert!(!has_dead(&file), "removed data is in {name}");
            let first = ext4::bytes_of(&file);
            let store = place.writable(&format!("{name}-{size}"));
            let keep = ["--keep-packs", "always"];
            for bake in [bake().store(&store), bake().store(&store).args(keep), bake().store(&store).args(keep)] {
                let outcome = bake.ok();
                assert_eq!(ext4::bytes_of(&file), first, "{}", outcome.describe());
            }
        }
    }
}

/// On the largest disk there are more descriptors than there is room in front of a base pack.
#[test]
fn it_stands_where_it_was_unpacked() {
    check(&images(&[LARGE, SMALL]), &["auto", "min", "6G"]);
}

#[test]
fn one_that_is_mostly_dead_is_none() {
    let removed = "file .wh.big\nrepeat 15 file .wh.first{i}\nfile .wh.dead1\nfile .wh.dead2\nfile .wh.last";
    check(&images(&[LARGE, removed]), &["auto"]);
}

#[test]
fn a_layer_that_is_there_twice() {
    let names = "file dead1 \"ALIVE\"\nhard again -> big\nfile .wh.small";
    check(&images(&[LARGE, names, SMALL, LARGE, SMALL]), &["min"]);
}
