//! What only one system has, and what stands in for it on all others.
//!
//! Nothing outside of the files `system.rs` names such a thing, which `tests/layering.rs` checks.
//! The functions for other systems are compiled and tested on Linux, too.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use linux as native;
#[cfg(not(target_os = "linux"))]
use portable as native;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Opens a directory only to look names up in it; on Linux that takes no right to list them.
///
/// # Errors
/// When it can't be opened, or is no directory.
pub fn open_for_lookup(path: &Path) -> io::Result<OwnedFd> {
    native::open_for_lookup(rustix::fs::CWD, path)
}

/// The same of a directory in one that is open.
///
/// # Errors
/// When it can't be opened, or is no directory.
pub fn open_for_lookup_in(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    native::open_for_lookup(dir.as_fd(), Path::new(name))
}

/// Opens a file for reading; where that can be had, the time of its last use stays what it is.
///
/// # Errors
/// When it can't be opened.
pub fn open_unnoticed(dir: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    native::open_unnoticed(dir.as_fd(), name, flags)
}

/// A path to what this process has open.
#[must_use]
pub fn descriptor_path(open: impl AsFd) -> PathBuf {
    native::descriptor_path(open.as_fd())
}

/// Of a path that begins with that of a descriptor: the path that has led to what is open, where
/// the system tells it, and what is left below.
pub(crate) fn split_descriptor_path(path: &Path) -> Option<(PathBuf, &Path)> {
    native::split_descriptor_path(path)
}

/// Renames a file to a name that nothing has, if there is a system call for that.
pub(crate) fn rename_to_free_name(dir: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    native::rename_to_free_name(dir, from, to)
}

/// Brings all that was written to a file's filesystem to stable storage.
///
/// # Errors
/// When that fails.
pub fn sync_filesystem(file: &File) -> io::Result<()> {
    native::sync_filesystem(file)
}

/// Has the kernel begin to write out a part of a file, where it can be asked to: it would put that
/// off until somebody has to wait for all of it.
pub fn write_out(file: &File, offset: u64, len: u64) {
    native::write_out(file, offset, len);
}

/// Names the present run of the machine, if that can be told.
#[must_use]
pub fn boot_id() -> Option<String> {
    native::boot_id()
}

/// Random bytes; an error if the system has none yet.
pub(crate) fn random_bytes() -> io::Result<[u8; 8]> {
    native::random_bytes()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::num::NonZero;
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
    use std::path::{Path, PathBuf};

    use rustix::fs::{Advice, Mode, OFlags, RenameFlags};
    use rustix::io::Errno;

    pub(super) fn open_for_lookup(dir: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(dir, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }

    pub(super) fn open_unnoticed(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
            // Some filesystems have other owners than we think.
            Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
            opened => opened,
        }
    }

    const DESCRIPTORS: &str = "/proc/self/fd";

    pub(super) fn descriptor_path(open: BorrowedFd<'_>) -> PathBuf {
        Path::new(DESCRIPTORS).join(open.as_raw_fd().to_string())
    }

    pub(super) fn split_descriptor_path(path: &Path) -> Option<(PathBuf, &Path)> {
        let below = path.strip_prefix(DESCRIPTORS).ok()?;
        let mut parts = below.components();
        let named = std::fs::read_link(Path::new(DESCRIPTORS).join(parts.next()?)).ok()?;
        Some((named, parts.as_path()))
    }

    pub(super) fn rename_to_free_name(dir: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE)
    }

    pub(super) fn sync_filesystem(file: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(file)?)
    }

    pub(super) fn write_out(file: &File, offset: u64, len: u64) {
        // To bytes that are not written out yet this advice means just that. What it does to others
        // is no loss: they are not read again.
        let _ = rustix::fs::fadvise(file, offset, NonZero::new(len), Advice::DontNeed);
    }

    pub(super) fn boot_id() -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    pub(super) fn random_bytes() -> io::Result<[u8; 8]> {
        let mut bytes = [0; 8];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(bytes)
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod portable {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io::{self, Read as _};
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
    use std::path::{Path, PathBuf};

    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;

    pub(super) fn open_for_lookup(dir: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(dir, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }

    pub(super) fn open_unnoticed(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(dir, name, flags, Mode::empty())
    }

    pub(super) fn descriptor_path(open: BorrowedFd<'_>) -> PathBuf {
        Path::new("/dev/fd").join(open.as_raw_fd().to_string())
    }

    pub(super) fn split_descriptor_path(_: &Path) -> Option<(PathBuf, &Path)> {
        None
    }

    pub(super) fn rename_to_free_name(_: BorrowedFd<'_>, _: &OsStr, _: &OsStr) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn sync_filesystem(file: &File) -> io::Result<()> {
        // A directory that can be opened here can be listed, and so be synced itself.
        file.sync_all()
    }

    pub(super) fn write_out(_: &File, _: u64, _: u64) {}

    pub(super) fn boot_id() -> Option<String> {
        None
    }

    pub(super) fn random_bytes() -> io::Result<[u8; 8]> {
        let mut bytes = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_stands_in_does_the_same() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("file"), "content").unwrap();
        let (flags, name) = (OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, OsStr::new("file"));
        let read = |mut file: File| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let cwd = rustix::fs::CWD;
        let here = [native::open_for_lookup(cwd, scratch.path()), portable::open_for_lookup(cwd, scratch.path())];
        for dir in here.map(Result::unwrap) {
            let open =
                [native::open_unnoticed(dir.as_fd(), name, flags), portable::open_unnoticed(dir.as_fd(), name, flags)];
            assert_eq!(open.map(|file| read(file.unwrap().into())), ["content", "content"]);
        }
        for path in [scratch.path().join("file"), scratch.path().join("none")] {
            assert!(native::open_for_lookup(cwd, &path).is_err() && portable::open_for_lookup(cwd, &path).is_err());
        }
        let open = File::open(scratch.path().join("file")).unwrap();
        let paths = [native::descriptor_path(open.as_fd()), portable::descriptor_path(open.as_fd())];
        assert_eq!(paths.map(|path| std::fs::read_to_string(path).unwrap()), ["content", "content"]);
        assert!(native::sync_filesystem(&open).is_ok() && portable::sync_filesystem(&open).is_ok());
        native::write_out(&open, 0, 7);
        portable::write_out(&open, 0, 7);
        assert_ne!(native::random_bytes().unwrap(), portable::random_bytes().unwrap());
    }

    #[test]
    fn what_can_not_be_had_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("from"), "new").unwrap();
        let dir = File::open(scratch.path()).unwrap();
        let renamed = portable::rename_to_free_name(dir.as_fd(), OsStr::new("from"), OsStr::new("to"));
        assert_eq!(renamed, Err(Errno::NOSYS));
        assert!(portable::boot_id().is_none() && scratch.path().join("from").exists());
        let path = native::descriptor_path(dir.as_fd()).join("a/b");
        let (named, below) = native::split_descriptor_path(&path).unwrap();
        assert_eq!((named.as_path(), below), (scratch.path(), Path::new("a/b")));
        assert!(portable::split_descriptor_path(&path).is_none());
    }
}
