//! `-v` and `-vv`: what is told, where it goes, and that no secret is among it, whatever the way it
//! is used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::images::image;
use crate::support::bake::{Bake, Place, mode};
use crate::support::run::Outcome;
use crate::support::sample::{small, varied};
use crate::support::server::{Answer, Asked, Server};

fn pull(place: &Place, server: &Server) -> Bake {
    let bake = Bake::of(&["pull", &server.name()]).store(&place.store()).platform("linux/amd64");
    let bake = bake.env("HOME", place.path().join("home")).env("XDG_RUNTIME_DIR", "").env("DOCKER_CONFIG", "");
    bake.env("REGISTRY_AUTH_FILE", "").env("NETRC", "")
}

/// The words of lines that are told only because somebody asked.
const REQUEST: &str = "GET http://";

#[test]
fn what_is_done_and_what_is_asked() {
    let place = Place::with(&varied());
    let server = Server::start(&place, |_| Answer::Right);
    let told = |args: &[&str]| {
        let _ = fs::remove_dir_all(place.store());
        pull(&place, &server).args(args).ok()
    };
    assert_eq!(told(&["--progress", "none"]).stderr, "");
    let once = told(&["--progress", "none", "-v"]);
    assert!(once.stderr.lines().all(|line| line.starts_with("cvbake: ")), "{}", once.describe());
    assert!(once.stderr.contains(&format!("from {}", server.host)), "{}", once.describe());
    assert!(!once.stderr.contains(REQUEST), "{}", once.describe());
    for args in [&["-vv"][..], &["-v", "-v"], &["--verbose", "--verbose"], &["-vv", "--quiet"], &["-vv", "--json"]] {
        let twice = told(&[&["--progress", "none"], args].concat());
        let request = format!("{REQUEST}{}/v2/some/image/manifests/v1", server.host);
        assert!(twice.stderr.contains(&request), "{}", twice.describe());
        assert!(twice.stderr.contains("200 OK") && twice.stderr.contains(" bytes"), "{}", twice.describe());
        assert_eq!(twice.stdout.is_empty(), args.contains(&"--quiet"), "the result is where it was");
        assert!(!twice.stdout.contains(REQUEST));
    }
    // What is there already is said to be.
    let again = pull(&place, &server).args(["-v", "--progress", "none"]).ok();
    assert!(again.stderr.contains("is in the store"), "{}", again.describe());
    for event in told(&["-vv", "--progress", "json"]).stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"));
        assert!(event["event"].is_string(), "{event}");
    }
    // Before the command, and with one that has no registry.
    let inspect = Bake::of(&["-v", "image", "ls"]).store(&place.store()).env("HOME", place.path().join("home")).ok();
    assert!(inspect.stdout.contains("some/image"), "{}", inspect.describe());
    let name = format!("docker://{}", server.name());
    let inspect = image(&place, &["inspect", &name, "-vv"]).platform("linux/amd64").ok();
    assert!(inspect.stderr.contains(REQUEST), "{}", inspect.describe());
}

/// What a registry writes does nothing to a terminal.
#[test]
fn what_servers_say_is_shown_and_nothing_more() {
    let place = Place::with(&small("x"));
    let server = Server::start(&place, |asked| match asked.path.contains("/manifests/") {
        true => {
            let body = r#"{"errors":[{"code":"X","message":"\u001b[2J\u009b\u202e"}]}"#;
            Answer::Other(404, "Content-Type: a/\u{202e}b\r\n".to_owned(), body.into())
        }
        false => Answer::Right,
    });
    for progress in ["none", "plain", "json"] {
        let outcome = pull(&place, &server).args(["-vv", "--progress", progress]).run();
        assert_eq!(outcome.code, Some(3), "{}", outcome.describe());
        let acts = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert!(!outcome.stderr.contains(acts), "{}", outcome.describe());
    }
}

/// A way to show who we are.
struct Way {
    name: &'static str,
    /// What the registry wants to see; it gives out nothing otherwise.
    accepts: fn(&Asked) -> bool,
    /// What it says to who shows nothing.
    challenge: &'static str,
    /// Adds to a run what it needs; the text is the registry.
    prepare: fn(&Place, &str, Bake) -> Bake,
}

/// Each of them is secret.
const SECRETS: [&str; 9] = [
    "hunter2",
    // user:hunter2
    "dXNlcjpodW50ZXIy",
    "ID-TOKEN",
    "REG-TOKEN",
    "BEARER-TOKEN",
    "REFRESH-TOKEN",
    "SIGNATURE",
    "COOKIE-VALUE",
    "ACCOUNT-KEY",
];

fn write(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.path().join(name);
    fs::write(&path, text).unwrap();
    mode(&path, 0o644);
    path
}

fn auth_file(place: &Place, server: &str, entry: &str) -> PathBuf {
    write(place, "auth.json", &format!(r#"{{"auths":{{"{server}":{entry}}}}}"#))
}

const BASIC: fn(&Asked) -> bool = |asked| asked.authorization.as_deref() == Some("Basic dXNlcjpodW50ZXIy");
const BEARER: fn(&Asked) -> bool = |asked| asked.authorization.as_deref() == Some("Bearer BEARER-TOKEN");
const TOKEN: &str = r#"Bearer realm="http://{host}/token?key=ACCOUNT-KEY",service="s""#;

const WAYS: [Way; 7] = [
    Way {
        name: "basic, by an argument",
        accepts: BASIC,
        challenge: "Basic realm=\"x\"",
        prepare: |_, _, bake| bake.args(["--creds", "user:hunter2"]),
    },
    Way {
        name: "a token for a password, by a file",
        accepts: BEARER,
        challenge: TOKEN,
        prepare: |place, host, bake| {
            let file = auth_file(place, host, r#"{"auth":"dXNlcjpodW50ZXIy"}"#);
            bake.arg("--authfile").arg(file)
        },
    },
    Way {
        name: "a token for another, by a file",
        accepts: BEARER,
        challenge: TOKEN,
        prepare: |place, host, bake| {
            let file = auth_file(place, host, r#"{"identitytoken":"REFRESH-TOKEN"}"#);
            bake.arg("--authfile").arg(file)
        },
    },
    Way {
        name: "a token of the registry's, by a file",
        accepts: |asked| asked.authorization.as_deref() == Some("Bearer REG-TOKEN"),
        challenge: TOKEN,
        prepare: |place, host, bake| {
            let file = auth_file(place, host, r#"{"registrytoken":"REG-TOKEN"}"#);
            bake.arg("--authfile").arg(file)
        },
    },
    Way {
        name: "basic, by a .netrc",
        accepts: BASIC,
        challenge: "Basic realm=\"x\"",
        prepare: |place, _, bake| {
            let file = write(place, "netrc", "machine 127.0.0.1 login user password hunter2\n");
            bake.env("NETRC", file)
        },
    },
    Way {
        name: "a token, by a helper",
        accepts: BEARER,
        challenge: TOKEN,
        prepare: |place, _, bake| {
            let helper = place.path().join("docker-credential-test");
            let text = "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"ID-TOKEN\"}'\n";
            fs::write(&helper, text).unwrap();
            fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
            let file = write(place, "auth.json", r#"{"credsStore":"test"}"#);
            let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
            bake.arg("--authfile").arg(file).env("PATH", path)
        },
    },
    Way {
        name: "what is refused",
        accepts: |_| false,
        challenge: TOKEN,
        prepare: |_, _, bake| bake.args(["--creds", "user:hunter2"]),
    },
];

/// A registry that wants to know who we are, gives out tokens and cookies, and leads to signed
/// URLs.
fn registry(place: &Place, way: &'static Way) -> Server {
    let location = |asked: &Asked| {
        let path = asked.path.replacen("/v2/", "/v2/SIGNATURE/", 1);
        format!("Location: {path}?X-Sig=SIGNATURE&n=SIGNATURE&SIGNATURE\r\n")
    };
    Server::start(place, move |asked| {
        if asked.path.starts_with("/token") {
            let body = r#"{"token":"BEARER-TOKEN","refresh_token":"REFRESH-TOKEN"}"#;
            return Answer::Other(200, "Content-Type: application/json\r\n".to_owned(), body.into());
        }
        if asked.path == "/v2/" {
            return Answer::Right;
        }
        if !(way.accepts)(asked) {
            let challenge = way.challenge.replace("{host}", asked.host.as_deref().unwrap());
            let headers = format!("WWW-Authenticate: {challenge}\r\nSet-Cookie: a=COOKIE-VALUE\r\n");
            return Answer::Other(401, headers, Vec::new());
        }
        match asked.path.contains("/blobs/") && !asked.path.contains('?') {
            true => Answer::Other(307, location(asked), Vec::new()),
            false => Answer::Right,
        }
    })
}

fn assert_silent(outcome: &Outcome, what: &str) {
    for secret in SECRETS {
        let is_told = outcome.stderr.contains(secret) || outcome.stdout.contains(secret);
        assert!(!is_told, "{what}: {secret}\n{}", outcome.describe());
    }
}

#[test]
fn no_secret_is_told_whatever_the_way() {
    for way in &WAYS {
        let place = Place::with(&small("x"));
        let server = registry(&place, way);
        for progress in ["none", "plain", "json"] {
            let _ = fs::remove_dir_all(place.store());
            let run =
                (way.prepare)(&place, &server.host, pull(&place, &server)).args(["-vv", "--progress", progress]).run();
            let what = format!("{}, {progress}", way.name);
            assert_eq!(run.code == Some(0), way.name != "what is refused", "{what}: {}", run.describe());
            assert!(run.stderr.contains("authorization: "), "{what}: {}", run.describe());
            assert_silent(&run, &what);
            let name = format!("docker://{}", server.name());
            let look = Bake::of(&["image", "inspect", &name, "-vv"]).env("HOME", place.path().join("home"));
            assert_silent(&look.env("REGISTRY_AUTH_FILE", "").platform("linux/amd64").run(), &what);
        }
        let asked = server.asked("SIGNATURE");
        assert_eq!(asked.is_empty(), way.name == "what is refused", "{}: signed URLs were used", way.name);
    }
}
