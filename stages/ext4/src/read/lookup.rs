//! From a path to an inode.

use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, VecDeque};

use cvbake_tree::escape_short;

use super::claims::Claims;
use super::{Entry, Error, Filesystem, Node, NodeKind};

/// Which symbolic links on the way to a file are followed. All lead to somewhere in the same
/// filesystem: its root directory is the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// None: one that is not the last is no directory.
    Never,
    /// All but the last.
    Parents,
    /// All.
    All,
}

impl Filesystem {
    /// The inode at a path; whether it starts with `/` does not matter.
    ///
    /// # Errors
    /// When there is none, or something on the way is no directory, or can't be read.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Node, Error> {
        self.walk(path, follow).map_err(|error| error.at(path))
    }

    fn walk(&self, path: &[u8], follow: Follow) -> Result<Node, Error> {
        let shown = || escape_short(path);
        let mut names: VecDeque<Vec<u8>> = split(path).collect();
        // The directories above the one where we are.
        let mut above: Vec<Node> = Vec::new();
        let mut at = self.root()?;
        let mut links = 0;
        // Links can lead through a directory thousands of times, and several can have one content.
        let mut read: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        let mut claims = Claims::default();
        while let Some(name) = names.pop_front() {
            if at.kind != NodeKind::Directory {
                let found = at.kind.words();
                return Err(Error::NotA { path: shown(), expected: "a path through directories", found });
            }
            if name == b".." {
                at = above.pop().unwrap_or(at);
                continue;
            }
            let entries = match read.entry(at.ino) {
                Vacant(place) => {
                    self.claim(&at, &mut claims)?;
                    place.insert(self.read_dir(&at)?)
                }
                Occupied(read) => read.into_mut(),
            };
            let entry = entries.binary_search_by(|entry| entry.name.cmp(&name)).map(|found| &entries[found]);
            let entry = entry.map_err(|_| Error::NotFound { path: shown() })?;
            let next = self.node(entry.ino)?;
            entry.check(&next)?;
            let is_followed = match follow {
                Follow::Never => false,
                Follow::Parents => !names.is_empty(),
                Follow::All => true,
            };
            if next.kind != NodeKind::Symlink || !is_followed {
                above.push(std::mem::replace(&mut at, next));
                continue;
            }
            links += 1;
            if links > Filesystem::LINKS_MAX {
                return Err(Error::Links { path: shown(), max: Filesystem::LINKS_MAX });
            }
            let target = self.target(&next)?;
            if target.starts_with(b"/") {
                at = self.root()?;
                above.clear();
            }
            for name in split(&target).collect::<Vec<_>>().into_iter().rev() {
                names.push_front(name);
            }
        }
        Ok(at)
    }
}

/// The names of a path, without those that lead nowhere.
fn split(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec)
}
