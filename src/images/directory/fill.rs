//! The files of a tree, made in an open directory.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use cvbake_durable::system;
use cvbake_tree::{BLOCK_SIZE, Device, FileData, Ino, Inode, Kind, Packs, Place, Tree};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::open_dir;
use crate::control::Control;
use crate::error::Error;

/// Where owners, modes and kinds stand that files of an ordinary user can't have.
const OVERRIDE_STAT: &str = "user.containers.override_stat";

/// Why a file can't be made.
pub(super) enum Failure {
    Content(io::Error),
    Host(io::Error),
    Stopped(Box<Error>),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::Host(errno.into())
    }
}

pub(super) struct Work<'t> {
    pub(super) tree: &'t Tree,
    pub(super) packs: &'t dyn Packs,
    pub(super) control: &'t Control,
    pub(super) on: &'t dyn Fn(u64),
    /// The directory that is being filled. Only one is open: an image decides how deep they are,
    /// and nobody else can move these, so that `..` leads back.
    pub(super) dir: OwnedFd,
    /// Where inodes with several names stand until they have all but the last.
    pub(super) links: OwnedFd,
    pub(super) names_left: HashMap<Ino, u32>,
    pub(super) is_root: bool,
    /// By what it is: the first path, and how many.
    pub(super) lost: BTreeMap<String, (String, u64)>,
}

impl<'t> Work<'t> {
    /// Makes all of it.
    pub(super) fn all(&mut self) -> Result<(), (Ino, Failure)> {
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
                    self.leave(self.tree.inode(dir)).map_err(|failure| (dir, failure))?;
                    stack.pop();
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &OsStr, inode: Inode<'t>) -> Result<(), Failure> {
        self.control.check().map_err(|error| Failure::Stopped(Box::new(error)))?;
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
        match *left {
            0 => rustix::fs::renameat(&self.links, &number, &self.dir, name)?,
            _ => rustix::fs::linkat(&self.links, &number, &self.dir, name, AtFlags::empty())?,
        }
        Ok(())
    }

    /// Finishes the open directory and goes back to its parent: first, because its mode may keep
    /// its owner from doing so.
    fn leave(&mut self, inode: Inode<'t>) -> Result<(), Failure> {
        if inode.ino() == Ino::ROOT {
            let dir = self.dir.try_clone().map_err(Failure::Host)?;
            return self.finish(&dir, inode, "dir");
        }
        let parent = open_dir(&self.dir, OsStr::new(".."))?;
        let dir = std::mem::replace(&mut self.dir, parent);
        self.finish(&dir, inode, "dir")
    }

    fn make(&mut self, in_links: bool, name: &OsStr, inode: Inode<'t>) -> Result<(), Failure> {
        let dir = if in_links { &self.links } else { &self.dir };
        let (kind, device, recorded) = match inode.kind() {
            Kind::Directory => unreachable!("directories are made elsewhere"),
            Kind::File(data) => {
                let file = create(dir, name)?;
                self.write(&file, data)?;
                return self.finish(&file.into(), inode, "file");
            }
            Kind::Symlink(target) => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), dir, name)?;
                return self.finish_named(in_links, name, inode);
            }
            Kind::CharDevice(device) => (FileType::CharacterDevice, Some(device), "char"),
            Kind::BlockDevice(device) => (FileType::BlockDevice, Some(device), "block"),
            Kind::Fifo => (FileType::Fifo, None, "pipe"),
            Kind::Socket => (FileType::Socket, None, "socket"),
        };
        if self.is_root {
            let number = device.map_or(0, |Device { major, minor }| rustix::fs::makedev(major, minor));
            rustix::fs::mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, number)?;
            return self.finish_named(in_links, name, inode);
        }
        let file = create(dir, name)?;
        let number = device.map(|Device { major, minor }| format!("-{major}-{minor}")).unwrap_or_default();
        self.lose("a device, pipe or socket is an empty file that records what it is", inode);
        self.finish(&file.into(), inode, &format!("{recorded}{number}"))
    }

    /// Content, without its holes.
    fn write(&self, file: &File, data: FileData<'_>) -> Result<(), Failure> {
        const PIECE: u64 = 1 << 20;
        let block = u64::from(BLOCK_SIZE);
        file.set_len(data.size).map_err(Failure::Host)?;
        let mut buffer = vec![0; usize::try_from(data.size.min(PIECE)).expect("at most a piece")];
        let mut pack_offset = data.pack_block * block;
        for segment in data.segments {
            let start = u64::from(segment.file_block) * block;
            let len = (u64::from(segment.blocks) * block).min(data.size - start);
            let mut done = 0;
            while done < len {
                self.control.check().map_err(|error| Failure::Stopped(Box::new(error)))?;
                let piece = &mut buffer[..usize::try_from((len - done).min(PIECE)).expect("at most a piece")];
                self.packs.read_at(data.pack, pack_offset + done, piece).map_err(Failure::Content)?;
                file.write_all_at(piece, start + done).map_err(Failure::Host)?;
                done += piece.len() as u64;
                (self.on)(piece.len() as u64);
            }
            pack_offset += u64::from(segment.blocks) * block;
        }
        Ok(())
    }

    /// What an open file or directory is given: the owner first, because that takes capabilities
    /// and set-id bits away, and times last.
    fn finish(&mut self, open: &OwnedFd, inode: Inode<'t>, recorded: &str) -> Result<(), Failure> {
        let set = |name: &[u8], value: &[u8]| rustix::fs::fsetxattr(open, name, value, XattrFlags::empty());
        if self.is_root {
            rustix::fs::fchown(open, Some(Uid::from_raw(inode.uid())), Some(Gid::from_raw(inode.gid())))?;
            rustix::fs::fchmod(open, Mode::from_raw_mode(inode.mode().into()))?;
            for xattr in inode.xattrs() {
                self.unless_refused(set(&xattr.name, &xattr.value), inode)?;
            }
        } else {
            for xattr in inode.xattrs() {
                match xattr.name.starts_with(b"user.") && *xattr.name != *OVERRIDE_STAT.as_bytes() {
                    true => set(&xattr.name, &xattr.value)?,
                    false => self.lose(attributes(&xattr.name), inode),
                }
            }
            let stat = format!("{}:{}:{:04o}:{recorded}", inode.uid(), inode.gid(), inode.mode());
            set(OVERRIDE_STAT.as_bytes(), stat.as_bytes())?;
            // Who made it can read and remove it, and it runs with nobody else's rights.
            let least = if inode.is_dir() { 0o700 } else { 0o600 };
            rustix::fs::fchmod(open, Mode::from_raw_mode((inode.mode() & 0o777 | least).into()))?;
        }
        Ok(rustix::fs::futimens(open.as_fd(), &times(inode))?)
    }

    /// The same of what can't be opened. Nobody else can have put another in its place.
    fn finish_named(&mut self, in_links: bool, name: &OsStr, inode: Inode<'t>) -> Result<(), Failure> {
        let is_link = matches!(inode.kind(), Kind::Symlink(_));
        let dir = if in_links { &self.links } else { &self.dir };
        if self.is_root {
            let (uid, gid) = (Uid::from_raw(inode.uid()), Gid::from_raw(inode.gid()));
            rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            if !is_link {
                rustix::fs::chmodat(dir, name, Mode::from_raw_mode(inode.mode().into()), AtFlags::empty())?;
            }
        }
        let path = system::descriptor_path(dir).join(name);
        rustix::fs::utimensat(dir, name, &times(inode), AtFlags::SYMLINK_NOFOLLOW)?;
        if self.is_root {
            for xattr in inode.xattrs() {
                let set = rustix::fs::lsetxattr(&path, &*xattr.name, &xattr.value, XattrFlags::empty());
                self.unless_refused(set, inode)?;
            }
        } else {
            if (inode.uid(), inode.gid()) != (0, 0) {
                self.lose("the owner of a symbolic link", inode);
            }
            for xattr in inode.xattrs() {
                self.lose(attributes(&xattr.name), inode);
            }
        }
        Ok(())
    }

    /// An attribute that this machine does not take, though a disk holds it, is told.
    fn unless_refused(&mut self, set: Result<(), Errno>, inode: Inode<'_>) -> Result<(), Errno> {
        match set {
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM | Errno::RANGE | Errno::TOOBIG) => {
                self.lose("attributes that this machine does not take", inode);
                Ok(())
            }
            set => set,
        }
    }

    fn lose(&mut self, what: &str, inode: Inode<'_>) {
        let lost = self.lost.entry(what.to_owned()).or_insert_with(|| (Place::of(inode).path, 0));
        lost.1 += 1;
    }
}

/// What is said of an attribute: its namespace, so that an image does not decide how much is said.
fn attributes(name: &[u8]) -> &'static str {
    match name.split(|&byte| byte == b'.').next() {
        Some(b"security") => "attributes security.*, which only root can set",
        Some(b"system") => "access control lists, which would name users of this machine",
        Some(b"trusted") => "attributes trusted.*, which only root can set",
        Some(b"user") => "the attribute user.containers.override_stat of the image, or user.* of a symbolic link",
        _ => "attributes of unknown namespaces",
    }
}

fn create(dir: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

fn times(inode: Inode<'_>) -> Timestamps {
    let time = |time: cvbake_tree::Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
    Timestamps { last_access: time(inode.atime()), last_modification: time(inode.mtime()) }
}
