//! The disk is a function of the image and the options: not of threads, places, times, users or
//! what was there before.

use crate::support::bake::{Bake, Place};
use crate::support::ext4::bytes_of;
use crate::support::image::{Compression, Images};
use crate::support::tools::needs_root;
use crate::support::{ext4, sample};

fn baked(images: &Images, args: &[&str]) -> String {
    baked_by(images, |bake| bake.args(args))
}

fn baked_by(images: &Images, how: impl FnOnce(Bake) -> Bake) -> String {
    let place = Place::with(images);
    how(place.bake()).ok();
    place.assert_no_leftovers(&["disk.ext4"]);
    bytes_of(&place.disk())
}

#[test]
fn threads_and_places_do_not_matter() {
    let images = sample::varied();
    let first = baked(&images, &["--jobs", "1"]);
    assert_eq!(baked(&images, &["--jobs", "8"]), first);
    assert_eq!(baked(&images, &[]), first);
    assert_eq!(baked_by(&images, Bake::no_cache), first);
}

#[test]
fn a_warm_store_does_not_matter() {
    let images = sample::varied();
    let place = Place::with(&images);
    place.bake().ok();
    let first = bytes_of(&place.disk());
    let bake = || place.bake().arg("--force");
    for bake in
        [bake(), bake().args(["--jobs", "1"]), bake().no_cache(), bake().args(["--keep-packs", "always"]), bake()]
    {
        let outcome = bake.ok();
        assert_eq!(bytes_of(&place.disk()), first, "{}", outcome.describe());
        place.assert_no_leftovers(&["disk.ext4"]);
    }
    // A store that knows some of the layers only, and in another order.
    let mut fewer = images.clone();
    fewer.images[0].layers.remove(1);
    let other = Place::with(&fewer);
    let bake = |place: &Place| place.bake().arg("--force").store(&other.store()).ok();
    bake(&other);
    bake(&place);
    assert_eq!(bytes_of(&place.disk()), first);
}

#[test]
fn users_and_their_surroundings_do_not_matter() {
    let images = sample::varied();
    let first = baked(&images, &[]);
    let place = Place::with(&images);
    place.bake().env("TZ", "Asia/Kathmandu").env("LC_ALL", "de_DE.UTF-8").env("LANG", "tr_TR").shell("umask 077").ok();
    assert_eq!(bytes_of(&place.disk()), first);
    if needs_root("a bake by root, beside that of an ordinary user") {
        let place = Place::with(&images);
        place.bake().with_root().ok();
        assert_eq!(bytes_of(&place.disk()), first, "root and others bake the same");
    }
}

#[test]
fn epochs() {
    let images = sample::varied();
    let with = |epoch: &str| {
        let place = Place::with(&images);
        place.bake().env("SOURCE_DATE_EPOCH", epoch).ok();
        bytes_of(&place.disk())
    };
    assert_eq!(with("1700000000"), with("1700000000"));
    assert_ne!(with("1700000000"), with("1700000001"));
    assert_eq!(with("0"), baked(&images, &[]), "0 is the default");
    for bad in ["", "now", "-", "1e9", "99999999999999999999"] {
        let place = Place::with(&images);
        let outcome = place.bake().env("SOURCE_DATE_EPOCH", bad).run();
        assert!(outcome.error(&[2]).contains("SOURCE_DATE_EPOCH"), "{bad:?}: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
}

#[test]
fn one_changed_byte_changes_the_disk() {
    assert_ne!(baked(&sample::small("content 1"), &[]), baked(&sample::small("content 2"), &[]));
    // The same layers in other blobs are another manifest, and the same disk. The same files in
    // other layers are another one.
    let place = |layers: &[&str], compression| {
        let layers = layers.iter().map(|text| sample::layer(text, compression)).collect();
        let place = Place::with(&Images::of(layers));
        place.bake().ok();
        place
    };
    let files = ["file f \"f\"", "file g \"g\""];
    let [gzip, zstd] = [Compression::Gzip, Compression::Zstd].map(|compression| place(&files, compression));
    assert_eq!(bytes_of(&gzip.disk()), bytes_of(&zstd.disk()));
    let one = place(&[&files.join("\n")], Compression::Gzip);
    assert_eq!(ext4::listing(&one.disk()), ext4::listing(&gzip.disk()));
    assert_ne!(ext4::Ext4::open(&one.disk()).uuid(), ext4::Ext4::open(&gzip.disk()).uuid());
}

#[test]
fn several_at_once_on_one_store() {
    let images = sample::large();
    let places: Vec<Place> = (0..4).map(|_| Place::with(&images)).collect();
    let store = places[0].store();
    let bake = |place: &Place| place.bake().store(&store).spawn();
    let running: Vec<_> = places.iter().map(bake).collect();
    for run in running {
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
    }
    let disks: Vec<_> = places.iter().map(|place| bytes_of(&place.disk())).collect();
    assert!(disks.iter().all(|disk| disk == &disks[0]), "{disks:?}");
    places[0].assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn several_at_once_on_one_output() {
    let images = sample::large();
    let place = Place::with(&images);
    let running: Vec<_> = (0..4).map(|_| place.bake().spawn()).collect();
    let outcomes: Vec<_> = running.into_iter().map(|run| run.wait()).collect();
    let winners = outcomes.iter().filter(|outcome| outcome.code == Some(0)).count();
    assert_eq!(winners, 1, "one makes the disk: {}", outcomes.iter().map(|o| o.describe()).collect::<String>());
    for outcome in outcomes.iter().filter(|outcome| outcome.code != Some(0)) {
        outcome.error(&[6]);
    }
    place.assert_no_leftovers(&["disk.ext4"]);
    assert_eq!(bytes_of(&place.disk()), baked(&images, &[]));
}
