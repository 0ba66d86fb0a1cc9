//! Whether a registry knows somebody.

use cvbake_fetch::{Account, Checked, Credentials};

use super::*;

fn check(server: &Server, password: &str) -> Result<Checked, Box<dyn std::error::Error>> {
    let credentials = Credentials::User { name: "u".to_owned(), password: password.to_owned() };
    Ok(Account::parse(&server.address.to_string())?.check(&credentials, &quick(), &|_| {})?)
}

fn no(server: &Server, expected: &[&str]) {
    refused(check(server, "p").map(|_| Vec::new()), &[&["cannot log in to 127.0.0.1"], expected].concat());
}

#[test]
fn passwords() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Basic dTpw") => Answer::new(200, "{}"),
        _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    assert_eq!(check(&server, "p").unwrap(), Checked::Accepted);
    assert!(check(&server, "q").is_err());
    let open = Server::start(|_| Answer::new(200, "{}"));
    assert_eq!(check(&open, "p").unwrap(), Checked::NotAsked);
}

#[test]
fn tokens() {
    let server = Server::start(|request| match (request.path.starts_with("/token"), request.header("authorization")) {
        (true, Some("Basic dTpw")) => Answer::new(200, r#"{"token":"t"}"#),
        (true, _) => Answer::new(401, r#"{"details":"who are you"}"#),
        (false, Some("Bearer t")) => Answer::new(200, "{}"),
        (false, _) => {
            let host = request.header("host").unwrap();
            Answer::new(401, "").with("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token",service="s""#))
        }
    });
    assert_eq!(check(&server, "p").unwrap(), Checked::Accepted);
    let asked = &server.requests("/token")[0].path;
    assert!(asked.contains("account=u") && !asked.contains("scope="), "a token for nothing in particular: {asked}");
    let refused = chain(&*check(&server, "q").unwrap_err());
    assert!(refused.contains("cannot get a token") && refused.contains("\"who are you\""), "{refused}");
}

#[test]
fn answers_of_others() {
    for (status, expected) in [
        (401, "the answer with status 401 is malformed: expected a header WWW-Authenticate"),
        (403, "access denied (status 403) with"),
        (404, "not found (status 404)"),
        (500, "gave up after 4 attempts"),
    ] {
        no(&Server::start(move |_| Answer::new(status, "")), &[expected]);
    } // Nobody is asked for a password, by servers that are no registries.
    no(&Server::start(|_| Answer::new(200, "<html>").with("Content-Type", "text/html; charset=utf-8")), &["text/html"]);
    no(&Server::start(|_| Answer::new(200, "hello")), &["the answer with status 200 is malformed: expected JSON"]);
    for answer in [
        || Answer::new(200, ""),
        || Answer::new(200, "true"),
        || Answer::new(200, "x").with("Docker-Distribution-Api-Version", "registry/2.0"),
    ] {
        assert_eq!(check(&Server::start(move |_| answer()), "p").unwrap(), Checked::NotAsked);
    }
}
