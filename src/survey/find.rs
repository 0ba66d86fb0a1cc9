//! A path, as somebody writes it → where in the tree it leads, as Linux would follow it with the
//! disk as the root.

use std::collections::VecDeque;

use cvbake_tree::{Ino, Kind, Tree};

use crate::error::Error;

/// As many symbolic links on one path as Linux follows.
const LINK_LIMIT: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The names from the root on, without symbolic links on the way.
    pub names: Vec<Vec<u8>>,
    /// The inode there, if there is one.
    pub ino: Option<Ino>,
    /// The symbolic links that were followed.
    pub links: Vec<Followed>,
    /// How many of the names are there: all, if there is an inode.
    pub depth: usize,
}

/// A symbolic link on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Followed {
    /// Where it is: names from the root on.
    pub names: Vec<Vec<u8>>,
    /// Its inode.
    pub ino: Ino,
    /// Where it points to.
    pub target: Vec<u8>,
}

impl Found {
    /// Follows a path. Its last name is followed only if a slash stands behind it.
    ///
    /// # Errors
    /// If there are more symbolic links on the way than Linux follows.
    pub fn find(tree: &Tree, path: &[u8]) -> Result<Found, Error> {
        let ends_with_slash = path.ends_with(b"/");
        walk(tree, path, ends_with_slash)
    }

    /// Follows a path, and its last name as well.
    ///
    /// # Errors
    /// As [`Found::find`].
    pub fn find_followed(tree: &Tree, path: &[u8]) -> Result<Found, Error> {
        walk(tree, path, true)
    }

    /// The path from the root on, with slashes.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        joined(&self.names)
    }
}

/// Names as a path.
pub(super) fn joined<N: AsRef<[u8]>>(names: &[N]) -> Vec<u8> {
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().flat_map(|name| [b"/", name.as_ref()].concat()).collect()
}

fn walk(tree: &Tree, path: &[u8], follow_last: bool) -> Result<Found, Error> {
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec).collect()
    };
    let mut left: VecDeque<Vec<u8>> = names(path).into();
    // Names with their inodes; `None` from the first on that is not there.
    let mut there: Vec<(Vec<u8>, Option<Ino>)> = Vec::new();
    let mut links: Vec<Followed> = Vec::new();
    while let Some(name) = left.pop_front() {
        if name == b".." {
            there.pop();
            continue;
        }
        let directory = there.last().map_or(Some(Ino::ROOT), |(_, ino)| *ino);
        let child = directory.and_then(|directory| tree.inode(directory).child(&name));
        let target = match child.map(|child| child.kind()) {
            Some(Kind::Symlink(target)) if follow_last || !left.is_empty() => target.to_vec(),
            _ => {
                there.push((name, child.map(|child| child.ino())));
                continue;
            }
        };
        let mut at: Vec<Vec<u8>> = there.iter().map(|(name, _)| name.clone()).collect();
        at.push(name);
        if links.len() == LINK_LIMIT {
            return Err(Error::Loop { path: crate::text::name(path), limit: LINK_LIMIT });
        }
        if target.starts_with(b"/") {
            there.clear();
        }
        names(&target).into_iter().rev().for_each(|name| left.push_front(name));
        let ino = child.expect("a link has an inode").ino();
        links.push(Followed { names: at, ino, target });
    }
    let depth = there.iter().take_while(|(_, ino)| ino.is_some()).count();
    let ino = there.last().map_or(Some(Ino::ROOT), |(_, ino)| *ino);
    Ok(Found { names: there.into_iter().map(|(name, _)| name).collect(), ino, links, depth })
}

#[cfg(test)]
mod tests {
    use cvbake_tree::{Builder, Meta};

    use super::*;

    #[test]
    fn paths_lead_where_linux_would_go() {
        let meta = Meta::default();
        let mut builder = Builder::new(&meta);
        let usr = builder.add(Ino::ROOT, b"usr", Kind::Directory, &meta).unwrap();
        let lib = builder.add(usr, b"lib", Kind::Directory, &meta).unwrap();
        builder.add(lib, b"x", Kind::Fifo, &meta).unwrap();
        for (directory, name, target) in [
            (Ino::ROOT, "lib", "usr/lib"),
            (Ino::ROOT, "up", "../../usr"),
            (usr, "root", "/"),
            (Ino::ROOT, "nowhere", "usr/gone/deep"),
            (Ino::ROOT, "loop", "loop/x"),
        ] {
            builder.add(directory, name.as_bytes(), Kind::Symlink(target.as_bytes()), &meta).unwrap();
        }
        let tree = builder.finish().unwrap();
        let table = [
            ("/", "/", 0, true, 0),
            ("", "/", 0, true, 0),
            ("lib/x", "/usr/lib/x", 1, true, 3),
            ("lib", "/lib", 0, true, 1),
            ("lib/", "/usr/lib", 1, true, 2),
            ("up/root/up//lib/./x", "/usr/lib/x", 3, true, 3),
            ("lib/../root/lib/x", "/usr/lib/x", 3, true, 3),
            ("lib/gone/deeper", "/usr/lib/gone/deeper", 1, false, 2),
            ("lib/x/below", "/usr/lib/x/below", 1, false, 3),
            ("nowhere", "/nowhere", 0, true, 1),
            ("nowhere/er", "/usr/gone/deep/er", 1, false, 1),
            ("lib/gone/../x", "/usr/lib/x", 1, true, 3),
            ("../../usr", "/usr", 0, true, 1),
        ];
        for (path, expected, links, is_there, depth) in table {
            let found = Found::find(&tree, path.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(found.path()).unwrap(), expected, "{path}");
            assert_eq!((found.links.len(), found.ino.is_some(), found.depth), (links, is_there, depth), "{path}");
        }
        assert!(matches!(Found::find(&tree, b"loop/x"), Err(Error::Loop { .. })));
        assert_eq!(Found::find_followed(&tree, b"lib").unwrap().path(), b"/usr/lib");
    }
}
