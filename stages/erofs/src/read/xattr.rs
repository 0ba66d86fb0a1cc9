//! Extended attributes, checked.

use cvbake_tree::{Xattr, escape_short};
use zerocopy::FromBytes as _;

use super::{Error, Filesystem, Node, Object};
use crate::format as f;

/// The attributes that several inodes have, as far as they were read.
#[derive(Default)]
pub(super) struct Shared {
    known: std::collections::BTreeMap<u32, Xattr>,
    bytes: u64,
}

impl Filesystem {
    /// The extended attributes of an inode, sorted by name, with values as Linux hands them out.
    ///
    /// # Errors
    /// When they can't be read, or are none.
    pub fn xattrs(&self, node: &Node) -> Result<Vec<Xattr>, Error> {
        let object = Object::Attributes(node.nid);
        if node.xattr_len == 0 {
            return Ok(Vec::new());
        }
        let len = usize::try_from(node.xattr_len).expect("16 bits count it");
        let body = self.bytes(node.place.end, len, object)?;
        let (header, mut rest) = f::XattrIbodyHeader::read_from_prefix(&body).expect("it counts as one");
        let shared = usize::from(header.h_shared_count) * 4;
        let ids = rest.split_off(..shared).ok_or_else(|| {
            let expected = format!("at most {}", rest.len() / 4);
            object.value("h_shared_count", header.h_shared_count, expected)
        })?;
        let mut xattrs = Vec::new();
        for id in ids.chunks_exact(4) {
            xattrs.push(self.shared(u32::from_le_bytes(id.try_into().expect("four bytes")))?);
        }
        while !rest.is_empty() {
            let Some((raw, behind)) = f::XattrEntry::read_from_prefix(rest).ok() else {
                return Err(object.rule("the last attribute is cut off"));
            };
            let (len, whole) = lengths(&raw);
            let Some(bytes) = behind.get(..len) else {
                return Err(object.value("e_value_size", raw.e_value_size.get(), "less than is left"));
            };
            xattrs.push(decode(&raw, bytes, object)?);
            rest = rest.get(whole..).unwrap_or_default();
        }
        xattrs.sort();
        let sum: usize = xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        if sum > f::XATTR_BODY_MAX {
            let expected = format!("at most {}, as many as fit behind an inode", f::XATTR_BODY_MAX);
            return Err(object.value("the sum of their bytes", sum as u64, expected));
        }
        match xattrs.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(object.rule(format!("{} is there twice", escape_short(&pair[0].name)))),
            None => Ok(xattrs),
        }
    }

    /// One that several inodes have. All of them together are no more than the filesystem is long:
    /// else they overlap.
    fn shared(&self, id: u32) -> Result<Xattr, Error> {
        let object = Object::Shared(id);
        let mut shared = self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = shared.known.get(&id) {
            return Ok(known.clone());
        }
        let at = self.superblock.xattr_at + 4 * u64::from(id);
        let raw = self.bytes(at, size_of::<f::XattrEntry>(), object)?;
        let raw = f::XattrEntry::read_from_bytes(&raw).expect("as many bytes");
        let (len, whole) = lengths(&raw);
        let bytes = self.bytes(at + size_of::<f::XattrEntry>() as u64, len, object)?;
        let xattr = decode(&raw, &bytes, object)?;
        shared.bytes += whole as u64;
        if shared.bytes > self.info().len_bytes() {
            return Err(object.rule("it overlaps others"));
        }
        shared.known.insert(id, xattr.clone());
        Ok(xattr)
    }
}

/// How long name and value are, and all of it.
fn lengths(raw: &f::XattrEntry) -> (usize, usize) {
    let len = usize::from(raw.e_name_len) + usize::from(raw.e_value_size.get());
    (len, (size_of::<f::XattrEntry>() + len).next_multiple_of(4))
}

fn decode(raw: &f::XattrEntry, bytes: &[u8], object: Object) -> Result<Xattr, Error> {
    let (suffix, value) = bytes.split_at(usize::from(raw.e_name_len));
    let (prefix, is_whole): (&[u8], bool) = match raw.e_name_index {
        f::EROFS_XATTR_INDEX_USER => (b"user.", false),
        f::EROFS_XATTR_INDEX_TRUSTED => (b"trusted.", false),
        f::EROFS_XATTR_INDEX_SECURITY => (b"security.", false),
        f::EROFS_XATTR_INDEX_POSIX_ACL_ACCESS => (b"system.posix_acl_access", true),
        f::EROFS_XATTR_INDEX_POSIX_ACL_DEFAULT => (b"system.posix_acl_default", true),
        index => return Err(object.value("e_name_index", index, "1, 2, 3, 4 or 6")),
    };
    if is_whole != suffix.is_empty() || suffix.contains(&0) {
        return Err(object.rule("the name of an attribute is none"));
    }
    Ok(Xattr { name: [prefix, suffix].concat().into(), value: value.into() })
}
