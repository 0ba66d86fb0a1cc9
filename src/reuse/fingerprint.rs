//! A file and its fingerprint: path, length, inode and times, which tell whether it was modified.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use cvbake_disk::system::{clock_of_files, is_in_memory};
use cvbake_durable::system::boot_id;
use serde::{Deserialize, Serialize};

/// A file, and how it was when it was whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskFingerprint {
    path: Vec<u8>,
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Where in it content is.
    positions: Positions,
    /// During which run of the machine it was noted.
    boot: String,
}

/// Where content is in a file with a filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Positions {
    /// Where the filesystem begins, in bytes.
    pub(crate) base: u64,
    /// A digest of where in the filesystem all content is.
    pub(crate) layout: String,
}

impl DiskFingerprint {
    pub(super) fn new(path: &Path, metadata: &Metadata, positions: &Positions) -> DiskFingerprint {
        DiskFingerprint {
            path: path.as_os_str().as_bytes().to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            positions: positions.clone(),
            boot: boot().to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// The length of what begins where the filesystem does.
    pub(super) fn filesystem_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.positions.base)
    }

    pub(super) fn device(&self) -> u64 {
        self.device
    }

    pub(super) fn positions(&self) -> &Positions {
        &self.positions
    }

    /// The file, if it is still the one that was noted.
    pub(super) fn open(&self) -> Option<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).ok()?;
        let file = File::options().read(true).custom_flags(flags).open(self.path()).ok()?;
        self.is(&file).then_some(file)
    }

    /// Whether a file is the one that was noted, and nobody has touched it since.
    pub(super) fn is(&self, file: &File) -> bool {
        let is_it = |metadata: &Metadata| DiskFingerprint::new(self.path(), metadata, &self.positions) == *self;
        file.metadata().is_ok_and(|metadata| metadata.is_file() && is_it(&metadata))
    }
}

/// The path from the root of a file that may not be there.
pub(super) fn whole_path(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(parent.canonicalize().ok()?.join(path.file_name()?))
}

/// A finished file as it is, when it can be told from whatever it becomes.
///
/// It must be the one that was made: somebody may have put another in its place, or have written to
/// it already. The clock of the filesystem's times must have gone on since: it ticks some hundred
/// times a second, and where it is coarser than that, changes can't be told. Nor can they in
/// memory, where what is mapped may be written without a trace.
pub(super) fn fingerprint_when_stable(path: &Path, made: &Metadata, positions: &Positions) -> Option<DiskFingerprint> {
    const TICKS: u32 = 20;
    let metadata = path.symlink_metadata().ok().filter(Metadata::is_file)?;
    // All but the time of the last change, which a new name is.
    let but_for_that =
        |metadata| DiskFingerprint { changed: (0, 0), ..DiskFingerprint::new(path, metadata, positions) };
    if boot().is_empty()
        || but_for_that(&metadata) != but_for_that(made)
        || is_in_memory(path)
        || metadata.ctime_nsec() == 0
    {
        return None;
    }
    for _ in 0..TICKS {
        if clock_of_files()? > (metadata.ctime(), metadata.ctime_nsec()) {
            return Some(DiskFingerprint::new(path, &metadata, positions));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Names the present run of the machine; nothing if that can't be told. When the machine crashes,
/// what a virtual machine has synced to its disk may be there, and the times of the file still be
/// those before.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| boot_id().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_disk_is_not_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, link) = (dir.path().join("disk"), dir.path().join("link"));
        std::fs::write(&disk, b"content").unwrap();
        std::os::unix::fs::symlink(&disk, &link).unwrap();
        let metadata = disk.metadata().unwrap();
        assert!(DiskFingerprint::new(&disk, &metadata, &Positions::default()).open().is_some());
        assert!(DiskFingerprint::new(&link, &metadata, &Positions::default()).open().is_none());
        std::fs::write(&disk, b"Content").unwrap();
        assert!(DiskFingerprint::new(&disk, &disk.metadata().unwrap(), &Positions::default()).open().is_some());
    }

    #[test]
    fn only_the_file_that_was_made_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, other) = (dir.path().join("disk"), dir.path().join("other"));
        std::fs::write(&disk, b"content").unwrap();
        std::fs::write(&other, b"content").unwrap();
        let made = disk.metadata().unwrap();
        assert_eq!(fingerprint_when_stable(&disk, &made, &Positions::default()).is_some(), !is_in_memory(&disk));
        assert!(fingerprint_when_stable(&other, &made, &Positions::default()).is_none());
        std::fs::rename(&other, &disk).unwrap();
        assert!(fingerprint_when_stable(&disk, &made, &Positions::default()).is_none());
    }
}
