//! A tree → a directory of the host, whole or not there.
//!
//! The image is hostile: no path of it becomes a path of the host. Each file is made by its plain
//! name in a directory that is open, below a private directory where nobody else can put or move
//! anything, and symbolic links are made and never followed. What is whole gets its name by one
//! rename.
//!
//! Root gives files what the image says. Anybody else owns all files, and what those should be
//! stands in `user.containers.override_stat`, as podman and fuse-overlayfs write and read it:
//! `uid:gid:mode:type`, with devices, pipes and sockets as empty files. What can't even be recorded
//! is told.

mod fill;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_durable::{PrivateDir, sync_dir, system};
use cvbake_tree::{Packs, Place, Tree};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use self::fill::{Failure, Work};
use crate::control::Control;
use crate::error::{DirectoryError, Error};

/// What could not be represented, one kind of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotKept {
    /// What it is.
    pub what: String,
    /// The path of the first file, escaped.
    pub first: String,
    /// How many files it is about.
    pub files: u64,
}

/// A directory under construction.
pub(super) struct NewDirectory {
    parent: Arc<OwnedFd>,
    path: PathBuf,
    private: PrivateDir,
    /// Held as long as this lives: by it, others know that somebody is at work.
    _lock: OwnedFd,
}

impl NewDirectory {
    /// Makes a private directory beside the one that is wanted.
    pub(super) fn create(path: &Path, control: &Control) -> Result<NewDirectory, Error> {
        let failed = |source: io::Error| DirectoryError::Write { path: path.to_owned(), source };
        let name = path.file_name().ok_or_else(|| DirectoryError::Occupied { path: path.to_owned() })?;
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(beside, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let parent = Arc::new(parent);
        if !is_free(&parent, name).map_err(|errno| failed(errno.into()))? {
            return Err(DirectoryError::Occupied { path: path.to_owned() }.into());
        }
        let temporary = [b".", name.as_bytes(), b".cvbake"].concat();
        let temporary = OsStr::from_bytes(&temporary);
        // What a killed run has left: nobody holds its lock.
        if let Ok(left) = open_dir(&parent, temporary) {
            match rustix::fs::flock(&left, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(DirectoryError::Busy { path: path.to_owned() }.into()),
                _ => PrivateDir::remove_stale(&parent, temporary).map_err(failed)?,
            }
        }
        let make = || PrivateDir::create(&parent, temporary).map_err(failed);
        let private = control.during(make, |private| Some(private.temporary()))?;
        let lock = open_dir(&parent, temporary).map_err(|errno| failed(errno.into()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
        Ok(NewDirectory { parent, path: path.to_owned(), private, _lock: lock })
    }

    /// Fills it.
    pub(super) fn fill(
        &self,
        tree: &Tree,
        packs: &dyn Packs,
        control: &Control,
        on: &dyn Fn(u64),
    ) -> Result<Vec<NotKept>, Error> {
        let open = |name: &str| {
            let dir = rustix::fs::open(self.private.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::fs::mkdirat(&dir, name, Mode::RWXU)?;
            open_dir(&dir, OsStr::new(name))
        };
        let opened = open(ROOT).and_then(|dir| Ok((dir, open(LINKS)?)));
        let (dir, links) = opened.map_err(|errno| self.failed(errno.into()))?;
        let mut work = Work {
            tree,
            packs,
            control,
            on,
            dir,
            links,
            names_left: HashMap::new(),
            is_root: rustix::process::geteuid().is_root(),
            lost: BTreeMap::new(),
        };
        work.all().map_err(|(ino, failure)| {
            let path = Place::of(tree.inode(ino));
            match failure {
                Failure::Content(source) => cvbake_rootfs::Error::Content { path: path.path, source }.into(),
                Failure::Host(source) => {
                    let dir = self.path.clone();
                    DirectoryError::File { dir, file: path.path, source }.into()
                }
                Failure::Stopped(error) => *error,
            }
        })?;
        let not_kept = work.lost.into_iter();
        Ok(not_kept.map(|(what, (first, files))| NotKept { what, first, files }).collect())
    }

    /// Gives it its name.
    pub(super) fn commit(self, control: &Control) -> Result<(), Error> {
        let inside = || rustix::fs::open(self.private.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let inside = inside().map_err(|errno| self.failed(errno.into()))?;
        system::sync_filesystem(&File::from(inside.try_clone().map_err(|source| self.failed(source))?))
            .map_err(|source| self.failed(source))?;
        let name = self.path.file_name().expect("it was looked at");
        control.commit(|| match rustix::fs::renameat(&inside, ROOT, &self.parent, name) {
            Ok(()) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                Err(DirectoryError::Occupied { path: self.path.clone() })
            }
            Err(errno) => Err(self.failed(errno.into())),
        })?;
        sync_dir(&self.parent).map_err(|source| self.failed(source))?;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> DirectoryError {
        DirectoryError::Write { path: self.path.clone(), source }
    }
}

/// Names in the private directory.
const ROOT: &str = "root";
const LINKS: &str = "links";

/// Whether nothing has a name, or an empty directory, which gives way.
fn is_free(parent: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    match open_dir(parent, name) {
        Ok(dir) => {
            for entry in rustix::fs::Dir::read_from(dir)? {
                if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open_dir(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
