//! Paths of one layer, interned as a trie: a path is a number, its parent another.

use std::hash::{BuildHasher, RandomState};

use cvbake_tree::Texts;
use hashbrown::HashTable;

use crate::error::Fault;
use crate::{Error, Problem};

/// The longest file name that Linux filesystems hold.
const NAME_MAX: usize = 255;

/// The longest path taken. Sixteen times what one system call takes, so nothing that was ever
/// unpacked anywhere is refused; without a limit a few megabytes of compressed archive could claim
/// millions of directories per entry.
const PATH_LIMIT: usize = 64 * 1024;

/// Names a path of one layer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PathId(pub(crate) u32);

impl PathId {
    pub(crate) const ROOT: PathId = PathId(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// All paths of a layer. A parent's number is always smaller than its children's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) nodes: Vec<PathNode>,
    /// Names of files, and targets of symbolic links.
    pub(crate) names: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathNode {
    pub(crate) parent: PathId,
    pub(crate) name: u32,
    pub(crate) len: u8,
}

impl Paths {
    pub(crate) fn new() -> Paths {
        Paths { nodes: vec![PathNode { parent: PathId::ROOT, name: 0, len: 0 }], names: Vec::new() }
    }

    pub(crate) fn parent(&self, path: PathId) -> PathId {
        self.nodes[path.index()].parent
    }

    pub(crate) fn name(&self, path: PathId) -> &[u8] {
        let node = &self.nodes[path.index()];
        self.text(node.name, usize::from(node.len))
    }

    /// The names in a directory.
    pub(crate) fn below(&self, directory: PathId) -> impl Iterator<Item = &[u8]> {
        // The root is its own parent.
        let nodes = self.nodes.iter().skip(1).filter(move |node| node.parent == directory);
        nodes.map(|node| self.text(node.name, usize::from(node.len)))
    }

    /// Where the name of a path stands in `names`.
    pub(crate) fn name_at(&self, path: PathId) -> (u32, u8) {
        let node = &self.nodes[path.index()];
        (node.name, node.len)
    }

    pub(crate) fn text(&self, start: u32, len: usize) -> &[u8] {
        &self.names[start as usize..start as usize + len]
    }

    /// The whole path, for messages.
    pub(crate) fn display(&self, mut path: PathId) -> String {
        if path == PathId::ROOT {
            return "/".to_owned();
        }
        let mut parts = Vec::new();
        while path != PathId::ROOT {
            parts.push(self.name(path));
            path = self.parent(path);
        }
        parts.reverse();
        cvbake_tree::escape_short(&parts.join(&b'/'))
    }

    pub(crate) fn push_text(&mut self, text: &[u8]) -> Result<u32, Error> {
        let start = u32::try_from(self.names.len()).map_err(|_| Error::TooMany { what: "bytes of names" })?;
        self.names.extend_from_slice(text);
        Ok(start)
    }
}

/// The names of a path as an archive writes it: absolute or not, with `.`, `..`, doubled and
/// trailing slashes.
///
/// `what` says which name it is, for the error.
pub(crate) fn names<'r>(raw: &'r [u8], what: &'static str) -> Result<Vec<&'r [u8]>, Problem> {
    if raw.is_empty() {
        return Err(Problem::EmptyName);
    }
    if raw.len() > PATH_LIMIT {
        return Err(Problem::LongPath { len: raw.len(), limit: PATH_LIMIT });
    }
    if raw.contains(&0) {
        return Err(Problem::Nul { what });
    }
    let mut names = Vec::new();
    for name in raw.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.pop().is_none() => {
                return Err(Problem::Climbs { what, name: cvbake_tree::escape_short(raw) });
            }
            b".." => {}
            _ if name.len() > NAME_MAX => return Err(Problem::LongName { len: name.len() }),
            _ => names.push(name),
        }
    }
    Ok(names)
}

/// Makes [`Paths`]: finds the number of a path, or gives it one.
#[derive(Debug)]
pub(crate) struct Interner {
    paths: Paths,
    table: HashTable<u32>,
    /// Where among the names targets of symbolic links stand.
    targets: Texts,
    /// Randomly keyed, because an image chooses the names; the order of the table is never looked
    /// at.
    hasher: RandomState,
}

impl Interner {
    pub(crate) fn new() -> Interner {
        Interner { paths: Paths::new(), table: HashTable::new(), targets: Texts::default(), hasher: RandomState::new() }
    }

    pub(crate) fn paths(&mut self) -> &mut Paths {
        &mut self.paths
    }

    /// The bytes of memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.table.allocation_size() + self.targets.bytes();
        self.paths.names.len() + self.paths.nodes.len() * size_of::<PathNode>() + tables
    }

    pub(crate) fn finish(self) -> Paths {
        self.paths
    }

    /// The number of a path as an archive writes it.
    ///
    /// `what` says which name it is, for the error.
    pub(crate) fn path(&mut self, raw: &[u8], what: &'static str) -> Result<PathId, Fault> {
        Ok(self.descend(&names(raw, what)?)?)
    }

    /// The number of a path of these names.
    pub(crate) fn descend(&mut self, names: &[&[u8]]) -> Result<PathId, Error> {
        names.iter().try_fold(PathId::ROOT, |path, name| self.child(path, name))
    }

    /// Where a target of a symbolic link stands among the names; equal ones stand there once.
    pub(crate) fn target(&mut self, target: &[u8]) -> Result<u32, Error> {
        let place = self.targets.place(&mut self.paths.names, target);
        place.map(|(start, _)| start).ok_or(Error::TooMany { what: "bytes of names" })
    }

    /// The number of a name below a path.
    pub(crate) fn child(&mut self, parent: PathId, name: &[u8]) -> Result<PathId, Error> {
        let Interner { paths, table, hasher, .. } = self;
        let hash = hasher.hash_one((parent.0, name));
        let same = |&id: &u32| {
            let node = &paths.nodes[id as usize];
            node.parent == parent && paths.text(node.name, usize::from(node.len)) == name
        };
        if let Some(&id) = table.find(hash, same) {
            return Ok(PathId(id));
        }
        let id = u32::try_from(paths.nodes.len()).map_err(|_| Error::TooMany { what: "paths" })?;
        let start = paths.push_text(name)?;
        let len = u8::try_from(name.len()).expect("names are checked against NAME_MAX");
        paths.nodes.push(PathNode { parent, name: start, len });
        table.insert_unique(hash, id, |&id| {
            let node = &paths.nodes[id as usize];
            hasher.hash_one((node.parent.0, paths.text(node.name, usize::from(node.len))))
        });
        Ok(PathId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_path() {
        let mut interner = Interner::new();
        let plain = interner.path(b"a/b", "name").unwrap();
        for spelling in [&b"/a/b"[..], b"./a/b", b"a//b/", b"a/./b", b"a/c/../b", b"//./a/b/."] {
            assert_eq!(interner.path(spelling, "name").unwrap(), plain, "{}", cvbake_tree::escape(spelling));
        }
        assert_eq!(interner.path(b"./", "name").unwrap(), PathId::ROOT);
        assert_eq!(interner.path(b"a/..", "name").unwrap(), PathId::ROOT);
        let paths = interner.finish();
        assert_eq!(paths.display(plain), "a/b");
        let names = |of| paths.below(of).map(cvbake_tree::escape).collect::<Vec<_>>();
        assert_eq!((names(PathId::ROOT), names(paths.parent(plain))), (vec!["a".to_owned()], vec!["b".into()]));
    }

    #[test]
    fn names_that_are_none() {
        let problem = |raw: &[u8]| names(raw, "name").unwrap_err();
        assert_eq!(problem(b""), Problem::EmptyName);
        assert_eq!(problem(b"a\0"), Problem::Nul { what: "name" });
        assert!(matches!(problem(b"a/../../b"), Problem::Climbs { .. }));
        assert_eq!(problem(&[b'n'; 256]), Problem::LongName { len: 256 });
        assert!(names(&[b'n'; 255], "name").is_ok());
        assert!(matches!(problem(&[b'/'; 65537]), Problem::LongPath { .. }));
    }
}
