//! Any tree comes back.

use cvbake_erofs::Options;
use cvbake_tree::{Device, Ino, Kind, Meta, Time, Xattr};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Maker, bake, compare, fsck, options};

#[derive(Clone, Debug)]
struct File {
    parent: prop::sample::Index,
    name: Vec<u8>,
    what: What,
    meta: Meta,
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File(Vec<(bool, u8)>, u16),
    Symlink(Vec<u8>),
    Device(bool, u32, u32),
    Pipe(bool),
    Link(prop::sample::Index),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::num::u8::ANY.prop_map(|byte| if matches!(byte, 0 | b'/') { b'_' } else { byte }), 1..=255)
        .prop_filter("not a file name", |name| !matches!(&name[..], b"." | b".."))
}

fn xattr() -> impl Strategy<Value = Xattr> {
    let space = prop::sample::select(vec!["user.", "trusted.", "security."]);
    let suffix = vec(1u8.., 1..40);
    (space, suffix, vec(any::<u8>(), 0..3000)).prop_map(|(space, suffix, value)| Xattr {
        name: [space.as_bytes(), &suffix].concat().into(),
        value: value.into(),
    })
}

fn meta() -> impl Strategy<Value = Meta> {
    let xattrs = vec(xattr(), 0..6).prop_map(|mut set| {
        set.sort();
        set.dedup_by(|a, b| a.name == b.name);
        set
    });
    let owner = prop_oneof![(any::<u32>(), any::<u32>()), (0..70000u32, Just(0))];
    let time = prop_oneof![
        1 => (any::<i64>(), 0..1_000_000_000u32).prop_map(|(secs, nanos)| Time { secs, nanos }),
        1 => Just(Time::from_secs(1_700_000_000)),
    ];
    (0..0o10000u16, owner, time, prop_oneof![3 => Just(Vec::new()), 1 => xattrs])
        .prop_map(|(mode, (uid, gid), mtime, xattrs)| Meta { mode, uid, gid, mtime, xattrs, ..Meta::default() })
}

fn file() -> impl Strategy<Value = File> {
    let what = prop_oneof![
        3 => Just(What::Directory),
        6 => (vec((any::<bool>(), 1..40u8), 0..20), 0..4096u16).prop_map(|(runs, tail)| What::File(runs, tail)),
        2 => vec(1u8.., 1..4096).prop_map(What::Symlink),
        1 => (any::<bool>(), 0..4096u32, 0..(1u32 << 20)).prop_map(|(block, major, minor)| What::Device(block, major, minor)),
        1 => any::<bool>().prop_map(What::Pipe),
        2 => any::<prop::sample::Index>().prop_map(What::Link),
    ];
    (any::<prop::sample::Index>(), name(), what, meta()).prop_map(|(parent, name, what, meta)| File {
        parent,
        name,
        what,
        meta,
    })
}

/// Adds the files; a name that a directory has already gets a number.
fn make(root: &Meta, files: &[File]) -> Maker {
    let mut maker = Maker::new(root);
    let mut dirs = vec![Ino::ROOT];
    let mut others = Vec::new();
    let mut taken = std::collections::HashSet::new();
    for File { parent, name, what, meta } in files {
        let parent = *parent.get(&dirs);
        let mut name = name.clone();
        while !taken.insert((parent, name.clone())) {
            name.truncate(250);
            name.extend_from_slice(taken.len().to_string().as_bytes());
        }
        match what {
            What::Directory => dirs.push(maker.add(parent, &name, Kind::Directory, meta)),
            What::File(runs, tail) => {
                let mut content = Vec::new();
                for &(data, blocks) in runs {
                    content.resize(content.len() + usize::from(blocks) * 4096, if data { blocks } else { 0 });
                }
                content.resize(content.len() + usize::from(*tail), 7);
                others.push(maker.file(parent, &name, u32::from(*tail) % 2, &content, meta));
            }
            What::Symlink(target) => others.push(maker.add(parent, &name, Kind::Symlink(target), meta)),
            What::Device(block, major, minor) => {
                let device = Device { major: *major, minor: *minor };
                let kind = if *block { Kind::BlockDevice(device) } else { Kind::CharDevice(device) };
                others.push(maker.add(parent, &name, kind, meta));
            }
            What::Pipe(socket) => {
                others.push(maker.add(parent, &name, if *socket { Kind::Socket } else { Kind::Fifo }, meta));
            }
            What::Link(to) => {
                if !others.is_empty() {
                    maker.builder.link(parent, &name, *to.get(&others)).unwrap();
                }
            }
        }
    }
    maker
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(
        root in meta(),
        files in vec(file(), 0..60),
        base_pack in proptest::option::of(0..3u32),
    ) {
        let (tree, packs) = make(&root, &files).finish();
        let disk = bake(&tree, &packs, &Options { base_pack, ..options() });
        fsck(disk.path());
        prop_assert_eq!(compare(disk.path(), &tree, &packs), tree.inode_count());
    }
}
