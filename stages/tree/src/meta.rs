//! What every inode carries, whatever its kind.

use std::sync::Arc;

use crate::FileData;

/// A moment: whole seconds since 1970-01-01 UTC (negative before it) and the nanoseconds after that
/// second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time {
    /// Whole seconds, rounded towards the past.
    pub secs: i64,
    /// Nanoseconds after `secs`, below 1,000,000,000.
    pub nanos: u32,
}

impl Time {
    /// A moment at a whole second.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Time {
        Time { secs, nanos: 0 }
    }
}

/// A device number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The device among the driver's.
    pub minor: u32,
}

/// An extended attribute: its whole name with the namespace (`security.capability`), and its value
/// as the kernel's `getxattr` returns it.
///
/// A copy shares the bytes: layers and the tree that is made of them have the same attributes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Xattr {
    /// The whole name.
    pub name: Arc<[u8]>,
    /// The value; may be empty.
    pub value: Arc<[u8]>,
}

impl Xattr {
    /// The bytes of memory that it takes, with what counters and an allocator add to name and
    /// value.
    pub(crate) fn bytes(&self) -> usize {
        const SHARED: usize = 32;
        size_of::<Xattr>() + self.name.len() + self.value.len() + 2 * SHARED
    }
}

/// The attributes of an inode, as given to a [`crate::Builder`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// When it was last read, where that is known to differ from `mtime`.
    pub atime: Option<Time>,
    /// When the inode last changed, where that is known to differ from `mtime`.
    pub ctime: Option<Time>,
    /// Extended attributes in any order, each name once.
    pub xattrs: Vec<Xattr>,
}

/// The kind of an inode, with what only that kind has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'t> {
    /// A directory; its entries are [`crate::Inode::children`].
    Directory,
    /// A regular file.
    File(FileData<'t>),
    /// A symbolic link and its target.
    Symlink(&'t [u8]),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}
