//! From a path to an inode.

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
        lookup(self, path, follow).map_err(|missed| match missed {
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

impl Directories for Filesystem {
    type Node = Node;
    type Listing = Vec<Entry>;
    type Books = Claims;
    type Error = Error;

    fn root(&self) -> Result<Node, Error> {
        self.root()
    }

    fn kind(&self, node: &Node) -> NodeKind {
        node.kind
    }

    fn number(&self, node: &Node) -> u64 {
        node.ino.into()
    }

    fn list(&self, dir: &Node, books: &mut Claims) -> Result<Vec<Entry>, Error> {
        self.claim(dir, books)?;
        self.read_dir(dir)
    }

    fn child(&self, entries: &Vec<Entry>, name: &[u8]) -> Result<Option<Node>, Error> {
        let Ok(found) = entries.binary_search_by(|entry| (*entry.name).cmp(name)) else { return Ok(None) };
        let node = self.node(entries[found].ino)?;
        entries[found].check(&node)?;
        Ok(Some(node))
    }

    fn target(&self, link: &Node) -> Result<Vec<u8>, Error> {
        self.target(link)
    }
}
