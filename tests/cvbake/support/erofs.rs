//! EROFS disks, read by programs that we did not write.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cvbake_tree::{Device, Ino, Kind, Meta, Time, Xattr};
use erofs_rs::backend::SliceImage;
use erofs_rs::{EroFS, types::Inode};

use super::bake::{Bake, Place};
use super::seen::{MAX_HASHED, Seen};
use super::tools::{run, tool};

impl Place {
    pub(crate) fn erofs_disk(&self) -> PathBuf {
        self.path().join("out/disk.erofs")
    }

    /// A bake of the layout as EROFS, chosen by the disk's name.
    pub(crate) fn bake_erofs(&self) -> Bake {
        let source = format!("oci:{}:latest", self.path().join("image").display());
        let bake = Bake::of(&["bake", &source, "-o"]).arg(self.erofs_disk());
        bake.progress("none").platform("linux/amd64").store(&self.store()).env("HOME", self.path().join("home"))
    }
}

/// fsck.erofs must read all of it, and find nothing.
pub(crate) fn fsck(disk: &Path) {
    let output = run(tool("fsck.erofs", "erofs-utils").args(["-d3", "--extract"]).arg(disk));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("No errors found") && !said.contains("<E>") && !said.contains("<W>"), "{said}");
}

type Fs<'a> = EroFS<SliceImage<'a>>;

/// What the crate `erofs-rs` finds on a disk.
pub(crate) fn listing(disk: &Path) -> String {
    let bytes = std::fs::read(disk).unwrap();
    let fs = EroFS::new(SliceImage::new(&bytes)).unwrap();
    let root = fs.get_inode(fs.super_block().root_inode_id()).unwrap();
    let mut seen = Seen::new(&meta(&fs, root));
    let mut known = std::collections::HashMap::new();
    let mut todo = vec![(Ino::ROOT, b"/".to_vec())];
    while let Some((parent, path)) = todo.pop() {
        for entry in fs.read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            let (name, inode) = (entry.dir_entry.file_name(), entry.inode);
            if let Some(&ino) = known.get(&inode.id()) {
                seen.link(parent, name, ino);
                continue;
            }
            let ino = add(&fs, &mut seen, parent, name, inode);
            known.insert(inode.id(), ino);
            if inode.is_dir() {
                todo.push((ino, [&path, &b"/"[usize::from(path == b"/")..], name].concat()));
            }
        }
    }
    seen.listing()
}

fn add(fs: &Fs<'_>, seen: &mut Seen, parent: Ino, name: &[u8], inode: Inode) -> Ino {
    let meta = meta(fs, inode);
    let kind = inode.file_type();
    let device = || {
        let (major, minor) = inode.device().expect("a device has a number");
        Device { major, minor }
    };
    if inode.is_file() {
        let size = inode.data_size();
        let file = fs.open_inode_file(inode).unwrap();
        assert!(size <= MAX_HASHED || file.read_at(&mut [0], size - 1).unwrap() == 1);
        let mut content = Content { read: |bytes: &mut [u8], offset| file.read_at(bytes, offset).unwrap(), offset: 0 };
        return seen.file(parent, name, &meta, size, &mut content);
    }
    let target;
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        target = fs.read_link_inode(inode).unwrap();
        Kind::Symlink(target.as_bytes())
    } else if kind.is_char_device() {
        Kind::CharDevice(device())
    } else if kind.is_block_device() {
        Kind::BlockDevice(device())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        assert!(kind.is_socket());
        Kind::Socket
    };
    seen.add(parent, name, kind, &meta)
}

fn meta(fs: &Fs<'_>, inode: Inode) -> Meta {
    let xattr = |(name, value): (Vec<u8>, Vec<u8>)| Xattr { name: name.into(), value: value.into() };
    let (secs, nanos) = inode.modified_unix();
    Meta {
        mode: inode.permissions(),
        uid: inode.uid(),
        gid: inode.gid(),
        mtime: Time { secs, nanos },
        atime: None,
        ctime: None,
        xattrs: fs.xattrs_inode(inode).unwrap().into_iter().map(xattr).collect(),
    }
}

struct Content<F> {
    read: F,
    offset: u64,
}

impl<F: FnMut(&mut [u8], u64) -> usize> Read for Content<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = (self.read)(bytes, self.offset);
        self.offset += read as u64;
        Ok(read)
    }
}
