//! Pulls that are ended from outside, that are many, or that have little room; from a registry that
//! waits in the middle of a layer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::kill::{at_many_moments, interrupted};
use crate::registry::{cvbake, pull_and_build};
use crate::support::bake::{Bake, Place, as_user, files_below, mode, names, own};
use crate::support::ext4::bytes_of;
use crate::support::image::{Images, digest};
use crate::support::sample::{large, small, varied};
use crate::support::server::{Answer, Server};
use crate::support::tools::succeed;

/// Where answers with a layer of [`large`] stop: about its middle. Smaller ones are answered as a
/// whole.
const HALF: usize = 3_000_000;

/// Disks are read as a whole after each run.
const SMALL: [&str; 2] = ["--size", "min"];

fn build(place: &Place, server: &Server) -> Bake {
    pull_and_build(place, &server.name()).args(SMALL)
}

/// To another disk than the usual one.
fn build_to(place: &Place, server: &Server, disk: &Path) -> Bake {
    cvbake(place, &["pull-and-build", &server.name(), "--force", "-o"]).arg(disk).args(SMALL)
}

/// A place with an image, and what its disk is, whoever bakes it.
fn place(images: &Images) -> (Place, String) {
    let place = Place::with(images);
    place.bake().args(SMALL).ok();
    let expected = bytes_of(&place.disk());
    fs::remove_file(place.disk()).unwrap();
    fs::remove_dir_all(place.store()).unwrap();
    (place, expected)
}

fn layers(images: &Images) -> Vec<String> {
    images.images[0].layers.iter().map(|layer| layer.digest.clone()).collect()
}

/// The beginnings of blobs in a store: their lengths by digest.
fn partial(store: &Path) -> BTreeMap<String, u64> {
    let file = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.replacen('-', ":", 1);
        Some((name, path.metadata().ok()?.len()))
    };
    files_below(&store.join("partial")).into_iter().filter_map(file).collect()
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::yield_now();
    }
}

/// Every blob of a store is what its name says.
fn assert_good_blobs(store: &Path) {
    let blobs = files_below(&store.join("blobs/sha256"));
    assert!(!blobs.is_empty());
    for path in blobs {
        let name = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        assert_eq!(digest("sha256", &fs::read(path).unwrap()), name);
    }
}

#[test]
fn layers_are_unpacked_while_they_arrive() {
    let (place, expected) = place(&large());
    let server = Server::start(&place, |_| Answer::Held(HALF));
    let mut run = build(&place, &server).args(["--jobs", "4"]).spawn();
    server.wait_held(4);
    // Of each layer, most of what has arrived stands in a file already; the other half comes only
    // after that.
    until("four packs that grow", || {
        assert!(run.running(), "ended early");
        let grown = |dir: &Path| {
            let large = |path: &&PathBuf| path.metadata().is_ok_and(|meta| meta.len() > HALF as u64 / 2);
            files_below(dir).iter().filter(large).count()
        };
        // The largest layer goes onto the disk itself.
        (grown(&place.store().join("scratch")), grown(place.disk().parent().unwrap())) == (3, 1)
    });
    assert_eq!(names(&place.store().join("indexes-v1/sha256")), [""; 0]);
    server.open();
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
    assert_eq!(bytes_of(&place.disk()), expected);
}

/// A registry that sends nothing for a while looks no different from a program that hangs, but for
/// the log.
#[test]
fn a_log_grows_while_nothing_arrives() {
    let (place, _) = place(&large());
    let server = Server::start(&place, |_| Answer::Held(HALF));
    let mut run = build(&place, &server).args(["--jobs", "4", "--progress", "plain"]).spawn();
    server.wait_held(4);
    let begun = Instant::now();
    // What has arrived has been shown by now, or is by the first sign of life.
    until("a sign of life", || {
        assert!(run.running(), "ended early");
        run.said().lines().any(|line| line.starts_with("cvbake: ") && line.contains(" MiB of ") && line.contains("%)"))
    });
    // Ten seconds, and whatever a busy machine adds.
    assert!(begun.elapsed() < Duration::from_secs(20), "after {:?}", begun.elapsed());
    server.open();
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
}

#[test]
fn sigint_and_sigterm_leave_what_was_downloaded() {
    for (command, signal, code) in [
        ("pull", Signal::INT, 130),
        ("pull", Signal::TERM, 143),
        ("pull-and-build", Signal::INT, 130),
        ("pull-and-build", Signal::TERM, 143),
    ] {
        let images = large();
        let (place, expected) = place(&images);
        let server = Server::start(&place, |_| Answer::Held(HALF));
        let start = || match command {
            "pull" => cvbake(&place, &["pull", &server.name(), "--jobs", "4"]).spawn(),
            _ => build(&place, &server).args(["--jobs", "4"]).spawn(),
        };
        let mut run = start();
        server.wait_held(1);
        until("half a layer", || partial(&place.store()).values().any(|&len| len == HALF as u64));
        run.signal(signal);
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(code), "{}", outcome.describe());
        let kept = partial(&place.store());
        fs::rename(place.store().join("partial"), place.path().join("partial")).unwrap();
        place.assert_no_temporaries();
        fs::rename(place.path().join("partial"), place.store().join("partial")).unwrap();

        let before: BTreeMap<_, _> =
            layers(&images).into_iter().map(|layer| (layer.clone(), server.asked(&layer).len())).collect();
        server.open();
        let outcome = start().wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
        for (layer, before) in before {
            let asked = server.asked(&layer);
            assert_eq!(asked.len(), before + 1, "{layer}");
            assert_eq!(asked[before].from as u64, kept.get(&layer).copied().unwrap_or(0), "{layer} goes on");
        }
        build(&place, &server).ok();
        assert_eq!(bytes_of(&place.disk()), expected);
        place.assert_no_leftovers(&["disk.ext4"]);
    }
}

#[test]
fn sigkill_and_the_same_bytes() {
    let (place, expected) = place(&varied());
    let server = Server::start(&place, |_| Answer::Right);
    for cold in [true, false] {
        let moments = at_many_moments(|after| {
            // Or each run finds what the ones before it have left.
            if cold {
                fs::remove_dir_all(place.store()).ok();
            }
            fs::remove_file(place.disk()).ok();
            let outcome = interrupted(build(&place, &server).spawn(), after, Signal::KILL);
            if place.disk().exists() {
                assert_eq!(bytes_of(&place.disk()), expected, "what has its final name is whole");
            }
            outcome.code == Some(0)
        });
        assert!(moments > 0, "the run was killed at least once");
        build(&place, &server).ok();
        assert_eq!(bytes_of(&place.disk()), expected);
        place.assert_no_leftovers(&["disk.ext4"]);
        assert_good_blobs(&place.store());
    }
}

#[test]
fn two_and_eight_at_once() {
    let images = varied();
    for count in [2, 8] {
        let (place, expected) = place(&images);
        let server = Server::start(&place, |_| Answer::Right);
        let disks: Vec<_> = (0..count).map(|at| place.path().join(format!("out/{at}"))).collect();
        let runs: Vec<_> = disks.iter().map(|disk| build_to(&place, &server, disk).spawn()).collect();
        for run in runs {
            let outcome = run.wait();
            assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
        }
        assert!(disks.iter().all(|disk| bytes_of(disk) == expected));
        for layer in layers(&images) {
            assert_eq!(server.asked(&layer).len(), 1, "{layer} is downloaded once by {count} runs");
        }
        let disks: Vec<_> = disks.iter().map(|disk| disk.file_name().unwrap().to_str().unwrap()).collect();
        place.assert_no_leftovers(&disks);
    }
}

#[test]
fn the_others_go_on_with_what_a_killed_run_downloaded() {
    let images = large();
    for count in [2, 8] {
        let (place, expected) = place(&images);
        let first = layers(&images).swap_remove(0);
        let held = first.clone();
        let server = Server::start(&place, move |asked| match asked.path.contains(&held) && asked.from == 0 {
            true => Answer::Held(HALF),
            false => Answer::Right,
        });
        let disks: Vec<_> = (0..count).map(|at| place.path().join(format!("out/{at}"))).collect();
        let start = |disk: &PathBuf| build_to(&place, &server, disk).progress("plain").spawn();
        let waits =
            format!("waiting for another process that is working on layer {}", images.images[0].layers[0].diff_id);
        let mut victim = start(&disks[0]);
        server.wait_held(1);
        until("half a layer", || partial(&place.store()).get(&first) == Some(&(HALF as u64)));
        let others: Vec<_> = disks[1..].iter().map(start).collect();
        until("all others wait", || others.iter().all(|run| run.said().contains(&waits)));
        // Who waits can be ended, too.
        let mut ended = start(&place.path().join("out/ended"));
        until("one more waits", || ended.said().contains(&waits));
        ended.signal(Signal::INT);
        assert_eq!(ended.wait().code, Some(130));
        victim.signal(Signal::KILL);
        assert_eq!(victim.wait().signal, Some(9));
        for run in others {
            let outcome = run.wait();
            assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
        }
        let starts: Vec<_> = server.asked(&first).iter().map(|asked| asked.from).collect();
        assert_eq!(starts, [0, HALF], "nothing of it is downloaded twice");
        assert!(disks[1..].iter().all(|disk| bytes_of(disk) == expected));
        server.open();
        // The next run in the same place removes what was left of the disk.
        start(&disks[0]).wait();
        let disks: Vec<_> = disks.iter().map(|disk| disk.file_name().unwrap().to_str().unwrap()).collect();
        place.assert_no_leftovers(&disks);
    }
}

/// A registry that holds one run holds no other that wants the same layer: for as long as a server
/// may be silent each, it waits for who works on the layer, and for who downloads it.
#[test]
fn a_run_that_is_held_holds_no_other() {
    let images = large();
    let (place, expected) = place(&images);
    let first = layers(&images).swap_remove(0);
    let (held, begun) = (first.clone(), AtomicBool::new(false));
    let server = Server::start(&place, move |asked| match asked.path.contains(&held) {
        true if asked.from > 0 => Answer::Held(0),
        true if !begun.swap(true, Ordering::SeqCst) => Answer::Held(HALF),
        _ => Answer::Right,
    });
    let start = |disk: &PathBuf| build_to(&place, &server, disk).progress("plain").spawn();
    let disks = ["victim", "other"].map(|name| place.path().join("out").join(name));
    let mut victim = start(&disks[0]);
    server.wait_held(1);
    until("half a layer", || partial(&place.store()).get(&first) == Some(&(HALF as u64)));
    let outcome = start(&disks[1]).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
    assert_eq!(bytes_of(&disks[1]), expected);
    for words in ["bytes of layer", "bytes of sha256:"] {
        let is_told = |line: &str| line.contains("no longer waiting for another process") && line.contains(words);
        assert!(outcome.stderr.lines().any(is_told), "{}", outcome.describe());
    }
    let starts: Vec<_> = server.asked(&first).iter().filter(|asked| asked.from == 0).cloned().collect();
    assert_eq!(starts.len(), 2, "each of them downloads it");
    assert_good_blobs(&place.store());
    victim.signal(Signal::INT);
    assert_eq!(victim.wait().code, Some(130));
    server.open();
    start(&disks[0]).wait();
    assert_eq!(bytes_of(&disks[0]), expected);
    // What the victim had of the layer is of no use to anybody, and goes with what else nothing
    // needs.
    Bake::of(&["store", "gc"]).store(&place.store()).env("HOME", place.path().join("home")).ok();
    place.assert_no_leftovers(&["victim", "other"]);
}

#[test]
fn few_files_may_be_open() {
    for images in [crate::scale::many_layers(), large()] {
        let (place, expected) = place(&images);
        let server = Server::start(&place, |_| Answer::Right);
        for jobs in ["1", "16"] {
            let run = || build(&place, &server).args(["--jobs", jobs]).shell("ulimit -n 64");
            run().ok();
            run().no_cache().ok();
            assert_eq!(bytes_of(&place.disk()), expected);
            fs::remove_dir_all(place.store()).unwrap();
            cvbake(&place, &["pull", &server.name(), "--jobs", jobs]).shell("ulimit -n 64").ok();
            fs::remove_dir_all(place.store()).unwrap();
        }
    }
}

#[test]
fn umasks() {
    for (umask, expected) in [("000", 0o666), ("077", 0o600)] {
        let (place, bytes) = place(&varied());
        let server = Server::start(&place, |_| Answer::Right);
        build(&place, &server).shell(&format!("umask {umask}")).ok();
        let bits = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(bits(&place.disk()), expected, "umask {umask}");
        assert_eq!(bits(&place.store()), 0o700, "umask {umask}");
        let files = files_below(&place.store());
        assert!(files.len() > 5);
        for path in files {
            assert_eq!(bits(&path) & 0o077, 0, "umask {umask}: {}", path.display());
            assert_eq!(bits(path.parent().unwrap()), 0o700, "umask {umask}: {}", path.display());
        }
        // And whoever has another umask can use it.
        build(&place, &server).shell("umask 027").args(["--pull", "always"]).ok();
        assert_eq!(bytes_of(&place.disk()), bytes);
    }
}

#[test]
fn a_store_that_is_read_only() {
    let (place, expected) = place(&varied());
    let server = Server::start(&place, |_| Answer::Right);
    let pull = || cvbake(&place, &["pull", &server.name()]);
    let store = place.store();
    let close = |bits: u32| {
        let mut dirs: Vec<_> = files_below(&store).iter().map(|path| path.parent().unwrap().to_owned()).collect();
        dirs.push(store.clone());
        dirs.iter().for_each(|dir| mode(dir, bits));
    };
    fs::create_dir(&store).unwrap();
    own(&store);
    for _empty_then_filled in 0..2 {
        close(0o500);
        for run in [pull(), build(&place, &server)] {
            let outcome = run.run();
            let line = outcome.error(&[7]);
            assert!(line.contains(&store.display().to_string()), "{}", outcome.describe());
            assert!(outcome.stderr.contains("--store DIR"), "{}", outcome.describe());
        }
        assert_eq!(names(&place.path().join("out")), [""; 0]);
        build(&place, &server).no_cache().ok();
        assert_eq!(bytes_of(&place.disk()), expected);
        fs::remove_file(place.disk()).unwrap();
        close(0o700);
        pull().ok();
    }
    // It is a layout all the same, for whoever has another store, or none.
    close(0o500);
    let source = format!("oci:{}:{}", store.display(), server.name());
    let other = place.path().join("home/other");
    let bake =
        |args: &[&str]| cvbake(&place, &[&["bake", &source, "--force"], args, &["-o"]].concat()).arg(place.disk());
    for run in [bake(&["--no-cache"]), bake(&[]).store(&other)] {
        run.args(SMALL).ok();
        assert_eq!(bytes_of(&place.disk()), expected);
        fs::remove_file(place.disk()).unwrap();
    }
    close(0o700);
    build(&place, &server).ok();
    assert_eq!(bytes_of(&place.disk()), expected);
}

/// Everything that a pull keeps, damaged in every way: noticed, fetched again, and the disk is the
/// same.
#[test]
fn damaged_blobs_and_names() {
    let (place, expected) = place(&small("content"));
    let server = Server::start(&place, |_| Answer::Right);
    build(&place, &server).ok();
    type Harm = fn(&Path, &[u8]);
    let harm: [Harm; 6] = [
        |path, content| {
            let mut flipped = content.to_vec();
            flipped[content.len() / 2] ^= 0x10;
            fs::write(path, flipped).unwrap();
        },
        |path, _| fs::write(path, "").unwrap(),
        |path, content| fs::write(path, &content[..content.len() - 1]).unwrap(),
        |path, _| symlink("/dev/zero", path).unwrap(),
        |path, _| drop(succeed(as_user("mkdir", "coreutils").arg(path))),
        |path, _| drop(succeed(as_user("mkfifo", "coreutils").arg(path))),
    ];
    let kept = [files_below(&place.store().join("blobs")), files_below(&place.store().join("repositories"))].concat();
    assert_eq!(kept.len(), 4, "{kept:?}");
    for path in kept {
        let content = fs::read(&path).unwrap();
        for (number, harm) in harm.iter().enumerate() {
            fs::remove_file(&path).unwrap();
            harm(&path, &content);
            if path.symlink_metadata().unwrap().uid() != place.store().metadata().unwrap().uid() {
                own(&path);
            }
            let what = format!("{} with damage {number}", path.display());
            let outcome = build(&place, &server).ok();
            assert_eq!(bytes_of(&place.disk()), expected, "{what}");
            assert!(path.symlink_metadata().unwrap().is_file(), "{what}: {}", outcome.describe());
            assert!(!outcome.warnings().is_empty(), "{what} is told: {}", outcome.describe());
        }
    }
    assert_good_blobs(&place.store());
    place.assert_no_leftovers(&["disk.ext4"]);
}

/// Half of a download that went wrong on the disk, after a power failure or in a bad memory: it is
/// not built upon.
#[test]
fn damaged_beginnings() {
    let images = varied();
    let (place, expected) = place(&images);
    let server = Server::start(&place, |_| Answer::Right);
    type Harm = fn(&[u8]) -> Vec<u8>;
    let harm: [Harm; 5] = [
        |good| {
            let mut half = good[..good.len() / 2].to_vec();
            half[good.len() / 3] ^= 1;
            half
        },
        |good| vec![0; good.len() / 2],
        |good| vec![b'x'; good.len()],
        |good| vec![b'x'; good.len() + 1],
        |good| [&good[..10], &[0; 100]].concat(),
    ];
    cvbake(&place, &["pull", &server.name()]).ok();
    for harm in harm {
        for command in ["pull", "pull-and-build"] {
            let kept = ["blobs", "indexes-v1", "packs-v1"].map(|kind| files_below(&place.store().join(kind)));
            kept.concat().into_iter().for_each(|path| fs::remove_file(path).unwrap());
            let dir = place.store().join("partial");
            for layer in &images.images[0].layers {
                let path = dir.join(layer.digest.replacen(':', "-", 1));
                fs::write(&path, harm(&layer.blob)).unwrap();
                own(&path);
            }
            match command {
                "pull" => cvbake(&place, &["pull", &server.name()]).ok(),
                _ => build(&place, &server).ok(),
            };
            assert_good_blobs(&place.store());
            build(&place, &server).ok();
            assert_eq!(bytes_of(&place.disk()), expected);
            place.assert_no_leftovers(&["disk.ext4"]);
        }
    }
}
