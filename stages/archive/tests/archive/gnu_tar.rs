//! What the `tar` program writes.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use cvbake_archive::tar::Kind;

use crate::read::{Item, read};

/// Packs everything in a directory.
fn tar(dir: &Path, options: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--sort=name"])
        .args(options)
        .args(["--directory", dir.to_str().expect("a temporary directory has a plain name"), "."])
        .env("LC_ALL", "C")
        .output()
        .expect("the tests need GNU tar");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn find<'a>(items: &'a [Item], path: &str) -> &'a Item {
    items.iter().find(|item| item.path == path.as_bytes()).unwrap_or_else(|| panic!("no {path} in {items:?}"))
}

#[test]
fn all_formats() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("dir")).unwrap();
    fs::write(path("dir/file"), b"content").unwrap();
    fs::hard_link(path("dir/file"), path("hard")).unwrap();
    symlink("dir/file", path("soft")).unwrap();
    let long = format!("dir/{}", "n".repeat(200));
    fs::write(path(&long), b"long").unwrap();
    symlink("t".repeat(150), path("dir/z")).unwrap();
    let meta = fs::metadata(path("dir/file")).unwrap();

    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        // The old formats can't hold long names.
        let is_short = matches!(format, "v7" | "ustar");
        let format_option = format!("--format={format}");
        let options = [&*format_option, if is_short { "--exclude=dir/[nz]*" } else { "--exclude=none" }];
        let items = read(&tar(dir.path(), &options)).unwrap();
        assert_eq!(items.len(), if is_short { 5 } else { 7 }, "{format}");
        assert_eq!((find(&items, "./").kind, find(&items, "./dir/").kind), (Kind::Directory, Kind::Directory));
        let file = find(&items, "./dir/file");
        assert_eq!((file.kind, &file.stored[..]), (Kind::File, &b"content"[..]));
        assert_eq!((file.owner, file.mode), ((meta.uid().into(), meta.gid().into()), meta.mode() & 0o7777));
        assert_eq!(file.mtime.secs, meta.mtime());
        if format == "posix" {
            assert_eq!(i64::from(file.mtime.nanos), meta.mtime_nsec());
        }
        let hard = find(&items, "./hard");
        assert_eq!((hard.kind, &hard.link[..]), (Kind::HardLink, &b"./dir/file"[..]));
        let soft = find(&items, "./soft");
        assert_eq!((soft.kind, &soft.link[..]), (Kind::Symlink, &b"dir/file"[..]));
        if !is_short {
            assert_eq!(find(&items, &format!("./{long}")).stored, b"long");
            assert_eq!(find(&items, "./dir/z").link, "t".repeat(150).as_bytes());
        }
    }
}

#[test]
fn sparse_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, parts: &[u64], size: u64| {
        let file = File::create(dir.path().join(name)).unwrap();
        for &part in parts {
            file.write_all_at(format!("part at {part}").repeat(100).as_bytes(), part).unwrap();
        }
        file.set_len(size).unwrap();
    };
    let many: Vec<u64> = (0..40).map(|part| part * 16384).collect();
    write("few", &[4096, 100_000], 200_000);
    write("holes", &[], 1 << 20);
    write("many", &many, 40 * 16384);
    write("to the end", &[0, 65_536], 65_536 + 1100);

    let forms: [&[&str]; 5] = [
        &["--format=gnu"],
        &["--format=oldgnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    for form in forms {
        let items = read(&tar(dir.path(), &[form, &["--sparse", "--hole-detection=raw"]].concat())).unwrap();
        assert_eq!(items.len(), 5, "{form:?}");
        for name in ["few", "holes", "many", "to the end"] {
            let item = find(&items, &format!("./{name}"));
            assert!(item.sparse, "{form:?}: {name}");
            let content = fs::read(dir.path().join(name)).unwrap();
            assert!(item.content() == content, "{form:?}: {name}");
            assert!(item.stored.len() < content.len(), "{form:?}: {name} has its holes");
        }
    }
}
