//! Which registry is asked for a name, and how: mirrors of Debian's `docker-registry`, asked by an
//! ordinary user.

use std::fs;
use std::net::TcpListener;

use crate::registry::{Registry, cvbake, pull_and_build};
use crate::support::bake::{Place, files_below, names};
use crate::support::sample::{small, varied};

/// An address at which nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn mirrors_and_short_names() {
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, false);
    registry.push(&place, "team/image:v1");
    let dir = place.path().join("home/.config/containers");
    fs::create_dir_all(dir.join("registries.conf.d")).unwrap();
    let dead = nobody();
    let conf = format!(
        "unqualified-search-registries = ['primary.example']\n[[registry]]\nprefix = 'primary.example'\n\
         location = '{dead}'\n[[registry.mirror]]\nlocation = '{dead}'\n[[registry.mirror]]\nlocation = '{}'\n",
        registry.host
    );
    fs::write(dir.join("registries.conf"), conf).unwrap();
    fs::write(
        dir.join("registries.conf.d/aliases.conf"),
        "odd = 1\n[aliases]\nmine = 'primary.example/team/image'\n[[registry]]\nlocation = 'bad.example'\nblocked = true\n",
    )
    .unwrap();
    let pull = |name: &str| cvbake(&place, &["pull", name]).env("XDG_CONFIG_HOME", "");

    // The user's own file, in the usual place; a mirror that is not there is passed over.
    let pulled = pull("mine:v1").arg("--json").progress("json").ok();
    assert!(pulled.stdout.contains(r#""reference":"primary.example/team/image:v1""#), "{}", pulled.describe());
    let events: Vec<&str> = pulled.stderr.lines().collect();
    let waiting = format!(r#"{{"event":"waiting","host":"{dead}","seconds":"#);
    assert!(events.iter().any(|line| line.starts_with(&waiting)), "{}", pulled.describe());
    let told = |text: &str| events.iter().any(|line| line.contains(r#""event":"warning""#) && line.contains(text));
    assert!(told(&format!("asking {}", registry.host)), "{}", pulled.describe());
    assert!(told("aliases.conf, line 1: odd is not known; ignored"), "{}", pulled.describe());

    // The store knows it by the name that was asked for, in short and in full.
    for name in ["mine:v1", "team/image:v1", "primary.example/team/image:v1"] {
        pull(name).args(["--pull", "never"]).ok();
    }
    let elsewhere = pull(&format!("{}/team/image:v1", registry.host)).args(["--pull", "never"]).run();
    assert!(elsewhere.error(&[3]).contains("not in the store"), "{}", elsewhere.describe());

    let blocked = pull("bad.example/x:1").run();
    assert!(blocked.error(&[3]).contains("names that begin with \"bad.example\""), "{}", blocked.describe());

    // Others instead: by an option, by a variable, and wrong ones.
    let conf = place.path().join("other.conf");
    fs::write(&conf, "unqualified-search-registries = []").unwrap();
    let none = pull("team/other").arg("--registries-conf").arg(&conf).run();
    let line = none.error(&[3]);
    assert!(line.contains("\"team/other\" does not name a registry: it is no alias"), "{line}");
    assert!(none.stderr.contains("hint: write the name in full, such as docker.io/team/other"), "{}", none.describe());
    fs::write(&conf, "\n[registries.search]\nregistries = ['a.example']\n").unwrap();
    for bake in [
        pull("x").arg("--registries-conf").arg(&conf),
        pull("x").env("CONTAINERS_REGISTRIES_CONF", &conf),
        pull("x").env("CONTAINERS_REGISTRIES_CONF_DIR", place.path()),
    ] {
        let outcome = bake.run();
        let line = outcome.error(&[3]);
        assert!(line.contains("other.conf, line 2: [registries.…] is version 1"), "{line}");
    }
}

#[test]
fn certificates_and_proxies() {
    let place = Place::new();
    let pull = |name: &str| cvbake(&place, &["pull", name]).env("CONTAINERS_REGISTRIES_CONF", "/dev/null");
    let missing = pull("a.invalid/b").args(["--cert-dir", "/nonexistent"]).run();
    let line = missing.error(&[3]);
    assert!(line.contains("cannot use the certificates in /nonexistent: there is no such directory"), "{line}");
    let missing = pull("a.invalid/b").env("SSL_CERT_FILE", "/nonexistent").run();
    let line = missing.error(&[3]);
    assert!(line.ends_with("cannot use the certificates in /nonexistent: No such file or directory"), "{line}");
    assert!(missing.stderr.contains("hint: check the path: $SSL_CERT_FILE names"), "{}", missing.describe());
    let dead = nobody();
    for (name, value) in [("HTTPS_PROXY", &dead), ("https_proxy", &dead), ("ALL_PROXY", &format!("http://{dead}"))] {
        let lower = if name == "https_proxy" { value.as_str() } else { "" };
        let outcome = pull("a.invalid/b").env("https_proxy", lower).env("no_proxy", "").env(name, value).run();
        let line = outcome.error(&[9]);
        assert!(line.contains(&format!("(through the proxy {dead})")), "{line}");
        let outcome = pull("a.invalid/b").env(name, value).env("NO_PROXY", "b.invalid,.invalid").run();
        assert!(!outcome.error(&[9]).contains("proxy"), "{}", outcome.describe());
    }
    let odd = pull("a.invalid/b").env("https_proxy", "socks5://me:secret@127.0.0.1:1").run();
    assert!(odd.error(&[2]).contains("the proxy for https is \"127.0.0.1:1\"; expected http://"), "{}", odd.describe());
    assert!(!odd.stderr.contains("secret"), "{}", odd.describe());
    assert!(odd.stderr.contains("hint: it is set by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"), "{}", odd.describe());
}

/// The largest blob that a registry keeps.
fn largest_blob(place: &Place) -> std::path::PathBuf {
    let files = files_below(&place.path().join("registry/data/docker/registry/v2/blobs"));
    files.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[test]
fn a_mirror_with_a_damaged_layer() {
    let (place, other) = (Place::with(&varied()), Place::with(&varied()));
    let (primary, mirror) = (Registry::start(&place, false), Registry::start(&other, false));
    let name = primary.push(&place, "a:v1");
    mirror.push(&other, "a:v1");
    pull_and_build(&place, &name).ok();
    let expected = fs::read(place.disk()).unwrap();
    let conf = place.path().join("mirrors.conf");
    let text =
        format!("[[registry]]\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}'\n", primary.host, mirror.host);
    fs::write(&conf, text).unwrap();
    let path = largest_blob(&other);
    let good = fs::read(&path).unwrap();
    // What makes no sense when it is inflated, what has another checksum in the end, and what is
    // only not what the digest says.
    for at in [0, good.len() / 2, good.len() - 6] {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        fs::write(&path, bad).unwrap();
        fs::remove_dir_all(place.store()).unwrap();
        let baked = pull_and_build(&place, &name).arg("--registries-conf").arg(&conf).ok();
        assert!(fs::read(place.disk()).unwrap() == expected, "at {at}: {}", baked.describe());
        assert_eq!(names(&place.path().join("out")), ["disk.ext4"]);
        // Without a store it is fetched, and doubted, twice.
        let baked = pull_and_build(&place, &name).no_cache().arg("--registries-conf").arg(&conf).ok();
        assert!(fs::read(place.disk()).unwrap() == expected, "at {at}: {}", baked.describe());
        let fresh = Place::new();
        cvbake(&fresh, &["pull", &name]).arg("--registries-conf").arg(&conf).ok();
    }
    drop(primary);
    fs::remove_dir_all(place.store()).unwrap();
    let alone = pull_and_build(&place, &name).arg("--registries-conf").arg(&conf).run();
    alone.error(&[4, 9]);
    assert!(fs::read(place.disk()).unwrap() == expected, "a failed run leaves the disk as it was");
}
