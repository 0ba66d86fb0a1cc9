//! Extended attributes, in the inode and in their block, back to what the kernel's `getxattr`
//! returns.

use cvbake_tree::Xattr;

use super::inode::Inode;
use super::{Ext4, crc, le16, le32, masked};

const MAGIC: u32 = 0xea02_0000;

impl Ext4 {
    /// All attributes of an inode.
    pub(crate) fn xattrs(&self, inode: &Inode) -> Vec<Xattr> {
        let mut xattrs = Vec::new();
        let start = 128 + inode.extra_size();
        if inode.bytes.len() >= start + 4 && le32(&inode.bytes, start) == MAGIC {
            entries(&inode.bytes[start + 4..], 0, &mut xattrs);
        }
        let number = u64::from(le32(&inode.bytes, 0x68)) | u64::from(le16(&inode.bytes, 0x76)) << 32;
        if number != 0 {
            let block = self.block(number);
            assert_eq!((le32(&block, 0), le32(&block, 8)), (MAGIC, 1), "xattr block {number}");
            let found = crc(crc(self.seed, &number.to_le_bytes()), &masked(&block, 0x10..0x14));
            assert_eq!(le32(&block, 0x10), found, "h_checksum of xattr block {number}");
            entries(&block, 32, &mut xattrs);
        }
        xattrs
    }
}

/// Reads the entries from `at` on; values stand at offsets from the start of `bytes`.
fn entries(bytes: &[u8], mut at: usize, xattrs: &mut Vec<Xattr>) {
    while le32(bytes, at) != 0 {
        let (name_len, index) = (usize::from(bytes[at]), bytes[at + 1]);
        let offset = usize::from(le16(bytes, at + 2));
        let size = usize::try_from(le32(bytes, at + 8)).expect("a small value");
        assert_eq!(le32(bytes, at + 4), 0, "no attribute in an inode of its own");
        let suffix = &bytes[at + 16..at + 16 + name_len];
        // An empty value has no place; its offset means nothing.
        let value = if size == 0 { &[][..] } else { &bytes[offset..offset + size] };
        at += 16 + name_len.next_multiple_of(4);
        let prefix: &[u8] = match index {
            // Names in namespaces that Linux does not have: no kernel shows them.
            0 | 255 => continue,
            1 => b"user.",
            2 => b"system.posix_acl_access",
            3 => b"system.posix_acl_default",
            4 => b"trusted.",
            6 => b"security.",
            7 => b"system.",
            other => panic!("e_name_index {other}"),
        };
        let value = if matches!(index, 2 | 3) { acl(value) } else { value.to_vec() };
        xattrs.push(Xattr { name: [prefix, suffix].concat().into(), value: value.into() });
    }
}

/// ext4's own form of an ACL → the kernel's: version 1 → 2, and an id in every entry.
fn acl(stored: &[u8]) -> Vec<u8> {
    assert_eq!(le32(stored, 0), 1, "a_version");
    let mut kernel = 2u32.to_le_bytes().to_vec();
    let mut at = 4;
    while at < stored.len() {
        let named = matches!(le16(stored, at), 0x02 | 0x08);
        kernel.extend_from_slice(&stored[at..at + 4]);
        kernel.extend_from_slice(if named { &stored[at + 4..at + 8] } else { &[0xff; 4] });
        at += if named { 8 } else { 4 };
    }
    kernel
}

#[test]
fn acls_come_back_in_the_kernels_form() {
    let stored = b"\x01\0\0\0\x01\0\x07\0\x02\0\x06\0\xe8\x03\0\0\x20\0\x04\0";
    let kernel = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x06\0\xe8\x03\0\0\x20\0\x04\0\xff\xff\xff\xff";
    assert_eq!(acl(stored), kernel);
}
