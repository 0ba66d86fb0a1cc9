//! What is advised about an image, and about the filesystem that is made of it.

use cvbake::erofs::Error as Erofs;
use cvbake::ext4::Error as Ext4;
use cvbake::tree::Place;
use cvbake::verify::Error as Verify;

use super::*;

fn place() -> Place {
    Place { ino: cvbake::tree::Ino::ROOT, path: text() }
}

#[test]
fn images_and_filesystems() {
    let again = "fetch the image again";
    let wanted = cvbake::verify::Platform::new("linux", "arm64", "");
    let large = Ext4::TooSmall { asked: 1, needed: (5 << 20) + 1 };
    let small = Ext4::TooSmall { asked: 1, needed: 70_000 };
    assert_advised(vec![
        (Verify::BlobTooLong { digest: digest(), expected: 1 }.into(), Kind::Image, again),
        (through_a_reader(Verify::BlobTooLong { digest: digest(), expected: 1 }), Kind::Image, again),
        (through_a_reader(Fetch::Read { place: text(), source: os(Errno::IO) }), Kind::Source, "dmesg"),
        (through_a_reader(os(Errno::IO)), Kind::Source, "dmesg"),
        (in_layer(cvbake::unpack::Error::TooMany { what: "x" }), Kind::Image, ""),
        (in_layer(cvbake::unpack::Error::Pack(os(Errno::IO))), Kind::Output, "dmesg"),
        (
            Verify::NoPlatform { object: text(), wanted, available: vec!["linux/386".to_owned()] }.into(),
            Kind::Image,
            "--platform linux/386",
        ),
        // The filesystem.
        (large.into(), Kind::Fit, "--size 6M is enough"),
        (small.into(), Kind::Fit, "--size 69K is enough"),
        (Mkfs::from(Ext4::TooFewInodes { asked: 1, needed: 99 }).into(), Kind::Fit, "--inodes 99 is enough"),
        (Ext4::InodeRatio { asked: 1, min: 4096 }.into(), Kind::Usage, "--inodes 1/4K"),
        (Ext4::SymlinkNul { path: place(), at: 1 }.into(), Kind::Image, ""),
        (Erofs::TooLarge { bytes: 1, max: 1 }.into(), Kind::Fit, "--fs ext4"),
        (Erofs::Label { label: text(), len: 16, max: 15 }.into(), Kind::Usage, "choose a shorter --label"),
        (Erofs::SymlinkNul { path: place(), at: 1 }.into(), Kind::Image, ""),
        (Mkfs::CannotHold { path: place(), what: "w" }.into(), Kind::Fit, "--engine native can"),
        (Mkfs::Missing { program: "mke2fs" }.into(), Kind::Program, "e2fsprogs"),
        (failed("Segmentation fault").into(), Kind::Program, "--engine native"),
    ]);
}
