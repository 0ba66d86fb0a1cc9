//! What is removed and what stays, what a check finds, and what it restores.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use cvbake_store::{
    Damage, Error, Event, Health, Origin, PackSeal, Patience, Reference, Removal, Rules, Store, Unused,
};
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

fn put(store: &Store, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    store.blobs().put(&digest, bytes, &quiet).unwrap();
    digest
}

fn has(store: &Store, digest: &Digest) -> bool {
    store.blobs().open(digest, None, &quiet).unwrap().is_some()
}

fn blob_path(store: &Store, digest: &Digest) -> PathBuf {
    store.path().join("blobs/sha256").join(digest.hex())
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image of some layers: all its blobs, the manifest first, and the diff_ids.
fn put_image(store: &Store, layers: &[&str]) -> (Vec<Digest>, Vec<Digest>) {
    let diff_ids: Vec<Digest> =
        layers.iter().map(|layer| Digest::sha256(format!("unpacked {layer}").as_bytes())).collect();
    let list: Vec<String> = diff_ids.iter().map(|digest| format!("\"{digest}\"")).collect();
    let config = format!(r#"{{"config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, list.join(","));
    let config = put(store, config.as_bytes());
    let layers: Vec<Digest> = layers.iter().map(|layer| put(store, layer.as_bytes())).collect();
    let list: Vec<String> = layers.iter().map(|digest| format!(r#"{{"digest":"{digest}"}}"#)).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"digest":"{config}"}},"layers":[{}]}}"#,
        list.join(",")
    );
    let manifest = put(store, manifest.as_bytes());
    diff_ids.iter().for_each(|diff_id| store.layers().put_index(diff_id, b"index").unwrap());
    ([vec![manifest, config], layers].concat(), diff_ids)
}

fn put_index(store: &Store, manifests: &[Digest]) -> Digest {
    let list: Vec<String> =
        manifests.iter().map(|digest| format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}"}}"#)).collect();
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, list.join(","));
    put(store, text.as_bytes())
}

fn name(store: &Store, name: &str, digest: Digest, media_type: &str) {
    let size = fs::metadata(blob_path(store, &digest)).unwrap().len();
    set_name(store, name, &Reference { digest, media_type: media_type.to_owned(), size });
}

fn collect(store: &Store, rules: &Rules) -> Removal {
    let alone = store.lock_exclusive(&quiet).unwrap();
    let removal = alone.plan(rules, &quiet).unwrap();
    alone.remove(&removal).unwrap();
    removal
}

const ALL: Rules = Rules {
    layers: Unused::Goes,
    partials: Unused::Goes,
    images: Unused::Stays,
    anonymous: Unused::Stays,
    keep_bytes: None,
    even_if_lost: false,
};

#[test]
fn what_an_index_in_an_index_points_to_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (blobs, diff_ids) = put_image(&store, &["one", "two"]);
    let (other, other_ids) = put_image(&store, &["two", "three"]);
    let (gone, _) = put_image(&store, &["four"]);
    let elsewhere = Digest::sha256(b"of a platform that was not fetched");
    let inner = put_index(&store, &[elsewhere, blobs[0]]);
    let outer = put_index(&store, &[inner]);
    name(&store, "r/a:t", outer, INDEX);
    name(&store, "r/b:t", other[0], MANIFEST);
    let mut partial = store.blobs().partial(&Digest::sha256(b"half of it"), Patience::new(None), &quiet).unwrap();
    partial.append(b"half").unwrap();
    let lone = put(&store, b"nobody's");

    let removal = collect(&store, &ALL);
    for digest in [&blobs[..], &other, &[inner, outer]].concat() {
        assert!(has(&store, &digest), "{digest}");
    }
    for diff_id in diff_ids.iter().chain(&other_ids) {
        assert!(store.layers().index(diff_id, &quiet).unwrap().is_some(), "{diff_id}");
    }
    let mut expected = [&gone[..], &[lone]].concat();
    expected.sort();
    assert_eq!(removal.blobs.iter().copied().collect::<Vec<_>>(), expected);
    assert_eq!(removal.layers.len(), 1);
    assert!(gone.iter().all(|digest| !has(&store, digest)));
    assert_eq!(removal.partials, [""; 0], "somebody adds to it");
    drop(partial);
    assert_eq!(collect(&store, &ALL).partials.len(), 1);
    let nothing = collect(&store, &ALL);
    assert_eq!((nothing.bytes, nothing.left_bytes), (0, removal.left_bytes - 4));
    let stats = store.maintenance().stats(&ALL, &quiet).unwrap();
    assert_eq!((stats.images, stats.layers, stats.reclaimable_bytes), (2, 3, 0));
    assert_eq!((stats.blobs.count, stats.indexes.count, stats.partials.count), (9, 3, 0));
    assert!(stats.last_collection.is_some() && stats.free_bytes > 0);
}

#[test]
fn what_is_not_understood_keeps_nothing_else_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (blobs, _) = put_image(&store, &["one"]);
    name(&store, "r/a:t", blobs[0], MANIFEST);
    for text in ["", "not JSON", &format!("{}{{}}", " ".repeat(5 << 20)), r#"{"layers":{}}"#] {
        fs::write(blob_path(&store, &blobs[0]), text).unwrap();
        let told = Mutex::new(Vec::new());
        let alone = store.lock_exclusive(&quiet).unwrap();
        let removal = alone.plan(&ALL, &|event| told.lock().unwrap().push(event.to_string())).unwrap();
        let told = told.into_inner().unwrap();
        assert!(told.len() == 1 && told[0].contains(&blobs[0].to_string()), "{told:?}");
        assert!(!removal.blobs.contains(&blobs[0]) && removal.blobs.contains(&blobs[2]));
    }
}

#[test]
fn what_is_used_is_remembered_and_looking_is_no_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (blobs, diff_ids) = put_image(&store, &["one"]);
    let (others, _) = put_image(&store, &["other"]);
    name(&store, "r/a:t", blobs[0], MANIFEST);
    name(&store, "r/b:t", others[0], MANIFEST);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let paths = ["repositories/r/a/:t", "repositories/r/b/:t"].map(|path| store.path().join(path));
    let index = store.path().join("indexes-v1/sha256").join(diff_ids[0].hex());
    let age = |path: &Path| {
        let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
        File::open(path).unwrap().set_times(times).unwrap();
    };
    paths.iter().chain([&index]).for_each(|path| age(path));
    let used =
        || store.names().list(&quiet).unwrap().iter().map(|image| (image.pulled, image.used)).collect::<Vec<_>>();
    store.names().get("r/a:t", &quiet).unwrap();
    store.maintenance().stats(&ALL, &quiet).unwrap();
    store.layers().check_index(&diff_ids[0], false).unwrap();
    assert_eq!(used(), [(long_ago, long_ago); 2]);
    let old = Rules { layers: Unused::Since(long_ago + Duration::from_secs(1)), ..Rules::default() };
    store.names().remove("r/b:t").unwrap();
    name(&store, "r/b:t", others[0], MANIFEST);
    assert_ne!(used()[1].0, long_ago, "pulled again");

    store.names().touch("r/a:t");
    store.names().touch("r/nowhere:t");
    let now = used()[0];
    assert!(now.0 == long_ago && now.1 > long_ago, "{now:?}");
    store.names().remove("r/a:t").unwrap();
    let plan = |rules| store.lock_exclusive(&quiet).unwrap().plan(rules, &quiet).unwrap();
    assert_eq!(plan(&old).layers.len(), 1);
    store.layers().index(&diff_ids[0], &quiet).unwrap().unwrap();
    assert_eq!(plan(&old).layers.len(), 0);
}

#[test]
fn the_least_recently_used_go_first_until_it_is_small_enough() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let layers = ["1", "2", "3"].map(|number| number.repeat(100_000));
    for (number, layer) in layers.iter().enumerate() {
        let (blobs, _) = put_image(&store, &[layer]);
        name(&store, &format!("r/a:{number}"), blobs[0], MANIFEST);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs([3000, 1000, 2000][number]);
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::open(store.path().join(format!("repositories/r/a/:{number}"))).unwrap().set_times(times).unwrap();
    }
    let keep = |bytes| collect(&store, &Rules { keep_bytes: Some(bytes), ..Rules::default() }).images;
    assert_eq!(keep(400_000), [""; 0]);
    assert_eq!(keep(299_999), ["r/a:1"]);
    let pin = store.pin([Digest::sha256(layers[2].as_bytes())]).unwrap();
    assert_eq!(keep(50_000), ["r/a:0", "r/a:2"], "a layer that is used keeps itself, not the name");
    assert!(has(&store, &Digest::sha256(layers[2].as_bytes())));
    drop(pin);
    assert_eq!(keep(0), [""; 0]);
    assert_eq!(store.blobs().list().unwrap(), []);
}

#[test]
fn without_any_names_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (blobs, _) = put_image(&store, &["one"]);
    let (others, _) = put_image(&store, &["other"]);
    let index = put_index(&store, &[others[0]]);
    name(&store, "r/a:t", blobs[0], MANIFEST);
    let lose = || {
        fs::remove_dir_all(store.path().join("repositories")).unwrap();
        fs::remove_file(store.path().join("index.json")).unwrap();
    };
    lose();
    let lost = store.lock_exclusive(&quiet).unwrap().plan(&ALL, &quiet);
    assert!(matches!(lost, Err(Error::NamesLost { .. })), "{lost:?}");
    let all = store.lock_exclusive(&quiet).unwrap().plan(&Rules { even_if_lost: true, ..ALL }, &quiet).unwrap();
    assert_eq!(all.left_bytes, 0);

    // What is found among the blobs are images without a name.
    let found = store.maintenance().check_names(false, &quiet).unwrap();
    assert!(matches!(&found[..], [(_, Damage::NamesLost { images: 2 })]), "{found:?}");
    assert!(!store.path().join("repositories").exists());
    store.maintenance().check_names(true, &quiet).unwrap();
    let mut expected = [format!("@{}", blobs[0]), format!("@{index}")];
    expected.sort();
    let names: Vec<String> = references(&store).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
    assert!(store.maintenance().check_names(true, &quiet).unwrap().is_empty());
    assert_eq!(collect(&store, &ALL).bytes, 0);
    // Removed is not lost.
    names.iter().for_each(|name| assert!(store.names().remove(name).unwrap()));
    assert!(store.maintenance().check_names(true, &quiet).unwrap().is_empty());
    assert_eq!(collect(&store, &ALL).left_bytes, 0);
}

#[test]
fn names_that_only_the_layout_has_come_back_before_anything_goes() {
    // All, one, and one that says nothing any more.
    let losses: [fn(&Path); 3] = [
        |repositories| fs::remove_dir_all(repositories).unwrap(),
        |repositories| fs::remove_file(repositories.join("r/a/:t")).unwrap(),
        |repositories| fs::write(repositories.join("r/a/:t"), "").unwrap(),
    ];
    for (what, lose) in losses.iter().enumerate() {
        for even_if_lost in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(&dir);
            let (blobs, _) = put_image(&store, &["one"]);
            let (others, _) = put_image(&store, &["other"]);
            name(&store, "r/a:t", blobs[0], MANIFEST);
            name(&store, "r/b:t", others[0], MANIFEST);
            lose(&store.path().join("repositories"));
            let told = Mutex::new(Vec::new());
            let alone = store.lock_exclusive(&quiet).unwrap();
            let rules = Rules { even_if_lost, ..ALL };
            let removal = alone.plan(&rules, &|event| told.lock().unwrap().push(event.to_string())).unwrap();
            alone.remove(&removal).unwrap();
            drop(alone);
            assert_eq!((removal.images, removal.blobs.len()), (vec![], 0), "{what}");
            assert!(told.lock().unwrap().iter().any(|line| line.contains("restored")), "{what}: {told:?}");
            let names: Vec<String> = references(&store).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["r/a:t", "r/b:t"], "{what}");

            // Nor does a change of another name lose it for good.
            lose(&store.path().join("repositories"));
            name(&store, "r/c:t", others[0], MANIFEST);
            assert!(store.names().remove("r/c:t").unwrap());
            assert!(blobs.iter().all(|blob| collect(&store, &rules).blobs.is_empty() && has(&store, blob)), "{what}");
        }
    }
}

#[test]
fn a_check_finds_what_is_wrong_with_names_and_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (blobs, _) = put_image(&store, &["one"]);
    let (others, _) = put_image(&store, &["other"]);
    for tag in ["good", "lost", "emptied", "linked"] {
        name(&store, &format!("r/a:{tag}"), blobs[0], MANIFEST);
    }
    name(&store, "r/a:dangling", others[0], MANIFEST);
    store.blobs().remove(&others[0]).unwrap();
    let path = |tag: &str| store.path().join("repositories/r/a").join(format!(":{tag}"));
    fs::remove_file(path("lost")).unwrap();
    fs::write(path("emptied"), "").unwrap();
    fs::remove_file(path("linked")).unwrap();
    symlink("/etc/passwd", path("linked")).unwrap();
    fs::write(store.path().join("blobs/sha256/what is this"), "").unwrap();

    let summary = |repair| {
        let found = store.maintenance().check_names(repair, &quiet).unwrap();
        let mut found: Vec<_> =
            found.iter().map(|(path, damage)| format!("{}: {damage}", path.file_name().unwrap().display())).collect();
        found.sort();
        found
    };
    let dangling = format!(":dangling: it points to {}, which is not there", others[0]);
    let expected = [
        dangling.as_str(),
        ":emptied: the document: EOF while parsing a value at line 1 column 0",
        ":linked: it is a symbolic link, expected a regular file",
        ":lost: it is lost, but index.json has it",
        "what is this: a store has no file of this name",
    ];
    let found = summary(false);
    assert_eq!(
        (found.len(), &found[0], &found[2..]),
        (5, &expected[0].to_owned(), &expected[2..].iter().map(|&text| text.to_owned()).collect::<Vec<_>>()[..])
    );
    assert_eq!(summary(false), found, "nothing is changed");
    assert_eq!(summary(true), found);
    assert_eq!(summary(true), [""; 0]);
    let names: Vec<String> = references(&store).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["r/a:emptied", "r/a:good", "r/a:linked", "r/a:lost"]);
    assert!(!store.path().join("blobs/sha256/what is this").exists());
}

#[test]
fn a_check_finds_every_damaged_entry() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let bytes = vec![7; 3 << 20];
    let crcs: Vec<u32> = bytes.chunks(1 << 20).map(crc32c::crc32c).collect();
    let seal = PackSeal { len: bytes.len() as u64, crcs: &crcs };
    let layer = Digest::sha256(b"layer");
    let harms: [fn(&Path); 5] = [
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path| fs::write(path, "").unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir_all(path.join("with/something")).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        },
    ];
    for harm in harms {
        let blob = put(&store, &bytes);
        store.layers().put_index(&layer, b"payload").unwrap();
        let scratch = store.scratch().unwrap();
        fs::write(scratch.path().join("pack"), &bytes).unwrap();
        store.layers().put_pack(&layer, &scratch.path().join("pack")).unwrap();
        let check = |repair| {
            let healths = [
                store.blobs().check(&blob, repair, &|_| {}).unwrap(),
                store.layers().check_pack(&layer, &seal, repair).unwrap(),
                match store.layers().check_index(&layer, repair).unwrap() {
                    Health::Whole(_) => Health::Whole(()),
                    Health::Absent => Health::Absent,
                    Health::Damaged { path, damage } => Health::Damaged { path, damage },
                },
            ];
            healths.map(|health| match health {
                Health::Whole(()) => "whole",
                Health::Absent => "absent",
                Health::Damaged { .. } => "damaged",
            })
        };
        assert_eq!(check(true), ["whole"; 3]);
        harm(&blob_path(&store, &blob));
        harm(&store.path().join("packs-v1/sha256").join(layer.hex()));
        harm(&store.path().join("indexes-v1/sha256").join(layer.hex()));
        assert_eq!(check(false), ["damaged"; 3]);
        assert_eq!(check(false), ["damaged"; 3], "nothing is changed");
        assert_eq!(check(true), ["damaged"; 3]);
        assert_eq!(check(true), ["absent"; 3]);
    }
    assert!(fs::read("/etc/passwd").is_ok_and(|bytes| !bytes.is_empty()));
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
fn collections_take_nothing_from_under_those_who_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut children: Vec<_> = (0..3).map(|_| child("writes_and_uses", store.path())).collect();
    let mut collections = 0;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        let alone = store.lock_exclusive(&|_| {}).unwrap();
        let rules = Rules { images: Unused::Goes, keep_bytes: Some(0), ..ALL };
        alone.remove(&alone.plan(&rules, &quiet).unwrap()).unwrap();
        collections += 1;
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("running 1 test\n"), "{output:?}");
    }
    assert!(collections > 0);
    collect(&store, &Rules { images: Unused::Goes, ..ALL });
    assert_eq!(store.blobs().list().unwrap(), []);
}

#[test]
#[ignore = "the process that collections_take_nothing_from_under_those_who_write starts"]
fn writes_and_uses() {
    let store = store_of_child();
    for number in 0..40 {
        let layer = format!("layer {}", number % 5);
        let bytes = layer.as_bytes();
        let digest = Digest::sha256(bytes);
        let _pin = store.pin([digest]).unwrap();
        // Others write the same; whoever is first.
        store.blobs().put(&digest, bytes, &|_| {}).unwrap();
        store.layers().put_index(&digest, b"index").unwrap();
        for _ in 0..3 {
            std::thread::yield_now();
            assert!(has(&store, &digest), "pinned and gone");
            assert!(store.layers().index(&digest, &quiet).unwrap().is_some(), "pinned and gone");
        }
    }
}

#[test]
fn a_collection_that_is_killed_leaves_a_good_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut finished = false;
    let mut killed = 0;
    let mut after = Duration::from_micros(500);
    while !finished {
        for number in 0..5 {
            let layers = [format!("one {number}"), format!("two {number}"), "common".to_owned()];
            let (blobs, _) = put_image(&store, &layers.each_ref().map(String::as_str));
            name(&store, &format!("r/a:{number}"), blobs[0], MANIFEST);
            name(&store, &format!("r/b/c:{number}"), blobs[0], MANIFEST);
        }
        let mut collector = child("removes_everything", store.path());
        // It tells when it begins, so that the moments are those of its work.
        let mut line = String::new();
        let mut output = std::io::BufReader::new(collector.stdout.take().unwrap());
        while !line.contains("begins") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0, "ended early");
        }
        std::thread::sleep(after);
        collector.kill().unwrap();
        finished = collector.wait().unwrap().success();
        killed += usize::from(!finished);
        after += after / 3;
        let found = store.maintenance().check_names(false, &quiet).unwrap();
        assert!(found.is_empty(), "killed {killed} times: {found:?}");
        for (name, reference) in references(&store) {
            assert!(has(&store, &reference.digest), "{name} points to nothing");
        }
        store.maintenance().check_names(true, &quiet).unwrap();
    }
    assert!(killed > 0, "it was killed at least once");
    assert_eq!(store.blobs().list().unwrap(), []);
}

#[test]
#[ignore = "the process that a_collection_that_is_killed_leaves_a_good_store starts"]
fn removes_everything() {
    use std::io::Write as _;
    let store = store_of_child();
    let alone = store.lock_exclusive(&quiet).unwrap();
    let removal = alone.plan(&Rules { images: Unused::Goes, ..ALL }, &quiet).unwrap();
    // Not by a macro, whose output the test harness keeps to itself.
    std::io::stdout().write_all(b"begins\n").unwrap();
    std::io::stdout().flush().unwrap();
    alone.remove(&removal).unwrap();
}
