//! Through a proxy of our own, which leads every name to one server and writes down what it is
//! asked for; and `.netrc`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use cvbake_fetch::{Certificates, Insecure, Proxies};

use super::tls::Authority;
use super::*;

/// A proxy, for tunnels and for whole requests.
struct Proxy {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

/// The first lines of requests, and what they say about who asks.
type Log = Vec<(String, Option<String>)>;

impl Proxy {
    fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::<Mutex<Log>>::default();
        let logged = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&logged);
                thread::spawn(move || pass(stream, target, &log));
            }
        });
        Proxy { address, log }
    }

    fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

fn pass(client: TcpStream, target: SocketAddr, log: &Mutex<Log>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let (line, headers) = head.split_once("\r\n")?;
    let authorization = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
    });
    log.lock().unwrap().push((line.to_owned(), authorization));
    let mut server = TcpStream::connect(target).ok()?;
    let mut back = client.try_clone().ok()?;
    if line.starts_with("CONNECT ") {
        back.write_all(b"HTTP/1.1 200 x\r\n\r\n").ok()?;
    } else {
        // As the server knows it: without scheme and host.
        let mut words = line.split(' ');
        let (method, url) = (words.next()?, words.next()?);
        let path = url.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..]))?;
        server.write_all(format!("{method} {path} HTTP/1.1\r\n{headers}").as_bytes()).ok()?;
    }
    let mut answers = server.try_clone().ok()?;
    thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    Some(())
}

fn through(proxy: &Proxy) -> Proxies {
    Proxies { all: Some(format!("http://me:secret@{}", proxy.address)), ..Proxies::default() }
}

fn named(name: &str, options: &Options) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    pull_reference(&name.parse().unwrap(), options, None)
}

#[test]
fn whole_requests() {
    let sample = Sample::new(300_000);
    let server = sample.layer_server(|_, answer| answer);
    let proxy = Proxy::start(server.address);
    let insecure = Insecure { asked: true, hosts: Vec::new() };
    let options = Options { proxies: through(&proxy), insecure, ..quick() };
    assert_eq!(named("registry.example:5000/a/b:v1", &options).unwrap(), sample.layer);
    let lines = proxy.lines();
    assert!(
        lines.iter().any(|line| line.starts_with("CONNECT registry.example:5000")),
        "TLS is tried first: {lines:?}"
    );
    let layer = format!("GET http://registry.example:5000/v2/a/b/{}", sample.layer_path());
    assert!(lines.iter().any(|line| line.starts_with(&layer)), "{lines:?}");
    // `bWU6c2VjcmV0` is `me:secret`; the server is not told.
    let log = proxy.log.lock().unwrap();
    assert!(log.iter().all(|(_, who)| who.as_deref() == Some("Basic bWU6c2VjcmV0")), "{log:?}");
    assert!(server.requests("").iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn tunnels() {
    let (sample, authority, dir) = (Sample::new(300_000), Authority::new("ours"), tempfile::tempdir().unwrap());
    let server = sample.tls_server(authority.issue("registry.example").server_config());
    let proxy = Proxy::start(server.address);
    let file = dir.path().join("ca.crt");
    fs::write(&file, authority.pem()).unwrap();
    let certificates = Certificates { roots_file: Some(file), ..Certificates::default() };
    let options = Options { proxies: through(&proxy), certificates, ..quick() };
    assert_eq!(named("registry.example/a/b:v1", &options).unwrap(), sample.layer);
    let lines = proxy.lines();
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line == "CONNECT registry.example:443 HTTP/1.1"), "{lines:?}");
    assert!(server.requests("").iter().all(|request| request.header("proxy-authorization").is_none()));
}

#[test]
fn not_through_the_proxy() {
    let sample = Sample::new(1000);
    let server = sample.layer_server(|_, answer| answer);
    let proxy = Proxy::start(server.address);
    // This machine.
    let options = Options { proxies: through(&proxy), ..quick() };
    assert_eq!(pull_from(&server, "a/b:v1", &options, None).unwrap(), sample.layer);
    // What is excepted; nobody else knows this name.
    let insecure = Insecure { asked: true, hosts: Vec::new() };
    let exceptions = "other.example, registry.invalid".to_owned();
    let options = Options { proxies: Proxies { exceptions, ..through(&proxy) }, insecure, ..quick() };
    refused(named("registry.invalid/a/b:v1", &options), &["cannot reach registry.invalid"]);
    assert!(proxy.lines().is_empty());
}

#[test]
fn addresses_are_checked_all_the_same() {
    let sample = Sample::new(1000);
    let server = sample.layer_server(|_, _| Answer::new(302, "").with("Location", "http://169.254.169.254/latest"));
    let proxy = Proxy::start(server.address);
    let insecure = Insecure { asked: true, hosts: Vec::new() };
    let options = Options { proxies: through(&proxy), insecure, ..quick() };
    refused(named("registry.example/a/b:v1", &options), &["169.254.169.254 is a private address"]);
    assert!(!proxy.lines().iter().any(|line| line.contains("169.254")));
}

#[test]
fn proxies_that_do_not_work() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxies = Proxies { all: Some(format!("me:secret@{free}")), ..Proxies::default() };
    let options = Options { proxies, ..quick() };
    let through = format!("(through the proxy {free})");
    refused(named("registry.example/a/b:v1", &options), &["cannot reach registry.example", &through]);
    let proxies = Proxies { https: Some("socks5://me:secret@127.0.0.1:1080".to_owned()), ..Proxies::default() };
    let options = Options { proxies, ..quick() };
    refused(
        named("registry.example/a/b:v1", &options),
        &["the proxy for https is \"127.0.0.1:1080\"; expected http://"],
    );
}

#[test]
fn netrc() {
    let (sample, dir) = (Sample::new(1000), tempfile::tempdir().unwrap());
    let server = sample.server("/a/b/", |request, answer| match request.header("authorization") {
        Some("Basic dTpw") => answer,
        _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let pull = |text: &str| {
        let path = dir.path().join("netrc");
        fs::write(&path, text).unwrap();
        pull_from(&server, "a/b:v1", &Options { netrc: Some(path), ..quick() }, None)
    };
    assert_eq!(pull("machine 127.0.0.1 login u password p").unwrap(), sample.layer);
    assert_eq!(pull("machine other.example login x password y default login u password p").unwrap(), sample.layer);
    refused(pull("machine other.example login u password p"), &["access denied (status 401) with no credentials"]);
    refused(pull("machine 127.0.0.1 login u password x"), &["with the credentials of user \"u\""]);
    refused(pull(&"x".repeat(5 << 20)), &["cannot use the credentials in", "netrc", "expected at most"]);
    // What `login` wrote comes first.
    let auth = dir.path().join("auth.json");
    fs::write(&auth, format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, server.address)).unwrap();
    let netrc = dir.path().join("netrc");
    fs::write(&netrc, "machine 127.0.0.1 login wrong password wrong").unwrap();
    let options = Options { netrc: Some(netrc), credential_files: vec![auth], ..quick() };
    assert_eq!(pull_from(&server, "a/b:v1", &options, None).unwrap(), sample.layer);
}
