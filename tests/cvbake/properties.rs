//! Random images: baked, read back, and compared with what a naive model says they mean.

use std::collections::HashMap;

use cvbake_tree::{Ino, Kind, Meta, Xattr};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::bake::Place;
use crate::support::image::{Compression, Images, Layer};
use crate::support::model::{DOUBTFUL, Model};
use crate::support::seen::Seen;
use crate::support::tar::{Member, Tar};
use crate::support::text::noise;
use crate::support::{expected, ext4, oracle, seen};

/// The same images every time, so that a failure stays one; PROPTEST_RNG_SEED asks for others,
/// PROPTEST_CASES for more.
fn config(cases: u32) -> ProptestConfig {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = asked("PROPTEST_CASES").map_or(cases, |cases| u32::try_from(cases).expect("a number of cases"));
    let rng_seed = RngSeed::Fixed(asked("PROPTEST_RNG_SEED").unwrap_or(1));
    // No files of failures: what fails is shown, and becomes a fixture.
    ProptestConfig { cases, rng_seed, failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() }
}

/// Few names, so that layers meet.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d", "long-name-of-a-file"]).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        path(),
        path().prop_map(|path| format!("/{path}")),
        path().prop_map(|path| format!("../{path}")),
        Just("..".to_owned()),
        Just(".".to_owned()),
    ]
}

fn with_attributes(member: impl Strategy<Value = Member>) -> impl Strategy<Value = Member> {
    let mtime = prop_oneof![
        3 => (0..2_000_000_000_i64).prop_map(|secs| secs.to_string()),
        1 => (-2_000_000_000..10_000_000_000_i64, 1..1_000_000_000_u32)
            .prop_map(|(secs, nanos)| format!("{secs}.{nanos:09}")),
    ];
    let xattr = prop::option::weighted(0.2, (0..3_usize, 0..2000_usize, 0..4_u64));
    let owner = prop_oneof![Just((0, 0)), (0..70_000_u64, 0..70_000_u64), Just((4_294_967_294, 3_000_000_000))];
    (member, 0..0o10000_u32, owner, mtime, xattr).prop_map(|(mut member, mode, (uid, gid), mtime, xattr)| {
        if member.flag != b'2' {
            member.mode = mode;
        }
        (member.uid, member.gid, member.mtime) = (uid, gid, mtime);
        if let Some((name, len, seed)) = xattr {
            let name = format!("SCHILY.xattr.{}", ["trusted.a", "trusted.bb", "security.c"][name]);
            member.pax.push((name.into_bytes(), noise(len, seed)));
        }
        member
    })
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0..10_000_usize, 0..5_u64).prop_map(|(len, seed)| noise(len, seed)),
        (0..20_000_usize).prop_map(|len| vec![0; len]),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn member() -> impl Strategy<Value = Member> {
    let parent = prop_oneof![2 => Just(String::new()), 3 => path().prop_map(|path| path + "/")];
    let entry = prop_oneof![
        5 => (path(), content()).prop_map(|(path, content)| Member::file(path.as_bytes(), &content)),
        4 => path().prop_map(|path| Member::dir(format!("{path}/").as_bytes())),
        3 => (path(), target()).prop_map(|(path, target)| Member::link(b'2', path.as_bytes(), target.as_bytes())),
        3 => (path(), path()).prop_map(|(path, target)| Member::link(b'1', path.as_bytes(), target.as_bytes())),
        1 => (path(), 0..4096_u32, 0..1_048_576_u32).prop_map(|(path, major, minor)| {
            Member { device: Some((major, minor)), ..Member::new(b'3', path.as_bytes()) }
        }),
        1 => path().prop_map(|path| Member::new(b'6', path.as_bytes())),
        1 => Just(Member::dir(b"./")),
    ];
    prop_oneof![
        20 => with_attributes(entry),
        4 => (parent.clone(), name()).prop_map(|(dir, name)| Member::file(format!("{dir}.wh.{name}").as_bytes(), b"")),
        2 => parent.prop_map(|dir| Member::file(format!("{dir}.wh..wh..opq").as_bytes(), b"")),
    ]
}

fn layers() -> impl Strategy<Value = Vec<Vec<Member>>> {
    prop::collection::vec(prop::collection::vec(member(), 0..12), 1..5)
}

/// The image without the entries that make it impossible.
fn possible(layers: Vec<Vec<Member>>) -> Vec<Vec<Member>> {
    let mut model = Model::new();
    let mut kept: Vec<Vec<Member>> = Vec::new();
    for layer in layers {
        let mut good: Vec<Member> = Vec::new();
        for member in layer {
            let more = [good.clone(), vec![member]].concat();
            if model.clone().apply(&more).is_ok() {
                good = more;
            }
        }
        model.apply(&good).expect("it was possible a moment ago");
        kept.push(good);
    }
    kept
}

fn images(layers: &[Vec<Member>]) -> Images {
    let compressions = [Compression::Gzip, Compression::Zstd, Compression::Plain];
    let layer = |(at, members): (usize, &Vec<Member>)| Layer::new(Tar::of(members), compressions[at % 3]);
    Images::of(layers.iter().enumerate().map(layer).collect())
}

fn listing(model: &Model) -> String {
    let meta = |member: &Member| {
        let xattr = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let name = key.strip_prefix(b"SCHILY.xattr.").expect("random records are attributes");
            Xattr { name: name.into(), value: value.as_slice().into() }
        };
        Meta {
            mode: u16::try_from(member.mode).expect("twelve bits"),
            uid: u32::try_from(member.uid).expect("an owner"),
            gid: u32::try_from(member.gid).expect("an owner"),
            mtime: expected::time(&member.mtime),
            xattrs: member.pax.iter().map(xattr).collect(),
            ..Meta::default()
        }
    };
    let mut seen = Seen::new(&meta(&model.inodes[0]));
    let (mut dirs, mut done) = (HashMap::from([(Vec::new(), Ino::ROOT)]), HashMap::new());
    for (path, number) in model.names.iter().map(|(path, name)| (path, name.inode)).filter(|(path, _)| !path.is_empty())
    {
        let (name, parent) = path.split_last().expect("not the root");
        let (parent, name) = (dirs[parent], name.as_bytes());
        if let Some(&ino) = done.get(&number) {
            seen.link(parent, name, ino);
            continue;
        }
        let member = &model.inodes[number];
        let meta = meta(member);
        let device = || {
            let (major, minor) = member.device.expect("a device has a number");
            cvbake_tree::Device { major, minor }
        };
        let ino = match member.flag {
            b'0' => seen.file(parent, name, &meta, member.content.len() as u64, &mut member.content.as_slice()),
            b'2' => seen.add(parent, name, Kind::Symlink(&member.link), &meta),
            b'3' => seen.add(parent, name, Kind::CharDevice(device()), &meta),
            b'6' => seen.add(parent, name, Kind::Fifo, &meta),
            _ => seen.add(parent, name, Kind::Directory, &meta),
        };
        done.insert(number, ino);
        if member.flag == b'5' {
            dirs.insert(path.clone(), ino);
        }
    }
    seen.listing()
}

/// The image, for a message.
fn describe(layers: &[Vec<Member>]) -> String {
    let mut text = String::new();
    for (at, layer) in layers.iter().enumerate() {
        text += &format!("layer {}\n", at + 1);
        for Member { flag, path, link, .. } in layer {
            text += &format!("  {} {} {}\n", char::from(*flag), path.escape_ascii(), link.escape_ascii());
        }
    }
    text
}

proptest! {
    #![proptest_config(config(150))]

    /// Every possible image is baked to the tree it means.
    #[test]
    fn random_images(layers in layers().prop_map(possible)) {
        let mut model = Model::new();
        for layer in &layers {
            model.apply(layer).expect("only what is possible is left");
        }
        let place = Place::with(&images(&layers));
        let outcome = place.bake().args(["--size", "min"]).run();
        prop_assert_eq!(outcome.code, Some(0), "{}{}", describe(&layers), outcome.describe());
        oracle::fsck(&place.disk());
        seen::assert_same(&describe(&layers), &ext4::listing(&place.disk()), &listing(&model));
    }
}

proptest! {
    #![proptest_config(config(150))]

    /// Every image, possible or not: the tree it means, or an error.
    #[test]
    fn random_images_that_may_be_impossible(layers in layers()) {
        let mut model = Model::new();
        let failure = layers.iter().find_map(|layer| model.apply(layer).err());
        prop_assume!(failure != Some(DOUBTFUL));
        let place = Place::with(&images(&layers));
        let outcome = place.bake().args(["--size", "min"]).run();
        if let Some(failure) = failure {
            prop_assert_eq!(outcome.code, Some(4), "{:?}: {}{}", failure, describe(&layers), outcome.describe());
            outcome.error(&[4]);
            place.assert_no_leftovers(&[]);
        } else {
            prop_assert_eq!(outcome.code, Some(0), "{}{}", describe(&layers), outcome.describe());
            seen::assert_same(&describe(&layers), &ext4::listing(&place.disk()), &listing(&model));
        }
    }
}
