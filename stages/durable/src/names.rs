//! Names in an open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::system;

/// A name with 64 random bits in it, as 16 digits: `prefix`0123456789abcdef`suffix`.
///
/// # Errors
/// When the system has no random numbers yet.
pub fn random_name(prefix: &[u8], suffix: &[u8]) -> io::Result<OsString> {
    use std::os::unix::ffi::OsStringExt;
    let digits = format!("{:016x}", u64::from_ne_bytes(system::random_bytes()?));
    Ok(OsString::from_vec([prefix, digits.as_bytes(), suffix].concat()))
}

/// Opens a directory that is not a link to one.
pub(crate) fn open_dir(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Whether `name` is a name of an open file or directory.
#[must_use]
pub fn is_name_of(dir: impl AsFd, name: &OsStr, open: impl AsFd) -> bool {
    match (rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), rustix::fs::fstat(open)) {
        (Ok(here), Ok(open)) => (here.st_dev, here.st_ino) == (open.st_dev, open.st_ino),
        _ => false,
    }
}

/// Renames a file within a directory to a name that nothing has.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when something has it; whatever else keeps the file from being
/// renamed.
pub fn rename_to_free_name(dir: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match system::rename_to_free_name(dir.as_fd(), from, to) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(link_to_free_name(dir, from, to)?),
        renamed => Ok(renamed?),
    }
}

/// The same where files can only be renamed as POSIX says (NFS, FUSE, 9p).
fn link_to_free_name(dir: impl AsFd, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match rustix::fs::linkat(&dir, from, &dir, to, AtFlags::empty()) {
        Ok(()) => {
            // Should this fail, the file is nevertheless whole, and whoever comes next removes the
            // other name.
            let _ = rustix::fs::unlinkat(&dir, from, AtFlags::empty());
            Ok(())
        }
        // Nor hard links: the name was free a moment ago, and nothing better can be had.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => rustix::fs::renameat(&dir, from, &dir, to),
        Err(error) => Err(error),
    }
}

/// Brings the names in a directory to stable storage.
///
/// # Errors
/// When that fails.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // Some filesystems sync no directories (EINVAL); there is nothing else to ask them for.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes away what is in a file.
///
/// Only if there is something: ext4 takes a file that was cut to nothing for one that is being
/// replaced, and whoever closes it waits for its blocks to be allocated, stable storage asked for
/// or not.
///
/// # Errors
/// When the file can't be cut.
pub fn clear(file: &File) -> io::Result<()> {
    if file.metadata()?.len() == 0 { Ok(()) } else { file.set_len(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_not_taken_away() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        let path = |name: &str| scratch.path().join(name);
        type Rename = fn(&File, &OsStr, &OsStr) -> io::Result<()>;
        let link: Rename = |dir, from, to| Ok(link_to_free_name(dir, from, to)?);
        for rename in [(|dir, from, to| rename_to_free_name(dir, from, to)) as Rename, link] {
            std::fs::write(path("from"), "new").unwrap();
            std::fs::write(path("taken"), "old").unwrap();
            let to = |name: &str| rename(&dir, OsStr::new("from"), OsStr::new(name));
            assert_eq!(to("taken").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(path("taken")).unwrap(), b"old");
            to("free").unwrap();
            assert_eq!(std::fs::read(path("free")).unwrap(), b"new");
            assert!(!path("from").exists());
            std::fs::remove_file(path("free")).unwrap();
        }
    }

    #[test]
    fn names_of_open_files() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        let file = File::create(scratch.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", scratch.path().join("link")).unwrap();
        let found = ["a", "link", "b"].map(|name| is_name_of(&dir, OsStr::new(name), &file));
        assert_eq!(found, [true, false, false]);
    }
}
