//! Several processes and one store: what one uses the others don't remove, and names are changed by
//! one at a time.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use cvbake_store::{Error, Event, Origin, Reference, Store};
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

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn reference(text: &str) -> Reference {
    let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
    Reference { digest: digest(text), media_type, size: text.len() as u64 }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pinned(store: &Store) -> Vec<Digest> {
    store.lock_exclusive(&quiet).unwrap().pinned().iter().copied().collect()
}

/// Runs one of the ignored tests below in a process of its own.
fn child(test: &str, store: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test]).env("STORE", store).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("running 1 test\n"), "{output:?}");
}

fn path_of_child() -> PathBuf {
    std::env::var_os("STORE").expect("started by another test").into()
}

#[test]
fn only_a_store_that_is_there_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some/store");
    assert!(Store::open_existing(&path, &quiet).unwrap().is_none());
    assert!(!dir.path().join("some").exists());
    fs::create_dir_all(&path).unwrap();
    assert!(Store::open_existing(&path, &quiet).unwrap().is_none(), "an empty directory is none yet");
    assert_eq!(names(&path), [""; 0]);
    fs::write(path.join("thesis.tex"), "").unwrap();
    assert!(matches!(Store::open_existing(&path, &quiet), Err(Error::NotAStore { .. })));
    fs::remove_file(path.join("thesis.tex")).unwrap();
    Store::open(&path, &quiet).unwrap().layers().put_index(&digest("a"), b"payload").unwrap();
    let store = Store::open_existing(&path, &quiet).unwrap().unwrap();
    assert_eq!(store.layers().index(&digest("a"), &quiet).unwrap().unwrap(), b"payload");
    let file = path.join("indexes-v1/sha256").join(digest("a").hex());
    assert!(matches!(Store::open_existing(&file, &quiet), Err(Error::NotADirectory { .. })));
}

#[test]
fn blobs_are_what_their_digests_say() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.blobs().list().unwrap(), []);
    assert_eq!(store.blobs().put(&digest("one"), &b"one"[..], &quiet).unwrap(), 3);
    let error = store.blobs().put(&digest("two"), &b"three"[..], &quiet).unwrap_err();
    assert!(
        matches!(&error, Error::Digest { expected, found } if (**expected, **found) == (digest("two"), digest("three")))
    );
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }
    }
    let broken = std::io::Read::chain(&b"tw"[..], Broken);
    assert!(matches!(store.blobs().put(&digest("two"), broken, &quiet), Err(Error::Input { .. })));
    assert!(store.blobs().open(&digest("two"), None, &quiet).unwrap().is_none());
    assert_eq!(names(&store.path().join("partial")), [""; 0]);

    let pin = store.pin([]).unwrap();
    assert_eq!(store.blobs().add(&b"four"[..], &pin).unwrap(), (digest("four"), 4));
    assert!(matches!(store.blobs().add(Broken, &pin), Err(Error::NewInput { .. })));
    assert_eq!(pinned(&store), [digest("four")]);
    let mut expected = [(digest("one"), 3), (digest("four"), 4)];
    expected.sort();
    fs::write(store.path().join("blobs/sha256/README"), "not a blob").unwrap();
    assert_eq!(store.blobs().list().unwrap(), expected);
    assert_eq!(names(&store.path().join("scratch")), [""; 0]);
    let layout = fs::read_to_string(store.path().join("oci-layout")).unwrap();
    assert!(layout.contains("imageLayoutVersion"), "{layout}");
}

#[test]
fn pins_last_as_long_as_they_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(pinned(&store), []);
    let one = store.pin([digest("a"), digest("b")]).unwrap();
    let two = store.pin([digest("b")]).unwrap();
    two.add([digest("c")]).unwrap();
    let mut all = [digest("a"), digest("b"), digest("c")];
    all.sort();
    assert_eq!(pinned(&store), all);
    // Another user of the store leaves them alone.
    drop(open(&dir));
    assert_eq!(pinned(&store), all);
    drop(one);
    let mut left = [digest("b"), digest("c")];
    left.sort();
    assert_eq!(pinned(&store), left);
    drop(two);
    assert_eq!(pinned(&store), []);
    assert_eq!(names(&store.path().join("pins")), [""; 0]);
}

#[test]
fn what_a_killed_process_used_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut holder = child("pins_something", store.path());
    while !store.path().join("ready").exists() {
        assert!(holder.try_wait().unwrap().is_none(), "ended early");
        std::thread::yield_now();
    }
    assert_eq!(pinned(&store), [digest("used")]);
    assert_eq!(pinned(&open(&dir)), [digest("used")]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(names(&store.path().join("pins")), ["0"], "nobody could remove it");
    assert_eq!(pinned(&store), []);
    // Its number is given again, without what was in it.
    let again = store.pin([digest("mine")]).unwrap();
    assert_eq!((pinned(&store), names(&store.path().join("pins"))), (vec![digest("mine")], vec!["0".to_owned()]));
    drop(again);
    fs::write(store.path().join("pins/7"), "left").unwrap();
    open(&dir);
    assert_eq!(names(&store.path().join("pins")), [""; 0]);
}

#[test]
#[ignore = "the process that what_a_killed_process_used_is_forgotten starts"]
fn pins_something() {
    let store = Store::open(&path_of_child(), &|_| {}).unwrap();
    let _pin = store.pin([digest("used")]).unwrap();
    fs::write(store.path().join("ready"), "").unwrap();
    // Ends when the parent does, should it never be killed.
    let _ = std::io::stdin().lines().count();
}

/// What one process uses must not keep others from removing what nobody does.
#[test]
fn long_lists_are_read_and_endless_ones_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let digests = || (0..100_000_u32).map(|number| digest(&number.to_string()));
    let pin = store.pin(digests()).unwrap();
    assert_eq!(pinned(&store).len(), 100_000);
    let again = std::iter::repeat_n(digest("a"), 1 << 20);
    let error = pin.add(again).unwrap_err();
    assert!(matches!(error, cvbake_store::Error::ManyPinned { .. }), "{error}");
    assert_eq!(pinned(&store).len(), 100_001, "what was said is kept");
}

#[test]
fn a_list_that_nobody_understands_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let _pin = store.pin([digest("a")]).unwrap();
    let list = store.path().join("pins/0");
    for text in ["nonsense", "sha256:12\n", &"x".repeat(5 << 20)] {
        fs::write(&list, text).unwrap();
        let error = store.lock_exclusive(&quiet).unwrap_err();
        assert!(matches!(&error, Error::Read { path, .. } if *path == list), "{error}");
    }
}

#[test]
fn names_are_removed_and_the_layout_follows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let listed = || -> Vec<(Option<String>, String)> {
        let text = fs::read(store.path().join("index.json")).unwrap();
        let candidates = cvbake_verify::parse_index("index.json", &text).unwrap();
        candidates.into_iter().map(|one| (one.ref_name, one.descriptor.digest.to_string())).collect()
    };
    let untagged = format!("@{}", digest("u"));
    for name in ["docker.io/library/alpine:3.20", "docker.io/library/alpine:edge", "r.io/a/b:t", &untagged] {
        set_name(&store, name, &reference(name));
    }
    let entry = |name: &str| (Some(name.to_owned()), digest(name).to_string());
    let expected = [
        (None, digest(&untagged).to_string()),
        entry("docker.io/library/alpine:3.20"),
        entry("docker.io/library/alpine:edge"),
        entry("r.io/a/b:t"),
    ];
    assert_eq!(listed(), expected);
    assert!(references(&store).iter().any(|(name, _)| *name == untagged));

    assert!(store.names().remove("docker.io/library/alpine:3.20").unwrap());
    assert!(!store.names().remove("docker.io/library/alpine:3.20").unwrap());
    assert!(!store.names().remove("nowhere/at/all:x").unwrap());
    let alone = store.lock_exclusive(&quiet).unwrap();
    assert!(alone.remove_name("r.io/a/b:t").unwrap());
    drop(alone);
    set_name(&store, "r.io/new:t", &reference("new"));
    assert_eq!(
        listed(),
        [expected[0].clone(), expected[2].clone(), (Some("r.io/new:t".to_owned()), digest("new").to_string())]
    );
    assert_eq!(names(&store.path().join("repositories")), ["%", "docker.io", "r.io"]);
    assert_eq!(names(&store.path().join("repositories/r.io")), ["new"], "directories go with their last name");
}

#[test]
fn lost_names_are_restored_from_the_layout() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let untagged = format!("@{}", digest("u"));
    for name in ["docker.io/library/alpine:3.20", &untagged] {
        set_name(&store, name, &reference("u"));
    }
    let expected = references(&store);
    fs::remove_dir_all(store.path().join("repositories")).unwrap();
    let told = Mutex::new(Vec::new());
    let store = Store::open(store.path(), &|event| told.lock().unwrap().push(event.to_string())).unwrap();
    assert_eq!(references(&store), expected);
    let told = told.into_inner().unwrap();
    assert!(told.len() == 1 && told[0].contains("2 names"), "{told:?}");
    // Nonsense restores nothing and is in nobody's way.
    fs::remove_dir_all(store.path().join("repositories")).unwrap();
    fs::write(store.path().join("index.json"), "[]").unwrap();
    let store = Store::open(store.path(), &|_| {}).unwrap();
    assert_eq!(references(&store), []);
    set_name(&store, "a/b:c", &reference("c"));
    drop(open(&dir));
}

#[test]
fn many_change_names_and_pin_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let children: Vec<_> = (0..3).map(|_| child("changes_names_and_pins", store.path())).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| change_names_and_pin(&store));
        }
    });
    children.into_iter().for_each(finish);
    assert_eq!(pinned(&store), []);
    let text = fs::read(store.path().join("index.json")).unwrap();
    let listed = cvbake_verify::parse_index("index.json", &text).unwrap().len();
    assert_eq!(listed, references(&store).len());
}

fn change_names_and_pin(store: &Store) {
    for number in 0..20 {
        let name = format!("r/a:{}", number % 4);
        let _pin = store.pin([digest(&name)]).unwrap();
        set_name(store, &name, &reference(&name));
        let alone = store.lock_exclusive(&|_| {}).unwrap();
        assert!(alone.pinned().contains(&digest(&name)), "what one pinned oneself is there");
        if number % 3 == 0 {
            alone.remove_name(&name).unwrap();
        }
    }
}

#[test]
#[ignore = "the process that many_change_names_and_pin_at_once starts"]
fn changes_names_and_pins() {
    change_names_and_pin(&Store::open(&path_of_child(), &|_| {}).unwrap());
}
