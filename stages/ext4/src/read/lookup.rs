//! From a path to an inode.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

use cvbake_disk::Claims;
use cvbake_tree::escape_short;
use cvbake_tree::read::{Directories, Follow, LINKS_MAX, Missed, NodeKind, lookup};

use super::{Entry, Error, Filesystem, Node};

impl Filesystem {
    /// The inode at a path; whether it starts with `/` does not matter.
    ///
    /// # Errors
    /// When there is none, or something on the way is no directory, or can't be read.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Node, Error> {
        let shown = || escape_short(path);
        let way = Way { filesystem: self, read: RefCell::default() };
        lookup(&way, path, follow).map_err(|missed| match missed {
            Missed::NotFound => Error::NotFound { path: shown() },
            Missed::NoDirectory(kind) => {
                let error = Error::NotA { path: shown(), expected: "a path through directories", found: kind.words() };
                error.at(path)
            }
            Missed::Links => Error::Links { path: shown(), max: LINKS_MAX },
            Missed::Unread(error) => error.at(path),
        })
    }
}

/// The directories on a way. Links can lead through one thousands of times, and several can have
/// one content: each is read once, and has its blocks for itself.
struct Way<'f> {
    filesystem: &'f Filesystem,
    read: RefCell<(BTreeMap<u32, Vec<Entry>>, Claims)>,
}

impl Directories for Way<'_> {
    type Node = Node;
    type Error = Error;

    fn root(&self) -> Result<Node, Error> {
        self.filesystem.root()
    }

    fn kind(&self, node: &Node) -> NodeKind {
        node.kind
    }

    fn child(&self, dir: &Node, name: &[u8]) -> Result<Option<Node>, Error> {
        let (read, claims) = &mut *self.read.borrow_mut();
        let entries = match read.entry(dir.ino) {
            Vacant(place) => {
                self.filesystem.claim(dir, claims)?;
                place.insert(self.filesystem.read_dir(dir)?)
            }
            Occupied(read) => read.into_mut(),
        };
        let Ok(found) = entries.binary_search_by(|entry| (*entry.name).cmp(name)) else { return Ok(None) };
        let node = self.filesystem.node(entries[found].ino)?;
        entries[found].check(&node)?;
        Ok(Some(node))
    }

    fn target(&self, link: &Node) -> Result<Vec<u8>, Error> {
        self.filesystem.target(link)
    }
}
