//! Images that other programs made, or carried from one form into another.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::bake::{Place, as_user, own};
use crate::support::image::{Compression, Layer};
use crate::support::tools::{needs_mounts, succeed, tool};
use crate::support::{ext4, oracle, sample, seen};

fn skopeo(place: &Place, args: &[&str], from: &str, to: &str) {
    let mut command = tool("skopeo", "skopeo");
    command.env("HOME", place.path().join("home")).env("TMPDIR", place.path().join("home"));
    succeed(command.args(["--insecure-policy", "copy"]).args(args).args([from, to]));
}

#[test]
fn copies_by_skopeo() {
    // Docker's formats have no zstd.
    let mut images = sample::varied();
    for layer in &mut images.images[0].layers {
        *layer = Layer::from_bytes(std::mem::take(&mut layer.tar), Compression::Gzip);
    }
    let place = Place::with(&images);
    place.bake().ok();
    let expected = oracle::agreed_listing(&place.disk());
    let layout = format!("oci:{}:latest", place.path().join("image").display());
    let at = |name: &str| place.path().join(name).display().to_string();
    let copies: [(&[&str], String, String); 5] = [
        (&[], format!("oci-archive:{}:v1", at("a.tar")), format!("oci-archive:{}:v1", at("a.tar"))),
        (&[], format!("docker-archive:{}:name:v1", at("d.tar")), format!("docker-archive:{}:name:v1", at("d.tar"))),
        (&[], format!("docker-archive:{}", at("e.tar")), format!("docker-archive:{}", at("e.tar"))),
        (&["--dest-compress-format", "zstd"], format!("oci:{}:v1", at("zstd")), format!("oci:{}", at("zstd"))),
        (&["--dest-decompress"], format!("oci:{}:v1", at("plain")), format!("oci:{}:v1", at("plain"))),
    ];
    for (args, to, source) in copies {
        skopeo(&place, args, &layout, &to);
        place.bake_source(&source).arg("--force").ok();
        seen::assert_same(&source, &ext4::listing(&place.disk()), &expected);
        place.assert_no_leftovers(&["disk.ext4"]);
    }
}

/// A bundle of umoci's, changed and packed again, all as an ordinary user.
#[test]
fn an_image_by_umoci() {
    let place = Place::new();
    let work = place.writable("work");
    let umoci = |args: &[&str]| {
        let mut command = as_user("umoci", "umoci");
        succeed(command.args(args).current_dir(&work).env("HOME", place.path().join("home")));
    };
    let root = work.join("bundle/rootfs");
    umoci(&["init", "--layout", "image"]);
    umoci(&["new", "--image", "image:one"]);
    umoci(&["unpack", "--rootless", "--image", "image:one", "bundle"]);
    let file = |path: &str, content: &[u8], mode: u32| {
        std::fs::write(root.join(path), content).unwrap();
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        own(&root.join(path));
    };
    let dir = |path: &str| {
        std::fs::create_dir(root.join(path)).unwrap();
        own(&root.join(path));
    };
    for path in ["bin", "etc", "var", "var/empty", "var/gone"] {
        dir(path);
    }
    file("bin/tool", &crate::support::text::noise(100_000, 5), 0o755);
    file("etc/removed", b"removed", 0o600);
    file("etc/changed", b"old", 0o644);
    file("var/gone/file", b"gone", 0o644);
    std::fs::hard_link(root.join("bin/tool"), root.join("bin/second")).unwrap();
    symlink("tool", root.join("bin/link")).unwrap();
    own(&root.join("bin/link"));
    // umoci writes whole seconds, rounded.
    let settle = || {
        let mut command = tool("find", "findutils");
        succeed(command.arg(&root).args(["-exec", "touch", "-h", "-d", "@1600000000", "{}", "+"]));
    };
    settle();
    umoci(&["repack", "--refresh-bundle", "--image", "image:two", "bundle"]);
    std::fs::remove_file(root.join("etc/removed")).unwrap();
    std::fs::remove_dir_all(root.join("var/gone")).unwrap();
    file("etc/changed", b"new and longer", 0o640);
    settle();
    umoci(&["repack", "--image", "image:latest", "bundle"]);

    place.bake_source(&format!("oci:{}:latest", work.join("image").display())).ok();
    let found = oracle::agreed_listing(&place.disk());
    // What stands in the bundle, whose owner umoci takes for root.
    let owner = std::fs::metadata(root.join("bin")).unwrap();
    let expected = oracle::listing_of(&root).replace(&format!(" {}:{} ", owner.uid(), owner.gid()), " 0:0 ");
    // Neither access nor change times are in the image, and the root's own line is umoci's affair.
    let kept = |word: &&str| !word.starts_with("atime=") && !word.starts_with("ctime=");
    let rough = |listing: &str| -> String {
        let lines = listing.lines().skip(1).map(|line| line.split(' ').filter(kept).collect::<Vec<_>>().join(" "));
        lines.map(|line| line + "\n").collect()
    };
    seen::assert_same("umoci's bundle (-) and the disk (+)", &rough(&found), &rough(&expected));
    assert!(found.contains("/bin/link link") && !found.contains("gone") && !found.contains("removed"), "{found}");
}

fn buildah(place: &Path) -> Command {
    let mut command = tool("buildah", "buildah");
    command.args(["--storage-driver", "vfs", "--root"]).arg(place.join("storage")).arg("--runroot");
    command.arg(place.join("run")).env("BUILDAH_ISOLATION", "chroot").env("HOME", place);
    command
}

/// Two layers of buildah's, committed in OCI's and in Docker's formats.
#[test]
fn an_image_by_buildah() {
    if !needs_mounts("buildah without a user namespace of its own") {
        return;
    }
    let place = Place::new();
    let work = place.path().join("work");
    std::fs::create_dir_all(work.join("tree/usr/lib")).unwrap();
    std::fs::write(work.join("tree/usr/lib/file"), b"content").unwrap();
    std::fs::write(work.join("tree/setuid"), b"program").unwrap();
    symlink("usr/lib", work.join("tree/lib")).unwrap();
    std::fs::write(work.join("added"), b"added").unwrap();
    let run = |args: &[&str]| succeed(buildah(&work).args(args).current_dir(&work));
    run(&["from", "--name", "one", "scratch"]);
    run(&["add", "--chown", "7:8", "one", "tree", "/"]);
    run(&["add", "--chmod", "4755", "one", "tree/setuid", "/setuid"]);
    run(&["commit", "one", "first"]);
    run(&["from", "--name", "two", "--pull-never", "first"]);
    run(&["add", "--chown", "100000:200000", "two", "added", "/lib/added"]);
    let archive = |kind: &str, file: &str| format!("{kind}:{}", work.join(file).display());
    let mut listings = Vec::new();
    for (format, to) in [
        ("oci", archive("oci", "layout") + ":latest"),
        ("oci", archive("oci-archive", "oci.tar") + ":latest"),
        ("docker", archive("docker-archive", "docker.tar") + ":name:latest"),
    ] {
        run(&["commit", "--format", format, "two", &to]);
        place.bake_source(&to).arg("--force").ok();
        let listing = oracle::agreed_listing(&place.disk());
        for wanted in [
            "/usr/lib/file file 0644 7:8 ",
            "/setuid file 4755 ",
            "/lib link 0777 7:8 ",
            "/usr/lib/added file 0644 100000:200000 ",
        ] {
            assert!(listing.lines().any(|line| line.starts_with(wanted)), "{to}: {wanted}\n{listing}");
        }
        listings.push(listing);
    }
    assert!(listings.iter().all(|listing| listing.lines().count() == listings[0].lines().count()), "{listings:?}");
}
