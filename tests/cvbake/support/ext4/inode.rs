//! Inodes and the blocks they own.

use cvbake_tree::{Device, Time};

use super::{Ext4, crc, le16, le32, masked};

/// An inode as it stands in its table.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) number: u32,
    pub(crate) bytes: Vec<u8>,
    /// What the checksums of everything that belongs to this inode start from.
    pub(crate) seed: u32,
}

/// A run of blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) file_block: u64,
    pub(crate) disk_block: u64,
    pub(crate) blocks: u64,
    pub(crate) written: bool,
}

const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;

impl Ext4 {
    pub(crate) fn inode(&self, number: u32) -> Inode {
        let (group, at) = ((number - 1) / self.inodes_per_group, (number - 1) % self.inodes_per_group);
        let table = self.groups[group as usize].inode_table * self.block_size;
        let mut bytes = vec![0; usize::try_from(self.inode_size).unwrap()];
        let offset = table + u64::from(at) * self.inode_size;
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut bytes, offset).expect("an inode");
        let seed = crc(crc(self.seed, &number.to_le_bytes()), &bytes[0x64..0x68]);
        let wide = bytes.len() > 128 && le16(&bytes, 0x80) >= 4;
        let stored = u32::from(le16(&bytes, 0x7c)) | if wide { u32::from(le16(&bytes, 0x82)) << 16 } else { 0 };
        let zeroed = masked(&bytes, 0x7c..0x7e);
        let zeroed = if wide { masked(&zeroed, 0x82..0x84) } else { zeroed };
        let found = crc(seed, &zeroed) & if wide { !0 } else { 0xffff };
        assert_eq!(stored, found, "the checksum of inode {number}");
        Inode { number, bytes, seed }
    }

    /// All extents of an inode, in order, wherever in the tree they stand.
    pub(crate) fn extents(&self, inode: &Inode) -> Vec<Extent> {
        assert!(inode.flags() & INLINE_DATA == 0, "inode {} has no inline data", inode.number);
        if inode.flags() & EXTENTS == 0 {
            assert_eq!(inode.size(), 0, "inode {} without extents is empty", inode.number);
            return Vec::new();
        }
        let mut extents = Vec::new();
        self.extent_node(inode, &inode.bytes[0x28..0x64], None, &mut extents);
        let mut end = 0;
        for extent in &extents {
            assert!(extent.file_block >= end, "extents of inode {} are in order", inode.number);
            assert!(extent.blocks > 0 && extent.disk_block + extent.blocks <= self.blocks, "{extent:?}");
            end = extent.file_block + extent.blocks;
        }
        extents
    }

    fn extent_node(&self, inode: &Inode, node: &[u8], depth: Option<u16>, extents: &mut Vec<Extent>) {
        assert_eq!(le16(node, 0), 0xf30a, "eh_magic of inode {}", inode.number);
        let (entries, max) = (usize::from(le16(node, 2)), usize::from(le16(node, 4)));
        let found = le16(node, 6);
        assert!(depth.is_none_or(|depth| depth == found), "eh_depth of inode {}", inode.number);
        assert!(entries <= max && 12 + 12 * max <= node.len(), "eh_entries of inode {}", inode.number);
        if depth.is_some() {
            let tail = 12 + 12 * max;
            assert_eq!(crc(inode.seed, &node[..tail]), le32(node, tail), "et_checksum of inode {}", inode.number);
        }
        for entry in node[12..].chunks(12).take(entries) {
            let file_block = u64::from(le32(entry, 0));
            if found > 0 {
                let child = u64::from(le32(entry, 4)) | u64::from(le16(entry, 8)) << 32;
                self.extent_node(inode, &self.block(child), Some(found - 1), extents);
                continue;
            }
            let len = u64::from(le16(entry, 4));
            let written = len <= 32768;
            let blocks = if written { len } else { len - 32768 };
            let disk_block = u64::from(le32(entry, 8)) | u64::from(le16(entry, 6)) << 32;
            extents.push(Extent { file_block, disk_block, blocks, written });
        }
    }

    /// The content of an inode, holes as zeros.
    pub(crate) fn content<'d>(&'d self, inode: &Inode) -> Content<'d> {
        Content { disk: self, extents: self.extents(inode), at: 0, size: inode.size() }
    }
}

impl Inode {
    pub(crate) fn mode(&self) -> u16 {
        le16(&self.bytes, 0)
    }

    pub(crate) fn uid(&self) -> u32 {
        u32::from(le16(&self.bytes, 2)) | u32::from(le16(&self.bytes, 0x78)) << 16
    }

    pub(crate) fn gid(&self) -> u32 {
        u32::from(le16(&self.bytes, 0x18)) | u32::from(le16(&self.bytes, 0x7a)) << 16
    }

    pub(crate) fn size(&self) -> u64 {
        u64::from(le32(&self.bytes, 4)) | u64::from(le32(&self.bytes, 0x6c)) << 32
    }

    pub(crate) fn links(&self) -> u16 {
        le16(&self.bytes, 0x1a)
    }

    pub(crate) fn flags(&self) -> u32 {
        le32(&self.bytes, 0x20)
    }

    /// How many bytes of the inode beyond the first 128 have a meaning.
    pub(crate) fn extra_size(&self) -> usize {
        if self.bytes.len() > 128 { usize::from(le16(&self.bytes, 0x80)) } else { 0 }
    }

    /// The time at one place, with the two bits and the nanoseconds that stand at another.
    fn time(&self, at: usize, extra: usize) -> Time {
        let secs = i64::from(le32(&self.bytes, at).cast_signed());
        let extra = if self.extra_size() + 128 >= extra + 4 { le32(&self.bytes, extra) } else { 0 };
        Time { secs: secs + (i64::from(extra & 3) << 32), nanos: extra >> 2 }
    }

    pub(crate) fn mtime(&self) -> Time {
        self.time(0x10, 0x88)
    }

    pub(crate) fn atime(&self) -> Time {
        self.time(8, 0x8c)
    }

    pub(crate) fn ctime(&self) -> Time {
        self.time(0xc, 0x84)
    }

    /// The device, in the old (16 bits) or the new encoding.
    pub(crate) fn device(&self) -> Device {
        let old = le32(&self.bytes, 0x28);
        if old != 0 {
            assert!(old <= 0xffff, "inode {}: an old device number has 16 bits", self.number);
            return Device { major: old >> 8, minor: old & 0xff };
        }
        let new = le32(&self.bytes, 0x2c);
        Device { major: (new & 0xf_ff00) >> 8, minor: new & 0xff | (new >> 12) & 0xf_ff00 }
    }
}

/// Reads a file's content block by block.
#[derive(Debug)]
pub(crate) struct Content<'d> {
    disk: &'d Ext4,
    extents: Vec<Extent>,
    at: u64,
    size: u64,
}

impl std::io::Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.disk.block_size;
        if self.at == self.size {
            return Ok(0);
        }
        let (block, offset) = (self.at / size, self.at % size);
        let found = self.extents.partition_point(|extent| extent.file_block + extent.blocks <= block);
        let extent = self.extents.get(found).filter(|extent| extent.file_block <= block && extent.written);
        let len = (size - offset).min(self.size - self.at).min(buffer.len() as u64);
        let buffer = &mut buffer[..usize::try_from(len).expect("less than a block")];
        match extent {
            Some(extent) => {
                let from = (extent.disk_block + block - extent.file_block) * size + offset;
                std::os::unix::fs::FileExt::read_exact_at(&self.disk.file, buffer, from)?;
            }
            None => buffer.fill(0),
        }
        self.at += len;
        Ok(buffer.len())
    }
}
