//! Blobs, beginnings of blobs, and what names point to: whoever else uses them, and whatever stands
//! in their place.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use cvbake_store::{Event, Origin, Patience, Reference, Store};
use cvbake_verify::Digest;

/// Gives an image a name, as a registry says it.
fn set_name(store: &Store, name: &str, reference: &Reference) {
    store.names().set([name], reference, Origin::Registry, &|_| {}).unwrap();
}

/// All names, and what they point to.
fn references(store: &Store) -> Vec<(String, Reference)> {
    store.names().list(&|_| {}).unwrap().into_iter().map(|named| (named.name, named.reference)).collect()
}

fn quiet(event: Event) {
    panic!("unexpected: {event}");
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("store"), &quiet).unwrap()
}

fn partial_path(store: &Store, digest: &Digest) -> PathBuf {
    store.path().join("partial").join(format!("sha256-{}", digest.hex()))
}

fn blob_path(store: &Store, digest: &Digest) -> PathBuf {
    store.path().join("blobs/sha256").join(digest.hex())
}

fn put(store: &Store, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    let mut partial = store.blobs().partial(&digest, Patience::new(None), &quiet).unwrap();
    partial.append(bytes).unwrap();
    partial.commit().unwrap();
    digest
}

fn get(store: &Store, digest: &Digest) -> Option<Vec<u8>> {
    let mut file = store.blobs().open(digest, None, &quiet).unwrap()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

type Thing = (&'static str, fn(&Path));

/// Things that are no entries, each with what is said of it.
const THINGS: [Thing; 5] = [
    ("a symbolic link", |path| symlink("/etc/passwd", path).unwrap()),
    ("a symbolic link", |path| symlink("nowhere", path).unwrap()),
    ("a directory", |path| fs::create_dir_all(path.join("with/something")).unwrap()),
    ("a named pipe", |path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }),
    ("a socket", |path| {
        // A socket's path may not be long: made elsewhere, moved there.
        let dir = tempfile::tempdir_in(path.ancestors().nth(3).unwrap()).unwrap();
        std::os::unix::net::UnixListener::bind(dir.path().join("x")).unwrap();
        fs::rename(dir.path().join("x"), path).unwrap();
    }),
];

#[test]
fn a_blob_grows_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let digest = Digest::sha256(b"hello world");
    assert!(get(&store, &digest).is_none());
    store.blobs().remove(&digest).unwrap();

    let mut partial = store.blobs().partial(&digest, Patience::new(None), &quiet).unwrap();
    assert!(partial.is_empty());
    partial.append(b"hello ").unwrap();
    assert_eq!(partial.len(), 6);
    drop(partial);
    assert!(get(&store, &digest).is_none(), "half of it is not it");

    // Another run goes on.
    let store = Store::open(store.path(), &quiet).unwrap();
    let mut partial = store.blobs().partial(&digest, Patience::new(None), &quiet).unwrap();
    assert_eq!(partial.len(), 6);
    let mut start = [0; 6];
    partial.file().read_exact_at(&mut start, 0).unwrap();
    assert_eq!(&start, b"hello ");
    partial.append(b"there").unwrap();
    partial.restart().unwrap();
    assert_eq!(partial.len(), 0);
    partial.append(b"hello ").unwrap();
    partial.append(b"").unwrap();
    partial.append(b"world").unwrap();
    partial.commit().unwrap();

    assert_eq!(get(&store, &digest).unwrap(), b"hello world");
    assert!(store.blobs().open(&digest, Some(11), &quiet).unwrap().is_some());
    assert!(!partial_path(&store, &digest).exists());
    assert_eq!(fs::read(store.path().join("oci-layout")).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&blob_path(&store, &digest)), 0o600);
    assert_eq!(mode(&store.path().join("oci-layout")), 0o600);
    assert_eq!(mode(&store.path().join("partial")), 0o700);

    store.blobs().remove(&digest).unwrap();
    assert!(get(&store, &digest).is_none());
    assert_eq!(get(&store, &put(&store, b"")).unwrap(), b"");
}

#[test]
fn a_partial_blob_without_bytes_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let digest = Digest::sha256(b"x");
    drop(store.blobs().partial(&digest, Patience::new(None), &quiet).unwrap());
    assert_eq!(names(&store.path().join("partial")), [""; 0]);
}

#[test]
fn a_blob_of_another_length_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let digest = put(&store, b"some bytes");
    let events = Mutex::new(Vec::new());
    let found = store.blobs().open(&digest, Some(11), &|event| events.lock().unwrap().push(event.to_string())).unwrap();
    assert!(found.is_none());
    let events = events.into_inner().unwrap();
    assert!(events.len() == 1 && events[0].ends_with("it has 10 bytes, expected 11"), "{events:?}");
    assert!(!blob_path(&store, &digest).exists());
}

#[test]
fn other_things_in_the_place_of_entries_give_way() {
    let reference = Reference { digest: Digest::sha256(b"m"), media_type: "a/b".to_owned(), size: 7 };
    for (told, make) in THINGS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let digest = put(&store, b"some bytes");
        set_name(&store, "r.io/a:b", &reference);
        fs::create_dir_all(store.path().join("partial")).unwrap();
        let named = store.path().join("repositories/r.io/a/:b");
        for path in [blob_path(&store, &digest), partial_path(&store, &digest), named.clone()] {
            let _ = fs::remove_file(&path);
            make(&path);
            let events = Mutex::new(Vec::new());
            let on = |event: Event| events.lock().unwrap().push(event.to_string());
            if path == named {
                assert!(store.names().get("r.io/a:b", &on).unwrap().is_none());
            } else if path.starts_with(store.path().join("partial")) {
                assert!(store.blobs().partial(&digest, Patience::new(None), &on).unwrap().is_empty());
            } else {
                assert!(store.blobs().open(&digest, None, &on).unwrap().is_none());
            }
            let events = events.into_inner().unwrap();
            assert!(events.len() == 1 && events[0].contains(told), "{} {events:?}", path.display());
            assert!(path.symlink_metadata().is_err(), "{}", path.display());
        }
        // In the way of a new entry they are removed, too.
        make(&blob_path(&store, &digest));
        assert_eq!(put(&store, b"some bytes"), digest);
        assert_eq!(get(&store, &digest).unwrap(), b"some bytes");
        make(&named);
        set_name(&store, "r.io/a:b", &reference);
        assert_eq!(store.names().get("r.io/a:b", &quiet).unwrap().unwrap(), reference);
        assert!(
            fs::read("/etc/passwd").is_ok_and(|bytes| bytes.starts_with(b"root:")),
            "nothing is written through links"
        );
    }
}

#[test]
fn names_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(references(&store), []);
    let reference = |text: &str| Reference {
        digest: Digest::sha256(text.as_bytes()),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        size: 1,
    };
    let pinned = format!("r.io/a/b@{}", Digest::sha256(b"x"));
    // The repository `a/b` and the tag `b` of `a` don't get into each other's way.
    let names = ["docker.io/library/alpine:3.20", "localhost:5000/x:latest", "r.io/a/b:t", "r.io/a:b", &pinned];
    for name in names {
        assert_eq!(store.names().get(name, &quiet).unwrap(), None);
        set_name(&store, name, &reference("older"));
        set_name(&store, name, &reference(name));
        assert_eq!(store.names().get(name, &quiet).unwrap(), Some(reference(name)));
    }
    let mut expected: Vec<_> = names.map(|name| (name.to_owned(), reference(name))).to_vec();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(references(&store), expected);
    set_name(&store, "../../../outside:x", &reference("o"));
    assert!(!dir.path().join("outside").exists());
    let store = Store::open(store.path(), &quiet).unwrap();
    assert_eq!(store.names().get("../../../outside:x", &quiet).unwrap(), Some(reference("o")));
}

#[test]
fn a_damaged_reference_is_removed_and_reported() {
    let digest = Digest::sha256(b"m");
    let good = format!(r#"{{"digest":"{digest}","mediaType":"a/b","size":7}}"#);
    let long = " ".repeat(5000);
    for text in ["", "{", "[]", r#"{"digest":"md5:12","mediaType":"a/b","size":7}"#, &good[1..], &long] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let path = store.path().join("repositories/r/a/:b");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let events = Mutex::new(0);
        assert!(store.names().get("r/a:b", &|_| *events.lock().unwrap() += 1).unwrap().is_none(), "{text:?}");
        assert_eq!(events.into_inner().unwrap(), 1, "{text:?}");
        assert!(!path.exists());
        fs::write(&path, &good).unwrap();
        assert_eq!(store.names().get("r/a:b", &quiet).unwrap().unwrap().size, 7);
    }
}

/// Runs one of the ignored tests below in a process of its own.
fn child(test: &str, store: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test]).env("STORE", store).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn store_of_child() -> Store {
    Store::open(Path::new(&std::env::var_os("STORE").expect("started by another test")), &|_| {}).unwrap()
}

#[test]
fn the_bytes_of_a_killed_process_stay_and_it_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut killed = child("writes_half_and_holds_it", &path);
    while !path.join("ready").exists() {
        assert!(killed.try_wait().unwrap().is_none(), "ended early");
        std::thread::yield_now();
    }
    let store = Store::open(&path, &quiet).unwrap();
    let waiting = Mutex::new(0);
    let waits = |event| {
        assert!(matches!(event, Event::WaitingForBlob { .. }), "{event}");
        *waiting.lock().unwrap() += 1;
        // Only now is it killed: the blob passes to one who waits.
        let killed = rustix::process::Pid::from_child(&killed);
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    };
    let partial = store.blobs().partial(&Digest::sha256(b"a whole"), Patience::new(None), &waits).unwrap();
    assert_eq!((partial.len(), *waiting.lock().unwrap()), (4, 1));
    killed.wait().unwrap();
}

#[test]
#[ignore = "the process that the_bytes_of_a_killed_process_stay_and_it_blocks_nobody starts"]
fn writes_half_and_holds_it() {
    let store = store_of_child();
    let mut partial = store.blobs().partial(&Digest::sha256(b"a whole"), Patience::new(None), &quiet).unwrap();
    partial.append(b"a wh").unwrap();
    fs::write(store.path().join("ready"), "").unwrap();
    // Ends when the parent does, should it never be killed.
    let _ = std::io::stdin().lines().count();
}

#[test]
fn several_processes_download_a_blob_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::open(&path, &quiet).unwrap();
    let children: Vec<_> = (0..3).map(|_| child("downloads_like_many_others", &path)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| download(&store));
        }
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("running 1 test\n"), "{output:?}");
    }
    for number in 0..BLOBS {
        assert_eq!(fs::read_to_string(path.join(format!("work-{number}"))).unwrap(), "x", "a blob is downloaded once");
    }
    assert_eq!(names(&path.join("partial")), [""; 0]);
}

const BLOBS: u32 = 20;

/// What a download does: look, take, look again, work, keep.
fn download(store: &Store) {
    for number in 0..BLOBS {
        let bytes = number.to_le_bytes().repeat(10_000);
        let digest = Digest::sha256(&bytes);
        if store.blobs().open(&digest, None, &quiet).unwrap().is_none() {
            let mut partial = store.blobs().partial(&digest, Patience::new(None), &|_| {}).unwrap();
            if store.blobs().open(&digest, None, &quiet).unwrap().is_none() {
                let work = store.path().join(format!("work-{number}"));
                File::options().append(true).create(true).open(work).unwrap().write_all(b"x").unwrap();
                bytes.chunks(1000).for_each(|piece| partial.append(piece).unwrap());
                partial.commit().unwrap();
            }
        }
        assert!(get(store, &digest).unwrap() == bytes);
        set_name(store, &format!("r/a:{}", number % 3), &Reference { digest, media_type: String::new(), size: 0 });
    }
}

#[test]
#[ignore = "the process that several_processes_download_a_blob_once starts"]
fn downloads_like_many_others() {
    download(&store_of_child());
}
