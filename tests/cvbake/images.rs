//! Images that the program writes for others: read by programs that we did not write, and by
//! itself.

use std::path::Path;

use crate::support::bake::{Bake, Place, names};
use crate::support::image::{Compression, Images, digest};
use crate::support::tools::{needs_mounts, needs_root, succeed, tool};
use crate::support::{ext4, sample, seen};

/// A run of `cvbake image` with the place's own store.
pub(crate) fn image(place: &Place, args: &[&str]) -> Bake {
    let bake = Bake::of(&["image"]).args(args).store(&place.store()).env("HOME", place.path().join("home"));
    if ["export", "import"].contains(&args[0]) { bake.progress("none") } else { bake }
}

pub(crate) fn source(place: &Place) -> String {
    format!("oci:{}:latest", place.path().join("image").display())
}

fn out(place: &Place, name: &str) -> String {
    place.path().join("out").join(name).display().to_string()
}

/// Exports the place's image.
fn export(place: &Place, target: &str) -> Bake {
    image(place, &["export", &source(place), target, "--platform", "linux/amd64"])
}

pub(crate) fn skopeo(args: &[&str]) -> String {
    succeed(tool("skopeo", "skopeo").arg("--insecure-policy").args(args))
}

/// Whether skopeo takes a target here. It unpacks an OCI archive with its owners, and those of ours
/// are root's for everybody, as the same image gives the same archive.
fn skopeo_reads(target: &str) -> bool {
    !target.starts_with("oci-archive:") || needs_root("skopeo, on OCI archives")
}

pub(crate) fn listing(place: &Place, source: &str) -> String {
    place.bake_source(source).arg("--force").ok();
    ext4::listing(&place.disk())
}

fn manifest_digest(place: &Place) -> String {
    let raw = skopeo(&["inspect", "--raw", &source(place)]);
    digest("sha256", raw.as_bytes())
}

#[test]
fn layouts_and_archives_hold_the_same_bytes() {
    let place = Place::with(&sample::varied());
    let expected = manifest_digest(&place);
    for target in ["oci:{dir}:a", "oci-archive:{tar}:a", "oci-archive:{tar}.gz:a", "oci-archive:{tar}.zst:a"] {
        let target = target.replace("{dir}", &out(&place, "layout")).replace("{tar}", &out(&place, "image.tar"));
        let told = export(&place, &target).ok();
        assert!(told.stdout.contains(&expected), "{}", told.describe());
        if !target.ends_with(".zst:a") && skopeo_reads(&target) {
            let found = digest("sha256", skopeo(&["inspect", "--raw", &target]).as_bytes());
            assert_eq!(found, expected, "{target}");
            // Every blob is looked at.
            let copy = format!("dir:{}", place.path().join("copy").display());
            skopeo(&["copy", "-q", "--preserve-digests", &target, &copy]);
        }
        assert_eq!(listing(&place, &target), listing(&place, &source(&place)), "{target}");
    }
    let written = names(&place.path().join("out"));
    assert_eq!(written, ["disk.ext4", "image.tar", "image.tar.gz", "image.tar.zst", "layout"]);
    assert_eq!(names(&place.path().join("out/layout")), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn archives_are_the_same_each_time() {
    let place = Place::with(&sample::varied());
    for target in ["oci-archive:{}", "docker-archive:{}:a:1", "tar:{}", "tar:{}.gz", "tar:{}.zst"] {
        let bytes = |name: &str| {
            let target = target.replace("{}", &out(&place, name));
            export(&place, &target).args(["--force"]).ok();
            let written = names(&place.path().join("out"));
            let file = written.iter().find(|file| file.starts_with(name)).expect("a file");
            let path = place.path().join("out").join(file);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            bytes
        };
        assert!(bytes("one") == bytes("two"), "{target}");
    }
}

#[test]
fn docker_archives_are_read_by_others() {
    let place = Place::with(&sample::varied());
    let expected = listing(&place, &source(&place));
    let target = format!("docker-archive:{}", out(&place, "docker.tar"));
    export(&place, &format!("{target}:example.com/a/b:1")).ok();
    let config = skopeo(&["inspect", "--config", "--raw", &source(&place)]);
    assert_eq!(skopeo(&["inspect", "--config", "--raw", &target]), config, "the configuration, byte for byte");
    let tags = skopeo(&["list-tags", &target]);
    assert!(tags.contains("example.com/a/b:1"), "{tags}");
    seen::assert_same("docker-archive", &listing(&place, &target), &expected);
    // Through skopeo, which holds every layer to its diff_id.
    let copy = format!("oci:{}:x", place.path().join("copy").display());
    skopeo(&["copy", "-q", &target, &copy]);
    seen::assert_same("docker-archive, by way of skopeo", &listing(&place, &copy), &expected);
}

/// Equal layers are one file, as often as they are needed.
#[test]
fn docker_archives_with_equal_layers() {
    let layer = |text: &str| sample::layer(text, Compression::Gzip);
    let layers = vec![layer("file f \"1\""), layer("file .wh.f"), layer("file f \"1\""), layer("file g \"2\"")];
    let place = Place::with(&Images::of(layers));
    let expected = listing(&place, &source(&place));
    let target = format!("docker-archive:{}", out(&place, "equal.tar"));
    export(&place, &target).ok();
    seen::assert_same("equal layers", &listing(&place, &target), &expected);
    let copy = format!("oci:{}:x", place.path().join("copy").display());
    skopeo(&["copy", "-q", &target, &copy]);
    seen::assert_same("equal layers, by way of skopeo", &listing(&place, &copy), &expected);
}

#[test]
fn several_images_of_a_layout() {
    let (one, two) = (Place::with(&sample::small("one")), Place::with(&sample::small("two")));
    let layout = out(&one, "layout");
    let add = |place: &Place, tag: &str| {
        let target = format!("oci:{layout}{tag}");
        let args = ["export", &source(place), &target, "--platform", "linux/amd64"];
        image(&one, &args).ok();
    };
    let found = |tag: &str| digest("sha256", skopeo(&["inspect", "--raw", &format!("oci:{layout}{tag}")]).as_bytes());
    add(&one, ":a");
    add(&one, ":b");
    add(&two, ":b");
    assert_eq!((found(":a"), found(":b")), (manifest_digest(&one), manifest_digest(&two)));
    // What skopeo adds stays, too.
    skopeo(&["copy", "-q", &source(&one), &format!("oci:{layout}:c")]);
    add(&two, ":a");
    assert_eq!((found(":a"), found(":c")), (manifest_digest(&two), manifest_digest(&one)));
    let mut umoci = tool("umoci", "umoci");
    succeed(umoci.args(["unpack", "--rootless", "--image", &format!("{layout}:b")]).arg(one.path().join("bundle")));
    assert!(one.path().join("bundle/rootfs").is_dir());
}

#[test]
fn nothing_is_replaced_unasked_and_nothing_left_behind() {
    let place = Place::with(&sample::small("x"));
    std::fs::create_dir(place.path().join("out/full")).unwrap();
    std::fs::write(place.path().join("out/full/file"), "mine").unwrap();
    std::fs::write(place.path().join("out/there"), "mine").unwrap();
    for transport in ["oci-archive", "docker-archive", "tar"] {
        let target = format!("{transport}:{}", out(&place, "there"));
        let outcome = export(&place, &target).run();
        assert!(outcome.error(&[6]).contains("exists already"), "{}", outcome.describe());
        assert!(outcome.stderr.contains("--force"), "{}", outcome.describe());
    }
    let outcome = export(&place, &format!("oci:{}", out(&place, "full"))).run();
    // It is the target that is wrong, and not what is exported.
    let line = outcome.error(&[6]);
    assert!(
        line.contains(&format!("error: {}: not an OCI image layout", out(&place, "full"))),
        "{}",
        outcome.describe()
    );
    assert!(outcome.stderr.contains("hint: export to a new or empty directory"), "{}", outcome.describe());
    let outcome = export(&place, &format!("oci:{}", out(&place, "no/such"))).run();
    let line = outcome.error(&[6]);
    assert!(line.contains(&format!("error: cannot write {}", out(&place, "no/such"))), "{}", outcome.describe());

    // A blob that is wrong, found out when half of the work is done.
    let bad = Place::with(&sample::varied());
    let blob = largest(&bad.path().join("image/blobs/sha256"));
    let mut bytes = std::fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    for target in ["oci:{}", "oci-archive:{}", "docker-archive:{}", "tar:{}"] {
        let outcome = export(&bad, &target.replace("{}", &out(&bad, "new"))).run();
        outcome.error(&[4]);
        assert_eq!(names(&bad.path().join("out")), [""; 0], "{target}");
    }
    assert_eq!(std::fs::read(place.path().join("out/there")).unwrap(), b"mine");
    assert_eq!(names(&place.path().join("out/full")), ["file"]);
}

/// A run that was killed leaves what the next one removes.
#[test]
fn what_a_killed_export_left_goes() {
    let place = Place::with(&sample::small("x"));
    place.writable("out/layout");
    let left = place.writable("out/layout/.cvbake-0123456789abcdef.tmp");
    // As it is made: others may read it, but only the owner has put the mark there.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&left, mode).unwrap();
    for file in [".cvbake-private", "sha256:00"] {
        std::fs::write(left.join(file), "half").unwrap();
    }
    export(&place, &format!("oci:{}", out(&place, "layout"))).ok();
    assert_eq!(names(&place.path().join("out/layout")), ["blobs", "index.json", "oci-layout"]);
}

fn largest(dir: &Path) -> std::path::PathBuf {
    let files = names(dir).into_iter().map(|name| dir.join(name));
    files.max_by_key(|path| path.metadata().unwrap().len()).expect("there are blobs")
}

#[test]
fn flattened_and_baked_again() {
    let place = Place::with(&sample::varied());
    let expected = listing(&place, &source(&place));
    for ending in ["tar", "tar.gz", "tar.zst"] {
        let file = out(&place, &format!("root.{ending}"));
        // The ending says what it is.
        export(&place, &file).ok();
        seen::assert_same(ending, &listing(&place, &format!("tar:{file}")), &expected);
    }
    let piped = out(&place, "piped");
    export(&place, "tar:-").args(["--compress", "gzip"]).shell(&format!("exec >{piped}")).ok();
    let bytes = |path: String| std::fs::read(path).unwrap();
    assert!(bytes(piped) == bytes(out(&place, "root.tar.gz")), "a stream gets what a file gets");
}

/// What GNU tar makes of it, asked of the kernel.
#[test]
fn flattened_and_unpacked_by_gnu_tar() {
    if !needs_root("unpacking owners, devices and attributes") {
        return;
    }
    let place = Place::with(&sample::varied());
    let file = out(&place, "root.tar");
    export(&place, &file).ok();
    let root = place.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let mut tar = tool("tar", "tar");
    tar.args([
        "-x",
        "-p",
        "--numeric-owner",
        "--same-owner",
        "--xattrs",
        "--xattrs-include=security.*",
        "-f",
        &file,
        "-C",
    ]);
    succeed(tar.arg(&root));
    let back = out(&place, "back.tar");
    let mut tar = tool("tar", "tar");
    tar.args([
        "-c",
        "--format=posix",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=security.*",
        "--sparse",
        "-f",
        &back,
    ]);
    succeed(tar.arg("-C").arg(&root).arg("."));
    let plain = |listing: String| -> Vec<String> {
        // Neither every filesystem nor every kernel here has these; times of access and change are
        // the unpacking's.
        let fields = |line: &str| {
            let keep = |field: &&str| {
                !["atime=", "ctime=", "xattr:user.", "xattr:trusted.", "xattr:system."]
                    .iter()
                    .any(|start| field.starts_with(start))
            };
            line.split(' ').filter(keep).collect::<Vec<_>>().join(" ")
        };
        listing.lines().map(fields).collect()
    };
    let expected = plain(listing(&place, &source(&place)));
    assert_eq!(plain(listing(&place, &format!("tar:{back}"))), expected);
}

#[test]
fn all_platforms() {
    let platform = |platform: &str, text: &str| {
        let mut image = sample::small(text).images.remove(0);
        image.platform = Some(platform.to_owned());
        image
    };
    let images = Images {
        images: vec![
            platform("linux/amd64", "one"),
            platform("linux/arm64", "two"),
            platform("windows/amd64", "three"),
        ],
        ..Images::default()
    };
    let place = Place::with(&images);
    let raw = |source: &str| digest("sha256", skopeo(&["inspect", "--raw", source]).as_bytes());
    for (target, transport) in [("all", "oci"), ("all.tar", "oci-archive")] {
        let target = format!("{transport}:{}:x", out(&place, target));
        image(&place, &["export", &source(&place), &target, "--all"]).ok();
        if skopeo_reads(&target) {
            assert_eq!(raw(&target), raw(&source(&place)), "the index itself");
        }
        for platform in ["linux/amd64", "linux/arm64"] {
            place.bake_source(&target).platform(platform).arg("--force").ok();
            let found = ext4::listing(&place.disk());
            place.bake().platform(platform).arg("--force").ok();
            seen::assert_same(platform, &found, &ext4::listing(&place.disk()));
        }
    }
    let target = format!("oci-archive:{}", out(&place, "arm.tar"));
    let report = image(&place, &["export", &source(&place), &target, "--platform", "linux/arm64", "--json"]).ok();
    assert!(report.stdout.contains(r#""platform":"linux/arm64""#), "{}", report.describe());
    if skopeo_reads(&target) {
        assert!(skopeo(&["inspect", "--config", &target]).contains("arm64"));
    }
}

#[test]
fn command_lines_that_make_no_sense() {
    let place = Place::with(&sample::small("x"));
    let source = source(&place);
    let cases: [(&[&str], i32); 6] = [
        (&[&source, "alpine"], 2),
        (&[&source, "tar:x", "--all"], 2),
        (&[&source, "docker-archive:x:@0"], 2),
        (&[&source, "oci:x", "--compress", "gzip"], 2),
        (&[&source, "tar:-", "--json"], 2),
        (&["sha256:0123", "oci:x"], 3),
    ];
    for (args, code) in cases {
        let outcome = image(&place, &[&["export"], args].concat()).run();
        outcome.error(&[code]);
        assert!(outcome.stderr.contains("cvbake: hint:"), "{}", outcome.describe());
    }
}

/// One image in each compression, as podman and buildah take them.
#[test]
fn podman_and_buildah_load_archives() {
    if !needs_mounts("a storage for podman and buildah") {
        return;
    }
    let place = Place::with(&Images::of(vec![
        sample::layer("dir etc\nfile etc/a \"a\"", Compression::Gzip),
        sample::layer("file etc/b \"b\"\nfile etc/.wh.a", Compression::Plain),
    ]));
    let docker = out(&place, "docker.tar");
    let oci = out(&place, "oci.tar");
    export(&place, &format!("docker-archive:{docker}:example.com/a/b:1")).ok();
    export(&place, &format!("oci-archive:{oci}:example.com/c/d:2")).ok();
    // Podman takes no directory for its state whose path is longer than 50 bytes.
    let storage = place.path().join("s");
    let run = |program: &str, args: &[&str]| {
        let mut command = tool(program, program);
        command.args(["--storage-driver", "vfs", "--root"]).arg(storage.join("root"));
        command.arg("--runroot").arg(storage.join("r")).env("HOME", &storage).env("TMPDIR", place.path());
        succeed(command.args(args))
    };
    let config = skopeo(&["inspect", "--config", "--raw", &source(&place)]);
    let id = digest("sha256", config.as_bytes());
    let id = id.strip_prefix("sha256:").expect("a digest");
    let said = run("podman", &["load", "-q", "-i", &docker]);
    assert!(said.contains("example.com/a/b:1"), "{said}");
    run("podman", &["load", "-q", "-i", &oci]);
    let list = run("podman", &["images", "--no-trunc", "--format", "{{.Id}} {{.Repository}}:{{.Tag}}"]);
    for name in ["example.com/a/b:1", "example.com/c/d:2"] {
        assert!(list.contains(&format!("{id} {name}")), "{name}: {list}");
    }
    let container = run("buildah", &["from", "--pull-never", "example.com/a/b:1"]);
    let mounted = run("buildah", &["mount", container.trim()]);
    assert_eq!(names(&Path::new(mounted.trim()).join("etc")), ["b"]);
    run("buildah", &["rm", container.trim()]);
}

/// Like any other program in a pipe: no complaint, nothing left behind, and a status that says
/// whether all was delivered.
#[test]
fn nobody_reads_to_the_end() {
    let place = Place::with(&sample::large());
    let pipe = |command: &str, reader: &str| {
        let script = format!("{{ {command}; echo $? >status; }} 2>said | {reader}");
        let mut shell = tool("sh", "dash");
        shell.current_dir(place.path()).args(["-c", &script]).env("HOME", place.path().join("home"));
        let read = succeed(&mut shell);
        let text = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
        (read, text("status").trim().to_owned(), text("said"))
    };
    let cvbake = crate::support::bake::binary().display().to_string();
    let store = place.path().join("mine").display().to_string();
    let export = format!("{cvbake} image export {} tar:- --platform linux/amd64 --store {store}", source(&place));
    for compress in ["none", "gzip", "zstd"] {
        for progress in ["none", "json"] {
            let command = format!("{export} --compress {compress} --progress {progress}");
            let (read, status, said) = pipe(&command, "head -c 5000 | wc -c");
            assert_eq!((read.trim(), status.as_str()), ("5000", "141"), "{command}: {said}");
            assert!(!said.contains("error") && (progress == "json" || said.is_empty()), "{command}: {said}");
            let (_, status, said) = pipe(&command, "cat >whole");
            assert_eq!(status, "0", "{command}: {said}");
        }
    }
    assert_eq!(names(&Path::new(&store).join("scratch")), [""; 0]);
    // What is told of work that is done may go unread.
    for command in ["image ls --json", "store stats", "man bake", "--help", "completions bash"] {
        let store = if command.contains("store") || command.contains("image") {
            format!("--store {store}")
        } else {
            String::new()
        };
        let (_, status, said) = pipe(&format!("{cvbake} {command} {store}"), "true");
        assert_eq!((status.as_str(), said.as_str()), ("0", ""), "{command}");
    }
}
