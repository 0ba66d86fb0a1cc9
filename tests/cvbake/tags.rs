//! `cvbake tags`: what comes from the registry, as people and as programs see it.

use crate::registry::{Registry, cvbake};
use crate::support::bake::{Bake, Place};
use crate::support::sample::small;
use crate::support::server::{Answer, Server};

fn tags(place: &Place, args: &[&str]) -> Bake {
    Bake::of(&["tags"]).args(args).env("HOME", place.path().join("home")).env("REGISTRY_AUTH_FILE", "")
}

#[test]
fn lines_and_json() {
    let place = Place::with(&small("x"));
    let body = r#"{"name":"some/image","tags":["v1","odd\u001b[2J\u202e\n","v1.1"]}"#;
    let server = Server::start(&place, move |asked| match asked.path.contains("/tags/list") {
        true => Answer::Other(200, "Content-Type: application/json\r\n".to_owned(), body.into()),
        false => Answer::Right,
    });
    let repository = format!("{}/some/image", server.host);
    for name in [repository.clone(), format!("docker://{repository}")] {
        let outcome = tags(&place, &[&name]).ok();
        // What is no tag by the specification is not shown.
        assert_eq!(outcome.stdout, "v1\nv1.1\n", "{}", outcome.describe());
        assert_eq!(outcome.stderr, "");
    }
    let json: serde_json::Value = serde_json::from_str(&tags(&place, &["--json", &repository]).ok().stdout).unwrap();
    assert_eq!(json["repository"], repository.as_str());
    assert_eq!(json["tags"], serde_json::json!(["v1", "v1.1"]));
    assert!(!place.store().exists(), "nothing is kept");
}

#[test]
fn what_names_no_repository() {
    let place = Place::new();
    for (name, hint) in [
        ("alpine:3.20", "`cvbake tags alpine`"),
        ("docker://localhost:1/a/b:v1", "`cvbake tags docker://localhost:1/a/b`"),
        ("oci:dir", "`cvbake bake oci:dir "),
    ] {
        let outcome = tags(&place, &[name]).run();
        outcome.error(&[2]);
        assert!(outcome.stderr.contains(hint), "{}", outcome.describe());
    }
    let missing = Server::start(&Place::with(&small("x")), |asked| match asked.path.as_str() {
        "/v2/" => Answer::Right,
        _ => Answer::Other(404, String::new(), Vec::new()),
    });
    let outcome = tags(&place, &[&format!("{}/a", missing.host)]).run();
    outcome.error(&[3]);
    assert!(outcome.stderr.contains("check the name of the repository"), "{}", outcome.describe());
}

/// By a registry that is not ours, which asks for a password.
#[test]
fn of_docker_registry() {
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, true);
    // It gives them in no order.
    for tag in ["b", "a", "c"] {
        registry.push(&place, &format!("some/image:{tag}"));
    }
    let repository = format!("{}/some/image", registry.host);
    let outcome = tags(&place, &["--creds", "user:secret", &repository]).ok();
    assert_eq!(outcome.stdout, "a\nb\nc\n");
    tags(&place, &[&repository]).run().error(&[3]);
    cvbake(&place, &["pull", &format!("{repository}:b"), "--creds", "user:secret"]).ok();
}
