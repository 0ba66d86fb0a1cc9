//! Looking finds what is wrong, and leaves it where it is.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cvbake_store::{Event, Health, Origin, Reference, Rules, Store, Unused};
use cvbake_verify::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

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

fn put(store: &Store, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    store.blobs().put(&digest, bytes, &quiet).unwrap();
    digest
}

/// A manifest of one layer, and the layer.
fn put_image(store: &Store, layer: &str) -> (Reference, Digest) {
    let layer = put(store, layer.as_bytes());
    let config = put(store, format!(r#"{{"rootfs":{{"diff_ids":["{layer}"]}}}}"#).as_bytes());
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"digest":"{config}"}},"layers":[{{"digest":"{layer}"}}]}}"#
    );
    let digest = put(store, text.as_bytes());
    (Reference { digest, media_type: MANIFEST.to_owned(), size: text.len() as u64 }, layer)
}

/// Everything below a directory: paths, kinds, contents.
fn snapshot(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            let content = if kind.is_file() { fs::read_to_string(&path).unwrap() } else { format!("{kind:?}") };
            if kind.is_dir() {
                dirs.push(path.clone());
            }
            found.push((path, content));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_looked_at_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (image, layer) = put_image(&store, "layer");
    for tag in ["good", "lost", "emptied"] {
        set_name(&store, &format!("r/a:{tag}"), &image);
    }
    let path = |digest: &Digest| store.path().join("blobs/sha256").join(digest.hex());
    let names = store.path().join("repositories/r/a");
    fs::remove_file(names.join(":lost")).unwrap();
    fs::write(names.join(":emptied"), "").unwrap();
    fs::create_dir_all(store.path().join("scratch/7")).unwrap();
    let harms: [fn(&Path); 3] = [
        |path| fs::write(path, "other").unwrap(),
        |path| fs::write(path, "shorter or longer").unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        },
    ];
    for (harm, damaged) in harms.into_iter().zip([false, true, true]) {
        harm(&path(&layer));
        let before = snapshot(store.path());
        let looking = Store::open_read_only(store.path()).unwrap().unwrap();
        let health = looking.blobs().inspect(&layer, 5).unwrap();
        // Of the right length is all that a look can tell.
        assert_eq!(matches!(health, Health::Damaged { .. }), damaged, "{health:?}");
        let found = looking.names().inspect().unwrap();
        let known: Vec<&str> = found.known.iter().map(|named| named.name.as_str()).collect();
        let lost: Vec<&str> = found.lost.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((known, lost), (vec!["r/a:good"], vec!["r/a:emptied", "r/a:lost"]));
        assert_eq!((found.damaged.len(), found.all_lost), (1, false));
        assert_eq!(snapshot(store.path()), before);
    }
    assert!(matches!(store.blobs().inspect(&Digest::sha256(b"nowhere"), 1).unwrap(), Health::Absent));
    fs::remove_dir_all(store.names().path()).unwrap();
    let found = store.names().inspect().unwrap();
    assert_eq!((found.known.len(), found.lost.len(), found.all_lost), (0, 3, true));
    fs::remove_file(store.path().join("index.json")).unwrap();
    let found = store.names().inspect().unwrap();
    assert_eq!((found.known.len(), found.lost.len(), found.all_lost), (0, 0, true));
    assert!(Store::open_read_only(&dir.path().join("nowhere")).unwrap().is_none());
    assert!(Store::open_read_only(Path::new("/etc")).is_err());
}

#[test]
fn images_that_no_name_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (named, _) = put_image(&store, "named");
    let (inner, _) = put_image(&store, "listed by an index");
    let (used, _) = put_image(&store, "used by a process");
    let (lone, _) = put_image(&store, "nobody's");
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}"}}]}}"#, inner.digest);
    let index = put(&store, index.as_bytes());
    set_name(&store, "r/a:t", &named);
    let pin = store.pin([used.digest]).unwrap();
    let unnamed = || {
        let mut found: Vec<Digest> = store.names().unnamed().unwrap().into_iter().map(|image| image.digest).collect();
        found.sort();
        found
    };
    let sorted = |mut digests: Vec<Digest>| {
        digests.sort();
        digests
    };
    assert_eq!(unnamed(), sorted(vec![index, lone.digest]));
    drop(pin);
    assert_eq!(unnamed(), sorted(vec![index, lone.digest, used.digest]));
    set_name(&store, "r/b:t", &lone);
    assert_eq!(unnamed(), sorted(vec![index, used.digest]));
}

/// The last name of an image goes to another one: what a registry gives back is lost then, and the
/// other one stays under its digest.
#[test]
fn what_was_imported_outlives_its_last_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (first, _) = put_image(&store, "first");
    let (second, _) = put_image(&store, "second");
    let told = std::sync::Mutex::new(Vec::new());
    let set = |names: &[&str], image: &Reference, origin| {
        store
            .names()
            .set(names.iter().copied(), image, origin, &|event| told.lock().unwrap().push(event.to_string()))
            .unwrap();
        std::mem::take(&mut *told.lock().unwrap())
    };
    let known = || -> Vec<(String, Digest)> {
        references(&store).into_iter().map(|(name, image)| (name, image.digest)).collect()
    };
    let entry = |name: &str, image: &Reference| (name.to_owned(), image.digest);
    let bare = format!("@{}", first.digest);
    set(&["r/a:t", "r/b:t"], &first, Origin::Import);
    assert_eq!(set(&["r/a:t"], &second, Origin::Registry), [""; 0], "it has another name");
    // Whoever moves it, and whatever the name is given together with it.
    let expected = format!("r/b:t names another image now: {}, which was imported, has no name any more", first.digest);
    assert_eq!(set(&["r/b:t", "r/c:t"], &second, Origin::Registry), [expected]);
    assert_eq!(
        known(),
        [entry(&bare, &first), entry("r/a:t", &second), entry("r/b:t", &second), entry("r/c:t", &second)]
    );
    let is_kept = |rules: Rules| store.lock_exclusive(&|_| {}).unwrap().plan(&rules, &|_| {}).unwrap().blobs.is_empty();
    assert!(is_kept(Rules::default()));
    assert!(!is_kept(Rules { anonymous: Unused::Goes, ..Rules::default() }));
    assert_eq!(store.names().unnamed().unwrap(), []);
    // A name takes the place of the digest, in index.json as well.
    assert_eq!(set(&["r/d:t"], &first, Origin::Import), [""; 0]);
    fs::remove_dir_all(store.names().path()).unwrap();
    let store = Store::open(store.path(), &|_| {}).unwrap();
    assert!(!references(&store).iter().any(|(name, _)| *name == bare));
    // A registry gives it back, and an index that takes its name lists it.
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}"}}]}}"#, first.digest);
    let size = index.len() as u64;
    let index = Reference { digest: put(&store, index.as_bytes()), media_type: "a/b".to_owned(), size };
    let set = |image: &Reference, origin| {
        let told = std::sync::Mutex::new(0);
        store.names().set(["r/d:t"], image, origin, &|_| *told.lock().unwrap() += 1).unwrap();
        told.into_inner().unwrap()
    };
    assert_eq!(set(&index, Origin::Import), 0);
    assert_eq!(set(&first, Origin::Registry), 1, "the index");
    assert_eq!(set(&second, Origin::Registry), 0);
}

/// Names that cannot be read are told of, and one that is given to another image leaves the former
/// image as it would otherwise.
#[test]
fn damaged_names_are_told_when_others_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (first, _) = put_image(&store, "first");
    let (second, _) = put_image(&store, "second");
    let (third, _) = put_image(&store, "third");
    let set = |name: &str, image: &Reference, origin| {
        let told = std::sync::Mutex::new(Vec::new());
        store.names().set([name], image, origin, &|event| told.lock().unwrap().push(event.to_string())).unwrap();
        told.into_inner().unwrap()
    };
    let damage = |file: &str| fs::write(store.names().path().join(file), "").unwrap();
    set("r/a:t", &first, Origin::Import);
    set("r/b:t", &third, Origin::Import);
    damage("r/a/:t");
    let told = set("r/a:t", &second, Origin::Import);
    assert!(told[0].starts_with("removed ") && told[0].contains("/r/a/:t: it does not say"), "{told:?}");
    assert!(told[1].contains(&format!("{}, which was imported, has no name", first.digest)), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
    let known = references(&store);
    assert!(known.contains(&(format!("@{}", first.digest), first.clone())), "{known:?}");
    // That of another one.
    damage("r/b/:t");
    let told = set("r/c:t", &second, Origin::Import);
    assert!(told[0].contains("/r/b/:t: it does not say") && told[1].contains("restored 1 name"), "{told:?}");
    assert!(references(&store).contains(&("r/b:t".to_owned(), third)));
}
