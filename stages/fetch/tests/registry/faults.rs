//! What servers and networks do.

use std::time::Duration;

use super::*;

#[test]
fn a_good_day() {
    let sample = Sample::new(300_000);
    let server = sample.layer_server(|_, answer| answer);
    assert_eq!(pull(&server).unwrap(), sample.layer);
    let by_digest = format!("a/b@{}", sample.digest());
    assert_eq!(pull_from(&server, &by_digest, &quick(), None).unwrap(), sample.layer);
    // The digest decides; nobody asks for the tag.
    let both = format!("a/b:gone@{}", sample.digest());
    assert_eq!(pull_from(&server, &both, &quick(), None).unwrap(), sample.layer);
    assert!(server.requests("gone").is_empty());
}

#[test]
fn reset_ten_times_in_one_blob() {
    let sample = Sample::new(1_100_000);
    let server = sample.layer_server(|request, mut answer| {
        if request.nth < 10 {
            answer.reset_after = Some(100_000);
        }
        answer
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
    assert_eq!(server.requests(&sample.layer_path()).len(), 11);
    assert!(*server.sent.lock().unwrap() < sample.layer.len() as u64 * 12 / 10);
}

#[test]
fn reset_without_progress() {
    let sample = Sample::new(500_000);
    let server = sample.layer_server(|_, mut answer| {
        answer.reset_after = Some(10);
        answer
    });
    refused(pull(&server), &["gave up after 4 attempts", "127.0.0.1", "a/b", &sample.layer_path()[6..]]);
    assert_eq!(server.requests(&sample.layer_path()).len(), 4);
}

#[test]
fn ranges_ignored() {
    let sample = Sample::new(500_000);
    let layer = sample.layer.clone();
    let server = sample.layer_server(move |request, _| {
        let mut answer = Answer::new(200, &*layer);
        answer.reset_after = (request.nth < 2).then_some(150_000 * (request.nth + 1));
        answer
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
}

#[test]
fn ranges_wrong() {
    let sample = Sample::new(500_000);
    for (range, total) in [(0, 500_000), (7, 500_000), (100_000, 400_000), (999_999, 500_000)] {
        let layer = sample.layer.clone();
        let server = sample.layer_server(move |request, mut answer| match request.range() {
            None if request.nth == 0 => {
                answer.reset_after = Some(100_000);
                answer
            }
            None => answer,
            Some(from) => {
                Answer::new(206, &layer[from..]).with("Content-Range", format!("bytes {range}-499999/{total}"))
            }
        });
        assert_eq!(pull(&server).unwrap(), sample.layer, "{range} of {total}");
    }
}

#[test]
fn ranges_refused() {
    let sample = Sample::new(500_000);
    let server = sample.layer_server(|request, mut answer| {
        if request.range().is_some() {
            return Answer::new(416, "");
        }
        answer.reset_after = (request.nth == 0).then_some(100_000);
        answer
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
    assert_eq!(server.requests(&sample.layer_path()).len(), 3);
}

#[test]
fn stalls() {
    let sample = Sample::new(500_000);
    let server = sample.layer_server(|request, mut answer| {
        answer.stall_after = (request.nth == 0).then_some(200_000);
        answer
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
    assert_eq!(server.requests(&sample.layer_path())[1].range(), Some(200_000));

    let server = sample.layer_server(|_, mut answer| {
        answer.stall_after = Some(0);
        answer
    });
    let options = Options { attempts: 2, ..quick() };
    refused(pull_from(&server, "a/b:v1", &options, None), &["gave up after 2 attempts", "sent nothing for 1 s"]);
}

#[test]
fn statuses_that_pass() {
    for status in [429, 500, 502, 503, 504] {
        let sample = Sample::new(1000);
        let server = sample.server(
            "/a/b/",
            move |request, answer| {
                if request.nth < 2 { Answer::new(status, "") } else { answer }
            },
        );
        assert_eq!(pull(&server).unwrap(), sample.layer, "{status}");
        let server = sample.server("/a/b/", move |_, _| Answer::new(status, ""));
        refused(
            pull(&server),
            &["manifest v1 of a/b", "gave up after 4 attempts", &format!("status {status}; expected 200")],
        );
    }
}

#[test]
fn statuses_that_stay() {
    let sample = Sample::new(1000);
    for (status, text) in
        [(400, "status 400"), (404, "not found (status 404"), (405, "status 405"), (501, "status 501")]
    {
        let server = sample.server("/a/b/", move |_, _| Answer::new(status, ""));
        refused(pull(&server), &["cannot fetch manifest v1 of a/b from 127.0.0.1:", text]);
        assert_eq!(server.requests("/a/b/manifests/").len(), 1);
    }
    let server = sample.layer_server(|_, answer| answer);
    let unknown = pull_from(&server, "a/b:v2", &quick(), None);
    refused(unknown, &["manifest v2", "not found (status 404, \"MANIFEST_UNKNOWN: manifest unknown\")"]);
}

#[test]
fn asked_to_wait() {
    let sample = Sample::new(1000);
    // The date first: it comes nearer, and has whole seconds only.
    let table = [(httpdate::fmt_http_date(clock() + Duration::from_secs(3)), 1), ("1".to_owned(), 1)];
    for (text, seconds) in table {
        let server = sample.layer_server(move |request, answer| {
            if request.nth == 0 { Answer::new(429, "").with("Retry-After", &*text) } else { answer }
        });
        let start = std::time::Instant::now();
        assert_eq!(pull(&server).unwrap(), sample.layer);
        assert!(start.elapsed() >= Duration::from_secs(seconds), "{:?}", start.elapsed());
    }
    for text in ["86400".to_owned(), httpdate::fmt_http_date(clock() + Duration::from_secs(86_400))] {
        let server = sample.layer_server(move |_, _| Answer::new(429, "").with("Retry-After", &*text));
        refused(pull(&server), &["status 429 and asks to wait 86", "expected at most 3 s"]);
    }
}

fn clock() -> std::time::SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the server's clock")]
    std::time::SystemTime::now()
}

#[test]
fn bodies_that_are_something_else() {
    let sample = Sample::new(100_000);
    let (size, path) = (sample.layer.len(), sample.layer_path());
    let wrong = |edit: fn(Vec<u8>) -> Answer| {
        let layer = sample.layer.clone();
        pull(&sample.layer_server(move |_, _| edit(layer.clone())))
    };
    // Short and long, announced and not.
    let lengths = ["sends 99999 bytes; expected 100000", &path[6..]];
    refused(wrong(|layer| Answer::new(200, &layer[1..])), &lengths);
    refused(
        wrong(|mut layer| {
            layer.push(0);
            Answer::new(200, layer)
        }),
        &["sends 100001 bytes; expected 100000"],
    );
    let unannounced = |body: Vec<u8>| Answer { length: Some(None), ..Answer::new(200, body) };
    let layer = sample.layer.clone();
    let server = sample.layer_server(move |_, _| unannounced([&layer[..], b"more"].concat()));
    refused(pull(&server), &["expected 100000"]);
    let layer = sample.layer.clone();
    let server = sample.layer_server(move |_, _| unannounced(layer[..500].to_vec()));
    refused(pull(&server), &["gave up after", "ended after 500 of 100000 bytes"]);
    // Another content of the right length.
    refused(
        wrong(|mut layer| {
            layer[50] ^= 1;
            Answer::new(200, layer)
        }),
        &["sent content with digest sha256:", "expected sha256:"],
    );
    // Compressed on the way.
    refused(
        wrong(|layer| Answer::new(200, layer).with("Content-Encoding", "gzip")),
        &["Content-Encoding \"gzip\"; expected none"],
    );
    // The page of a portal.
    let page = |_| Answer::new(200, "<html>log in</html>").with("Content-Type", "text/html; charset=utf-8");
    refused(wrong(page), &["sent \"text/html\"; expected a blob", "login page"]);
    let server = sample.server("manifests", move |_, _| page(Vec::new()));
    refused(pull(&server), &["sent \"text/html\"; expected a manifest"]);
    assert_eq!(size, 100_000);
}

#[test]
fn claims_about_the_digest() {
    let sample = Sample::new(1000);
    for claim in [Digest::sha256(b"other").to_string(), "sha256:12".to_owned(), "nonsense".to_owned()] {
        let manifest = sample.manifest.clone();
        let shown = claim.clone();
        let server = sample.server("manifests", move |_, _| {
            Answer::new(200, &*manifest).with("Content-Type", MANIFEST).with("Docker-Content-Digest", &*claim)
        });
        refused(pull(&server), &["Docker-Content-Digest", &shown, &sample.digest().to_string()]);
    }
    // Another manifest under the digest.
    let other = Sample::new(2000);
    let manifest = other.manifest.clone();
    let server = sample.server("manifests", move |_, _| Answer::new(200, &*manifest).with("Content-Type", MANIFEST));
    let pulled = pull_from(&server, &format!("a/b@{}", sample.digest()), &quick(), None);
    refused(pulled, &[&format!("sent content with digest {}; expected {}", other.digest(), sample.digest())]);
    // No claim and no type are no fault.
    let manifest = sample.manifest.clone();
    let server = sample.server("manifests", move |_, _| Answer::new(200, &*manifest));
    assert_eq!(pull(&server).unwrap(), sample.layer);
}

#[test]
fn a_tag_that_moves() {
    let (first, second) = (Sample::new(1000), Sample::new(2000));
    let (old, new) = (first.clone(), second.clone());
    let server = Server::start(move |request| {
        let moved = request.path.ends_with("/manifests/v1") && request.nth > 0;
        if moved { new.answer(request) } else { old.answer(request) }
    });
    assert_eq!(pull(&server).unwrap(), first.layer);
    assert_eq!(server.requests("manifests/v1").len(), 1);
}

#[test]
fn answers_without_end() {
    let sample = Sample::new(1000);
    let endless = |status| Answer { repeat: 1600, length: Some(None), ..Answer::new(status, vec![b' '; 1 << 16]) };
    let server = sample.server("manifests", move |_, _| endless(200).with("Content-Type", MANIFEST));
    refused(pull(&server), &["too large: expected at most 4194304 bytes"]);
    assert!(*server.sent.lock().unwrap() < 50 << 20);
    let server = sample.server("manifests", move |_, _| endless(404));
    refused(pull(&server), &["not found"]);
    let server = sample.layer_server(move |_, _| endless(200));
    refused(pull(&server), &["expected 1000"]);
}

#[test]
fn redirects() {
    let sample = Sample::new(1000);
    let storage = sample.layer_server(|_, answer| answer);
    // Storage elsewhere.
    let elsewhere = storage.address;
    let server = sample.layer_server(move |request, _| {
        Answer::new(307, "").with("Location", format!("http://localhost:{}{}", elsewhere.port(), request.path))
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
    for (location, expected) in [
        ("/v2/a/b/loop", "more than 10 redirects"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254 is a private address"),
        ("http://[::ffff:169.254.169.254]/", "private address"),
        ("http://10.0.0.1/", "10.0.0.1 is a private address"),
        ("file:///etc/passwd", "expected http or https"),
        ("http://user:pw@127.0.0.1/", "user name"),
        ("http://[/", "which is refused"),
    ] {
        let other = sample.clone();
        let part = sample.layer_path();
        let server = Server::start(move |request| {
            let leads = request.path.contains(&part) || request.path.contains("loop");
            if leads { Answer::new(302, "").with("Location", location) } else { other.answer(request) }
        });
        refused(pull(&server), &[expected, &sample.layer_path()[6..]]);
    }
}

#[test]
fn nobody_there() {
    let server = Server::start(|_| Answer::new(200, ""));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server { address: free, ..server };
    let reason = format!("cannot reach {free}: Connection refused");
    refused(pull(&server), &["cannot fetch manifest v1 of a/b", &reason, "gave up after 2 attempts"]);
}

#[test]
fn indexes() {
    let sample = Sample::new(1000);
    let serve = |index: String| {
        sample.server("manifests/v1", move |_, _| Answer::new(200, &*index).with("Content-Type", INDEX))
    };
    let index = |entries: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
    let entry = descriptor(MANIFEST, &sample.manifest);
    let entry = format!(r#"{},"platform":{{"os":"linux","architecture":"amd64"}}}}"#, &entry[..entry.len() - 1]);
    assert_eq!(pull(&serve(index(&entry))).unwrap(), sample.layer);
    assert!(pull(&serve(index(""))).is_err());
    assert_eq!(pull(&serve(index(&vec![entry.as_str(); 10_000].join(",")))).unwrap(), sample.layer);
    // An entry whose manifest is another.
    let server = serve(index(&entry.replace(&sample.digest().to_string(), &Digest::sha256(b"x").to_string())));
    refused(pull(&server), &["not found", &Digest::sha256(b"x").to_string()]);
}

#[test]
fn bytes_are_handed_out_while_they_arrive() {
    // The server sends the second half only after the first has been read.
    let sample = Sample::new(400_000);
    let (seen, go) = std::sync::mpsc::channel::<()>();
    let go = std::sync::Mutex::new(go);
    let server = sample.layer_server(move |request, mut answer| {
        if request.range().is_some() {
            go.lock().unwrap().recv().unwrap();
        } else {
            answer.reset_after = Some(200_000);
        }
        answer
    });
    let options = Options { stall: Duration::from_secs(20), ..quick() };
    let blobs = open_registry(&reference(&server, "a/b:v1"), &options, None, &|_| {}).unwrap();
    let image = Image::verify(&*blobs, &Want { platform: "linux/amd64".parse().unwrap(), explicit: true }).unwrap();
    let mut reader = image.layers()[0].open(&*blobs).unwrap();
    let mut half = vec![0; 200_000];
    reader.read_exact(&mut half).unwrap();
    seen.send(()).unwrap();
    reader.read_to_end(&mut half).unwrap();
    assert_eq!(half, sample.layer);
}
