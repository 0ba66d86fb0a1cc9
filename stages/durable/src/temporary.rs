//! A name that must not outlive the process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::remove::remove_dir;

/// A name of a temporary file or directory in an open directory, and which file that is.
#[derive(Debug)]
pub struct Temporary {
    parent: Arc<OwnedFd>,
    name: OsString,
    identity: Identity,
    /// Whether a directory goes with all that is in it.
    whole: bool,
}

/// Which file it is, as long as there is one.
type Identity = (rustix::fs::Dev, u64);

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

impl Temporary {
    /// Notes that `name` in `parent` is a name of the open file or directory.
    ///
    /// # Errors
    /// When that can't be asked for its identity.
    pub fn new(parent: Arc<OwnedFd>, name: OsString, open: impl AsFd) -> io::Result<Temporary> {
        let identity = identity(&rustix::fs::fstat(open)?);
        Ok(Temporary { parent, name, identity, whole: true })
    }

    /// The same for a directory in which others may have put something by then: it goes only if it
    /// is empty.
    ///
    /// # Errors
    /// When the directory can't be asked for its identity.
    pub fn shared(parent: Arc<OwnedFd>, name: OsString, open: impl AsFd) -> io::Result<Temporary> {
        Ok(Temporary { whole: false, ..Temporary::new(parent, name, open)? })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The directory that the name is in.
    #[must_use]
    pub fn parent(&self) -> &OwnedFd {
        &self.parent
    }

    /// Whether the name still is one of the same file.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.found().is_some()
    }

    fn found(&self) -> Option<FileType> {
        let stat = rustix::fs::statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (identity(&stat) == self.identity).then(|| FileType::from_raw_mode(stat.st_mode))
    }

    /// Removes it; it is no error if the name is gone, or somebody else's by now.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove(&self) -> io::Result<()> {
        match self.found() {
            None => Ok(()),
            Some(FileType::Directory) if self.whole => remove_dir(&self.parent, &self.name),
            Some(FileType::Directory) => match rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
                removed => Ok(removed?),
            },
            Some(_) => Ok(rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::empty())?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn only_the_same_file_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = Arc::new(OwnedFd::from(File::open(scratch.path()).unwrap()));
        let path = |name: &str| scratch.path().join(name);
        let temporary =
            |name: &str| Temporary::new(Arc::clone(&parent), name.into(), File::open(path(name)).unwrap()).unwrap();
        fs::create_dir_all(path("dir/below")).unwrap();
        for name in ["file", "swapped", "gone"] {
            fs::write(path(name), "ours").unwrap();
        }
        let all = ["dir", "file", "swapped", "gone"].map(temporary);
        fs::rename(path("swapped"), path("elsewhere")).unwrap();
        fs::write(path("swapped"), "theirs").unwrap();
        fs::remove_file(path("gone")).unwrap();
        assert_eq!(all.each_ref().map(Temporary::is_there), [true, true, false, false]);
        all.iter().for_each(|temporary| temporary.remove().unwrap());
        assert!(!path("dir").exists() && !path("file").exists());
        assert_eq!(fs::read(path("swapped")).unwrap(), b"theirs");
    }

    #[test]
    fn what_is_shared_goes_only_if_it_is_empty() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = Arc::new(OwnedFd::from(File::open(scratch.path()).unwrap()));
        let dir = scratch.path().join("dir");
        fs::create_dir_all(dir.join("below")).unwrap();
        let shared = Temporary::shared(parent, "dir".into(), File::open(&dir).unwrap()).unwrap();
        shared.remove().unwrap();
        assert!(dir.join("below").exists());
        fs::remove_dir(dir.join("below")).unwrap();
        shared.remove().unwrap();
        assert!(!dir.exists());
    }
}
