//! Extended attributes, checked.

use cvbake_tree::{Xattr, escape_short};
use zerocopy::FromBytes as _;

use super::{Error, Filesystem, Node, Object};
use crate::format::inode::EXT4_INLINE_DATA_FL;
use crate::format::xattr as format;

/// An attribute where it stands.
struct Stored<'b> {
    index: u8,
    suffix: &'b [u8],
    value: &'b [u8],
}

/// The name, in namespace `system`, of the attribute that is the rest of a file's content.
const INLINE: &[u8] = b"data";

impl Filesystem {
    /// The extended attributes of an inode, sorted by name, with values as Linux hands them out.
    ///
    /// # Errors
    /// When they can't be read, or are none.
    pub fn xattrs(&self, node: &Node) -> Result<Vec<Xattr>, Error> {
        let mut xattrs = Vec::new();
        self.each_attribute(node, &mut |stored, object| {
            if !(node.has(EXT4_INLINE_DATA_FL) && is_inline(&stored)) {
                xattrs.push(decode(&stored, object)?);
            }
            Ok(())
        })?;
        xattrs.sort();
        match xattrs.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => {
                Err(Object::Attributes(node.ino).rule(format!("{} is there twice", escape_short(&pair[0].name))))
            }
            None => Ok(xattrs),
        }
    }

    /// What stands there of the content of an inode with inline data.
    pub(super) fn inline_attribute(&self, node: &Node) -> Result<Option<Vec<u8>>, Error> {
        let mut value = None;
        self.each_attribute(node, &mut |stored, _| {
            if is_inline(&stored) {
                value = Some(stored.value.to_vec());
            }
            Ok(())
        })?;
        Ok(value)
    }

    fn each_attribute(
        &self,
        node: &Node,
        each: &mut dyn FnMut(Stored<'_>, Object) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(space) = node.inner_attributes() {
            walk(space, 0, Object::Attributes(node.ino), each)?;
        }
        if node.file_acl == 0 {
            return Ok(());
        }
        let object = Object::AttributeBlock { ino: node.ino, block: node.file_acl };
        let block = self.recent_block(node.file_acl, object)?;
        let (raw, _) = format::XattrHeader::read_from_prefix(&block).expect("a block is larger");
        if raw.h_magic.get() != format::EXT4_XATTR_MAGIC {
            return Err(object.value("h_magic", raw.h_magic.get(), format::EXT4_XATTR_MAGIC.to_string()));
        }
        if raw.h_blocks.get() != 1 {
            return Err(object.value("h_blocks", raw.h_blocks.get(), "1"));
        }
        if let Some(seed) = self.seed() {
            const AT: usize = std::mem::offset_of!(format::XattrHeader, h_checksum);
            let found = seed.with(&node.file_acl.to_le_bytes()).with(&block[..AT]).with(&[0; 4]).with(&block[AT + 4..]);
            object.check(found.value(), raw.h_checksum.get())?;
        }
        walk(&block, size_of::<format::XattrHeader>(), object, each)
    }
}

fn is_inline(stored: &Stored<'_>) -> bool {
    stored.index == format::EXT4_XATTR_INDEX_SYSTEM && stored.suffix == INLINE
}

/// The entries from `at` on, up to four zeros.
fn walk(
    space: &[u8],
    mut at: usize,
    object: Object,
    each: &mut dyn FnMut(Stored<'_>, Object) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut left = space.len();
    loop {
        let rest = space.get(at..).unwrap_or_default();
        if rest.len() < 4 {
            return Err(object.rule("the list of attributes has no end"));
        }
        if rest[..4] == [0; 4] {
            return Ok(());
        }
        let Ok((raw, rest)) = format::XattrEntry::read_from_prefix(rest) else {
            return Err(object.rule("the list of attributes has no end"));
        };
        let len = usize::from(raw.e_name_len);
        let suffix = rest.get(..len).ok_or_else(|| object.value("e_name_len", raw.e_name_len, "less than is left"))?;
        if raw.e_value_inum.get() != 0 {
            return Err(object.value("e_value_inum", raw.e_value_inum.get(), "0"));
        }
        let (offset, size) = (usize::from(raw.e_value_offs.get()), raw.e_value_size.get());
        let value = match usize::try_from(size) {
            Ok(0) => Some(&[][..]),
            Ok(len) => offset.checked_add(len).and_then(|end| space.get(offset..end)),
            Err(_) => None,
        };
        let value = value.ok_or_else(|| {
            object.value("e_value_size", size, format!("a value within the {} bytes that there are", space.len()))
        })?;
        // Hundreds of them could be the same bytes.
        left = left.checked_sub(value.len()).ok_or_else(|| object.rule("its values have more bytes than there are"))?;
        each(Stored { index: raw.e_name_index, suffix, value }, object)?;
        at += size_of::<format::XattrEntry>() + len.next_multiple_of(4);
    }
}

fn decode(stored: &Stored<'_>, object: Object) -> Result<Xattr, Error> {
    let &Stored { index, suffix, value } = stored;
    let prefix: &[u8] = match index {
        format::EXT4_XATTR_INDEX_USER => b"user.",
        format::EXT4_XATTR_INDEX_TRUSTED => b"trusted.",
        format::EXT4_XATTR_INDEX_SECURITY => b"security.",
        format::EXT4_XATTR_INDEX_SYSTEM => b"system.",
        format::EXT4_XATTR_INDEX_HURD => b"gnu.",
        // What is in no namespace that has a number: e2fsprogs writes it under the first, we under
        // the second.
        0 | format::XATTR_INDEX_WHOLE_NAME => b"",
        format::EXT4_XATTR_INDEX_POSIX_ACL_ACCESS | format::EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT => {
            return acl(stored, object);
        }
        _ => return Err(object.value("e_name_index", index, "1 to 4, 6, 7, 10 or 255")),
    };
    if suffix.is_empty() || suffix.contains(&0) {
        return Err(object.rule("the name of an attribute is empty or has a NUL in it"));
    }
    Ok(Xattr { name: [prefix, suffix].concat().into(), value: value.into() })
}

/// An access control list as the kernel hands it out, from ext4's form: entries that name nobody
/// have no number there.
fn acl(stored: &Stored<'_>, object: Object) -> Result<Xattr, Error> {
    let name: &[u8] = match stored.index {
        format::EXT4_XATTR_INDEX_POSIX_ACL_ACCESS => b"system.posix_acl_access",
        _ => b"system.posix_acl_default",
    };
    let named = |rule: &str| object.rule(format!("the access control list in {}: {rule}", escape_short(name)));
    if !stored.suffix.is_empty() {
        return Err(named("something follows the name"));
    }
    let Some((version, mut entries)) = stored.value.split_first_chunk::<4>() else {
        return Err(named("it has less than 4 bytes"));
    };
    if u32::from_le_bytes(*version) != format::EXT4_ACL_VERSION {
        return Err(named("its version is not 1"));
    }
    let mut value = format::POSIX_ACL_XATTR_VERSION.to_le_bytes().to_vec();
    while !entries.is_empty() {
        let Some((head, rest)) = entries.split_first_chunk::<4>() else {
            return Err(named("its last entry is cut short"));
        };
        value.extend_from_slice(head);
        entries = rest;
        match u16::from_le_bytes([head[0], head[1]]) {
            format::ACL_USER | format::ACL_GROUP => {
                let Some((id, rest)) = entries.split_first_chunk::<4>() else {
                    return Err(named("its last entry is cut short"));
                };
                value.extend_from_slice(id);
                entries = rest;
            }
            format::ACL_USER_OBJ | format::ACL_GROUP_OBJ | format::ACL_MASK | format::ACL_OTHER => {
                value.extend_from_slice(&u32::MAX.to_le_bytes());
            }
            _ => return Err(named("an entry has an unknown tag")),
        }
    }
    Ok(Xattr { name: name.into(), value: value.into() })
}
