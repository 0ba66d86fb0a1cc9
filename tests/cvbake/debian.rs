//! A real image, made by programs that we did not write: Debian by `debootstrap`, packed and
//! changed by `umoci`, baked by an ordinary user, and compared with what `umoci` unpacks as root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::bake::{Place, USER};
use crate::support::oracle::{Mount, fsck, listing_of};
use crate::support::seen;
use crate::support::tools::{needs_mounts, succeed, tool};

/// A minimal system, fetched once per build directory.
fn debian() -> PathBuf {
    let whole = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    if !whole.exists() {
        let partial = whole.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        let mut command = tool("debootstrap", "debootstrap");
        command.args(["--variant=minbase", &release()]).arg(&partial).args(mirror());
        // debootstrap looks for its helpers in the search path.
        succeed(command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
        fs::rename(&partial, &whole).unwrap();
    }
    whole
}

/// The name of the release that this machine runs, because its mirror has that one.
fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.expect("Debian and Ubuntu name their releases").trim_matches('"').to_owned()
}

/// The mirror that this machine has its base system from; debootstrap's own default if apt doesn't
/// know.
fn mirror() -> Option<String> {
    let policy = succeed(tool("apt-cache", "apt").args(["policy", "base-files"]));
    let suite = format!("{}/main", release());
    let line = policy.lines().find(|line| line.split(' ').any(|word| word == suite))?;
    line.split(' ').find(|word| word.starts_with("http")).map(str::to_owned)
}

fn umoci(args: &[&str], image: &Path, tag: &str, rest: &[&Path]) {
    let mut command = tool("umoci", "umoci");
    command.args(args).arg("--image").arg(format!("{}:{tag}", image.display()));
    succeed(command.args(rest));
}

/// An image of two layers: the system, and changes of every kind to it.
fn image(place: &Place) -> PathBuf {
    let (image, bundle) = (place.path().join("image"), place.path().join("bundle"));
    succeed(tool("umoci", "umoci").args(["init", "--layout"]).arg(&image));
    umoci(&["new"], &image, "base", &[]);
    umoci(&["unpack"], &image, "base", &[&bundle]);
    let root = bundle.join("rootfs");
    fs::remove_dir(&root).unwrap();
    succeed(tool("cp", "coreutils").arg("-a").arg(debian()).arg(&root));
    umoci(&["repack", "--refresh-bundle"], &image, "base", &[&bundle]);

    fs::remove_dir_all(root.join("usr/share/doc")).unwrap();
    fs::remove_file(root.join("etc/hostname")).unwrap();
    fs::create_dir_all(root.join("usr/share/doc/new")).unwrap();
    fs::write(root.join("usr/share/doc/new/file"), "new\n").unwrap();
    fs::write(root.join("etc/motd"), vec![b'm'; 1_000_000]).unwrap();
    fs::hard_link(root.join("etc/motd"), root.join("srv/motd")).unwrap();
    symlink("/etc/motd", root.join("srv/link")).unwrap();
    succeed(tool("mknod", "coreutils").arg(root.join("srv/device")).args(["c", "500", "70000"]));
    succeed(tool("chown", "coreutils").args(["-h", "70000:80000"]).arg(root.join("srv/link")));
    succeed(tool("chmod", "coreutils").arg("4711").arg(root.join("usr/bin/env")));
    // cap_net_raw, permitted and effective, as setcap writes it.
    let capability = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
    let set = |file: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(file), OsStr::new(name), value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("usr/bin/id", "security.capability", &capability);
    set("etc/motd", "user.note", b"with\nnewline");
    umoci(&["repack"], &image, "latest", &[&bundle]);
    image
}

/// Access and change times are not in these images.
fn without_other_times(listing: &str) -> String {
    let keep = |word: &&str| !word.starts_with("atime=") && !word.starts_with("ctime=");
    listing.lines().map(|line| line.split(' ').filter(keep).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn debian_by_others() {
    if !needs_mounts("debootstrap, and umoci with all owners") {
        return;
    }
    let place = Place::new();
    let image = image(&place);
    // umoci writes for its own user only.
    succeed(tool("chown", "coreutils").args(["-R", &USER.to_string()]).arg(&image));
    place.bake().ok();
    fsck(&place.disk());
    let unpacked = place.path().join("unpacked");
    umoci(&["unpack"], &image, "latest", &[&unpacked]);
    let expected = without_other_times(&listing_of(&unpacked.join("rootfs")));
    assert!(expected.lines().count() > 3000, "a whole system");
    let mount = Mount::read_only(&place.disk());
    seen::assert_same(
        "Debian, as umoci unpacks it (-) and as it is on the disk (+)",
        &without_other_times(&mount.listing()),
        &expected,
    );
}
