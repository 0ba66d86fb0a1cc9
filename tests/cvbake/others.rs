//! Other users of the machine: what they plant, swap and hold can do no harm, and is in nobody's
//! way.

use std::fs::{self, File};
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::images::{image, source};
use crate::support::bake::{Place, files_below, mode, names, own};
use crate::support::sample;
use crate::support::tools::{executable, needs_root};

/// A user that the program does not run as.
const OTHER: u32 = 65533;

/// A directory for everybody's files, in which nobody can rename or remove those of others.
fn sticky(place: &Place) -> PathBuf {
    let dir = place.path().join("sticky");
    fs::create_dir(&dir).unwrap();
    mode(&dir, 0o1777);
    dir
}

/// Makes files of the other user, which everybody may change.
fn plant(dir: &Path, files: &[&str]) {
    for file in files {
        let path = dir.join(file);
        let parents: Vec<_> = path.ancestors().skip(1).take_while(|parent| *parent != dir).collect();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "planted").unwrap();
        mode(&path, 0o666);
        lchown(&path, Some(OTHER), Some(OTHER)).unwrap();
        for parent in parents {
            mode(parent, 0o777);
            lchown(parent, Some(OTHER), Some(OTHER)).unwrap();
        }
    }
}

#[test]
fn what_they_have_planted_stays_and_blocks_nothing() {
    if !needs_root("files of another user") {
        return;
    }
    let place = Place::with(&sample::small("x"));
    let dir = sticky(&place);
    let mut planted: Vec<String> = (0..1000).map(|number| format!(".disk.{number}.cvbake-tmp")).collect();
    planted.extend((0..3).map(|number| format!(".disk.{number}.cvbake-tmp.d/shared/z/file")));
    // As a directory of ours would look, if it were ours.
    planted.push(".disk.3.cvbake-tmp.d/.cvbake-private".to_owned());
    planted.push(".disk.3.cvbake-tmp.d/file".to_owned());
    plant(&dir, &planted.iter().map(String::as_str).collect::<Vec<_>>());
    let before = files_below(&dir);
    for root in [false, true] {
        let bake = place.bake().no_cache().arg("-o").arg(dir.join("disk"));
        let bake = if root { bake.with_root().arg("--force") } else { bake };
        bake.ok();
        fs::remove_file(dir.join("disk")).unwrap();
        assert_eq!(files_below(&dir), before, "nothing of theirs is gone, nothing of ours is left");
    }
}

#[test]
fn a_disk_of_theirs_is_refused_before_there_is_work() {
    if !needs_root("files of another user") {
        return;
    }
    let place = Place::with(&sample::small("x"));
    let dir = sticky(&place);
    plant(&dir, &["disk"]);
    let outcome = place.bake().arg("--force").arg("-o").arg(dir.join("disk")).run();
    assert!(outcome.error(&[6]).contains(&format!("belongs to user {OTHER}")), "{}", outcome.describe());
    assert!(!place.store().exists(), "nothing was done yet");
    assert_eq!(fs::read(dir.join("disk")).unwrap(), b"planted");
}

/// Whoever owns the directory of the output can put a link in the place of the file while a program
/// writes it.
#[test]
fn a_program_writes_to_no_file_of_theirs() {
    let place = Place::with(&sample::small("x"));
    let (out, bin) = (place.path().join("out"), place.writable("bin"));
    let precious = place.writable("precious").join("file");
    fs::write(&precious, "precious").unwrap();
    own(&precious);
    let script = format!(
        "#!/bin/sh\nPATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin\nfor file in '{out}'/.disk.ext4.*.cvbake-tmp; do\n\
         mv \"$file\" '{out}/moved'\nln -s '{precious}' \"$file\"\ndone\nexec mke2fs \"$@\"\n",
        out = out.display(),
        precious = precious.display(),
    );
    executable(&bin.join("mke2fs"), &script);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let outcome = place.bake().args(["--engine", "mkfs"]).env("PATH", path).run();
    assert!(outcome.error(&[6]).contains("is not the file that was written there"), "{}", outcome.describe());
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    let left = names(&out);
    assert!(left.len() == 2 && !left.contains(&"disk.ext4".to_owned()), "no disk: {left:?}");
}

/// In a directory of theirs, they can give any of our directories the name of what a killed run
/// leaves.
#[test]
fn a_directory_of_ours_is_not_taken_for_a_stale_one() {
    let place = Place::with(&sample::small("x"));
    let out = place.path().join("out");
    let precious = place.writable("out/.disk.ext4.0.cvbake-tmp.d").join("precious");
    for file in [&precious, &out.join(".disk.ext4.0.cvbake-tmp")] {
        fs::write(file, "").unwrap();
        own(file);
    }
    place.bake().no_cache().ok();
    assert_eq!(names(&out), [".disk.ext4.0.cvbake-tmp.d", "disk.ext4"]);
    assert!(precious.exists());
}

/// What stands in a layout that an image is exported to is for its owner to say.
#[test]
fn a_layout_of_theirs_is_read_and_written_with_care() {
    type Spoil = fn(&Path);
    let cases: [(&str, &str, Spoil); 7] = [
        ("index.json is a pipe", "found a named pipe", |layout| {
            fs::remove_file(layout.join("index.json")).unwrap();
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o666));
            rustix::fs::mknodat(rustix::fs::CWD, layout.join("index.json"), kind, mode, 0).unwrap();
        }),
        ("index.json is a link to a device", "found a symbolic link", |layout| link(layout, "index.json", "/dev/zero")),
        ("oci-layout is a link", "found a symbolic link", |layout| link(layout, "oci-layout", "/etc/passwd")),
        ("index.json is endless", "larger than the 4194304 bytes", |layout| {
            fs::remove_file(layout.join("index.json")).unwrap();
            File::create(layout.join("index.json")).unwrap().set_len(1 << 40).unwrap();
        }),
        ("index.json is no index", "index.json", |layout| fs::write(layout.join("index.json"), "[").unwrap()),
        ("blobs is a link", "found a symbolic link", |layout| {
            fs::rename(layout.join("blobs"), layout.join("../elsewhere")).unwrap();
            symlink("../elsewhere", layout.join("blobs")).unwrap();
        }),
        ("blobs/sha256 is a link", "found a symbolic link", |layout| {
            fs::rename(layout.join("blobs/sha256"), layout.join("../elsewhere")).unwrap();
            symlink("../../elsewhere", layout.join("blobs/sha256")).unwrap();
        }),
    ];
    for (name, expected, spoil) in cases {
        let place = Place::with(&sample::small("x"));
        let layout = place.path().join("out/layout");
        let target = format!("oci:{}:tag", layout.display());
        let export = image(&place, &["export", &source(&place), &target, "--platform", "linux/amd64"]);
        export.ok();
        spoil(&layout);
        let elsewhere = layout.join("../elsewhere");
        files_below(&elsewhere).iter().for_each(|blob| fs::remove_file(blob).unwrap());
        let before = names(&layout);
        let outcome = export.run();
        assert!(outcome.error(&[3, 4, 6]).contains(expected), "{name}: {}", outcome.describe());
        assert_eq!(names(&layout), before, "{name}");
        assert_eq!(files_below(&elsewhere).len(), 0, "{name}: nothing is written outside");
        assert!(outcome.peak_kib < 100 << 10, "{name}: {} KiB", outcome.peak_kib);
    }
}

fn link(layout: &Path, name: &str, to: &str) {
    fs::remove_file(layout.join(name)).unwrap();
    symlink(to, layout.join(name)).unwrap();
}

/// Who can read a directory can lock it, and keep it locked. A run that waits for that says so, and
/// can be ended.
#[test]
fn waiting_for_a_layout_can_be_ended() {
    let place = Place::with(&sample::small("x"));
    let layout = place.writable("out/layout");
    let lock = File::open(&layout).unwrap();
    lock.lock_shared().unwrap();
    let target = format!("oci:{}:tag", layout.display());
    let export = image(&place, &["export", &source(&place), &target, "--platform", "linux/amd64"]).progress("plain");
    let mut running = export.spawn();
    let start = Instant::now();
    while !running.said().contains("waiting for another process") {
        assert!(running.running() && start.elapsed() < Duration::from_secs(60), "{}", running.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    running.signal(Signal::TERM);
    let outcome = running.wait();
    assert_eq!(outcome.code, Some(143), "{}", outcome.describe());
    assert_eq!(names(&layout), [""; 0]);
    drop(lock);
    export.ok();
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);
}
