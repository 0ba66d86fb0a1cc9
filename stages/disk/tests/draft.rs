//! Outputs are whole or absent, and never written through a link.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use cvbake_disk::{Draft, Error, Sink};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs one of the ignored tests below in a process of its own; `before` is what a shell does
/// first.
fn child(test: &str, target: &Path, before: &str) {
    let exe = std::env::current_exe().unwrap();
    let script = format!("set -- ; {before}\nexec \"$@\" \"$0\" --ignored --exact {test}");
    let output = Command::new("sh").args(["-c", &script]).arg(exe).env("DRAFT_TARGET", target).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("running 1 test\n"), "{test}: {output:?}");
}

/// What a shell does to become an ordinary user, for whom permissions mean something.
fn without_root() -> &'static str {
    let root = rustix::process::geteuid().is_root();
    if root { "set -- setpriv --reuid=65534 --regid=65534 --clear-groups --" } else { "set --" }
}

/// Whether this is the name of a temporary file for a target.
fn is_temporary(name: &str, target: &str) -> bool {
    name.starts_with(&format!(".{target}.")) && name.ends_with(".cvbake-tmp")
}

fn target_of_child() -> PathBuf {
    std::env::var_os("DRAFT_TARGET").expect("started by another test").into()
}

#[test]
fn committed_bytes_are_there_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk.ext4");
    let draft = Draft::create(&target, false).unwrap();
    let [name] = &names(dir.path())[..] else { panic!("one file") };
    assert!(is_temporary(name, "disk.ext4"), "{name}");
    assert_eq!(draft.path(), dir.path().join(name));
    draft.set_len(8192).unwrap();
    draft.raw().write_at(4096, b"x").unwrap();
    draft.commit().unwrap();
    assert_eq!(names(dir.path()), ["disk.ext4"]);
    let mut expected = vec![0; 8192];
    expected[4096] = b'x';
    assert_eq!(fs::read(&target).unwrap(), expected);
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk.ext4");
    fs::write(&target, "old").unwrap();
    drop(Draft::create(&target, true).unwrap());
    assert_eq!(names(dir.path()), ["disk.ext4"]);
    assert_eq!(fs::read(&target).unwrap(), b"old");
}

#[test]
fn what_is_there_is_refused() {
    type Make = fn(&Path);
    let cases: [(&str, Make, bool, &str); 8] = [
        ("file", |path| fs::write(path, "old").unwrap(), false, "exists already"),
        ("link", |path| symlink("elsewhere", path).unwrap(), true, "is a symbolic link"),
        ("link", |path| symlink("elsewhere", path).unwrap(), false, "is a symbolic link"),
        ("directory", |path| fs::create_dir(path).unwrap(), true, "is a directory"),
        ("fifo", |path| mkfifo(path), true, "is a named pipe"),
        ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), true, "is a socket"),
        ("missing/disk", |_| {}, true, "cannot open"),
        ("file/disk", |path| fs::write(path.parent().unwrap(), "").unwrap(), true, "cannot open"),
    ];
    for (name, make, replace, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join(name);
        fs::write(dir.path().join("elsewhere"), "precious").unwrap();
        make(&target);
        let before = names(dir.path());
        let error = Draft::create(&target, replace).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(!error.contains("--"), "{error}");
        assert_eq!(names(dir.path()), before);
        assert_eq!(fs::read(dir.path().join("elsewhere")).unwrap(), b"precious");
    }
    for target in ["", "/", ".", "..", "a/..", "a/", "a/.", "a//"] {
        assert!(matches!(Draft::create(Path::new(target), true), Err(Error::NoName { .. })), "{target:?}");
    }
    let device = Draft::create(Path::new("/dev/null"), true).unwrap_err();
    assert_eq!(device.to_string(), "/dev/null is a character device, expected a regular file or nothing");
}

fn mkfifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
}

#[test]
fn what_appears_meanwhile_is_refused_too() {
    for replace in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        let draft = Draft::create(&target, replace).unwrap();
        symlink("elsewhere", &target).unwrap();
        assert!(matches!(draft.commit(), Err(Error::NotAFile { .. })));
        assert_eq!(names(dir.path()), ["disk"]);

        fs::remove_file(&target).unwrap();
        let draft = Draft::create(&target, replace).unwrap();
        fs::write(&target, "theirs").unwrap();
        let committed = draft.commit();
        assert_eq!(matches!(committed, Err(Error::Exists { .. })), !replace, "{committed:?}");
        assert_eq!(names(dir.path()), ["disk"]);
        assert_eq!(fs::read(&target).unwrap(), if replace { &b""[..] } else { b"theirs" });
    }
}

#[test]
fn two_drafts_of_one_target() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    let first = Draft::create(&target, false).unwrap();
    let second = Draft::create(&target, false).unwrap();
    assert_ne!(first.path(), second.path());
    first.raw().write_at(0, b"first").unwrap();
    second.raw().write_at(0, b"second").unwrap();
    second.commit().unwrap();
    assert!(matches!(first.commit(), Err(Error::Exists { .. })));
    assert_eq!(names(dir.path()), ["disk"]);
    assert_eq!(fs::read(&target).unwrap(), b"second");
}

#[test]
fn only_files_without_a_living_owner_are_stale() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    let file = |name: &str| dir.path().join(name);
    for random in ["0", "1", "5", "0123456789abcdef"] {
        fs::write(file(&format!(".disk.{random}.cvbake-tmp")), "dead").unwrap();
    }
    let living = File::open(file(".disk.5.cvbake-tmp")).unwrap();
    living.lock().unwrap();
    fs::write(file(".other.0.cvbake-tmp"), "of another target").unwrap();
    fs::write(file("precious"), "precious").unwrap();
    symlink("precious", file(".disk.6.cvbake-tmp")).unwrap();
    fs::create_dir(file(".disk.8.cvbake-tmp")).unwrap();
    mkfifo(&file(".disk.9.cvbake-tmp"));
    let draft = Draft::create(&target, false).unwrap();
    let expected = [
        ".disk.5.cvbake-tmp",
        ".disk.6.cvbake-tmp",
        ".disk.8.cvbake-tmp",
        ".disk.9.cvbake-tmp",
        ".other.0.cvbake-tmp",
        "precious",
    ];
    let ours = draft.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(names(dir.path()).into_iter().filter(|name| name != ours).collect::<Vec<_>>(), expected);
    assert_eq!(draft.file().metadata().unwrap().len(), 0);
    drop(draft);
    drop(living);
    drop(Draft::create(&target, false).unwrap());
    assert_eq!(names(dir.path()), expected[1..]);
    assert_eq!(fs::read(file("precious")).unwrap(), b"precious");
}

#[test]
fn the_lock_is_held_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
    let other = File::open(draft.path()).unwrap();
    assert!(other.try_lock().is_err());
    draft.commit().unwrap();
    other.try_lock().unwrap();
}

#[test]
fn a_dead_process_leaves_a_stale_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    child("dies_with_a_draft", &target, "");
    let left = names(dir.path());
    assert!(left.len() == 1 && is_temporary(&left[0], "disk"), "{left:?}");
    let draft = Draft::create(&target, false).unwrap();
    assert_eq!(draft.file().metadata().unwrap().len(), 0);
    draft.commit().unwrap();
    assert_eq!(names(dir.path()), ["disk"]);
}

#[test]
#[ignore = "the process that a_dead_process_leaves_a_stale_file starts"]
fn dies_with_a_draft() {
    let draft = Draft::create(&target_of_child(), false).unwrap();
    draft.set_len(4096).unwrap();
    // Ends the process without dropping anything.
    std::process::exit(0);
}

#[test]
fn the_umask_decides_who_may_read() {
    for (umask, mode) in [("000", 0o666), ("022", 0o644), ("077", 0o600)] {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        child("commits_a_draft", &target, &format!("umask {umask};"));
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, mode, "umask {umask}");
    }
}

#[test]
#[ignore = "the process that the_umask_decides_who_may_read starts"]
fn commits_a_draft() {
    let draft = Draft::create(&target_of_child(), false).unwrap();
    let mode = draft.file().metadata().unwrap().permissions().mode();
    let target = draft.target().to_owned();
    draft.commit().unwrap();
    assert_eq!(fs::metadata(target).unwrap().permissions().mode(), mode, "the draft is as readable as the result");
}

#[test]
fn a_target_needs_no_directory_part() {
    let dir = tempfile::tempdir().unwrap();
    child("commits_to_a_bare_name", Path::new("disk.ext4"), &format!("cd '{}';", dir.path().display()));
    assert_eq!(names(dir.path()), ["disk.ext4"]);
}

#[test]
#[ignore = "the process that a_target_needs_no_directory_part starts"]
fn commits_to_a_bare_name() {
    let draft = Draft::create(&target_of_child(), false).unwrap();
    assert!(draft.path().exists());
    draft.commit().unwrap();
}

#[test]
fn directories_that_cannot_be_written_or_listed() {
    let dir = tempfile::tempdir().unwrap();
    let set_mode = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o555);
    child("is_refused_by_the_directory", &dir.path().join("disk"), without_root());
    assert_eq!(names(dir.path()), [""; 0]);
    set_mode(0o333);
    child("commits_a_draft", &dir.path().join("disk"), without_root());
    set_mode(0o755);
    assert_eq!(names(dir.path()), ["disk"]);
}

#[test]
#[ignore = "the process that directories_that_cannot_be_written_or_listed starts"]
fn is_refused_by_the_directory() {
    let error = Draft::create(&target_of_child(), false).unwrap_err();
    assert!(matches!(&error, Error::Create { path, .. } if *path == target_of_child()), "{error}");
}

#[test]
fn names_as_long_as_the_filesystem_holds() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x".repeat(255), "é".repeat(127), "-rf".to_owned()] {
        let target = dir.path().join(name);
        Draft::create(&target, false).unwrap().commit().unwrap();
        assert!(target.exists());
        fs::remove_file(target).unwrap();
        assert_eq!(names(dir.path()), [""; 0]);
    }
    let error = Draft::create(&dir.path().join("x".repeat(256)), false).unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error}");
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
    let error = draft.set_len(u64::from(u32::MAX) << 31).unwrap_err();
    assert!(error.to_string().contains(&draft.path().display().to_string()), "{error}");

    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = cvbake_disk::Raw::new(&full, Path::new("/dev/full")).write_at(0, b"x").unwrap_err();
    let Error::Write { source, path, .. } = error else { panic!("{error}") };
    assert_eq!((source.kind(), path), (std::io::ErrorKind::StorageFull, PathBuf::from("/dev/full")));
}

#[test]
fn copies_whatever_the_two_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    fs::write(dir.path().join("pack"), &bytes).unwrap();
    // Memory is another filesystem, and one that shares no blocks.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(memory.path().join("pack"), &bytes).unwrap();
    assert_ne!(dir.path().metadata().unwrap().dev(), memory.path().metadata().unwrap().dev());
    let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
    let raw = draft.raw();
    for (round, pack) in [dir.path().join("pack"), memory.path().join("pack")].iter().enumerate() {
        let pack = File::open(pack).unwrap();
        for (at, from, len) in [(0, 0, 4096), (8192, 4096, 1_000_000), (1 << 21, 4095, 70_001), (1 << 22, 0, 0)] {
            let at = at + ((round as u64) << 24);
            raw.copy_at(at, &pack, from, len).unwrap();
            let mut copied = vec![0; usize::try_from(len).unwrap()];
            draft.file().read_exact_at(&mut copied, at).unwrap();
            let from = usize::try_from(from).unwrap();
            assert!(copied == bytes[from..from + copied.len()], "{at}");
        }
        let error = raw.copy_at(0, &pack, 4_000_000 - 10, 20).unwrap_err();
        assert!(matches!(&error, Error::Read { path, .. } if path.ends_with("pack")), "{error:?}");
    }
}

#[test]
fn the_kernel_may_be_unable_to_copy() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pack"), "0123456789").unwrap();
    let pack = File::open(dir.path().join("pack")).unwrap();
    // copy_file_range refuses a file opened for appending; writing at a position to it appends.
    let out = File::options().append(true).create(true).open(dir.path().join("out")).unwrap();
    let path = dir.path().join("out");
    let raw = cvbake_disk::Raw::new(&out, &path);
    raw.copy_at(0, &pack, 0, 5).unwrap();
    raw.copy_at(5, &pack, 5, 5).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"0123456789");
}

#[test]
fn scratch_goes_with_the_draft() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    for commit in [false, true] {
        let draft = Draft::create(&target, true).unwrap();
        let scratch = draft.scratch().unwrap();
        fs::write(scratch.path().join("file"), "x").unwrap();
        let name = dir.path().join(scratch.temporary().name());
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(name.join("file").exists());
        if commit {
            draft.commit().unwrap()
        } else {
            drop(draft)
        }
        assert!(!name.exists());
    }
    assert_eq!(names(dir.path()), ["disk"], "only the target is left");
}

#[test]
fn what_a_killed_run_left_goes_with_its_scratch() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    child("dies_with_scratch", &target, "");
    let left = names(dir.path());
    assert!(left.len() == 2 && is_temporary(&left[0], "disk") && left[1] == format!("{}.d", left[0]), "{left:?}");
    // Somebody who may rename things here gives another of our directories the name of what is to
    // be removed.
    fs::remove_dir_all(dir.path().join(&left[1])).unwrap();
    fs::create_dir(dir.path().join(&left[1])).unwrap();
    fs::write(dir.path().join(&left[1]).join("precious"), "").unwrap();
    drop(Draft::create(&target, true).unwrap());
    assert_eq!(names(dir.path()), left[1..]);
    assert!(dir.path().join(&left[1]).join("precious").exists());

    fs::remove_dir_all(dir.path().join(&left[1])).unwrap();
    child("dies_with_scratch", &target, "");
    drop(Draft::create(&target, true).unwrap());
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
#[ignore = "the process that what_a_killed_run_left_goes_with_its_scratch starts"]
fn dies_with_scratch() {
    let draft = Draft::create(&target_of_child(), false).unwrap();
    let scratch = draft.scratch().unwrap();
    fs::create_dir_all(scratch.path().join("some/thing")).unwrap();
    // Ends the process without dropping anything.
    std::process::exit(0);
}

/// Whoever owns the directory of the output can rename what is in it at any moment.
#[test]
fn only_the_file_itself_gets_the_name() {
    for replace in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk");
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let draft = Draft::create(&target, replace).unwrap();
        let temporary = draft.path().to_owned();
        fs::rename(&temporary, dir.path().join("moved")).unwrap();
        symlink("precious", &temporary).unwrap();
        draft.raw().write_at(0, b"ours").unwrap();
        let error = draft.commit().unwrap_err();
        assert!(matches!(&error, Error::Swapped { path } if *path == temporary), "{error}");
        assert!(!target.exists() && temporary.is_symlink(), "what is not ours stays");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}

/// As many as anybody likes of the names that we use are taken by somebody else, of whom nothing is
/// removed.
#[test]
fn names_that_others_take_are_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        // A directory is never ours, whosever it is.
        fs::create_dir(dir.path().join(format!(".disk.{number}.cvbake-tmp"))).unwrap();
        fs::create_dir_all(dir.path().join(format!(".disk.{number}.cvbake-tmp.d/full"))).unwrap();
    }
    let target = dir.path().join("disk");
    let draft = Draft::create(&target, false).unwrap();
    draft.scratch().unwrap();
    draft.commit().unwrap();
    assert_eq!(names(dir.path()).len(), 2001);
}
