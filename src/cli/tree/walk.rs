//! A tree, file by file, as people read one: what is in a directory right behind it, directories
//! first.

use std::io;

use cvbake::tree::{Ino, Inode, Tree};

/// A file on the way.
pub(super) struct Visit<'a> {
    pub(super) inode: Inode<'a>,
    /// The directory that it is in; none for the first.
    pub(super) directory: Option<Ino>,
    /// Its name; of the first, its path.
    pub(super) name: &'a [u8],
    pub(super) path: &'a [u8],
    /// For each directory on the way, whether more follows in it; and for the file itself.
    more: &'a [bool],
}

/// Deeper than anybody reads: branches of more would make a listing of deep directories grow by the
/// square of their depth.
const DRAWN: usize = 64;

impl Visit<'_> {
    /// The lines in front of the name.
    pub(super) fn branches(&self) -> String {
        let Some((more, above)) = self.more.split_last() else { return String::new() };
        if self.more.len() > DRAWN {
            return format!("({} deep) ", self.more.len());
        }
        let mut text: String = above.iter().map(|&more| if more { "│   " } else { "    " }).collect();
        text.push_str(if *more { "├── " } else { "└── " });
        text
    }
}

/// A directory that is being gone through: what is left of it, in reverse.
struct Open<'t> {
    ino: Ino,
    left: Vec<(&'t [u8], Inode<'t>)>,
    /// The length of its path.
    path: usize,
}

impl<'t> Open<'t> {
    fn new(inode: Inode<'t>, path: usize) -> Open<'t> {
        let (mut left, others): (Vec<_>, Vec<_>) = inode.children().partition(|(_, child)| child.is_dir());
        left.extend(others);
        left.reverse();
        Open { ino: inode.ino(), left, path }
    }
}

/// Goes through a tree from an inode on, to a depth.
pub(super) fn walk(
    tree: &Tree,
    top: Ino,
    path: &[u8],
    depth: Option<usize>,
    each: &mut dyn FnMut(&Visit<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = path.to_vec();
    let first = tree.inode(top);
    each(&Visit { inode: first, directory: None, name: path, path, more: &[] })?;
    if buffer == b"/" {
        buffer.clear();
    }
    let is_open = |inode: Inode<'_>, at: usize| inode.is_dir() && depth.is_none_or(|depth| at < depth);
    let mut open: Vec<Open<'_>> = is_open(first, 0).then(|| Open::new(first, buffer.len())).into_iter().collect();
    let mut more: Vec<bool> = Vec::new();
    while let Some(directory) = open.last_mut() {
        let Some((name, inode)) = directory.left.pop() else {
            open.pop();
            more.pop();
            continue;
        };
        buffer.truncate(directory.path);
        buffer.push(b'/');
        buffer.extend_from_slice(name);
        more.push(!directory.left.is_empty());
        each(&Visit { inode, directory: Some(directory.ino), name, path: &buffer, more: &more })?;
        if is_open(inode, more.len()) {
            open.push(Open::new(inode, buffer.len()));
        } else {
            more.pop();
        }
    }
    Ok(())
}
