//! Makes trees with content, and disks from them.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cvbake_disk::{Raw, Sink};
use cvbake_erofs::read::Filesystem;
use cvbake_erofs::{Layout, Options};
use cvbake_tree::{Builder, FileData, Ino, Inode, Kind, Meta, Packs, Segment, Tree};
use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;

/// A tree under construction, and the packs that its content goes to.
pub(crate) struct Maker {
    pub(crate) builder: Builder,
    pub(crate) packs: Vec<Vec<u8>>,
}

impl Maker {
    pub(crate) fn new(root: &Meta) -> Maker {
        Maker { builder: Builder::new(root), packs: vec![Vec::new(), Vec::new()] }
    }

    pub(crate) fn add(&mut self, parent: Ino, name: &[u8], kind: Kind<'_>, meta: &Meta) -> Ino {
        self.builder.add(parent, name, kind, meta).unwrap()
    }

    /// A file with this content, in a pack; blocks of zeros become holes.
    pub(crate) fn file(&mut self, parent: Ino, name: &[u8], pack: u32, content: &[u8], meta: &Meta) -> Ino {
        let store = &mut self.packs[pack as usize];
        let pack_block = store.len() as u64 / 4096;
        let mut segments: Vec<Segment> = Vec::new();
        for (at, block) in content.chunks(4096).enumerate() {
            if block.iter().all(|&byte| byte == 0) {
                continue;
            }
            store.extend_from_slice(block);
            store.resize(store.len().next_multiple_of(4096), 0);
            let file_block = u32::try_from(at).unwrap();
            match segments.last_mut() {
                Some(last) if last.file_block + last.blocks == file_block => last.blocks += 1,
                _ => segments.push(Segment { file_block, blocks: 1 }),
            }
        }
        let data = FileData { size: content.len() as u64, pack, pack_block, segments: &segments };
        self.add(parent, name, Kind::File(data), meta)
    }

    pub(crate) fn finish(self) -> (Tree, Vec<Vec<u8>>) {
        (self.builder.finish().unwrap(), self.packs)
    }
}

pub(crate) fn mode(mode: u16) -> Meta {
    Meta { mode, ..Meta::default() }
}

pub(crate) fn options() -> Options {
    Options {
        uuid: *b"\x00\x11\x22\x33\x44\x55\x46\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        label: b"cvbake".to_vec(),
        epoch: 1_700_000_000,
        base_pack: None,
    }
}

/// A disk in a temporary file.
pub(crate) struct Disk {
    pub(crate) file: tempfile::NamedTempFile,
    pub(crate) layout: Layout,
}

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Plans and writes. Content must go to blocks where nothing is yet.
pub(crate) fn bake(tree: &Tree, packs: &dyn Packs, options: &Options) -> Disk {
    let layout = Layout::plan(tree, options).unwrap();
    let file = tempfile::Builder::new().suffix(".erofs").tempfile().unwrap();
    file.as_file().set_len(layout.len_bytes()).unwrap();
    let sink = Raw::new(file.as_file(), file.path());
    layout.write_metadata(tree, &sink).unwrap();
    for placement in layout.placements() {
        for block in 0..placement.blocks {
            let mut bytes = [0; 4096];
            packs.read_at(placement.pack, (placement.pack_block + block) * 4096, &mut bytes).unwrap();
            let at = (placement.disk_block + block) * 4096;
            let mut there = [0; 4096];
            file.as_file().read_exact_at(&mut there, at).unwrap();
            assert_eq!(there, [0; 4096], "block {} is written twice", placement.disk_block + block);
            sink.write_at(at, &bytes).unwrap();
        }
    }
    assert_eq!(file.as_file().metadata().unwrap().len(), layout.len_bytes());
    Disk { file, layout }
}

/// fsck.erofs must find nothing at all.
pub(crate) fn fsck(path: &Path) {
    let output = Command::new("fsck.erofs").args(["-d3", "--extract"]).arg(path).env("LC_ALL", "C").output();
    let output = output.expect("fsck.erofs (Debian: erofs-utils)");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let found = said.contains("No errors found") && !said.contains("<E>") && !said.contains("<W>");
    assert!(output.status.success() && found, "fsck.erofs: {}\n{said}", output.status);
}

/// Reads everything back with another reader, and with the one of this crate. Returns how many
/// inodes it has seen.
pub(crate) fn compare(disk: &Path, tree: &Tree, packs: &dyn Packs) -> usize {
    let bytes = std::fs::read(disk).unwrap();
    let fs = EroFS::new(SliceImage::new(&bytes)).unwrap();
    let superblock = fs.super_block();
    assert_eq!(superblock.inos, tree.inode_count() as u64);
    let mut nids = HashMap::from([(Ino::ROOT, superblock.root_inode_id())]);
    compare_inode(&fs, superblock.root_inode_id(), tree.root(), "/", packs);
    let mut stack = vec![(tree.root(), b"/".to_vec())];
    while let Some((dir, path)) = stack.pop() {
        let found: Vec<_> = fs.read_dir(&path).unwrap().map(|entry| entry.unwrap().dir_entry).collect();
        let names: Vec<&[u8]> = found.iter().map(|entry| entry.file_name()).collect();
        assert_eq!(names, dir.children().map(|(name, _)| name).collect::<Vec<_>>(), "{}", path.escape_ascii());
        for (entry, (name, child)) in found.iter().zip(dir.children()) {
            let path = if path == b"/" { [b"/", name].concat() } else { [&path, &b"/"[..], name].concat() };
            // One inode of the tree is one inode of the disk.
            let known = nids.insert(child.ino(), entry.nid());
            assert_eq!(known.unwrap_or(entry.nid()), entry.nid());
            if known.is_none() {
                compare_inode(&fs, entry.nid(), child, &path.escape_ascii().to_string(), packs);
                if child.is_dir() {
                    stack.push((child, path));
                }
            }
        }
    }
    assert_eq!(nids.values().collect::<HashSet<_>>().len(), tree.inode_count());
    read_back(disk, tree, packs);
    nids.len()
}

fn compare_inode(fs: &EroFS<SliceImage<'_>>, nid: u64, inode: Inode<'_>, shown: &str, packs: &dyn Packs) {
    let found = fs.get_inode(nid).unwrap();
    assert_eq!(found.permissions(), inode.mode(), "{shown}");
    assert_eq!((found.uid(), found.gid()), (inode.uid(), inode.gid()), "{shown}");
    assert_eq!(found.modified_unix(), (inode.mtime().secs, inode.mtime().nanos), "{shown}");
    let xattrs = fs.xattrs_inode(found).unwrap();
    let expected = inode.xattrs().iter().map(|xattr| (xattr.name.to_vec(), xattr.value.to_vec()));
    assert_eq!(xattrs.into_iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{shown}");
    match inode.kind() {
        Kind::Directory => {
            let below = inode.children().filter(|(_, child)| child.is_dir()).count();
            assert_eq!((found.is_dir(), found.nlink() as usize), (true, below + 2), "{shown}");
        }
        Kind::File(data) => {
            assert_eq!((found.is_file(), found.nlink()), (true, inode.name_count()), "{shown}");
            assert_eq!(found.data_size(), data.size, "{shown}");
            let file = fs.open_inode_file(found).unwrap();
            let mut offset = 0;
            let each = &mut |expected: &[u8]| {
                let mut bytes = vec![1; expected.len()];
                let mut done = 0;
                while done < bytes.len() {
                    let read = file.read_at(&mut bytes[done..], offset).unwrap();
                    assert!(read > 0, "{shown} is too short");
                    (done, offset) = (done + read, offset + read as u64);
                }
                assert!(bytes == expected, "{shown} has other content");
                Ok(())
            };
            data.read(packs, each).unwrap();
        }
        Kind::Symlink(target) => {
            assert_eq!(fs.read_link_inode(found).unwrap().as_bytes(), target, "{shown}");
        }
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            let is_block = matches!(inode.kind(), Kind::BlockDevice(_));
            assert_eq!(found.file_type().is_block_device(), is_block, "{shown}");
            assert_eq!(found.device(), Some((device.major, device.minor)), "{shown}");
        }
        Kind::Fifo => assert!(found.file_type().is_fifo(), "{shown}"),
        Kind::Socket => assert!(found.file_type().is_socket(), "{shown}"),
    }
}

/// A tree as text, with the content of its files.
pub(crate) fn listing(tree: &Tree, packs: &dyn Packs) -> String {
    let mut text = Vec::new();
    let hash = &mut |inode: Inode<'_>| {
        let Kind::File(data) = inode.kind() else { unreachable!("only files are hashed") };
        let mut checksum = 0;
        data.read(packs, &mut |bytes| {
            checksum = crc32c::crc32c_append(checksum, bytes);
            Ok(())
        })?;
        Ok(Some(format!("{checksum:08x}")))
    };
    tree.listing(hash, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Reads everything back with the reader of this crate.
pub(crate) fn read_back(disk: &Path, tree: &Tree, packs: &dyn Packs) {
    let disk = cvbake_disk::RawDisk::new(std::fs::File::open(disk).unwrap()).unwrap();
    let filesystem = Arc::new(Filesystem::open(Arc::new(disk)).unwrap());
    let files = filesystem.tree().unwrap();
    assert_same(&listing(files.tree(), &files), &listing(tree, packs));
}

fn assert_same(found: &str, expected: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}
