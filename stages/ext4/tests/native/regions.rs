//! The map of a disk that is there: against the plan it was made by, and against e2fsprogs.

use std::ops::Range;
use std::path::Path;

use cvbake_ext4::{Layout, Options, Region, Size, Use};
use cvbake_tree::Ino;

use crate::disks::everything;
use crate::support::{bake, open, options, tool};

fn of(disk: &Path, of: &dyn Fn(Ino) -> u32) -> Vec<Region> {
    let filesystem = open(disk);
    let files = filesystem.tree().unwrap();
    filesystem.regions(&files, of).unwrap()
}

/// Which of the regions are of a kind, joined.
pub(crate) fn only(regions: &[Region], is: &dyn Fn(Use) -> bool) -> Vec<Range<u64>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    for Region { blocks, .. } in regions.iter().filter(|region| is(region.used_for)) {
        match found.last_mut() {
            Some(last) if last.end == blocks.start => last.end = blocks.end,
            _ => found.push(blocks.clone()),
        }
    }
    found
}

/// The free blocks as `dumpe2fs` lists them, group by group.
pub(crate) fn free_by_dumpe2fs(disk: &Path) -> Vec<Range<u64>> {
    let output = tool("dumpe2fs").arg(disk).output().expect("dumpe2fs (Debian: e2fsprogs)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<Range<u64>> = Vec::new();
    for list in text.lines().filter_map(|line| line.strip_prefix("  Free blocks: ")) {
        for run in list.split(", ").filter(|run| !run.is_empty()) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            match found.last_mut() {
                Some(range) if range.end == first => range.end = last + 1,
                _ => found.push(first..last + 1),
            }
        }
    }
    found
}

#[test]
fn a_disk_is_as_it_was_planned() {
    let (tree, packs) = everything().finish();
    for size in [Size::Min, Size::Auto, Size::Exact(3 << 30)] {
        for journal in [true, false] {
            let options = Options { size, journal, ..options() };
            let disk = bake(&tree, &packs, &options);
            let planned = Layout::plan(&tree, &options).unwrap().regions();
            let found = of(disk.path(), &|_| 7);
            type Is = fn(Use) -> bool;
            let kinds: [(&str, Is); 6] = [
                ("superblocks", |used_for| used_for == Use::Superblocks),
                ("tables", |used_for| used_for == Use::Tables),
                ("journal", |used_for| used_for == Use::Journal),
                ("structure", |used_for| used_for == Use::Structure),
                ("content", |used_for| matches!(used_for, Use::Content { .. })),
                ("free", |used_for| used_for == Use::Free),
            ];
            for (kind, is) in kinds {
                assert_eq!(only(&found, &is), only(&planned, &is), "{kind}, {size:?}");
            }
            // What is planned to be written may be zeros, which become holes.
            let mut planned = planned.iter().filter(|region| region.is_written).map(|region| region.blocks.clone());
            let mut within = planned.next().unwrap();
            for region in found.iter().filter(|region| region.is_written) {
                while within.end <= region.blocks.start {
                    within = planned.next().unwrap();
                }
                assert!(
                    within.start <= region.blocks.start && region.blocks.start < within.end,
                    "{region:?}, {size:?}"
                );
            }
            assert!(found.iter().any(|region| region.is_written && region.used_for == Use::Structure));
            assert_eq!(only(&found, &|used_for| used_for == Use::Free), free_by_dumpe2fs(disk.path()));
        }
    }
}

#[test]
fn content_is_whose_it_is() {
    let (tree, packs) = everything().finish();
    let disk = bake(&tree, &packs, &options());
    let filesystem = open(disk.path());
    let files = filesystem.tree().unwrap();
    let file = files.tree().lookup(b"dir/file").unwrap().ino();
    let regions = filesystem.regions(&files, &|ino| u32::from(ino == file)).unwrap();
    let blocks = only(&regions, &|used_for| used_for == Use::Content { pack: 1 });
    let said = crate::support::debugfs(disk.path(), "blocks /dir/file");
    let mut expected: Vec<u64> = said.split_whitespace().filter_map(|block| block.parse().ok()).collect();
    expected.sort_unstable();
    assert_eq!(blocks.into_iter().flatten().collect::<Vec<_>>(), expected);
}

#[test]
fn small_groups() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let made = tool("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-g", "256", "-O", "^resize_inode,^metadata_csum"])
        .arg(&disk)
        .arg("30M")
        .output()
        .expect("mke2fs (Debian: e2fsprogs)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let regions = of(&disk, &|_| 0);
    assert_eq!(only(&regions, &|used_for| used_for == Use::Free), free_by_dumpe2fs(&disk));
}
