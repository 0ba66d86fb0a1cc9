//! Disks of all kinds of trees, under e2fsck.

use crate::support::{Maker, bake, fsck, mode, options};
use cvbake_ext4::Size;
use cvbake_tree::{Ino, Kind};

#[test]
fn a_small_tree() {
    let mut maker = Maker::new(&mode(0o755));
    let dir = maker.dir(Ino::ROOT, b"dir");
    maker.file(dir, b"file", 0, &[7; 5000], &mode(0o644));
    maker.add(dir, b"link", Kind::Symlink(b"file"), &mode(0o777));
    maker.add(dir, b"long", Kind::Symlink(&[b'x'; 300]), &mode(0o777));
    let (tree, packs) = maker.finish();
    for size in [Size::Min, Size::Auto, Size::Extra(5 << 20), Size::Exact(40 << 30)] {
        for journal in [true, false] {
            let disk = bake(&tree, &packs, &cvbake_ext4::Options { size, journal, ..options() });
            fsck(disk.path());
        }
    }
}
