//! What there is of a repository, page by page.

use std::sync::atomic::{AtomicUsize, Ordering};

use cvbake_fetch::{Credentials, Name, tags};

use super::*;

fn list(tags: &[&str]) -> Answer {
    let tags: Vec<String> = tags.iter().map(|tag| format!("{tag:?}")).collect();
    Answer::new(200, format!(r#"{{"name":"a/b","tags":[{}]}}"#, tags.join(",")))
        .with("Content-Type", "application/json")
}

fn next(answer: Answer, target: &str) -> Answer {
    answer.with("Link", format!(r#"<{target}>; rel="next""#))
}

fn tags_of(server: &Server, options: &Options) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let found = tags(&Name::new(&format!("{}/a/b", server.address)).unwrap(), options, &|_| {})?;
    assert_eq!(found.repository, format!("{}/a/b", server.address));
    Ok(found.tags)
}

fn fails(server: &Server, expected: &[&str]) {
    refused(tags_of(server, &quick()).map(|tags| tags.concat().into_bytes()), expected);
}

#[test]
fn pages_make_one_list_in_order() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        "/v2/a/b/tags/list?n=1000" => next(list(&["v2", "v10", "latest"]), "/v2/a/b/tags/list?last=latest&n=3"),
        // One that does not know what it is called outside, and begins with what it gave before.
        "/v2/a/b/tags/list?last=latest&n=3" => {
            next(list(&["latest", "a"]), "http://internal.example:1/v2/a/b/tags/list?last=a&n=3")
        }
        "/v2/a/b/tags/list?last=a&n=3" => next(list(&[]), "?last=nothing"),
        "/v2/a/b/tags/list?last=nothing" => Answer::new(200, r#"{"name":"a/b","tags":null}"#),
        other => panic!("{other}"),
    });
    assert_eq!(tags_of(&server, &quick()).unwrap(), ["a", "latest", "v10", "v2"]);
}

#[test]
fn pages_that_do_not_end() {
    let count = AtomicUsize::new(0);
    for (what, handler) in [
        ("the same page again", Box::new(|_: &Request| next(list(&["a"]), "/v2/a/b/tags/list?last=a")) as Box<_>),
        (
            "always another page",
            Box::new(move |_: &Request| {
                next(list(&["a"]), &format!("/v2/a/b/tags/list?last={}", count.fetch_add(1, Ordering::SeqCst)))
            }) as Box<dyn Fn(&Request) -> Answer + Send + Sync>,
        ),
    ] {
        let server = Server::start(move |request| match request.path.as_str() {
            "/v2/" => Answer::new(200, "{}"),
            _ => handler(request),
        });
        fails(&server, &["cannot fetch the tags of a/b", "pages in a row have no new tag"]);
        assert!(server.requests("tags").len() < 30, "{what}");
    }
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        _ => Answer { repeat: 2000, length: Some(None), ..Answer::new(200, vec![b' '; 1 << 16]) },
    });
    fails(&server, &["too large: expected at most 16777216 bytes"]);
    assert!(*server.sent.lock().unwrap() < 64 << 20);
}

#[test]
fn what_is_no_list() {
    type Handler = fn() -> Answer;
    let table: [(Handler, &str); 6] = [
        (|| Answer::new(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#), "not found (status 404, \"NAME_UNKNOWN\")"),
        (|| Answer::new(200, "<html>").with("Content-Type", "text/html"), "expected a list of tags"),
        (|| Answer::new(200, "{}"), "the list of tags is malformed: it is not of the expected JSON form, line 1"),
        (|| Answer::new(200, r#"{"tags":[1]}"#), "the list of tags is malformed"),
        (|| next(list(&["a"]), "mailto:a"), "the link to its next page is not a URL of a registry"),
        (|| Answer::new(503, ""), "gave up after 4 attempts"),
    ];
    for (answer, expected) in table {
        let server =
            Server::start(move |request| if request.path == "/v2/" { Answer::new(200, "{}") } else { answer() });
        fails(&server, &["cannot fetch the tags of a/b from 127.0.0.1", expected]);
    }
}

#[test]
fn pages_that_break_are_asked_for_again() {
    let server = Server::start(|request| match (request.path.as_str(), request.nth) {
        ("/v2/", _) => Answer::new(200, "{}"),
        ("/v2/a/b/tags/list?n=1000", _) => next(list(&["a"]), "?last=a"),
        (_, 0) => Answer::new(502, ""),
        (_, 1) => Answer { reset_after: Some(5), length: Some(Some(500)), ..list(&["b"]) },
        _ => list(&["b"]),
    });
    assert_eq!(tags_of(&server, &quick()).unwrap(), ["a", "b"]);
    assert_eq!(server.requests("?n=1000").len(), 1);
}

#[test]
fn a_token_for_whoever_may() {
    let server = Server::start(|request| {
        let host = request.header("host").unwrap();
        match (request.path.as_str(), request.header("authorization")) {
            (path, Some("Basic dTpw")) if path.starts_with("/token") => Answer::new(200, r#"{"token":"t"}"#),
            (path, _) if path.starts_with("/token") => Answer::new(401, ""),
            ("/v2/", _) => Answer::new(200, "{}"),
            (_, Some("Bearer t")) => list(&["a"]),
            _ => Answer::new(401, "").with("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token""#)),
        }
    });
    let user = |password: &str| Options {
        credentials: Some(Credentials::User { name: "u".to_owned(), password: password.to_owned() }),
        ..quick()
    };
    assert_eq!(tags_of(&server, &user("p")).unwrap(), ["a"]);
    assert!(server.requests("/token").iter().all(|asked| asked.path.contains("scope=repository%3Aa%2Fb%3Apull")));
    let denied = tags_of(&server, &user("wrong")).map(|tags| tags.concat().into_bytes());
    refused(denied, &["access denied (status 401) with the credentials of user \"u\""]);
}

#[test]
fn the_first_mirror_that_answers() {
    let mirror = Server::start(|request| match request.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        "/v2/a/b/tags/list?n=1000" => next(list(&["of-mirror"]), "?last=x"),
        _ => Answer::new(500, ""),
    });
    let primary = Server::start(|request| match request.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        _ => list(&["of-primary"]),
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registries.conf");
    let conf = format!(
        "[[registry]]\nprefix = 'primary.example'\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}'\n",
        primary.address, mirror.address
    );
    std::fs::write(&path, conf).unwrap();
    let registries = cvbake_fetch::RegistriesFiles { given: Some(path), ..Default::default() };
    let options = Options { registries, ..quick() };
    let found = tags(&Name::new("primary.example/a/b").unwrap(), &options, &|_| {}).unwrap();
    // What came of the mirror before it failed is not mixed with the rest.
    assert_eq!((found.repository.as_str(), &found.tags[..]), ("primary.example/a/b", &["of-primary".to_owned()][..]));
    assert_eq!(mirror.requests("?n=1000").len(), 1);
}
