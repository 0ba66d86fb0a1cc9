//! Removing a directory, however deep it is, and whoever moves it meanwhile.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::names::open_dir;

/// Removes the directory `name` of `parent` and all that is in it; links are not followed.
///
/// It never climbs: `..` leads to wherever somebody has moved the directory by then. Instead, a
/// directory that has something in it is moved up into the one that is being removed, and emptied
/// there. So three are open at a time, however deep they are (which can be for an image to say),
/// and every name is looked up in one of those.
///
/// # Errors
/// What the first thing that can't be removed gives.
pub fn remove_dir(parent: impl AsFd, name: &OsStr) -> io::Result<()> {
    let dir = open_dir(&parent, name)?;
    empty_dir(&dir, None)?;
    Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
}

/// Removes all that is in a directory, but a file with the name `kept`.
pub(crate) fn empty_dir(top: &OwnedFd, kept: Option<&OsStr>) -> Result<(), Errno> {
    let mut moved = Moved { top: top.as_fd(), names: Vec::new(), count: 0 };
    moved.empty(top.as_fd(), kept)?;
    while let Some(name) = moved.names.pop() {
        let dir = match open_dir(top, &name) {
            // Another thread or process is at the same work.
            Err(Errno::NOENT) => continue,
            opened => opened?,
        };
        moved.empty(dir.as_fd(), None)?;
        unless_gone(rustix::fs::unlinkat(top, &name, AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

/// Directories that still have something in them, all in `top`.
struct Moved<'t> {
    top: BorrowedFd<'t>,
    names: Vec<OsString>,
    count: u64,
}

impl Moved<'_> {
    /// Removes all that is in a directory, or moves it to the others.
    fn empty(&mut self, dir: BorrowedFd<'_>, kept: Option<&OsStr>) -> Result<(), Errno> {
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") || kept == Some(name) {
                continue;
            }
            match unless_gone(rustix::fs::unlinkat(dir, name, AtFlags::empty())) {
                Err(Errno::ISDIR | Errno::PERM) => {}
                removed => {
                    removed?;
                    continue;
                }
            }
            match unless_gone(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => self.take(dir, name)?,
                removed => removed?,
            }
        }
        Ok(())
    }

    fn take(&mut self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        loop {
            let to = OsString::from(format!(".cvbake-removed-{}", self.count));
            self.count += 1;
            match rustix::fs::renameat(dir, name, self.top, &to) {
                Ok(()) => {
                    self.names.push(to);
                    return Ok(());
                }
                Err(Errno::NOENT) => return Ok(()),
                // The name is taken, by what an earlier attempt has left; its turn comes.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn unless_gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::fs::{CWD, Mode};

    use super::*;

    fn remove(path: &Path) -> io::Result<()> {
        remove_dir(open_dir(CWD, path.parent().unwrap().as_os_str())?, path.file_name().unwrap())
    }

    #[test]
    fn deep_directories_go_and_what_links_lead_to_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, kept) = (scratch.path().join("tree"), scratch.path().join("kept"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let mut here = open_dir(CWD, root.as_os_str()).unwrap();
        // Deeper than a path can be long, and than most limits on open files.
        for _ in 0..3000 {
            for name in ["d", "e"] {
                rustix::fs::mkdirat(&here, name, Mode::RWXU).unwrap();
            }
            here = open_dir(&here, OsStr::new("d")).unwrap();
        }
        symlink(&kept, root.join("link")).unwrap();
        remove(&root).unwrap();
        assert!(!root.exists() && kept.join("file").exists());
        assert!(remove(&root).is_err());
    }

    #[test]
    fn what_an_interrupted_removal_has_left_goes_too() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("tree");
        for path in [".cvbake-removed-0/a/b", ".cvbake-removed-1/c", "a/b/c", "a/.cvbake-removed-0/d/e"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        std::fs::write(root.join(".cvbake-removed-2"), "a file").unwrap();
        remove(&root).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    /// Somebody moves a directory away while it is being emptied. Its own content may go; what is
    /// beside it there must not.
    #[test]
    fn what_is_moved_away_meanwhile_takes_nothing_along() {
        let scratch = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let lab = scratch.path().join(round.to_string());
            let (doomed, shared) = (lab.join("doomed"), lab.join("shared"));
            std::fs::create_dir_all(doomed.join("a/z/below")).unwrap();
            std::fs::create_dir_all(shared.join("precious")).unwrap();
            std::fs::write(shared.join("precious/file"), "x").unwrap();
            for number in 0..1000 {
                std::fs::write(doomed.join(format!("a/z/{number}")), "").unwrap();
                std::fs::write(doomed.join(format!("a/z/below/{number}")), "").unwrap();
            }
            let mover = std::thread::spawn({
                let (doomed, shared) = (doomed.clone(), shared.clone());
                move || {
                    // As soon as it is being emptied, wherever it is by then, and under its name:
                    // so that whoever climbs finds it.
                    let files = ["a/z/0", "a/z/below/0"].map(|path| doomed.join(path));
                    while files.iter().all(|file| file.exists()) {
                        std::hint::spin_loop();
                    }
                    let _ = std::fs::rename(doomed.join("a/z"), shared.join("z"));
                    for entry in std::fs::read_dir(&doomed).into_iter().flatten().filter_map(Result::ok) {
                        let _ = std::fs::rename(entry.path(), shared.join(entry.file_name()));
                    }
                }
            });
            // It may fail: what was to be removed was moved.
            let _ = remove(&doomed);
            mover.join().unwrap();
            assert!(shared.join("precious/file").exists(), "round {round}");
        }
    }
}
