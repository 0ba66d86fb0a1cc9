//! Disks read back: listed, copied out, compared with their image and with each other.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::bake::{Bake, Place, names};
use crate::support::sample;
use crate::support::tools::{is_root, succeed, tool};

fn place() -> Place {
    let place = Place::with(&sample::varied());
    place.bake().args(["--size", "+4M"]).ok();
    place
}

/// debugfs changes a copy of a disk.
fn changed(disk: &Path, name: &str, commands: &[&str]) -> PathBuf {
    let copy = disk.with_file_name(name);
    fs::copy(disk, &copy).unwrap();
    for command in commands {
        succeed(tool("debugfs", "e2fsprogs").args(["-w", "-R", command]).arg(&copy));
    }
    copy
}

fn cvbake(args: &[&str], paths: &[&Path]) -> Bake {
    paths.iter().fold(Bake::of(args), |bake, path| bake.arg(*path))
}

/// `DISK:PATH`.
fn on(disk: &Path, path: &str) -> PathBuf {
    PathBuf::from(format!("{}:{path}", disk.display()))
}

/// The listing without digests, and the path of a file of some bytes.
fn a_file(disk: &Path) -> (String, String) {
    let listing = cvbake(&["disk", "tree"], &[disk]).ok().stdout;
    let is_file = |line: &&str| {
        let size = line.split(" size=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("0");
        line.contains(" file ") && !line.contains('\\') && size.parse::<u64>().unwrap() >= 8
    };
    let line = listing.lines().find(is_file).expect("a file with content").to_owned();
    let path = line.split(' ').next().unwrap().to_owned();
    (listing, path)
}

#[test]
fn what_was_changed_is_found_and_named() {
    let place = place();
    let disk = place.disk();
    let same = place.verify(&disk).ok();
    assert!(same.stdout.contains(" is what "), "{}", same.describe());
    let (listing, path) = a_file(&disk);

    let differs = |disk: &Path, lines: &[&str]| {
        let outcome = place.verify(disk).run();
        let error = outcome.error(&[10]);
        assert!(error.contains(" differ at "), "{error}");
        for line in lines {
            assert!(outcome.stdout.lines().any(|found| found.starts_with(line)), "{line}: {}", outcome.describe());
        }
        assert_eq!(outcome.stdout.lines().count(), lines.len(), "{}", outcome.describe());
    };
    differs(&changed(&disk, "mode.ext4", &[&format!("sif {path} mode 0100001")]), &[&format!("~ {path} mode: ")]);
    differs(&changed(&disk, "owner.ext4", &[&format!("sif {path} uid 77")]), &[&format!("~ {path} owner: ")]);
    differs(
        &changed(&disk, "time.ext4", &[&format!("sif {path} mtime 20010203040506")]),
        &[&format!("~ {path} mtime: ")],
    );
    differs(
        &changed(&disk, "xattr.ext4", &[&format!("ea_set {path} user.new value")]),
        &[&format!("~ {path} xattr: - → user.new=76616c7565")],
    );
    differs(&changed(&disk, "added.ext4", &["mknod added p"]), &["+ /added fifo "]);
    if !listing.contains(" link:") || !listing.lines().any(|line| line.starts_with(&path) && line.contains(" link:")) {
        differs(&changed(&disk, "removed.ext4", &[&format!("rm {path}")]), &[&format!("- {path} file ")]);
    }

    // A byte of content, wherever it is.
    let flipped = changed(&disk, "flipped.ext4", &[]);
    let block = succeed(tool("debugfs", "e2fsprogs").args(["-R", &format!("bmap {path} 0")]).arg(&disk));
    let file = fs::OpenOptions::new().read(true).write(true).open(&flipped).unwrap();
    let offset = block.trim().parse::<u64>().unwrap() * 4096 + 3;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    differs(&flipped, &[&format!("~ {path} content: 3:")]);
    place.verify(&flipped).args(["--ignore", "content"]).ok();

    // The same in JSON, and of two disks.
    let outcome = place.verify(&flipped).arg("--json").run();
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &report["differing"]), (Some(10), &Value::from(1)));
    assert_eq!(report["differences"][0]["path"], path.as_str());
    assert_eq!(report["differences"][0]["fields"][0]["field"], "content");
    assert_eq!(report["has_its_uuid"], true);
    let outcome = cvbake(&["diff", "--json"], &[&disk, &flipped]).run();
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &report["differences"][0]["path"]), (Some(10), &Value::from(path.as_str())));
    assert_eq!(cvbake(&["diff"], &[&disk, &disk]).ok().stdout, "");
}

#[test]
fn another_image_is_another_disk() {
    let place = place();
    let other = Place::with(&sample::small("other"));
    let outcome = other.verify(&place.disk()).args(["--json"]).run();
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &report["has_its_uuid"]), (Some(10), &Value::from(false)));
}

/// Whatever the format, and whoever wrote it.
#[test]
fn every_format_and_both_engines() {
    let place = Place::with(&sample::varied());
    place.bake().ok();
    for (name, more) in [
        ("a.qcow2", &[][..]),
        ("a.vhd", &[]),
        ("b.vhd", &["--subformat", "fixed"]),
        ("a.vhdx", &[]),
        ("b.vhdx", &["--subformat", "fixed"]),
        ("mkfs.ext4", &["--engine", "mkfs"]),
    ] {
        let disk = place.path().join("out").join(name);
        place.bake().arg("-o").arg(&disk).arg("--verify").args(more).ok();
        place.verify(&disk).ok();
        assert_eq!(cvbake(&["diff"], &[&place.disk(), &disk]).ok().stdout, "", "{name}");
        let inspected = cvbake(&["inspect", "--json"], &[&disk]).ok().stdout;
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        let format = name.rsplit('.').next().unwrap().replace("ext4", "raw");
        assert_eq!(inspected["chain"][0]["format"], format.as_str(), "{inspected}");
        assert_eq!(inspected["filesystem"]["type"], "ext4", "{inspected}");
        assert!(cvbake(&["inspect"], &[&disk]).ok().stdout.contains("filesystem  ext4"));
    }
}

#[test]
fn files_come_out_as_they_went_in() {
    let place = place();
    let disk = place.disk();
    let (_, path) = a_file(&disk);
    let out = place.writable("copied");
    let printed = cvbake(&["disk", "cat"], &[&on(&disk, &path)]).ok().stdout;
    assert_eq!(cvbake(&["disk", "cp"], &[&on(&disk, &path), Path::new("-")]).ok().stdout, printed);
    cvbake(&["disk", "cp"], &[&on(&disk, &path), &out.join("file")]).ok();
    let copied = fs::read(out.join("file")).unwrap();
    assert_eq!(String::from_utf8_lossy(&copied), printed);

    cvbake(&["disk", "cp"], &[&on(&disk, "/"), &out.join("all")]).ok();
    assert_eq!(fs::read(out.join("all").join(&path[1..])).unwrap(), copied);
    let listed = cvbake(&["disk", "ls"], &[&disk]).ok().stdout;
    for name in names(&out.join("all")) {
        assert!(listed.lines().any(|line| line == name) || !name.is_ascii(), "{name} is in {listed}");
    }
    let long = cvbake(&["disk", "ls", "-l"], &[&on(&disk, "/")]).ok().stdout;
    assert_eq!(long.lines().count(), listed.lines().count());

    // What is there stays, unless it is to be replaced.
    cvbake(&["disk", "cp"], &[&on(&disk, &path), &out.join("file")]).run().error(&[6]);
    fs::write(out.join("file"), "mine").unwrap();
    cvbake(&["disk", "cp", "--force"], &[&on(&disk, &path), &out.join("file")]).ok();
    assert_eq!(fs::read(out.join("file")).unwrap(), copied);
    let preserved = out.join("preserved");
    cvbake(&["disk", "cp", "--preserve"], &[&on(&disk, &path), &preserved]).ok();
    let line = cvbake(&["disk", "tree"], &[&on(&disk, &path)]).ok().stdout;
    assert!(line.contains(&format!("mtime={}.", preserved.metadata().unwrap().mtime())), "{line}");
    cvbake(&["disk", "cp", "--owners"], &[&on(&disk, &path), &out.join("owned")]).run().error(&[2]);
    if is_root() {
        cvbake(&["disk", "cp", "--owners"], &[&on(&disk, &path), &out.join("owned")]).with_root().ok();
        let owned = out.join("owned").metadata().unwrap();
        assert!(line.contains(&format!(" {}:{} ", owned.uid(), owned.gid())), "{line}");
    }
}

/// A disk decides nothing about where on the host something is written.
#[test]
fn links_of_a_disk_lead_nowhere_on_the_host() {
    let place = place();
    let disk = place.disk();
    let outside = place.writable("outside");
    let target = outside.join("target");
    fs::write(&target, "untouched").unwrap();
    let [link, dir_link] = [target.display().to_string(), outside.display().to_string()];
    let hostile = changed(
        &disk,
        "hostile.ext4",
        &[
            "mkdir /h",
            &format!("symlink /h/link {link}"),
            &format!("symlink /h/dir {dir_link}"),
            "symlink /h/up ../../..",
        ],
    );
    let out = place.writable("copied");
    cvbake(&["disk", "cp"], &[&on(&hostile, "/h"), &out]).ok();
    assert_eq!(fs::read_link(out.join("h/link")).unwrap(), target);
    // Now files where the links are: the links are replaced, and what they lead to is not touched.
    let files = changed(&disk, "files.ext4", &["mkdir /h", "write /etc/hostname h/link", "mkdir /h/dir"]);
    let outcome = cvbake(&["disk", "cp", "--force"], &[&on(&files, "/h"), &out]).run();
    outcome.error(&[6]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
    assert_eq!(names(&outside), ["target"]);
    // A link on the disk is followed on the disk, and nowhere else.
    cvbake(&["disk", "cat"], &[&on(&hostile, "/h/link")]).run().error(&[3]);
    cvbake(&["disk", "ls"], &[&on(&hostile, "/h/up")]).ok();
}

/// A disk of some MiB does not fill the host: neither by many names of one file, nor by many files
/// with the same blocks.
#[test]
fn a_file_is_copied_once() {
    use std::os::unix::fs::MetadataExt as _;

    let place = Place::with(&sample::varied());
    place.bake().ok();
    let disk = place.disk();
    let named = changed(
        &disk,
        "named.ext4",
        &["mkdir /h", "write /etc/passwd h/a", "link h/a h/b", "link h/a h/c", "sif h/a links_count 3"],
    );
    let to = place.writable("named");
    cvbake(&["disk", "cp"], &[&on(&named, "/h"), &to]).ok();
    let found = |name: &str| fs::metadata(to.join("h").join(name)).unwrap();
    assert_eq!((found("a").nlink(), found("a").ino()), (3, found("c").ino()));
    // Again, over what is there.
    cvbake(&["disk", "cp", "--force"], &[&on(&named, "/h"), &to]).ok();
    assert_eq!((found("b").nlink(), found("b").ino()), (3, found("a").ino()));
    assert_eq!(fs::read(to.join("h/b")).unwrap(), fs::read("/etc/passwd").unwrap());
    // As many names as the disk has room for, of a file that says that it has one.
    let lying = changed(&named, "lying.ext4", &["sif h/a links_count 1"]);
    let to = place.writable("lying");
    let outcome = cvbake(&["disk", "cp"], &[&on(&lying, "/h"), &to]).run();
    let says = "lying.ext4: inode ";
    let error = outcome.error(&[3]);
    assert!(error.contains(says) && error.contains("belongs to another file, too"), "{}", outcome.describe());
}

/// Directories that are in each other under several names would be more files than any host holds.
#[test]
fn a_directory_is_copied_once() {
    let place = Place::with(&sample::varied());
    place.bake().ok();
    let disk = place.disk();
    for name in ["/etc/again", "/etc/itself"] {
        let link = format!("link /etc {name}");
        succeed(tool("debugfs", "e2fsprogs").args(["-w", "-R", &link]).arg(&disk));
    }
    let to = place.writable("out");
    let outcome = cvbake(&["disk", "cp"], &[&on(&disk, "/"), &to]).run();
    assert!(
        outcome.error(&[3]).contains("is a second name of a directory, expected one name"),
        "{}",
        outcome.describe()
    );
}

#[test]
fn what_is_no_disk_is_one_line() {
    let place = Place::with(&sample::small("content"));
    place.bake().ok();
    let disk = place.disk();
    let empty = place.path().join("empty");
    fs::write(&empty, "").unwrap();
    let text = place.path().join("text");
    fs::write(&text, "no disk ".repeat(2000)).unwrap();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o644)).unwrap();
    for (args, paths, codes, says) in [
        (&["inspect"][..], vec![empty.clone()], 3, "2048"),
        (&["inspect"], vec![text.clone()], 3, "no ext4 filesystem"),
        (&["inspect"], vec![place.path().join("none")], 3, "none"),
        (&["inspect"], vec![on(&disk, "/etc")], 2, "expected a disk"),
        (&["diff"], vec![disk.clone(), text.clone()], 3, "no ext4 filesystem"),
        (&["disk", "ls"], vec![on(&disk, "/none")], 3, "/none does not exist"),
        (&["disk", "ls"], vec![on(&disk, "7:/")], 3, "no partition 7"),
        (&["disk", "cat"], vec![on(&disk, "/")], 3, "a directory, expected a regular file"),
        (&["disk", "cp"], vec![disk.clone(), place.path().join("x")], 2, "DISK:PATH"),
    ] {
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let outcome = cvbake(args, &paths).run();
        assert!(outcome.error(&[codes]).contains(says), "{says}: {}", outcome.describe());
    }
}

/// With partitions, the root is found by its type, and others by their numbers.
#[test]
fn partitions() {
    let place = place();
    let filesystem = fs::read(place.disk()).unwrap();
    let disk = place.path().join("out/gpt.raw");
    let file = fs::File::create(&disk).unwrap();
    let mib = 1 << 20;
    let sectors = filesystem.len().div_ceil(512);
    file.set_len((filesystem.len() as u64).next_multiple_of(mib) + 8 * mib).unwrap();
    succeed(
        tool("sgdisk", "gdisk")
            .args([
                "-n",
                "1:2048:+1M",
                "-t",
                "1:ef00",
                "-n",
                &format!("2:8192:+{sectors}"),
                "-t",
                "2:8304",
                "-c",
                "2:root",
            ])
            .arg(&disk),
    );
    file.write_all_at(&filesystem, 8192 * 512).unwrap();
    place.verify(&disk).ok();
    place.verify(&on(&disk, "2")).ok();
    assert_eq!(cvbake(&["diff"], &[&place.disk(), &disk]).ok().stdout, "");
    let listed = cvbake(&["disk", "ls"], &[&on(&disk, "2:/")]).ok().stdout;
    assert_eq!(listed, cvbake(&["disk", "ls"], &[&place.disk()]).ok().stdout);
    cvbake(&["disk", "ls"], &[&on(&disk, "1:/")]).run().error(&[3]);
    let inspected: Value = serde_json::from_str(&cvbake(&["inspect", "--json"], &[&disk]).ok().stdout).unwrap();
    assert_eq!(inspected["partitions"][1]["type_name"], "root-x86-64");
    assert_eq!(inspected["partitions"][1]["filesystem"], "ext4");
    assert_eq!(inspected["filesystem"]["partition"], 2);
}

/// A disk that a writer got wrong does not get its name.
#[test]
fn a_bake_proves_itself() {
    let place = Place::with(&sample::varied());
    let outcome = place.bake().args(["--verify", "--json"]).ok();
    assert!(serde_json::from_str::<Value>(&outcome.stdout).unwrap()["times_ms"]["compare"].is_number());
    place.assert_no_leftovers(&["disk.ext4"]);
    let plain = fs::read(place.disk()).unwrap();
    place.bake().arg("--force").ok();
    assert!(fs::read(place.disk()).unwrap() == plain, "reading back changes nothing");
}
