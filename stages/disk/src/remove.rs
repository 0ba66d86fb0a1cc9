//! Removing a directory, however deep it is.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// Removes a directory and all that is in it; links are not followed.
///
/// One directory is open at a time, for `std::fs::remove_dir_all` opens one per level, and how deep a scratch directory
/// gets is for an image to say. `..` leads back, as long as nobody moves what is in it.
///
/// # Errors
/// What the first thing that can't be removed gives.
pub fn remove_tree(path: &Path) -> std::io::Result<()> {
    let mut here = enter(CWD, path.as_os_str())?;
    let mut names: Vec<OsString> = Vec::new();
    loop {
        if let Some(below) = empty(&here)? {
            here = enter(&here, &below)?;
            names.push(below);
        } else if let Some(name) = names.pop() {
            here = enter(&here, OsStr::new(".."))?;
            rustix::fs::unlinkat(&here, &name, AtFlags::REMOVEDIR)?;
        } else {
            return Ok(rustix::fs::rmdir(path)?);
        }
    }
}

fn enter(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Removes all that is in a directory but directories with something in them; returns one of those.
fn empty(dir: &OwnedFd) -> Result<Option<OsString>, Errno> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_owned())),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn deep_directories_go_and_what_links_lead_to_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, kept) = (scratch.path().join("tree"), scratch.path().join("kept"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let mut here = enter(CWD, root.as_os_str()).unwrap();
        // Deeper than a path can be long, and than most limits on open files.
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            rustix::fs::mkdirat(&here, "e", Mode::RWXU).unwrap();
            here = enter(&here, OsStr::new("d")).unwrap();
        }
        symlink(&kept, root.join("link")).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists() && kept.join("file").exists());
        assert!(remove_tree(&root).is_err());
    }
}
