//! A directory in which nobody else can do anything.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::names::{open_dir, random_name};
use crate::remove::empty_dir;
use crate::system;
use crate::temporary::Temporary;

/// The file that makes a directory one of ours: nobody else can have put it there. In a directory
/// of theirs, others can give the name of what is to be removed to any other directory of ours.
const MARK: &str = ".cvbake-private";

const TEXT: &[u8] = b"A running cvbake works in this directory. If none runs, nothing here is needed any more.\n";

/// A new directory, for its owner only; removed with all that is in it when dropped.
#[derive(Debug)]
pub struct PrivateDir {
    temporary: Arc<Temporary>,
    /// What `path` leads to, as long as it is open.
    dir: OwnedFd,
    path: PathBuf,
}

impl PrivateDir {
    /// Makes the directory `name` in `parent`.
    ///
    /// # Errors
    /// When it is there already, can't be made, or `/proc`, by which it is reached, is not mounted.
    pub fn create(parent: &Arc<OwnedFd>, name: &OsStr) -> io::Result<PrivateDir> {
        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
        let made = PrivateDir::open_new(parent, name);
        if made.is_err() {
            // Whatever has the name by now, it goes only if it is empty.
            let _ = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
        made
    }

    /// Makes a directory with a random name that begins with `prefix` in the directory at `parent`.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create_in(parent: &Path, prefix: &str) -> io::Result<PrivateDir> {
        let parent = Arc::new(system::open_for_lookup(parent)?);
        PrivateDir::create(&parent, &random_name(prefix.as_bytes(), b"")?)
    }

    fn open_new(parent: &Arc<OwnedFd>, name: &OsStr) -> io::Result<PrivateDir> {
        let dir = open_dir(parent, name)?;
        // Somebody may have put another in its place.
        let swapped = || io::Error::new(io::ErrorKind::PermissionDenied, "another directory was put in its place");
        if !is_made_here(parent, &dir)? {
            return Err(swapped());
        }
        // A umask can have taken bits of the owner's away.
        rustix::fs::fchmod(&dir, Mode::RWXU)?;
        if !is_empty(&dir)? {
            return Err(swapped());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mark = rustix::fs::openat(&dir, MARK, flags, Mode::RUSR | Mode::WUSR)?;
        let path = path_of(&dir)?;
        rustix::io::write(mark, TEXT)?;
        let temporary = Arc::new(Temporary::new(Arc::clone(parent), name.to_owned(), &dir)?);
        Ok(PrivateDir { temporary, dir, path })
    }

    /// A path to it, for this process: it leads there whatever happens to the directory's names.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, for whoever handles a signal.
    #[must_use]
    pub fn temporary(&self) -> &Arc<Temporary> {
        &self.temporary
    }

    /// Removes it and all that is in it. It is no error if that fails: whoever comes next removes
    /// it.
    pub fn remove(&self) {
        let _ = self.temporary.remove();
    }

    /// Removes a directory that a dead process has made by [`PrivateDir::create`]; leaves anything
    /// else.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_stale(parent: impl AsFd, name: &OsStr) -> io::Result<()> {
        let dir = match open_dir(&parent, name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            opened => opened?,
        };
        let is_marked = || match rustix::fs::statat(&dir, MARK, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            Err(_) => false,
        };
        if !is_private(&rustix::fs::fstat(&dir)?, user()) {
            return Ok(());
        }
        if is_marked() {
            // The mark last: whoever goes on after an interruption needs it.
            empty_dir(&dir, Some(OsStr::new(MARK)))?;
            rustix::fs::unlinkat(&dir, MARK, AtFlags::empty())?;
        } else if !is_empty(&dir)? {
            return Ok(());
        }
        Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
    }
}

impl AsFd for PrivateDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        self.remove();
    }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a directory is this user's, and nobody else can write to it.
fn is_private(stat: &Stat, user: u32) -> bool {
    stat.st_uid == user && !Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}

/// Whether a directory belongs to whoever owns what this process makes in `parent`: the effective
/// user, but on some filesystems (of a network, or of a stick) somebody else.
fn is_made_here(parent: &OwnedFd, dir: &OwnedFd) -> io::Result<bool> {
    let owner = rustix::fs::fstat(dir)?.st_uid;
    if owner == user() {
        return Ok(true);
    }
    let name = random_name(b".cvbake-", b".probe")?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let probe = rustix::fs::openat(parent, &name, flags, Mode::RUSR | Mode::WUSR)?;
    let probed = rustix::fs::fstat(&probe)?.st_uid;
    let _ = rustix::fs::unlinkat(parent, &name, AtFlags::empty());
    Ok(owner == probed)
}

fn is_empty(dir: &OwnedFd) -> Result<bool, Errno> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A path as a person should see it: one that begins with that of a [`PrivateDir`] begins with the
/// directory's name instead.
#[must_use]
pub fn shown(path: &Path) -> PathBuf {
    system::split_descriptor_path(path).map_or_else(|| path.to_owned(), |(dir, below)| dir.join(below))
}

/// A path that leads to an open directory.
fn path_of(dir: &OwnedFd) -> io::Result<PathBuf> {
    let path = system::descriptor_path(dir);
    let (there, here) = (rustix::fs::stat(&path), rustix::fs::fstat(dir)?);
    match there {
        Ok(there) if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) => Ok(path),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "/proc is not mounted")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(path: &Path) -> Arc<OwnedFd> {
        Arc::new(File::open(path).unwrap().into())
    }

    #[test]
    fn its_path_leads_there_whatever_its_name_is() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let dir = PrivateDir::create(&open(scratch.path()), OsStr::new("ours")).unwrap();
        assert_eq!(fs::metadata(at("ours")).unwrap().permissions().mode() & 0o7777, 0o700);
        fs::rename(at("ours"), at("moved")).unwrap();
        fs::create_dir(at("ours")).unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(at("moved/file").exists() && !at("ours/file").exists());
        assert_eq!(shown(&dir.path().join("a/b")), at("moved/a/b"));
        assert_eq!(shown(dir.path()), at("moved"));
        for other in ["/proc/self/fd/99999/x", "/proc/self/fd", "/tmp/x", "x", ""] {
            assert_eq!(shown(Path::new(other)), Path::new(other));
        }
        drop(dir);
        // The name is another directory's.
        assert!(at("ours").exists());
    }

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create_in(scratch.path(), "work-").unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        let name = dir.temporary().name().to_owned();
        assert!(scratch.path().join(&name).is_dir());
        assert!(PrivateDir::create(&open(scratch.path()), &name).is_err(), "there is one");
        drop(dir);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_is_marked_and_private_is_stale() {
        let scratch = tempfile::tempdir().unwrap();
        let cases = [
            ("marked", 0o700, &[MARK, "file"][..], false),
            ("only read by others", 0o755, &[MARK, "file"], false),
            ("just made", 0o700, &[], false),
            ("somebody's", 0o700, &["file"], true),
            ("for all", 0o777, &[MARK, "file"], true),
        ];
        for (name, mode, files, stays) in cases {
            let dir = scratch.path().join(name);
            fs::create_dir(&dir).unwrap();
            files.iter().for_each(|file| fs::write(dir.join(file), "").unwrap());
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            PrivateDir::remove_stale(open(scratch.path()), OsStr::new(name)).unwrap();
            assert_eq!(dir.exists(), stays, "{name}");
            assert!(!stays || files.iter().all(|file| dir.join(file).exists()), "{name}");
        }
        // A link, a file and nothing are no directory of ours.
        std::os::unix::fs::symlink("for all", scratch.path().join("link")).unwrap();
        fs::write(scratch.path().join("file"), "").unwrap();
        for name in ["link", "file", "nothing"] {
            PrivateDir::remove_stale(open(scratch.path()), OsStr::new(name)).unwrap();
        }
        assert!(scratch.path().join("link").is_symlink() && scratch.path().join("file").exists());
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_private() {
        let mut stat = rustix::fs::stat("/").unwrap();
        for (owner, mode, expected) in [
            (7, 0o700, true),
            (7, 0o755, true),
            (8, 0o700, false),
            (0, 0o700, false),
            (7, 0o720, false),
            (7, 0o1702, false),
        ] {
            (stat.st_uid, stat.st_mode) = (owner, FileType::Directory.as_raw_mode() | mode);
            assert_eq!(is_private(&stat, 7), expected, "{owner} {mode:o}");
        }
    }

    #[test]
    fn whose_a_new_file_is() {
        let scratch = tempfile::tempdir().unwrap();
        let here = open(scratch.path());
        assert!(is_made_here(&here, &here).unwrap());
        // Nobody makes files of this owner here, unless it is root.
        let theirs = open(Path::new("/proc/1"));
        let own = rustix::fs::fstat(&*theirs).unwrap().st_uid == user();
        assert_eq!(is_made_here(&here, &theirs).unwrap(), own);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the probe goes");
    }
}
