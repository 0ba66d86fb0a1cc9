//! Where a file is: a directory that is open, and a name in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_durable::system::{open_for_lookup, open_for_lookup_in};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// A name in an open directory: whoever renames directories meanwhile changes nothing of what it
/// means. What a file says of another one is looked up from there, name by name.
#[derive(Debug, Clone)]
pub(super) struct Place {
    dir: Arc<OwnedFd>,
    name: OsString,
    /// What it is called, for messages only.
    path: PathBuf,
}

impl Place {
    /// That of a file that somebody has named.
    pub(super) fn named(path: &Path) -> io::Result<Place> {
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "it does not end in the name of a file");
        if matches!(path.as_os_str().as_bytes(), [.., b'/'] | [.., b'/', b'.']) {
            return Err(no_name());
        }
        let name = path.file_name().ok_or_else(no_name)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Place { dir: Arc::new(open_for_lookup(parent)?), name, path: path.to_owned() })
    }

    /// That of a file whose way from this one's directory has these names. None of them has a
    /// slash. `links` says whether symbolic links are followed.
    pub(super) fn beside<'n>(
        &self,
        names: impl Iterator<Item = &'n OsStr>,
        links: bool,
    ) -> Result<Place, (PathBuf, io::Error)> {
        let mut names: Vec<&OsStr> = names.filter(|name| !name.is_empty() && *name != ".").collect();
        let above = self.path.parent().unwrap_or(Path::new(""));
        let path = names.iter().fold(above.to_owned(), |path, name| path.join(name));
        let find = || {
            let name = names.pop().ok_or_else(not_regular)?.to_owned();
            let mut dir = Arc::clone(&self.dir);
            for name in names {
                check_link(&dir, name, links)?;
                dir = Arc::new(open_for_lookup_in(&dir, name)?);
            }
            check_link(&dir, &name, links)?;
            Ok((dir, name))
        };
        match find() {
            Ok((dir, name)) => Ok(Place { dir, name, path }),
            Err(error) => Err((path, error)),
        }
    }

    /// What it is called.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for reading, if it is a regular one.
    pub(super) fn open(&self) -> io::Result<File> {
        // Opening a device can set something off; a pipe that comes between must not keep us
        // waiting.
        let found = rustix::fs::statat(&self.dir, &self.name, AtFlags::empty())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
    }
}

/// Refuses a symbolic link where none is followed.
fn check_link(dir: &OwnedFd, name: &OsStr, links: bool) -> io::Result<()> {
    if links {
        return Ok(());
    }
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
            Err(io::Error::other("it is behind a symbolic link, which could lead to any file"))
        }
        // What is not there is said when it is opened.
        _ => Ok(()),
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn names_are_looked_up_from_the_directory_that_was_opened() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/child"), "child").unwrap();
        std::fs::write(at("a/b/parent"), "parent").unwrap();
        let child = Place::named(&at("a/child")).unwrap();
        std::fs::rename(at("a"), at("moved")).unwrap();
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/parent"), "another").unwrap();
        let parent = child.beside(["", ".", "b", "..", "b", "parent"].map(OsStr::new).into_iter(), false).unwrap();
        let mut text = String::new();
        parent.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "parent");
        for names in [&["b"][..], &[".."], &["none"]] {
            assert!(child.beside(names.iter().map(OsStr::new), true).unwrap().open().is_err(), "{names:?}");
        }
        for names in [&["child", "x"][..], &["none", "x"], &[], &["."]] {
            assert!(child.beside(names.iter().map(OsStr::new), true).is_err(), "{names:?}");
        }
        for path in ["a/", "a/.", "..", "/", "none/file"] {
            assert!(Place::named(Path::new(path)).is_err(), "{path}");
        }
    }
}
