//! What the place that a disk is for demands of it.

use cvbake_disk::TooLarge;
use cvbake_tree::{Inode, Kind, Tree};

use crate::error::Error;

/// What a place demands, beside a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Demands {
    /// What the place is called.
    pub place: &'static str,
    /// The length of the disk is a multiple of so many bytes.
    pub multiple_bytes: u64,
    /// The disk has at most so many bytes.
    pub max_bytes: u64,
    /// One of these paths is there, links followed; nothing is asked for where there are none.
    pub one_of: &'static [&'static str],
}

impl Demands {
    /// A place that takes every disk.
    #[must_use]
    pub fn none(place: &'static str) -> Demands {
        Demands { place, multiple_bytes: 1, max_bytes: u64::MAX, one_of: &[] }
    }

    /// The length of a disk that has at least so many bytes.
    pub(crate) fn disk_bytes(&self, len_bytes: u64) -> Result<u64, Error> {
        let fitting = len_bytes.checked_next_multiple_of(self.multiple_bytes).unwrap_or(u64::MAX);
        match fitting <= self.max_bytes {
            true => Ok(fitting),
            false => Err(TooLarge { format: self.place, len_bytes: fitting, max: self.max_bytes }.into()),
        }
    }

    /// Whether the files are there that it wants.
    pub(crate) fn check(&self, tree: &Tree) -> Result<(), Error> {
        match self.one_of.is_empty() || self.one_of.iter().any(|path| is_there(tree, path.as_bytes())) {
            true => Ok(()),
            false => Err(Error::Lacks { place: self.place, one_of: self.one_of }),
        }
    }
}

/// Whether there is something at a path from the root, where links lead.
fn is_there(tree: &Tree, path: &[u8]) -> bool {
    /// As many as Linux follows.
    const LINKS: usize = 40;
    let split = |path: &[u8]| path.rsplit(|&byte| byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut todo, mut links) = (split(path), 0);
    let mut way: Vec<Inode<'_>> = vec![tree.root()];
    while let Some(name) = todo.pop() {
        match name.as_slice() {
            b"" | b"." => {}
            b".." if way.len() > 1 => drop(way.pop()),
            b".." => {}
            name => {
                let Some(found) = way.last().and_then(|dir| dir.child(name)) else { return false };
                match found.kind() {
                    Kind::Symlink(_) if links == LINKS => return false,
                    Kind::Symlink(target) => {
                        links += 1;
                        todo.extend(split(target));
                        if target.starts_with(b"/") {
                            way.truncate(1);
                        }
                    }
                    _ => way.push(found),
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use cvbake_tree::{Builder, Meta};

    use super::*;

    #[test]
    fn links_are_followed() {
        let meta = Meta::default();
        let mut builder = Builder::new(&meta);
        let root = cvbake_tree::Ino::ROOT;
        let usr = builder.add(root, b"usr", Kind::Directory, &meta).unwrap();
        let bin = builder.add(usr, b"bin", Kind::Directory, &meta).unwrap();
        builder.add(bin, b"busybox", Kind::Fifo, &meta).unwrap();
        builder.add(bin, b"sh", Kind::Symlink(b"/usr/../usr/./bin/busybox"), &meta).unwrap();
        builder.add(root, b"bin", Kind::Symlink(b"usr/bin"), &meta).unwrap();
        builder.add(root, b"loop", Kind::Symlink(b"loop"), &meta).unwrap();
        builder.add(root, b"up", Kind::Symlink(b"../../usr"), &meta).unwrap();
        let tree = builder.finish().unwrap();
        for (path, there) in [
            ("/bin/sh", true),
            ("/bin", true),
            ("/up/bin/sh", true),
            ("/bin/bash", false),
            ("/loop", false),
            ("/bin/sh/x", false),
        ] {
            assert_eq!(is_there(&tree, path.as_bytes()), there, "{path}");
        }
        let demands = Demands { one_of: &["/etc", "/bin/sh"], ..Demands::none("WSL") };
        assert!(demands.check(&tree).is_ok());
        let error = Demands { one_of: &["/etc", "/loop"], ..demands }.check(&tree).unwrap_err();
        assert_eq!(error.to_string(), "the image has neither /etc nor /loop, and WSL takes only images that do");
    }

    #[test]
    fn lengths() {
        let demands = Demands { multiple_bytes: 1 << 20, max_bytes: 2 << 20, ..Demands::none("Azure") };
        assert_eq!(demands.disk_bytes(1).unwrap(), 1 << 20);
        assert_eq!(demands.disk_bytes(2 << 20).unwrap(), 2 << 20);
        for len in [(2 << 20) + 1, u64::MAX] {
            assert!(matches!(demands.disk_bytes(len), Err(Error::TooLarge(_))), "{len}");
        }
        assert_eq!(Demands::none("QEMU").disk_bytes(u64::MAX).unwrap(), u64::MAX);
    }
}
