//! Images that come into the store from files, and what is told and done about them there.

use std::path::{Path, PathBuf};

use crate::images::{image, listing, skopeo, source};
use crate::support::bake::{Bake, Place, names as names_below};
use crate::support::image::{Compression, Edit, Image, Images, digest, docker_archive};
use crate::support::run::Outcome;
use crate::support::{sample, seen};

pub(crate) fn import(place: &Place, args: &[&str]) -> Bake {
    image(place, &[&["import"], args].concat())
}

/// Bakes an image of the store, and asks nobody for anything.
pub(crate) fn bake_stored(place: &Place, name: &str) -> Bake {
    place.bake_source(name).arg("--force")
}

fn stored_listing(place: &Place, name: &str) -> String {
    bake_stored(place, name).args(["--pull", "never"]).ok();
    crate::support::ext4::listing(&place.disk())
}

pub(crate) fn file(place: &Place, name: &str, bytes: &[u8]) -> PathBuf {
    let path = place.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub(crate) fn layout(place: &Place) -> String {
    format!("oci:{}", place.path().join("image").display())
}

/// Two steps with a layer and one without, in two layers.
fn with_history() -> Images {
    let new = r#""created":"2024-05-06T07:08:09.5Z","history":[{"created":"2024-05-06T07:08:08Z","created_by":"ADD root.tar / # buildkit"},{"created":"2024-05-06T07:08:09Z","created_by":"ENV A=\u001b[31mred","empty_layer":true,"comment":"by hand"},{"created_by":"RUN   make  all"}],"config":{"Labels":{"evil":"\u001b]0;x\u0007"},"Unknown":[1,{"x":null}]}"#;
    let edit = Edit { document: "config".to_owned(), old: br#""config":{}"#.to_vec(), new: new.as_bytes().to_vec() };
    let layers =
        vec![sample::layer("file a \"1\"", Compression::Gzip), sample::layer("file b \"2\"", Compression::Plain)];
    Images { images: vec![Image { layers, edits: vec![edit], ..Image::default() }], ..Images::default() }
}

#[test]
fn imported_and_exported_byte_for_byte() {
    let place = Place::with(&sample::varied());
    let expected = listing(&place, &source(&place));
    let raw = skopeo(&["inspect", "--raw", &source(&place)]);
    let manifest = digest("sha256", raw.as_bytes());
    let told = import(&place, &[&layout(&place), "team/app:v1"]).ok();
    assert!(told.stdout.contains(&manifest), "{}", told.describe());
    seen::assert_same("from the store", &stored_listing(&place, "team/app:v1"), &expected);
    // Without a flag it needs no network, either.
    bake_stored(&place, "team/app:v1").ok();

    let archive = format!("oci-archive:{}", place.path().join("out/image.tar").display());
    image(&place, &["export", "team/app:v1", &format!("{archive}:team/app:v2")]).ok();
    import(&place, &[&archive]).ok();
    let rows = json(&image(&place, &["ls", "--json"]).ok());
    assert_eq!(rows.matches(&manifest).count(), 2, "{rows}");
    let shown = image(&place, &["inspect", "--raw", "team/app:v2"]).ok();
    assert_eq!(shown.stdout, raw);
    seen::assert_same("once around", &stored_listing(&place, "team/app:v2"), &expected);
    image(&place, &["export", &manifest[..20], &format!("oci:{}", place.path().join("out/again").display())]).ok();
    let again = skopeo(&["inspect", "--raw", &format!("oci:{}", place.path().join("out/again").display())]);
    assert_eq!(again, raw);
}

fn json(outcome: &Outcome) -> String {
    outcome.stdout.clone()
}

#[test]
fn docker_archives_with_all_their_names() {
    let images = sample::varied();
    let place = Place::with(&images);
    let expected = listing(&place, &source(&place));
    let tar = docker_archive(&images.images[0], &["b:latest", "example.com/c:2"], true);
    let path = file(&place, "docker.tar", &tar);
    let from = format!("docker-archive:{}", path.display());
    let told = import(&place, &[&from]).ok();
    for name in ["docker.io/library/b:latest", "example.com/c:2"] {
        assert!(told.stdout.contains(name), "{}", told.describe());
        seen::assert_same(name, &stored_listing(&place, name), &expected);
    }
    // The configuration stays what it is, whatever layers are kept as.
    let config = skopeo(&["inspect", "--config", "--raw", &from]);
    assert_eq!(image(&place, &["inspect", "--raw-config", "b"]).ok().stdout, config);
    let back = format!("docker-archive:{}", place.path().join("out/back.tar").display());
    image(&place, &["export", "b", &back]).ok();
    assert_eq!(skopeo(&["inspect", "--config", "--raw", &back]), config);
    let unnamed = file(&place, "unnamed.tar", &docker_archive(&images.images[0], &[], false));
    let from = format!("docker-archive:{}", unnamed.display());
    assert!(import(&place, &[&from]).run().error(&[2]).contains("does not name the image"));
    import(&place, &[&from, "c"]).ok();
}

#[test]
fn root_filesystems_become_images() {
    let layer = sample::layer("dir d mode=0711\nfile d/f rand:9999:1 own=5:6\nlink l -> d", Compression::Plain);
    let place = Place::with(&Images::of(vec![layer.clone()]));
    let expected = listing(&place, &source(&place));
    let run = [
        "--cmd",
        r#"["-l"]"#,
        "--entrypoint",
        r#"["/bin/ls"]"#,
        "--env",
        "A=1",
        "--env",
        "B=\u{1b}",
        "--env",
        "A=2",
        "--workdir",
        "/d",
        "--user",
        "5:6",
        "--label",
        "org.example=x",
        "--platform",
        "linux/arm64",
    ];
    let mut digests = Vec::new();
    for (compression, ending) in
        [(Compression::Plain, "tar"), (Compression::Gzip, "tar.gz"), (Compression::Zstd, "tar.zst")]
    {
        let path = file(&place, &format!("root.{ending}"), &compression.compress(&layer.tar));
        let path = path.display().to_string();
        import(&place, &[&[path.as_str(), ending], &run[..]].concat()).env("SOURCE_DATE_EPOCH", "1700000000").ok();
        // A mere tar.gz would be taken for the name of a file.
        place
            .bake_source(&format!("docker://{ending}"))
            .platform("linux/arm64")
            .args(["--force", "--pull", "never"])
            .ok();
        seen::assert_same(ending, &crate::support::ext4::listing(&place.disk()), &expected);
        let config = image(&place, &["inspect", "--raw-config", ending]).ok().stdout;
        for part in [
            r#""created":"2023-11-14T22:13:20Z""#,
            r#""architecture":"arm64""#,
            r#""config":{"User":"5:6","Env":["A=2","B=\u001b"],"Entrypoint":["/bin/ls"],"Cmd":["-l"],"WorkingDir":"/d","Labels":{"org.example":"x"}}"#,
            layer.diff_id.as_str(),
        ] {
            assert!(config.contains(part), "{part}: {config}");
        }
        // As it came; what came plain is compressed.
        let manifest = image(&place, &["inspect", "--raw", ending]).ok().stdout;
        let kept = if ending == "tar.zst" { "tar+zstd" } else { "tar+gzip" };
        assert!(manifest.contains(kept), "{manifest}");
        digests.push(digest("sha256", manifest.as_bytes()));
        // The same again is the same image, whoever hands it over.
        let piped = import(&place, &[&["tar:-", "piped"], &run[..]].concat()).stdin(path.clone().into());
        piped.env("SOURCE_DATE_EPOCH", "1700000000").ok();
        let again = image(&place, &["inspect", "--raw", "piped"]).ok().stdout;
        assert_eq!(digest("sha256", again.as_bytes()), digests[digests.len() - 1]);
    }
    let plain = import(&place, &[&place.path().join("root.tar").display().to_string(), "plain", "--compress", "none"]);
    plain.ok();
    let manifest = image(&place, &["inspect", "--raw", "plain"]).ok().stdout;
    assert!(manifest.contains(r#"layer.v1.tar","#), "{manifest}");
    assert!(!image(&place, &["inspect", "--raw-config", "plain"]).ok().stdout.contains("created\":"), "no clock");
}

#[test]
fn listed() {
    let place = Place::with(&with_history());
    let none = image(&place, &["ls", "--json"]).ok();
    assert_eq!(none.stdout, "[]\n", "no store is no error");
    // A slip of the pen is seen, and that nothing was pulled yet is no slip.
    for args in [&["ls"][..], &["inspect", "a"], &["history", "a"], &["tag", "a", "b"], &["rm", "a"]] {
        let warnings = image(&place, args).run().warnings().join("\n");
        assert!(warnings.contains(&format!("there is no store at {}", place.store().display())), "{warnings}");
    }
    let usual = Bake::of(&["image", "ls"]).env("HOME", place.path().join("home"));
    assert_eq!(usual.ok().stderr, "");
    assert!(!place.store().exists(), "and none is made");
    import(&place, &[&layout(&place), "team/app:v1"]).ok();
    let manifest = digest("sha256", skopeo(&["inspect", "--raw", &source(&place)]).as_bytes());
    image(&place, &["tag", "team/app:v1", "alpine", "localhost:5000/x/app:v2"]).ok();
    let short = &manifest["sha256:".len()..][..12];
    let rows = image(&place, &["ls"]).ok().stdout;
    let size = rows.lines().nth(1).unwrap().split("2024-05-06  ").nth(1).unwrap().to_owned();
    let expected = format!(
        "REPOSITORY                TAG     DIGEST        PLATFORM     CREATED     SIZE\n\
         docker.io/library/alpine  latest  {short}  linux/amd64  2024-05-06  {size}\n\
         docker.io/team/app        v1      {short}  linux/amd64  2024-05-06  {size}\n\
         localhost:5000/x/app      v2      {short}  linux/amd64  2024-05-06  {size}\n"
    );
    assert_eq!(rows, expected);
    assert!(image(&place, &["ls", "--digests"]).ok().stdout.contains(&manifest));
    for (pattern, count) in [("alpine", 1), ("app", 2), ("app:v*", 2), ("team/app:v1", 1), ("*", 3), ("ap", 0)] {
        let found = image(&place, &["ls", "-q", pattern]).ok().stdout;
        assert_eq!(found.lines().count(), count, "{pattern}: {found}");
    }
    let format = image(&place, &["ls", "--format", r"{{.Repository}}:{{.Tag}}\t{{.Platform}}|{{.ID}}", "alpine"]).ok();
    assert_eq!(format.stdout, format!("docker.io/library/alpine:latest\tlinux/amd64|{short}\n"));
    image(&place, &["ls", "--format", "{{.Nothing}}"]).run().error(&[2]);
    let json = image(&place, &["ls", "--json", "alpine"]).ok().stdout;
    let bytes = json.split("\"bytes\":").nth(1).unwrap().split(',').next().unwrap();
    let expected = format!(
        r#"[{{"name":"docker.io/library/alpine:latest","repository":"docker.io/library/alpine","tag":"latest","digest":"{manifest}","media_type":"application/vnd.oci.image.manifest.v1+json","platforms":["linux/amd64"],"created":"2024-05-06T07:08:09.5Z","bytes":{bytes},"complete":true}}]"#
    );
    assert_eq!(json.trim_end(), expected);
}

#[test]
fn inspected() {
    let images = with_history();
    let place = Place::with(&images);
    import(&place, &[&layout(&place), "app"]).ok();
    let raw = skopeo(&["inspect", "--raw", &source(&place)]);
    let config = skopeo(&["inspect", "--config", "--raw", &source(&place)]);
    assert_eq!(image(&place, &["inspect", "--raw", "app"]).ok().stdout, raw);
    assert_eq!(image(&place, &["inspect", "--raw-config", "app"]).ok().stdout, config);
    let shown = image(&place, &["inspect", "app", &digest("sha256", raw.as_bytes())]).ok().stdout;
    // JSON escapes what moves a cursor.
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown}");
    let compact: String = shown.split('\n').map(str::trim_start).collect();
    let squeezed = compact.replace("\": ", "\":");
    let layer = |at: usize, media: &str| {
        let layer = &images.images[0].layers[at];
        format!(
            r#"{{"digest":"{}","media_type":"application/vnd.oci.image.layer.v1.{media}","bytes":{},"diff_id":"{}","stored":true}}"#,
            layer.digest,
            layer.blob.len(),
            layer.diff_id
        )
    };
    for part in [
        format!(r#""layers":[{},{}]"#, layer(0, "tar+gzip"), layer(1, "tar")),
        r#""Unknown":[1,{"x":null}]"#.to_owned(),
        r#""platform":"linux/amd64""#.to_owned(),
        format!(r#""manifest":{raw}"#),
    ] {
        assert_eq!(squeezed.matches(&part).count(), 2, "{part}: {squeezed}");
    }
    for named in ["library/app", "app:latest", "docker.io/library/app"] {
        assert_eq!(image(&place, &["inspect", "--raw", named]).ok().stdout, raw, "{named}");
    }
    let missing = image(&place, &["inspect", "aapp"]).run();
    missing.error(&[3]);
    assert!(missing.stderr.contains("docker.io/library/app:latest"), "{}", missing.describe());
}

#[test]
fn histories() {
    let images = with_history();
    let place = Place::with(&images);
    import(&place, &[&layout(&place), "app"]).ok();
    let short = |at: usize| images.images[0].layers[at].digest["sha256:".len()..][..12].to_owned();
    let size = |at: usize| format!("{} B", images.images[0].layers[at].blob.len());
    let text = image(&place, &["history", "app"]).ok().stdout;
    let rows: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    let plain = size(1);
    let plain = if images.images[0].layers[1].blob.len() >= 1024 { rows[1][2].to_owned() } else { plain };
    assert_eq!(rows[0], ["LAYER", "CREATED", "SIZE", "CREATED BY", "COMMENT"]);
    assert_eq!(rows[1], [short(1).as_str(), "-", &plain, "RUN make all"]);
    assert_eq!(rows[2], ["-", "2024-05-06", "-", r"ENV A=\u{1b}[31mred", "by hand"]);
    assert_eq!(rows[3], [short(0).as_str(), "2024-05-06", &size(0), "ADD root.tar / # buildkit"]);
    let json = image(&place, &["history", "--json", "app"]).ok().stdout;
    assert!(json.contains(r#""empty_layer":true,"layer":null,"diff_id":null,"bytes":null}"#), "{json}");
    assert!(json.contains(&images.images[0].layers[0].diff_id) && !json.contains('\u{1b}'), "{json}");
}

#[test]
fn tagged_and_removed() {
    let place = Place::with(&sample::small("x"));
    import(&place, &[&layout(&place), "a:1"]).ok();
    let manifest = image(&place, &["ls", "-q"]).ok().stdout.trim().to_owned();
    let tagged = image(&place, &["tag", "--json", "a:1", "b:2", "c/d"]).ok().stdout;
    assert_eq!(tagged, "{\"names\":[\"docker.io/library/b:2\",\"docker.io/c/d:latest\"]}\n");
    assert_eq!(image(&place, &["tag", &manifest[..16], "e"]).ok().stdout, "Tagged docker.io/library/e:latest\n");
    image(&place, &["tag", "a:1", "b@sha256:12"]).run().error(&[2]);
    image(&place, &["tag", "nothing", "x"]).run().error(&[3]);
    let names = || image(&place, &["ls", "--format", "{{.Name}}"]).ok().stdout;
    assert_eq!(names().lines().count(), 4);

    let several = image(&place, &["rm", &manifest]).run();
    assert!(several.error(&[2]).contains("docker.io/c/d:latest"), "{}", several.describe());
    image(&place, &["rm", "b:2", "nothing"]).run().error(&[3]);
    assert_eq!(names().lines().count(), 4, "all or none");
    let untagged = image(&place, &["rm", "b:2", "b:2"]).ok();
    assert_eq!(untagged.stdout, "Untagged docker.io/library/b:2\n");
    bake_stored(&place, "a:1").args(["--pull", "never"]).ok();
    let removed = image(&place, &["rm", "--force", "--json", &manifest["sha256:".len()..][..8]]).ok();
    let expected = format!(
        r#"{{"images":[{{"image":"{manifest}","untagged":["docker.io/c/d:latest","docker.io/library/a:1","docker.io/library/e:latest"],"removed":true}}],"freed_bytes":"#
    );
    assert!(removed.stdout.starts_with(&expected), "{}", removed.describe());
    assert_eq!(names_below(&place.store().join("blobs/sha256")), [""; 0], "what nothing needs goes");
    assert_eq!(names(), "");
    bake_stored(&place, "a:1").args(["--pull", "never"]).run().error(&[3]);
    place.assert_no_leftovers(&["disk.ext4"]);
}

/// One rule for all commands: the end of a name is enough where it is that of one image.
#[test]
fn images_by_the_ends_of_their_names() {
    let place = Place::with(&sample::small("x"));
    import(&place, &[&layout(&place), "ghcr.io/team/app:v1"]).ok();
    for named in ["app", "app:v1", "team/app", "ghcr.io/team/app"] {
        assert_eq!(image(&place, &["ls", "-q", named]).ok().stdout.lines().count(), 1, "{named}");
        for command in ["inspect", "history"] {
            image(&place, &[command, named]).ok();
        }
        // With its registry it is the name of an image there, of which the store need not have this
        // tag.
        if named.starts_with("ghcr.io") {
            continue;
        }
        let target = format!("oci:{}", place.path().join("out").join(named.replace('/', "-")).display());
        let told = image(&place, &["export", named, &target, "--pull", "never"]).ok();
        assert!(told.stdout.contains("ghcr.io/team/app:v1"), "{}", told.describe());
    }
    let digest = image(&place, &["ls", "-q"]).ok().stdout;
    assert_eq!(image(&place, &["ls", "-q", &digest["sha256:".len()..][..8]]).ok().stdout, digest);
    let rows = image(&place, &["ls", "--quiet", "--json"]).ok().stdout;
    assert_eq!(rows, image(&place, &["ls", "--json"]).ok().stdout);
    image(&place, &["tag", "app", "other.example/app:v2"]).ok();
    for args in [&["rm", "app"][..], &["inspect", "app"], &["export", "app", "oci:x"]] {
        let several = image(&place, args).run();
        let line = several.error(&[3]);
        assert!(line.contains("ghcr.io/team/app:v1, other.example/app:v2"), "{}", several.describe());
    }
    let removed = image(&place, &["rm", "app:v2"]).ok();
    assert_eq!(removed.stdout, "Untagged other.example/app:v2\n");
    image(&place, &["rm", "team/app"]).ok();
    assert_eq!(image(&place, &["ls", "-q"]).ok().stdout, "");
}

/// The store belongs to whoever runs the tests here, so that they can do what another run of the
/// program would.
#[test]
fn what_is_in_use_stays() {
    let place = Place::with(&sample::small("x"));
    import(&place, &[&layout(&place), "a:1"]).with_root().ok();
    let run = |args: &[&str]| image(&place, args).with_root();
    let digest = run(&["ls", "-q"]).ok().stdout;
    let store = cvbake::store::Store::open(&place.store(), &|_| {}).unwrap();
    let pin = store.pin([digest.trim().parse().unwrap()]).unwrap();
    let refused = run(&["rm", "a:1"]).run();
    assert!(refused.error(&[1]).contains("in use"), "{}", refused.describe());
    assert!(refused.stderr.contains("--force"), "{}", refused.describe());
    // A name may go as long as there is another.
    run(&["tag", "a:1", "b:1"]).ok();
    run(&["rm", "b:1"]).ok();
    run(&["rm", "--force", "a:1"]).ok();
    assert_eq!(run(&["ls", "-q"]).ok().stdout, "");
    drop(pin);
}

#[test]
fn several_platforms_in_the_store() {
    let platform = |platform: &str, text: &str| {
        let mut image = sample::small(text).images.remove(0);
        image.platform = Some(platform.to_owned());
        image
    };
    let images =
        Images { images: vec![platform("linux/amd64", "one"), platform("linux/arm64", "two")], ..Images::default() };
    let place = Place::with(&images);
    import(&place, &[&layout(&place), "all"]).ok();
    import(&place, &[&layout(&place), "arm", "--platform", "linux/arm64"]).ok();
    let found = image(&place, &["ls", "--format", "{{.Name}} {{.Platform}}"]).ok().stdout;
    assert_eq!(
        found,
        "docker.io/library/all:latest linux/amd64,linux/arm64\ndocker.io/library/arm:latest linux/arm64\n"
    );
    for platform in ["linux/amd64", "linux/arm64"] {
        place.bake_source("all").platform(platform).args(["--force", "--pull", "never"]).ok();
        let shown = image(&place, &["inspect", "all", "--platform", platform]).ok().stdout;
        assert!(shown.contains(&format!("\"platform\": \"{platform}\"")) && shown.contains("\"index\": {"), "{shown}");
    }
    let raw = image(&place, &["inspect", "--raw", "all", "--platform", "linux/arm64"]).ok().stdout;
    assert_eq!(raw, image(&place, &["inspect", "--raw", "arm"]).ok().stdout);
    // A source without documents is given some on its way into a layout.
    let root = place.path().join("out/root.tar").display().to_string();
    image(&place, &["export", "arm", &root, "--platform", "linux/arm64"]).ok();
    let target = format!("oci:{}:r", place.path().join("out/root").display());
    image(&place, &["export", &root, &target, "--platform", "linux/arm64"]).ok();
    assert!(skopeo(&["inspect", "--config", &target]).contains("arm64"));
    assert!(Path::new(&root).exists());
}
