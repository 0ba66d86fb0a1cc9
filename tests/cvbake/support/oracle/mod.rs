//! Readers of a disk that we did not write: e2fsck, debugfs, the crate ext4-view, and the kernel.

mod debugfs;
mod mount;
mod view;

use std::path::Path;

pub(crate) use mount::Mount;

use super::tools::{is_root, run, stderr, tool};
use super::{ext4, seen};

/// Has every reader look at a disk, and returns the listing they agree in.
pub(crate) fn agreed_listing(disk: &Path) -> String {
    fsck(disk);
    let listing = ext4::listing(disk);
    seen::assert_same(
        "what debugfs reads (+) and our reader (-)",
        &debugfs::summary(disk),
        &debugfs::summarised(&listing),
    );
    seen::assert_same("what ext4-view reads (+) and our reader (-)", &view::summary(disk), &view::summarised(&listing));
    if is_root() {
        let mount = Mount::read_only(disk);
        seen::assert_same("what the kernel reads (+) and our reader (-)", &mount.listing(), &listing);
    }
    listing
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
