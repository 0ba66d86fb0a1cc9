//! Who one is to a registry: written by us and read by `skopeo`, and the other way round.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::registry::{Registry, cvbake};
use crate::support::bake::{Bake, Place, mode, names, own};
use crate::support::mount::Small;
use crate::support::sample::small;
use crate::support::tools::{needs_mounts, run, succeed, tool};

fn command(place: &Place, args: &[&str]) -> Bake {
    let bake = Bake::of(args).env("HOME", place.path().join("home")).env("DOCKER_CONFIG", "");
    bake.env("XDG_RUNTIME_DIR", "").env("XDG_CONFIG_HOME", "").env("REGISTRY_AUTH_FILE", "")
}

fn password(place: &Place, text: &str) -> PathBuf {
    let path = place.path().join("password");
    fs::write(&path, text).unwrap();
    path
}

fn login(place: &Place, registry: &Registry) -> Bake {
    command(place, &["login", "-u", "user", "--password-stdin", &registry.host]).stdin(password(place, "secret\n"))
}

/// As root, because the files are private to the user that the program runs as.
fn skopeo(args: &[&str], file: &Path) -> Command {
    let mut command = tool("skopeo", "skopeo");
    command.args(args).arg("--authfile").arg(file);
    command
}

#[test]
fn ours_and_skopeos() {
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, true);
    let name = registry.push(&place, "a:b");
    let wrong = login(&place, &registry).stdin(password(&place, "wrong\n")).run();
    assert!(wrong.error(&[3]).contains("access denied (status 401"), "{}", wrong.describe());
    let file = place.path().join("home/.config/containers/auth.json");
    assert!(!file.exists(), "nothing is stored that the registry does not accept");

    login(&place, &registry).ok();
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_eq!(succeed(&mut skopeo(&["login", "--get-login", &registry.host], &file)).trim(), "user");
    let copied = format!("oci:{}", place.path().join("copied").display());
    let args = ["--insecure-policy", "copy", "-q", "--src-tls-verify=false", &format!("docker://{name}"), &copied];
    succeed(&mut skopeo(&args, &file));
    cvbake(&place, &["pull", &name]).ok();
    let target = format!("{}/pushed:b", registry.host);
    let push = Bake::of(&["push", &name, &target, "--store"]).arg(place.store()).args(["--progress", "none"]);
    push.env("HOME", place.path().join("home")).env("XDG_RUNTIME_DIR", "").env("REGISTRY_AUTH_FILE", "").ok();

    command(&place, &["logout", &registry.host]).ok();
    assert!(!run(&mut skopeo(&["login", "--get-login", &registry.host], &file)).status.success());
    cvbake(&place, &["pull", &name]).run().error(&[3]);
    let again = command(&place, &["logout", &registry.host]).run();
    assert!(again.error(&[3]).contains("not logged in to 127.0.0.1:"), "{}", again.describe());

    // The other way round.
    let theirs = place.writable("theirs").join("auth.json");
    let login = ["login", "--tls-verify=false", "-u", "user", "-p", "secret", &registry.host];
    succeed(&mut skopeo(&login, &theirs));
    crate::support::bake::own(&theirs);
    cvbake(&place, &["pull", &name, "--authfile"]).arg(&theirs).ok();
    command(&place, &["logout", &registry.host, "--authfile"]).arg(&theirs).ok();
    assert!(!run(&mut skopeo(&["login", "--get-login", &registry.host], &theirs)).status.success());

    self::login(&place, &registry).ok();
    succeed(&mut skopeo(&["logout", &registry.host], &file));
    crate::support::bake::own(&file);
    command(&place, &["logout", &registry.host]).run().error(&[3]);
}

#[test]
fn where_it_is_kept() {
    let place = Place::new();
    let registry = Registry::start(&place, true);
    let session = place.writable("session");
    let files = [
        ("XDG_RUNTIME_DIR", session.clone(), session.join("containers/auth.json")),
        ("REGISTRY_AUTH_FILE", session.join("own.json"), session.join("own.json")),
        ("XDG_CONFIG_HOME", session.join("config"), session.join("config/containers/auth.json")),
    ];
    for (variable, value, file) in files {
        login(&place, &registry).env(variable, &value).ok();
        assert!(fs::read_to_string(&file).unwrap().contains("dXNlcjpzZWNyZXQ="), "{}", file.display());
        let out = command(&place, &["logout", "--all"]).env(variable, &value).ok();
        assert!(out.stdout.contains("Logged out of 1 registry"), "{}", out.describe());
        assert!(!fs::read_to_string(&file).unwrap().contains(&registry.host));
    }
    let shown = command(&place, &["login", "-u", "user", "-p", "secret", &registry.host]).ok();
    assert!(shown.warnings()[0].contains("other users"), "{}", shown.describe());
}

#[test]
fn nothing_to_ask_and_nobody() {
    let place = Place::new();
    let registry = Registry::start(&place, false);
    let open = login(&place, &registry).ok();
    assert!(open.warnings()[0].contains("did not ask for credentials"), "{}", open.describe());
    let unreachable = command(&place, &["login", "-u", "u", "-p", "p", "127.0.0.1:1"]).run();
    assert!(unreachable.error(&[9]).contains("cannot log in to 127.0.0.1:1"), "{}", unreachable.describe());
    for (args, text) in [
        (&["login", "localhost:1"][..], "no user name was given"),
        (&["login", "-u", "u", "localhost:1"], "no password was given"),
        (&["login", "-u", "a:b", "-p", "p", "localhost:1"], "is not a user name"),
        (&["login", "-u", "u", "-p", "", "localhost:1"], "the password is empty"),
        (&["login", "-u", "u", "-p", "p", "not a host"], "is not a registry"),
    ] {
        let outcome = command(&place, args).run();
        assert!(outcome.error(&[2]).contains(text), "{}", outcome.describe());
    }
}

#[test]
fn configured() {
    let place = Place::new();
    let registry = Registry::start(&place, true);
    let conf = place.path().join("config.toml");
    let file = place.writable("kept").join("auth.json");
    fs::write(&conf, format!("authfile = \"{}\"\ninsecure = [\"a.example\"]\n", file.display())).unwrap();
    login(&place, &registry).arg("--config").arg(&conf).ok();
    assert!(fs::read_to_string(&file).unwrap().contains(&registry.host));
    command(&place, &["logout", &registry.host, "--config"]).arg(&conf).ok();
    let hub = command(&place, &["login", "-u", "u", "-p", "p", "quay"]).run();
    assert!(hub.error(&[2]).contains("a host with a dot or a port"), "no password for somebody else");
}

/// What root's podman makes below `/run/containers`, nobody else can reach: nothing there was
/// stored for anybody else, and what is not there stops nobody. Where a directory of the user's own
/// is, it is used.
#[test]
fn below_the_systems_directory() {
    if !needs_mounts("a /run of its own") {
        return;
    }
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, true);
    let name = registry.push(&place, "a:b");
    // Only who is inside sees this one.
    let run = Small::mount(Path::new("/run"), "1m");
    let containers = run.outside().join("containers");
    fs::create_dir(&containers).unwrap();
    mode(&containers, 0o700);
    let pull = || cvbake(&place, &["pull", &name]).inside(run.holder.id());
    let denied = pull().run();
    assert!(denied.error(&[3]).contains("access denied"), "{}", denied.describe());
    let login = || login(&place, &registry).inside(run.holder.id()).ok();
    login();
    assert!(place.path().join("home/.config/containers/auth.json").exists());
    pull().ok();

    let own_dir = containers.join("65534");
    fs::create_dir(&own_dir).unwrap();
    own(&own_dir);
    mode(&containers, 0o755);
    login();
    assert_eq!(names(&own_dir), ["auth.json"]);
    fs::remove_dir_all(place.path().join("home/.config")).unwrap();
    pull().ok();
}
