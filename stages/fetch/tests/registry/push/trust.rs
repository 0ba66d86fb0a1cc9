//! Who may push, and where to.

use std::sync::{Arc, Mutex};

use super::*;

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
        ("http://169.254.169.254/upload", "169.254.169.254 is a private address"),
        ("http://10.0.0.1/upload", "10.0.0.1 is a private address"),
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
    let mut partial = store.blobs().partial(&digest, cvbake_store::Patience::new(None), &|_| {}).unwrap();
    partial.append(&sample.manifest).unwrap();
    partial.commit().unwrap();
    let stored =
        cvbake_store::Reference { digest, media_type: MANIFEST.to_owned(), size: sample.manifest.len() as u64 };
    let here = format!("{}/{name}", server.address);
    store.names().set([&*here, "elsewhere.example/x:v1"], &stored, cvbake_store::Origin::Registry, &|_| {}).unwrap();
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
