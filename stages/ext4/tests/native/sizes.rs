//! Every size is legal, or refused with one that is.

use cvbake_ext4::{Error, Inodes, Layout, Options, Size};
use cvbake_tree::{FileData, Ino, Kind, Segment, Tree};

use crate::support::{Maker, bake, compare, fsck, mode, options, tool};

const MIB: u64 = 1 << 20;
const GROUP: u64 = 128 * MIB;

/// Only metadata goes to the disk.
fn bake_empty(tree: &Tree, options: &Options) -> (Layout, tempfile::NamedTempFile) {
    let layout = Layout::plan(tree, options).unwrap();
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(layout.len_bytes()).unwrap();
    layout.write_metadata(tree, &cvbake_disk::Raw::new(disk.as_file(), disk.path())).unwrap();
    (layout, disk)
}

fn small_tree() -> (Tree, Vec<Vec<u8>>) {
    let mut maker = Maker::new(&mode(0o755));
    for number in 0..50u8 {
        maker.file(Ino::ROOT, &[b'a' + number % 26, b'0' + number / 26], 0, &vec![number + 1; 9000], &mode(0o644));
    }
    maker.finish()
}

/// Files of so many blocks, with content that is never read.
fn tree_of(files: &[u32]) -> Tree {
    let mut maker = Maker::new(&mode(0o755));
    let mut pack_block = 0;
    for (number, &blocks) in files.iter().enumerate() {
        let segments = [Segment { file_block: 0, blocks }];
        let data = FileData { size: u64::from(blocks) * 4096, pack: 0, pack_block, segments: &segments };
        maker.add(Ino::ROOT, format!("f{number}").as_bytes(), Kind::File(data), &mode(0o644));
        pack_block += u64::from(blocks);
    }
    maker.finish().0
}

#[test]
fn around_the_starts_of_groups() {
    let (tree, packs) = small_tree();
    let mut sizes = vec![3 * MIB + 1, 16 * MIB - 1, 127 * MIB, 40 << 30];
    for group in [1, 2, 3, 4, 9, 10, 81] {
        for off in [0, 1, 4095, 4096, 40 * 4096, 54 * 4096, 150 * 4096, 200 * 4096, MIB, 20 * MIB] {
            sizes.push(group * GROUP + off);
        }
        sizes.push(group * GROUP - 4096);
    }
    for size in sizes {
        for journal in [false, true] {
            let options = Options { size: Size::Exact(size), journal, ..options() };
            let layout = match Layout::plan(&tree, &options) {
                Err(Error::TooSmall { asked, needed }) if size < 16 * MIB => {
                    assert!(asked == size && needed > size);
                    continue;
                }
                layout => layout.unwrap(),
            };
            assert_eq!(layout.len_bytes(), size);
            let rest = size - layout.block_count() * 4096;
            assert!(rest < 4096 * (1 + 1 + 1024 + 50), "{size}: {rest} bytes unused");
            let disk = bake(&tree, &packs, &options);
            fsck(disk.path());
        }
    }
}

#[test]
fn the_smallest_is_the_smallest() {
    let trees =
        [tree_of(&[]), tree_of(&[1, 2, 3]), tree_of(&[40_000]), tree_of(&[100_000, 7, 900_000]), tree_of(&[1; 5000])];
    for tree in &trees {
        for journal in [false, true] {
            let min = Options { size: Size::Min, journal, ..options() };
            let (layout, disk) = bake_empty(tree, &min);
            fsck(disk.path());
            let bytes = layout.len_bytes();
            assert_eq!(bytes, layout.block_count() * 4096);
            // Even a byte less does not do, and the error says what does.
            for (less, asked) in [(1, bytes - 1), (4096, bytes - 4096), (bytes, 0)] {
                let error =
                    Layout::plan(tree, &Options { size: Size::Exact(bytes - less), ..min.clone() }).unwrap_err();
                assert!(
                    matches!(error, Error::TooSmall { asked: a, needed } if (a, needed) == (asked, bytes)),
                    "{error}"
                );
            }
            let exact = Layout::plan(tree, &Options { size: Size::Exact(bytes), ..min.clone() }).unwrap();
            assert_eq!(exact.block_count(), layout.block_count());
            let extra = Layout::plan(tree, &Options { size: Size::Extra(300 * MIB + 5), ..min.clone() }).unwrap();
            assert_eq!(extra.len_bytes(), bytes + 300 * MIB + 5);
            let auto = Layout::plan(tree, &Options { size: Size::Auto, ..min.clone() }).unwrap();
            assert_eq!(auto.len_bytes(), Size::auto_bytes(bytes));
            assert!(auto.free_blocks() * 4096 > 180 * MIB, "{} free", auto.free_blocks());
        }
    }
}

/// How many bytes of a file are on its filesystem.
fn allocated(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn as_small_as_resize2fs_could_make_it() {
    for files in [&[10; 500][..], &[1; 20_000], &[70_000, 9, 30_000], &[3]] {
        let tree = tree_of(files);
        let (layout, disk) = bake_empty(&tree, &Options { size: Size::Min, ..options() });
        // What is written is in use, and content is the rest of it.
        let content: u64 = layout.placements().iter().map(|placement| placement.blocks * 4096).sum();
        let ours = allocated(disk.path()) + content;
        let output = tool("resize2fs").arg("-P").arg(disk.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let least: u64 = said.trim().rsplit(' ').next().unwrap().parse().expect("Estimated minimum size: N");
        assert!(ours <= least * 4096 * 102 / 100, "{ours} bytes, resize2fs says {}", least * 4096);
    }
}

#[test]
fn inodes_as_asked() {
    let tree = tree_of(&[1; 100]);
    let plan = |size, inodes| Layout::plan(&tree, &Options { size, inodes, ..options() });
    let needed = 10 + 1 + 100;
    for size in [Size::Min, Size::Auto, Size::Exact(GROUP * 3)] {
        for (inodes, least) in
            [(Inodes::Auto, needed + 16), (Inodes::Count(5000), 5000), (Inodes::BytesPerInode(8192), needed)]
        {
            let (layout, disk) = bake_empty(&tree, &Options { size, inodes, ..options() });
            fsck(disk.path());
            assert!(layout.inode_count() >= least, "{inodes:?}: {}", layout.inode_count());
            assert_eq!(layout.inode_count() - layout.free_inodes(), needed);
        }
        let error = plan(size, Inodes::Count(100)).unwrap_err();
        assert!(matches!(error, Error::TooFewInodes { asked: 100, needed: 111 }), "{error}");
        let error = plan(size, Inodes::BytesPerInode(1024)).unwrap_err();
        assert!(matches!(error, Error::InodeRatio { asked: 1024, min: 4096 }), "{error}");
        let error = plan(size, Inodes::BytesPerInode(1 << 40)).unwrap_err();
        assert!(matches!(error, Error::TooFewInodes { asked: 0, needed: 111 }), "{error}");
    }
    let auto = plan(Size::Exact(GROUP * 80), Inodes::Auto).unwrap();
    assert!(auto.inode_count() >= GROUP * 80 / 16384);
    let auto = plan(Size::Auto, Inodes::Auto).unwrap();
    assert!(auto.free_inodes() >= 8192);
    let error = plan(Size::Exact(GROUP), Inodes::Count(40_000)).unwrap_err();
    assert!(matches!(error, Error::TooManyInodes { asked: 40_000, max: 32_768, bytes: GROUP }), "{error}");
    // More inodes than blocks, so that it must be larger than its content needs.
    let layout = plan(Size::Min, Inodes::Count(100_000)).unwrap();
    assert!(layout.block_count() > 3 * 32768);
}

#[test]
fn too_large_is_refused() {
    let tree = tree_of(&[1]);
    for size in [Size::Exact(u64::MAX), Size::Exact((64 << 40) + 1), Size::Extra(u64::MAX)] {
        let error = Layout::plan(&tree, &Options { size, ..options() }).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}

#[test]
fn it_can_grow() {
    let (tree, packs) = small_tree();
    for (from, to) in [
        (Size::Min, 40 * MIB),
        (Size::Min, 2000 * MIB),
        (Size::Auto, 5000 * MIB),
        (Size::Exact(GROUP + MIB), 20_000 * MIB),
    ] {
        let disk = bake(&tree, &packs, &Options { size: from, ..options() });
        disk.file.as_file().set_len(to).unwrap();
        let output = tool("resize2fs").arg(disk.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        fsck(disk.path());
        assert_eq!(compare(disk.path(), &tree, &packs), tree.entry_count());
    }
}

/// resize2fs does not reuse the tables of groups that it drops until its next run, and does not
/// count on that when it estimates: from a large and empty disk it goes down in two steps, as from
/// one of `mke2fs -E packed_meta_blocks`.
#[test]
fn it_can_shrink() {
    let (tree, packs) = small_tree();
    for (from, steps) in [(Size::Min, &["-M"][..]), (Size::Auto, &["-M"]), (Size::Exact(3 << 30), &["200M", "-M"])] {
        let disk = bake(&tree, &packs, &Options { size: from, ..options() });
        for step in steps {
            let mut command = tool("resize2fs");
            let output =
                if *step == "-M" { command.arg("-M").arg(disk.path()) } else { command.arg(disk.path()).arg(step) };
            let output = output.output().unwrap();
            assert!(output.status.success(), "{from:?} {step}: {output:?}");
            fsck(disk.path());
            assert_eq!(compare(disk.path(), &tree, &packs), tree.entry_count());
        }
    }
}
