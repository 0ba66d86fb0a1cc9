//! How much is below each directory.

use cvbake_tree::{BLOCK_SIZE, Ino, Inode, Kind, Tree};

use super::find::joined;

/// By inode, where it is and how much it is: of a directory all that is below it. What has several
/// names counts where the first one is.
#[derive(Debug)]
pub struct Totals<'t> {
    tree: &'t Tree,
    /// The directory and the name there.
    places: Vec<(Ino, &'t [u8])>,
    bytes: Vec<u64>,
    files: Vec<u32>,
}

/// How many bytes of a disk the content of an inode takes: whole blocks, without those that are all
/// zeros.
#[must_use]
pub fn content_bytes(inode: Inode<'_>) -> u64 {
    match inode.kind() {
        Kind::File(data) => data.stored_blocks() * u64::from(BLOCK_SIZE),
        _ => 0,
    }
}

impl<'t> Totals<'t> {
    /// Adds up a tree.
    #[must_use]
    pub fn of(tree: &'t Tree) -> Totals<'t> {
        let none: (Ino, &[u8]) = (Ino::ROOT, b"");
        let mut places = vec![none; tree.inode_count()];
        let mut directories = vec![tree.root()];
        // The order of the tree itself: so the first name of each is the first here, too.
        while let Some(directory) = directories.pop() {
            let waiting = directories.len();
            for (name, child) in directory.children() {
                let place = &mut places[child.ino().index()];
                if place.1.is_empty() {
                    *place = (directory.ino(), name);
                }
                if child.is_dir() {
                    directories.push(child);
                }
            }
            directories[waiting..].reverse();
        }
        let mut bytes: Vec<u64> = tree.inodes().map(content_bytes).collect();
        let mut files = vec![0u32; tree.inode_count()];
        // What is in a directory has a higher number than the directory.
        for ino in (1..tree.inode_count()).rev() {
            let above = places[ino].0.index();
            bytes[above] = bytes[above].saturating_add(bytes[ino]);
            files[above] = files[above].saturating_add(files[ino]).saturating_add(1);
        }
        Totals { tree, places, bytes, files }
    }

    /// How many bytes of a disk the content of a file takes, or all that is below a directory.
    #[must_use]
    pub fn bytes(&self, ino: Ino) -> u64 {
        self.bytes[ino.index()]
    }

    /// How many inodes are below a directory; 0 for anything else.
    #[must_use]
    pub fn files(&self, ino: Ino) -> u32 {
        self.files[ino.index()]
    }

    /// Whether this is the first name of an inode, in this directory.
    #[must_use]
    pub fn is_first(&self, ino: Ino, directory: Ino, name: &[u8]) -> bool {
        self.places[ino.index()] == (directory, name)
    }

    /// The directory of an inode's first name, and that name; the root's is the root, and empty.
    #[must_use]
    pub fn place(&self, ino: Ino) -> (Ino, &'t [u8]) {
        self.places[ino.index()]
    }

    /// The first path of an inode.
    #[must_use]
    pub fn path(&self, ino: Ino) -> Vec<u8> {
        self.path_in(ino, b"")
    }

    /// The path of a name in a directory; of the directory itself, if the name is empty.
    #[must_use]
    pub fn path_in(&self, directory: Ino, name: &[u8]) -> Vec<u8> {
        let mut names: Vec<&[u8]> = (!name.is_empty()).then_some(name).into_iter().collect();
        let mut at = directory;
        while at != Ino::ROOT {
            let (above, name) = self.places[at.index()];
            names.push(name);
            at = above;
        }
        names.reverse();
        joined(&names)
    }

    /// All paths of an inode, the first one first.
    #[must_use]
    pub fn paths(&self, ino: Ino) -> Vec<Vec<u8>> {
        let mut paths = vec![self.path(ino)];
        if self.tree.inode(ino).name_count() > 1 {
            let directories = self.tree.inodes().filter(Inode::is_dir);
            let names = directories.flat_map(|directory| {
                let is_it = move |(_, child): &(&[u8], Inode<'_>)| child.ino() == ino;
                directory.children().filter(is_it).map(move |(name, _)| (directory.ino(), name))
            });
            let others = names.filter(|(directory, name)| !self.is_first(ino, *directory, name));
            let mut others: Vec<Vec<u8>> = others.map(|(directory, name)| self.path_in(directory, name)).collect();
            others.sort();
            paths.append(&mut others);
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use cvbake_tree::{Builder, FileData, Meta, Segment};

    use super::*;

    #[test]
    fn sums_and_names() {
        let meta = Meta::default();
        let segments = [Segment { file_block: 0, blocks: 2 }];
        let file = Kind::File(FileData { size: 5000, pack: 0, pack_block: 0, segments: &segments });
        let mut builder = Builder::new(&meta);
        let a = builder.add(Ino::ROOT, b"a", Kind::Directory, &meta).unwrap();
        let c = builder.add(a, b"c", Kind::Directory, &meta).unwrap();
        let x = builder.add(c, b"x", file, &meta).unwrap();
        let b = builder.add(Ino::ROOT, b"b", Kind::Directory, &meta).unwrap();
        builder.link(b, b"x", x).unwrap();
        builder.add(b, b"y", file, &meta).unwrap();
        let tree = builder.finish().unwrap();
        let totals = Totals::of(&tree);
        let at = |path: &str| tree.lookup(path.as_bytes()).unwrap().ino();
        let sums = ["", "a", "a/c", "b", "b/y"].map(|path| (totals.bytes(at(path)), totals.files(at(path))));
        assert_eq!(sums, [(16384, 5), (8192, 2), (8192, 1), (8192, 1), (8192, 0)]);
        assert_eq!(totals.paths(at("b/x")), [b"/a/c/x".to_vec(), b"/b/x".to_vec()]);
        assert!(totals.is_first(at("b/x"), at("a/c"), b"x") && !totals.is_first(at("b/x"), at("b"), b"x"));
        assert_eq!((totals.path(Ino::ROOT), totals.path_in(at("b"), b"q")), (b"/".to_vec(), b"/b/q".to_vec()));
    }
}
