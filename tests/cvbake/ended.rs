//! Conversions, children, and bakes of several files that are ended from outside or find no room:
//! what has its final name is whole, and nothing else is left when the next run has ended.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::kill::{at_many_moments, interrupted};
use crate::support::bake::{Bake, Place, names};
use crate::support::mount::Small;
use crate::support::tools::needs_mounts;
use crate::support::{ext4, sample};

/// A command that writes to a path.
type Writing = Box<dyn Fn(&Path) -> Bake>;

/// Commands with the name of what each writes, and all files that are there then.
fn commands(place: &Place) -> Vec<(&'static str, Vec<&'static str>, Writing)> {
    let inputs = place.writable("inputs");
    place.bake().arg("-o").arg(inputs.join("disk.raw")).ok();
    let convert = |args: &'static [&'static str]| -> Writing {
        let from = inputs.join("disk.raw");
        Box::new(move |to| {
            Bake::of(&["disk", "convert", "--progress", "none", "--force"]).args(args).arg(&from).arg(to)
        })
    };
    let source = format!("oci:{}:latest", place.path().join("image").display());
    let (store, home) = (place.store(), place.path().join("home"));
    let bake = |args: &'static [&'static str]| -> Writing {
        let (source, store, home) = (source.clone(), store.clone(), home.clone());
        Box::new(move |to| {
            let bake = Bake::of(&["bake", &source, "--progress", "none", "--force"])
                .args(args)
                .store(&store)
                .env("HOME", &home);
            bake.arg("-o").arg(to)
        })
    };
    vec![
        ("a.qcow2", vec!["a.qcow2"], bake(&["--compress", "zstd"])),
        ("b.vhdx", vec!["b.vhdx"], bake(&[])),
        ("c.ext4", vec!["c.ext4", "c.ext4.verity"], bake(&["--verity=beside"])),
        ("d.qcow2", vec!["d.qcow2"], convert(&["--compress", "zlib"])),
        ("e.vhd", vec!["e.vhd"], convert(&[])),
    ]
}

#[test]
fn killed_at_any_moment() {
    let place = Place::with(&sample::large());
    let dir = place.writable("outputs");
    for (name, files, command) in commands(&place) {
        let output = dir.join(name);
        let whole = |file: &str| ext4::bytes_of(&dir.join(file));
        command(&output).ok();
        let expected: Vec<String> = files.iter().map(|file| whole(file)).collect();
        let remove = || files.iter().for_each(|file| drop(std::fs::remove_file(dir.join(file))));
        let moments = at_many_moments(|after| {
            remove();
            let outcome = interrupted(command(&output).spawn(), after, Signal::KILL);
            // The disk last: with it, everything is there.
            if output.exists() {
                assert_eq!(files.iter().map(|file| whole(file)).collect::<Vec<_>>(), expected, "{name}");
            }
            for (file, expected) in files.iter().zip(&expected).filter(|(file, _)| dir.join(file).exists()) {
                assert_eq!(whole(file), *expected, "{file}: what has its final name is whole");
            }
            outcome.code == Some(0)
        });
        assert!(moments > 0, "{name}: the run was killed at least once");
        command(&output).ok();
        assert_eq!(names(&dir), files, "{name}: the next run cleans up");
        remove();
    }
}

#[test]
fn without_room() {
    if !needs_mounts("a filesystem that is full") {
        return;
    }
    let place = Place::with(&sample::large());
    let commands = commands(&place);
    let out: PathBuf = place.path().join("out");
    for (name, files, command) in commands {
        let mut failures = 0;
        for size in ["64k", "3m", "10m", "20m"] {
            let small = Small::mount(&out, size);
            let run = || command(&out.join(name)).inside(small.holder.id());
            let outcome = run().run();
            if outcome.code == Some(0) {
                continue;
            }
            failures += 1;
            let line = outcome.error(&[6]);
            assert!(line.contains("No space left"), "{name} {size}: {}", outcome.describe());
            assert_eq!(names(&small.outside()), [""; 0], "{name} {size}: nothing is left");
            small.grow("200m");
            run().ok();
            assert_eq!(names(&small.outside()), files, "{name}");
        }
        assert!(failures > 0, "{name}: the smallest were too small");
    }
}
