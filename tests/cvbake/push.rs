//! What goes to a registry that we did not write, Debian's `docker-registry`, and what `skopeo` and
//! `umoci` make of it there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::registry::{Registry, cvbake};
use crate::support::bake::{Bake, Place};
use crate::support::image::{Compression, Images, digest, docker_archive, tar_directory};
use crate::support::run::Outcome;
use crate::support::sample::{small, varied};
use crate::support::tools::{succeed, tool};

fn push(place: &Place, args: &[&str]) -> Bake {
    let (source, rest) = args.split_first().unwrap();
    Bake::of(&["push", source, "--progress", "none", "--store"])
        .arg(place.store())
        .args(rest)
        .env("HOME", place.path().join("home"))
        .env("XDG_RUNTIME_DIR", "")
        .env("DOCKER_CONFIG", "")
        .env("REGISTRY_AUTH_FILE", "")
}

fn layout(place: &Place) -> String {
    format!("oci:{}:latest", place.path().join("image").display())
}

/// What skopeo brings back from the registry, as a layout.
fn fetched(place: &Place, name: &str, to: &str, all: bool) -> PathBuf {
    let dir = place.path().join(to);
    let mut command = tool("skopeo", "skopeo");
    command.args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--src-creds=user:secret"]);
    command.args(["--preserve-digests", "--dest-oci-accept-uncompressed-layers"]);
    if all {
        command.arg("--all");
    }
    succeed(command.arg(format!("docker://{name}")).arg(format!("oci:{}:latest", dir.display())));
    dir
}

/// The names of all blobs of a layout, each of which has the bytes of its name.
fn blobs(layout: &Path) -> Vec<String> {
    let dir = layout.join("blobs/sha256");
    let names = crate::support::bake::names(&dir);
    for name in &names {
        assert_eq!(digest("sha256", &fs::read(dir.join(name)).unwrap()), format!("sha256:{name}"));
    }
    names
}

fn report(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.describe()))
}

/// How the blobs got there.
fn how(report: &serde_json::Value) -> Vec<&str> {
    report["blobs"].as_array().unwrap().iter().map(|blob| blob["how"].as_str().unwrap()).collect()
}

/// `-v` says of every blob and manifest what became of it, and how long that took.
#[test]
fn what_is_sent_is_told() {
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, false);
    let name = format!("{}/told/so:v1", registry.host);
    let run = || push(&place, &[&layout(&place), &name, "-v", "--json"]).ok();
    let first = run();
    let lines = |outcome: &Outcome, end: &str| {
        let is_such = |line: &&str| line.starts_with("cvbake: ") && line.contains(end);
        outcome.stderr.lines().filter(is_such).map(str::to_owned).collect::<Vec<_>>()
    };
    let sent = lines(&first, &format!(" to {}: ", registry.host));
    let blobs = report(&first)["blobs"].as_array().unwrap().len();
    assert_eq!(sent.len(), blobs + 1, "{}", first.describe());
    assert!(sent.iter().all(|line| line.contains(" bytes in ") && line.ends_with(" ms")), "{sent:?}");
    assert!(sent.last().unwrap().contains("manifest v1 to "), "{sent:?}");
    let second = run();
    let present = lines(&second, &format!(" is in told/so of {}", registry.host));
    assert_eq!(present.len(), blobs + 1, "{}", second.describe());
}

#[test]
fn there_and_back() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    for (number, options) in [&[][..], &["--chunk-size", "1M", "--jobs", "1"]].into_iter().enumerate() {
        let name = format!("{}/there/and{number}:back", registry.host);
        let source = layout(&place);
        let first = push(&place, &[&[source.as_str(), &name, "--json"], options].concat()).ok();
        let first = report(&first);
        // All of the blobs are new, or in a repository that nobody has told us about.
        assert_eq!(how(&first), ["sent"; 4]);
        assert_eq!(first["manifests"][0]["how"], "sent");
        let dir = fetched(&place, &name, &format!("fetched{number}"), false);
        assert_eq!(blobs(&dir), blobs(&place.path().join("image")), "digest for digest");

        let second = push(&place, &[&source, &name, "--json"]).ok();
        assert_eq!(
            (how(&report(&second)), &report(&second)["manifests"][0]["how"]),
            (vec!["present"; 4], &"present".into())
        );
        assert_eq!(report(&second)["sent_bytes"], 0);
    }
}

#[test]
fn unpacked_by_umoci() {
    // Which knows no zstd.
    let place = Place::with(&small("umoci"));
    let registry = Registry::start(&place, false);
    let name = format!("{}/x", registry.host);
    push(&place, &[&layout(&place), &name]).ok();
    let dir = fetched(&place, &format!("{name}:latest"), "fetched", false);
    let bundle = place.path().join("bundle");
    let mut umoci = tool("umoci", "umoci");
    succeed(umoci.args(["unpack", "--rootless", "--image"]).arg(format!("{}:latest", dir.display())).arg(&bundle));
    assert_eq!(fs::read(bundle.join("rootfs/file")).unwrap(), b"umoci");
}

#[test]
fn from_the_store_and_mounted() {
    let place = Place::with(&varied());
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "first/repository:v1");
    cvbake(&place, &["pull", &name]).ok();
    // Within the registry nothing is sent but the manifest.
    let second = format!("{}/second/repository:v2", registry.host);
    let pushed = push(&place, &[&name, &second, "--json", "--platform", "linux/amd64"]).ok();
    assert_eq!(how(&report(&pushed)), ["mounted"; 4], "{}", pushed.describe());
    assert_eq!(report(&pushed)["blobs"][0]["from"], "first/repository");
    assert_eq!(report(&pushed)["sent_bytes"], 0);
    // What the store knows of the registry serves images from elsewhere, too.
    let dir = fetched(&place, &second, "fetched", false);
    let third = format!("{}/third:v3", registry.host);
    let source = format!("oci:{}:latest", dir.display());
    let pushed = push(&place, &[&source, &third, "--json"]).ok();
    assert_eq!(how(&report(&pushed)), ["mounted"; 4], "{}", pushed.describe());

    let other = Place::new();
    let elsewhere = Registry::start(&other, false);
    let target = format!("{}/first/repository:v1", elsewhere.host);
    assert_eq!(how(&report(&push(&place, &[&name, &target, "--json"]).ok())), ["sent"; 4]);
    assert_eq!(blobs(&fetched(&other, &target, "fetched", false)), blobs(&dir));
    // Its own name is the target if there is no other.
    drop(registry);
    let unreachable = push(&place, &[&name]).run();
    assert!(unreachable.error(&[9]).contains("cannot push blob"), "{}", unreachable.describe());
    let unknown = push(&place, &[&format!("{}/never/pulled", elsewhere.host)]).run();
    assert!(unknown.error(&[3]).contains("the store has no image"), "{}", unknown.describe());
    place.assert_no_leftovers(&[]);
}

#[test]
fn damaged_in_the_store() {
    let place = Place::with(&small("damaged"));
    let registry = Registry::start(&place, false);
    let name = registry.push(&place, "a:b");
    cvbake(&place, &["pull", &name]).ok();
    drop(registry);
    let other = Place::new();
    let registry = Registry::start(&other, false);
    let largest = crate::support::bake::files_below(&place.store().join("blobs"));
    let blob = largest.iter().find(|path| fs::read(path).unwrap().starts_with(&[0x1f, 0x8b])).unwrap();
    let mut bytes = fs::read(blob).unwrap();
    bytes[20] ^= 1;
    fs::write(blob, bytes).unwrap();
    let target = format!("{}/a:b", registry.host);
    let pushed = push(&place, &[&name, &target]).run();
    let message = pushed.error(&[3]);
    assert!(message.contains(&format!(" docker://{name}: blob sha256:")), "{}", pushed.describe());
    assert!(!message.contains(&registry.host), "the registry has done nothing: {}", pushed.describe());
    assert!(pushed.stderr.contains("is damaged, and was removed"), "{}", pushed.describe());
    let mut inspect = tool("skopeo", "skopeo");
    inspect.args(["inspect", "--tls-verify=false", &format!("docker://{target}")]);
    assert!(!crate::support::tools::run(&mut inspect).status.success(), "no tag for half an image");
}

#[test]
fn damaged_in_an_archive() {
    let place = Place::with(&small("damaged"));
    let registry = Registry::start(&place, false);
    let target = format!("{}/a:b", registry.host);
    let layout = place.path().join("image");
    let blobs = crate::support::bake::files_below(&layout.join("blobs"));
    let layer = blobs.iter().find(|path| !fs::read(path).unwrap().starts_with(b"{")).unwrap();
    let digest = layer.file_name().unwrap().to_str().unwrap().to_owned();
    let mut bytes = fs::read(layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(layer, bytes).unwrap();
    let archive = place.path().join("image.tar");
    fs::write(&archive, tar_directory(&layout)).unwrap();
    for source in [format!("oci:{}", layout.display()), format!("oci-archive:{}", archive.display())] {
        let pushed = push(&place, &[&source, &target]).run();
        let message = pushed.error(&[4]);
        assert!(message.contains(&format!(" {source}: blob sha256:{digest}: ")), "{}", pushed.describe());
        assert!(!message.contains(&registry.host), "the registry has done nothing: {}", pushed.describe());
        assert!(pushed.stderr.contains("fetch the image again"), "{}", pushed.describe());
    }
}

fn two_platforms() -> Images {
    let mut images = small("for amd64");
    images.images[0].platform = Some("linux/amd64".to_owned());
    let mut other = small("for arm64").images.remove(0);
    other.platform = Some("linux/arm64".to_owned());
    images.images.push(other);
    images
}

#[test]
fn an_index() {
    let place = Place::with(&two_platforms());
    let registry = Registry::start(&place, false);
    let (source, name) = (layout(&place), format!("{}/both:v1", registry.host));
    let pushed = push(&place, &[&source, &name, "--all", "--json"]).ok();
    assert_eq!(report(&pushed)["manifests"].as_array().unwrap().len(), 3);
    let dir = fetched(&place, &name, "fetched", true);
    assert_eq!(blobs(&dir), blobs(&place.path().join("image")), "both images and the index");

    // What was pulled for one platform is not all of the index, and this registry wants all.
    cvbake(&place, &["pull", &name]).ok();
    let partial = push(&place, &[&name, &format!("{}/partial:v1", registry.host), "--all"]).run();
    let line = partial.error(&[9]);
    assert!(line.contains("status 400") && line.contains("MANIFEST_BLOB_UNKNOWN"), "{}", partial.describe());
    assert!(partial.warnings()[0].contains("linux/arm64"), "{}", partial.describe());
    assert!(line.contains("the index lists 1 manifest that is neither here nor in the registry"), "{line}");
    let hint = format!(
        "hint: `cvbake pull --all {name} --store {}` fetches what is missing; leave out --all ",
        place.store().display()
    );
    assert!(partial.stderr.contains(&hint), "{}", partial.describe());
    // A pull completes no layout.
    let elsewhere = Place::with(&two_platforms());
    let blob = |digest: &str| elsewhere.path().join("image/blobs").join(digest.replace(':', "/"));
    let read = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    let top = read(&elsewhere.path().join("image/index.json"));
    let index = read(&blob(top["manifests"][0]["digest"].as_str().unwrap()));
    fs::remove_file(blob(index["manifests"][1]["digest"].as_str().unwrap())).unwrap();
    let partial = push(&place, &[&layout(&elsewhere), &format!("{}/partial:v1", registry.host), "--all"]).run();
    partial.error(&[9]);
    let hint = partial.stderr.split("hint: ").last();
    assert_eq!(hint, Some("leave out --all to push the image for one platform\n"), "{}", partial.describe());
    // Where the rest is already, nothing is missing.
    push(&place, &[&name, &format!("{}/both:v2", registry.host), "--all"]).ok();
    // What it takes is fetched, and it works.
    cvbake(&place, &["pull", "--all", &name]).any_platform().ok();
    push(&place, &[&name, &format!("{}/partial:v1", registry.host), "--all"]).ok();

    let one = format!("{}/one:v1", registry.host);
    let pushed = push(&place, &[&source, &one, "--platform", "linux/arm64", "--json"]).ok();
    assert_eq!(report(&pushed)["manifests"].as_array().unwrap().len(), 1);
    cvbake(&place, &["pull", &one]).platform("linux/arm64").ok();
    assert!(cvbake(&place, &["pull", &one]).run().error(&[4]).contains("linux/arm64"));
}

#[test]
fn archives() {
    let images = varied();
    let place = Place::with(&images);
    let registry = Registry::start(&place, false);
    let path = place.path().join("image.tar");
    fs::write(&path, Compression::Gzip.compress(&tar_directory(&place.path().join("image")))).unwrap();
    let name = format!("{}/oci:v1", registry.host);
    push(&place, &[&format!("oci-archive:{}", path.display()), &name]).ok();
    assert_eq!(blobs(&fetched(&place, &name, "oci", false)), blobs(&place.path().join("image")));

    fs::write(&path, docker_archive(&images.images[0], &["a/b:c"], true)).unwrap();
    let name = format!("{}/docker:v1", registry.host);
    let source = format!("docker-archive:{}", path.display());
    let first = report(&push(&place, &[&source, &name, "--json"]).ok());
    assert_eq!(how(&first), ["sent"; 4]);
    let again = report(&push(&place, &[&source, &name, "--json"]).ok());
    assert_eq!((how(&again), &again["image"]), (vec!["present"; 4], &first["image"]), "the same manifest each time");
    let bytes = first["sent_bytes"].as_u64().unwrap();
    assert!(bytes < path.metadata().unwrap().len() * 9 / 10, "compressed: {bytes}");
    // Imported it is the same image.
    let imported = Bake::of(&["image", "import", &source, "same:v1", "--store"]).arg(place.store());
    imported.env("HOME", place.path().join("home")).ok();
    let same = report(&push(&place, &["same:v1", &name, "--json"]).ok());
    assert_eq!((how(&same), &same["image"]), (vec!["present"; 4], &first["image"]));
    // The same files, wherever they have been.
    place.bake_source(&source).ok();
    let expected = crate::support::ext4::listing(&place.disk());
    cvbake(&place, &["pull-and-build", &name, "--force", "-o"]).arg(place.disk()).ok();
    crate::support::seen::assert_same(
        "pushed (+) and not (-)",
        &crate::support::ext4::listing(&place.disk()),
        &expected,
    );
}

#[test]
fn passwords() {
    let place = Place::with(&small("secret"));
    let registry = Registry::start(&place, true);
    let (source, name) = (layout(&place), format!("{}/a:b", registry.host));
    let denied = push(&place, &[&source, &name]).run();
    assert!(denied.error(&[3]).contains("access denied (status 401"), "{}", denied.describe());
    assert!(denied.stderr.contains("cvbake login 127.0.0.1:"), "{}", denied.describe());
    push(&place, &[&source, &name, "--creds", "user:wrong"]).run().error(&[3]);
    push(&place, &[&source, &name, "--creds", "user:secret"]).ok();
    assert_eq!(blobs(&fetched(&place, &name, "fetched", false)), blobs(&place.path().join("image")));
}

#[test]
fn command_lines() {
    let place = Place::with(&small("x"));
    let source = layout(&place);
    for (args, text) in [
        (&[source.as_str()][..], "no name to push"),
        (&["tar:-", "localhost:1/x"], "is a root filesystem, not an image"),
        (&[source.as_str(), "oci:elsewhere"], "is not the name of an image in a registry"),
        (
            &[source.as_str(), "localhost:1/x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            "the name asks for the digest sha256:e3b0",
        ),
    ] {
        let outcome = push(&place, args).run();
        assert!(outcome.error(&[2]).contains(text), "{}", outcome.describe());
    }
    push(&place, &[&source, "localhost:1/x", "--chunk-size", "1K"]).run().error(&[2]);
    // What is wrong with the source is told of the source, and before anything is connected to.
    for (source, text, hint) in [
        ("oci:/nowhere/x", "cannot open /nowhere/x: ", ""),
        ("nowhere/x:1", "the store has no image \"nowhere/x:1\"", "`cvbake pull --store "),
    ] {
        let outcome = push(&place, &[source, "localhost:1/y"]).run();
        let line = outcome.error(&[3]);
        assert!(line.contains(text) && !line.contains("localhost:1/y"), "{}", outcome.describe());
        assert!(outcome.stderr.contains(hint), "{}", outcome.describe());
    }
    let exported = push(&place, &[&source, "oci:elsewhere"]).run();
    assert!(exported.stderr.contains("`cvbake image export oci:"), "{}", exported.describe());
}

#[test]
fn configured_registries() {
    let place = Place::with(&small("x"));
    let registry = Registry::start(&place, false);
    let (source, name) = (layout(&place), format!("{}/a:b", registry.host));
    let conf = place.path().join("registries.conf");
    let write =
        |more: &str| fs::write(&conf, format!("[[registry]]\nlocation = \"{}\"\n{more}\n", registry.host)).unwrap();
    write("blocked = true");
    let blocked = push(&place, &[&source, &name, "--registries-conf"]).arg(&conf).run();
    assert!(blocked.error(&[3]).contains("blocked"), "{}", blocked.describe());
    // A mirror is for pulling.
    write("[[registry.mirror]]\nlocation = \"127.0.0.1:1\"");
    push(&place, &[&source, &name, "--registries-conf"]).arg(&conf).ok();
}
