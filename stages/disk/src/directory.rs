//! The directory of a target: temporary files, locks and names in it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_durable::{PrivateDir, Temporary, is_name_of, random_name, rename_to_free_name, sync_dir, system};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::Error;

/// The names of temporary files for one target: `.disk.ext4.0123456789abcdef.cvbake-tmp` and so on.
/// They are random, so that nobody else can have taken all of them.
#[derive(Debug)]
pub(crate) struct TemporaryNames {
    prefix: Vec<u8>,
}

const SUFFIX: &[u8] = b".cvbake-tmp";

/// Longer targets are named by a hash in their temporary's name, which must not get longer than the
/// shortest limit in use: 143 bytes on eCryptfs.
const LONGEST_SPELLED: usize = 100;

impl TemporaryNames {
    pub(crate) fn for_target(target_name: &OsStr) -> TemporaryNames {
        let target = target_name.as_bytes();
        let mut prefix = vec![b'.'];
        if target.len() <= LONGEST_SPELLED {
            prefix.extend_from_slice(target);
        } else {
            // FNV-1a. Two targets with one hash only remove each other's stale files.
            let hash = target
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            prefix.extend_from_slice(format!("{hash:016x}").as_bytes());
        }
        prefix.push(b'.');
        TemporaryNames { prefix }
    }

    fn fresh(&self) -> io::Result<OsString> {
        random_name(&self.prefix, SUFFIX)
    }

    fn contains(&self, name: &[u8]) -> bool {
        let middle = name.strip_prefix(&self.prefix[..]).and_then(|rest| rest.strip_suffix(SUFFIX));
        middle.is_some_and(|middle| !middle.is_empty() && middle.iter().all(u8::is_ascii_hexdigit))
    }
}

/// How often a file is made before the attempt is given up: another run takes one for stale only
/// between two system calls.
const ATTEMPTS: usize = 100;

/// The target's directory. All names are looked up in this open directory, so it does not matter
/// when a path to it changes its meaning.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) path: PathBuf,
    /// Whether `fd` can be listed and synced, or only be looked up in.
    readable: bool,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Directory, Error> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()) {
            // A directory one may write to but not list is unusual, but a directory.
            Err(Errno::ACCESS) => system::open_for_lookup(path).map(|fd| (fd, false)),
            other => other.map(|fd| (fd, true)).map_err(io::Error::from),
        };
        let path = path.to_owned();
        match opened {
            Ok((fd, readable)) => Ok(Directory { fd: Arc::new(fd), path, readable }),
            Err(source) => Err(Error::Open { path, source }),
        }
    }

    /// Whether `name` is a name of `file`.
    pub(crate) fn names(&self, name: &OsStr, file: &File) -> bool {
        is_name_of(&self.fd, name, file)
    }

    /// Whether the directory keeps this user from replacing a file in it: it is sticky, and both
    /// are others'.
    pub(crate) fn keeps(&self, file: &Stat) -> bool {
        let user = rustix::process::geteuid();
        let others = |stat: &Stat| stat.st_uid != user.as_raw();
        rustix::fs::fstat(&self.fd).is_ok_and(|dir| {
            Mode::from_raw_mode(dir.st_mode).contains(Mode::SVTX) && !user.is_root() && others(&dir) && others(file)
        })
    }

    /// Whether something can be made in it, for `target`; nothing is.
    pub(crate) fn check_writable(&self, target: &Path) -> Result<(), Error> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::accessat(&self.fd, ".", access, AtFlags::EACCESS)
            .map_err(|source| Error::Create { path: target.to_owned(), source: source.into() })
    }

    /// Removes the temporary files of dead runs. It is no error if that fails: they are only in the
    /// way.
    pub(crate) fn remove_stale(&self, names: &TemporaryNames) {
        if !self.readable {
            return;
        }
        let Ok(entries) = rustix::fs::Dir::read_from(&self.fd) else { return };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_bytes();
            if names.contains(name) {
                self.remove_if_stale(OsStr::from_bytes(name));
            }
        }
    }

    fn remove_if_stale(&self, name: &OsStr) {
        // Whatever is not a regular file of this user's is not ours; opening it must neither follow
        // it nor wait for it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(&self.fd, name, flags, Mode::empty()) else { return };
        let file = File::from(fd);
        let user = rustix::process::geteuid().as_raw();
        let ours = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.uid() == user);
        // Looked up again under the lock: the name may be another run's new file by now.
        if ours && file.try_lock().is_ok() && self.names(name, &file) {
            let _ = PrivateDir::remove_stale(&self.fd, &scratch_name(name));
            let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
        }
    }

    /// Makes the scratch directory that goes with a temporary file: whoever holds the file's lock
    /// owns it.
    pub(crate) fn create_scratch(&self, name: &OsStr) -> Result<PrivateDir, Error> {
        let name = scratch_name(name);
        PrivateDir::create(&self.fd, &name).map_err(|source| Error::Create { path: self.path.join(&name), source })
    }

    /// Makes a temporary file for `target`, which is what an error is about.
    pub(crate) fn create_locked(&self, names: &TemporaryNames, target: &Path) -> Result<(File, Temporary), Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            let failed = |source| Error::Create { path: target.to_owned(), source };
            let name = names.fresh().map_err(failed)?;
            let file = match rustix::fs::openat(&self.fd, &name, flags, Mode::from_raw_mode(0o666)) {
                Ok(fd) => File::from(fd),
                Err(Errno::EXIST) => continue,
                Err(source) => return Err(failed(source.into())),
            };
            let temporary = Temporary::new(Arc::clone(&self.fd), name.clone(), &file).map_err(failed)?;
            match file.try_lock() {
                // Between creation and lock another run may have taken the file for stale.
                Ok(()) if temporary.is_there() => return Ok((file, temporary)),
                Ok(()) | Err(TryLockError::WouldBlock) => {
                    let _ = temporary.remove();
                }
                // A filesystem without locks: nobody can lock the file, so nobody takes it for
                // stale.
                Err(TryLockError::Error(_)) => return Ok((file, temporary)),
            }
        }
        Err(Error::Create { path: target.to_owned(), source: io::ErrorKind::AlreadyExists.into() })
    }

    pub(crate) fn rename_to_free_name(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rename_to_free_name(&self.fd, from, to)
    }

    /// Brings the new name to stable storage.
    pub(crate) fn sync(&self, renamed: &File) -> Result<(), Error> {
        let synced = if self.readable { sync_dir(&self.fd) } else { system::sync_filesystem(renamed) };
        synced.map_err(|source| Error::Sync { path: self.path.clone(), source })
    }
}

fn scratch_name(name: &OsStr) -> OsString {
    OsString::from_vec([name.as_bytes(), b".d"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_temporary_files_belong_to_one_target() {
        let names = TemporaryNames::for_target(OsStr::new("disk.ext4"));
        let fresh = [names.fresh().unwrap(), names.fresh().unwrap()];
        assert_ne!(fresh[0], fresh[1]);
        assert!(fresh.iter().all(|name| names.contains(name.as_bytes())), "{fresh:?}");
        for (name, ours) in [
            (".disk.ext4.0.cvbake-tmp", true),
            (".disk.ext4.0123456789abcdef.cvbake-tmp", true),
            (".disk.ext4..cvbake-tmp", false),
            (".disk.ext4.x.cvbake-tmp", false),
            (".disk.ext4.0.0.cvbake-tmp", false),
            (".disk.ext4.0.cvbake-tmp2", false),
            (".disk.0.cvbake-tmp", false),
            ("disk.ext4", false),
        ] {
            assert_eq!(names.contains(name.as_bytes()), ours, "{name}");
        }
        let (long, other) = ("x".repeat(255), "x".repeat(254));
        let long = TemporaryNames::for_target(OsStr::new(&long));
        assert!(scratch_name(&long.fresh().unwrap()).len() <= 143);
        assert!(!long.contains(TemporaryNames::for_target(OsStr::new(&other)).fresh().unwrap().as_bytes()));
    }
}
