//! What an image, a registry, a file name or a command line says may act on a terminal. Nothing
//! that the program shows does.

use std::io::Write as _;

use crate::image_store::{import, layout};
use crate::images::image;
use crate::support::bake::{Bake, Place, binary};
use crate::support::image::{Compression, Edit, Image, Images, digest};
use crate::support::run::Outcome;
use crate::support::server::{Answer, Server};
use crate::support::{sample, tools::tool};

/// One of every kind: C0, DEL, C1, line and paragraph separators, direction, nothing to be seen.
const EVIL: &str = "\u{1b}[2J\u{7f}\u{9b}2J\u{2028}\u{2029}\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{feff}\u{e0041}";

/// What no output may have, said once more and in another way than in the program.
fn acting(text: &str) -> Vec<String> {
    let is_evil = |character: &char| {
        (*character < ' ' && *character != '\n') || (!character.is_ascii() && EVIL.contains(*character))
    };
    let is_evil = |character: &char| is_evil(character) || ('\u{7f}'..='\u{9f}').contains(character);
    text.chars().filter(is_evil).map(|character| character.escape_unicode().to_string()).collect()
}

fn assert_calm(outcome: &Outcome) {
    for text in [&outcome.stdout, &outcome.stderr] {
        assert_eq!(acting(text), [""; 0], "{}", outcome.describe());
    }
}

/// The same text for a JSON document, where C0 has to be escaped.
fn in_json() -> String {
    EVIL.replace('\u{1b}', "\\u001b")
}

/// An image that says it wherever it can say something, in the store under a name that says it,
/// too.
fn evil_image() -> Place {
    let evil = in_json();
    let config = format!(
        r#""author":"{evil}","created":"{evil}","history":[{{"created":"{evil}","created_by":"{evil}","comment":"{evil}"}}],"config":{{"Labels":{{"{evil}":"{evil}"}}}}"#
    );
    let manifest = format!(r#"{{"annotations":{{"{evil}":"{evil}"}},"schemaVersion":2"#);
    let edit = |document: &str, old: &str, new: String| Edit {
        document: document.to_owned(),
        old: old.as_bytes().to_vec(),
        new: new.into_bytes(),
    };
    let edits = vec![edit("config", r#""config":{}"#, config), edit("manifest", r#"{"schemaVersion":2"#, manifest)];
    let layers = vec![sample::layer("file a \"1\"", Compression::Gzip)];
    let place = Place::with(&Images { images: vec![Image { layers, edits, ..Image::default() }], ..Images::default() });
    import(&place, &[&layout(&place), "app:v1"]).with_root().ok();
    let store = cvbake::store::Store::open(&place.store(), &|_| {}).unwrap();
    let reference = store.names().list(&|_| {}).unwrap().remove(0).reference;
    store
        .names()
        .set([&*format!("evil{EVIL}/x:{EVIL}\n")], &reference, cvbake::store::Origin::Registry, &|_| {})
        .unwrap();
    place
}

#[test]
fn what_images_say() {
    let place = evil_image();
    for args in [
        &["ls"][..],
        &["ls", "--json"],
        &["ls", "--format", "{{.Name}}\t{{.Repository}} {{.Tag}} {{.Platform}} {{.CreatedAt}}"],
        &["history", "app:v1", "--no-trunc"],
        &["history", "app:v1", "--json"],
        &["inspect", "app:v1"],
        &["tag", "app:v1", "app:v2", "--json"],
        &["rm", "app:v2"],
    ] {
        let mut outcome = image(&place, args).with_root().ok();
        outcome.stdout = outcome.stdout.replace('\t', " ");
        assert_calm(&outcome);
        assert!(
            args[0] == "tag" || args[0] == "rm" || outcome.stdout.contains("202e"),
            "it is shown: {}",
            outcome.describe()
        );
    }
    let shown = image(&place, &["inspect", "app:v1"]).with_root().ok().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["manifest"]["annotations"][EVIL], EVIL, "escaped, it means the same");
    assert_eq!(shown[0]["config"]["author"], EVIL);
    let store = |args: &[&str]| Bake::of(&["store"]).args(args).store(&place.store()).with_root().ok();
    assert_calm(&store(&["check"]));
    for args in [&["prune", "--keep-size", "1", "-n"][..], &["prune", "--keep-size", "1", "-n", "--json"]] {
        let removed = store(args);
        assert!(removed.stdout.contains("202e"), "{}", removed.describe());
        assert_calm(&removed);
    }
}

#[test]
fn raw_documents_are_bytes_but_on_a_terminal() {
    let place = evil_image();
    for flag in ["--raw", "--raw-config"] {
        let piped = image(&place, &["inspect", flag, "app:v1"]).with_root().ok().stdout;
        assert!(piped.contains('\u{202e}'), "as it is: {piped:?}");
        let rows = image(&place, &["inspect", "app:v1"]).with_root().ok().stdout;
        assert!(rows.contains(&digest("sha256", piped.as_bytes())), "{flag}: byte for byte");
        // What it prints goes to a terminal of its own, and from there to us.
        let program = binary().display();
        let command = format!("{program} image inspect {flag} app:v1 --store {}", place.store().display());
        let output = tool("script", "bsdutils").args(["-qec", &command, "/dev/null"]).output().unwrap();
        let shown = String::from_utf8(output.stdout).expect("UTF-8").replace("\r\n", "\n");
        assert!(output.status.success(), "{shown}");
        assert_eq!(acting(&shown), [""; 0], "{shown:?}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(&piped), "escaped, it means the same");
    }
}

#[test]
fn what_command_lines_say() {
    let place = Place::with(&sample::small("x"));
    let long = "x".repeat(10_777);
    let home = place.path().join("home");
    for args in [
        vec!["bake", EVIL, "-o", "disk"],
        vec!["bake", "tar:nothing", "-o", "disk", "--size", EVIL],
        vec!["bake", EVIL],
        vec![EVIL],
        vec!["image", "history", EVIL],
        vec!["login", "-u", "a:\u{202e}\u{9b}", "-p", "x", "localhost:1"],
        vec!["image", "ls", "--format", "{{.\u{202e}}}"],
        vec!["man", EVIL],
        vec!["pull", &long],
        vec!["bake", &long, "-o", "disk"],
        vec!["bake", "tar:x", "-o", "disk", "--size", &long],
        vec!["image", "tag", &long, &long],
        vec!["image", "inspect", &long],
        vec!["image", "rm", &long],
        vec!["push", &long],
        vec!["login", "-u", &long, "-p", "x", &long],
        vec!["man", &long],
        vec![&long],
        vec!["bake", "tar:x", "-o", &long],
        vec!["bake", &format!("oci:{long}"), "-o", "disk"],
    ] {
        let outcome = Bake::of(&args).env("HOME", &home).run();
        assert_ne!(outcome.code, Some(0), "{}", outcome.describe());
        assert_calm(&outcome);
        assert!(outcome.stderr.lines().all(|line| line.len() < 4000), "{} bytes of error", outcome.stderr.len());
    }
}

#[test]
fn what_files_and_variables_say() {
    let place = Place::with(&sample::small("x"));
    let evil = format!("size{EVIL}");
    let home = |args: &[&str]| Bake::of(args).env("HOME", place.path().join("home"));
    for args in [&["config", "show"][..], &["config", "show", "--json"], &["bake", "--help"]] {
        let outcome = home(args).env("CVBAKE_SIZE", &evil).run();
        // The list says what is wrong.
        assert_eq!(outcome.code, Some(if args[0] == "config" { 2 } else { 0 }), "{}", outcome.describe());
        assert_calm(&outcome);
    }
    assert_calm(&home(&["bake", "tar:x", "-o", "y"]).env("CVBAKE_SIZE", &evil).run());
    // A directory whose name says it, with a disk in it.
    let dir = place.writable(&format!("out{}", EVIL.replace('\u{2028}', "\n")));
    for args in [&[][..], &["--json"], &["--dry-run"]] {
        let disk = dir.join(format!("disk{}", args.len() + args.concat().len()));
        for progress in ["plain", "json"] {
            let source = format!("oci:{}:latest", place.path().join("image").display());
            let outcome = Bake::of(&["bake", &source, "-o"])
                .arg(&disk)
                .args(args)
                .store(&dir)
                .progress(progress)
                .arg("--force")
                .run();
            assert_calm(&outcome);
        }
    }
}

#[test]
fn what_archives_say() {
    let place = Place::new();
    let mut file = std::fs::File::create(place.path().join("evil.tar")).unwrap();
    let layer = sample::layer(&format!("file a \"1\"\nhard b -> nothing{EVIL}/x"), Compression::Plain);
    file.write_all(&layer.tar).unwrap();
    let source = format!("tar:{}", place.path().join("evil.tar").display());
    for progress in ["plain", "json"] {
        let outcome = place.bake_source(&source).progress(progress).run();
        assert_ne!(outcome.code, Some(0));
        assert_calm(&outcome);
    }
}

#[test]
fn what_registries_and_users_say() {
    let place = Place::with(&sample::small("x"));
    let header = "\u{9b}2J\u{202e}";
    for (status, headers, body) in [
        (403, String::new(), format!(r#"{{"errors":[{{"code":"DENIED","message":"{}"}}]}}"#, in_json())),
        (403, String::new(), EVIL.to_owned()),
        (200, format!("Content-Type: {header}\r\n"), "{}".to_owned()),
        (200, format!("Docker-Content-Digest: {header}\r\n"), "{}".to_owned()),
        (401, format!("WWW-Authenticate: Bearer realm=\"{header}\"\r\n"), String::new()),
        (302, format!("Location: ftp://{header}\r\n"), String::new()),
    ] {
        let server = Server::start(&place, move |_| Answer::Other(status, headers.clone(), body.clone().into_bytes()));
        for progress in ["plain", "json"] {
            let pull = Bake::of(&["pull", &server.name()]).store(&place.store()).env("HOME", place.path().join("home"));
            let outcome = pull.progress(progress).run();
            assert_ne!(outcome.code, Some(0), "{}", outcome.describe());
            assert_calm(&outcome);
        }
    }
    let server = Server::start(&place, |_| Answer::Other(200, String::new(), b"{}".to_vec()));
    let file = place.writable("kept").join("auth.json");
    let login = Bake::of(&["login", "-u", &format!("me{EVIL}"), "-p", "x", &server.host, "--authfile"]).arg(&file);
    let outcome = login.env("HOME", place.path().join("home")).ok();
    assert!(outcome.stdout.contains(r"as me\u{1b}[2J\u{7f}\u{9b}2J\u{2028}"), "{}", outcome.describe());
    assert_calm(&outcome);
}
