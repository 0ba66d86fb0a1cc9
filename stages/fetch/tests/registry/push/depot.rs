//! A registry that something can be pushed to, and a push.

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
pub(super) struct Inside {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) manifests: BTreeMap<String, Vec<u8>>,
    pub(super) uploads: Vec<Option<Vec<u8>>>,
    /// Repositories that others may take blobs from.
    pub(super) open: Vec<String>,
}

/// A registry that does what it should, for tests to make it do otherwise.
#[derive(Clone, Default)]
pub(super) struct Depot(pub(super) Arc<Mutex<Inside>>);

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

    pub(super) fn server(
        &self,
        other: impl Fn(&Request, &dyn Fn() -> Answer) -> Answer + Send + Sync + 'static,
    ) -> Server {
        self.cutting(|_| None, other)
    }

    pub(super) fn cutting(
        &self,
        cut: impl Fn(&Request) -> Option<u64> + Send + Sync + 'static,
        other: impl Fn(&Request, &dyn Fn() -> Answer) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let depot = self.clone();
        Server::start_cutting(cut, move |request| other(request, &|| depot.answer(request)))
    }

    pub(super) fn has(&self, sample: &Sample) {
        let inside = self.0.lock().unwrap();
        for blob in [&sample.layer, &sample.config] {
            assert_eq!(inside.blobs.get(&Digest::sha256(blob).to_string()), Some(blob), "what arrived");
        }
        assert_eq!(inside.manifests.get("v1"), Some(&sample.manifest), "byte for byte");
    }

    pub(super) fn blobs(&self) -> usize {
        self.0.lock().unwrap().blobs.len()
    }

    pub(super) fn open_uploads(&self) -> usize {
        self.0.lock().unwrap().uploads.iter().flatten().count()
    }
}

pub(super) fn write_layout(sample: &Sample, dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for blob in [&sample.layer, &sample.config, &sample.manifest] {
        fs::write(blobs.join(Digest::sha256(blob).hex()), blob).unwrap();
    }
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let entry = descriptor(MANIFEST, &sample.manifest);
    fs::write(dir.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#)).unwrap();
}

pub(super) type Pushed = Result<Vec<Put>, Box<dyn std::error::Error>>;

/// A push of the image, as the program does it, but one blob after the other.
pub(super) struct Pusher {
    pub(super) dir: tempfile::TempDir,
    pub(super) options: Options,
    pub(super) chunk: Option<u64>,
    pub(super) mounts: Mounts,
    pub(super) events: Mutex<Vec<Event>>,
    /// Whether layers stay here that are not to be distributed.
    pub(super) keep_private: bool,
}

impl Pusher {
    pub(super) fn new(sample: &Sample) -> Pusher {
        let dir = tempfile::tempdir().unwrap();
        write_layout(sample, dir.path());
        Pusher {
            dir,
            options: quick(),
            chunk: None,
            mounts: Mounts::default(),
            events: Mutex::default(),
            keep_private: true,
        }
    }

    pub(super) fn chunks(mut self, bytes: u64) -> Pusher {
        self.chunk = Some(bytes);
        self
    }

    pub(super) fn push(&self, server: &Server) -> Pushed {
        let source: Source = format!("oci:{}", self.dir.path().display()).parse()?;
        let blobs = cvbake_fetch::open(&source, self.dir.path(), std::io::empty())?;
        self.push_blobs(server, &*blobs)
    }

    fn push_blobs(&self, server: &Server, blobs: &dyn Blobs) -> Pushed {
        let want = Want { platform: "linux/amd64".parse()?, explicit: true };
        let image = Image::verify(blobs, &want)?;
        let on = |event| self.events.lock().unwrap().push(event);
        let shipment = Shipment::for_image(&image, self.keep_private, &on)?;
        let chunk = self.chunk.and_then(NonZeroU64::new);
        let target = Target::new(&reference(server, "a/b:v1"), &self.options, self.mounts.clone(), chunk, &|_| {})?;
        let mut put = Vec::new();
        for blob in shipment.blobs() {
            put.push(target.put_blob(blob, blobs, &on)?);
        }
        put.push(target.put_manifest(&shipment.manifests()[0], Some("v1"))?);
        Ok(put)
    }

    /// How many bytes were said to be sent.
    pub(super) fn told(&self) -> u64 {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| if let Event::Sent { bytes } = event { *bytes } else { 0 }).sum()
    }
}

pub(super) fn no(pushed: Pushed, expected: &[&str]) {
    refused(pushed.map(|put| vec![0; put.len()]), expected);
}

/// How often each method was used.
pub(super) fn methods(server: &Server, method: &str) -> usize {
    server.requests("").iter().filter(|request| request.method == method).count()
}
