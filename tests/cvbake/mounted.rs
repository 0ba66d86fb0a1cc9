//! A baked disk in use: filled to the last block, emptied, grown, shrunk; and still without fault.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::support::bake::Place;
use crate::support::oracle::{Mount, fsck};
use crate::support::tools::{needs_mounts, needs_resize, succeed, tool};
use crate::support::{ext4, sample, seen};

/// Writes until the disk is full: some large files, then small ones; gives how many bytes and files
/// it took.
fn fill(dir: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    for size in [1 << 20, 4096, 1] {
        let content = vec![b'x'; size];
        loop {
            let path = dir.join(format!("fill-{size}-{files}"));
            let written = fs::File::create(path).and_then(|mut file| file.write_all(&content));
            match written {
                Ok(()) => (bytes, files) = (bytes + size as u64, files + 1),
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{}: {error}", dir.display()),
            }
        }
    }
    (bytes, files)
}

#[test]
fn filled_and_emptied() {
    if !needs_mounts("a mounted disk, written to") {
        return;
    }
    for options in
        [&["--size", "+24M"][..], &["--size", "64M", "--no-journal"], &["--size", "+24M", "--inodes", "1/4K"]]
    {
        let place = Place::with(&sample::varied());
        place.bake().args(options).ok();
        let before = ext4::listing(&place.disk());
        let mount = Mount::read_write(&place.disk());
        let dir = mount.root.join("filled");
        fs::create_dir(&dir).unwrap();
        let (bytes, files) = fill(&dir);
        assert!(bytes > 16 << 20 && files > 10, "{options:?}: only {bytes} bytes in {files} files had room");
        mount.unmount();
        fsck(&place.disk());
        let mount = Mount::read_write(&place.disk());
        fs::remove_dir_all(mount.root.join("filled")).unwrap();
        mount.unmount();
        fsck(&place.disk());
        // The root's own times have changed; nothing else may have.
        let rest = |listing: &str| listing.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
        seen::assert_same(&format!("{options:?}: after use (+)"), &rest(&ext4::listing(&place.disk())), &rest(&before));
    }
}

/// WSL asks for `data=ordered`, whatever it mounts. Linux grants that without a journal only where
/// it is the default that the disk says.
#[test]
fn mounted_in_order_with_and_without_a_journal() {
    const USER_XATTR_ACL_AND_ORDERED: u32 = 0x4 | 0x8 | 0x40;
    for engine in ["native", "mkfs"] {
        for journal in ["--journal", "--no-journal"] {
            let place = Place::with(&sample::small("in order"));
            place.bake().args(["--engine", engine, journal]).ok();
            let found = ext4::Ext4::open(&place.disk()).default_mount_options();
            assert_eq!(found, USER_XATTR_ACL_AND_ORDERED, "{engine} {journal}");
            if needs_mounts("a disk, mounted with an option") {
                for options in ["loop,data=ordered", "loop"] {
                    let mount = Mount::with(&place.disk(), options);
                    assert_eq!(fs::read(mount.root.join("file")).unwrap(), b"in order", "{engine} {journal}");
                    mount.unmount();
                }
                fsck(&place.disk());
            }
        }
    }
}

#[test]
fn grown_and_shrunk() {
    for options in
        [&["--size", "min"][..], &["--size", "auto"], &["--size", "min", "--no-journal"], &["--size", "200M"]]
    {
        let place = Place::with(&sample::varied());
        place.bake().args(options).ok();
        let before = ext4::listing(&place.disk());
        for size in [Some("700M"), Some("5G"), None] {
            let mut resize = tool("resize2fs", "e2fsprogs");
            // It wants to have seen a check.
            succeed(tool("e2fsck", "e2fsprogs").arg("-fy").arg(place.disk()));
            match size {
                Some(size) => resize.arg(place.disk()).arg(size),
                None => resize.arg("-M").arg(place.disk()),
            };
            succeed(&mut resize);
            fsck(&place.disk());
            seen::assert_same(&format!("{options:?} resized to {size:?} (+)"), &ext4::listing(&place.disk()), &before);
        }
    }
}

/// What is in use on a disk of the smallest size is what must be: `resize2fs` finds next to nothing
/// to gain.
#[test]
fn the_smallest_size_is_small() {
    for images in [sample::varied(), sample::large()] {
        let place = Place::with(&images);
        place.bake().args(["--size", "min"]).ok();
        let ours = fs::metadata(place.disk()).unwrap().len();
        succeed(tool("e2fsck", "e2fsprogs").arg("-fy").arg(place.disk()));
        succeed(tool("resize2fs", "e2fsprogs").arg("-M").arg(place.disk()));
        let least = fs::metadata(place.disk()).unwrap().len();
        assert!(ours <= least + least / 50, "{ours} bytes, where resize2fs needs {least}");
    }
}

/// `resize2fs` on a disk that is in use: the writer has reserved what growing needs.
#[test]
fn grown_while_mounted() {
    if !needs_mounts("a mounted disk, grown") || !needs_resize("a mounted disk, grown") {
        return;
    }
    for options in [&["--size", "min"][..], &["--size", "64M", "--no-journal"]] {
        let place = Place::with(&sample::varied());
        place.bake().args(options).ok();
        let before = ext4::listing(&place.disk());
        // The device is larger than its filesystem from the start: what grows then is only the
        // latter.
        let file = fs::OpenOptions::new().write(true).open(place.disk()).unwrap();
        file.set_len(3 << 30).unwrap();
        let mount = Mount::read_write(&place.disk());
        let device =
            succeed(tool("losetup", "mount").args(["--noheadings", "--output", "NAME", "-j"]).arg(place.disk()));
        let mut resize = mount.inside(&tool("resize2fs", "e2fsprogs"));
        succeed(resize.arg(device.trim()));
        let dir = mount.root.join("filled");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), vec![b'x'; 200 << 20]).unwrap();
        fs::remove_dir_all(dir).unwrap();
        mount.unmount();
        fsck(&place.disk());
        assert!(ext4::Ext4::open(&place.disk()).blocks > 700_000, "grown {options:?}");
        let rest = |listing: &str| listing.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
        seen::assert_same(&format!("{options:?}: grown (+)"), &rest(&ext4::listing(&place.disk())), &rest(&before));
    }
}
