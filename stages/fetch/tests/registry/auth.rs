//! Who may pull.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

/// A registry that wants a token, which it gives itself: `token-0`, `token-1`, … to whoever `login`
/// likes.
fn with_tokens(
    sample: &Sample,
    login: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    accepts: impl Fn(&Request, &str) -> bool + Send + Sync + 'static,
) -> Server {
    let sample = sample.clone();
    Server::start(move |request| {
        if request.path.starts_with("/token") {
            return login(request);
        }
        if request.path == "/v2/" || request.header("authorization").is_some_and(|value| accepts(request, value)) {
            return sample.answer(request);
        }
        let host = request.header("host").unwrap();
        Answer::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
            .with("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token",service="reg \"x\"""#))
    })
}

fn token(request: &Request) -> Answer {
    Answer::new(200, format!(r#"{{"token":"token-{}"}}"#, request.nth))
}

#[test]
fn anonymous_token() {
    let sample = Sample::new(1000);
    let server = with_tokens(&sample, token, |_, value| value == "Bearer token-0");
    assert_eq!(pull(&server).unwrap(), sample.layer);
    let asked = server.requests("/token");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.contains("scope=repository%3Aa%2Fb%3Apull"), "{}", asked[0].path);
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_token_that_expires_mid_pull() {
    let sample = Sample::new(300_000);
    let path = sample.layer_path();
    let server = with_tokens(&sample, token, move |request, value| {
        value == if request.path.contains(&path) { "Bearer token-1" } else { "Bearer token-0" }
    });
    assert_eq!(pull(&server).unwrap(), sample.layer);
    assert_eq!(server.requests("/token").len(), 2);
}

#[test]
fn a_token_that_is_no_good() {
    let sample = Sample::new(1000);
    let server = with_tokens(&sample, token, |_, _| false);
    refused(pull(&server), &["access denied (status 401", "UNAUTHORIZED", "anonymous token"]);
    assert_eq!(server.requests("/token").len(), 1);
}

#[test]
fn token_servers_that_fail() {
    let sample = Sample::new(1000);
    let realm = "cannot get a token from http://127.0.0.1";
    type Login = fn(&Request) -> Answer;
    let table: Vec<(Login, Vec<&str>)> = vec![
        (
            |_| Answer::new(401, r#"{"details":"who are you"}"#),
            vec![realm, "access denied (status 401, \"who are you\") with no credentials"],
        ),
        // A challenge for the challenge.
        (
            |_| Answer::new(401, "").with("WWW-Authenticate", "Bearer realm=\"http://127.0.0.1/token\""),
            vec![realm, "status 401"],
        ),
        (|_| Answer::new(503, ""), vec![realm, "gave up after 4 attempts", "status 503"]),
        (|_| Answer::new(200, "{}"), vec![realm, "neither token nor access_token"]),
        (|_| Answer::new(200, "not json"), vec![realm, "malformed"]),
        (|_| Answer::new(200, r#"{"token":"a\nb"}"#), vec![realm, "malformed"]),
        (|_| Answer::new(200, "<html>").with("Content-Type", "text/html"), vec![realm, "expected a token as JSON"]),
        (
            |_| Answer { repeat: 1600, length: Some(None), ..Answer::new(200, vec![b'x'; 1 << 16]) },
            vec![realm, "too large: expected at most 1048576 bytes"],
        ),
        (|_| Answer::new(302, "").with("Location", "http://169.254.169.254/"), vec!["169.254.169.254"]),
    ];
    for (login, expected) in table {
        let server = with_tokens(&sample, login, |_, _| true);
        refused(pull(&server), &expected);
        assert!(*server.sent.lock().unwrap() < 50 << 20);
    }
}

#[test]
fn challenges_that_are_refused() {
    let sample = Sample::new(1000);
    for (challenge, expected) in [
        ("Bearer realm=\"http://169.254.169.254/token\"", "is refused"),
        ("Bearer realm=\"https://10.0.0.1/token\"", "10.0.0.1 is a private address"),
        ("Bearer realm=\"http://tokens.example/token\"", "expected https"),
        ("Bearer realm=\"ftp://127.0.0.1/\"", "expected https"),
        ("Bearer realm=\"nonsense\"", "is refused"),
        ("Bearer realm=\"https://[/token?sig=SECRET\"", "the token server \"https://[/token\" is refused"),
        ("Negotiate", "and a realm, found \"Negotiate\""),
        ("", "the answer with status 401 is malformed: expected a header WWW-Authenticate"),
        ("Basic realm=\"x\"", "access denied (status 401) with no credentials"),
    ] {
        let server = sample.server("/a/b/", move |_, _| match challenge {
            "" => Answer::new(401, ""),
            challenge => Answer::new(401, "").with("WWW-Authenticate", challenge),
        });
        refused(pull(&server), &[expected]);
    }
}

/// What stands in a realm would be sent in the place of what we have for the registry.
#[test]
fn a_realm_says_nothing_of_who_we_are() {
    let (sample, files) = (Sample::new(1000), Files::new());
    let server = sample.server("/", |request, answer| match request.header("authorization") {
        Some("Bearer good") => answer,
        _ if request.path.starts_with("/token") => Answer::new(200, r#"{"token":"good"}"#),
        _ => {
            let realm = format!("Bearer realm=\"http://somebody:SECRET@{}/token\"", request.header("host").unwrap());
            Answer::new(401, "").with("WWW-Authenticate", realm)
        }
    });
    for options in [quick(), with_file(files.auth(&server, r#"{"auth":"dTpw"}"#))] {
        let error = pull_from(&server, "a/b:v1", &options, None).unwrap_err();
        let error = chain(&*error);
        assert!(error.ends_with("/token\" is refused: it contains a user name"), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
    assert!(server.requests("/token").is_empty());
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Makes a program. Another process writes it: a child that another thread forks meanwhile
    /// would have it open for writing, so that nobody could run it.
    fn program(&self, name: &str, script: &str) {
        let mut command = Command::new("sh");
        command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(self.0.path().join(name)).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// An `auth.json` for a registry; `dTpw` is `u:p`.
    fn auth(&self, server: &Server, entry: &str) -> PathBuf {
        self.write("auth.json", &format!(r#"{{"auths":{{"{}":{entry}}}}}"#, server.address))
    }
}

fn with_file(path: PathBuf) -> Options {
    // One that is missing is none.
    Options { credential_files: vec!["/nonexistent/auth.json".into(), path], ..quick() }
}

#[test]
fn basic() {
    let sample = Sample::new(1000);
    let server = sample.server("/a/b/", |request, answer| match request.header("authorization") {
        Some("Basic dTpw") => answer,
        _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let files = Files::new();
    let options = with_file(files.auth(&server, r#"{"auth":"dTpw"}"#));
    assert_eq!(pull_from(&server, "a/b:v1", &options, None).unwrap(), sample.layer);
    let options = with_file(files.auth(&server, r#"{"auth":"dTp3"}"#));
    refused(
        pull_from(&server, "a/b:v1", &options, None),
        &["access denied (status 401) with the credentials of user \"u\""],
    );
    let options = with_file(files.write("auth.json", "{\"auths\": \"secret\"}"));
    refused(pull_from(&server, "a/b:v1", &options, None), &["cannot use the credentials in", "auth.json", "line 1"]);
}

#[test]
fn credentials_for_a_token() {
    let sample = Sample::new(1000);
    let files = Files::new();
    let login = |request: &Request| match request.header("authorization") {
        Some("Basic dTpw") => token(request),
        _ if request.body.contains("grant_type=refresh_token") && request.body.contains("refresh_token=idt") => {
            Answer::new(200, r#"{"access_token":"token-0"}"#)
        }
        _ => Answer::new(401, ""),
    };
    for entry in [
        r#"{"auth":"dTpw"}"#,
        r#"{"username":"u","password":"p"}"#,
        r#"{"auth":"eDo=","identitytoken":"idt"}"#,
        r#"{"registrytoken":"token-0"}"#,
    ] {
        let server = with_tokens(&sample, login, |_, value| value == "Bearer token-0");
        let options = with_file(files.auth(&server, entry));
        assert_eq!(pull_from(&server, "a/b:v1", &options, None).unwrap(), sample.layer, "{entry}");
    }
}

#[test]
fn credentials_stay_with_the_registry() {
    let sample = Sample::new(1000);
    let storage = sample.layer_server(|_, answer| answer);
    let files = Files::new();
    // Another port, and another name.
    for host in [format!("127.0.0.1:{}", storage.address.port()), format!("localhost:{}", storage.address.port())] {
        let path = sample.layer_path();
        let server = sample.server("/a/b/", move |request, answer| match request.header("authorization") {
            None => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
            Some(_) if request.path.contains(&path) => {
                Answer::new(307, "").with("Location", format!("http://{host}{}", request.path))
            }
            Some(_) => answer,
        });
        let options = with_file(files.auth(&server, r#"{"auth":"dTpw"}"#));
        assert_eq!(pull_from(&server, "a/b:v1", &options, None).unwrap(), sample.layer);
    }
    let seen = storage.requests("");
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn helpers() {
    let sample = Sample::new(1000);
    let files = Files::new();
    let server = sample.server("/a/b/", |request, answer| match request.header("authorization") {
        Some("Basic dTpw") => answer,
        _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    files.program(
        "docker-credential-cvtest",
        "#!/bin/sh\nread server\ncase $server in 127.0.0.1:*) echo '{\"Username\":\"u\",\"Secret\":\"p\"}';; *) echo credentials not found; exit 1;; esac\n",
    );
    files.program("docker-credential-slow", "#!/bin/sh\nexec sleep 60\n");
    let answer = "echo '{\"Username\":\"u\",\"Secret\":\"p\"}'";
    files.program("docker-credential-stays", &format!("#!/bin/sh\n{answer}\nexec sleep 60 >&- 2>&-\n"));
    files.program("docker-credential-lingers", &format!("#!/bin/sh\n{answer}\nexec sleep 0.1 >&-\n"));
    let begun = Instant::now();
    for (config, expected) in [
        (r#"{"credsStore":"cvtest"}"#.to_owned(), None),
        (r#"{"credsStore":"lingers"}"#.to_owned(), None),
        (r#"{"auths":null,"credHelpers":null,"credsStore":"cvtest"}"#.to_owned(), None),
        (
            r#"{"credsStore":"stays"}"#.to_owned(),
            Some("docker-credential-stays: it answered, but did not end within 0.4 s"),
        ),
        (format!(r#"{{"credHelpers":{{"{}":"cvtest"}},"credsStore":"slow"}}"#, server.address), None),
        (r#"{"credsStore":"slow"}"#.to_owned(), Some("no answer within 0.4 s")),
        (r#"{"credsStore":"../bin/sh"}"#.to_owned(), Some("not the name of a credential helper")),
        (r#"{"credsStore":"not-installed"}"#.to_owned(), Some("docker-credential-not-installed")),
    ] {
        let options =
            Options { helper_path: Some(files.0.path().into()), ..with_file(files.write("config.json", &config)) };
        let pulled = pull_from(&server, "a/b:v1", &options, None);
        match expected {
            None => assert_eq!(pulled.unwrap(), sample.layer),
            Some(text) => refused(pulled, &["cannot use the credentials in", "config.json", text]),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
