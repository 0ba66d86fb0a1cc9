//! The readers agree about a disk that mke2fs made.

use std::os::unix::fs::symlink;

use super::super::tools::succeed;
use super::*;

#[test]
fn all_readers_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (source, disk) = (dir.path().join("source"), dir.path().join("disk"));
    std::fs::create_dir_all(source.join("many")).unwrap();
    for number in 0..3000 {
        std::fs::write(source.join(format!("many/a file with a long name, number {number}")), "x").unwrap();
    }
    std::fs::write(source.join("big"), super::super::text::noise(300_000, 1)).unwrap();
    std::fs::hard_link(source.join("big"), source.join("many/link")).unwrap();
    std::fs::write(source.join("odd \n\\name="), "x").unwrap();
    let holes = std::fs::File::create(source.join("holes")).unwrap();
    for at in 0..400 {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"x", at * 16384).unwrap();
    }
    symlink("target", source.join("fast")).unwrap();
    symlink("t".repeat(200), source.join("slow")).unwrap();
    succeed(tool("mkfifo", "coreutils").arg(source.join("fifo")));
    succeed(tool("mke2fs", "e2fsprogs").args(["-q", "-t", "ext4", "-d"]).args([&source, &disk]).arg("64M"));
    let script = dir.path().join("script");
    std::fs::write(
        &script,
        "mknod old c 1 3\nmknod new b 300 1000\nea_set big user.a \"some value\"\nset_inode_field big mtime 20200101\n\
         set_inode_field big uid 100000\nset_inode_field big mode 0104755\n",
    )
    .unwrap();
    succeed(tool("debugfs", "e2fsprogs").arg("-w").arg("-f").arg(&script).arg(&disk));
    // mke2fs leaves the directory without an index; e2fsck makes one, and sets the checksums anew.
    run(tool("e2fsck", "e2fsprogs").arg("-fyD").arg(&disk));

    let listing = agreed_listing(&disk);
    for wanted in
        [" device=1:3", " device=300:1000", " link:/many/link", "target=tttt", "/odd\\x20\\x0a\\x5cname\\x3d file"]
    {
        assert!(listing.contains(wanted), "{wanted}\n{listing:.2000}");
    }
    assert!(
        listing.lines().any(|line| line.starts_with("/big file 4755 100000:") && line.contains(" mtime=1577836800.")),
        "{listing:.500}"
    );
    assert_eq!(listing.lines().count(), 3010);
}
