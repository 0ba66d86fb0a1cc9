//! What a user reads, and which status a script sees, when a registry answers as registries should
//! not.

use crate::registry::{cvbake, pull_and_build};
use crate::support::bake::Place;
use crate::support::sample::small;
use crate::support::server::{Answer, Server};

#[test]
fn what_is_said() {
    let images = small("x");
    let (layer, blob) = (images.images[0].layers[0].digest.clone(), images.images[0].layers[0].blob.clone());
    let flipped = {
        let mut bytes = blob.clone();
        bytes[12] ^= 1;
        bytes
    };
    let html = || Answer::Other(200, "Content-Type: text/html\r\n".to_owned(), b"<html>log in".to_vec());
    let other = |status: u16, header: &str| Answer::Other(status, format!("{header}\r\n"), Vec::new());
    type Make = Box<dyn Fn() -> Answer + Send + Sync>;
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let short = blob[1..].to_vec();
    let encoded = blob.clone();
    let table: Vec<(&str, Make, i32, &str, &str)> = vec![
        ("/manifests/", Box::new(move || other(404, "X: x")), 3, "not found (status 404)", "check the name"),
        (&layer, Box::new(move || other(404, "X: x")), 3, "not found (status 404)", "not all of it"),
        (
            "/manifests/",
            Box::new(move || other(401, "X: x")),
            9,
            "the answer with status 401 is malformed: expected a header WWW-Authenticate",
            "",
        ),
        (
            "/manifests/",
            Box::new(move || other(401, "WWW-Authenticate: Basic realm=x")),
            3,
            "access denied (status 401) with no credentials",
            "cvbake login 127.0.0.1:",
        ),
        (
            "/manifests/",
            Box::new(move || other(401, "WWW-Authenticate: Bearer realm=\"https://10.0.0.1/token\"")),
            9,
            "the token server \"https://10.0.0.1/token\" is refused: 10.0.0.1 is a private address",
            "tell whoever runs the registry",
        ),
        (
            &layer,
            Box::new(move || other(429, "Retry-After: 86400")),
            9,
            "status 429 and asks to wait 86400 s",
            "try again later",
        ),
        ("/manifests/", Box::new(html), 9, "sent \"text/html\"; expected a manifest", "proxy on the way"),
        (&layer, Box::new(html), 9, "sent \"text/html\"; expected a blob", "proxy on the way"),
        (
            "/manifests/",
            Box::new(move || other(302, "Location: http://169.254.169.254/latest")),
            9,
            "169.254.169.254 is a private address (link-local, where most clouds have their metadata), to which the registry",
            "tell whoever runs the registry",
        ),
        (
            &layer,
            Box::new(move || other(302, "Location: /v2/loop")),
            9,
            "more than 10 redirects",
            "tell whoever runs the registry",
        ),
        (
            "/manifests/",
            Box::new(|| Answer::Other(200, "Docker-Content-Digest: sha256:12\r\n".to_owned(), b"{}".to_vec())),
            9,
            "the header Docker-Content-Digest says \"sha256:12\"",
            "proxy on the way",
        ),
        (
            "/manifests/",
            Box::new(|| Answer::Other(200, String::new(), b"{\"layers\":".to_vec())),
            9,
            "the manifest is malformed",
            "",
        ),
        (
            "/manifests/",
            Box::new(|| Answer::Other(200, String::new(), index.to_vec())),
            4,
            "no image for linux/amd64; available: none",
            "",
        ),
        (
            &layer,
            Box::new(move || Answer::Other(200, String::new(), flipped.clone())),
            4,
            "sent content with digest sha256:",
            "proxy on the way",
        ),
        (
            &layer,
            Box::new(move || Answer::Other(200, String::new(), short.clone())),
            9,
            "bytes; expected",
            "proxy on the way",
        ),
        (
            &layer,
            Box::new(move || Answer::Other(200, "Content-Encoding: gzip\r\n".to_owned(), encoded.clone())),
            9,
            "Content-Encoding \"gzip\"; expected none",
            "proxy on the way",
        ),
    ];
    let place = Place::with(&images);
    for (part, make, code, text, hint) in table {
        let part = part.to_owned();
        let server = Server::start(&place, move |asked| {
            let leads = asked.path.contains(&part) || asked.path.contains("loop");
            if leads { make() } else { Answer::Right }
        });
        for run in [pull_and_build(&place, &server.name()), cvbake(&place, &["pull", &server.name()])] {
            let outcome = run.run();
            let line = outcome.error(&[code]);
            eprintln!("{code} {}", outcome.stderr.trim_end());
            assert!(line.contains(text) && outcome.stderr.contains(hint), "{text} {hint}: {}", outcome.describe());
        }
        place.assert_no_leftovers(&[]);
    }
}
