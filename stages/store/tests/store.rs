//! What comes out of a store is what went in, or nothing; whoever else uses it, and whatever
//! happened to it.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cvbake_store::{Damage, Error, Event, Health, PIECE, PackSeal, Patience, Store};
use cvbake_verify::Digest;

fn quiet(event: Event) {
    panic!("unexpected: {event}");
}

fn layer(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

fn index_path(store: &Store, layer: &Digest) -> PathBuf {
    store.path().join("indexes-v1/sha256").join(layer.hex())
}

fn pack_path(store: &Store, layer: &Digest) -> PathBuf {
    store.path().join("packs-v1/sha256").join(layer.hex())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Bytes of two and a half pieces, and their checksums.
fn pack_bytes() -> (Vec<u8>, Vec<u32>) {
    let len = usize::try_from(PIECE * 5 / 2).unwrap();
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let crcs = bytes.chunks(usize::try_from(PIECE).unwrap()).map(crc32c::crc32c).collect();
    (bytes, crcs)
}

fn put_pack(store: &Store, layer: &Digest, bytes: &[u8]) {
    let scratch = store.scratch().unwrap();
    let path = scratch.path().join("pack");
    fs::write(&path, bytes).unwrap();
    store.layers().put_pack(layer, &path).unwrap();
}

#[test]
fn what_is_put_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some/where/store");
    let store = Store::open(&path, &quiet).unwrap();
    let (bytes, crcs) = pack_bytes();
    let seal = PackSeal { len: bytes.len() as u64, crcs: &crcs };
    let digests = [layer("a"), Digest::for_bytes(cvbake_verify::Algorithm::Sha512, b"b")];
    for digest in &digests {
        assert_eq!(store.layers().index(digest, &quiet).unwrap(), None);
        assert!(store.layers().pack(digest, &seal, &quiet).unwrap().is_none());
        assert!(!store.layers().has_pack(digest));
        for payload in [&b""[..], b"first", &bytes] {
            store.layers().put_index(digest, payload).unwrap();
            assert_eq!(store.layers().index(digest, &quiet).unwrap().unwrap(), payload);
        }
        put_pack(&store, digest, &bytes);
        assert!(store.layers().has_pack(digest));
    }
    let again = Store::open(&path, &quiet).unwrap();
    for digest in &digests {
        assert_eq!(again.layers().index(digest, &quiet).unwrap().unwrap(), bytes);
        let pack = again.layers().pack(digest, &seal, &quiet).unwrap().unwrap();
        let mut read = vec![0; bytes.len()];
        pack.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes);
        pack.write_at(b"x", 0).unwrap_err();
    }
    put_pack(&store, &layer("empty"), b"");
    assert!(store.layers().pack(&layer("empty"), &PackSeal { len: 0, crcs: &[] }, &quiet).unwrap().is_some());
    assert_eq!(names(&path.join("scratch")), [""; 0]);
}

/// Large packs are checked by several threads.
#[test]
fn damage_is_found_wherever_it_is_in_a_large_pack() {
    const PIECES: u64 = 131;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &quiet).unwrap();
    let len = PIECES * PIECE - 4096;
    let scratch = store.scratch().unwrap();
    let path = scratch.path().join("pack");
    File::create(&path).unwrap().set_len(len).unwrap();
    store.layers().put_pack(&layer("large"), &path).unwrap();
    let whole = vec![0; usize::try_from(PIECE).unwrap()];
    let mut crcs = vec![crc32c::crc32c(&whole); 131];
    crcs[130] = crc32c::crc32c(&whole[4096..]);
    let seal = PackSeal { len, crcs: &crcs };
    let check = || store.layers().check_pack(&layer("large"), &seal, false).unwrap();
    assert!(matches!(check(), Health::Whole(())), "{:?}", check());
    let file = File::options().write(true).open(pack_path(&store, &layer("large"))).unwrap();
    for piece in [0, 1, 64, 65, 66, 129, 130] {
        file.write_at(b"x", piece * PIECE + 77).unwrap();
        let (from, to) = (piece * PIECE, len.min((piece + 1) * PIECE));
        let found = check();
        let Health::Damaged { damage: Damage::Checksum { from: first, to: last, .. }, .. } = found else {
            panic!("{found:?}")
        };
        assert_eq!((first, last), (from, to));
        file.write_at(b"\0", piece * PIECE + 77).unwrap();
    }
    // Of several the first is told, whoever finds it.
    for piece in [120, 30, 90] {
        file.write_at(b"x", piece * PIECE).unwrap();
    }
    let found = check();
    assert!(
        matches!(found, Health::Damaged { damage: Damage::Checksum { from, .. }, .. } if from == 30 * PIECE),
        "{found:?}"
    );
}

type Harm = fn(&Path);
type Get<'a> = &'a dyn Fn(&(dyn Fn(Event) + Sync)) -> bool;

/// Every way to damage an entry, with a word of what is told about it.
const HARM: [(&str, Harm); 12] = [
    ("checksum", |path| flip(path, -5)),
    ("checksum", |path| flip(path, 20)),
    ("bytes, expected", |path| fs::write(path, "").unwrap()),
    ("bytes, expected", |path| truncate(path, -1)),
    ("bytes, expected", |path| truncate(path, 1)),
    ("bytes, expected", |path| truncate(path, 1 << 45)),
    ("a directory", |path| replace(path, |path| fs::create_dir(path).unwrap())),
    ("a directory", |path| {
        replace(path, |path| {
            fs::create_dir_all(path.join("deep/er")).unwrap();
            symlink("../../../..", path.join("deep/link")).unwrap();
        });
    }),
    ("a symbolic link", |path| {
        // To a perfectly good copy.
        let elsewhere = path.ancestors().nth(4).unwrap().join("precious");
        fs::rename(path, &elsewhere).unwrap();
        symlink(elsewhere, path).unwrap();
    }),
    ("a symbolic link", |path| replace(path, |path| symlink("nowhere", path).unwrap())),
    ("a named pipe", |path| replace(path, mkfifo)),
    ("a socket", |path| replace(path, |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()))),
];

fn flip(path: &Path, at: i64) {
    let mut bytes = fs::read(path).unwrap();
    let at = if at < 0 { bytes.len() - usize::try_from(-at).unwrap() } else { usize::try_from(at).unwrap() };
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, by: i64) {
    let file = File::options().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len().checked_add_signed(by).unwrap();
    // Not every filesystem holds a file of the largest size; it is then as large as can be.
    file.set_len(len).or_else(|_| file.set_len(1 << 40)).unwrap();
}

fn replace(path: &Path, make: fn(&Path)) {
    fs::remove_file(path).unwrap();
    // A socket's path may not be long: made here, moved there.
    let dir = tempfile::tempdir_in(path.ancestors().nth(4).unwrap()).unwrap();
    make(&dir.path().join("x"));
    fs::rename(dir.path().join("x"), path).unwrap();
}

fn mkfifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn damaged_entries_are_noticed_removed_and_reported() {
    let (bytes, crcs) = pack_bytes();
    let seal = PackSeal { len: bytes.len() as u64, crcs: &crcs };
    for (number, (told, harm)) in HARM.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), &quiet).unwrap();
        let digest = layer("a");
        store.layers().put_index(&digest, b"some payload of an index").unwrap();
        put_pack(&store, &digest, &bytes);

        let get_index = |on: &(dyn Fn(Event) + Sync)| store.layers().index(&digest, on).unwrap().is_some();
        let get_pack = |on: &(dyn Fn(Event) + Sync)| store.layers().pack(&digest, &seal, on).unwrap().is_some();
        let index: (PathBuf, Get<'_>) = (index_path(&store, &digest), &get_index);
        for (path, get) in [index, (pack_path(&store, &digest), &get_pack)] {
            assert!(get(&quiet));
            harm(&path);
            let events = Mutex::new(Vec::new());
            assert!(!get(&|event| events.lock().unwrap().push(event)), "{number} {}", path.display());
            let events = events.into_inner().unwrap();
            let [event @ Event::Damaged { path: named, kept: None, .. }] = &events[..] else { panic!("{events:?}") };
            assert_eq!(*named, path);
            assert!(event.to_string().contains(told), "{number} {event}");
            assert!(path.symlink_metadata().is_err(), "{number} {}", path.display());
            assert!(!get(&quiet), "now it is merely absent");
        }
        store.layers().put_index(&digest, b"again").unwrap();
        assert!(get_index(&quiet));
    }
}

#[test]
fn a_damaged_entry_gives_way_to_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &quiet).unwrap();
    for (_, harm) in HARM {
        store.layers().put_index(&layer("a"), b"old").unwrap();
        let precious = dir.path().join("precious");
        let _ = fs::remove_file(&precious);
        harm(&index_path(&store, &layer("a")));
        store.layers().put_index(&layer("a"), b"some other payload").unwrap();
        assert_eq!(store.layers().index(&layer("a"), &quiet).unwrap().unwrap(), b"some other payload");
        if precious.exists() {
            assert!(!fs::read(precious).unwrap().windows(5).any(|window| window == b"other"), "written through");
        }
    }
}

#[test]
fn every_byte_of_an_index_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &quiet).unwrap();
    store.layers().put_index(&layer("a"), b"payload").unwrap();
    let path = index_path(&store, &layer("a"));
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(&path, bad).unwrap();
            assert_eq!(store.layers().index(&layer("a"), &|_| {}).unwrap(), None, "byte {at}, bit {bit}");
        }
        fs::write(&path, &good[..at]).unwrap();
        assert_eq!(store.layers().index(&layer("a"), &|_| {}).unwrap(), None, "cut at {at}");
    }
    // Good, but another layer's.
    fs::write(index_path(&store, &layer("b")), &good).unwrap();
    let damage = Mutex::new(None);
    let note = |event| {
        if let Event::Damaged { damage: found, .. } = event {
            *damage.lock().unwrap() = Some(found);
        }
    };
    assert_eq!(store.layers().index(&layer("b"), &note).unwrap(), None);
    assert!(matches!(damage.into_inner().unwrap(), Some(Damage::Checksum { .. })));
}

#[test]
fn a_seal_that_does_not_fit_is_a_damaged_pack() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &quiet).unwrap();
    let (bytes, crcs) = pack_bytes();
    let len = bytes.len() as u64;
    for seal in [
        PackSeal { len: len - 1, crcs: &crcs },
        PackSeal { len, crcs: &crcs[..2] },
        PackSeal { len, crcs: &[] },
        PackSeal { len, crcs: &[crcs[0], crcs[2], crcs[1]] },
    ] {
        put_pack(&store, &layer("a"), &bytes);
        let count = AtomicUsize::new(0);
        let on = |_| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        assert!(store.layers().pack(&layer("a"), &seal, &on).unwrap().is_none());
        assert_eq!(count.into_inner(), 1);
    }
}

#[test]
fn only_a_private_directory_of_our_own_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (name, mode) in [("group", 0o770), ("others", 0o702), ("sticky", 0o1777)] {
        fs::create_dir(path(name)).unwrap();
        set_mode(&path(name), mode);
        let error = Store::open(&path(name), &quiet).unwrap_err();
        assert!(matches!(error, Error::Writable { mode: found, .. } if found == mode), "{error}");
        assert_eq!(names(&path(name)), [""; 0]);
    }
    fs::write(path("file"), "").unwrap();
    symlink("file", path("link")).unwrap();
    mkfifo(&path("fifo"));
    for name in ["file", "link", "fifo"] {
        let error = Store::open(&path(name), &quiet).unwrap_err();
        assert!(matches!(&error, Error::NotADirectory { path } if path.ends_with(name)), "{error}");
    }
    let error = Store::open(&path("file/store"), &quiet).unwrap_err();
    assert!(error.to_string().contains("file/store"), "{error}");
    fs::create_dir(path("home")).unwrap();
    fs::write(path("home/thesis.tex"), "").unwrap();
    fs::create_dir_all(path("home/scratch/0")).unwrap();
    let error = Store::open(&path("home"), &quiet).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    assert_eq!(names(&path("home")), ["scratch", "thesis.tex"]);
    // One's own directory, and a link to it, will do.
    fs::create_dir(path("own")).unwrap();
    symlink("own", path("way")).unwrap();
    Store::open(&path("way"), &quiet).unwrap();
    Store::open(&path("own"), &quiet).unwrap();

    // Nobody runs the tests as both of these users.
    let (root, nobody) = (Path::new("/"), 65534);
    let foreign = if rustix::process::geteuid().is_root() {
        rustix::fs::chown(path("own"), Some(rustix::fs::Uid::from_raw(nobody)), None).unwrap();
        path("own")
    } else {
        root.to_owned()
    };
    let error = Store::open(&foreign, &quiet).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
}

/// Runs one of the ignored tests below in a process of its own; `before` is what a shell does
/// first.
fn child(test: &str, store: &Path, before: &str) -> Child {
    let exe = std::env::current_exe().unwrap();
    let script = format!("set -- ; {before}\nexec \"$@\" \"$0\" --ignored --exact {test}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(exe).env("STORE", store).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("running 1 test\n"), "{output:?}");
}

fn store_of_child() -> Store {
    Store::open(Path::new(&std::env::var_os("STORE").expect("started by another test")), &|_| {}).unwrap()
}

#[test]
fn private_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some/store");
        finish(child("puts_something", &path, &format!("umask {umask};")));
        for name in [".", "indexes-v1", "indexes-v1/sha256", "packs-v1", "packs-v1/sha256", "scratch", "locks"] {
            assert_eq!(mode(&path.join(name)), 0o700, "umask {umask}: {name}");
        }
        assert_eq!(mode(path.parent().unwrap()) & 0o022, 0, "umask {umask}");
        let store = Store::open(&path, &quiet).unwrap();
        assert_eq!(store.layers().index(&layer("a"), &quiet).unwrap().unwrap(), b"payload");
    }
}

#[test]
fn with_few_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    finish(child("puts_something", dir.path(), "ulimit -n 24;"));
}

#[test]
#[ignore = "the process that other tests start"]
fn puts_something() {
    let store = store_of_child();
    let _lock = store.layers().lock(&layer("a"), Patience::new(None), &quiet).unwrap();
    for number in 0..100 {
        store.layers().put_index(&layer(&number.to_string()), b"payload").unwrap();
    }
    store.layers().put_index(&layer("a"), b"payload").unwrap();
    let scratch = store.scratch().unwrap();
    let path = scratch.path().to_owned();
    let deep = path.join(["a"; 1500].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "").unwrap();
    fs::create_dir_all(path.join("a/a/b/c")).unwrap();
    drop(scratch);
    assert!(!path.exists());
    let (bytes, crcs) = pack_bytes();
    put_pack(&store, &layer("a"), &bytes);
    let seal = PackSeal { len: bytes.len() as u64, crcs: &crcs };
    assert!(store.layers().pack(&layer("a"), &seal, &quiet).unwrap().is_some());
}

#[test]
fn a_store_that_cannot_be_written_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    set_mode(dir.path(), 0o777);
    let drop_root = if rustix::process::geteuid().is_root() {
        "set -- setpriv --reuid=65534 --regid=65534 --clear-groups --"
    } else {
        "set --"
    };
    finish(child("puts_something", &path, drop_root));
    let directories = [".", "indexes-v1", "indexes-v1/sha256", "packs-v1", "packs-v1/sha256", "scratch", "locks"];
    directories.iter().rev().for_each(|sub| set_mode(&path.join(sub), 0o500));
    finish(child("reads_but_cannot_write", &path, drop_root));
    // Whoever is not root could not remove it otherwise.
    directories.iter().for_each(|sub| set_mode(&path.join(sub), 0o700));
}

#[test]
#[ignore = "the process that a_store_that_cannot_be_written_can_be_read starts"]
fn reads_but_cannot_write() {
    let store = store_of_child();
    assert_eq!(store.layers().index(&layer("a"), &quiet).unwrap().unwrap(), b"payload");
    let error = store.layers().put_index(&layer("a"), b"").unwrap_err();
    assert!(matches!(&error, Error::Create { path, .. } if path.ends_with("scratch/0.lock")), "{error}");
    let error = store.layers().lock(&layer("a"), Patience::new(None), &quiet).unwrap_err();
    assert!(matches!(error, Error::Create { .. }), "{error}");
    // A damaged entry that can't be removed is not used all the same.
    set_mode(&index_path(&store, &layer("a")), 0o000);
    let kept = Mutex::new(false);
    let note = |event| *kept.lock().unwrap() = matches!(event, Event::Damaged { kept: Some(_), .. });
    assert_eq!(store.layers().index(&layer("a"), &note).unwrap(), None);
    assert!(kept.into_inner().unwrap());
}

#[test]
fn scratch_is_private_to_one_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &quiet).unwrap();
    let one = store.scratch().unwrap();
    let two = store.scratch().unwrap();
    assert_ne!(one.path(), two.path());
    assert_eq!(mode(one.path()), 0o700);
    fs::create_dir_all(one.path().join("a/b")).unwrap();
    fs::write(one.path().join("a/b/c"), "").unwrap();
    symlink(two.path(), one.path().join("link")).unwrap();
    fs::write(two.path().join("kept"), "").unwrap();
    // Another user of the store leaves the living alone.
    drop(Store::open(dir.path(), &quiet).unwrap());
    assert!(one.path().join("a/b/c").exists());
    drop(one);
    assert!(two.path().join("kept").exists());
    drop(two);
    assert_eq!(names(&dir.path().join("scratch")), [""; 0]);
}

#[test]
fn one_directory_has_all_that_is_not_finished() {
    struct Looking<'a>(&'a Path, Vec<Vec<String>>);
    impl std::io::Read for Looking<'_> {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            self.1.push(names(&self.0.join("scratch")));
            Ok(0)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &quiet).unwrap();
    let pin = store.pin([]).unwrap();
    for (kept, expected) in [(Some(store.scratch().unwrap()), vec!["0", "0.lock"]), (None, vec!["0", "0.lock"])] {
        let other = kept.is_some().then(|| store.scratch().unwrap());
        let mut looking = Looking(dir.path(), Vec::new());
        drop(other);
        store.blobs().add(&mut looking, &pin).unwrap();
        assert_eq!(looking.1, [expected]);
        if let Some(scratch) = &kept {
            assert_eq!(names(scratch.path()), [""; 0]);
        }
    }
    assert_eq!(names(&dir.path().join("scratch")), [""; 0]);
}

#[test]
fn what_a_killed_process_leaves_is_removed_and_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut killed = child("holds_everything", &path, "");
    let ready = path.join("ready");
    while !ready.exists() {
        assert!(killed.try_wait().unwrap().is_none(), "ended early");
        std::thread::yield_now();
    }
    let store = Store::open(&path, &quiet).unwrap();
    assert_eq!(names(&path.join("scratch")), ["0", "0.lock", "1", "1.lock"]);
    let waiting = Mutex::new(0);
    let waits = |event| {
        assert!(matches!(event, Event::Waiting { .. }), "{event}");
        *waiting.lock().unwrap() += 1;
        // Only now is it killed: the lock passes to one who waits.
        let killed = rustix::process::Pid::from_child(&killed);
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    };
    drop(store.layers().lock(&layer("a"), Patience::new(None), &waits).unwrap());
    assert_eq!(waiting.into_inner().unwrap(), 1);
    killed.wait().unwrap();
    fs::write(path.join("scratch/2"), "a file, of whatever origin").unwrap();
    fs::write(path.join("locks/left"), "").unwrap();
    let removed = Mutex::new(Vec::new());
    let note = |event| match event {
        Event::Removed { path } => removed.lock().unwrap().push(path.file_name().unwrap().to_owned()),
        other => panic!("{other}"),
    };
    Store::open(&path, &note).unwrap();
    let mut removed = removed.into_inner().unwrap();
    removed.sort();
    assert_eq!(removed, ["0", "1", "2"]);
    assert_eq!(names(&path.join("scratch")), [""; 0]);
    assert_eq!(names(&path.join("locks")), [""; 0]);
}

#[test]
#[ignore = "the process that what_a_killed_process_leaves_is_removed_and_blocks_nobody starts"]
fn holds_everything() {
    let store = store_of_child();
    let _lock = store.layers().lock(&layer("a"), Patience::new(None), &quiet).unwrap();
    let scratch = store.scratch().unwrap();
    let _other = store.scratch().unwrap();
    fs::create_dir_all(scratch.path().join("a/b")).unwrap();
    fs::write(store.path().join("ready"), "").unwrap();
    // Ends when the parent does, should it never be killed.
    let _ = std::io::stdin().lines().count();
}

#[test]
fn one_works_while_others_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::open(&path, &quiet).unwrap();
    let children: Vec<_> = (0..3).map(|_| child("bakes_layers_like_many_others", &path, "")).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| bake_layers(&store));
        }
    });
    children.into_iter().for_each(finish);
    for number in 0..LAYERS {
        let work = fs::read_to_string(path.join(format!("work-{number}"))).unwrap();
        assert_eq!(work, "x", "the work of one layer is done once");
    }
    assert_eq!(names(&path.join("locks")), [""; 0]);
    assert_eq!(names(&path.join("scratch")), [""; 0]);
}

const LAYERS: u32 = 20;

/// What a bake does: look, lock, look again, work, keep.
fn bake_layers(store: &Store) {
    for number in 0..LAYERS {
        let layer = layer(&number.to_string());
        if store.layers().index(&layer, &quiet).unwrap().is_some() {
            continue;
        }
        let _lock = store.layers().lock(&layer, Patience::new(None), &|_| {}).unwrap();
        if store.layers().index(&layer, &quiet).unwrap().is_none() {
            use std::io::Write;
            let work = store.path().join(format!("work-{number}"));
            File::options().append(true).create(true).open(work).unwrap().write_all(b"x").unwrap();
            store.layers().put_index(&layer, &vec![7; 100_000]).unwrap();
        }
    }
}

#[test]
#[ignore = "the process that one_works_while_others_wait starts"]
fn bakes_layers_like_many_others() {
    bake_layers(&store_of_child());
}
