//! What registries do on purpose, and how connections really end.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use cvbake_fetch::{Insecure, Proxies};

use super::*;

/// Where each request for the layer began.
type Starts = Arc<Mutex<Vec<usize>>>;

/// A server that resets its connections in the middle of the layer, the first `resets` times.
fn resetting(sample: &Sample, resets: usize) -> (SocketAddr, Starts) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sample, starts) = (sample.clone(), Starts::default());
    let noted = Arc::clone(&starts);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer_or_reset(stream, &sample, resets, &noted);
        }
    });
    (address, starts)
}

/// A socket that is closed while something in it is unread resets its connection: the last byte of
/// a request is left.
fn answer_or_reset(mut stream: TcpStream, sample: &Sample, resets: usize, starts: &Starts) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let (method, body, content) = ("GET".to_owned(), String::new(), Vec::new());
    let request = Request { method, path, headers, body, content, cut: false, nth: 0 };
    let answer = sample.answer(&request);
    let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n", answer.body.len());
    stream.write_all(text.as_bytes()).ok()?;
    let is_layer = request.path.contains(&sample.layer_path());
    if is_layer {
        starts.lock().unwrap().push(request.range().unwrap_or(0));
    }
    if is_layer && starts.lock().unwrap().len() <= resets {
        return stream.write_all(&answer.body[..100_000]).ok();
    }
    stream.read_exact(&mut byte).ok()?;
    stream.write_all(&answer.body).ok()
}

#[test]
fn connections_that_are_reset() {
    let sample = Sample::new(1_100_000);
    let (address, starts) = resetting(&sample, 10);
    // How much of what was sent still arrives is not ours to say.
    let options = Options { attempts: 20, ..quick() };
    let reference = format!("{address}/a/b:v1").parse().unwrap();
    assert_eq!(pull_reference(&reference, &options, None).unwrap(), sample.layer);
    let starts = starts.lock().unwrap();
    assert_eq!(starts.len(), 11);
    assert!(starts.is_sorted() && starts[10] > 0, "nothing is fetched twice: {starts:?}");
    drop(starts);

    let (address, _) = resetting(&sample, usize::MAX);
    let reference = format!("{address}/a/b:v1").parse().unwrap();
    let options = Options { attempts: 1, ..quick() };
    refused(
        pull_reference(&reference, &options, None),
        &[&format!("lost the connection to {address}"), "onnection reset by peer"],
    );
}

#[test]
fn manifests_that_break_off() {
    let sample = Sample::new(1000);
    let breaks = |times: usize| {
        sample.server("/manifests/", move |request, mut answer| {
            answer.reset_after = (request.nth < times).then_some(20);
            answer
        })
    };
    assert_eq!(pull(&breaks(2)).unwrap(), sample.layer);
    refused(pull(&breaks(9)), &["cannot fetch manifest v1 of a/b", "gave up after 4 attempts: lost the connection to"]);
    // Whole as far as anybody can tell, and without a word of what it is.
    let manifest = sample.manifest.clone();
    let server = sample.server("/manifests/", move |_, _| Answer::new(200, &manifest[..manifest.len() - 1]));
    refused(
        pull(&server),
        &["cannot fetch manifest v1 of a/b", "the manifest is malformed: it is not of the expected JSON form"],
    );
    let manifest = String::from_utf8(sample.manifest.clone()).unwrap();
    let manifest = manifest.replace(&format!(r#""mediaType":"{MANIFEST}","#), "");
    let server = sample.server("/manifests/", move |_, _| Answer::new(200, &*manifest));
    assert_eq!(pull(&server).unwrap(), sample.layer);
}

#[test]
fn heads_without_end() {
    let sample = Sample::new(1000);
    let server = sample.server("/manifests/", |_, answer| {
        (0..20_000).fold(answer, |answer, at| answer.with(&format!("X-{at}"), "x".repeat(100)))
    });
    refused(pull(&server), &["cannot fetch manifest v1 of a/b", "no answer from 127.0.0.1:"]);
}

#[test]
fn urls_in_a_manifest_are_not_asked() {
    let sample = Sample::new(1000);
    let trap = sample.layer_server(|_, answer| answer);
    let url = format!("http://{}/v2/a/b/{}", trap.address, sample.layer_path());
    for media_type in [LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar"] {
        let manifest = String::from_utf8(sample.manifest.clone()).unwrap();
        let manifest = manifest.replace(&format!(r#""{LAYER}""#), &format!(r#""{media_type}","urls":["{url}"]"#));
        let serve = |there: bool| {
            let (manifest, path) = (manifest.clone(), sample.layer_path());
            sample.server("/a/b/", move |request, answer| match () {
                () if request.path.contains("/manifests/") => Answer::new(200, &*manifest),
                () if request.path.contains(&path) && !there => Answer::new(404, ""),
                () => answer,
            })
        };
        assert_eq!(pull(&serve(true)).unwrap(), sample.layer);
        refused(pull(&serve(false)), &["cannot fetch blob sha256:", "not found (status 404)"]);
    }
    assert!(trap.requests("").is_empty());
}

#[test]
fn public_registries_that_lead_here() {
    // It is public as far as anybody here can tell: only a proxy knows where it is.
    let sample = Sample::new(1000);
    let trap = sample.layer_server(|_, answer| answer);
    let port = trap.address.port();
    let path = sample.layer_path();
    let redirect = format!("http://localhost:{port}/v2/a/b/{path}");
    let realm = format!("Bearer realm=\"http://localhost:{port}/token\"");
    let (by_redirect, by_realm) = (
        sample.layer_server(move |_, _| Answer::new(307, "").with("Location", &*redirect)),
        sample.server("/a/b/", move |_, _| Answer::new(401, "").with("WWW-Authenticate", &*realm)),
    );
    for server in [by_redirect, by_realm] {
        let proxies = Proxies { all: Some(server.address.to_string()), ..Proxies::default() };
        let insecure = Insecure { asked: true, hosts: Vec::new() };
        let options = Options { proxies, insecure, ..quick() };
        let name = "registry.invalid/a/b:v1".parse().unwrap();
        let pulled = pull_reference(&name, &options, None);
        let message = chain(&**pulled.as_ref().unwrap_err());
        assert!(!message.contains("gave up"), "it is no mishap: {message}");
        refused(
            pulled,
            &["localhost is at the private address", "to which the registry registry.invalid must not lead"],
        );
    }
    assert!(trap.requests("").is_empty());
}

#[test]
fn a_token_that_expires_mid_blob() {
    let sample = Sample::new(500_000);
    let path = sample.layer_path();
    let token = Arc::new(Mutex::new(0));
    let other = sample.clone();
    let server = Server::start(move |request| {
        let mut token = token.lock().unwrap();
        if request.path.starts_with("/token") {
            *token = request.nth;
            return Answer::new(200, format!(r#"{{"token":"token-{}"}}"#, *token));
        }
        let mut answer = other.answer(request);
        if request.path == "/v2/" {
            return answer;
        }
        if request.header("authorization") != Some(&format!("Bearer token-{token}")) {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            return Answer::new(401, "").with("WWW-Authenticate", realm);
        }
        if request.path.contains(&path) && *token < 3 {
            // What is given out is good for nothing from here on.
            *token = usize::MAX;
            answer.reset_after = Some(100_000);
        }
        answer
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
    assert_eq!(server.requests("/token").len(), 4);
    let accepted = |request: &Request| request.range().is_some();
    let starts: Vec<_> = server.requests(&sample.layer_path()).into_iter().filter(accepted).collect();
    assert_eq!(starts.last().unwrap().range(), Some(300_000));
    assert!(*server.sent.lock().unwrap() < 550_000);
}

#[test]
fn indexes_of_nothing_and_of_too_much() {
    let sample = Sample::new(1000);
    let serve = |entries: String| {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
        sample.server("manifests/v1", move |_, _| Answer::new(200, &*index).with("Content-Type", INDEX))
    };
    let entry = |at: usize, platform: &str| {
        let text = descriptor(MANIFEST, format!("{at}").as_bytes());
        format!(r#"{}{platform}}}"#, &text[..text.len() - 1])
    };
    let entries = |platform: &dyn Fn(usize) -> String| {
        let all: Vec<_> = (0..10_000).map(|at| entry(at, &platform(at))).collect();
        serve(all.join(","))
    };
    let bounded = |server: &Server, expected: &[&str]| {
        let message = chain(&*pull(server).unwrap_err());
        println!("{message}");
        assert!(message.len() < 1000, "{message}");
        assert!(expected.iter().all(|part| message.contains(part)), "{message}\nshould contain {expected:?}");
        server.requests("/manifests/").len()
    };
    assert_eq!(bounded(&serve(String::new()), &["no image for linux/amd64"]), 1);
    // For others, for the same in many ways, and for who knows what.
    let other = entries(&|at| format!(r#","platform":{{"os":"linux","architecture":"cpu{at}"}}"#));
    assert_eq!(bounded(&other, &["no image for linux/amd64; available: "]), 1);
    let same = entries(&|_| r#","platform":{"os":"linux","architecture":"amd64"}"#.to_owned());
    assert_eq!(bounded(&same, &["not found (status 404"]), 2);
    assert_eq!(bounded(&entries(&|_| String::new()), &["not found (status 404"]), 2);
}
