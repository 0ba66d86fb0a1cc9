//! Who makes what others want, too, is waited for as long as something comes of it, and no longer.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cvbake_store::{Event, Patience, Rules, Store, Unused};
use cvbake_verify::Digest;

fn quiet(event: Event) {
    panic!("unexpected: {event}");
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("store"), &quiet).unwrap()
}

/// Of who has little, for something of so many bytes.
fn short(bytes: u64) -> Patience {
    Patience::new(Some(bytes)).stall(Duration::from_millis(100))
}

/// More than anybody needs.
fn long() -> Patience {
    Patience::new(Some(1 << 30)).stall(Duration::from_secs(60))
}

fn names(store: &Store, dir: &str) -> Vec<String> {
    let dir = fs::read_dir(store.path().join(dir)).unwrap();
    let mut names: Vec<_> = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn content(store: &Store, digest: &Digest) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    store.blobs().open(digest, None, &quiet).unwrap()?.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// Keeps what is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn on(&self) -> impl Fn(Event) + Sync + '_ {
        |event| self.0.lock().unwrap().push(event.to_string())
    }

    /// What was told, by the first words of each.
    fn assert(&self, expected: &[&str]) {
        let told = self.0.lock().unwrap();
        let fits =
            told.len() == expected.len() && told.iter().zip(expected).all(|(told, begin)| told.starts_with(begin));
        assert!(fits, "{told:?}\nshould be {expected:?}");
    }
}

const WAITING: &str = "waiting for another process";
const WAITED: &str = "no longer waiting for another process";

#[test]
fn a_blob_that_does_not_come_is_got_in_a_file_beside() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = (open(&dir), Told::default());
    let digest = Digest::sha256(b"a whole");
    let mut leader = store.blobs().partial(&digest, long(), &quiet).unwrap();
    leader.append(b"a w").unwrap();
    let mut waiter = store.blobs().partial(&digest, short(7), &told.on()).unwrap();
    told.assert(&[WAITING, &format!("{WAITED}, which has downloaded 3 bytes of {digest}")]);
    assert!(waiter.is_empty(), "nothing of the other's is taken over");
    assert_eq!(names(&store, "partial").len(), 2);
    waiter.append(b"a whole").unwrap();
    waiter.commit().unwrap();
    assert_eq!(content(&store, &digest).unwrap(), b"a whole");
    // The other one is not disturbed, and does no harm when it comes to its end.
    assert_eq!(names(&store, "partial").len(), 1);
    leader.append(b"hole").unwrap();
    let mut read = Vec::new();
    fs::File::open(store.path().join("partial").join(&names(&store, "partial")[0]))
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    assert_eq!(read, b"a whole");
    leader.commit().unwrap();
    assert_eq!(content(&store, &digest).unwrap(), b"a whole");
    assert_eq!(names(&store, "partial"), [""; 0]);
}

#[test]
fn those_who_have_waited_enough_wait_for_one_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = (open(&dir), Told::default());
    let digest = Digest::sha256(b"a whole");
    let leader = store.blobs().partial(&digest, long(), &quiet).unwrap();
    let mut second = store.blobs().partial(&digest, short(7), &|_| {}).unwrap();
    std::thread::scope(|scope| {
        let third = scope.spawn(|| store.blobs().partial(&digest, short(60 << 20), &told.on()).unwrap());
        while told.0.lock().unwrap().len() < 2 {
            std::thread::yield_now();
        }
        second.append(b"a whole").unwrap();
        second.commit().unwrap();
        assert!(third.join().unwrap().is_empty());
    });
    assert!(content(&store, &digest).is_some());
    told.assert(&[WAITING, WAITED]);
    drop(leader);
    assert_eq!(names(&store, "partial"), [""; 0]);
}

#[test]
fn a_blob_that_is_finished_beside_ends_the_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = (open(&dir), Told::default());
    let digest = Digest::sha256(b"a whole");
    let _leader = store.blobs().partial(&digest, long(), &quiet).unwrap();
    let mut second = store.blobs().partial(&digest, short(7), &|_| {}).unwrap();
    std::thread::scope(|scope| {
        let third = scope.spawn(|| store.blobs().partial(&digest, long(), &told.on()).unwrap());
        while told.0.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        second.append(b"a whole").unwrap();
        second.commit().unwrap();
        assert!(third.join().unwrap().is_empty());
    });
    told.assert(&[WAITING]);
}

/// Grows by so much, now and then, until it is told to stop.
fn grow(stop: &AtomicBool, mut more: impl FnMut()) {
    while !stop.load(Ordering::SeqCst) {
        more();
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_blob_that_comes_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let piece = vec![7; 256 << 10];
    let patient = Patience::new(Some(1 << 30)).stall(Duration::from_secs(1));
    let digest = Digest::sha256(b"large");
    let mut leader = store.blobs().partial(&digest, long(), &quiet).unwrap();
    let (stop, told) = (AtomicBool::new(false), Told::default());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.blobs().partial(&digest, patient, &told.on()).unwrap());
        let begun = Instant::now();
        // Longer than anybody waits for nothing.
        grow(&stop, || {
            leader.append(&piece).unwrap();
            stop.store(begun.elapsed() > Duration::from_millis(2500), Ordering::SeqCst);
        });
        told.assert(&[WAITING]);
        leader.commit().unwrap();
        assert!(waiter.join().unwrap().is_empty());
    });
    told.assert(&[WAITING]);
    assert!(store.blobs().open(&digest, None, &quiet).unwrap().is_some());
}

#[test]
fn a_blob_that_comes_for_ever_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let digest = Digest::sha256(b"small");
    let mut leader = store.blobs().partial(&digest, long(), &quiet).unwrap();
    let (stop, told) = (AtomicBool::new(false), Told::default());
    std::thread::scope(|scope| {
        scope.spawn(|| grow(&stop, || leader.append(&[7; 64 << 10]).unwrap()));
        let waiter = store.blobs().partial(&digest, short(5), &told.on());
        stop.store(true, Ordering::SeqCst);
        assert!(waiter.unwrap().is_empty());
    });
    told.assert(&[WAITING, WAITED]);
}

#[test]
fn a_layer_that_nothing_comes_of_is_worked_on_by_several() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = (open(&dir), Told::default());
    let layer = Digest::sha256(b"layer");
    let leader = store.layers().lock(&layer, long(), &quiet).unwrap();
    let waiter = store.layers().lock(&layer, short(0), &told.on()).unwrap();
    told.assert(&[WAITING, &format!("{WAITED}, which has unpacked 0 bytes of layer {layer}")]);
    assert!(leader.is_alone() && !waiter.is_alone());
    // Who goes first takes nothing from the other.
    store.layers().put_index(&layer, b"index").unwrap();
    drop(waiter);
    assert_eq!(names(&store, "locks").len(), 1);
    drop(leader);
    assert_eq!(names(&store, "locks"), [""; 0]);
    assert!(store.layers().lock(&layer, short(0), &quiet).unwrap().is_alone());
}

#[test]
fn a_layer_that_is_unpacked_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = (open(&dir), Told::default());
    let layer = Digest::sha256(b"layer");
    let patient = Patience::new(Some(1 << 30)).stall(Duration::from_secs(1));
    let mut leader = store.layers().lock(&layer, long(), &quiet).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.layers().lock(&layer, patient, &told.on()).unwrap());
        let begun = Instant::now();
        grow(&stop, || {
            leader.unpacked(1 << 20);
            stop.store(begun.elapsed() > Duration::from_millis(2500), Ordering::SeqCst);
        });
        drop(leader);
        assert!(waiter.join().unwrap().is_alone());
    });
    told.assert(&[WAITING]);
    // But neither for ever, nor for next to nothing.
    for (bytes, patience) in [(1 << 20, short(0)), (1, short(1 << 30))] {
        let mut leader = store.layers().lock(&layer, long(), &quiet).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| grow(&stop, || leader.unpacked(bytes)));
            let waiter = store.layers().lock(&layer, patience, &|_| {});
            stop.store(true, Ordering::SeqCst);
            assert!(!waiter.unwrap().is_alone());
        });
    }
}

/// Runs one of the ignored tests below in a process of its own, until it is ready.
fn child(test: &str, store: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test]).env("STORE", store).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while !store.join("ready").exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended early");
        std::thread::yield_now();
    }
    child
}

#[test]
fn what_is_left_beside_is_tidied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let digest = Digest::sha256(b"a whole");
    let remove = || {
        let rules = Rules { partials: Unused::Goes, ..Rules::default() };
        let sweep = store.lock_exclusive(&quiet).unwrap();
        let removal = sweep.plan(&rules, &quiet).unwrap();
        sweep.remove(&removal).unwrap();
        removal.partials.len()
    };
    let kill = |mut child: Child| {
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(store.path().join("ready")).unwrap();
    };
    let running = child("has_waited_enough", store.path());
    let partials = store.maintenance().stats(&Rules::default(), &quiet).unwrap().partials;
    assert_eq!((partials.count, partials.bytes), (2, 5));
    assert_eq!(remove(), 0, "somebody is at it");
    kill(running);
    assert_eq!(names(&store, "partial").len(), 2);
    let pin = store.pin([digest]).unwrap();
    assert_eq!(remove(), 0, "somebody is going to want it");
    drop(pin);
    assert_eq!(remove(), 2);
    // Or whoever gets the blob removes it.
    kill(child("has_waited_enough", store.path()));
    let mut partial = store.blobs().partial(&digest, short(7), &quiet).unwrap();
    assert_eq!(partial.len(), 3);
    partial.append(b"hole").unwrap();
    partial.commit().unwrap();
    assert_eq!(names(&store, "partial"), [""; 0]);
}

#[test]
#[ignore = "the process that what_is_left_beside_is_tidied starts"]
fn has_waited_enough() {
    let path = std::env::var_os("STORE").expect("started by another test");
    let store = Store::open(Path::new(&path), &|_| {}).unwrap();
    let digest = Digest::sha256(b"a whole");
    let mut leader = store.blobs().partial(&digest, short(7), &quiet).unwrap();
    leader.append(b"a w").unwrap();
    let mut waiter = store.blobs().partial(&digest, short(7), &|_| {}).unwrap();
    waiter.append(b"a ").unwrap();
    fs::write(store.path().join("ready"), "").unwrap();
    // Ends when the parent does, should it never be killed.
    let _ = std::io::stdin().lines().count();
}
