//! Pulling from registries, and pushing to them, on their bad days: every fault a test.
#![expect(clippy::print_stdout, reason = "messages are to be read")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod auth;
mod distribution;
mod drips;
mod faults;
mod hostile;
mod login;
mod mirrors;
mod outages;
mod proxies;
mod push;
mod server;
mod store;
mod tags;
mod tls;

use std::io::Read;
use std::time::Duration;

use cvbake_fetch::{Event, Observer, Options, Reference, open_registry};
use cvbake_store::Store;
use cvbake_verify::{Digest, Image, Want};

use self::server::{Answer, Request, Server};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image with one layer, for a registry to have.
#[derive(Clone)]
struct Sample {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

/// Bytes that repeat only after a long time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

impl Sample {
    fn new(len: usize) -> Sample {
        let layer = noise(len);
        let digest = Digest::sha256(&layer);
        let config =
            format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            descriptor(CONFIG, config.as_bytes()),
            descriptor(LAYER, &layer)
        );
        Sample { layer, config: config.into(), manifest: manifest.into() }
    }

    fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    fn layer_path(&self) -> String {
        format!("blobs/{}", Digest::sha256(&self.layer))
    }

    /// What a registry answers.
    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.as_str();
        if path == "/v2/" {
            return Answer::new(200, "{}");
        }
        if path.ends_with("/manifests/v1") || path.ends_with(&format!("/manifests/{}", self.digest())) {
            return Answer::new(200, &*self.manifest)
                .with("Content-Type", MANIFEST)
                .with("Docker-Content-Digest", self.digest().to_string());
        }
        for blob in [&self.layer, &self.config] {
            if path.ends_with(&format!("/blobs/{}", Digest::sha256(blob))) {
                return Answer::part(request, blob).with("Content-Type", "application/octet-stream");
            }
        }
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        Answer::new(404, body).with("Content-Type", "application/json")
    }

    /// A registry that speaks TLS.
    fn tls_server(&self, config: std::sync::Arc<rustls::ServerConfig>) -> Server {
        let sample = self.clone();
        Server::start_tls(config, move |request| sample.answer(request))
    }

    /// A registry whose answers for paths with `part` are others.
    fn server(&self, part: &str, other: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> Server {
        let (sample, part) = (self.clone(), part.to_owned());
        Server::start(move |request| {
            let answer = sample.answer(request);
            if request.path.contains(&part) { other(request, answer) } else { answer }
        })
    }

    /// A registry whose answers for the layer are others.
    fn layer_server(&self, other: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> Server {
        self.server(&self.layer_path(), other)
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> String {
    let digest = Digest::sha256(content);
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, content.len())
}

/// As in real life, but faster.
fn quick() -> Options {
    Options {
        attempts: 4,
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_secs(3),
        stall: Duration::from_secs(1),
        helper_timeout: Duration::from_millis(400),
        ..Options::default()
    }
}

fn reference(server: &Server, name: &str) -> Reference {
    format!("{}/{name}", server.address).parse().unwrap()
}

/// The layer of the image.
fn pull_from(
    server: &Server,
    name: &str,
    options: &Options,
    store: Option<&Store>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    pull_reference(&reference(server, name), options, store)
}

fn pull_reference(
    name: &Reference,
    options: &Options,
    store: Option<&Store>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    pull_telling(name, options, store, &|_| {})
}

fn pull_telling(
    name: &Reference,
    options: &Options,
    store: Option<&Store>,
    on: Observer<'_>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let blobs = open_registry(name, options, store, on)?;
    let want = Want { platform: "linux/amd64".parse()?, explicit: true };
    let image = Image::verify(&*blobs, &want)?;
    let layer = &image.layers()[0];
    loop {
        let mut bytes = Vec::new();
        match layer.open(&*blobs)?.read_to_end(&mut bytes) {
            Ok(_) => return Ok(bytes),
            // As every reader of layers does.
            Err(_) if blobs.has_alternative(layer) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn pull(server: &Server) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    pull_from(server, "a/b:v1", &quick(), None)
}

/// The messages of an error and everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        // A reader's error says what the error in it says.
        if texts.last() != Some(&error.to_string()) {
            texts.push(error.to_string());
        }
        next = error.source();
    }
    texts.join(": ")
}

/// The whole message of a pull that must fail.
fn refused(pulled: Result<Vec<u8>, Box<dyn std::error::Error>>, expected: &[&str]) {
    let message = match pulled {
        Ok(bytes) => panic!("{} bytes came; expected an error with {expected:?}", bytes.len()),
        Err(error) => chain(&*error),
    };
    println!("{message}");
    for part in expected {
        assert!(message.contains(part), "{message}\nshould contain {part:?}");
    }
}
