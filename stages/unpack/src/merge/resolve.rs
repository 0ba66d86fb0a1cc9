//! From a path of a layer to an inode of the graph, inside the image root.

use super::graph::{Graph, Name, NodeId, Origin};
use super::{LINK_LIMIT, Problem};
use crate::path::{PathId, Paths};

/// Looks paths up and remembers where the directories were.
///
/// What is remembered stays true while names are only added, because only directories are: a path
/// that led to a directory leads there until a directory or a link goes away.
pub(super) struct Walker {
    /// By path: when it was looked up, where it led, and over how many links.
    memory: Vec<(u32, NodeId, u8)>,
    /// Grows whenever something is to be forgotten.
    epoch: u32,
}

/// What to do on the way.
#[derive(Clone, Copy)]
enum Mode {
    /// Make directories where there are none; the layer that does so.
    Make(usize),
    /// Just look.
    Find,
    /// Just look, at the files as they were before the layer's markers.
    FindBelow,
}

impl Walker {
    pub(super) fn new(paths: usize) -> Walker {
        Walker { memory: vec![(0, NodeId::ROOT, 0); paths], epoch: 1 }
    }

    /// To be called when a directory or a link went away.
    pub(super) fn forget(&mut self) {
        self.epoch += 1;
    }

    /// The directory at a path of a layer; made where it is missing.
    pub(super) fn make_directory(
        &mut self,
        graph: &mut Graph<'_>,
        layer: usize,
        path: PathId,
    ) -> Result<NodeId, Problem> {
        let layers = graph.layers();
        let paths = &layers[layer].paths;
        let mut todo = Vec::new();
        let mut known = path;
        while known != PathId::ROOT && self.memory[known.index()].0 != self.epoch {
            todo.push(known);
            known = paths.parent(known);
        }
        let (mut directory, mut links) = (NodeId::ROOT, 0);
        if known != PathId::ROOT {
            (_, directory, links) = self.memory[known.index()];
        }
        for &path in todo.iter().rev() {
            let mut walk = Walk { graph: &mut *graph, mode: Mode::Make(layer), links };
            let name = Name::new(layer, paths.name_at(path));
            directory = walk.step(directory, name)?.expect("missing directories are made");
            links = walk.links;
            self.memory[path.index()] = (self.epoch, directory, links);
        }
        Ok(directory)
    }

    /// The directory of the layers below at a path of a layer, for a marker; `None` where there is
    /// none, or where a directory of the layer itself (`replaced`) takes the place of what leads
    /// there.
    pub(super) fn find_directory(
        &mut self,
        graph: &mut Graph<'_>,
        paths: &Paths,
        path: PathId,
        replaced: &[bool],
    ) -> Result<Option<NodeId>, Problem> {
        let mut walk = Walk { graph, mode: Mode::Find, links: 0 };
        let mut directory = NodeId::ROOT;
        for path in components(paths, path) {
            let name = paths.name(path);
            let Some(there) = walk.graph.child(directory, name) else { return Ok(None) };
            if walk.graph.is_dir(there) {
                directory = there;
                continue;
            }
            if replaced[path.index()] {
                return Ok(None);
            }
            match walk.follow(directory, there)? {
                Some(there) => directory = there,
                None => return Ok(None),
            }
        }
        Ok(Some(directory))
    }

    /// What a hard link points at.
    pub(super) fn find_target(
        &mut self,
        graph: &mut Graph<'_>,
        paths: &Paths,
        target: PathId,
    ) -> Result<Option<NodeId>, Problem> {
        let name = paths.name(target);
        if let Some(directory) = self.find(graph, paths, paths.parent(target), Mode::Find)?
            && let Some(node) = graph.child(directory, name)
        {
            return Ok(Some(node));
        }
        let directory = self.find(graph, paths, paths.parent(target), Mode::FindBelow)?;
        Ok(directory.and_then(|directory| graph.child_below(directory, name)))
    }

    /// Whether a path of a layer is this name in this directory.
    pub(super) fn is_name(
        &mut self,
        graph: &mut Graph<'_>,
        paths: &Paths,
        path: PathId,
        directory: NodeId,
        name: &[u8],
    ) -> Result<bool, Problem> {
        Ok(paths.name(path) == name && self.find(graph, paths, paths.parent(path), Mode::Find)? == Some(directory))
    }

    fn find(
        &mut self,
        graph: &mut Graph<'_>,
        paths: &Paths,
        path: PathId,
        mode: Mode,
    ) -> Result<Option<NodeId>, Problem> {
        let remembered = self.memory[path.index()];
        if path != PathId::ROOT && remembered.0 == self.epoch && matches!(mode, Mode::Find) {
            return Ok(Some(remembered.1));
        }
        let mut walk = Walk { graph, mode, links: 0 };
        let mut directory = NodeId::ROOT;
        for path in components(paths, path) {
            match walk.step_bytes(directory, paths.name(path), None)? {
                Some(there) => directory = there,
                None => return Ok(None),
            }
        }
        if matches!(mode, Mode::Find) {
            self.memory[path.index()] = (self.epoch, directory, walk.links);
        }
        Ok(Some(directory))
    }
}

/// The paths from below the root down to this one.
fn components(paths: &Paths, mut path: PathId) -> impl Iterator<Item = PathId> {
    let mut above = Vec::new();
    while path != PathId::ROOT {
        above.push(path);
        path = paths.parent(path);
    }
    above.into_iter().rev()
}

/// One path being looked up.
struct Walk<'a, 'l> {
    graph: &'a mut Graph<'l>,
    mode: Mode,
    /// How many symbolic links were followed so far.
    links: u8,
}

impl Walk<'_, '_> {
    fn step(&mut self, directory: NodeId, name: Name) -> Result<Option<NodeId>, Problem> {
        let layers = self.graph.layers();
        self.step_bytes(directory, name.bytes(layers), Some(name))
    }

    /// The directory that a name in a directory leads to. `name` says where the bytes are kept, for
    /// a mode that makes directories.
    fn step_bytes(&mut self, directory: NodeId, bytes: &[u8], name: Option<Name>) -> Result<Option<NodeId>, Problem> {
        let there = match self.mode {
            Mode::FindBelow => self.graph.child_below(directory, bytes),
            Mode::Find | Mode::Make(_) => self.graph.child(directory, bytes),
        };
        match (there, self.mode, name) {
            (Some(there), _, _) if self.graph.is_dir(there) => Ok(Some(there)),
            (Some(there), _, _) if self.graph.link_target(there).is_some() => self.follow(directory, there),
            (Some(there), Mode::Make(layer), Some(name)) => {
                if self.graph.child_layer(directory, bytes) == Some(layer) {
                    let found = self.graph.word(there);
                    return Err(Problem::NotDirectory { parent: cvbake_tree::escape(bytes), found });
                }
                self.graph.remove_entry(directory, bytes);
                Ok(Some(self.make(directory, name)))
            }
            (None, Mode::Make(_), Some(name)) => Ok(Some(self.make(directory, name))),
            (None | Some(_), _, _) => Ok(None),
        }
    }

    fn make(&mut self, directory: NodeId, name: Name) -> NodeId {
        let node = self.graph.add_node(Origin::IMPLIED, Some(directory));
        self.graph.add_entry(directory, name, node);
        node
    }

    /// The directory that a symbolic link in a directory leads to; `None` for what is no link, too.
    fn follow(&mut self, directory: NodeId, link: NodeId) -> Result<Option<NodeId>, Problem> {
        let Some((layer, start, len)) = self.graph.link_target(link) else { return Ok(None) };
        self.links += 1;
        if self.links > LINK_LIMIT {
            return Err(Problem::Loop { limit: LINK_LIMIT });
        }
        let layers = self.graph.layers();
        let target = layers[layer].paths.text(start, usize::from(len));
        let mut directory = if target.first() == Some(&b'/') { NodeId::ROOT } else { directory };
        let mut at = start;
        for bytes in target.split(|&byte| byte == b'/') {
            let name_at = at;
            // The target lies in the same 32-bit arena as its components.
            at += u32::try_from(bytes.len()).expect("a target is short") + 1;
            if !self.graph.detour() {
                return Err(Problem::Detours);
            }
            match bytes {
                b"" | b"." => {}
                b".." => directory = self.graph.parent(directory),
                _ => {
                    let len = u8::try_from(bytes.len()).map_err(|_| Problem::LongName { len: bytes.len() })?;
                    match self.step(directory, Name::new(layer, (name_at, len)))? {
                        Some(there) => directory = there,
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(Some(directory))
    }
}
