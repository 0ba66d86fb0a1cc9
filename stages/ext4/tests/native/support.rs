//! Makes trees with content, and disks from them.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cvbake_disk::{Raw, RawDisk, Sink};
use cvbake_ext4::read::{Files, Filesystem, as_kept};
use cvbake_ext4::{Layout, Options};
use cvbake_tree::{Builder, FileData, Ino, Inode, Kind, Meta, Packs, Segment, Time, Tree};
use ext4_view::{Ext4, Ext4Read, FileType, PathBuf};

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

    pub(crate) fn dir(&mut self, parent: Ino, name: &[u8]) -> Ino {
        self.add(parent, name, Kind::Directory, &mode(0o755))
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

/// Options with an identity and a seed that are not zero.
pub(crate) fn options() -> Options {
    Options {
        uuid: *b"\x00\x11\x22\x33\x44\x55\x46\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        hash_seed: *b"\x01\x02\x03\x04\x05\x06\x47\x08\x89\x0a\x0b\x0c\x0d\x0e\x0f\x10",
        label: b"cvbake".to_vec(),
        epoch: 1_700_000_000,
        ..Options::default()
    }
}

/// A disk in a temporary file.
pub(crate) struct Disk {
    pub(crate) file: tempfile::NamedTempFile,
}

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Plans and writes.
pub(crate) fn bake(tree: &Tree, packs: &dyn Packs, options: &Options) -> Disk {
    let layout = Layout::plan(tree, options).unwrap();
    let file = tempfile::Builder::new().suffix(".ext4").tempfile().unwrap();
    file.as_file().set_len(layout.len_bytes()).unwrap();
    write(&layout, tree, packs, &Raw::new(file.as_file(), file.path()));
    Disk { file }
}

pub(crate) fn write(layout: &Layout, tree: &Tree, packs: &dyn Packs, sink: &dyn Sink) {
    layout.write_metadata(tree, sink).unwrap();
    let mut buffer = vec![0; 256 * 4096];
    for placement in layout.placements() {
        let mut done = 0;
        while done < placement.blocks {
            let piece = (placement.blocks - done).min(256);
            let bytes = &mut buffer[..usize::try_from(piece).unwrap() * 4096];
            packs.read_at(placement.pack, (placement.pack_block + done) * 4096, bytes).unwrap();
            sink.write_at((placement.disk_block + done) * 4096, bytes).unwrap();
            done += piece;
        }
    }
}

/// A program of e2fsprogs, which an ordinary user's `PATH` need not have.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
    command
}

/// e2fsck must find nothing at all.
pub(crate) fn fsck(path: &Path) {
    let output = tool("e2fsck").args(["-fn"]).arg(path).output().expect("e2fsck (Debian: e2fsprogs)");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let silent = text.lines().all(|line| line.starts_with("Pass ") || line.is_empty() || line.ends_with(" blocks"));
    assert!(output.status.success() && silent, "e2fsck: {}\n{text}\n{errors}", output.status);
}

/// What a debugfs command says.
pub(crate) fn debugfs(path: &Path, command: &str) -> String {
    let output = tool("debugfs").args(["-R", command]).arg(path).output().expect("debugfs (Debian: e2fsprogs)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Opens a disk with our own reader.
pub(crate) fn open(disk: &Path) -> Arc<Filesystem> {
    Arc::new(Filesystem::open(Arc::new(RawDisk::new(File::open(disk).unwrap()).unwrap())).unwrap())
}

/// A listing with a checksum of each file's content.
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

/// Reads everything back with our own reader, attributes and content: it must be what was written.
pub(crate) fn read_back(disk: &Path, tree: &Tree, packs: &dyn Packs) -> Files {
    let files = open(disk).tree().unwrap();
    let found = listing(files.tree(), &files);
    let expected = expected(tree, packs);
    let lost_found = tree.root().child(b"lost+found").is_none();
    let found: Vec<&str> = found.lines().filter(|line| !lost_found || !line.starts_with("/lost+found dir ")).collect();
    for (found, expected) in found.iter().zip(expected.lines()) {
        assert_eq!(*found, expected);
    }
    assert_eq!(found.len(), expected.lines().count());
    files
}

/// The listing of a tree as a disk keeps it.
fn expected(tree: &Tree, packs: &dyn Packs) -> String {
    let mut copy = copy(tree);
    as_kept(&mut copy);
    listing(&copy, packs)
}

/// The same tree once more.
fn copy(tree: &Tree) -> Tree {
    let meta = |inode: Inode<'_>| Meta {
        mode: inode.mode(),
        uid: inode.uid(),
        gid: inode.gid(),
        mtime: inode.mtime(),
        atime: Some(inode.atime()),
        ctime: Some(inode.ctime()),
        xattrs: inode.xattrs().to_vec(),
    };
    let mut builder = Builder::new(&meta(tree.root()));
    let mut copies = vec![None; tree.inode_count()];
    copies[0] = Some(Ino::ROOT);
    for dir in tree.inodes().filter(|inode| inode.is_dir()) {
        let parent = copies[dir.ino().index()].expect("a directory stands before what is in it");
        for (name, inode) in dir.children() {
            match copies[inode.ino().index()] {
                Some(known) => builder.link(parent, name, known).unwrap(),
                None => {
                    let added = builder.add(parent, name, inode.kind(), &meta(inode)).unwrap();
                    copies[inode.ino().index()] = Some(added);
                }
            }
        }
    }
    builder.finish().unwrap()
}

struct Reader(File);

impl Ext4Read for Reader {
    fn read(&mut self, start: u64, buffer: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        Ok(self.0.read_exact_at(buffer, start)?)
    }
}

/// Reads everything back with another reader. Returns how many names it followed.
pub(crate) fn compare(disk: &Path, tree: &Tree, packs: &dyn Packs) -> usize {
    read_back(disk, tree, packs);
    let view = Ext4::load(Box::new(Reader(File::open(disk).unwrap()))).unwrap();
    let mut seen = 0;
    let mut stack = vec![(b"/".to_vec(), tree.root())];
    while let Some((path, dir)) = stack.pop() {
        let mut found: Vec<(Vec<u8>, FileType)> = view
            .read_dir(&PathBuf::new(&path))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().as_ref().to_vec(), entry.file_type().unwrap()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut expected: Vec<(Vec<u8>, FileType)> =
            dir.children().map(|(name, inode)| (name.to_vec(), file_type(inode))).collect();
        expected.extend([b".".to_vec(), b"..".to_vec()].map(|name| (name, FileType::Directory)));
        if path == b"/" && dir.child(b"lost+found").is_none() {
            expected.push((b"lost+found".to_vec(), FileType::Directory));
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected, "{}", path.escape_ascii());
        for (name, inode) in dir.children() {
            let mut path = path.clone();
            if path != b"/" {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            // The crate takes times whose lower half is negative for corruption, and no longer
            // paths.
            let negative = |time: Time| time.secs & 0x8000_0000 != 0;
            if path.len() < 4096 && ![inode.mtime(), inode.atime(), inode.ctime()].into_iter().any(negative) {
                compare_inode(&view, &path, inode, packs);
                seen += 1;
                if inode.is_dir() {
                    stack.push((path, inode));
                }
            }
        }
    }
    seen
}

fn file_type(inode: Inode<'_>) -> FileType {
    match inode.kind() {
        Kind::Directory => FileType::Directory,
        Kind::File(_) => FileType::Regular,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::CharDevice(_) => FileType::CharacterDevice,
        Kind::BlockDevice(_) => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
    }
}

fn compare_inode(view: &Ext4, path: &[u8], inode: Inode<'_>, packs: &dyn Packs) {
    let shown = path.escape_ascii().to_string();
    let path = PathBuf::new(path);
    let meta = view.symlink_metadata(&path).unwrap();
    assert_eq!((meta.mode(), meta.uid(), meta.gid()), (inode.mode(), inode.uid(), inode.gid()), "{shown}");
    for (found, expected) in [(meta.modified(), inode.mtime()), (meta.accessed(), inode.atime())] {
        assert_eq!((found.seconds(), found.nanoseconds()), (expected.secs, expected.nanos), "{shown}");
    }
    match inode.kind() {
        Kind::Symlink(target) => assert_eq!(view.read_link(&path).unwrap().as_ref(), target, "{shown}"),
        Kind::File(data) => {
            assert_eq!(meta.len(), data.size, "{shown}");
            let mut file = view.open(&path).unwrap();
            let mut found = Vec::new();
            let each = &mut |expected: &[u8]| {
                found.resize(expected.len(), 0);
                let mut done = 0;
                while done < found.len() {
                    let read = file.read_bytes(&mut found[done..]).unwrap();
                    assert!(read > 0, "{shown} is too short");
                    done += read;
                }
                assert!(found == expected, "{shown} has other content");
                Ok(())
            };
            data.read(packs, each).unwrap();
            assert_eq!(file.read_bytes(&mut [0]).unwrap(), 0, "{shown} is too long");
        }
        _ => {}
    }
}
