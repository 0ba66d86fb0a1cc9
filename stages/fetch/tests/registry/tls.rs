//! Who vouches for whom: servers with certificates of a test's own authority.

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cvbake_fetch::{Certificates, Insecure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::distribution::{Registry, layout};
use super::*;

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Issued {
    pem: String,
    key: KeyPair,
    der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { pem: certificate.pem(), der: certificate.der().clone(), key }
    }

    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_with(name, |_| {})
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}

impl Issued {
    /// A server that shows it, and wants to see one of `clients`.
    fn config(&self, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![self.der.clone()], key).unwrap())
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.config(None)
    }
}

/// A `certs.d`.
struct Certs(tempfile::TempDir);

impl Certs {
    fn new() -> Certs {
        Certs(tempfile::tempdir().unwrap())
    }

    fn write(&self, host: &str, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(host).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn identity(&self, host: &str, issued: &Issued) {
        self.write(host, "client.cert", &issued.pem);
        self.write(host, "client.key", &issued.key.serialize_pem());
    }

    fn options(&self) -> Options {
        let certificates = Certificates {
            // One that is missing is none.
            usual: vec!["/nonexistent/certs.d".into(), self.0.path().to_owned()],
            ..Certificates::default()
        };
        Options { certificates, ..quick() }
    }
}

fn pull_with(server: &Server, options: &Options) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    pull_from(server, "a/b:v1", options, None)
}

#[test]
fn an_authority_of_ones_own() {
    let (sample, authority) = (Sample::new(300_000), Authority::new("ours"));
    let server = sample.tls_server(authority.issue("127.0.0.1").server_config());
    let host = server.address.to_string();
    let unknown = format!("no secure connection to {host}: its certificate is signed by an unknown authority");
    refused(pull_with(&server, &quick()), &["cannot fetch manifest v1 of a/b", &unknown]);

    let certs = Certs::new();
    certs.write(&host, "ca.crt", &authority.pem());
    certs.write(&host, "README", "not a certificate");
    assert_eq!(pull_with(&server, &certs.options()).unwrap(), sample.layer);
    // One for another registry, or by another authority.
    let other = Certs::new();
    other.write("127.0.0.1", "ca.crt", &authority.pem());
    other.write(&host, "ca.crt", &Authority::new("theirs").pem());
    refused(pull_with(&server, &other.options()), &[&unknown]);
    // Two in one file, and other ways to say it.
    let both = certs.write("both", "x.crt", &(Authority::new("theirs").pem() + &authority.pem()));
    let dir = both.parent().unwrap().to_owned();
    for certificates in [
        Certificates { given: Some(dir.clone()), ..Certificates::default() },
        Certificates { roots_file: Some(both), ..Certificates::default() },
        Certificates { roots_dirs: vec![dir], ..Certificates::default() },
    ] {
        assert_eq!(pull_with(&server, &Options { certificates, ..quick() }).unwrap(), sample.layer);
    }
}

#[test]
fn certificates_that_are_not_good() {
    let (sample, authority) = (Sample::new(1000), Authority::new("ours"));
    let expired = authority.issue_with("127.0.0.1", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let early = authority.issue_with("127.0.0.1", |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let other = authority.issue("registry.example");
    for (issued, expected) in [
        (expired, "its certificate has expired"),
        (early, "its certificate is not valid yet"),
        (other, "its certificate is for another name: registry.example"),
    ] {
        let server = sample.tls_server(issued.server_config());
        let certs = Certs::new();
        certs.write(&server.address.to_string(), "ca.crt", &authority.pem());
        refused(pull_with(&server, &certs.options()), &["no secure connection to 127.0.0.1:", expected]);
        assert!(server.requests("").is_empty());
        // Only who says so accepts it.
        let insecure = Insecure { asked: true, hosts: Vec::new() };
        assert_eq!(pull_with(&server, &Options { insecure, ..quick() }).unwrap(), sample.layer);
        let insecure = Insecure { asked: false, hosts: vec![server.address.to_string()] };
        assert_eq!(pull_with(&server, &Options { insecure, ..quick() }).unwrap(), sample.layer);
        let insecure = Insecure { asked: false, hosts: vec!["127.0.0.1".to_owned()] };
        refused(pull_with(&server, &Options { insecure, ..quick() }), &["no secure connection"]);
    }
}

#[test]
fn a_certificate_that_vouches_for_itself() {
    // As `openssl req -x509` makes it: an authority and a server in one.
    let sample = Sample::new(1000);
    let make = |name: &str, change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Issued { pem: certificate.pem(), der: certificate.der().clone(), key }
    };
    let pull = |issued: &Issued, trusted: &Issued| {
        let server = sample.tls_server(issued.server_config());
        let certs = Certs::new();
        certs.write(&server.address.to_string(), "ca.crt", &trusted.pem);
        pull_with(&server, &certs.options())
    };
    let good = make("127.0.0.1", |_| {});
    assert_eq!(pull(&good, &good).unwrap(), sample.layer);
    let other = make("registry.example", |_| {});
    refused(pull(&other, &other), &["its certificate is for another name: registry.example"]);
    let expired = make("127.0.0.1", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    refused(pull(&expired, &expired), &["its certificate has expired"]);
    refused(pull(&good, &make("127.0.0.1", |_| {})), &["its certificate is signed by an unknown authority"]);
}

#[test]
fn client_certificates() {
    let (sample, authority) = (Sample::new(300_000), Authority::new("ours"));
    let server = sample.tls_server(authority.issue("127.0.0.1").config(Some(&authority)));
    let host = server.address.to_string();
    let certs = Certs::new();
    certs.write(&host, "ca.crt", &authority.pem());
    refused(pull_with(&server, &certs.options()), &["no secure connection to", "it requires a client certificate"]);
    certs.identity(&host, &Authority::new("theirs").issue("me"));
    refused(pull_with(&server, &certs.options()), &["no secure connection to", "client certificate"]);
    certs.identity(&host, &authority.issue("me"));
    assert_eq!(pull_with(&server, &certs.options()).unwrap(), sample.layer);
}

/// A server that does not like a certificate may just hang up. That it is no registry without TLS
/// shows all the same: what it answers there is no HTTP.
#[test]
fn who_answers_without_http_is_asked_with_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        const HANDSHAKE: u8 = 22;
        const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];
        let mut asked = [0, 0];
        loop {
            let mut bytes = [0; 4096];
            let (mut stream, _) = listener.accept().unwrap();
            match stream.read(&mut bytes) {
                // The test is done.
                Ok(0) | Err(_) => return asked,
                Ok(_) if bytes[0] == HANDSHAKE => asked[1] += 1,
                Ok(_) => {
                    asked[0] += 1;
                    stream.write_all(&ALERT).unwrap();
                }
            }
        }
    });
    let error = pull_reference(&format!("{address}/a/b:v1").parse().unwrap(), &quick(), None).unwrap_err();
    drop(TcpStream::connect(address).unwrap());
    let [plain, secure] = server.join().unwrap();
    assert_eq!(plain, 1, "once, to find out: {}", chain(&*error));
    assert_eq!(secure, 3, "each attempt at who is not reached, and once before: {}", chain(&*error));
}

#[test]
fn a_client_certificate_stays_with_its_registry() {
    let (sample, authority) = (Sample::new(1000), Authority::new("ours"));
    // The storage would take it.
    let storage = sample.tls_server(authority.issue("127.0.0.1").config(Some(&authority)));
    let (target, other, path) = (storage.address, sample.clone(), sample.layer_path());
    let config = authority.issue("127.0.0.1").config(Some(&authority));
    let server = Server::start_tls(config, move |request| match request.path.contains(&path) {
        true => Answer::new(307, "").with("Location", format!("https://{target}{}", request.path)),
        false => other.answer(request),
    });
    let certs = Certs::new();
    certs.write(&server.address.to_string(), "ca.crt", &authority.pem());
    certs.identity(&server.address.to_string(), &authority.issue("me"));
    let wants = format!("no secure connection to {target}: it requires a client certificate");
    refused(pull_with(&server, &certs.options()), &[&wants]);
    assert!(storage.requests("").is_empty());
}

#[test]
fn insecure_is_the_registry_and_not_where_it_leads() {
    let (sample, authority) = (Sample::new(1000), Authority::new("ours"));
    let storage = sample.tls_server(authority.issue("127.0.0.1").server_config());
    let (target, other, path) = (storage.address, sample.clone(), sample.layer_path());
    let server = Server::start_tls(authority.issue("127.0.0.1").server_config(), move |request| {
        match request.path.contains(&path) {
            true => Answer::new(307, "").with("Location", format!("https://{target}{}", request.path)),
            false => other.answer(request),
        }
    });
    let insecure = Insecure { asked: true, hosts: Vec::new() };
    refused(pull_with(&server, &Options { insecure, ..quick() }), &[&format!("no secure connection to {target}")]);
    assert!(storage.requests("").is_empty());
}

#[test]
fn no_way_back_to_http() {
    let (sample, authority) = (Sample::new(1000), Authority::new("ours"));
    let storage = sample.layer_server(|_, answer| answer);
    let (target, other, path) = (storage.address, sample.clone(), sample.layer_path());
    let server = Server::start_tls(authority.issue("127.0.0.1").server_config(), move |request| {
        match request.path.contains(&path) {
            true => Answer::new(307, "").with("Location", format!("http://{target}{}", request.path)),
            false => other.answer(request),
        }
    });
    let certs = Certs::new();
    certs.write(&server.address.to_string(), "ca.crt", &authority.pem());
    refused(pull_with(&server, &certs.options()), &["which is refused: it leads from https to http"]);
    assert!(storage.requests("").is_empty());
}

#[test]
fn files_that_cannot_be_used() {
    let (sample, authority) = (Sample::new(1000), Authority::new("ours"));
    let server = sample.tls_server(authority.issue("127.0.0.1").server_config());
    let host = server.address.to_string();
    let issued = authority.issue("me");
    let (cert, key) = (issued.pem.clone(), issued.key.serialize_pem());
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    type Files<'a> = Vec<(&'a str, &'a str)>;
    let table: Vec<(Files<'_>, Vec<&str>)> = vec![
        (vec![("a.crt", "")], vec!["a.crt: expected a certificate in PEM form"]),
        (vec![("a.crt", &key)], vec!["a.crt: expected a certificate in PEM form"]),
        (
            vec![("a.crt", garbage)],
            vec!["cannot use the certificates in", "a.crt: expected certificates in PEM form, found something else"],
        ),
        (vec![("a.crt", "-----BEGIN CERTIFICATE-----\n!\n")], vec!["a.crt: expected certificates in PEM form"]),
        (vec![("a.cert", &cert)], vec!["a.cert: there is no key", "a.key"]),
        (vec![("a.key", &key)], vec!["a.key: there is no certificate", "a.cert"]),
        (vec![("a.cert", &cert), ("a.key", "")], vec!["a.key: expected a private key in PEM form"]),
        (vec![("a.cert", &cert), ("a.key", &other_key)], vec!["a.cert: it does not go together with its key"]),
        (
            vec![("a.cert", &cert), ("a.key", &key), ("b.cert", &cert), ("b.key", &key)],
            vec!["b.cert: a second client certificate beside"],
        ),
    ];
    for (files, expected) in table {
        let certs = Certs::new();
        for (name, text) in files {
            certs.write(&host, name, text);
        }
        refused(pull_with(&server, &certs.options()), &expected);
    }
    let missing = || Path::new("/nonexistent").to_owned();
    for certificates in [
        Certificates { given: Some(missing()), ..Certificates::default() },
        Certificates { roots_file: Some(missing()), ..Certificates::default() },
        Certificates { roots_dirs: vec![missing()], ..Certificates::default() },
    ] {
        refused(
            pull_with(&server, &Options { certificates, ..quick() }),
            &["cannot use the certificates in /nonexistent"],
        );
    }
    assert!(server.requests("").is_empty());
}

/// A registry on this machine is asked without TLS first, and then nobody needs an authority; what
/// can't be used is told when it does.
#[test]
fn authorities_are_read_when_somebody_shows_a_certificate() {
    let (sample, authority, dir) = (Sample::new(1000), Authority::new("ours"), tempfile::tempdir().unwrap());
    let file = dir.path().join("roots.pem");
    let plain = sample.server("", |_, answer| answer);
    let secure = sample.tls_server(authority.issue("127.0.0.1").server_config());
    let file_of = |path: &Path| Certificates { roots_file: Some(path.to_owned()), ..Certificates::default() };
    let dir_of = |path: &Path| Certificates { roots_dirs: vec![path.to_owned()], ..Certificates::default() };
    for certificates in [file_of(&file), dir_of(dir.path())] {
        let options = Options { certificates, ..quick() };
        for bad in ["-----BEGIN CERTIFICATE-----\n!\n", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            fs::write(&file, bad).unwrap();
            assert_eq!(pull_with(&plain, &options).unwrap(), sample.layer);
            let expected =
                format!("cannot use the certificates in {}: expected certificates in PEM form", file.display());
            refused(pull_with(&secure, &options), &[&expected]);
        }
        fs::write(&file, authority.pem()).unwrap();
        assert_eq!(pull_with(&secure, &options).unwrap(), sample.layer);
    }
}

/// A server that hangs up on who does not speak TLS, and hands everybody else on to another one.
fn hangs_up_without_tls(behind: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    const HANDSHAKE: u8 = 22;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, handshakes) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&handshakes);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, mut first) = (client.unwrap(), [0]);
            // With something left to read, the end of a connection is a reset.
            if !matches!(client.peek(&mut first), Ok(1)) || first[0] != HANDSHAKE {
                continue;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let server = TcpStream::connect(behind).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (address, handshakes)
}

/// What is wrong with our own authorities is said at once, and not that a registry on this machine
/// hung up when it was asked without TLS.
#[test]
fn authorities_that_cannot_be_used_are_named() {
    let (sample, authority, dir) = (Sample::new(1000), Authority::new("ours"), tempfile::tempdir().unwrap());
    let secure = sample.tls_server(authority.issue("127.0.0.1").server_config());
    let (address, handshakes) = hangs_up_without_tls(secure.address);
    let pull = |path: &Path| {
        let certificates = Certificates { roots_file: Some(path.to_owned()), ..Certificates::default() };
        pull_reference(&format!("{address}/a/b:v1").parse().unwrap(), &Options { certificates, ..quick() }, None)
    };
    let (good, fifo) = (dir.path().join("good.pem"), dir.path().join("fifo"));
    fs::write(&good, authority.pem()).unwrap();
    assert_eq!(pull(&good).unwrap(), sample.layer);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    for path in [&*fifo, Path::new("/dev/zero"), Path::new("/etc/passwd")] {
        handshakes.store(0, Ordering::Relaxed);
        refused(pull(path), &[&format!("cannot use the certificates in {}: expected", path.display())]);
        assert_eq!(handshakes.load(Ordering::Relaxed), 1, "{}", path.display());
    }
}

#[test]
fn a_registry_that_we_did_not_write() {
    let (sample, authority, dir) = (Sample::new(1_000_000), Authority::new("ours"), tempfile::tempdir().unwrap());
    layout(&sample, &dir.path().join("layout"));
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let issued = authority.issue("127.0.0.1");
    let (cert, key) = (write("server.cert", &issued.pem), write("server.key", &issued.key.serialize_pem()));
    let clients = write("clients.crt", &authority.pem());
    for (clients, needed) in [(String::new(), false), (format!(", clientcas: ['{clients}']"), true)] {
        let tls = format!(", tls: {{certificate: '{cert}', key: '{key}'{clients}}}");
        let registry = Registry::start_with(dir.path(), None, &tls);
        let certs = Certs::new();
        certs.write(&registry.address, "ca.crt", &authority.pem());
        let me = authority.issue("me");
        if needed {
            refused(registry.pull(&certs.options()), &["no secure connection to", "client certificate"]);
        }
        certs.identity(&registry.address, &me);
        let certs_of_it = certs.0.path().join(&registry.address);
        registry.push(&dir.path().join("layout"), &["--dest-cert-dir", certs_of_it.to_str().unwrap()]);
        assert_eq!(registry.pull(&certs.options()).unwrap(), sample.layer);
        refused(registry.pull(&quick()), &["its certificate is signed by an unknown authority"]);
    }
}
