//! What the options of the filesystem do to the disk.

use crate::support::bake::{Bake, Place, mode, names};
use crate::support::ext4::Ext4;
use crate::support::image::{Compression, Images};
use crate::support::run::Outcome;
use crate::support::{ext4, oracle, sample};

/// The exit status of an image that does not fit as asked for.
const FIT: &[i32] = &[5];

fn place() -> Place {
    Place::with(&sample::varied())
}

/// The disk's length and its filesystem, after a bake that must succeed and a check.
fn baked(place: &Place, args: &[&str]) -> (u64, Ext4) {
    place.bake().arg("--force").args(args).ok();
    oracle::fsck(&place.disk());
    let disk = Ext4::open(&place.disk());
    let len = std::fs::metadata(place.disk()).unwrap().len();
    let rest = len - disk.blocks * disk.block_size;
    assert!(rest < disk.block_size, "the filesystem fills the disk {args:?}: {rest} bytes are left");
    (len, disk)
}

#[test]
fn sizes() {
    const MIB: u64 = 1 << 20;
    let place = place();
    let (min, smallest) = baked(&place, &["--size", "min"]);
    let listing = ext4::listing(&place.disk());
    let (auto, roomy) = baked(&place, &[]);
    assert!(auto >= min + 256 * MIB && auto.is_multiple_of(MIB), "auto is {auto}, min {min}");
    assert!(roomy.free_blocks() > smallest.free_blocks() + 60_000);
    for (size, expected) in
        [("+64M", min + 64 * MIB), ("64M", 64 * MIB), ("100MiB", 100 * MIB), ("3G", 3 << 30), ("2T", 2 << 40)]
    {
        let (len, _) = baked(&place, &["--size", size]);
        assert_eq!(len, expected, "--size {size}");
        assert_eq!(ext4::listing(&place.disk()), listing, "--size {size}");
    }
    // Not a whole number of blocks, and exactly what was asked for all the same.
    assert_eq!(baked(&place, &["--size", "50000001"]).0, 50_000_001);
}

/// A size that is too small is refused with the size that would do; that one does, and a little
/// less does not.
#[test]
fn sizes_that_are_too_small() {
    const MIB: u64 = 1 << 20;
    let place = place();
    for journal in ["--journal", "--no-journal"] {
        let outcome = place.bake().args(["--size", "1M", journal]).run();
        let line = outcome.error(FIT);
        assert!(line.contains("a filesystem of 1.00 MiB is too small"), "{line}");
        let enough = outcome.stderr.split("--size ").nth(1).and_then(|rest| rest.split(' ').next());
        place.assert_no_leftovers(&[]);
        let (len, _) = baked(&place, &["--size", enough.expect("the size that would do"), journal]);
        let (needed, _) = baked(&place, &["--size", "min", journal]);
        assert!((needed..needed + MIB).contains(&len), "{needed} rounded up is {len}");
        let mib = u32::try_from(needed).map(f64::from).unwrap() / 1_048_576.0;
        let shown = format!("{:.2} MiB", (mib * 100.0).ceil() / 100.0);
        assert!(line.contains(&format!("need {shown}")), "{line}, for {needed}");
        let told = place.bake().args(["--force", "--size", "min", journal]).ok().stdout;
        assert!(told.contains(&format!("disk    {shown} ext4")), "{told}, for {needed}");
        std::fs::remove_file(place.disk()).unwrap();
        let outcome = place.bake().args(["--size", &(needed - 4096).to_string(), journal]).run();
        outcome.error(FIT);
        place.assert_no_leftovers(&[]);
    }
}

#[test]
fn values_that_are_none() {
    let place = place();
    for args in [
        ["--size", ""],
        ["--size", "large"],
        ["--size", "-5M"],
        ["--size", "5X"],
        ["--size", "99999999999999999999"],
        ["--size", "16777216T"],
        ["--size", "0"],
        ["--size", "1.5.5G"],
        ["--inodes", "0"],
        ["--inodes", "few"],
        ["--inodes", "4294967296"],
        ["--inodes", "1/0"],
        ["--uuid", "not-a-uuid"],
        ["--uuid", ""],
        ["--hash-seed", "0"],
        ["--label", "seventeen-letters"],
        ["--platform", "linux"],
        ["--platform", "linux/amd64/v1/x"],
        ["--jobs", "0"],
        ["--jobs", "-1"],
        ["--engine", "other"],
    ] {
        let outcome = {
            let bake = place.bake().args(args);
            if args[0] == "--platform" { bake.any_platform().run() } else { bake.run() }
        };
        let usage = matches!(outcome.code, Some(2 | 5)) && !outcome.stderr.is_empty();
        assert!(usage, "{args:?}: {}", outcome.describe());
        place.assert_no_leftovers(&[]);
    }
}

#[test]
fn labels_and_uuids() {
    let place = place();
    let (_, disk) = baked(&place, &["--label", "sixteen-letters!", "--uuid", "01234567-89ab-cdef-0123-456789ABCDEF"]);
    assert_eq!(disk.label(), b"sixteen-letters!");
    assert_eq!(disk.uuid(), [1, 35, 69, 103, 137, 171, 205, 239, 1, 35, 69, 103, 137, 171, 205, 239]);
    let (_, disk) = baked(&place, &[]);
    assert_eq!(disk.label(), b"");
    let own = disk.uuid().to_vec();
    assert!(own.iter().any(|&byte| byte != 0));
    assert_eq!(baked(&place, &["--hash-seed", "01234567-89ab-cdef-0123-456789abcdef"]).1.uuid(), own);
    let other = Place::with(&sample::small("other"));
    assert_ne!(baked(&other, &[]).1.uuid(), own, "the UUID follows from the image");
}

#[test]
fn journals() {
    let place = place();
    let (with, disk) = baked(&place, &["--size", "min"]);
    assert!(disk.has_journal(), "a journal is the default");
    assert!(baked(&place, &["--journal"]).1.has_journal());
    let (without, disk) = baked(&place, &["--size", "min", "--no-journal"]);
    assert!(!disk.has_journal());
    assert!(without + (4 << 20) <= with, "a journal takes room: {without}, {with}");
}

#[test]
fn inodes() {
    let place = place();
    let used = {
        let (count, free) = baked(&place, &[]).1.inode_counts();
        assert!(free >= 8192, "auto never runs out on first boot: {free} free");
        count - free
    };
    for count in [used, 20_000, 100_000] {
        let (found, free) = baked(&place, &["--inodes", &count.to_string()]).1.inode_counts();
        assert!(found >= count && found - free == used, "{count} asked, {found} made");
    }
    let (found, _) = baked(&place, &["--size", "256M", "--inodes", "1/4K"]).1.inode_counts();
    assert!((65_536..66_000).contains(&found), "one for 4 KiB of 256 MiB: {found}");
    let outcome = place.bake().args(["--force", "--inodes", &(used - 1).to_string()]).run();
    let line = outcome.error(FIT);
    assert!(line.contains(&used.to_string()), "the number that would do: {}", outcome.describe());
}

/// Blocks of zeros are holes in their file on the disk, and free blocks are holes in the disk.
#[test]
fn holes() {
    let text = "
        file zeros zeros:20000000
        file middle rand:4096:1+zeros:8000000+rand:100:2
        file sparse \"start\"+\"end\" sparse=1.0 map=0:5,9999997:3 real=10000000
        file dense rand:100000:3";
    let place = Place::with(&crate::support::image::Images::of(vec![sample::layer(
        text,
        crate::support::image::Compression::Gzip,
    )]));
    let (_, disk) = baked(&place, &[]);
    let listing = oracle::agreed_listing(&place.disk());
    assert!(listing.contains("/zeros file 0644 0:0 mtime=1.000000000 size=20000000"));
    let blocks = |path: &[u8]| disk.extents(&disk.lookup(path)).iter().map(|extent| extent.blocks).sum::<u64>();
    assert_eq!((blocks(b"zeros"), blocks(b"middle"), blocks(b"sparse"), blocks(b"dense")), (0, 2, 2, 25));
    let meta = std::fs::metadata(place.disk()).unwrap();
    let allocated = std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
    assert!(allocated < 8 << 20, "{allocated} bytes allocated of {}", meta.len());
}

#[test]
fn the_same_for_both_engines() {
    let place = place();
    for args in [["--size", "64M"], ["--label", "name"], ["--uuid", "01234567-89ab-cdef-0123-456789abcdef"]] {
        let (native_len, native) = baked(&place, &args);
        let (mkfs_len, mkfs) = baked(&place, &["--engine", "mkfs", args[0], args[1]]);
        if args[0] == "--size" {
            assert_eq!(native_len, mkfs_len);
        }
        assert_eq!(native.label(), mkfs.label());
        assert_eq!(native.uuid(), mkfs.uuid());
        assert_eq!(native.has_journal(), mkfs.has_journal());
    }
}

/// What was asked for and what came of it, for a program that reads it.
fn json(outcome: &Outcome) -> serde_json::Value {
    assert_eq!(outcome.stdout.trim_end().lines().count(), 1, "one object, one line: {}", outcome.stdout);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
}

#[test]
fn results_as_json() {
    let place = place();
    let result = json(&place.bake().args(["--json", "--digest"]).ok());
    let index = std::fs::read_to_string(place.path().join("image/index.json")).unwrap();
    assert!(index.contains(result["image"].as_str().expect("the manifest's digest")));
    let disk = &result["disk"];
    let digest = crate::support::image::digest("sha256", &std::fs::read(place.disk()).unwrap());
    assert_eq!(format!("sha256:{}", disk["sha256"].as_str().expect("the disk's digest")), digest);
    assert_eq!(disk["bytes"].as_u64(), Some(std::fs::metadata(place.disk()).unwrap().len()));
    let layers = result["layers"].as_array().expect("the layers");
    assert_eq!(layers.len(), 3);
    assert!(result["times_ms"].is_object() && result["dry_run"] == false);
    let again = json(&place.bake().args(["--json", "--force"]).ok());
    assert!(again["disk"].get("sha256").is_none(), "the disk is hashed on request only");
    let cached = |result: &serde_json::Value| result["layers"][0]["cached"].clone();
    assert_ne!(cached(&again), cached(&result), "the second bake finds what the first has kept");
}

#[test]
fn dry_runs() {
    let place = place();
    let plan = json(&place.bake().args(["--dry-run", "--json"]).ok());
    assert!(!place.disk().exists(), "a dry run makes nothing");
    place.assert_no_leftovers(&[]);
    let result = json(&place.bake().args(["--json"]).ok());
    for key in ["bytes", "inodes", "free_inodes", "uuid", "used_bytes"] {
        assert_eq!(plan["disk"][key], result["disk"][key], "{key}");
    }
    assert_eq!(plan["dry_run"], true);
    let text = place.bake().arg("--dry-run").arg("--force").ok();
    assert!(text.stdout.starts_with("Would bake "), "{}", text.describe());
}

/// A dry run says what the bake would say of the place where the disk goes, before it looks at the
/// image.
#[test]
fn dry_runs_look_at_the_target() {
    let place = place();
    let (there, closed) = (place.disk(), place.path().join("closed"));
    std::fs::write(&there, "mine").unwrap();
    std::fs::create_dir(&closed).unwrap();
    mode(&closed, 0o555);
    let linked = place.path().join("out/linked.ext4");
    std::os::unix::fs::symlink(&there, &linked).unwrap();
    let before = names(&place.path().join("out"));
    let targets = [
        (there.clone(), "exists already"),
        (linked, "a symbolic link"),
        (place.path().join("out"), "a directory"),
        (place.path().join("no/such.ext4"), "No such file or directory"),
        (closed.join("disk.ext4"), "Permission denied"),
    ];
    for (target, says) in targets {
        let run = |args: &[&str]| Bake::of(&["bake", "oci:nowhere", "-o"]).arg(&target).args(args).no_cache().run();
        let (baked, planned) = (run(&[]), run(&["--dry-run"]));
        assert!(planned.error(&[6]).contains(says), "{}", planned.describe());
        assert_eq!(planned.error(&[6]), baked.error(&[6]));
        let hint = |outcome: &Outcome| outcome.stderr.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(hint(&planned), hint(&baked));
    }
    assert_eq!(names(&place.path().join("out")), before);
    assert_eq!(names(&closed), [""; 0]);
    // What would be replaced is no obstacle, and stays.
    place.bake().args(["--dry-run", "--force"]).ok();
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
}

/// What a disk would lack is told before there is one, and every time.
#[test]
fn a_dry_run_tells_what_is_left_out() {
    let place = Place::with(&Images::of(vec![sample::layer("link l -> f x:user.a=\"1\"", Compression::Gzip)]));
    for args in [&["--dry-run"][..], &[], &["--dry-run", "--force"]] {
        let told = place.bake().args(args).ok();
        assert!(told.stderr.contains("/l: user.a is left out"), "{}", told.describe());
    }
}

/// Two blobs that unpack to the same, and one that is there twice: each is worked on once, and
/// counted once.
#[test]
fn layers_are_counted_as_they_are_worked_on() {
    let layer = |compression| sample::layer("file a rand:300000:1", compression);
    let (gzip, plain) = (layer(Compression::Gzip), layer(Compression::Plain));
    let bytes = gzip.blob.len() + sample::layer("file b \"b\"", Compression::Gzip).blob.len();
    let other = sample::layer("file b \"b\"", Compression::Gzip);
    let place = Place::with(&Images::of(vec![gzip, plain, other.clone(), other]));
    for args in [&["--no-cache"][..], &["--dry-run", "--no-cache"], &[], &["--force"]] {
        let outcome = place.bake().args(args).progress("json").ok();
        let events = outcome.stderr.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let events: Vec<_> = events.collect();
        let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
        let image = of("image")[0];
        assert_eq!((&image["layers"], &image["bytes"]), (&2.into(), &bytes.into()), "{args:?}");
        let finished = of("layer").into_iter().filter(|event| event["state"] == "finished");
        let mut numbers: Vec<_> = finished.map(|event| event["layer"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 3], "{args:?}: the first of those that are alike");
        std::fs::remove_file(place.disk()).ok();
        // A log does not count them by their numbers: the third of two.
        let log = place.bake().args(args).progress("plain").ok().stderr;
        assert!(log.contains(": 2 layers, ") && log.contains("cvbake: layer 3: 1 entry"), "{log}");
        std::fs::remove_file(place.disk()).ok();
    }
}
