//! A tree → a directory of the host, whole or not there.
//!
//! The image is hostile: no path of it becomes a path of the host. Each file is made by its plain
//! name in a directory that is open, below a private directory where nobody else can put or move
//! anything, and symbolic links are made and never followed. What is whole gets its name by one
//! rename.
//!
//! Root gives files what the image says. Anybody else owns all files, and what those should be
//! stands in `user.containers.override_stat`, as podman and fuse-overlayfs write and read it:
//! `uid:gid:mode:type`, with devices, pipes and sockets as empty files. What can't even be recorded
//! is told.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_durable::{PrivateDir, sync_dir, system};
use cvbake_tree::{BLOCK_SIZE, Device, FileData, Ino, Inode, Kind, Packs, Place, Tree};
use rustix::fs::{AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::control::Control;
use crate::error::{DirectoryError, Error};

/// What could not be represented, one kind of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotKept {
    /// What it is.
    pub what: String,
    /// The path of the first file, escaped.
    pub first: String,
    /// How many files it is about.
    pub files: u64,
}

/// Where owners, modes and kinds stand that files of an ordinary user can't have.
const OVERRIDE_STAT: &str = "user.containers.override_stat";

/// A directory under construction.
pub(super) struct NewDirectory {
    parent: Arc<OwnedFd>,
    path: PathBuf,
    private: PrivateDir,
    /// Held as long as this lives: by it, others know that somebody is at work.
    _lock: OwnedFd,
}

impl NewDirectory {
    /// Makes a private directory beside the one that is wanted.
    pub(super) fn create(path: &Path, control: &Control) -> Result<NewDirectory, Error> {
        let failed = |source: io::Error| DirectoryError::Write { path: path.to_owned(), source };
        let name = path.file_name().ok_or_else(|| DirectoryError::Occupied { path: path.to_owned() })?;
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(beside, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let parent = Arc::new(parent);
        if !is_free(&parent, name).map_err(|errno| failed(errno.into()))? {
            return Err(DirectoryError::Occupied { path: path.to_owned() }.into());
        }
        let temporary = [b".", name.as_bytes(), b".cvbake"].concat();
        let temporary = OsStr::from_bytes(&temporary);
        // What a killed run has left: nobody holds its lock.
        if let Ok(left) = open_dir(&parent, temporary) {
            match rustix::fs::flock(&left, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(DirectoryError::Busy { path: path.to_owned() }.into()),
                _ => PrivateDir::remove_stale(&parent, temporary).map_err(failed)?,
            }
        }
        let make = || PrivateDir::create(&parent, temporary).map_err(failed);
        let private = control.during(make, |private| Some(private.temporary()))?;
        let lock = open_dir(&parent, temporary).map_err(|errno| failed(errno.into()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
        Ok(NewDirectory { parent, path: path.to_owned(), private, _lock: lock })
    }

    /// Fills it.
    pub(super) fn fill(
        &self,
        tree: &Tree,
        packs: &dyn Packs,
        control: &Control,
        on: &dyn Fn(u64),
    ) -> Result<Vec<NotKept>, Error> {
        let open = |name: &str| {
            let dir = rustix::fs::open(self.private.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::fs::mkdirat(&dir, name, Mode::RWXU)?;
            open_dir(&dir, OsStr::new(name))
        };
        let opened = open(ROOT).and_then(|dir| Ok((dir, open(LINKS)?)));
        let (dir, links) = opened.map_err(|errno| self.failed(errno.into()))?;
        let mut work = Work {
            tree,
            packs,
            control,
            on,
            dir,
            links,
            names_left: HashMap::new(),
            is_root: rustix::process::geteuid().is_root(),
            lost: BTreeMap::new(),
        };
        work.all().map_err(|(ino, failure)| {
            let path = Place::of(tree.inode(ino));
            match failure {
                Failure::Content(source) => cvbake_rootfs::Error::Content { path: path.path, source }.into(),
                Failure::Host(source) => {
                    let dir = self.path.clone();
                    DirectoryError::File { dir, file: path.path, source }.into()
                }
                Failure::Stopped(error) => error,
            }
        })?;
        let not_kept = work.lost.into_iter();
        Ok(not_kept.map(|(what, (first, files))| NotKept { what, first, files }).collect())
    }

    /// Gives it its name.
    pub(super) fn commit(self, control: &Control) -> Result<(), Error> {
        let inside = || rustix::fs::open(self.private.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let inside = inside().map_err(|errno| self.failed(errno.into()))?;
        system::sync_filesystem(&File::from(inside.try_clone().map_err(|source| self.failed(source))?))
            .map_err(|source| self.failed(source))?;
        let name = self.path.file_name().expect("it was looked at");
        control.commit(|| match rustix::fs::renameat(&inside, ROOT, &self.parent, name) {
            Ok(()) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                Err(DirectoryError::Occupied { path: self.path.clone() })
            }
            Err(errno) => Err(self.failed(errno.into())),
        })?;
        sync_dir(&self.parent).map_err(|source| self.failed(source))?;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> DirectoryError {
        DirectoryError::Write { path: self.path.clone(), source }
    }
}

/// Names in the private directory.
const ROOT: &str = "root";
const LINKS: &str = "links";

/// Whether nothing has a name, or an empty directory, which gives way.
fn is_free(parent: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    match open_dir(parent, name) {
        Ok(dir) => {
            for entry in rustix::fs::Dir::read_from(dir)? {
                if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open_dir(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

enum Failure {
    Content(io::Error),
    Host(io::Error),
    Stopped(Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::Host(errno.into())
    }
}

struct Work<'t> {
    tree: &'t Tree,
    packs: &'t dyn Packs,
    control: &'t Control,
    on: &'t dyn Fn(u64),
    /// The directory that is being filled. Only one is open: an image decides how deep they are,
    /// and nobody else can move these, so that `..` leads back.
    dir: OwnedFd,
    /// Where inodes with several names stand until they have all but the last.
    links: OwnedFd,
    names_left: HashMap<Ino, u32>,
    is_root: bool,
    /// By what it is: the first path, and how many.
    lost: BTreeMap<String, (String, u64)>,
}

impl<'t> Work<'t> {
    fn all(&mut self) -> Result<(), (Ino, Failure)> {
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
        self.control.check().map_err(Failure::Stopped)?;
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
                self.control.check().map_err(Failure::Stopped)?;
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
