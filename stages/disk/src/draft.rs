//! An output that is either whole or not there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cvbake_durable::{PrivateDir, Temporary};
use rustix::fs::{AtFlags, FallocateFlags, FileType, SeekFrom};
use rustix::io::Errno;

use crate::directory::{Directory, TemporaryNames};
use crate::early::EarlySync;
use crate::{Error, Raw, Sink, Window};

/// The output under construction: a temporary file in the target's directory.
///
/// The file is locked for as long as the draft lives. The kernel drops the lock when the process
/// dies, however it dies: so a temporary file without a lock is what a dead run left, and
/// [`Draft::create`] removes it.
///
/// Dropping a draft removes the file.
#[derive(Debug)]
pub struct Draft {
    file: File,
    dir: Directory,
    temporary: Arc<Temporary>,
    /// The temporary file as a path, for messages: whoever owns the directory can put something
    /// else there.
    path: PathBuf,
    scratch: OnceLock<Arc<PrivateDir>>,
    target: PathBuf,
    target_name: OsString,
    replace: bool,
    named: bool,
    durable: bool,
    early: EarlySync,
    /// Whether other files have shared their blocks with this one.
    shares: AtomicBool,
}

impl Draft {
    /// Makes an empty temporary file for `target`, readable and writable as the process's umask
    /// says.
    ///
    /// With `replace`, a regular file at the target is replaced by [`Draft::commit`]. Links,
    /// directories and devices are never replaced and never written through.
    ///
    /// # Errors
    /// When the target is there and may not be replaced, or no file can be made beside it.
    pub fn create(target: &Path, replace: bool) -> Result<Draft, Error> {
        let (dir, target_name) = look(target, replace)?;
        let temporary = TemporaryNames::of(&target_name);
        dir.remove_stale(&temporary);
        let (file, temporary) = dir.create_locked(&temporary)?;
        let path = dir.path.join(temporary.name());
        Ok(Draft {
            file,
            dir,
            temporary: Arc::new(temporary),
            path,
            scratch: OnceLock::new(),
            target: target.to_owned(),
            target_name,
            replace,
            named: true,
            durable: true,
            early: EarlySync::default(),
            shares: AtomicBool::new(false),
        })
    }

    /// The file, readable and writable.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The temporary file's path, for messages only: what is there is for the owner of the
    /// directory to say.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The temporary file's name, for whoever handles a signal.
    #[must_use]
    pub fn temporary(&self) -> &Arc<Temporary> {
        &self.temporary
    }

    /// The path that [`Draft::commit`] will give it.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The file as a sink. What is written is brought to stable storage meanwhile, so that
    /// [`Draft::sync`] has less to wait for.
    #[must_use]
    pub fn raw(&self) -> Raw<'_> {
        let early = self.durable.then_some(&self.early);
        Raw::new(&self.file, &self.path).synced_by(early).sharing(self.shares())
    }

    /// The part of the file from `base` on, a multiple of [`Window::ALIGNMENT`], as a filesystem.
    #[must_use]
    pub fn window(&self, base: u64) -> Window<'_> {
        Window::new(self, base)
    }

    /// Gives the file its length; what was never written reads as zeros.
    ///
    /// # Errors
    /// When the filesystem does not hold a file of this length.
    pub fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|source| Error::SetLen { path: self.path.clone(), len, source })
    }

    /// Takes away what was written.
    ///
    /// Only if there is something: ext4 takes a file that was cut to nothing for one that is being
    /// replaced, and whoever closes it waits for its blocks to be allocated, stable storage asked
    /// for or not.
    ///
    /// # Errors
    /// When the file can't be cut.
    pub fn clear_all(&self) -> Result<(), Error> {
        let set_len = |source| Error::SetLen { path: self.path.clone(), len: 0, source };
        if self.file.metadata().map_err(set_len)?.len() == 0 { Ok(()) } else { self.set_len(0) }
    }

    /// Makes the file, which is empty, a copy of another one, holes included; where the filesystem
    /// can, the two share their blocks.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn copy_whole(&self, from: &File) -> Result<(), Error> {
        if rustix::fs::ioctl_ficlone(&self.file, from).is_ok() {
            return Ok(());
        }
        let path = || crate::sink::path_of(from);
        let read = |source: std::io::Error| Error::Read { path: path(), offset: 0, len: 0, source };
        let len = from.metadata().map_err(read)?.len();
        let content = || content(from, len);
        self.check_room(content().map(|range| range.end - range.start).sum())?;
        self.set_len(len)?;
        // Not shared, as was just seen, whatever is elsewhere.
        let raw = self.raw().sharing(false);
        content().try_for_each(|Range { start, end }| raw.copy_at(start, from, start, end - start))
    }

    /// Makes a part of the file read as zeros, and frees what it took where the filesystem can do
    /// that.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn clear(&self, range: Range<u64>) -> Result<(), Error> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let (mut offset, mut len) = (range.start, range.end - range.start);
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if len == 0 || rustix::fs::fallocate(&self.file, punch, offset, len).is_ok() {
            return Ok(());
        }
        // Not every filesystem has holes, and those of a network may not say so.
        while len > 0 {
            let piece = usize::try_from(len).map_or(ZEROS.len(), |len| len.min(ZEROS.len()));
            self.raw().write_at(offset, &ZEROS[..piece])?;
            (offset, len) = (offset + piece as u64, len - piece as u64);
        }
        Ok(())
    }

    /// Whether files in a directory can share their blocks with this one, as XFS and Btrfs can
    /// within one filesystem.
    ///
    /// To be asked while the draft is empty: it is tried out. The draft remembers the answer, for
    /// what is shared is not written early.
    #[must_use]
    pub fn shares_blocks_with(&self, dir: &Path) -> bool {
        let Ok(mut probe) = tempfile::tempfile_in(dir) else { return false };
        let shared = probe.write_all(&[1; 4096]).is_ok() && rustix::fs::ioctl_ficlone(&self.file, &probe).is_ok();
        let shared = self.clear_all().is_ok() && shared;
        self.shares.store(shared, Ordering::Relaxed);
        shared
    }

    /// Whether it was found to share blocks with other files.
    pub(crate) fn shares(&self) -> bool {
        self.shares.load(Ordering::Relaxed)
    }

    /// Makes an empty private directory beside the target for whatever the work needs. It goes with
    /// the draft.
    ///
    /// # Errors
    /// When it can't be made, or was made before.
    pub fn scratch(&self) -> Result<Arc<PrivateDir>, Error> {
        let made = Arc::new(self.dir.create_scratch(self.temporary.name())?);
        Ok(Arc::clone(self.scratch.get_or_init(|| made)))
    }

    /// Decides whether the file is on stable storage before it gets the target's name; it is,
    /// unless told otherwise. If not, a crash of the machine may leave a file of that name with
    /// anything in it.
    pub fn set_durable(&mut self, durable: bool) {
        self.durable = durable;
    }

    /// Brings the file to stable storage, so that [`Draft::commit`] has nothing left to wait for.
    ///
    /// # Errors
    /// When that fails.
    pub fn sync(&self) -> Result<(), Error> {
        if !self.durable {
            return Ok(());
        }
        // An error is told only once, and may have been told to the other thread.
        let early = self.early.end();
        early.and(self.file.sync_all()).map_err(|source| Error::Sync { path: self.path.clone(), source })
    }

    /// Brings the file to stable storage and gives it the target's name, which is then there to
    /// stay, too.
    ///
    /// # Errors
    /// When it can't be synced or renamed, something appeared at the target that may not be
    /// replaced, or somebody has put something else in the place of the file. The file is removed
    /// then.
    pub fn commit(mut self) -> Result<(), Error> {
        self.sync()?;
        self.publish()?;
        if self.durable { self.dir.sync(&self.file) } else { Ok(()) }
    }

    fn publish(&mut self) -> Result<(), Error> {
        self.scratch.take().iter().for_each(|scratch| scratch.remove());
        check_target(&self.dir, &self.target, &self.target_name, self.replace)?;
        let swapped = |path: &Path| Err(Error::Swapped { path: path.to_owned() });
        if !self.temporary.is_there() {
            return swapped(&self.path);
        }
        let name = self.temporary.name();
        let renamed = if self.replace {
            rustix::fs::renameat(&self.dir.fd, name, &self.dir.fd, &self.target_name)
        } else {
            self.dir.rename_to_free_name(name, &self.target_name)
        };
        match renamed {
            // Whoever can rename things here could do so between the look and the renaming as well.
            Ok(()) if !self.dir.names(&self.target_name, &self.file) => swapped(&self.target),
            Ok(()) => {
                self.named = false;
                Ok(())
            }
            Err(Errno::EXIST) if !self.replace => Err(Error::Exists { path: self.target.clone() }),
            Err(source) => {
                let (from, to) = (self.path.clone(), self.target.clone());
                Err(Error::Rename { from, to, source: source.into() })
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named {
            self.scratch.take().iter().for_each(|scratch| scratch.remove());
            // There is nobody left to tell; the next run tries again.
            let _ = self.temporary.remove();
        }
    }
}

/// Whether a draft could be made for a target, as far as that can be told without making anything.
///
/// # Errors
/// As [`Draft::create`].
pub fn check(target: &Path, replace: bool) -> Result<(), Error> {
    look(target, replace)?.0.check_writable(target)
}

/// The directory of a target, and its name there.
fn look(target: &Path, replace: bool) -> Result<(Directory, OsString), Error> {
    let no_name = || Error::NoName { path: target.to_owned() };
    // `Path` takes `disk/` and `disk/.` for `disk`; the kernel and the user don't.
    if matches!(target.as_os_str().as_bytes(), [.., b'/'] | [.., b'/', b'.']) {
        return Err(no_name());
    }
    let name = target.file_name().ok_or_else(no_name)?.to_owned();
    let dir = Directory::open(match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    })?;
    check_target(&dir, target, &name, replace)?;
    Ok((dir, name))
}

/// What of a file of this length is no hole. Where holes can't be asked for, all is content.
pub fn content(file: &File, len: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return None,
            Err(_) => at,
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(len).min(len);
        Some(start..at)
    })
}

fn check_target(dir: &Directory, target: &Path, name: &OsStr, replace: bool) -> Result<(), Error> {
    let path = || target.to_owned();
    match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(source) => Err(Error::Open { path: path(), source: source.into() }),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            // Said now, and not when all the work is done.
            FileType::RegularFile if replace && dir.keeps(&stat) => {
                Err(Error::Foreign { path: path(), owner: stat.st_uid })
            }
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
