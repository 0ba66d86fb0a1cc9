//! Pushing: what arrives, what is not sent, and what servers and networks do meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cvbake_fetch::{Mounts, Put, Shipment, Source, Target};
use cvbake_verify::Blobs;

use super::*;

/// What a registry has.
#[derive(Default)]
struct Inside {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    uploads: Vec<Option<Vec<u8>>>,
    /// Repositories that others may take blobs from.
    open: Vec<String>,
}

/// A registry that does what it should, for tests to make it do otherwise.
#[derive(Clone, Default)]
struct Depot(Arc<Mutex<Inside>>);

impl Depot {
    fn answer(&self, request: &Request) -> Answer {
        let mut inside = self.0.lock().unwrap();
        let path = request.path.clone();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .into_iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
        };
        if path == "/v2/" {
            return Answer::new(200, "{}");
        }
        if let Some(digest) = path.strip_prefix("/v2/a/b/blobs/sha256:") {
            return match inside.blobs.get(&format!("sha256:{digest}")) {
                Some(blob) => Answer::new(200, &**blob),
                None => Answer::new(404, ""),
            };
        }
        if let Some(name) = path.strip_prefix("/v2/a/b/manifests/") {
            if request.method == "PUT" {
                inside.manifests.insert(name.to_owned(), request.content.clone());
            }
            let Some(bytes) = inside.manifests.get(name) else { return Answer::new(404, "") };
            let status = if request.method == "PUT" { 201 } else { 200 };
            return Answer::new(status, &**bytes).with("Docker-Content-Digest", Digest::sha256(bytes).to_string());
        }
        let Some(id) = path.strip_prefix("/v2/a/b/blobs/uploads/") else { return Answer::new(404, "") };
        if id.is_empty() {
            let from = parameter("from").filter(|from| inside.open.contains(from));
            if let Some((_, digest)) = from.zip(parameter("mount")) {
                inside.blobs.insert(digest.clone(), Vec::new());
                return Answer::new(201, "").with("Docker-Content-Digest", digest);
            }
            inside.uploads.push(Some(Vec::new()));
            let location = format!("/v2/a/b/blobs/uploads/{}?_state=a%2Fb", inside.uploads.len() - 1);
            return Answer::new(202, "").with("Location", location);
        }
        assert!(query.contains("_state=a%2Fb"), "{} keeps what the registry put there", request.path);
        let id: usize = id.parse().unwrap();
        let Some(Some(upload)) = inside.uploads.get_mut(id) else { return Answer::new(404, "") };
        if let Some(range) = request.header("content-range") {
            let begin: usize = range.split('-').next().unwrap().parse().unwrap();
            if begin != upload.len() {
                return Answer::new(416, "");
            }
        }
        upload.extend(&request.content);
        if request.cut {
            return Answer::new(0, "");
        }
        let range = format!("0-{}", upload.len().saturating_sub(1));
        let state =
            |status| Answer::new(status, "").with("Location", request.path.clone()).with("Range", range.clone());
        match request.method.as_str() {
            "PUT" => {
                let bytes = std::mem::take(&mut inside.uploads[id]).unwrap();
                let digest = parameter("digest").unwrap();
                if Digest::sha256(&bytes).to_string() != digest {
                    return Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"no match"}]}"#);
                }
                inside.blobs.insert(digest.clone(), bytes);
                Answer::new(201, "").with("Docker-Content-Digest", digest)
            }
            "PATCH" => state(202),
            "DELETE" => {
                inside.uploads[id] = None;
                state(204)
            }
            _ => state(204),
        }
    }

    fn server(&self, other: impl Fn(&Request, &dyn Fn() -> Answer) -> Answer + Send + Sync + 'static) -> Server {
        self.cutting(|_| None, other)
    }

    fn cutting(
        &self,
        cut: impl Fn(&Request) -> Option<u64> + Send + Sync + 'static,
        other: impl Fn(&Request, &dyn Fn() -> Answer) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let depot = self.clone();
        Server::start_cutting(cut, move |request| other(request, &|| depot.answer(request)))
    }

    fn has(&self, sample: &Sample) {
        let inside = self.0.lock().unwrap();
        for blob in [&sample.layer, &sample.config] {
            assert_eq!(inside.blobs.get(&Digest::sha256(blob).to_string()), Some(blob), "what arrived");
        }
        assert_eq!(inside.manifests.get("v1"), Some(&sample.manifest), "byte for byte");
    }

    fn blobs(&self) -> usize {
        self.0.lock().unwrap().blobs.len()
    }

    fn open_uploads(&self) -> usize {
        self.0.lock().unwrap().uploads.iter().flatten().count()
    }
}

fn write_layout(sample: &Sample, dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for blob in [&sample.layer, &sample.config, &sample.manifest] {
        fs::write(blobs.join(Digest::sha256(blob).hex()), blob).unwrap();
    }
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let entry = descriptor(MANIFEST, &sample.manifest);
    fs::write(dir.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#)).unwrap();
}

type Pushed = Result<Vec<Put>, Box<dyn std::error::Error>>;

/// A push of the image, as the program does it, but one blob after the other.
struct Pusher {
    dir: tempfile::TempDir,
    options: Options,
    chunk: Option<u64>,
    mounts: Mounts,
    events: Mutex<Vec<Event>>,
}

impl Pusher {
    fn new(sample: &Sample) -> Pusher {
        let dir = tempfile::tempdir().unwrap();
        write_layout(sample, dir.path());
        Pusher { dir, options: quick(), chunk: None, mounts: Mounts::default(), events: Mutex::default() }
    }

    fn chunks(mut self, bytes: u64) -> Pusher {
        self.chunk = Some(bytes);
        self
    }

    fn push(&self, server: &Server) -> Pushed {
        let source: Source = format!("oci:{}", self.dir.path().display()).parse()?;
        let blobs = cvbake_fetch::open(&source, self.dir.path(), std::io::empty())?;
        self.push_blobs(server, &*blobs)
    }

    fn push_blobs(&self, server: &Server, blobs: &dyn Blobs) -> Pushed {
        let want = Want { platform: "linux/amd64".parse()?, explicit: true };
        let image = Image::verify(blobs, &want)?;
        let shipment = Shipment::of(&image, blobs, true, &|_| {})?;
        let chunk = self.chunk.and_then(NonZeroU64::new);
        let target = Target::new(&reference(server, "a/b:v1"), &self.options, self.mounts.clone(), chunk, &|_| {})?;
        let on = |event| self.events.lock().unwrap().push(event);
        let mut put = Vec::new();
        for blob in shipment.blobs() {
            put.push(target.put_blob(blob, blobs, &on)?);
        }
        put.push(target.put_manifest(&shipment.manifests()[0], Some("v1"))?);
        Ok(put)
    }

    /// How many bytes were said to be sent.
    fn told(&self) -> u64 {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| if let Event::Sent { bytes } = event { *bytes } else { 0 }).sum()
    }
}

fn no(pushed: Pushed, expected: &[&str]) {
    refused(pushed.map(|put| vec![0; put.len()]), expected);
}

/// How often each method was used.
fn methods(server: &Server, method: &str) -> usize {
    server.requests("").iter().filter(|request| request.method == method).count()
}

#[test]
fn a_good_day_and_the_next() {
    let sample = Sample::new(1_000_000);
    let depot = Depot::default();
    let server = depot.server(|_, answer| answer());
    let pusher = Pusher::new(&sample);
    assert_eq!(pusher.push(&server).unwrap(), [Put::Sent, Put::Sent, Put::Sent]);
    depot.has(&sample);
    assert_eq!(pusher.told(), (sample.layer.len() + sample.config.len()) as u64);
    assert_eq!((methods(&server, "PATCH"), methods(&server, "PUT")), (0, 3), "in one piece");
    let manifest = server.requests("/manifests/v1").into_iter().find(|request| request.method == "PUT").unwrap();
    assert_eq!(manifest.header("content-type"), Some(MANIFEST));

    let before = server.requests("").len();
    assert_eq!(pusher.push(&server).unwrap(), [Put::Present, Put::Present, Put::Present]);
    let after = server.requests("").split_off(before);
    assert!(after.iter().all(|request| request.method == "HEAD" || request.path == "/v2/"), "nothing is sent again");
}

#[test]
fn only_what_is_missing() {
    let sample = Sample::new(100_000);
    let depot = Depot::default();
    depot.0.lock().unwrap().blobs.insert(Digest::sha256(&sample.layer).to_string(), sample.layer.clone());
    let server = depot.server(|_, answer| answer());
    assert_eq!(Pusher::new(&sample).push(&server).unwrap(), [Put::Sent, Put::Present, Put::Sent]);
    depot.has(&sample);
}

#[test]
fn in_chunks() {
    let sample = Sample::new(1_000_000);
    for (minimum, chunks) in [(None, 4), (Some("400000"), 3), (Some("nonsense"), 4), (Some("99999999"), 1)] {
        let depot = Depot::default();
        let server = depot.server(move |request, answer| match (minimum, request.is("POST", "uploads")) {
            (Some(minimum), true) => answer().with("OCI-Chunk-Min-Length", minimum),
            _ => answer(),
        });
        Pusher::new(&sample).chunks(300_000).push(&server).unwrap();
        depot.has(&sample);
        // One more for the configuration.
        assert_eq!(methods(&server, "PATCH"), chunks + 1, "{minimum:?}");
    }
}

#[test]
fn reset_and_resumed() {
    let sample = Sample::new(1_000_000);
    for chunk in [None, Some(600_000)] {
        let depot = Depot::default();
        // The first large body breaks off, and so does the rest of it.
        let cut = |request: &Request| {
            let large = request.header("content-length").is_some_and(|text| text.len() >= 6);
            (large && request.nth == 0).then_some(250_000)
        };
        let server = depot.cutting(cut, |_, answer| answer());
        let pusher = Pusher { chunk, ..Pusher::new(&sample) };
        assert_eq!(pusher.push(&server).unwrap(), [Put::Sent, Put::Sent, Put::Sent]);
        depot.has(&sample);
        let taken: usize = server.requests("/uploads/").iter().map(|request| request.content.len()).sum();
        assert_eq!(taken, sample.layer.len() + sample.config.len(), "nothing arrives twice");
        let resumed = pusher.events.lock().unwrap().iter().any(|event| matches!(event, Event::UploadResumed { .. }));
        assert!(resumed && pusher.told() == taken as u64);
    }
}

#[test]
fn reset_without_progress() {
    let sample = Sample::new(500_000);
    let depot = Depot::default();
    let cut = |request: &Request| request.header("content-length").is_some_and(|text| text.len() >= 6).then_some(10);
    let server = depot.cutting(cut, |_, answer| answer());
    let layer = format!("blob {}", Digest::sha256(&sample.layer));
    no(Pusher::new(&sample).push(&server), &["cannot push", &layer, "a/b", "gave up after 4 attempts"]);
    assert_eq!(depot.open_uploads(), 0, "what can't be finished is given up");
}

#[test]
fn uploads_that_are_lost() {
    let sample = Sample::new(500_000);
    let depot = Depot::default();
    // In the middle of the first upload of the layer, which is the second of all.
    let forget = depot.clone();
    let server = depot.server(move |request, answer| {
        if request.is("PATCH", "/uploads/1") && request.nth == 1 {
            forget.0.lock().unwrap().uploads[1] = None;
        }
        answer()
    });
    assert!(Pusher::new(&sample).chunks(100_000).push(&server).is_ok());
    depot.has(&sample);

    let depot = Depot::default();
    let server = depot.server(|request, answer| match request.is("PUT", "/uploads/") {
        true => Answer::new(404, ""),
        false => answer(),
    });
    no(Pusher::new(&sample).push(&server), &["gave up after 4 attempts", "has lost the upload (status 404)"]);
}

#[test]
fn finished_but_nobody_heard() {
    let sample = Sample::new(100_000);
    let depot = Depot::default();
    let server = depot.server(|request, answer| {
        let answer = answer();
        if request.is("PUT", "/uploads/1") { Answer::new(0, "") } else { answer }
    });
    Pusher::new(&sample).push(&server).unwrap();
    depot.has(&sample);
    assert_eq!(methods(&server, "POST"), 2, "nothing is sent again");
}

#[test]
fn out_of_step() {
    let sample = Sample::new(500_000);
    let depot = Depot::default();
    // Half of a chunk gets lost within the registry, which says so, or does not.
    for honest in [true, false] {
        let lossy = depot.clone();
        lossy.0.lock().unwrap().blobs.clear();
        lossy.0.lock().unwrap().uploads.clear();
        let server = depot.server(move |request, answer| {
            let normal = answer();
            if request.is("PATCH", "/uploads/1") && request.nth == 1 {
                lossy.0.lock().unwrap().uploads[1].as_mut().unwrap().truncate(150_000);
                let answer = Answer::new(202, "").with("Location", request.path.clone());
                return if honest { answer.with("Range", "0-149999") } else { answer };
            }
            normal
        });
        Pusher::new(&sample).chunks(100_000).push(&server).unwrap();
        depot.has(&sample);
    }
}

#[test]
fn statuses_that_pass() {
    for (status, method, part) in [
        (429, "HEAD", "/blobs/sha256"),
        (503, "POST", "/uploads/"),
        (500, "PUT", "/uploads/"),
        (429, "PUT", "/uploads/"),
        (502, "PUT", "/manifests/"),
    ] {
        let sample = Sample::new(1000);
        let depot = Depot::default();
        let failed = std::sync::atomic::AtomicBool::new(false);
        let server = depot.server(move |request, answer| {
            if request.is(method, part) && !failed.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return Answer::new(status, "").with("Retry-After", "0");
            }
            answer()
        });
        Pusher::new(&sample).push(&server).unwrap();
        depot.has(&sample);
    }
}

#[test]
fn answers_that_are_final() {
    let sample = Sample::new(1000);
    let table: [(u16, &str, &str, &[&str]); 8] = [
        (405, "POST", "/uploads/", &["takes no pushes (status 405, \"UNSUPPORTED: no\")"]),
        (501, "POST", "/uploads/", &["takes no pushes (status 501"]),
        (413, "PUT", "/uploads/", &["refuses it as too large (status 413"]),
        (413, "PUT", "/manifests/", &["cannot push manifest v1", "too large (status 413"]),
        (403, "POST", "/uploads/", &["access denied (status 403", "with no credentials"]),
        (400, "PUT", "/manifests/", &["answered with status 400, \"UNSUPPORTED: no\"; expected 201"]),
        (404, "POST", "/uploads/", &["not found (status 404"]),
        (416, "PUT", "/uploads/", &["answered with status 416"]),
    ];
    for (status, method, part, expected) in table {
        let depot = Depot::default();
        let server = depot.server(move |request, answer| match request.is(method, part) {
            true => Answer::new(status, r#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#),
            false => answer(),
        });
        no(Pusher::new(&sample).push(&server), expected);
        let asked = server.requests(part).iter().filter(|request| request.method == method).count();
        assert_eq!(asked, 1, "{status} is not tried again");
    }
}

#[test]
fn too_large_said_at_once() {
    let sample = Sample::new(8 << 20);
    let depot = Depot::default();
    let cut =
        |request: &Request| request.header("content-length").is_some_and(|text| text.len() >= 7).then_some(70_000);
    let server = depot.cutting(cut, |request, answer| match request.cut {
        true => Answer::new(413, ""),
        false => answer(),
    });
    // The answer may get lost together with the connection.
    let pushed = Pusher::new(&sample).push(&server);
    assert!(pushed.is_err());
    assert_eq!(depot.blobs(), 1);
}

#[test]
fn digests_of_others() {
    let sample = Sample::new(1000);
    for part in ["/uploads/", "/manifests/"] {
        let depot = Depot::default();
        let server = depot.server(move |request, answer| match request.is("PUT", part) {
            true => Answer::new(201, "").with("Docker-Content-Digest", Digest::sha256(b"x").to_string()),
            false => answer(),
        });
        let expected = format!("Docker-Content-Digest says \"{}\"", Digest::sha256(b"x"));
        no(Pusher::new(&sample).push(&server), &[&expected]);
    }
}

#[test]
fn locations_that_are_refused() {
    let sample = Sample::new(1000);
    for (location, expected) in [
        ("http://169.254.169.254/upload", "private address 169.254.169.254"),
        ("http://10.0.0.1/upload", "private address 10.0.0.1"),
        ("file:///etc/passwd", "expected http or https"),
        ("http://user:password@127.0.0.1/", "it contains a user name"),
        ("", "Location is malformed"),
    ] {
        let depot = Depot::default();
        let server = depot.server(move |request, answer| match (request.is("POST", "/uploads/"), location) {
            (false, _) => answer(),
            (true, "") => Answer::new(202, ""),
            (true, location) => Answer::new(202, "").with("Location", location),
        });
        no(Pusher::new(&sample).push(&server), &[expected]);
    }
}

#[test]
fn another_host_gets_no_credentials() {
    let sample = Sample::new(1000);
    let (depot, storage) = (Depot::default(), Depot::default());
    let other = storage.server(|request, answer| match request.method.as_str() {
        "PUT" => Answer::new(201, ""),
        _ => answer(),
    });
    let address = other.address;
    let server = depot.server(move |request, answer| {
        if request.header("authorization") != Some("Basic dTpw") {
            return Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\"");
        }
        match request.is("POST", "/uploads/") {
            true => Answer::new(202, "").with("Location", format!("http://{address}/v2/a/b/blobs/uploads/0?k=v")),
            false => answer(),
        }
    });
    let mut pusher = Pusher::new(&sample);
    pusher.options.credentials =
        Some(cvbake_fetch::Credentials::User { name: "u".to_owned(), password: "p".to_owned() });
    pusher.push(&server).unwrap();
    let seen = other.requests("");
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter().all(|request| request.header("authorization").is_none() && request.path.contains("?k=v&digest="))
    );
}

/// What a store knows that has pulled the image from another repository of the registry.
fn mounts(server: &Server, sample: &Sample, name: &str) -> Mounts {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &|_| {}).unwrap();
    let digest = sample.digest();
    let mut partial = store.partial(&digest, &|_| {}).unwrap();
    partial.append(&sample.manifest).unwrap();
    partial.commit().unwrap();
    let stored =
        cvbake_store::Reference { digest, media_type: MANIFEST.to_owned(), size: sample.manifest.len() as u64 };
    store.set_reference(&format!("{}/{name}", server.address), &stored).unwrap();
    store.set_reference("elsewhere.example/x:v1", &stored).unwrap();
    let wanted = [&sample.layer, &sample.config].map(|blob| Digest::sha256(blob)).into();
    Mounts::known(&store, &reference(server, "a/b:v1"), None, &wanted, &|_| {})
}

#[test]
fn mounted_or_not() {
    let sample = Sample::new(1000);
    let mounted = || Put::Mounted { from: "other/place".to_owned() };
    for (open, status, expected) in [
        (true, None, vec![mounted(), mounted(), Put::Sent]),
        // 202: an upload has begun, which is used.
        (false, None, vec![Put::Sent, Put::Sent, Put::Sent]),
        (false, Some(403), vec![Put::Sent, Put::Sent, Put::Sent]),
        (false, Some(404), vec![Put::Sent, Put::Sent, Put::Sent]),
        (false, Some(405), vec![Put::Sent, Put::Sent, Put::Sent]),
    ] {
        let depot = Depot::default();
        if open {
            depot.0.lock().unwrap().open.push("other/place".to_owned());
        }
        let server = depot.server(move |request, answer| match status {
            Some(status) if request.is("POST", "mount=") => Answer::new(status, ""),
            _ => answer(),
        });
        let pusher = Pusher { mounts: mounts(&server, &sample, "other/place:v1"), ..Pusher::new(&sample) };
        assert_eq!(pusher.push(&server).unwrap(), expected, "{status:?}");
        let asked = server.requests("mount=sha256%3A");
        assert!(asked.len() == 2 && asked.iter().all(|request| request.path.ends_with("&from=other%2Fplace")));
        let begun = methods(&server, "POST");
        assert_eq!(begun, if status.is_some() { 4 } else { 2 }, "{status:?}");
        if !open {
            depot.has(&sample);
        }
    }
    // What is in the repository itself, or in another registry, is nothing to mount.
    let depot = Depot::default();
    let server = depot.server(|_, answer| answer());
    let pusher = Pusher { mounts: mounts(&server, &sample, "a/b:v0"), ..Pusher::new(&sample) };
    pusher.push(&server).unwrap();
    assert!(server.requests("mount=").is_empty());
}

#[test]
fn tokens_for_mounting() {
    let sample = Sample::new(1000);
    for generous in [true, false] {
        let depot = Depot::default();
        depot.0.lock().unwrap().open.push("other/place".to_owned());
        let server = depot.server(move |request, answer| {
            let both = request.path.contains("scope=repository%3Aother%2Fplace%3Apull");
            if request.path.starts_with("/token") {
                assert!(request.path.contains("scope=repository%3Aa%2Fb%3Apull%2Cpush"), "{}", request.path);
                return if both && !generous { Answer::new(403, "") } else { Answer::new(200, r#"{"token":"t"}"#) };
            }
            if request.header("authorization") == Some("Bearer t") {
                return answer();
            }
            let host = request.header("host").unwrap();
            Answer::new(401, "").with("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token",service="s""#))
        });
        let pusher = Pusher { mounts: mounts(&server, &sample, "other/place:v1"), ..Pusher::new(&sample) };
        pusher.push(&server).unwrap();
        let asked = server.requests("/token");
        assert_eq!(asked.len(), if generous { 1 } else { 2 });
        assert!(asked[0].path.contains("scope=repository%3Aother%2Fplace%3Apull"), "{}", asked[0].path);
    }
}

/// A registry that wants tokens, and takes the newest one only; it takes those who push to be `u`.
fn with_tokens(depot: &Depot, expires: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Server {
    let issued = Arc::new(Mutex::new(0));
    depot.server(move |request, answer| {
        let mut issued = issued.lock().unwrap();
        if request.path.starts_with("/token") {
            *issued += 1;
            return Answer::new(200, format!(r#"{{"token":"token-{issued}"}}"#));
        }
        if expires(request) {
            *issued += 1;
        }
        if request.path == "/v2/" || request.header("authorization") == Some(&format!("Bearer token-{issued}")) {
            return answer();
        }
        let host = request.header("host").unwrap();
        Answer::new(401, "").with("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token",service="s""#))
    })
}

#[test]
fn tokens_for_pushing() {
    let sample = Sample::new(300_000);
    let depot = Depot::default();
    let server = with_tokens(&depot, |_| false);
    Pusher::new(&sample).push(&server).unwrap();
    depot.has(&sample);
    let asked = server.requests("/token");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.contains("scope=repository%3Aa%2Fb%3Apull%2Cpush"), "{}", asked[0].path);
}

#[test]
fn a_token_that_expires_mid_push() {
    let sample = Sample::new(1_000_000);
    for (method, chunk) in [("PUT", None), ("PATCH", Some(300_000)), ("POST", None)] {
        let depot = Depot::default();
        let server = with_tokens(&depot, move |request| request.is(method, "/uploads/1") && request.nth == 0);
        let pusher = Pusher { chunk, ..Pusher::new(&sample) };
        pusher.push(&server).unwrap();
        depot.has(&sample);
        assert!(server.requests("/token").len() <= 2, "once more is enough");
    }
    let depot = Depot::default();
    let server = with_tokens(&depot, |request| request.is("PUT", "/uploads/"));
    no(Pusher::new(&sample).push(&server), &["access denied (status 401"]);
}

#[test]
fn damaged_on_this_side() {
    let sample = Sample::new(500_000);
    for (chunk, text) in [(None, "found sha256:"), (Some(100_000), "found sha256:")] {
        let depot = Depot::default();
        let server = depot.server(|_, answer| answer());
        let pusher = Pusher { chunk, ..Pusher::new(&sample) };
        let path = pusher.dir.path().join("blobs/sha256").join(Digest::sha256(&sample.layer).hex());
        let mut bytes = sample.layer.clone();
        bytes[300_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        no(pusher.push(&server), &["cannot read it", text]);
        fs::write(&path, &bytes[..400_000]).unwrap();
        no(pusher.push(&server), &["cannot read it", "400000"]);
        fs::remove_file(&path).unwrap();
        no(pusher.push(&server), &["cannot read it", "no blob"]);
        assert_eq!(depot.blobs(), 1, "only the configuration is there");
        assert_eq!(depot.open_uploads(), 0);
        assert_eq!(methods(&server, "DELETE"), 3);
    }
}

#[test]
fn stalls() {
    let sample = Sample::new(8 << 20);
    let depot = Depot::default();
    let server = depot.server(|request, answer| {
        let answer = answer();
        match request.is("PUT", "/manifests/") {
            true => Answer { stall_after: Some(0), length: Some(Some(10)), ..answer },
            false => answer,
        }
    });
    // The answer has a head, which is all that anybody waits for.
    Pusher::new(&sample).push(&server).unwrap();
    depot.has(&sample);
}
