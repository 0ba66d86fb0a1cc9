//! What messages call an inode.

use std::fmt;

use crate::{Ino, Inode, Tree, escape_short};

/// An inode that an error is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its number in the tree.
    pub ino: Ino,
    /// Its first path, escaped as in listings.
    pub path: String,
}

impl Place {
    /// What to call an inode. It searches the whole tree: errors only.
    #[must_use]
    pub fn of(inode: Inode<'_>) -> Place {
        Place { ino: inode.ino(), path: path_of(inode.tree, inode) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

fn path_of(tree: &Tree, inode: Inode<'_>) -> String {
    let mut names: Vec<&[u8]> = Vec::new();
    let mut at = inode.ino();
    while at != Ino::ROOT {
        let Some((name, dir)) = name_of(tree, tree.inode(at)) else { break };
        names.push(name);
        at = dir;
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() { "/".to_owned() } else { escape_short(&path) }
}

/// The first name of an inode, and the directory that it is in.
fn name_of<'t>(tree: &'t Tree, inode: Inode<'t>) -> Option<(&'t [u8], Ino)> {
    let in_dir = |dir: Inode<'t>| {
        let mut children = dir.children();
        children.find(|(_, child)| child.ino() == inode.ino()).map(|(name, _)| (name, dir.ino()))
    };
    match inode.parent() {
        Some(parent) => in_dir(parent),
        None => tree.inodes().find_map(in_dir),
    }
}
