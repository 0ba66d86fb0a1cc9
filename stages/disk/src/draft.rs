//! An output that is either whole or not there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::{Error, Raw};

/// The output under construction: a temporary file in the target's directory.
///
/// The file is locked for as long as the draft lives. The kernel drops the lock when the process dies, however it dies:
/// so a temporary file without a lock is what a dead run left, and [`Draft::create`] removes it.
///
/// Dropping a draft removes the file.
#[derive(Debug)]
pub struct Draft {
    file: File,
    dir: Directory,
    name: OsString,
    /// The temporary file as a path, for programs and messages.
    path: PathBuf,
    target: PathBuf,
    target_name: OsString,
    replace: bool,
    named: bool,
}

impl Draft {
    /// Makes an empty temporary file for `target`, readable and writable as the process's umask says.
    ///
    /// With `replace`, a regular file at the target is replaced by [`Draft::commit`]. Links, directories and devices are
    /// never replaced and never written through.
    ///
    /// # Errors
    /// When the target is there and may not be replaced, or no file can be made beside it.
    pub fn create(target: &Path, replace: bool) -> Result<Draft, Error> {
        let no_name = || Error::NoName { path: target.to_owned() };
        // `Path` takes `disk/` and `disk/.` for `disk`; the kernel and the user don't.
        if matches!(target.as_os_str().as_bytes(), [.., b'/'] | [.., b'/', b'.']) {
            return Err(no_name());
        }
        let target_name = target.file_name().ok_or_else(no_name)?.to_owned();
        let dir = Directory::open(match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })?;
        check_target(&dir, target, &target_name, replace)?;
        let temporary = TemporaryNames::of(&target_name);
        dir.remove_stale(&temporary);
        let (file, name) = dir.create_locked(&temporary)?;
        let path = dir.path.join(&name);
        Ok(Draft { file, dir, name, path, target: target.to_owned(), target_name, replace, named: true })
    }

    /// The file, readable and writable.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The temporary file's path, for programs that write it; it stays the same file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path that [`Draft::commit`] will give it.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The file as a sink.
    #[must_use]
    pub fn raw(&self) -> Raw<'_> {
        Raw::new(&self.file, &self.path)
    }

    /// Gives the file its length; what was never written reads as zeros.
    ///
    /// # Errors
    /// When the filesystem does not hold a file of this length.
    pub fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|source| Error::SetLen { path: self.path.clone(), len, source })
    }

    /// Brings the file to stable storage and gives it the target's name.
    ///
    /// # Errors
    /// When it can't be synced or renamed, or something appeared at the target that may not be replaced. The file is
    /// removed then.
    pub fn commit(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::Sync { path: self.path.clone(), source })?;
        check_target(&self.dir, &self.target, &self.target_name, self.replace)?;
        let renamed = if self.replace {
            rustix::fs::renameat(&self.dir.fd, &self.name, &self.dir.fd, &self.target_name)
        } else {
            self.dir.rename_to_free_name(&self.name, &self.target_name)
        };
        match renamed {
            Ok(()) => self.named = false,
            Err(Errno::EXIST) if !self.replace => return Err(Error::Exists { path: self.target.clone() }),
            Err(source) => {
                let (from, to) = (self.path.clone(), self.target.clone());
                return Err(Error::Rename { from, to, source: source.into() });
            }
        }
        self.dir.sync(&self.file)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named && self.dir.names(&self.name, &self.file) {
            // There is nobody left to tell; the next run tries again.
            let _ = rustix::fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        }
    }
}

fn check_target(dir: &Directory, target: &Path, name: &OsStr, replace: bool) -> Result<(), Error> {
    let path = || target.to_owned();
    match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(source) => Err(Error::Open { path: path(), source: source.into() }),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if replace => Ok(()),
            FileType::RegularFile => Err(Error::Exists { path: path() }),
            other => Err(Error::NotAFile { path: path(), found: describe(other) }),
        },
    }
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a directory",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::RegularFile | FileType::Unknown => "no regular file",
    }
}

/// The names of temporary files for one target: `.disk.ext4.0.cvbake-tmp` and so on.
#[derive(Debug)]
struct TemporaryNames {
    prefix: Vec<u8>,
}

const SUFFIX: &[u8] = b".cvbake-tmp";

/// Longer targets are named by a hash in their temporary's name, which must not get longer than the shortest limit
/// in use: 143 bytes on eCryptfs.
const LONGEST_SPELLED: usize = 100;

impl TemporaryNames {
    fn of(target_name: &OsStr) -> TemporaryNames {
        let target = target_name.as_bytes();
        let mut prefix = vec![b'.'];
        if target.len() <= LONGEST_SPELLED {
            prefix.extend_from_slice(target);
        } else {
            // FNV-1a. Two targets with one hash only share their numbers.
            let hash = target
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            prefix.extend_from_slice(format!("{hash:016x}").as_bytes());
        }
        prefix.push(b'.');
        TemporaryNames { prefix }
    }

    fn number(&self, number: u32) -> OsString {
        OsString::from_vec([&self.prefix, number.to_string().as_bytes(), SUFFIX].concat())
    }

    fn contains(&self, name: &[u8]) -> bool {
        let number = name.strip_prefix(&self.prefix[..]).and_then(|rest| rest.strip_suffix(SUFFIX));
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    }
}

/// How many temporary files one target may have at once: as many runs, and more than any user starts.
const MAX_DRAFTS: u32 = 1000;

/// The target's directory. All names are looked up in this open directory, so it does not matter when a path to it
/// changes its meaning.
#[derive(Debug)]
struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// Whether `fd` can be listed and synced, or only be looked up in.
    readable: bool,
}

impl Directory {
    fn open(path: &Path) -> Result<Directory, Error> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()) {
            // A directory one may write to but not list is unusual, but a directory.
            Err(Errno::ACCESS) => rustix::fs::open(path, flags | OFlags::PATH, Mode::empty()).map(|fd| (fd, false)),
            other => other.map(|fd| (fd, true)),
        };
        let path = path.to_owned();
        match opened {
            Ok((fd, readable)) => Ok(Directory { fd, path, readable }),
            Err(source) => Err(Error::Open { path, source: source.into() }),
        }
    }

    /// Whether `name` is a name of `file`.
    fn names(&self, name: &OsStr, file: &File) -> bool {
        let here = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let same = |a: &Stat, b: &Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        matches!((here, rustix::fs::fstat(file)), (Ok(here), Ok(file)) if same(&here, &file))
    }

    /// Removes the temporary files of dead runs. It is no error if that fails: they are only in the way.
    fn remove_stale(&self, names: &TemporaryNames) {
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
        // Whatever is not a regular file is not ours; opening it must neither follow it nor wait for it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(&self.fd, name, flags, Mode::empty()) else { return };
        let file = File::from(fd);
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        // Looked up again under the lock: the name may be another run's new file by now.
        if regular && file.try_lock().is_ok() && self.names(name, &file) {
            let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
        }
    }

    fn create_locked(&self, names: &TemporaryNames) -> Result<(File, OsString), Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let create = |name: &OsStr| rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o666));
        for number in 0..MAX_DRAFTS {
            let name = names.number(number);
            let error = |source| Err(Error::Create { path: self.path.join(&name), source });
            let file = match create(&name) {
                Ok(fd) => File::from(fd),
                Err(Errno::EXIST) => continue,
                Err(source) => return error(source.into()),
            };
            match file.try_lock() {
                // Between creation and lock another run may have taken the file for stale.
                Ok(()) if self.names(&name, &file) => return Ok((file, name)),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // A filesystem without locks: nobody can lock the file, so nobody takes it for stale.
                Err(TryLockError::Error(_)) => return Ok((file, name)),
            }
        }
        let path = self.path.join(names.number(MAX_DRAFTS - 1));
        Err(Error::Create { path, source: io::ErrorKind::AlreadyExists.into() })
    }

    fn rename_to_free_name(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_to_free_name(from, to),
            other => other,
        }
    }

    /// The same on a filesystem that only renames as POSIX says (NFS, FUSE, 9p).
    fn link_to_free_name(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        match rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Ok(()) => {
                // Should this fail, the target is nevertheless whole, and the next run removes the other name.
                let _ = rustix::fs::unlinkat(&self.fd, from, AtFlags::empty());
                Ok(())
            }
            // Nor hard links: the target was free a moment ago, and nothing better can be had.
            Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => rustix::fs::renameat(&self.fd, from, &self.fd, to),
            Err(error) => Err(error),
        }
    }

    /// Brings the new name to stable storage.
    fn sync(&self, renamed: &File) -> Result<(), Error> {
        let synced = if self.readable { rustix::fs::fsync(&self.fd) } else { rustix::fs::syncfs(renamed) };
        match synced {
            // Some filesystems sync no directories (EINVAL); there is nothing else to ask them for.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(source) => Err(Error::Sync { path: self.path.clone(), source: source.into() }),
        }
    }
}
