//! What is advised about a registry.

use std::time::Duration;

use cvbake::verify::Error as Verify;

use super::*;

/// What an image is pulled from.
fn pull(problem: Problem) -> Error {
    of_registry("x", problem).into()
}

#[test]
fn registries_that_something_goes_to() {
    let again = "fetch the image again";
    let not_stored = of_registry("x", Problem::NotStored);
    assert_advised(vec![
        (push(Problem::ReadOnly { host: text(), status: 405, message: text() }), Kind::Network, "another registry"),
        (push(Problem::Oversize { host: text(), message: text() }), Kind::Network, "--chunk-size 16M"),
        (push(Problem::UploadLost { host: text() }), Kind::Network, "try again later"),
        (push(Problem::NotFound { expected: "202", message: text() }), Kind::Source, "before the first push"),
        (push(Problem::Denied { status: 403, with: text(), message: text() }), Kind::Source, "cvbake login r.example"),
        (
            image(Fetch::Blob {
                digest: digest(),
                source: io::Error::other(Verify::BlobTooLong { digest: digest(), expected: 1 }),
            }),
            Kind::Image,
            again,
        ),
        (image(Fetch::Blob { digest: digest(), source: io::Error::other(not_stored) }), Kind::Source, "`cvbake pull`"),
        (
            login(Problem::Denied { status: 401, with: text(), message: text() }),
            Kind::Source,
            "check the name and the password",
        ),
        (login(Problem::NotFound { expected: "200", message: text() }), Kind::Source, "name of the registry"),
        (Fetch::NotLoggedIn { registry: text(), path: path() }.into(), Kind::Source, "--authfile"),
        (Fetch::Logins { path: path(), source: os(Errno::ACCESS) }.into(), Kind::Other, ""),
        (Fetch::Registrar { text: text() }.into(), Kind::Usage, ""),
    ]);
}

/// Each problem with a registry that somebody can do something about, and what that is.
#[test]
fn problems() {
    let digest = || Box::new(Digest::sha256(b""));
    let status = |status| Problem::Status { host: text(), status, expected: "200", message: text() };
    let malformed = |what| Problem::Malformed { what, reason: text() };
    let credentials = |reason: &str| Problem::Credentials { path: "/f".into(), reason: reason.to_owned() };
    let stall = || Duration::from_secs(1);
    let slow = || Problem::Slow { host: text(), did: "sent", expected: 1024, found: 1, limit: stall() };
    let other = || Problem::OtherDigest { expected: digest(), found: digest() };
    let gave_up = |problem: Problem| Problem::GaveUp { attempts: 2, source: Box::new(problem) };
    let location = || Problem::Location { host: text(), to: text(), reason: text() };
    let html = || Problem::ContentType { host: text(), found: text(), expected: "a blob" };
    let token = |problem: Problem| Problem::Token { realm: text(), source: Box::new(problem) };
    let certificates = |reason: &str| Problem::Certificates { path: path(), reason: reason.to_owned() };
    assert_advised(vec![
        (pull(status(400)), Kind::Network, "may be no registry"),
        (pull(gave_up(status(503))), Kind::Network, "try again later"),
        (pull(malformed("the answer with status 401")), Kind::Network, "may be no registry"),
        (pull(token(malformed("the token server's answer"))), Kind::Network, "may be no registry"),
        (pull(malformed("the digest")), Kind::Usage, "64 hexadecimal digits"),
        (
            pull(gave_up(Problem::Stalled { host: text(), did: "sent", limit: stall() })),
            Kind::Network,
            "try again later",
        ),
        (pull(gave_up(slow())), Kind::Network, "try again later"),
        (pull(gave_up(Problem::Late { host: text(), limit: stall() })), Kind::Network, "try again later"),
        (pull(html()), Kind::Network, "from another network or a mirror"),
        (pull(Problem::Encoding { host: text(), found: text() }), Kind::Network, "from another network or a mirror"),
        (pull(Problem::HeaderDigest { header: text(), found: digest() }), Kind::Network, "tell whoever runs it"),
        (pull(Problem::Blocked { prefix: text() }), Kind::Source, "registries.conf"),
        (pull(Problem::Configured { name: text(), reason: "has no tag" }), Kind::Source, "correct [[registry]]"),
        (pull(credentials("it is not of the expected JSON form")), Kind::Source, "repair or remove the file"),
        (pull(credentials("docker-credential-x: No such file")), Kind::Source, "install or repair that program"),
        (pull(certificates("expected a certificate")), Kind::Source, "replace or remove it"),
        (pull(certificates("there is no such directory")), Kind::Source, "check the path: --cert-dir"),
        (pull(certificates("there is no key /p for it")), Kind::Source, "add it, or remove its partner"),
        (pull(certificates("there is no certificate /p for it")), Kind::Source, "add it, or remove its partner"),
        (pull(certificates("No such file or directory")), Kind::Source, "check the path: $SSL_CERT_FILE"),
        (pull(Problem::Setup { reason: text() }), Kind::Network, ""),
        (push(location()), Kind::Network, "tell whoever runs the registry"),
        (push(status(400)), Kind::Network, "only certain kinds of images"),
        (push(status(500)), Kind::Network, "try again later"),
        (push(malformed("the header Location")), Kind::Network, "may be no registry"),
        (push(other()), Kind::Usage, "leave the digest out"),
        (
            pull(Problem::Denied { status: 401, with: "the credentials of user \"u\"".to_owned(), message: text() }),
            Kind::Source,
            "check the user name and the password",
        ),
        (
            pull(Problem::Denied { status: 401, with: "no credentials".to_owned(), message: text() }),
            Kind::Source,
            "log in",
        ),
        (
            pull(Problem::NoSuchTag { message: text(), tags: vec!["v1".to_owned()], more: 0 }),
            Kind::Source,
            "check the tag; `cvbake tags r.example/x` lists",
        ),
        (pull(Problem::NoSuchRepository { message: text() }), Kind::Source, "check the name of the repository"),
        (login(status(400)), Kind::Network, "check the name of the registry"),
        (login(html()), Kind::Network, "check the name of the registry"),
        (login(malformed("the answer with status 401")), Kind::Network, "check the name of the registry"),
    ]);
}
