//! What servers and networks do while something is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};

use super::*;

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
        let failed = AtomicBool::new(false);
        let server = depot.server(move |request, answer| {
            if request.is(method, part) && !failed.swap(true, Ordering::SeqCst) {
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
        (405, "POST", "/uploads/", &["does not accept pushes (status 405, \"UNSUPPORTED: no\")"]),
        (501, "POST", "/uploads/", &["does not accept pushes (status 501"]),
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
        let blob = format!("blob {}: ", Digest::sha256(&sample.layer));
        no(pusher.push(&server), &[&blob, text]);
        fs::write(&path, &bytes[..400_000]).unwrap();
        no(pusher.push(&server), &[&blob, "400000"]);
        fs::remove_file(&path).unwrap();
        no(pusher.push(&server), &[&blob, "is missing"]);
        assert_eq!(depot.blobs(), 1, "only the configuration is there");
        assert_eq!(depot.open_uploads(), 0);
        assert_eq!(methods(&server, "DELETE"), 3);
    }
}

#[test]
fn stalls() {
    let sample = Sample::new(8 << 20);
    let depot = Depot::default();
    // The first large body is not taken to its end, and nobody says so for as long as the test
    // runs.
    let first = AtomicBool::new(true);
    let cut = move |request: &Request| {
        let large = request.header("content-length").is_some_and(|text| text.len() >= 7);
        (large && first.swap(false, Ordering::SeqCst)).then_some(100_000)
    };
    let (end, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let server = depot.cutting(cut, move |request, answer| {
        if request.cut {
            let _ = wait.lock().unwrap().recv();
            return Answer::new(0, "");
        }
        answer()
    });
    Pusher::new(&sample).push(&server).unwrap();
    depot.has(&sample);
    drop(end);
}

#[test]
fn nothing_but_a_head() {
    let sample = Sample::new(1000);
    let depot = Depot::default();
    let server = depot.server(|request, answer| match request.is("PUT", "/manifests/") {
        true => Answer { stall_after: Some(0), length: Some(Some(10)), ..answer() },
        false => answer(),
    });
    // That is all that anybody waits for.
    Pusher::new(&sample).push(&server).unwrap();
    depot.has(&sample);
}
