//! Directories, and the walk from the root.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use cvbake_tree::{Ino, Kind, Meta};

use super::super::seen::Seen;
use super::inode::Inode;
use super::{Ext4, crc, le16, le32};

const ROOT: u32 = 2;
const INDEXED: u32 = 0x1000;

/// The listing of a disk.
pub(crate) fn listing(path: &Path) -> String {
    let disk = Ext4::open(path);
    let root = disk.inode(ROOT);
    let mut seen = Seen::new(&disk.meta(&root));
    let mut links = HashMap::new();
    // Its own stack: an image chooses the depth.
    let mut stack = vec![(root, Ino::ROOT)];
    while let Some((dir, ino)) = stack.pop() {
        for (name, number, file_type) in disk.entries(&dir) {
            let inode = disk.inode(number);
            assert!(inode.links() > 0, "{} has links", name.escape_ascii());
            assert_eq!(file_type, kind_of(&inode), "file_type of {}", name.escape_ascii());
            if let Some(&first) = links.get(&number) {
                seen.link(ino, &name, first);
                continue;
            }
            let meta = disk.meta(&inode);
            let child = match inode.mode() >> 12 {
                0o10 => seen.file(ino, &name, &meta, inode.size(), &mut disk.content(&inode)),
                0o04 => seen.add(ino, &name, Kind::Directory, &meta),
                0o12 => seen.add(ino, &name, Kind::Symlink(&disk.target(&inode)), &meta),
                0o02 => seen.add(ino, &name, Kind::CharDevice(inode.device()), &meta),
                0o06 => seen.add(ino, &name, Kind::BlockDevice(inode.device()), &meta),
                0o01 => seen.add(ino, &name, Kind::Fifo, &meta),
                0o14 => seen.add(ino, &name, Kind::Socket, &meta),
                other => panic!("{}: the type {other:o} is none", name.escape_ascii()),
            };
            links.insert(number, child);
            if inode.mode() >> 12 == 0o04 {
                stack.push((inode, child));
            }
        }
    }
    seen.listing()
}

/// What a directory entry calls an inode of this mode.
fn kind_of(inode: &Inode) -> u8 {
    match inode.mode() >> 12 {
        0o10 => 1,
        0o04 => 2,
        0o02 => 3,
        0o06 => 4,
        0o01 => 5,
        0o14 => 6,
        0o12 => 7,
        _ => 0,
    }
}

impl Ext4 {
    /// The inode of a path of plain names; links are not followed.
    pub(crate) fn lookup(&self, path: &[u8]) -> Inode {
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).fold(self.inode(ROOT), |dir, name| {
            let entry = self.entries(&dir).into_iter().find(|entry| entry.0 == name);
            self.inode(entry.unwrap_or_else(|| panic!("{} is on the disk", path.escape_ascii())).1)
        })
    }

    fn meta(&self, inode: &Inode) -> Meta {
        Meta {
            mode: inode.mode() & 0o7777,
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime(),
            atime: Some(inode.atime()),
            ctime: Some(inode.ctime()),
            xattrs: self.xattrs(inode),
        }
    }

    /// A symbolic link's target: in the inode when it is short, in a block otherwise.
    fn target(&self, inode: &Inode) -> Vec<u8> {
        let size = usize::try_from(inode.size()).expect("a link fits memory");
        if size < 60 {
            return inode.bytes[0x28..0x28 + size].to_vec();
        }
        let mut target = Vec::new();
        self.content(inode).read_to_end(&mut target).expect("a block of the disk");
        target
    }

    /// Name, inode and file type of the entries, without `.` and `..`. Nodes of the index look like
    /// empty entries to a linear reader, and are checked for their checksum only.
    fn entries(&self, dir: &Inode) -> Vec<(Vec<u8>, u32, u8)> {
        let mut entries = Vec::new();
        let mut bytes = Vec::new();
        self.content(dir).read_to_end(&mut bytes).expect("blocks of the disk");
        for (at, block) in bytes.chunks(usize::try_from(self.block_size).unwrap()).enumerate() {
            self.check_block(dir, at, block);
            let mut at = 0;
            while at + 8 <= block.len() {
                let (number, len) = (le32(block, at), usize::from(le16(block, at + 4)));
                let name = &block[at + 8..at + 8 + usize::from(block[at + 6])];
                assert!(len >= 8 && len % 4 == 0 && at + len <= block.len(), "rec_len {len} in inode {}", dir.number);
                if number != 0 && name != b"." && name != b".." {
                    entries.push((name.to_vec(), number, block[at + 7]));
                }
                at += len;
            }
        }
        entries
    }

    fn check_block(&self, dir: &Inode, at: usize, block: &[u8]) {
        let what = format!("block {at} of directory {}", dir.number);
        let root = dir.flags() & INDEXED != 0 && at == 0;
        let node = dir.flags() & INDEXED != 0 && le32(block, 0) == 0 && usize::from(le16(block, 4)) == block.len();
        if root || node {
            // dx_countlimit stands behind '.' and '..' and dx_root_info, or behind the fake entry.
            let counts = if root { 0x20 } else { 8 };
            let (limit, count) = (usize::from(le16(block, counts)), usize::from(le16(block, counts + 2)));
            let tail = counts + 8 * limit;
            let sum = crc(dir.seed, &block[..counts + 8 * count]);
            let sum = crc(crc(sum, &block[tail..tail + 4]), &[0; 4]);
            assert_eq!(le32(block, tail + 4), sum, "dt_checksum of {what}");
            return;
        }
        let tail = block.len() - 12;
        assert_eq!((le32(block, tail), le16(block, tail + 4)), (0, 12), "the tail of {what}");
        assert_eq!(&block[tail + 6..tail + 8], [0, 0xde], "the tail of {what}");
        assert_eq!(le32(block, tail + 8), crc(dir.seed, &block[..tail]), "det_checksum of {what}");
    }
}
