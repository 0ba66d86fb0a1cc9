//! What is kept.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cvbake_fetch::Pull;

use super::*;

struct Kept {
    dir: tempfile::TempDir,
    store: Store,
}

impl Kept {
    fn new() -> Kept {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), &|_| {}).unwrap();
        Kept { dir, store }
    }

    fn blob(&self, content: &[u8]) -> std::path::PathBuf {
        self.dir.path().join("store/blobs/sha256").join(Digest::sha256(content).hex())
    }

    fn pull(&self, server: &Server, pull: Pull) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        pull_from(server, "a/b:v1", &Options { pull, ..quick() }, Some(&self.store))
    }
}

#[test]
fn the_second_time_needs_no_network() {
    let (sample, kept) = (Sample::new(300_000), Kept::new());
    let server = sample.layer_server(|_, answer| answer);
    refused(kept.pull(&server, Pull::Never), &["manifest v1", "not in the store"]);
    assert!(server.requests("").is_empty());
    assert_eq!(kept.pull(&server, Pull::Missing).unwrap(), sample.layer);
    let requests = server.requests("").len();
    assert_eq!(kept.pull(&server, Pull::Missing).unwrap(), sample.layer);
    assert_eq!(kept.pull(&server, Pull::Never).unwrap(), sample.layer);
    assert_eq!(server.requests("").len(), requests);
    // The name is asked for, nothing else.
    assert_eq!(kept.pull(&server, Pull::Always).unwrap(), sample.layer);
    assert_eq!(server.requests("/blobs/").len(), 2);
    assert_eq!(server.requests("/manifests/").len(), 2);
    // By digest too, once it is known.
    let pinned = format!("a/b@{}", sample.digest());
    for _ in 0..2 {
        assert_eq!(pull_from(&server, &pinned, &quick(), Some(&kept.store)).unwrap(), sample.layer);
    }
    assert!(server.requests("/manifests/").len() <= 3);
    for content in [&sample.layer, &sample.config, &sample.manifest] {
        assert_eq!(fs::read(kept.blob(content)).unwrap(), *content);
    }
}

#[test]
fn nobody_removes_what_is_asked_for() {
    use cvbake_store::{Rules, Unused};
    let (sample, kept) = (Sample::new(1000), Kept::new());
    let server = sample.layer_server(|_, answer| answer);
    let rules = Rules { images: Unused::Goes, keep_bytes: Some(0), ..Rules::default() };
    let remove_all = || {
        let alone = kept.store.lock_exclusive(&|_| {}).unwrap();
        let removal = alone.plan(&rules, &|_| {}).unwrap();
        alone.remove(&removal).unwrap();
        removal
    };
    for pull in [Pull::Always, Pull::Missing] {
        let options = Options { pull, ..quick() };
        let name = reference(&server, "a/b:v1");
        let blobs = open_registry(&name, &options, Some(&kept.store), &|_| {}).unwrap();
        assert_eq!(remove_all().bytes, 0);
        let want = Want { platform: "linux/amd64".parse().unwrap(), explicit: true };
        Image::verify(&*blobs, &want).unwrap();
        assert_eq!(remove_all().bytes, 0);
        assert!(kept.blob(&sample.manifest).exists() && kept.blob(&sample.config).exists());
        assert_eq!(kept.store.names().list(&|_| {}).unwrap().len(), 1);
    }
    assert_eq!(remove_all().images.len(), 1);
    assert_eq!(kept.store.blobs().list().unwrap(), []);
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let (sample, kept) = (Sample::new(500_000), Kept::new());
    let server = sample.layer_server(|_, mut answer| {
        answer.reset_after = Some(200_000);
        answer
    });
    let options = Options { attempts: 1, ..quick() };
    assert!(pull_from(&server, "a/b:v1", &options, Some(&kept.store)).is_err());
    assert!(!kept.blob(&sample.layer).exists());
    let server = sample.layer_server(|_, answer| answer);
    let events = std::sync::Mutex::new(Vec::new());
    let on = |event: Event| events.lock().unwrap().push(event.to_string());
    let blobs = open_registry(&reference(&server, "a/b:v1"), &quick(), Some(&kept.store), &on).unwrap();
    let image = Image::verify(&*blobs, &Want { platform: "linux/amd64".parse().unwrap(), explicit: true }).unwrap();
    let mut bytes = Vec::new();
    image.layers()[0].open(&*blobs).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, sample.layer);
    assert_eq!(server.requests(&sample.layer_path())[0].range(), Some(200_000));
    assert!(events.lock().unwrap()[0].contains("at byte 200000 of 500000"));
    assert_eq!(fs::read(kept.blob(&sample.layer)).unwrap(), sample.layer);
}

#[test]
fn what_was_wrong_is_thrown_away() {
    let (sample, kept) = (Sample::new(300_000), Kept::new());
    let server = sample.layer_server(|request, mut answer| {
        if request.nth == 0 {
            answer.body[7] ^= 1;
        }
        answer
    });
    refused(kept.pull(&server, Pull::Missing), &["sent content with digest"]);
    assert_eq!(kept.pull(&server, Pull::Missing).unwrap(), sample.layer);
    assert_eq!(server.requests(&sample.layer_path())[1].range(), None);
}

#[test]
fn damage_heals() {
    let (sample, kept) = (Sample::new(300_000), Kept::new());
    let server = sample.layer_server(|_, answer| answer);
    assert_eq!(kept.pull(&server, Pull::Missing).unwrap(), sample.layer);
    let harm: [fn(&Path, &[u8]); 8] = [
        |path, content| {
            let mut flipped = content.to_vec();
            flipped[3] ^= 1;
            fs::write(path, flipped).unwrap();
        },
        |path, _| fs::write(path, "").unwrap(),
        |path, content| fs::write(path, &content[..10]).unwrap(),
        |path, content| fs::write(path, [content, b"more"].concat()).unwrap(),
        |path, content| {
            // Even to what would be right.
            let elsewhere = path.ancestors().nth(4).unwrap().join("elsewhere");
            fs::write(&elsewhere, content).unwrap();
            symlink(elsewhere, path).unwrap();
        },
        |path, _| symlink("/dev/zero", path).unwrap(),
        |path, _| fs::create_dir_all(path.join("with/something")).unwrap(),
        |path, _| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        },
    ];
    for content in [&sample.layer, &sample.config, &sample.manifest] {
        let path = kept.blob(content);
        for (number, harm) in harm.iter().enumerate() {
            fs::remove_file(&path).unwrap();
            harm(&path, content);
            let pulled = kept.pull(&server, Pull::Missing);
            assert_eq!(pulled.unwrap(), sample.layer, "{number}");
            assert!(path.symlink_metadata().unwrap().is_file(), "{number}");
            assert_eq!(fs::read(&path).unwrap(), *content, "{number}");
        }
    }
}

#[test]
fn eight_at_once() {
    let (sample, kept) = (Sample::new(2_000_000), Kept::new());
    let server = sample.layer_server(|_, answer| answer);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(kept.pull(&server, Pull::Missing).unwrap(), sample.layer));
        }
    });
    assert_eq!(server.requests(&sample.layer_path()).len(), 1);
}
