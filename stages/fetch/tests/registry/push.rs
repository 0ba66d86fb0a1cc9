//! Pushing: what arrives, and what is not sent.

mod depot;
mod faults;
mod trust;

use std::fs;

use cvbake_fetch::{Mounts, Put, Shipment, Source};

use self::depot::{Depot, Pusher, methods, no, write_layout};
use super::*;

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

/// The image with another type of layer, in a layout.
fn with_layer_type(media_type: &str) -> (Sample, Pusher) {
    let mut sample = Sample::new(1000);
    sample.manifest = String::from_utf8(sample.manifest).unwrap().replace(LAYER, media_type).into();
    let pusher = Pusher::new(&sample);
    (sample, pusher)
}

#[test]
fn layers_that_are_not_to_be_distributed() {
    for (media_type, private) in [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", true),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", true),
        ("application/vnd.docker.image.rootfs.diff.tar", false),
    ] {
        let (sample, mut pusher) = with_layer_type(media_type);
        for keep in [true, false] {
            pusher.keep_private = keep;
            let depot = Depot::default();
            let server = depot.server(|_, answer| answer());
            let put = pusher.push(&server).unwrap();
            assert_eq!(put.len(), if keep && private { 2 } else { 3 }, "{media_type}");
            let events = std::mem::take(&mut *pusher.events.lock().unwrap());
            let told = events.iter().any(
                |event| matches!(event, Event::NotDistributable { digest } if *digest == Digest::sha256(&sample.layer)),
            );
            assert_eq!(told, keep && private, "{media_type}");
        }
    }
}

#[test]
fn an_index_and_all_that_is_there() {
    let sample = Sample::new(1000);
    let dir = tempfile::tempdir().unwrap();
    write_layout(&sample, dir.path());
    let statement = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
        descriptor(CONFIG, &sample.config),
        descriptor("application/vnd.in-toto+json", &sample.layer)
    );
    let absent = descriptor(MANIFEST, b"elsewhere");
    let absent = absent.replace('}', r#","platform":{"os":"linux","architecture":"arm","variant":"v7"}}"#);
    let entries = [&descriptor(MANIFEST, &sample.manifest), &absent, &descriptor(MANIFEST, statement.as_bytes())];
    let entries = entries.map(String::as_str).join(",");
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
    for blob in [&statement, &index] {
        fs::write(dir.path().join("blobs/sha256").join(Digest::sha256(blob.as_bytes()).hex()), blob).unwrap();
    }
    let open = |top: &str| {
        fs::write(dir.path().join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{top}]}}"#)).unwrap();
        let source: Source = format!("oci:{}", dir.path().display()).parse().unwrap();
        cvbake_fetch::open(&source, dir.path(), std::io::empty()).unwrap()
    };
    let shipment = Shipment::all(&*open(&descriptor(INDEX, index.as_bytes())), true, &|_| {}).unwrap();
    let digests: Vec<Digest> = shipment.manifests().iter().map(cvbake_fetch::Manifest::digest).collect();
    let expected = [&*sample.manifest, statement.as_bytes(), index.as_bytes()].map(Digest::sha256);
    assert_eq!(digests, expected, "what is pointed to comes first, statements belong to it");
    assert_eq!((shipment.blobs().len(), shipment.layer_count()), (2, 1), "each blob once");
    let (missing, platform) = &shipment.absent()[0];
    assert_eq!((missing.digest, platform.as_deref()), (Digest::sha256(b"elsewhere"), Some("linux/arm/v7")));

    let several = [descriptor(MANIFEST, &sample.manifest), descriptor(MANIFEST, statement.as_bytes())].join(",");
    let error = Shipment::all(&*open(&several), true, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("without an index of their own"), "{error}");
    let error = Shipment::all(&*open(&descriptor(INDEX, b"nowhere")), true, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("it is not here"), "{error}");
    let malformed = index.replace("\"size\":", "\"size\":-");
    fs::write(dir.path().join("blobs/sha256").join(Digest::sha256(malformed.as_bytes()).hex()), &malformed).unwrap();
    let error = Shipment::all(&*open(&descriptor(INDEX, malformed.as_bytes())), true, &|_| {}).unwrap_err();
    assert!(chain(&error).contains("expected a size in bytes"), "{}", chain(&error));
}
