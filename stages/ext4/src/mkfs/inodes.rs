//! Reading the inode tables that e2fsprogs wrote.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cvbake_tree::{Ino, Inode, Kind, Place, Tree, escape};
use zerocopy::FromBytes;

use super::stage::{As, number_of, staged_as};
use super::{Disk, Error};
use crate::format::group::{EXT4_BG_INODE_UNINIT, GroupDescriptor};
use crate::format::inode::{self as format, I_BLOCK_LEN, INODE_SIZE, encode_device, encode_time};
use crate::format::superblock::{COMPAT_HAS_JOURNAL, EXT4_SUPER_MAGIC, INCOMPAT_64BIT, SUPERBLOCK_OFFSET, Superblock};
use crate::format::{BLOCK_SIZE, EXT4_GOOD_OLD_FIRST_INO, EXT4_LINK_MAX, EXT4_ROOT_INO};

/// A filesystem that e2fsprogs made with our options.
pub(super) struct Filesystem {
    file: File,
    path: PathBuf,
    superblock: Superblock,
}

/// The number in the filesystem of each inode of the tree.
#[derive(Debug)]
pub(super) struct Map {
    numbers: Vec<u32>,
    /// Whether mke2fs copied the attributes of the staged root too: newer ones do.
    pub(super) root_has_xattrs: bool,
}

impl Map {
    pub(super) fn number(&self, ino: Ino) -> u32 {
        self.numbers[ino.index()]
    }
}

impl Filesystem {
    pub(super) fn open(disk: Disk<'_>) -> Result<Filesystem, Error> {
        let (path, error) = (disk.path, |source| disk.error(source));
        let file = disk.file.try_clone().map_err(error)?;
        let mut bytes = [0; size_of::<Superblock>()];
        file.read_exact_at(&mut bytes, SUPERBLOCK_OFFSET as u64).map_err(error)?;
        let superblock = Superblock::read_from_bytes(&bytes).expect("as long as a superblock");
        let expect = |what, expected: u64, found: u64| {
            let path = path.to_owned();
            if expected == found { Ok(()) } else { Err(Error::Unreadable { path, what, expected, found }) }
        };
        expect("the magic number of the superblock", EXT4_SUPER_MAGIC.into(), superblock.s_magic.get().into())?;
        expect("the block size", BLOCK_SIZE, 1024 << superblock.s_log_block_size.get().min(20))?;
        expect("the inode size", INODE_SIZE.into(), superblock.s_inode_size.get().into())?;
        let groups = u64::from(superblock.s_inodes_count.get()).checked_div(superblock.s_inodes_per_group.get().into());
        let blocks = combine(superblock.s_blocks_count_lo.get(), superblock.s_blocks_count_hi.get());
        let per_group = u64::from(superblock.s_blocks_per_group.get());
        expect("the number of groups", blocks.div_ceil(per_group.max(1)), groups.unwrap_or(0))?;
        Ok(Filesystem { file, path: path.to_owned(), superblock })
    }

    pub(super) fn has_journal(&self) -> bool {
        self.superblock.s_feature_compat.get() & COMPAT_HAS_JOURNAL != 0
    }

    pub(super) fn blocks(&self) -> u64 {
        combine(self.superblock.s_blocks_count_lo.get(), self.superblock.s_blocks_count_hi.get())
    }

    pub(super) fn free_blocks(&self) -> u64 {
        combine(self.superblock.s_free_blocks_count_lo.get(), self.superblock.s_free_blocks_count_hi.get())
    }

    pub(super) fn inodes(&self) -> u64 {
        self.superblock.s_inodes_count.get().into()
    }

    pub(super) fn free_inodes(&self) -> u64 {
        self.superblock.s_free_inodes_count.get().into()
    }

    /// Finds every inode of the tree by the modification time that it was staged with.
    pub(super) fn map(&self, tree: &Tree) -> Result<Map, Error> {
        let mut numbers = vec![0; tree.inode_count()];
        let own_lost_and_found = tree.root().child(b"lost+found").is_none();
        numbers[0] = EXT4_ROOT_INO;
        let mut root_has_xattrs = false;
        self.each_inode(&mut |number, raw| {
            if number == EXT4_ROOT_INO {
                root_has_xattrs = has_xattrs(raw);
            }
            if number < EXT4_GOOD_OLD_FIRST_INO || number == EXT4_GOOD_OLD_FIRST_INO && own_lost_and_found {
                return Ok(());
            }
            let index = number_of(raw.i_mtime.get());
            let slot = numbers.get_mut(index as usize).filter(|slot| **slot == 0);
            let slot = slot.ok_or_else(|| self.unreadable("the number kept in an inode", 0, index.into()))?;
            let staged = match staged_as(tree.inode(Ino::from_index(index as usize))) {
                As::Directory => format::S_IFDIR,
                As::File(_) | As::FileOf(_) => format::S_IFREG,
                As::Symlink(_) => format::S_IFLNK,
                As::Fifo => format::S_IFIFO,
                As::Socket => format::S_IFSOCK,
            };
            let found = raw.i_mode.get() & S_IFMT;
            if found != staged {
                return Err(self.unreadable("the type of a staged file", staged.into(), found.into()));
            }
            *slot = number;
            Ok(())
        })?;
        if let Some(missing) = numbers.iter().position(|&number| number == 0) {
            let path = Place::of(tree.inode(Ino::from_index(missing)));
            let (expected, found) = ("one".to_owned(), "none".to_owned());
            return Err(Error::Differs { path, what: "number of inodes", expected, found });
        }
        Ok(Map { numbers, root_has_xattrs })
    }

    fn unreadable(&self, what: &'static str, expected: u64, found: u64) -> Error {
        Error::Unreadable { path: self.path.clone(), what, expected, found }
    }

    /// Compares every inode with the tree.
    pub(super) fn compare(&self, tree: &Tree, map: &Map) -> Result<(), Error> {
        let mut indexes: Vec<(u32, Ino)> =
            map.numbers.iter().enumerate().map(|(index, &number)| (number, Ino::from_index(index))).collect();
        indexes.sort_unstable();
        let mut expected = indexes.into_iter().peekable();
        self.each_inode(&mut |number, raw| match expected.next_if(|next| next.0 == number) {
            Some((_, ino)) => compare(tree.inode(ino), raw).map_err(|Difference { what, expected, found }| {
                Error::Differs { path: Place::of(tree.inode(ino)), what, expected, found }
            }),
            None if number <= EXT4_GOOD_OLD_FIRST_INO => Ok(()),
            None => Err(self.unreadable("an inode that is not in the tree", 0, number.into())),
        })?;
        match expected.next() {
            None => Ok(()),
            Some((number, _)) => Err(self.unreadable("an inode that is gone", number.into(), 0)),
        }
    }

    /// Calls `each` with all inodes in use, in order of their numbers.
    fn each_inode(&self, each: &mut dyn FnMut(u32, &format::Inode) -> Result<(), Error>) -> Result<(), Error> {
        let per_group = self.superblock.s_inodes_per_group.get();
        let groups = self.superblock.s_inodes_count.get() / per_group;
        let mut table = vec![0; per_group as usize * usize::from(INODE_SIZE)];
        for group in 0..groups {
            let descriptor = self.descriptor(group)?;
            if descriptor.bg_flags.get() & EXT4_BG_INODE_UNINIT != 0 {
                continue;
            }
            let start = combine(descriptor.bg_inode_table_lo.get(), descriptor.bg_inode_table_hi.get());
            self.read(start * BLOCK_SIZE, &mut table)?;
            for (at, bytes) in table.chunks_exact(INODE_SIZE.into()).enumerate() {
                let raw = format::Inode::ref_from_bytes(bytes).expect("as long as an inode");
                if raw.i_links_count.get() > 0 {
                    let at = u32::try_from(at).expect("within a group");
                    each(group * per_group + at + 1, raw)?;
                }
            }
        }
        Ok(())
    }

    fn descriptor(&self, group: u32) -> Result<GroupDescriptor, Error> {
        let is_64bit = self.superblock.s_feature_incompat.get() & INCOMPAT_64BIT != 0;
        let size = if is_64bit { usize::from(self.superblock.s_desc_size.get()) } else { 32 };
        let mut bytes = [0; size_of::<GroupDescriptor>()];
        let len = size.min(bytes.len());
        self.read(BLOCK_SIZE + u64::from(group) * size as u64, &mut bytes[..len])?;
        Ok(GroupDescriptor::read_from_bytes(&bytes).expect("as long as a descriptor"))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(buffer, offset).map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

const S_IFMT: u16 = 0xf000;

fn combine(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

struct Difference {
    what: &'static str,
    expected: String,
    found: String,
}

/// The type and permissions of an inode as ext4 keeps them.
pub(super) fn i_mode(inode: Inode<'_>) -> u16 {
    let kind = match inode.kind() {
        Kind::Directory => format::S_IFDIR,
        Kind::File(_) => format::S_IFREG,
        Kind::Symlink(_) => format::S_IFLNK,
        Kind::CharDevice(_) => format::S_IFCHR,
        Kind::BlockDevice(_) => format::S_IFBLK,
        Kind::Fifo => format::S_IFIFO,
        Kind::Socket => format::S_IFSOCK,
    };
    kind | inode.mode()
}

fn compare(inode: Inode<'_>, raw: &format::Inode) -> Result<(), Difference> {
    fn same<T: PartialEq>(
        what: &'static str,
        expected: T,
        found: T,
        show: impl Fn(&T) -> String,
    ) -> Result<(), Difference> {
        if expected == found {
            Ok(())
        } else {
            Err(Difference { what, expected: show(&expected), found: show(&found) })
        }
    }
    let number = |number: &u64| number.to_string();
    same("mode", i_mode(inode), raw.i_mode.get(), |mode| format!("{mode:07o}"))?;
    let joined = |low: u16, high: u16| u64::from(low) | u64::from(high) << 16;
    same("owner", inode.uid().into(), joined(raw.i_uid.get(), raw.l_i_uid_high.get()), number)?;
    same("group", inode.gid().into(), joined(raw.i_gid.get(), raw.l_i_gid_high.get()), number)?;
    let times = [
        ("modification time", inode.mtime(), (raw.i_mtime, raw.i_mtime_extra)),
        ("access time", inode.atime(), (raw.i_atime, raw.i_atime_extra)),
        ("change time", inode.ctime(), (raw.i_ctime, raw.i_ctime_extra)),
    ];
    for (what, expected, found) in times {
        same(what, encode_time(expected.secs, expected.nanos), found, |time| format!("{:x}:{:x}", time.0, time.1))?;
    }
    let links = match inode.kind() {
        Kind::Directory => {
            let dirs = inode.children().filter(|(_, child)| child.is_dir()).count() as u64 + 2;
            // mke2fs makes one that the tree does not have.
            if inode.ino() == Ino::ROOT && inode.child(b"lost+found").is_none() { dirs + 1 } else { dirs }
        }
        _ => inode.name_count().into(),
    };
    same("number of links", links, raw.i_links_count.get().into(), number)?;
    let size = combine(raw.i_size_lo.get(), raw.i_size_high.get());
    match inode.kind() {
        Kind::File(data) => same("size", data.size, size, number)?,
        Kind::Symlink(target) => {
            same("length of the target", target.len() as u64, size, number)?;
            if target.len() < I_BLOCK_LEN {
                same("target", target, &raw.i_block[..target.len()], |target| escape(target))?;
            }
        }
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            let [a, b] = encode_device(device.major, device.minor);
            let expected = combine(a, b);
            let found = u64::from_le_bytes(raw.i_block[..8].try_into().expect("eight bytes"));
            same("device number", expected, found, |number| format!("{number:#x}"))?;
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    Ok(())
}

/// Whether an inode has extended attributes.
fn has_xattrs(raw: &format::Inode) -> bool {
    raw.i_file_acl_lo.get() != 0 || raw.l_i_file_acl_high.get() != 0 || raw.xattrs[..4] != [0; 4]
}

/// The most directories in one that are counted: with more, ext4 gives up counting, which libext2fs
/// can't.
pub(super) const MAX_SUBDIRECTORIES: usize = EXT4_LINK_MAX as usize - 2;
