//! Servers that always send something, but never enough of it to come to an end.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::server::{Drip, write_slowly};
use super::*;

/// Long beside what a drop takes, so that it is no matter how fast this machine is: the server is
/// never silent for so long.
fn patient() -> Options {
    Options { stall: Duration::from_secs(1), attempts: 2, ..quick() }
}

/// What is said of bytes that come too slowly. On a machine that stands still meanwhile, none may
/// come.
fn refused_as_slow(pulled: Result<Vec<u8>, Box<dyn std::error::Error>>, object: &str) {
    let message = chain(&*pulled.unwrap_err());
    println!("{message}");
    let slow = message.contains("in 1 s; expected at least 1024") || message.contains("sent nothing for 1 s");
    assert!(slow && message.contains(object) && message.contains("gave up after 2 attempts"), "{message}");
}

fn pull_patiently(server: &Server) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    pull_from(server, "a/b:v1", &patient(), None)
}

#[test]
fn manifests_that_drip() {
    let sample = Sample::new(1000);
    let server = sample.server("/manifests/", |_, answer| answer.dripping(Drip::Body(10)));
    refused_as_slow(pull_patiently(&server), "manifest v1 of a/b");
}

#[test]
fn tokens_that_drip() {
    let sample = Sample::new(1000);
    let other = sample.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/v2/" => other.answer(request),
        path if path.starts_with("/token") => {
            Answer::new(200, format!(r#"{{"token":"{}"}}"#, "x".repeat(1000))).dripping(Drip::Body(0))
        }
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            Answer::new(401, "").with("WWW-Authenticate", realm)
        }
    });
    refused_as_slow(pull_patiently(&server), "cannot get a token from http://127.0.0.1:");
    assert_eq!(server.requests("/token").len(), 2);
}

#[test]
fn blobs_that_drip() {
    let sample = Sample::new(300_000);
    // Where it goes on, a little more comes each time: the attempts end all the same.
    let server = sample.layer_server(|_, answer| answer.dripping(Drip::Body(100)));
    refused_as_slow(pull_patiently(&server), &sample.layer_path()[6..]);
    let starts: Vec<_> = server.requests(&sample.layer_path()).iter().map(Request::range).collect();
    assert!(starts.len() == 2 && starts[0].is_none() && starts[1].is_some_and(|from| from >= 100), "{starts:?}");
    // What came in time is not lost.
    let server = sample.layer_server(|request, answer| match request.nth {
        0 => answer.dripping(Drip::Body(200_000)),
        _ => answer,
    });
    assert_eq!(pull_patiently(&server).unwrap(), sample.layer);
    assert!(server.requests(&sample.layer_path())[1].range() >= Some(200_000));
}

#[test]
fn errors_that_drip() {
    let sample = Sample::new(1000);
    let text = format!(r#"{{"errors":[{{"code":"X","message":"{}"}}]}}"#, "x".repeat(1000));
    let server = sample.server("/manifests/", move |_, _| Answer::new(404, &*text).dripping(Drip::Body(0)));
    refused(pull_patiently(&server), &["manifest v1", "not found (status 404)"]);
}

#[test]
fn heads_that_drip() {
    let sample = Sample::new(1000);
    for drip in [Drip::Head, Drip::Hints] {
        let server = sample.server("/manifests/", move |_, answer| answer.with("X", "x".repeat(1000)).dripping(drip));
        refused(
            pull_patiently(&server),
            &["manifest v1", "gave up after 2 attempts", "did not answer; expected an answer within 1 s"],
        );
    }
}

#[test]
fn redirects_that_take_their_time() {
    let sample = Sample::new(1000);
    let server = sample.server("/a/b/", |request, _| {
        thread::sleep(Duration::from_millis(700));
        Answer::new(307, "").with("Location", format!("{}x", request.path))
    });
    refused(pull_patiently(&server), &["gave up after 2 attempts", "did not answer; expected an answer within 2 s"]);
    // All together, not each of them.
    assert!(server.requests("/a/b/").len() <= 6, "{}", server.requests("/a/b/").len());
}

#[test]
fn handshakes_that_drip() {
    let sample = Sample::new(1000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let realm = format!("Bearer realm=\"https://{}/token\"", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The head of a long record of a handshake, and then what would be in it.
            thread::spawn(move || {
                let record = [&[22, 3, 3, 64, 0][..], &[2, 0, 63, 252], &[0; 16_000]].concat();
                write_slowly(&mut stream, &record, 1, Duration::from_millis(50))
            });
        }
    });
    let server = sample.server("/a/b/", move |_, _| Answer::new(401, "").with("WWW-Authenticate", &*realm));
    refused(pull_patiently(&server), &["cannot get a token from https://127.0.0.1:", "gave up after 2 attempts"]);
}

#[test]
fn lines_that_are_slow_and_honest() {
    // Some kilobytes in a second, as they may come from far away.
    let sample = Sample::new(20_000);
    let server = sample.layer_server(|_, answer| Answer { pace: Some((1000, Duration::from_millis(100))), ..answer });
    assert_eq!(pull_patiently(&server).unwrap(), sample.layer);
    assert_eq!(server.requests(&sample.layer_path()).len(), 1);
}

#[test]
fn a_reader_may_take_its_time() {
    let sample = Sample::new(3_000_000);
    let server = sample.layer_server(|_, answer| answer);
    let options = Options { stall: Duration::from_millis(300), attempts: 1, ..quick() };
    let blobs = open_registry(&reference(&server, "a/b:v1"), &options, None, &|_| {}).unwrap();
    let image = Image::verify(&*blobs, &Want { platform: "linux/amd64".parse().unwrap(), explicit: true }).unwrap();
    let mut reader = image.layers()[0].open(&*blobs).unwrap();
    let mut bytes = vec![0; 10];
    reader.read_exact(&mut bytes).unwrap();
    thread::sleep(Duration::from_secs(1));
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, sample.layer);
    assert_eq!(server.requests(&sample.layer_path()).len(), 1);
}

/// Whoever waits for a download that does not come on makes one of his own, from wherever he has
/// the blob.
#[test]
fn a_download_that_is_held_holds_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::new(300_000);
    let holding = AtomicBool::new(true);
    let server = sample.layer_server(move |_, answer| match holding.swap(false, Ordering::SeqCst) {
        true => answer.dripping(Drip::Body(1000)),
        false => answer,
    });
    let path = dir.path().join("store");
    let store = Store::open(&path, &|_| {}).unwrap();
    let name = reference(&server, "a/b:v1");
    // It goes on as long as this test does.
    let held = (path.clone(), name.clone());
    thread::spawn(move || {
        let store = Store::open(&held.0, &|_| {}).unwrap();
        let options = Options { stall: Duration::from_secs(3600), ..quick() };
        let _ = pull_reference(&held.1, &options, Some(&store));
    });
    while server.requests(&sample.layer_path()).is_empty() {
        thread::yield_now();
    }
    let told = Mutex::new(Vec::new());
    let on = |event: Event| told.lock().unwrap().push(event.to_string());
    let options = Options { stall: Duration::from_millis(300), ..quick() };
    assert_eq!(pull_telling(&name, &options, Some(&store), &on).unwrap(), sample.layer);
    let told = told.into_inner().unwrap();
    let words = ["waiting for another process that is downloading", "no longer waiting for another process, which has"];
    assert!(told.len() == 2 && told.iter().zip(words).all(|(told, word)| told.starts_with(word)), "{told:?}");
    assert!(told[1].contains("downloading it here, too"), "{told:?}");
    let starts: Vec<_> = server.requests(&sample.layer_path()).iter().map(Request::range).collect();
    assert_eq!(starts, [None, None], "nothing of what the other has is used");
    // Those who come now have it at once, and what the other one does is its own business.
    assert_eq!(pull_reference(&name, &quick(), Some(&store)).unwrap(), sample.layer);
}
