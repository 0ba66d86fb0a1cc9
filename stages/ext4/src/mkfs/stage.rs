//! The directory that mke2fs copies: all that an ordinary user can make, and placeholders.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cvbake_tree::{BLOCK_SIZE, FileData, Ino, Inode, Kind, Packs, Place, Tree};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::Error;
use crate::format::inode::I_BLOCK_LEN;

/// The staged root, in the scratch directory.
pub(super) const TREE: &str = "tree";
/// Where inodes with several names wait for them.
const LINKS: &str = "links";

/// Removes what is staged when it is dropped: it is a copy of all content, so that should not be
/// later than necessary.
pub(super) struct Cleanup<'t> {
    pub(super) scratch: &'t Path,
}

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        // What stays is in the caller's directory, who removes that.
        let Ok(scratch) = open_dir(CWD, self.scratch.as_os_str()) else { return };
        for name in [TREE, LINKS] {
            let _ = cvbake_durable::remove_dir(&scratch, OsStr::new(name));
        }
    }
}

/// The longest list of extended attributes that Linux gives.
const XATTR_LIST_MAX: usize = 65536;

/// What is known about the staged files, besides that they are there.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Attributes that the host gave the files (labels of a security module, inherited access
    /// control lists), by inode. mke2fs copies them, so they have to be removed.
    pub(super) xattrs: HashMap<Ino, Vec<Vec<u8>>>,
}

/// As what a file is staged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum As<'t> {
    Directory,
    File(FileData<'t>),
    /// A file with these bytes, for a symbolic link that has several names and a block of its own:
    /// mke2fs finds out that two names are one file unless it is a link or a directory.
    FileOf(&'t [u8]),
    Symlink(&'t [u8]),
    /// For pipes, devices, and symbolic links that have several names and fit in the inode.
    Fifo,
    Socket,
}

pub(super) fn staged_as(inode: Inode<'_>) -> As<'_> {
    match inode.kind() {
        Kind::Directory => As::Directory,
        Kind::File(data) => As::File(data),
        Kind::Symlink(target) if inode.name_count() < 2 => As::Symlink(target),
        Kind::Symlink(target) if target.len() >= I_BLOCK_LEN => As::FileOf(target),
        Kind::Symlink(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo => As::Fifo,
        Kind::Socket => As::Socket,
    }
}

/// The modification time that stands for a number: before 1970, because e2fsprogs from 1.47.1 on
/// cuts later times to the time that is given to it. [`number_of`] is the inverse, of what ext4
/// keeps of it.
fn time_of(ino: Ino) -> i64 {
    -1 - i64::try_from(ino.index()).expect("a tree holds fewer than 2^32 inodes")
}

pub(super) fn number_of(i_mtime: u32) -> u32 {
    !i_mtime
}

/// Stages a tree.
pub(super) fn stage(tree: &Tree, packs: &dyn Packs, scratch: &Path) -> Result<Staged, Error> {
    let open = |name: &str| {
        let path = scratch.join(name);
        let made = rustix::fs::mkdir(&path, Mode::RWXU).and_then(|()| open_dir(CWD, path.as_os_str()));
        made.map_err(|source| Error::Io { path, source: source.into() })
    };
    let mut stage = Stage {
        tree,
        packs,
        dir: open(TREE)?,
        links: open(LINKS)?,
        names_left: HashMap::new(),
        names: vec![0; XATTR_LIST_MAX],
        staged: Staged::default(),
    };
    stage.run().map_err(|(ino, source)| {
        let path = Place::of(tree.inode(ino));
        match source {
            Failure::Content(source) => Error::Content { path, source },
            Failure::Host(source) => Error::Stage { path, dir: cvbake_durable::shown(scratch), source },
        }
    })?;
    Ok(stage.staged)
}

fn open_dir(parent: impl std::os::fd::AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Whose fault it is that a file can't be staged.
enum Failure {
    Content(io::Error),
    Host(io::Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::Host(errno.into())
    }
}

struct Stage<'t> {
    tree: &'t Tree,
    packs: &'t dyn Packs,
    /// The directory that is being filled. Only one is open: an image decides how deep they are,
    /// and nobody else can move these, so that `..` leads back.
    dir: OwnedFd,
    links: OwnedFd,
    /// The names still to be made of inodes that have several.
    names_left: HashMap<Ino, u32>,
    /// Where the kernel puts the names of extended attributes.
    names: Vec<u8>,
    staged: Staged,
}

impl<'t> Stage<'t> {
    fn run(&mut self) -> Result<(), (Ino, Failure)> {
        let mut stack = vec![(Ino::ROOT, self.tree.root().children())];
        while let Some((dir, children)) = stack.last_mut() {
            let (dir, child) = (*dir, children.next());
            match child {
                Some((name, inode)) => {
                    let name = OsStr::from_bytes(name);
                    self.add(name, inode).map_err(|failure| (inode.ino(), failure))?;
                    if inode.is_dir() {
                        stack.push((inode.ino(), inode.children()));
                    }
                }
                None => {
                    self.leave(dir).map_err(|failure| (dir, failure))?;
                    stack.pop();
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &OsStr, inode: Inode<'t>) -> Result<(), Failure> {
        if inode.is_dir() {
            rustix::fs::mkdirat(&self.dir, name, Mode::RWXU)?;
            self.dir = open_dir(&self.dir, name)?;
            return Ok(());
        }
        if inode.name_count() < 2 {
            return self.make(false, name, inode);
        }
        let number = inode.ino().index().to_string();
        if !self.names_left.contains_key(&inode.ino()) {
            self.make(true, OsStr::new(&number), inode)?;
            self.names_left.insert(inode.ino(), inode.name_count());
        }
        let left = self.names_left.get_mut(&inode.ino()).expect("just put there");
        *left -= 1;
        // The last one by renaming: a file may have no more names on the host than it has in the
        // image.
        if *left == 0 {
            rustix::fs::renameat(&self.links, &number, &self.dir, name)?;
        } else {
            rustix::fs::linkat(&self.links, &number, &self.dir, name, AtFlags::empty())?;
        }
        Ok(())
    }

    fn make(&mut self, in_links: bool, name: &OsStr, inode: Inode<'t>) -> Result<(), Failure> {
        let dir = if in_links { &self.links } else { &self.dir };
        let special = |kind| rustix::fs::mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, 0);
        match staged_as(inode) {
            As::Directory => unreachable!("directories are made elsewhere"),
            As::Fifo => special(FileType::Fifo)?,
            As::Socket => special(FileType::Socket)?,
            As::Symlink(target) => rustix::fs::symlinkat(OsStr::from_bytes(target), dir, name)?,
            As::FileOf(bytes) => create(dir, name)?.write_all_at(bytes, 0).map_err(Failure::Host)?,
            As::File(data) => self.fill(&create(dir, name)?, data)?,
        }
        rustix::fs::utimensat(dir, name, &times(inode.ino()), AtFlags::SYMLINK_NOFOLLOW)?;
        let path = proc_path(dir, name);
        self.note_xattrs(inode.ino(), |buffer| rustix::fs::llistxattr(&path, buffer))
    }

    fn fill(&self, file: &File, data: FileData<'_>) -> Result<(), Failure> {
        const PIECE: u64 = 256 * 1024;
        let block = u64::from(BLOCK_SIZE);
        file.set_len(data.size).map_err(Failure::Host)?;
        let mut buffer = vec![0; usize::try_from(data.size.min(PIECE)).expect("at most a piece")];
        let mut pack_offset = data.pack_block * block;
        for segment in data.segments {
            let start = u64::from(segment.file_block) * block;
            let len = (u64::from(segment.blocks) * block).min(data.size - start);
            let mut done = 0;
            while done < len {
                let piece = &mut buffer[..usize::try_from((len - done).min(PIECE)).expect("at most a piece")];
                self.packs.read_at(data.pack, pack_offset + done, piece).map_err(Failure::Content)?;
                file.write_all_at(piece, start + done).map_err(Failure::Host)?;
                done += piece.len() as u64;
            }
            pack_offset += u64::from(segment.blocks) * block;
        }
        Ok(())
    }

    /// Finishes the open directory and goes back to its parent.
    fn leave(&mut self, dir: Ino) -> Result<(), Failure> {
        rustix::fs::futimens(&self.dir, &times(dir))?;
        let fd = self.dir.try_clone().map_err(Failure::Host)?;
        self.note_xattrs(dir, |buffer| rustix::fs::flistxattr(&fd, buffer))?;
        if dir != Ino::ROOT {
            self.dir = open_dir(&self.dir, OsStr::new(".."))?;
        }
        Ok(())
    }

    fn note_xattrs(&mut self, ino: Ino, list: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Result<(), Failure> {
        match list(&mut self.names) {
            // None, or a filesystem without them.
            Ok(0) | Err(Errno::OPNOTSUPP) => Ok(()),
            Ok(len) => {
                let names = self.names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
                self.staged.xattrs.insert(ino, names.map(<[u8]>::to_vec).collect());
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

fn create(dir: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

fn times(ino: Ino) -> Timestamps {
    let time = Timespec { tv_sec: time_of(ino), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// A name in an open directory as a path: there is no `listxattrat` (before Linux 6.13).
fn proc_path(dir: &OwnedFd, name: &OsStr) -> std::path::PathBuf {
    cvbake_durable::system::descriptor_path(dir).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_is_removed() {
        let meta = cvbake_tree::Meta::default();
        let mut builder = cvbake_tree::Builder::new(&meta);
        let mut dir = Ino::ROOT;
        // Deeper than most limits on open files.
        for _ in 0..1500 {
            dir = builder.add(dir, b"d", Kind::Directory, &meta).unwrap();
            builder.add(dir, b"f", Kind::Fifo, &meta).unwrap();
        }
        let link = builder.add(dir, b"link", Kind::Symlink(b"t"), &meta).unwrap();
        builder.link(Ino::ROOT, b"same", link).unwrap();
        let tree = builder.finish().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        stage(&tree, &Vec::<Vec<u8>>::new(), scratch.path()).unwrap();
        assert!(scratch.path().join(TREE).join("d/d/d/f").exists());
        drop(Cleanup { scratch: scratch.path() });
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn numbers_come_back_from_times() {
        for index in [0, 1, 1000, i32::MAX.unsigned_abs()] {
            let time = time_of(Ino::from_index(index as usize));
            assert!(time < 0);
            let [a, b, c, d, ..] = time.to_le_bytes();
            assert_eq!(number_of(u32::from_le_bytes([a, b, c, d])), index);
        }
    }
}
