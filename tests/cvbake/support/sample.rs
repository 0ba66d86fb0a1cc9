//! Images that many tests bake.

use super::image::{Compression, Images, Layer};
use super::tar::{Member, Tar};
use super::text::{lines, noise};

/// A layer from the text form of fixtures.
pub(crate) fn layer(text: &str, compression: Compression) -> Layer {
    let mut tar = Tar::default();
    lines(text).iter().for_each(|line| tar.line(line));
    Layer::new(tar, compression)
}

/// Three layers with something of everything, in all three compressions.
pub(crate) fn varied() -> Images {
    let first = "
        dir ./ mode=0755
        dir bin
        file bin/busybox rand:200000:1 mode=4755 own=0:0 mtime=1700000000.123456789 x:security.capability=hex:0100000200200000000000000000000000000000
        repeat 50 hard bin/applet{i} -> bin/busybox
        link sbin -> bin
        dir etc mode=0751 own=1:2
        repeat 300 file etc/conf{i} \"configuration number {i}\" own={i}:7 mtime=1{i}
        file etc/secret \"to be removed\"
        dir dev
        char dev/null 1:3 mode=0666
        block dev/big 259:70000
        fifo dev/pipe
        file var/holes \"start\"+\"end\" sparse=1.0 map=0:5,1000000:3 real=2000000
        file var/acl \"a\" x:system.posix_acl_access=hex:0200000001000700ffffffff02000600e803000004000500ffffffff10000700ffffffff20000400ffffffff
        file \"odd \\xff\\n=\" \"odd\"";
    let second = "
        file etc/.wh.secret
        file sbin/init rand:50000:2 mode=0755
        repeat 40 file etc/.wh.conf{i}
        file var/big rand:3000000:3
        link var/slow -> rep:300:\"t\"
        file var/xattrs \"x\" x:user.big=rand:2000:4 x:trusted.t=\"t\"";
    let third = "
        file etc/conf100 \"replaced\" mtime=-5.5
        dir usr/share mode=2775 own=100000:200000
        repeat 200 file usr/share/doc{i} rand:5000:{i}
        file var/.wh.nothing";
    Images::of(vec![
        layer(first, Compression::Gzip),
        layer(second, Compression::Zstd),
        layer(third, Compression::Plain),
    ])
}

/// Several layers large enough to be caught in the middle of: some 24 MB that don't compress.
pub(crate) fn large() -> Images {
    let layer = |number: u64| {
        let files = (0..400).map(|at: u64| {
            let path = format!("layer{number}/dir{}/file{at}", at % 10);
            Member::file(path.as_bytes(), &noise(15_000, number * 1000 + at))
        });
        let kept: Vec<_> = files.chain([Member::file(format!("only{number}").as_bytes(), b"x")]).collect();
        Layer::new(Tar::of(&kept), Compression::Gzip)
    };
    Images::of((0..4).map(layer).collect())
}

/// One layer of one small file.
pub(crate) fn small(content: &str) -> Images {
    Images::of(vec![Layer::new(Tar::of(&[Member::file(b"file", content.as_bytes())]), Compression::Gzip)])
}
