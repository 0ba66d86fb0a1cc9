//! Extended attributes: their names and values as ext4 has them, and which of them go into the
//! inode.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use cvbake_tree::{Inode, Place, Tree, Xattr, escape_short};

use crate::Error;
use crate::format::xattr as format;
use crate::format::{BLOCK_LEN, inode};

/// What entries and values can have in an inode: not the magic number, nor the four zeros behind
/// the entries.
const INODE_ROOM: usize = inode::XATTR_SPACE - 4 - 4;
/// The same in a block: not the header, nor the four zeros.
const BLOCK_ROOM: usize = BLOCK_LEN - size_of::<format::XattrHeader>() - 4;

/// An attribute in ext4's terms.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Attribute<'t> {
    pub(crate) index: u8,
    pub(crate) suffix: &'t [u8],
    pub(crate) value: Cow<'t, [u8]>,
    full_name: &'t [u8],
}

impl Attribute<'_> {
    /// The bytes it takes.
    fn len(&self) -> usize {
        size_of::<format::XattrEntry>() + self.suffix.len().next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }
}

/// The attributes of an inode, each list in the order of its entries.
#[derive(Default, Debug)]
pub(crate) struct Split<'t> {
    pub(crate) in_inode: Vec<Attribute<'t>>,
    pub(crate) in_block: Vec<Attribute<'t>>,
}

/// How a set of attributes is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stored {
    /// No inode with this set has come yet.
    Unseen,
    /// All in the inode.
    InInode,
    /// The rest in a block: this number of [`Xattrs::rests`].
    WithBlock(u32),
}

/// What of a set, or of several, does not fit in the inode, and so goes into a block.
#[derive(Debug)]
pub(crate) struct Rest {
    /// An inode of the tree that has it.
    pub(crate) owner: u32,
    /// How many inodes have it.
    pub(crate) uses: u32,
}

impl Rest {
    /// How many blocks hold copies of it.
    pub(crate) fn blocks(&self) -> u32 {
        self.uses.div_ceil(format::EXT4_XATTR_REFCOUNT_MAX)
    }
}

/// How all attributes of a tree are stored.
#[derive(Debug)]
pub(crate) struct Xattrs {
    /// By the tree's number of the set.
    sets: Vec<Stored>,
    /// In the order of the first inodes that have them.
    pub(crate) rests: Vec<Rest>,
}

impl Xattrs {
    pub(crate) fn plan(tree: &Tree) -> Result<Xattrs, Error> {
        let mut xattrs = Xattrs { sets: vec![Stored::InInode], rests: Vec::new() };
        // By the hash of their content. Two different ones of one hash would not be shared, and
        // that is all.
        let mut rests = HashMap::new();
        for inode in tree.inodes() {
            let set = inode.xattr_set();
            if set == 0 {
                continue;
            }
            if set >= xattrs.sets.len() {
                xattrs.sets.resize(set + 1, Stored::Unseen);
            }
            if xattrs.sets[set] == Stored::Unseen {
                let rest = split(inode)?.in_block;
                xattrs.sets[set] = if rest.is_empty() {
                    Stored::InInode
                } else {
                    Stored::WithBlock(xattrs.rest(tree, inode, &rest, &mut rests)?)
                };
            }
            if let Stored::WithBlock(rest) = xattrs.sets[set] {
                xattrs.rests[rest as usize].uses += 1;
            }
        }
        Ok(xattrs)
    }

    /// The number of a rest, a new one if there is none like it yet.
    fn rest(
        &mut self,
        tree: &Tree,
        inode: Inode<'_>,
        rest: &[Attribute<'_>],
        known: &mut HashMap<u64, u32>,
    ) -> Result<u32, Error> {
        let mut hasher = DefaultHasher::new();
        rest.hash(&mut hasher);
        let new = u32::try_from(self.rests.len()).expect("no more than inodes");
        let number = *known.entry(hasher.finish()).or_insert(new);
        if number != new {
            let owner = tree.inode(cvbake_tree::Ino::from_index(self.rests[number as usize].owner as usize));
            if split(owner)?.in_block == rest {
                return Ok(number);
            }
        }
        let owner = u32::try_from(inode.ino().index()).expect("a tree's numbers have 32 bits");
        self.rests.push(Rest { owner, uses: 0 });
        Ok(new)
    }

    /// The number of the rest of an inode's attributes that is in a block.
    pub(crate) fn rest_of(&self, inode: Inode<'_>) -> Option<usize> {
        match self.sets[inode.xattr_set()] {
            Stored::WithBlock(rest) => Some(rest as usize),
            Stored::InInode | Stored::Unseen => None,
        }
    }
}

/// Decides which attributes of an inode go where.
///
/// In the order of their names, each goes into the inode if it still fits there. Where that leaves
/// too much for one block, the large ones are taken first, which wastes less.
pub(crate) fn split<'t>(inode: Inode<'t>) -> Result<Split<'t>, Error> {
    let attributes = attributes(inode.xattrs()).map_err(|problem| problem.at(Place::of(inode)))?;
    let in_order: Vec<usize> = (0..attributes.len()).collect();
    let mut large_first = in_order.clone();
    large_first.sort_by_key(|&at| std::cmp::Reverse(attributes[at].len()));
    let chosen = match choose(&attributes, &in_order) {
        Ok(chosen) => chosen,
        Err(problem) => choose(&attributes, &large_first).map_err(|_| problem.at(Place::of(inode)))?,
    };
    let mut split = Split::default();
    for (attribute, in_inode) in attributes.into_iter().zip(chosen) {
        if in_inode { &mut split.in_inode } else { &mut split.in_block }.push(attribute);
    }
    Ok(split)
}

/// Whether each attribute goes into the inode, when they are taken in this order.
fn choose<'t>(attributes: &[Attribute<'t>], order: &[usize]) -> Result<Vec<bool>, Problem<'t>> {
    let (mut inode_room, mut block_room) = (INODE_ROOM, BLOCK_ROOM);
    let mut in_inode = vec![false; attributes.len()];
    for &at in order {
        let (name, needed) = (attributes[at].full_name, attributes[at].len());
        if needed <= inode_room {
            in_inode[at] = true;
            inode_room -= needed;
        } else if needed <= block_room {
            block_room -= needed;
        } else {
            return Err(Problem::Space { name, needed, available: block_room.max(inode_room) });
        }
    }
    Ok(in_inode)
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

/// A set of attributes in ext4's terms and order.
fn attributes(set: &[Xattr]) -> Result<Vec<Attribute<'_>>, Problem<'_>> {
    let mut attributes = Vec::with_capacity(set.len());
    for Xattr { name, value } in set {
        let (index, suffix) = split_name(name)?;
        let value = match index {
            format::EXT4_XATTR_INDEX_POSIX_ACL_ACCESS | format::EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT => {
                match encode_acl(name, value)? {
                    Some(value) => Cow::Owned(value),
                    None => continue,
                }
            }
            _ => Cow::Borrowed(&**value),
        };
        attributes.push(Attribute { index, suffix, value, full_name: name });
    }
    attributes.sort_by_key(|attribute| (attribute.index, attribute.suffix.len(), attribute.suffix));
    match attributes.windows(2).find(|pair| pair[0].full_name == pair[1].full_name) {
        Some(pair) => Err(Problem::Name { name: pair[0].full_name, problem: "it is there twice" }),
        None => Ok(attributes),
    }
}

/// The namespace's number and the rest of a name.
///
/// A namespace that ext4 has no number for is kept with the whole name under a number of nobody.
/// Linux shows it to nobody, but debugfs does, and nothing is lost.
fn split_name(name: &[u8]) -> Result<(u8, &[u8]), Problem<'_>> {
    const WHOLE: [(&[u8], u8); 2] = [
        (b"system.posix_acl_access", format::EXT4_XATTR_INDEX_POSIX_ACL_ACCESS),
        (b"system.posix_acl_default", format::EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT),
    ];
    const PREFIXES: [(&[u8], u8); 5] = [
        (b"user.", format::EXT4_XATTR_INDEX_USER),
        (b"trusted.", format::EXT4_XATTR_INDEX_TRUSTED),
        (b"security.", format::EXT4_XATTR_INDEX_SECURITY),
        (b"system.", format::EXT4_XATTR_INDEX_SYSTEM),
        (b"gnu.", format::EXT4_XATTR_INDEX_HURD),
    ];
    if name.is_empty() {
        return Err(Problem::Name { name, problem: "the name is empty" });
    }
    if name.len() > format::XATTR_NAME_MAX {
        return Err(Problem::Name { name, problem: "the name has more than 255 bytes" });
    }
    if name.contains(&0) {
        return Err(Problem::Name { name, problem: "the name has a NUL in it" });
    }
    if let Some(&(_, index)) = WHOLE.iter().find(|whole| whole.0 == name) {
        return Ok((index, b""));
    }
    for (prefix, index) in PREFIXES {
        match name.strip_prefix(prefix) {
            Some(b"") => return Err(Problem::Name { name, problem: "nothing follows the namespace" }),
            Some(suffix) => return Ok((index, suffix)),
            None => {}
        }
    }
    Ok((format::XATTR_INDEX_WHOLE_NAME, name))
}

/// An access control list in ext4's form, from the form in which the kernel hands it out. `None`
/// for an empty one, which to the kernel is the same as none.
fn encode_acl<'t>(name: &'t [u8], value: &[u8]) -> Result<Option<Vec<u8>>, Problem<'t>> {
    let problem = |problem, found, expected| Err(Problem::Acl { name, problem, found, expected });
    if value.is_empty() {
        return Ok(None);
    }
    let Some((version, entries)) = value.split_first_chunk() else {
        return problem("length", value.len() as u64, "4 bytes and 8 more for each entry");
    };
    let version = u32::from_le_bytes(*version);
    if version != format::POSIX_ACL_XATTR_VERSION {
        return problem("version", version.into(), "2");
    }
    if entries.len() % 8 != 0 {
        return problem("length", value.len() as u64, "4 bytes and 8 more for each entry");
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let mut stored = format::EXT4_ACL_VERSION.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        match u16::from_le_bytes([entry[0], entry[1]]) {
            format::ACL_USER | format::ACL_GROUP => stored.extend_from_slice(entry),
            format::ACL_USER_OBJ | format::ACL_GROUP_OBJ | format::ACL_MASK | format::ACL_OTHER => {
                stored.extend_from_slice(&entry[..4]);
            }
            tag => return problem("tag", tag.into(), "1, 2, 4, 8, 16 or 32"),
        }
    }
    Ok(Some(stored))
}
