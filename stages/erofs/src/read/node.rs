//! Inodes, checked.

use std::ops::Range;

use cvbake_tree::read::NodeKind;
use cvbake_tree::{Device, Time};
use zerocopy::FromBytes as _;

use super::{Error, Filesystem, Object};
use crate::format as f;

/// An inode of a filesystem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its number, which is its place.
    pub nid: u64,
    /// What kind of file it is.
    pub kind: NodeKind,
    /// The permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length of a file, of a symbolic link's target, or of what a directory has for names.
    pub size: u64,
    /// How many names it has, as it says itself.
    pub links: u32,
    /// When its content last changed, or the inode: EROFS has one time.
    pub mtime: Time,
    pub(super) data: Data,
    /// Where `i_u` says that content is.
    pub(super) i_u: u32,
    /// The inode on the disk, without what follows it.
    pub(super) place: Range<u64>,
    pub(super) xattr_len: u64,
}

/// How content is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Data {
    Plain,
    Inline,
    Chunks,
    Compressed,
}

impl Node {
    pub(super) fn object(&self) -> Object {
        Object::Inode(self.nid)
    }

    /// Where the attributes end: inline content or a chunk map follows.
    pub(super) fn tail_at(&self) -> u64 {
        self.place.end + self.xattr_len
    }
}

impl Filesystem {
    /// The root directory.
    ///
    /// # Errors
    /// When it can't be read, or is none.
    pub fn root(&self) -> Result<Node, Error> {
        let root = self.node(self.superblock.root_nid)?;
        match root.kind {
            NodeKind::Directory => Ok(root),
            kind => Err(root.object().rule(format!("it is {}, expected the root directory", kind.words()))),
        }
    }

    /// An inode by its number.
    ///
    /// # Errors
    /// When there can be none, or it can't be read.
    pub fn node(&self, nid: u64) -> Result<Node, Error> {
        const COMPACT: usize = size_of::<f::InodeCompact>();
        const EXTENDED: usize = size_of::<f::InodeExtended>();
        let object = Object::Inode(nid);
        let at = nid.checked_mul(f::SLOT).and_then(|at| at.checked_add(self.superblock.meta_at));
        let at = at.filter(|at| at.checked_add(COMPACT as u64).is_some_and(|end| end <= self.info().len_bytes()));
        let at = at.ok_or_else(|| {
            let slots = self.info().len_bytes().saturating_sub(self.superblock.meta_at) / f::SLOT;
            object.value("its number", nid, format!("less than {slots}"))
        })?;
        let compact = self.bytes(at, COMPACT, object)?;
        let raw = f::InodeCompact::read_from_bytes(&compact).expect("as many bytes");
        let format = raw.i_format.get();
        let data = match format >> 1 {
            f::EROFS_INODE_FLAT_PLAIN => Data::Plain,
            f::EROFS_INODE_FLAT_INLINE => Data::Inline,
            f::EROFS_INODE_CHUNK_BASED => Data::Chunks,
            f::EROFS_INODE_COMPRESSED_FULL | f::EROFS_INODE_COMPRESSED_COMPACT => Data::Compressed,
            _ => return Err(object.value("i_format", format, "0 to 9")),
        };
        let mut node = Node {
            nid,
            kind: NodeKind::File,
            mode: raw.i_mode.get() & 0o7777,
            uid: raw.i_uid.get().into(),
            gid: raw.i_gid.get().into(),
            size: raw.i_size.get().into(),
            links: raw.i_nlink.get().into(),
            mtime: self.info().made,
            data,
            i_u: raw.i_u.get(),
            place: at..at + COMPACT as u64,
            xattr_len: xattr_len(raw.i_xattr_icount.get()),
        };
        if format & f::EROFS_INODE_LAYOUT_EXTENDED != 0 {
            let extended = self.bytes(at, EXTENDED, object)?;
            let raw = f::InodeExtended::read_from_bytes(&extended).expect("as many bytes");
            let nanos = raw.i_mtime_nsec.get();
            if nanos >= 1_000_000_000 {
                return Err(object.value("i_mtime_nsec", nanos, "less than 1000000000"));
            }
            (node.uid, node.gid, node.size) = (raw.i_uid.get(), raw.i_gid.get(), raw.i_size.get());
            (node.links, node.i_u) = (raw.i_nlink.get(), raw.i_u.get());
            node.mtime = Time { secs: raw.i_mtime.get().cast_signed(), nanos };
            node.place.end = at + EXTENDED as u64;
        }
        let device = || {
            let (major, minor) = f::decode_device(node.i_u);
            Device { major, minor }
        };
        node.kind = match raw.i_mode.get() & !0o7777 {
            f::S_IFDIR => NodeKind::Directory,
            f::S_IFREG => NodeKind::File,
            f::S_IFLNK => NodeKind::Symlink,
            f::S_IFCHR => NodeKind::CharDevice(device()),
            f::S_IFBLK => NodeKind::BlockDevice(device()),
            f::S_IFIFO => NodeKind::Fifo,
            f::S_IFSOCK => NodeKind::Socket,
            _ => {
                return Err(object.value("i_mode", raw.i_mode.get(), "the kind of a file in the upper four bits"));
            }
        };
        if node.links == 0 {
            return Err(object.rule("it has a name, and is not in use"));
        }
        Ok(node)
    }
}

/// `i_xattr_icount` counts the header as one, and the rest in units of 4 bytes.
fn xattr_len(icount: u16) -> u64 {
    match u64::from(icount) {
        0 => 0,
        count => size_of::<f::XattrIbodyHeader>() as u64 + 4 * (count - 1),
    }
}
