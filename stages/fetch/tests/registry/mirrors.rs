//! Several registries that stand for one, and names that say none.

use std::fs;
use std::sync::Mutex;

use cvbake_fetch::{Insecure, Name, Pull, RegistriesFiles, open_name};

use super::*;

/// A configuration, and what is told while it is followed.
struct Configured {
    dir: tempfile::TempDir,
    options: Options,
    events: Mutex<Vec<Event>>,
}

impl Configured {
    fn new(text: &str) -> Configured {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registries.conf");
        fs::write(&path, text).unwrap();
        let registries = RegistriesFiles { given: Some(path), ..RegistriesFiles::default() };
        Configured { dir, options: Options { registries, ..quick() }, events: Mutex::default() }
    }

    /// One for `primary.example/a/b`, which is at the last of these servers; the others are its
    /// mirrors.
    fn mirrors(servers: &[&Server]) -> Configured {
        let (primary, mirrors) = servers.split_last().unwrap();
        let mut text = format!("[[registry]]\nprefix = 'primary.example'\nlocation = '{}'\n", primary.address);
        for mirror in mirrors {
            text += &format!("[[registry.mirror]]\nlocation = '{}'\n", mirror.address);
        }
        Configured::new(&text)
    }

    /// Pulls the layer as the program does: again, where there is another place.
    fn pull_into(&self, name: &str, store: Option<&Store>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let on = |event| self.events.lock().unwrap().push(event);
        let blobs = open_name(&Name::new(name).unwrap(), &self.options, store, &on)?;
        let want = Want { platform: "linux/amd64".parse()?, explicit: true };
        let image = Image::verify(&*blobs, &want)?;
        let layer = &image.layers()[0];
        loop {
            let mut bytes = Vec::new();
            match layer.open(&*blobs)?.read_to_end(&mut bytes) {
                Ok(_) => return Ok(bytes),
                Err(_) if blobs.has_alternative(layer) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn pull(&self, name: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        self.pull_into(name, None)
    }

    fn told(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(Event::to_string).collect()
    }
}

const NAME: &str = "primary.example/a/b:v1";

#[test]
fn the_first_that_has_it() {
    let sample = Sample::new(300_000);
    let (first, second, primary) = (
        sample.server("", |_, _| Answer::new(404, "")),
        sample.layer_server(|_, answer| answer),
        sample.layer_server(|_, answer| answer),
    );
    let configured = Configured::mirrors(&[&first, &second, &primary]);
    assert_eq!(configured.pull(NAME).unwrap(), sample.layer);
    assert_eq!(first.requests("/a/b/").len(), 1, "it is not asked again");
    assert_eq!(second.requests("/a/b/").len(), 3);
    assert!(primary.requests("").is_empty());
    let told = configured.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&format!("{}: not found (status 404", first.address)), "{told:?}");
    assert!(told[0].ends_with(&format!("; asking {}", second.address)), "{told:?}");
}

#[test]
fn mirrors_on_their_bad_days() {
    let sample = Sample::new(300_000);
    type Fault = fn(&Request, Answer) -> Answer;
    let faults: [(&str, Fault); 5] = [
        ("gave up after 2 attempts: 127", |_, _| Answer::new(500, "")),
        ("gave up after 2 attempts: 127", |_, answer| Answer { stall_after: Some(0), ..answer }),
        ("access denied (status 403)", |_, _| Answer::new(403, "")),
        ("sent \"text/html\"", |_, _| Answer::new(200, "<html>").with("Content-Type", "text/html")),
        ("is a private address", |_, _| Answer::new(302, "").with("Location", "http://10.0.0.1/")),
    ];
    for (expected, fault) in faults {
        // Of everything, and of the layer only.
        for part in ["/a/b/", &sample.layer_path()] {
            let mirror = sample.server(part, fault);
            let primary = sample.layer_server(|_, answer| answer);
            let configured = Configured::mirrors(&[&mirror, &primary]);
            assert_eq!(configured.pull(NAME).unwrap(), sample.layer, "{expected}");
            let told = configured.told().join("\n");
            assert!(told.contains(expected), "{told}\nshould contain {expected:?}");
            assert!(told.contains(&format!("asking {}", primary.address)), "{told}");
        }
    }
}

#[test]
fn nobody_has_it() {
    let sample = Sample::new(1000);
    let (mirror, primary) =
        (sample.server("", |_, _| Answer::new(500, "")), sample.server("", |_, _| Answer::new(404, "")));
    let configured = Configured::mirrors(&[&mirror, &primary]);
    let (mirror, primary) = (mirror.address, primary.address);
    refused(
        configured.pull(NAME),
        &[
            "cannot fetch manifest v1 of a/b from primary.example: the mirrors failed",
            &format!("({mirror}: gave up after 2 attempts: {mirror} answered with status 500; expected 200)"),
            &format!("), and so did {primary}: not found (status 404"),
        ],
    );
}

#[test]
fn mirrors_on_one_host_are_told_apart() {
    let sample = Sample::new(1000);
    let server = sample.server("", |_, _| Answer::new(404, ""));
    let address = server.address;
    let text = format!(
        "[[registry]]\nprefix = 'primary.example'\nlocation = '{address}/last'\n\
         [[registry.mirror]]\nlocation = '{address}/one'\n[[registry.mirror]]\nlocation = '{address}/two'\n"
    );
    let configured = Configured::new(&text);
    refused(
        configured.pull(NAME),
        &[
            &format!("({address}/one/a/b: not found (status 404); {address}/two/a/b: not found (status 404))"),
            &format!("and so did {address}/last/a/b: not found"),
        ],
    );
    let told = configured.told();
    assert_eq!(told[0], format!("{address}/one/a/b: not found (status 404); asking {address}/two/a/b"));
}

#[test]
fn a_tag_that_is_not_there() {
    let sample = Sample::new(1000);
    let tags = r#"{"name":"a/b","tags":["v1","v1.1","edge","a\u001b[2Jb"]}"#;
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}"#;
    for (status, body, expected) in [
        (
            200,
            tags,
            "not found (status 404, \"MANIFEST_UNKNOWN: manifest unknown\"); the tags there are v1, v1.1, edge",
        ),
        (404, unknown, "there is no such repository (status 404, \"NAME_UNKNOWN: no\")"),
        (404, "", "not found (status 404, \"MANIFEST_UNKNOWN: manifest unknown\")"),
        (200, "<html>", "not found (status 404, \"MANIFEST_UNKNOWN: manifest unknown\")"),
        (200, r#"{"tags":null}"#, "not found (status 404, \"MANIFEST_UNKNOWN: manifest unknown\")"),
    ] {
        let server = sample.server("/tags/list", move |_, _| Answer::new(status, body));
        let configured = Configured::mirrors(&[&server]);
        let error = chain(&*configured.pull("primary.example/a/b:v2").unwrap_err());
        assert!(error.ends_with(expected), "{error}");
        assert_eq!(server.requests("/tags/list").len(), 1);
        // A digest is no tag.
        let digest = Digest::sha256(b"x");
        refused(configured.pull(&format!("primary.example/a/b@{digest}")), &["not found (status 404"]);
        assert_eq!(server.requests("/tags/list").len(), 1);
    }
}

#[test]
fn a_blob_goes_on_elsewhere() {
    let sample = Sample::new(500_000);
    let mirror = sample.layer_server(|_, mut answer| {
        answer.reset_after = Some(if answer.status == 200 { 200_000 } else { 0 });
        answer
    });
    let primary = sample.layer_server(|_, answer| answer);
    let configured = Configured::mirrors(&[&mirror, &primary]);
    assert_eq!(configured.pull(NAME).unwrap(), sample.layer);
    assert_eq!(primary.requests(&sample.layer_path())[0].range(), Some(200_000));
    assert_eq!(primary.requests("").iter().filter(|request| request.path.contains("manifests")).count(), 0);
}

#[test]
fn wrong_bytes() {
    // Early and late, in one piece and in many, with a store and without.
    for (len, at) in [(1000, 3), (500_000, 3), (500_000, 499_999)] {
        let sample = Sample::new(len);
        for with_store in [false, true] {
            let mirror = sample.layer_server(move |_, mut answer| {
                answer.body[at] ^= 1;
                answer
            });
            let primary = sample.layer_server(|_, answer| answer);
            let configured = Configured::mirrors(&[&mirror, &primary]);
            let store = Store::open(&configured.dir.path().join("store"), &|_| {}).unwrap();
            let pulled = configured.pull_into(NAME, with_store.then_some(&store)).unwrap();
            assert!(pulled == sample.layer, "{len} {at} {with_store}");
            assert_eq!(mirror.requests(&sample.layer_path()).len(), 1);
            assert_eq!(primary.requests(&sample.layer_path())[0].range(), None, "nothing of it is used");
        }
    }
    let sample = Sample::new(500_000);
    let wrong = || {
        sample.layer_server(|_, mut answer| {
            answer.body[3] ^= 1;
            answer
        })
    };
    let configured = Configured::mirrors(&[&wrong(), &wrong()]);
    refused(configured.pull(NAME), &["sent content with digest"]);
}

#[test]
fn wrong_documents() {
    let (sample, other) = (Sample::new(1000), Sample::new(2000));
    // Another manifest under a digest, and another configuration.
    let (manifest, config) = (other.manifest.clone(), other.config.clone());
    let own = Digest::sha256(&sample.config).to_string();
    let mirror = sample.server("/a/b/", move |request, answer| match request.path.contains(&own) {
        true => Answer::new(200, &*config),
        false if request.path.contains("manifests") => Answer::new(200, &*manifest).with("Content-Type", MANIFEST),
        false => answer,
    });
    let primary = sample.layer_server(|_, answer| answer);
    let configured = Configured::mirrors(&[&mirror, &primary]);
    assert_eq!(configured.pull(&format!("primary.example/a/b@{}", sample.digest())).unwrap(), sample.layer);
    let told = configured.told().join("\n");
    assert!(told.contains(&format!("sent content with digest {}", other.digest())), "{told}");
}

#[test]
fn two_that_disagree() {
    let (old, new) = (Sample::new(100_000), Sample::new(200_000));
    // The mirror has an old image under the tag, and loses its layer; the primary has both images
    // and the new one under the tag.
    let mirror = old.layer_server(|_, _| Answer::new(404, ""));
    let (first, second) = (old.clone(), new.clone());
    let primary = Server::start(move |request| match second.answer(request) {
        answer if answer.status == 404 => first.answer(request),
        answer => answer,
    });
    let configured = Configured::mirrors(&[&mirror, &primary]);
    assert_eq!(configured.pull(NAME).unwrap(), old.layer);
    assert!(primary.requests("manifests").is_empty(), "the first answer decides");
}

#[test]
fn for_digests_only() {
    let sample = Sample::new(1000);
    let mirror = sample.layer_server(|_, answer| answer);
    let primary = sample.layer_server(|_, answer| answer);
    let text = format!(
        "[[registry]]\nprefix = 'primary.example'\nlocation = '{}'\nmirror-by-digest-only = true\n\
         [[registry.mirror]]\nlocation = '{}'\n",
        primary.address, mirror.address
    );
    let configured = Configured::new(&text);
    assert_eq!(configured.pull(NAME).unwrap(), sample.layer);
    assert!(mirror.requests("").is_empty());
    let asked = primary.requests("").len();
    assert_eq!(configured.pull(&format!("primary.example/a/b@{}", sample.digest())).unwrap(), sample.layer);
    assert_eq!(primary.requests("").len(), asked);
}

#[test]
fn blocked_and_broken() {
    let sample = Sample::new(1000);
    let server = sample.layer_server(|_, answer| answer);
    let configured = Configured::new(&format!("[[registry]]\nlocation = '{}'\nblocked = true", server.address));
    refused(
        configured.pull(&format!("{}/a/b:v1", server.address)),
        &["cannot fetch manifest v1 of a/b", "blocked: the configuration forbids names that begin with \"127.0.0.1:"],
    );
    assert!(server.requests("").is_empty());
    let configured = Configured::new("\n[[registry]]\nlocation = 5");
    refused(configured.pull(NAME), &["registries.conf, line 3: location is a number, expected a string"]);
}

#[test]
fn the_store_knows_the_name_that_was_asked_for() {
    let sample = Sample::new(1000);
    let (mirror, primary) = (sample.layer_server(|_, answer| answer), sample.layer_server(|_, answer| answer));
    let configured = Configured::mirrors(&[&mirror, &primary]);
    let store = Store::open(&configured.dir.path().join("store"), &|_| {}).unwrap();
    assert_eq!(configured.pull_into(NAME, Some(&store)).unwrap(), sample.layer);
    let asked = mirror.requests("").len();
    assert_eq!(configured.pull_into(NAME, Some(&store)).unwrap(), sample.layer);
    assert_eq!(mirror.requests("").len(), asked);
    assert!(store.reference(NAME, &|_| {}).unwrap().is_some());
    let elsewhere = format!("{}/a/b:v1", mirror.address);
    assert!(store.reference(&elsewhere, &|_| {}).unwrap().is_none());
}

#[test]
fn short_names() {
    let sample = Sample::new(1000);
    let (first, second) = (sample.server("", |_, _| Answer::new(404, "")), sample.layer_server(|_, answer| answer));
    let search = format!("unqualified-search-registries = ['{}', '{}']\n", first.address, second.address);
    let configured = Configured::new(&search);
    let store = Store::open(&configured.dir.path().join("store"), &|_| {}).unwrap();
    assert_eq!(configured.pull_into("a/b:v1", Some(&store)).unwrap(), sample.layer);
    assert_eq!(first.requests("/a/b/manifests").len(), 1);
    // What the store has of either needs no network.
    assert_eq!(configured.pull_into("a/b:v1", Some(&store)).unwrap(), sample.layer);
    assert_eq!(first.requests("").len(), 2, "a ping and a manifest");

    let enforcing = Configured::new(&format!("{search}short-name-mode = 'enforcing'"));
    refused(enforcing.pull("a/b:v1"), &["\"a/b\" does not name a registry: it may be in any of 127.0.0.1:"]);
    let alias = Configured::new(&format!("{search}[aliases]\n'x' = '{}/a/b'", second.address));
    assert_eq!(alias.pull("x:v1").unwrap(), sample.layer);

    // One that fails is not passed over.
    let failing = sample.server("", |_, _| Answer::new(500, ""));
    let search = format!("unqualified-search-registries = ['{}', '{}']", failing.address, second.address);
    refused(Configured::new(&search).pull("a/b:v1"), &["status 500"]);
}

#[test]
fn full_names_need_no_aliases() {
    let sample = Sample::new(1000);
    let server = sample.layer_server(|_, answer| answer);
    let full = format!("{}/a/b:v1", server.address);
    let mut configured = Configured::new("unqualified-search-registries = ['r.example']");
    let dir = configured.dir.path().to_owned();
    let broken = dir.join("broken.conf");
    fs::write(&broken, "[aliases").unwrap();
    // One that is not TOML, and one that can't be read at all, whoever runs this.
    for aliases in [broken, dir] {
        configured.options.registries.aliases = Some(aliases);
        assert_eq!(configured.pull(&full).unwrap(), sample.layer);
        refused(configured.pull("b:v1"), &[]);
    }
    // What may block or move a registry is read for all names.
    let drop_ins = configured.dir.path().join("d");
    fs::create_dir(&drop_ins).unwrap();
    fs::write(drop_ins.join("1.conf"), "[[registry").unwrap();
    configured.options.registries.drop_ins = vec![drop_ins];
    refused(configured.pull(&full), &["1.conf, line 1: not TOML"]);
}

#[test]
fn credentials_stay_with_their_registry() {
    let sample = Sample::new(1000);
    let locked = |expected: &'static str| {
        sample.server("/a/b/", move |request, answer| match request.header("authorization") {
            Some(found) if found == expected => answer,
            _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
        })
    };
    // `eDo=` is `x:`, which nobody has; the primary's are `u:p`.
    let (mirror, primary) = (locked("Basic eDo="), locked("Basic dTpw"));
    let mut configured = Configured::mirrors(&[&mirror, &primary]);
    let file = configured.dir.path().join("auth.json");
    fs::write(&file, format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, primary.address)).unwrap();
    configured.options.credential_files = vec![file];
    assert_eq!(configured.pull(NAME).unwrap(), sample.layer);
    assert!(mirror.requests("").iter().all(|request| request.header("authorization").is_none()));
    // Those of the command line are for the registry that was asked for.
    let mut configured = Configured::mirrors(&[&mirror, &primary]);
    let given = cvbake_fetch::Credentials::User { name: "u".to_owned(), password: "p".to_owned() };
    configured.options.credentials = Some(given);
    assert_eq!(configured.pull(NAME).unwrap(), sample.layer);
    assert!(mirror.requests("").iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn waiting_is_told() {
    let sample = Sample::new(1000);
    let server = sample.server("/a/b/", |request, answer| match request.nth {
        0 => Answer::new(503, ""),
        _ => answer,
    });
    let mut configured = Configured::new("");
    configured.options.pull = Pull::Always;
    configured.options.insecure = Insecure::default();
    assert_eq!(configured.pull(&format!("{}/a/b:v1", server.address)).unwrap(), sample.layer);
    let address = server.address.to_string();
    let events = configured.events.lock().unwrap();
    let waits = events.iter().filter(
        |event| matches!(event, Event::Waiting { host, problem, .. } if *host == address && problem.contains("status 503")),
    );
    assert_eq!(waits.count(), 3, "{events:?}");
}
