//! From the plan to bytes.

use cvbake_disk::Sink;
use cvbake_tree::{Inode, Kind, Tree};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use crate::format as f;
use crate::format::{BLOCK_LEN, BLOCK_SIZE, SLOT};
use crate::layout::chunks::Stored;
use crate::layout::directory::{self, Entry};
use crate::layout::inode::Form;
use crate::layout::xattr::{Attribute, attributes};
use crate::{Error, Layout};

mod stream;

use stream::Stream;

impl Layout {
    /// Writes all but the content of files: what the disk needs besides [`Layout::placements`].
    ///
    /// # Errors
    /// When the sink refuses the bytes.
    ///
    /// # Panics
    /// If `tree` is not the tree that was planned for.
    pub fn write_metadata(&self, tree: &Tree, sink: &dyn Sink) -> Result<(), Error> {
        assert_eq!(tree.inode_count(), self.metadata.slots.len(), "the layout belongs to another tree");
        let mut stream = Stream::new(sink);
        stream.put(&self.superblock())?;
        for (inode, &slot) in tree.inodes().zip(&self.metadata.slots) {
            stream.seek(self.placed.meta.start * BLOCK_SIZE + u64::from(slot) * SLOT)?;
            self.write_inode(inode, &mut stream)?;
        }
        stream.seek(self.placed.meta.end * BLOCK_SIZE)?;
        for inode in tree.inodes() {
            self.write_blocks(inode, &mut stream)?;
        }
        stream.flush()
    }

    /// Block 0.
    fn superblock(&self) -> [u8; BLOCK_LEN] {
        let number = |block: u64| U32::new(u32::try_from(block).expect("blocks have 32-bit numbers"));
        let mut volume_name = [0; f::VOLUME_NAME_LEN];
        volume_name[..self.options.label.len()].copy_from_slice(&self.options.label);
        let mut superblock = f::SuperBlock {
            magic: U32::new(f::EROFS_SUPER_MAGIC_V1),
            checksum: U32::new(0),
            feature_compat: U32::new(f::EROFS_FEATURE_COMPAT_SB_CHKSUM | f::EROFS_FEATURE_COMPAT_MTIME),
            blkszbits: f::BLOCK_BITS,
            sb_extslots: 0,
            root_nid: U16::new(u16::try_from(self.nid(0)).expect("the root stands first")),
            inos: U64::new(self.inode_count()),
            build_time: U64::new(self.options.epoch.cast_unsigned()),
            build_time_nsec: U32::new(0),
            blocks: number(self.placed.blocks),
            meta_blkaddr: number(self.meta_blkaddr()),
            xattr_blkaddr: U32::new(0),
            uuid: self.options.uuid,
            volume_name,
            feature_incompat: U32::new(if self.metadata.has_chunks {
                f::EROFS_FEATURE_INCOMPAT_CHUNKED_FILE
            } else {
                0
            }),
            unused: [0; 44],
        };
        let mut block = [0; BLOCK_LEN];
        let place = f::EROFS_SUPER_OFFSET..f::EROFS_SUPER_OFFSET + size_of::<f::SuperBlock>();
        block[place.clone()].copy_from_slice(superblock.as_bytes());
        superblock.checksum = U32::new(f::checksum(&block[f::EROFS_SUPER_OFFSET..]));
        block[place].copy_from_slice(superblock.as_bytes());
        block
    }

    /// An inode, and what stands behind it.
    fn write_inode(&self, inode: Inode<'_>, stream: &mut Stream<'_>) -> Result<(), Error> {
        let form = self.metadata.form(inode);
        self.write_fields(inode, &form, stream)?;
        write_xattrs(&attributes(inode)?, stream)?;
        match (inode.kind(), form.stored) {
            (Kind::Directory, _) if form.inline > 0 => {
                let entries = directory::entries(inode);
                let last = directory::blocks(&entries).last().expect("the dots are there");
                self.write_entries(last, stream)
            }
            (Kind::Symlink(target), _) if form.inline > 0 => stream.put(target),
            (Kind::File(data), Stored::Chunked(chunks)) => {
                let start = self.placed.starts[inode.ino().index()];
                chunks.map(data.segments, start).try_for_each(|place| stream.put(&place.to_le_bytes()))
            }
            _ => Ok(()),
        }
    }

    fn write_fields(&self, inode: Inode<'_>, form: &Form, stream: &mut Stream<'_>) -> Result<(), Error> {
        let start = self.placed.starts[inode.ino().index()];
        let (file_type, i_u, layout) = match inode.kind() {
            Kind::File(_) => match form.stored {
                Stored::Chunked(chunks) => (f::S_IFREG, chunks.bits, f::EROFS_INODE_CHUNK_BASED),
                Stored::Empty | Stored::Plain => (f::S_IFREG, start, f::EROFS_INODE_FLAT_PLAIN),
            },
            Kind::Directory => (f::S_IFDIR, start, flat(form)),
            Kind::Symlink(_) => (f::S_IFLNK, start, flat(form)),
            Kind::CharDevice(device) => {
                (f::S_IFCHR, f::encode_device(device.major, device.minor), f::EROFS_INODE_FLAT_PLAIN)
            }
            Kind::BlockDevice(device) => {
                (f::S_IFBLK, f::encode_device(device.major, device.minor), f::EROFS_INODE_FLAT_PLAIN)
            }
            Kind::Fifo => (f::S_IFIFO, 0, f::EROFS_INODE_FLAT_PLAIN),
            Kind::Socket => (f::S_IFSOCK, 0, f::EROFS_INODE_FLAT_PLAIN),
        };
        let header = size_of::<f::XattrIbodyHeader>();
        let icount = (form.xattr_len as usize).checked_sub(header).map_or(0, |entries| entries / 4 + 1);
        let i_xattr_icount = U16::new(u16::try_from(icount).expect("no more than XATTR_BODY_MAX"));
        let i_mode = U16::new(file_type | inode.mode());
        let i_ino = U32::new(u32::try_from(inode.ino().index() + 1).expect("a tree has fewer than 2^32 inodes"));
        let i_u = U32::new(i_u);
        if form.is_extended {
            let mtime = inode.mtime();
            return stream.put(
                f::InodeExtended {
                    i_format: U16::new(layout << 1 | f::EROFS_INODE_LAYOUT_EXTENDED),
                    i_xattr_icount,
                    i_mode,
                    i_reserved: U16::new(0),
                    i_size: U64::new(form.size),
                    i_u,
                    i_ino,
                    i_uid: U32::new(inode.uid()),
                    i_gid: U32::new(inode.gid()),
                    i_mtime: U64::new(mtime.secs.cast_unsigned()),
                    i_mtime_nsec: U32::new(mtime.nanos),
                    i_nlink: U32::new(form.nlink),
                    i_reserved2: [0; 16],
                }
                .as_bytes(),
            );
        }
        let short = |number: u32| U16::new(u16::try_from(number).expect("a compact inode has small numbers"));
        stream.put(
            f::InodeCompact {
                i_format: U16::new(layout << 1),
                i_xattr_icount,
                i_mode,
                i_nlink: short(form.nlink),
                i_size: U32::new(u32::try_from(form.size).expect("a compact inode is of a small file")),
                i_reserved: U32::new(0),
                i_u,
                i_ino,
                i_uid: short(inode.uid()),
                i_gid: short(inode.gid()),
                i_reserved2: U32::new(0),
            }
            .as_bytes(),
        )
    }

    /// The blocks of a directory or of a link.
    fn write_blocks(&self, inode: Inode<'_>, stream: &mut Stream<'_>) -> Result<(), Error> {
        let form = match inode.kind() {
            Kind::Directory | Kind::Symlink(_) => self.metadata.form(inode),
            _ => return Ok(()),
        };
        if form.blocks == 0 {
            return Ok(());
        }
        let mut at = u64::from(self.placed.starts[inode.ino().index()]) * BLOCK_SIZE;
        if let Kind::Symlink(target) = inode.kind() {
            stream.seek(at)?;
            return stream.put(target);
        }
        let entries = directory::entries(inode);
        let blocks = usize::try_from(form.blocks).expect("its entries are in memory");
        for block in directory::blocks(&entries).take(blocks) {
            stream.seek(at)?;
            self.write_entries(block, stream)?;
            at += BLOCK_SIZE;
        }
        Ok(())
    }

    /// A block of a directory: the entries, then the names.
    fn write_entries(&self, block: &[Entry<'_>], stream: &mut Stream<'_>) -> Result<(), Error> {
        let mut nameoff = block.len() * f::DIRENT_LEN;
        for entry in block {
            stream.put(
                f::Dirent {
                    nid: U64::new(self.nid(entry.ino.index())),
                    nameoff: U16::new(u16::try_from(nameoff).expect("within a block")),
                    file_type: entry.file_type,
                    reserved: 0,
                }
                .as_bytes(),
            )?;
            nameoff += entry.name.len();
        }
        block.iter().try_for_each(|entry| stream.put(entry.name))
    }
}

/// Where the content of a directory or a link is.
fn flat(form: &Form) -> u16 {
    if form.inline > 0 { f::EROFS_INODE_FLAT_INLINE } else { f::EROFS_INODE_FLAT_PLAIN }
}

fn write_xattrs(attributes: &[Attribute<'_>], stream: &mut Stream<'_>) -> Result<(), Error> {
    if attributes.is_empty() {
        return Ok(());
    }
    let header = f::XattrIbodyHeader { h_name_filter: U32::new(0), h_shared_count: 0, h_reserved2: [0; 7] };
    stream.put(header.as_bytes())?;
    for attribute in attributes {
        let Attribute { index, suffix, value, .. } = attribute;
        let entry = f::XattrEntry {
            e_name_len: u8::try_from(suffix.len()).expect("a name has at most 255 bytes"),
            e_name_index: *index,
            e_value_size: U16::new(u16::try_from(value.len()).expect("a value has less than 64 KiB")),
        };
        stream.put(entry.as_bytes())?;
        stream.put(suffix)?;
        stream.put(value)?;
        let unpadded = entry.as_bytes().len() + suffix.len() + value.len();
        stream.put(&[0; 4][..attribute.len() - unpadded])?;
    }
    Ok(())
}
