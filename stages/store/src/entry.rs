//! Opening and inspecting a file that may be anything.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cvbake_durable::system;
use rustix::fs::{FileType, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use crate::dir::{Dir, describe};
use crate::error::{Damage, Error};
use crate::event::{Event, Observer};

/// An entry that was opened, and what it takes to remove it.
pub(crate) struct Entry {
    pub(crate) file: File,
    pub(crate) len: u64,
    dir: Dir,
    name: String,
}

/// What is wrong with an entry, or with our reading of it.
pub(crate) enum Fault {
    Damage(Damage),
    /// No fault of the entry: too many open files, no memory.
    Error(io::Error),
}

impl Entry {
    /// Opens a file in a directory of the store; a damaged one is removed and counts as absent.
    pub(crate) fn open(dir: Dir, name: String, on: Observer<'_>) -> Result<Option<Entry>, Error> {
        match open(&dir, OsStr::new(&name)) {
            Ok(None) => Ok(None),
            Ok(Some((file, len))) => Ok(Some(Entry { file, len, dir, name })),
            Err(Fault::Damage(damage)) => {
                let kept = dir.remove(OsStr::new(&name)).err();
                on(Event::Damaged { path: dir.path.join(&name), damage, kept });
                Ok(None)
            }
            Err(Fault::Error(source)) => Err(Error::Read { path: dir.path.join(&name), source }),
        }
    }

    /// Inspects a file in a directory of the store, and removes it only if it is to be repaired.
    pub(crate) fn inspect<T>(
        dir: &Dir,
        name: &str,
        repair: bool,
        check: impl FnOnce(&Entry) -> Result<T, Fault>,
    ) -> Result<Health<T>, Error> {
        let path = dir.path.join(name);
        let (checked, file) = match open(dir, OsStr::new(name)) {
            Ok(None) => return Ok(Health::Absent),
            Ok(Some((file, len))) => {
                let entry = Entry { file, len, dir: dir.clone(), name: name.to_owned() };
                (check(&entry), Some(entry.file))
            }
            Err(fault) => (Err(fault), None),
        };
        let damage = match checked {
            Ok(value) => return Ok(Health::Whole(value)),
            Err(Fault::Error(source)) => return Err(Error::Read { path, source }),
            Err(Fault::Damage(damage)) => damage,
        };
        let name = OsStr::new(name);
        // Another process may have put a good one there by now.
        let same = file.is_none_or(|file| dir.names_file(name, &file));
        if repair && same {
            dir.remove(name).map_err(|source| Error::Write { path: path.clone(), source })?;
        }
        Ok(Health::Damaged { path, damage })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path.join(&self.name)
    }

    /// Notes that the entry is used now. Where that can't be written nobody will know.
    pub(crate) fn touch(&self) {
        let _ = rustix::fs::futimens(&self.file, &used_now());
    }

    /// Passes on what a check of the entry returned; a damaged entry is removed.
    pub(crate) fn into_checked<T>(
        self,
        checked: Result<T, Fault>,
        on: Observer<'_>,
    ) -> Result<Option<(File, T)>, Error> {
        let path = self.path();
        match checked {
            Ok(value) => Ok(Some((self.file, value))),
            Err(Fault::Error(source)) => Err(Error::Read { path, source }),
            Err(Fault::Damage(damage)) => {
                // Another process may have put a good one there by now.
                let name = OsStr::new(&self.name);
                let kept = if self.dir.names_file(name, &self.file) { self.dir.remove(name).err() } else { None };
                on(Event::Damaged { path, damage, kept });
                Ok(None)
            }
        }
    }
}

/// What an inspection of a thing in the store finds.
#[derive(Debug)]
pub enum Health<T> {
    /// It is not there.
    Absent,
    /// It is as it should be.
    Whole(T),
    /// It is not.
    Damaged {
        /// Where it stands, or stood.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// The time of the last use is now; that of the last change stays.
pub(crate) fn used_now() -> Timestamps {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Timestamps { last_access: at(UTIME_NOW), last_modification: at(UTIME_OMIT) }
}

/// When something was made and when it was used.
pub(crate) fn times(stat: &Stat) -> (SystemTime, SystemTime) {
    let made = time(stat.st_mtime, stat.st_mtime_nsec);
    (made, made.max(time(stat.st_atime, stat.st_atime_nsec)))
}

/// A time as `stat` has it: what types its numbers have depends on the processor and the system.
fn time(seconds: impl TryInto<u64>, nanoseconds: impl TryInto<u32>) -> SystemTime {
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    let since = seconds.try_into().ok().map(|seconds| Duration::new(seconds, nanoseconds));
    since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)).unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(crate) fn len_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

pub(crate) fn open(dir: &Dir, name: &OsStr) -> Result<Option<(File, u64)>, Fault> {
    // Looked at first: opening a device may do things.
    match dir.stat(name) {
        Ok(stat) => check_kind(FileType::from_raw_mode(stat.st_mode))?,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(fault(error.into())),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // A look is no use: the time of the last one stays what it is.
    let file = match system::open_unnoticed(&dir.fd, name, flags) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Fault::Damage(Damage::Kind { found: describe(FileType::Symlink) })),
        Err(error) => return Err(fault(error.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| fault(error.into()))?;
    check_kind(FileType::from_raw_mode(stat.st_mode))?;
    Ok(Some((file, len_bytes(&stat))))
}

fn check_kind(kind: FileType) -> Result<(), Fault> {
    if kind == FileType::RegularFile { Ok(()) } else { Err(Fault::Damage(Damage::Kind { found: describe(kind) })) }
}

/// Whose fault it is that an entry can't be read: the medium's (another copy may be readable) or
/// this process's.
pub(crate) fn fault(error: io::Error) -> Fault {
    if is_ours(&error) { Fault::Error(error) } else { Fault::Damage(Damage::Unreadable(error)) }
}

/// Whether it is this process's.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_type() {
        let expected = SystemTime::UNIX_EPOCH + Duration::new(5, 7);
        // x86-64; 32 bits; s390x; macOS
        assert_eq!(time(5_i64, 7_u64), expected);
        assert_eq!(time(5_i64, 7_u32), expected);
        assert_eq!(time(5_u64, 7_u64), expected);
        assert_eq!(time(5_i64, 7_i64), expected);
        assert_eq!(time(-5_i64, 7_i64), SystemTime::UNIX_EPOCH, "before there was anything");
        assert_eq!(time(5_i32, -7_i32), SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    }
}
