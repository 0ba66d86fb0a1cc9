//! Images from a registry that we did not write, Debian's `docker-registry`, filled by `skopeo` and
//! asked by an ordinary user.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use crate::support::bake::{Bake, Place};
use crate::support::image::Images;
use crate::support::sample::{small, varied};
use crate::support::tools::{succeed, tool};
use crate::support::{ext4, seen};

/// A registry on a free port of this machine, stopped when dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
}

/// The line of `htpasswd -nbB user secret`.
const HTPASSWD: &str = "user:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

impl Registry {
    /// Starts one that asks for a password, or not.
    pub(crate) fn start(place: &Place, password: bool) -> Registry {
        let dir = place.path().join("registry");
        fs::create_dir_all(dir.join("data")).unwrap();
        fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", dir.display());
        // The port is free again when the registry takes it, most likely; otherwise it ends at
        // once.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: \"{host}\"}}\n{}",
            dir.display(),
            if password { &auth } else { "" }
        );
        fs::write(dir.join("config.yml"), config).unwrap();
        let mut command = tool("docker-registry", "docker-registry");
        command.arg("serve").arg(dir.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut registry = Registry { child: command.spawn().unwrap(), host };
        while TcpStream::connect(&registry.host).is_err() {
            assert!(registry.child.try_wait().unwrap().is_none(), "docker-registry ended early");
            std::thread::yield_now();
        }
        registry
    }

    /// Puts an image there, by a program that is not ours.
    pub(crate) fn push(&self, place: &Place, name: &str) -> String {
        let target = format!("{}/{name}", self.host);
        let mut command = tool("skopeo", "skopeo");
        command.args([
            "--insecure-policy",
            "copy",
            "-q",
            "--all",
            "--dest-tls-verify=false",
            "--dest-creds=user:secret",
        ]);
        succeed(
            command
                .arg(format!("oci:{}:latest", place.path().join("image").display()))
                .arg(format!("docker://{target}")),
        );
        target
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of the program with the place's own store and home.
pub(crate) fn cvbake(place: &Place, args: &[&str]) -> Bake {
    // The last argument may want another behind it.
    let (command, rest) = args.split_first().expect("a command");
    let bake =
        Bake::of(&[command]).args(["--progress", "none"]).platform("linux/amd64").store(&place.store()).args(rest);
    let bake = bake.env("HOME", place.path().join("home")).env("XDG_RUNTIME_DIR", "").env("DOCKER_CONFIG", "");
    bake.env("REGISTRY_AUTH_FILE", "")
}

pub(crate) fn pull_and_build(place: &Place, name: &str) -> Bake {
    cvbake(place, &["pull-and-build", name, "--force", "-o"]).arg(place.disk())
}

fn place(images: &Images) -> Place {
    Place::with(images)
}

#[test]
fn cold_and_then_without_the_registry() {
    let place = place(&varied());
    place.bake().ok();
    let expected = ext4::listing(&place.disk());
    fs::remove_dir_all(place.store()).unwrap();
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "some/image:v1");
    pull_and_build(&place, &name).ok();
    // skopeo compresses what was not compressed, so it is another image with the same files.
    seen::assert_same("from the registry (+) and from the layout (-)", &ext4::listing(&place.disk()), &expected);
    let expected = fs::read(place.disk()).unwrap();
    cvbake(&place, &["pull-and-build", &name, "--no-cache", "--dry-run"]).ok();
    let missing = pull_and_build(&place, &format!("{}/some/image:v2", registry.host)).run();
    assert!(missing.error(&[3]).contains("404"), "{}", missing.describe());
    drop(registry);

    fs::remove_file(place.disk()).unwrap();
    pull_and_build(&place, &name).ok();
    assert!(fs::read(place.disk()).unwrap() == expected, "the same disk without the registry");
    pull_and_build(&place, &name).args(["--pull", "never"]).ok();
    let unreachable = pull_and_build(&place, &name).args(["--pull", "always"]).run();
    unreachable.error(&[9]);
    assert!(fs::read(place.disk()).unwrap() == expected, "a failed run leaves the disk as it was");
    place.assert_no_leftovers(&["disk.ext4"]);
}

#[test]
fn pulled_and_then_never_again() {
    let place = place(&small("x"));
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "a:b");
    let never = pull_and_build(&place, &name).args(["--pull", "never"]).run();
    assert!(never.error(&[3]).contains("not in the store"), "{}", never.describe());
    cvbake(&place, &["pull", &name]).ok();
    drop(registry);
    pull_and_build(&place, &name).args(["--pull", "never"]).ok();
}

#[test]
fn passwords() {
    let place = place(&small("secret"));
    let registry = Registry::start(&place, true);
    let name = registry.push(&place, "a:b");
    let pull = |args: &[&str]| cvbake(&place, &[&["pull", name.as_str()], args].concat());
    let denied = pull(&[]).run();
    denied.error(&[3]);
    assert!(denied.stderr.contains("cvbake login 127.0.0.1:"), "{}", denied.describe());
    pull(&["--creds", "user:wrong"]).run().error(&[3]);
    pull(&["--creds", "user:secret"]).ok();

    let dir = place.path().join("login/containers");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("auth.json");
    let mut login = tool("skopeo", "skopeo");
    login.args(["login", "--tls-verify=false", "-u", "user", "-p", "secret", "--authfile"]);
    succeed(login.arg(&file).arg(&registry.host));
    fs::copy(&file, dir.join("config.json")).unwrap();
    for path in [&file, &dir.join("config.json")] {
        crate::support::bake::mode(path, 0o644);
    }
    pull(&["--authfile"]).arg(&file).ok();
    pull(&[]).env("REGISTRY_AUTH_FILE", &file).ok();
    pull(&[]).env("XDG_RUNTIME_DIR", place.path().join("login")).ok();
    pull(&[]).env("DOCKER_CONFIG", &dir).ok();
}
