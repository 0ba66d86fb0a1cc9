//! Extended attributes in EROFS's terms.

use cvbake_tree::{Inode, LeftOut, Place, Tree, Xattr, escape_short};

use crate::Error;
use crate::format as f;

/// An attribute in EROFS's terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attribute<'t> {
    pub(crate) index: u8,
    pub(crate) suffix: &'t [u8],
    pub(crate) value: &'t [u8],
    full_name: &'t [u8],
}

impl Attribute<'_> {
    /// The bytes it takes.
    pub(crate) fn len(&self) -> usize {
        (size_of::<f::XattrEntry>() + self.suffix.len() + self.value.len()).next_multiple_of(4)
    }
}

/// Leaves out the attributes of namespaces that EROFS has no number for, and Linux reads none of.
pub fn leave_out_unknown(tree: &mut Tree) -> Option<LeftOut> {
    tree.leave_out(|_, xattr| !xattr.name.is_empty() && split_name(&xattr.name).is_none())
}

/// The attributes of an inode, in the order of their names.
pub(crate) fn attributes(inode: Inode<'_>) -> Result<Vec<Attribute<'_>>, Error> {
    convert(inode.xattrs()).map_err(|problem| problem.at(Place::of(inode)))
}

/// How many bytes they take behind the inode.
pub(crate) fn body_len(attributes: &[Attribute<'_>]) -> usize {
    match attributes {
        [] => 0,
        some => size_of::<f::XattrIbodyHeader>() + some.iter().map(Attribute::len).sum::<usize>(),
    }
}

/// A problem, but for the path.
enum Problem<'t> {
    Name { name: &'t [u8], problem: &'static str },
    Space { name: &'t [u8], needed: usize, available: usize },
    Acl { name: &'t [u8], problem: &'static str, found: u64, expected: &'static str },
}

impl Problem<'_> {
    fn at(self, path: Place) -> Error {
        match self {
            Problem::Name { name, problem } => Error::XattrName { path, name: escape_short(name), problem },
            Problem::Space { name, needed, available } => {
                Error::XattrSpace { path, name: escape_short(name), needed, available }
            }
            Problem::Acl { name, problem, found, expected } => {
                Error::Acl { path, name: escape_short(name), problem, found, expected }
            }
        }
    }
}

fn convert(set: &[Xattr]) -> Result<Vec<Attribute<'_>>, Problem<'_>> {
    let mut attributes: Vec<Attribute<'_>> = Vec::with_capacity(set.len());
    let mut room = f::XATTR_BODY_MAX - size_of::<f::XattrIbodyHeader>();
    for Xattr { name, value } in set {
        let name = &**name;
        check_name(name)?;
        let unknown = "EROFS has no number for its namespace";
        let (index, suffix) = split_name(name).ok_or(Problem::Name { name, problem: unknown })?;
        if suffix.is_some_and(<[u8]>::is_empty) {
            return Err(Problem::Name { name, problem: "nothing follows the namespace" });
        }
        if attributes.last().is_some_and(|last| last.full_name == name) {
            return Err(Problem::Name { name, problem: "it is there twice" });
        }
        if suffix.is_none() && !check_acl(name, value)? {
            continue;
        }
        let attribute = Attribute { index, suffix: suffix.unwrap_or_default(), value, full_name: name };
        let (needed, most) = (attribute.len(), usize::from(u16::MAX));
        if value.len() > most || needed > room {
            return Err(Problem::Space { name, needed, available: room.min(most) });
        }
        room -= needed;
        attributes.push(attribute);
    }
    Ok(attributes)
}

fn check_name(name: &[u8]) -> Result<(), Problem<'_>> {
    let problem = match name {
        b"" => "the name is empty",
        long if long.len() > f::XATTR_NAME_MAX => "the name has more than 255 bytes",
        other if other.contains(&0) => "the name has a NUL in it",
        _ => return Ok(()),
    };
    Err(Problem::Name { name, problem })
}

/// The namespace's number and the rest of a name, which an access control list does not have;
/// `None` if there is no such number.
fn split_name(name: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    const PREFIXES: [(&[u8], u8); 3] = [
        (b"user.", f::EROFS_XATTR_INDEX_USER),
        (b"trusted.", f::EROFS_XATTR_INDEX_TRUSTED),
        (b"security.", f::EROFS_XATTR_INDEX_SECURITY),
    ];
    match name {
        b"system.posix_acl_access" => Some((f::EROFS_XATTR_INDEX_POSIX_ACL_ACCESS, None)),
        b"system.posix_acl_default" => Some((f::EROFS_XATTR_INDEX_POSIX_ACL_DEFAULT, None)),
        _ => PREFIXES.iter().find_map(|(prefix, index)| Some((*index, Some(name.strip_prefix(*prefix)?)))),
    }
}

/// Whether an access control list, in the form in which the kernel hands it out, is one, and not an
/// empty one, which to the kernel is the same as none.
fn check_acl<'t>(name: &'t [u8], value: &[u8]) -> Result<bool, Problem<'t>> {
    let problem = |problem, found, expected| Err(Problem::Acl { name, problem, found, expected });
    if value.is_empty() {
        return Ok(false);
    }
    let length = "4 bytes and 8 more for each entry";
    let Some((version, entries)) = value.split_first_chunk() else {
        return problem("length", value.len() as u64, length);
    };
    let version = u32::from_le_bytes(*version);
    if version != f::POSIX_ACL_XATTR_VERSION {
        return problem("version", version.into(), "2");
    }
    if entries.len() % 8 != 0 {
        return problem("length", value.len() as u64, length);
    }
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        if !f::ACL_TAGS.contains(&tag) {
            return problem("tag", tag.into(), "1, 2, 4, 8, 16 or 32");
        }
    }
    Ok(!entries.is_empty())
}
