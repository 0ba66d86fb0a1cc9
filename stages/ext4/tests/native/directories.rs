//! Directories: lists, indexes, depth, width, links.

use cvbake_ext4::{Error, Layout, Options, Size};
use cvbake_tree::{Builder, Ino, Kind};

use crate::support::{Maker, bake, compare, debugfs, fsck, mode, options};

/// A name of a given length that says its number.
fn name(number: u32, len: usize) -> Vec<u8> {
    let mut name = number.to_string().into_bytes();
    name.resize(len.max(name.len()), b'n');
    name
}

#[test]
fn at_every_size_around_the_steps() {
    // Entries of 32 bytes: 126 with "." and ".." fit in one block (4084 - 24 = 4060 = 126 * 32 +
    // 28), a leaf takes 119.
    let widths = [1, 125, 126, 127, 128, 119 * 2, 119 * 2 + 1];
    check_widths(&widths, &[(126, None), (127, Some(0)), (119 * 2 + 1, Some(0))], true);
}

#[test]
fn around_the_second_level_of_an_index() {
    // Reading each entry back would take a minute, and tell no more than e2fsck does.
    let widths = [119 * 507, 119 * 507 + 1];
    check_widths(&widths, &[(119 * 507, Some(0)), (119 * 507 + 1, Some(1))], false);
}

/// Makes directories of so many entries; some of them must have an index of so many levels, or
/// none.
fn check_widths(widths: &[u32], levels: &[(u32, Option<u32>)], read: bool) {
    let mut maker = Maker::new(&mode(0o755));
    for &count in widths {
        let dir = maker.dir(Ino::ROOT, count.to_string().as_bytes());
        for number in 0..count {
            maker.add(dir, &name(number, 24), Kind::Fifo, &mode(0o600));
        }
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Min, ..options() });
    fsck(disk.path());
    if read {
        assert_eq!(compare(disk.path(), &tree, &packs), tree.entry_count());
    }
    for &(dir, levels) in levels {
        let said = debugfs(disk.path(), &format!("stat {dir}"));
        assert_eq!(said.contains("Flags: 0x81000"), levels.is_some(), "{said}");
        let dump = debugfs(disk.path(), &format!("htree_dump {dir}"));
        let found = dump.lines().find_map(|line| line.trim().strip_prefix("Indirect levels: "));
        assert_eq!(found, levels.map(|levels| levels.to_string()).as_deref(), "{dir}");
        assert_eq!(dump.contains("Hash Version: 1"), levels.is_some());
    }
}

#[test]
fn many_long_names() {
    let mut maker = Maker::new(&mode(0o755));
    let dir = maker.dir(Ino::ROOT, b"dir");
    for number in 0..120_000 {
        maker.add(dir, &name(number, 255), Kind::Symlink(b"x"), &mode(0o777));
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &Options { size: Size::Auto, ..options() });
    fsck(disk.path());
    // 14 names in a leaf, 17 nodes, a root.
    let blocks: u64 = 120_000u64.div_ceil(14) + 17 + 1;
    assert!(debugfs(disk.path(), "stat dir").contains(&format!("Size: {}\n", blocks * 4096)));
}

#[test]
fn deep_and_wide() {
    let mut maker = Maker::new(&mode(0o755));
    let mut dir = Ino::ROOT;
    for _ in 0..1000 {
        dir = maker.dir(dir, b"d");
    }
    maker.file(dir, b"bottom", 0, b"here", &mode(0o644));
    for (wide, count) in [(b"64998", 64_998), (b"64999", 64_999), (b"70000", 70_000)] {
        let dir = maker.dir(Ino::ROOT, wide);
        for number in 0..count {
            maker.dir(dir, &name(number, 1));
        }
    }
    let (tree, packs) = maker.finish();
    let disk = bake(&tree, &packs, &options());
    fsck(disk.path());
    for (dir, links) in [("64998", 65_000), ("64999", 1), ("70000", 1), ("d", 3), (".", 7)] {
        let said = debugfs(disk.path(), &format!("stat {dir}"));
        assert!(said.contains(&format!("Links: {links} ")), "{dir}: {said}");
    }
}

#[test]
fn hard_links_up_to_the_limit() {
    let tree = |links: u32| {
        let mut builder = Builder::new(&mode(0o755));
        let dir = builder.add(Ino::ROOT, b"dir", Kind::Directory, &mode(0o755)).unwrap();
        let file = builder.add(dir, b"first", Kind::Fifo, &mode(0o600)).unwrap();
        for number in 1..links {
            builder.link(dir, &name(number, 1), file).unwrap();
        }
        builder.finish().unwrap()
    };
    let tree_at_limit = tree(65_000);
    let disk = bake(&tree_at_limit, &Vec::<Vec<u8>>::new(), &options());
    fsck(disk.path());
    assert!(debugfs(disk.path(), "stat dir/first").contains("Links: 65000 "));
    let error = Layout::plan(&tree(65_001), &options()).unwrap_err();
    assert!(matches!(&error, Error::Links { names: 65_001, .. }), "{error}");
    assert_eq!(error.to_string(), "/dir/1 has 65001 names, expected at most 65000");
}
