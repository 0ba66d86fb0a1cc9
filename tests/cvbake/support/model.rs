//! What layers mean, as naively as it can be said: a map from paths to inodes, copied whole for
//! every layer. Written from the specification alone, as the thing that random images are compared
//! with.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::tar::Member;

/// Names from the root.
pub(crate) type Path = Vec<String>;

/// A name of an inode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) inode: usize,
    /// The layer that put it there.
    layer: usize,
}

/// All inodes, each as its header said, and the names they have. Directories that no entry names
/// are implied.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) inodes: Vec<Member>,
    pub(crate) names: BTreeMap<Path, Name>,
    layers: usize,
}

/// Why an entry can't be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) &'static str);

/// An entry of which the specification does not say what it means: a hard link through a link that
/// its own layer makes, to a file that its own layer hides; a marker through a lower link to a
/// place where its own layer puts a directory.
pub(crate) const DOUBTFUL: Impossible = Impossible("open to doubt");

type Result<T> = std::result::Result<T, Impossible>;

fn implied() -> Member {
    Member { mtime: "0".to_owned(), ..Member::dir(b"") }
}

/// The last name of a path, what it hides if it is a marker.
enum Marker<'p> {
    None,
    Opaque,
    Hides(&'p str),
    /// AUFS' own.
    Leftover,
}

fn marker(path: &Path) -> Marker<'_> {
    if path.iter().any(|name| name.starts_with(".wh..wh.") && name != ".wh..wh..opq") {
        return Marker::Leftover;
    }
    match path.last().map(String::as_str) {
        Some(".wh..wh..opq") => Marker::Opaque,
        Some(name) => name.strip_prefix(".wh.").map_or(Marker::None, Marker::Hides),
        None => Marker::None,
    }
}

fn split(path: &[u8]) -> Path {
    let path = std::str::from_utf8(path).expect("the names of random images are text");
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect()
}

impl Model {
    pub(crate) fn new() -> Model {
        let root = Name { inode: 0, layer: 0 };
        Model { inodes: vec![implied()], names: BTreeMap::from([(Path::new(), root)]), layers: 0 }
    }

    fn at(&self, path: &Path) -> Option<&Member> {
        self.names.get(path).map(|name| &self.inodes[name.inode])
    }

    fn flag(&self, path: &Path) -> Option<u8> {
        self.at(path).map(|inode| inode.flag)
    }

    fn remove(&mut self, path: &Path) {
        self.names.retain(|name, _| !name.starts_with(path));
    }

    fn remove_below(&mut self, path: &Path) {
        self.names.retain(|name, _| !name.starts_with(path) || name == path);
    }

    /// Puts a layer on top: first the markers hide, then the entries come one after the other.
    pub(crate) fn apply(&mut self, layer: &[Member]) -> Result<()> {
        let lower = self.clone();
        self.layers += 1;
        let directories: Vec<Path> =
            layer.iter().filter(|member| member.flag == b'5').map(|member| split(&member.path)).collect();
        for member in layer {
            let path = split(&member.path);
            let (Marker::Opaque | Marker::Hides(_)) = marker(&path) else { continue };
            let parent = path[..path.len() - 1].to_vec();
            // A directory entry of the same layer makes a place of its own where the lower layers
            // have a link.
            let doubtful = Cell::new(false);
            let own = |at: &Path| {
                let replaced = directories.contains(at) && lower.flag(at) == Some(b'2');
                doubtful.set(doubtful.get() || replaced && !parent.starts_with(at));
                replaced
            };
            let found = lower.resolve(&parent, &own)?;
            if doubtful.get() {
                return Err(DOUBTFUL);
            }
            let Some(mut parent) = found else { continue };
            match marker(&path) {
                Marker::Opaque if lower.flag(&parent) == Some(b'5') => self.remove_below(&parent),
                Marker::Hides(name) => {
                    parent.push(name.to_owned());
                    self.remove(&parent);
                }
                _ => {}
            }
        }
        // The same without the markers: what they hide can still be linked to.
        let mut unmarked = Model { layers: self.layers, ..lower.clone() };
        for member in layer {
            self.entry(member, Some((&unmarked, &lower)))?;
            // What is impossible only there does not matter.
            let _ = unmarked.entry(member, None);
        }
        Ok(())
    }

    /// Where a path leads, links followed in all its parts. `None` where `stop` says so.
    fn resolve(&self, path: &Path, stop: &dyn Fn(&Path) -> bool) -> Result<Option<Path>> {
        let mut rest: Vec<String> = path.iter().rev().cloned().collect();
        let mut found = Path::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                found.pop();
                continue;
            }
            found.push(name);
            if stop(&found) {
                return Ok(None);
            }
            if let Some(target) = self.at(&found).filter(|inode| inode.flag == b'2').map(|inode| &inode.link) {
                links += 1;
                if links > 40 {
                    return Err(Impossible("links in a circle"));
                }
                found.pop();
                if target.starts_with(b"/") {
                    found.clear();
                }
                rest.extend(split(target).into_iter().rev());
            }
        }
        Ok(Some(found))
    }

    /// Resolves all but the last name.
    fn place(&self, path: &Path) -> Result<Path> {
        let (last, parent) = path.split_last().expect("not the root");
        let mut place = self.resolve(&parent.to_vec(), &|_| false)?.expect("nothing stops it");
        place.push(last.clone());
        Ok(place)
    }

    fn entry(&mut self, member: &Member, hidden: Option<(&Model, &Model)>) -> Result<()> {
        let path = split(&member.path);
        if !matches!(marker(&path), Marker::None) {
            return Ok(());
        }
        if path.is_empty() {
            if member.flag != b'5' {
                return Err(Impossible("a root that is no directory"));
            }
            self.inodes[0] = member.clone();
            return Ok(());
        }
        let place = self.place(&path)?;
        if member.flag == b'1' {
            let inode = self.target(&place, member, hidden)?;
            self.imply(&place)?;
            self.remove(&place);
            self.names.insert(place, Name { inode, layer: self.layers });
            return Ok(());
        }
        self.imply(&place)?;
        if member.flag == b'5' && self.flag(&place) == Some(b'5') {
            let inode = self.names[&place].inode;
            self.inodes[inode] = member.clone();
            self.names.insert(place, Name { inode, layer: self.layers });
            return Ok(());
        }
        self.remove(&place);
        self.add(place, member.clone());
        Ok(())
    }

    fn add(&mut self, place: Path, member: Member) {
        self.inodes.push(member);
        self.names.insert(place, Name { inode: self.inodes.len() - 1, layer: self.layers });
    }

    /// Makes the directories that a path goes through.
    fn imply(&mut self, place: &Path) -> Result<()> {
        for depth in 1..place.len() {
            let dir = place[..depth].to_vec();
            match self.names.get(&dir) {
                Some(name) if self.inodes[name.inode].flag == b'5' => {}
                Some(name) if name.layer == self.layers => return Err(Impossible("below a file of the same layer")),
                _ => {
                    self.remove(&dir);
                    self.add(dir, implied());
                }
            }
        }
        Ok(())
    }

    /// The inode that a hard link at a place is to be a name of.
    fn target(&self, place: &Path, member: &Member, hidden: Option<(&Model, &Model)>) -> Result<usize> {
        let target = split(&member.link);
        if target.is_empty() {
            return Err(Impossible("a link to the root"));
        }
        let now = self.place(&target)?;
        if now == *place {
            return Err(Impossible("a link to itself"));
        }
        let inode = match (self.names.get(&now), hidden) {
            (Some(name), _) => name.inode,
            (None, None) => return Err(Impossible("a link to nothing")),
            (None, Some((unmarked, lower))) => {
                let known = |model: &Model| {
                    let name = model.names.get(&model.place(&target).ok()?)?;
                    Some(name.inode).filter(|&inode| inode < lower.inodes.len())
                };
                match (known(unmarked), known(lower)) {
                    (Some(inode), Some(same)) if inode == same => inode,
                    (None, _) => return Err(Impossible("a link to nothing")),
                    _ => return Err(DOUBTFUL),
                }
            }
        };
        if self.inodes[inode].flag == b'5' {
            return Err(Impossible("a link to a directory"));
        }
        Ok(inode)
    }
}
