//! Files of a disk → files of the host.
//!
//! The disk is hostile: nothing on it decides where something is written. Everything is created by
//! its plain name in a directory that is open, and what is there already is neither followed nor
//! written to: a file that is replaced is removed first, and a directory that is a symbolic link is
//! refused.
//!
//! What is written is no more than what the disk has: a block belongs to one file, a directory has
//! one name, and a file with several names is one file on the host, too. A disk of some MiB could
//! say otherwise, and fill any host.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cvbake_disk::Claims;
use cvbake_tree::read::{Content, NodeKind};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::{Entry, Filesystem, Node};
use crate::error::{ExtractError, FilesystemError};

/// How files are copied out of a disk.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Options {
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// Whether times and the set-id bits are kept.
    pub preserve: bool,
    /// Whether owners are kept, which only root can do.
    pub owners: bool,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// How many files, directories and links.
    pub files: u64,
    /// The bytes of regular files, without holes.
    pub bytes: u64,
    /// Paths that were left out: devices, pipes and sockets.
    pub left_out: Vec<PathBuf>,
}

/// Copies a file or a directory, with all that is in it, to a name in a directory of the host. A
/// `name` of `None` copies what is in the directory into that which is there.
///
/// # Errors
/// At the first thing that can't be read or written.
pub fn extract(
    filesystem: &Filesystem,
    node: &Node,
    dir: &Path,
    name: Option<&OsStr>,
    options: Options,
) -> Result<Extracted, ExtractError> {
    let wrong = |source: rustix::io::Errno| ExtractError::Write { path: dir.to_owned(), source: source.into() };
    let shown = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let handle = rustix::fs::open(shown, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let handle = handle.map_err(wrong)?;
    let mut work =
        Work { filesystem, options, done: Extracted::default(), claims: Claims::default(), linked: BTreeMap::new() };
    let mut path = dir.to_owned();
    let mut open = Vec::new();
    match name {
        Some(name) => {
            path.push(name);
            open.extend(
                work.one(handle.as_fd(), name, node, &path)?.map(|handle| (handle, path.clone(), node.clone())),
            );
        }
        None => open.push((handle, path, node.clone())),
    }
    let mut directories = BTreeSet::from([node.number]);
    let mut levels = Vec::new();
    for (handle, path, node) in open {
        levels.push(work.level(handle, path, node, name.is_some())?);
    }
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.pop() else {
            let level = levels.pop().expect("there is a last one");
            if level.is_ours {
                work.finish(level.handle.as_fd(), &level.node, &level.path)?;
            }
            continue;
        };
        let node = filesystem.node(entry.number)?;
        let name = OsStr::from_bytes(&entry.name);
        let path = level.path.join(name);
        if let Some(handle) = work.one(level.handle.as_fd(), name, &node, &path)? {
            // A directory has one name. One with several could be in itself, and some dozens in
            // each other would be more files than any host has room for.
            if !directories.insert(node.number) {
                return Err(ExtractError::SecondName { path });
            }
            levels.push(work.level(handle, path, node, true)?);
        }
    }
    Ok(work.done)
}

/// A directory of the host, open, and what is still to be put into it.
struct Level {
    handle: OwnedFd,
    path: PathBuf,
    node: Node,
    is_ours: bool,
    entries: Vec<Entry>,
}

struct Work<'f> {
    filesystem: &'f Filesystem,
    options: Options,
    done: Extracted,
    claims: Claims,
    /// Of files with several names: where the first was written.
    linked: BTreeMap<u64, Written>,
}

/// A file that was written.
struct Written {
    path: PathBuf,
    /// Which one it is, by whatever name.
    identity: (u64, u64),
}

impl Work<'_> {
    fn level(&mut self, handle: OwnedFd, path: PathBuf, node: Node, is_ours: bool) -> Result<Level, ExtractError> {
        self.filesystem.claim(&node, &mut self.claims)?;
        let mut entries = self.filesystem.read_dir(&node)?;
        entries.reverse();
        Ok(Level { handle, path, node, is_ours, entries })
    }

    /// Makes one file; a directory is given back, open.
    fn one(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        node: &Node,
        path: &Path,
    ) -> Result<Option<OwnedFd>, ExtractError> {
        let wrong = |source: rustix::io::Errno| match source {
            rustix::io::Errno::EXIST => ExtractError::Exists { path: path.to_owned() },
            source => ExtractError::Write { path: path.to_owned(), source: source.into() },
        };
        match node.kind {
            NodeKind::Directory => {
                match rustix::fs::mkdirat(dir, name, Mode::RWXU) {
                    Ok(()) => {}
                    Err(rustix::io::Errno::EXIST) if self.options.replace => {}
                    Err(error) => return Err(wrong(error)),
                }
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
                let handle = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(wrong)?;
                self.done.files += 1;
                return Ok(Some(handle));
            }
            NodeKind::File => {
                self.make_way(dir, name).map_err(wrong)?;
                if self.link(dir, name, node).map_err(wrong)? {
                    self.done.files += 1;
                    return Ok(None);
                }
                if !self.linked.contains_key(&node.number) {
                    self.filesystem.claim(node, &mut self.claims)?;
                }
                let content = self.filesystem.content(node)?;
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let handle = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map_err(wrong)?;
                let file = File::from(handle);
                self.done.bytes += copy(&*content, &file, path)?;
                self.finish(file.as_fd(), node, path)?;
                if node.links > 1 {
                    let found = rustix::fs::fstat(&file).map_err(wrong)?;
                    let written = Written { path: path.to_owned(), identity: (found.st_dev, found.st_ino) };
                    self.linked.insert(node.number, written);
                }
            }
            NodeKind::Symlink => {
                let target = self.filesystem.target(node)?;
                self.make_way(dir, name).map_err(wrong)?;
                rustix::fs::symlinkat(OsStr::from_bytes(&target), dir, name).map_err(wrong)?;
                if self.options.owners {
                    rustix::fs::chownat(dir, name, uid(node), gid(node), AtFlags::SYMLINK_NOFOLLOW).map_err(wrong)?;
                }
                if self.options.preserve {
                    rustix::fs::utimensat(dir, name, &times(node), AtFlags::SYMLINK_NOFOLLOW).map_err(wrong)?;
                }
            }
            NodeKind::CharDevice(_) | NodeKind::BlockDevice(_) | NodeKind::Fifo | NodeKind::Socket => {
                self.done.left_out.push(path.to_owned());
                return Ok(None);
            }
        }
        self.done.files += 1;
        Ok(None)
    }

    /// Gives a file that was written another name; says whether it has that now.
    fn link(&self, dir: BorrowedFd<'_>, name: &OsStr, node: &Node) -> Result<bool, rustix::io::Errno> {
        let Some(written) = self.linked.get(&node.number) else { return Ok(false) };
        match rustix::fs::linkat(rustix::fs::CWD, &written.path, dir, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(error @ rustix::io::Errno::EXIST) => return Err(error),
            // On a filesystem without such names, or with no more for this one, it is another file.
            Err(_) => return Ok(false),
        }
        // Others may have put something else where the first was: that is none of ours.
        let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if (found.st_dev, found.st_ino) == written.identity {
            return Ok(true);
        }
        rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
        Ok(false)
    }

    /// Removes what is there, if that is wanted; a directory stays, and stands in the way.
    fn make_way(&self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), rustix::io::Errno> {
        if !self.options.replace {
            return Ok(());
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Owner, then mode (a change of owner clears the set-id bits), then times.
    fn finish(&self, handle: BorrowedFd<'_>, node: &Node, path: &Path) -> Result<(), ExtractError> {
        let wrong = |source: rustix::io::Errno| ExtractError::Write { path: path.to_owned(), source: source.into() };
        if self.options.owners {
            rustix::fs::fchown(handle, uid(node), gid(node)).map_err(wrong)?;
        }
        let kept = if self.options.preserve { 0o7777 } else { 0o777 };
        rustix::fs::fchmod(handle, Mode::from_raw_mode((node.mode & kept).into())).map_err(wrong)?;
        if self.options.preserve {
            rustix::fs::futimens(handle, &times(node)).map_err(wrong)?;
        }
        Ok(())
    }
}

fn uid(node: &Node) -> Option<rustix::fs::Uid> {
    Some(rustix::fs::Uid::from_raw(node.uid))
}

fn gid(node: &Node) -> Option<rustix::fs::Gid> {
    Some(rustix::fs::Gid::from_raw(node.gid))
}

fn times(node: &Node) -> Timestamps {
    let time = |time: cvbake_tree::Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
    Timestamps { last_access: time(node.atime), last_modification: time(node.mtime) }
}

/// Copies content; holes stay holes.
fn copy(content: &dyn Content, file: &File, path: &Path) -> Result<u64, ExtractError> {
    const PIECE: u64 = 1 << 20;
    let wrong = |source| ExtractError::Write { path: path.to_owned(), source };
    let mut written = 0;
    let mut buffer = Vec::new();
    let mut at = 0;
    while let Some(range) = content.next_content(at) {
        let len = (range.end - range.start).min(PIECE);
        buffer.resize(usize::try_from(len).expect("a piece"), 0);
        content.read_at(range.start, &mut buffer).map_err(FilesystemError::Content)?;
        file.write_all_at(&buffer, range.start).map_err(wrong)?;
        written += len;
        at = range.start + len;
    }
    file.set_len(content.len_bytes()).map_err(wrong)?;
    Ok(written)
}
