//! Readers of a disk that we did not write: e2fsck, debugfs, the crate ext4-view, and the kernel.

mod debugfs;
mod mount;
mod view;

use std::path::Path;

pub(crate) use mount::{Mount, listing_of};

use super::tools::{needs_mounts, run, stderr, tool};
use super::{ext4, seen};

/// Has every reader look at a disk, and returns the listing they agree in.
pub(crate) fn agreed_listing(disk: &Path) -> String {
    fsck(disk);
    let listing = ext4::listing(disk);
    seen::assert_same("what cvbake itself reads back (+) and our reader (-)", &read_back(disk), &listing);
    // debugfs lists level by level, ext4-view walks every path from the root: on trees that are
    // deep and wide their time is the product of both.
    let small = listing.len() < 400_000;
    if small {
        let read = debugfs::summary(disk);
        seen::assert_same("what debugfs reads (+) and our reader (-)", &read, &debugfs::summarised(&listing));
    }
    if small && view::can_read(&listing) {
        let read = view::summary(disk);
        seen::assert_same("what ext4-view reads (+) and our reader (-)", &read, &view::summarised(&listing));
    }
    if needs_mounts("what the kernel reads on the disks") {
        let mount = Mount::read_only(disk);
        seen::assert_same("what the kernel reads (+) and our reader (-)", &mount.listing(), &listing);
    }
    listing
}

/// What `cvbake disk tree` is made of.
fn read_back(disk: &Path) -> String {
    let opened = cvbake::inside::Disk::open(disk).unwrap_or_else(|error| panic!("{}", error.line()));
    let filesystem = opened.filesystem(None).unwrap_or_else(|error| panic!("{}", error.line()));
    let files = opened.files(&filesystem).unwrap_or_else(|error| panic!("{}", error.line()));
    // What stands there of namespaces that Linux does not have is shown by it alone.
    const SHOWN: [&str; 5] = ["user.", "trusted.", "security.", "system.", "gnu."];
    let is_shown = |field: &&str| {
        field.strip_prefix("xattr:").is_none_or(|name| SHOWN.iter().any(|space| name.starts_with(space)))
    };
    let line = |line: &str| line.split(' ').filter(is_shown).collect::<Vec<_>>().join(" ") + "\n";
    seen::listing_of_tree(files.tree(), &files).lines().map(line).collect()
}

/// `e2fsck -fn` finds nothing at all.
pub(crate) fn fsck(disk: &Path) {
    let output = run(tool("e2fsck", "e2fsprogs").arg("-fn").arg(disk));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    // A question that -n answers by itself is a finding, even one that leaves the status at 0.
    let clean = output.status.success() && !text.contains("? no") && !text.contains("WARNING");
    assert!(clean, "e2fsck -fn {}: {}\n{text}", disk.display(), output.status);
}

#[cfg(test)]
mod tests;
