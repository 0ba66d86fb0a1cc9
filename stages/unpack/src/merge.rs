//! Indexes → tree, by these rules.
//!
//! A layer is applied in two steps: first its **markers** to the layers below, then its **entries**
//! in archive order. So where in a layer a whiteout stands never matters, and a new file of a
//! whited-out name stays.
//!
//! * *Markers.* All of a layer's whiteouts and opaque markers are resolved before the first is
//!   applied. The directory of a marker is looked up in the image root below, symbolic links
//!   followed; but where the layer itself has a directory entry on the marker's path, a link there
//!   is about to be replaced, and the marker belongs to the new directory, in which nothing of the
//!   layers below is. A marker for what is not there has no effect.
//! * *Entries.* The directory of an entry is looked up in what there is so far, symbolic links
//!   followed within the image root, at most [`LINK_LIMIT`] on one path, and within a limit for the
//!   whole layer. What is missing on the way becomes a directory 0755 0:0; a file of a lower layer
//!   that stands in the way is replaced by one; a file of the same layer in the way is an error.
//!   The last name is never followed. A directory over a directory takes the new attributes and
//!   keeps its children; everything else over everything replaces it.
//! * *Hard links* give an inode one more name. The target is looked up like an entry's directory,
//!   its last name not followed; if it is not there, it is looked up among the files as they were
//!   before the layer's own markers. The attributes in a link's own header are without meaning.
//!   Names that vanish take no other name with them.
//!
//! Files that are removed just lose their name: the graph keeps unreachable inodes, and only what
//! can be reached from the root goes into the tree. So a removal costs one step, however much stood
//! below, and hard-linked files survive it.

mod graph;
mod history;
mod origins;
mod resolve;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use cvbake_tree::{Builder, FileData, Ino, Kind, Meta, Time, Tree};

use crate::index::{Index, Record, RecordKind};
use crate::path::{PathId, Paths};
use crate::{Error, Problem};
use graph::{Graph, Name, NodeId, Origin};
use resolve::Walker;

pub use history::{Change, Described, Happened, Marker, history};
pub use origins::Origins;

/// As many symbolic links on one path as Linux follows.
const LINK_LIMIT: u8 = 40;

/// Applies layers, lowest first, and gives the files that are left. Directories that no layer
/// describes get `implied` as their time.
///
/// A file's [`FileData::pack`] is the position of its layer.
///
/// # Errors
/// When an entry makes no sense on top of those before it.
pub fn merge(layers: &[&Index], implied: Time) -> Result<Tree, Error> {
    Ok(merge_with_origins(layers, implied)?.0)
}

/// As [`merge`], and says which layer describes each inode.
///
/// # Errors
/// As [`merge`].
pub fn merge_with_origins(layers: &[&Index], implied: Time) -> Result<(Tree, Origins), Error> {
    emit(apply(layers)?, implied)
}

/// Where the attributes of an inode of the merged tree come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// The position of the layer; the lowest is 0.
    pub layer: usize,
    /// Where the entry's header starts in the layer's uncompressed stream.
    pub offset: u64,
}

/// Says which entry of which layer describes an inode of the tree that [`merge`] makes of these
/// layers; `None` for a directory that none describes. It merges again, so it is for errors only: a
/// tree has no room for where its files come from.
///
/// # Errors
/// As [`merge`].
pub fn provenance(layers: &[&Index], ino: Ino) -> Result<Option<Provenance>, Error> {
    /// Found: there is no need to go on.
    struct Found(NodeId);
    let graph = apply(layers)?;
    let mut count = 0;
    let add = |_, _: &[u8], node| {
        count += 1;
        if count == ino.index() { Err(Found(node)) } else { Ok(Ino::from_index(count)) }
    };
    let node = match ino {
        Ino::ROOT => NodeId::ROOT,
        _ => match walk(&graph, add, |_, _, _| Ok(())) {
            Err(Found(node)) => node,
            Ok(()) => return Ok(None),
        },
    };
    let described = graph.layer(node).zip(graph.record(node));
    Ok(described.map(|(number, (layer, at))| Provenance { layer: number, offset: layer.records[at].offset() }))
}

fn apply<'l>(layers: &'l [&'l Index]) -> Result<Graph<'l>, Error> {
    let mut graph = Graph::new(layers);
    for (number, layer) in layers.iter().enumerate() {
        let mut apply = Apply::new(&mut graph, layer, number);
        apply.markers()?;
        apply.entries()?;
    }
    graph.end_lookups();
    Ok(graph)
}

struct Apply<'a, 'l> {
    graph: &'a mut Graph<'l>,
    layer: &'a Index,
    number: usize,
    walker: Walker,
}

/// What a marker takes away.
#[derive(Clone, Copy)]
struct Removal {
    directory: NodeId,
    /// The record of the marker: an opaque one takes away all that is in the directory.
    record: usize,
}

impl<'a, 'l> Apply<'a, 'l> {
    fn new(graph: &'a mut Graph<'l>, layer: &'a Index, number: usize) -> Apply<'a, 'l> {
        graph.start_layer(layer.records.len());
        Apply { graph, layer, number, walker: Walker::new(layer.paths.nodes.len()) }
    }

    fn entries(&mut self) -> Result<(), Error> {
        for (at, record) in self.layer.records.iter().enumerate() {
            let outcome = match &record.kind {
                RecordKind::Whiteout | RecordKind::Opaque => continue,
                RecordKind::HardLink(target) => self.hard_link(record.path, *target),
                kind => self.entry(record.path, kind, at),
            };
            outcome.map_err(|problem| self.error(record, problem))?;
        }
        Ok(())
    }

    fn error(&self, record: &Record, problem: Problem) -> Error {
        let (path, offset) = (written_path(&self.layer.paths, record), record.offset());
        Error::Merge { layer: self.number, path, offset, problem }
    }

    /// Applies the markers, and says what they were for.
    fn markers(&mut self) -> Result<Vec<Removal>, Error> {
        let is_marker = |kind: &RecordKind| matches!(kind, RecordKind::Whiteout | RecordKind::Opaque);
        if !self.layer.records.iter().any(|record| is_marker(&record.kind)) {
            return Ok(Vec::new());
        }
        let mut replaced = vec![false; self.layer.paths.nodes.len()];
        for record in &self.layer.records {
            if record.kind == RecordKind::Directory {
                replaced[record.path.index()] = true;
            }
        }
        let mut removals = Vec::new();
        // Markers of one directory usually stand side by side.
        let mut last = (PathId::ROOT, Some(NodeId::ROOT));
        for (at, record) in self.layer.records.iter().enumerate().filter(|(_, record)| is_marker(&record.kind)) {
            let paths = &self.layer.paths;
            let whole = record.kind == RecordKind::Opaque;
            let directory = if whole { record.path } else { paths.parent(record.path) };
            if last.0 != directory {
                let found = self.walker.find_directory(self.graph, paths, directory, &replaced);
                last = (directory, found.map_err(|problem| self.error(record, problem))?);
            }
            if let Some(directory) = last.1 {
                removals.push(Removal { directory, record: at });
            }
        }
        for &Removal { directory, record } in &removals {
            let record = &self.layer.records[record];
            match record.kind {
                RecordKind::Opaque => self.graph.make_opaque(directory),
                _ => self.graph.white_out(directory, self.layer.paths.name(record.path)),
            }
        }
        self.walker.forget();
        Ok(removals)
    }

    fn origin(&self, record: usize) -> Origin {
        self.graph.origin(self.number, record)
    }

    fn entry(&mut self, path: PathId, kind: &RecordKind, at: usize) -> Result<(), Problem> {
        let origin = self.origin(at);
        let is_dir = *kind == RecordKind::Directory;
        if path == PathId::ROOT {
            if !is_dir {
                return Err(Problem::Root { found: kind.word() });
            }
            self.graph.describe(NodeId::ROOT, origin);
            return Ok(());
        }
        let directory = self.directory_of(path)?;
        let name = self.layer.paths.name(path);
        match self.graph.child(directory, name) {
            Some(there) if is_dir && self.graph.is_dir(there) => self.graph.describe(there, origin),
            there => {
                if there.is_some() {
                    self.remove(directory, name);
                }
                let node = self.graph.add_node(origin, is_dir.then_some(directory));
                self.graph.add_entry(directory, self.name(path), node);
            }
        }
        Ok(())
    }

    fn name(&self, path: PathId) -> Name {
        Name::new(self.number, self.layer.paths.name_at(path))
    }

    fn directory_of(&mut self, path: PathId) -> Result<NodeId, Problem> {
        let parent = self.layer.paths.parent(path);
        self.walker.make_directory(self.graph, self.number, parent)
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) {
        if let Some(gone) = self.graph.remove_entry(directory, name)
            && self.graph.leads_on(gone)
        {
            self.walker.forget();
        }
    }

    fn hard_link(&mut self, path: PathId, target: PathId) -> Result<(), Problem> {
        let paths = &self.layer.paths;
        let missing = || Problem::LinkMissing { target: paths.display(target) };
        if target == path {
            return Err(Problem::LinkSelf);
        }
        if path == PathId::ROOT {
            return Err(Problem::Root { found: "hard link" });
        }
        if target == PathId::ROOT {
            return Err(Problem::LinkDirectory { target: paths.display(target) });
        }
        let node = self.walker.find_target(self.graph, paths, target)?.ok_or_else(missing)?;
        if self.graph.is_dir(node) {
            return Err(Problem::LinkDirectory { target: paths.display(target) });
        }
        let directory = self.directory_of(path)?;
        let name = paths.name(path);
        if let Some(there) = self.graph.child(directory, name) {
            if there == node && self.walker.is_name(self.graph, paths, target, directory, name)? {
                return Err(Problem::LinkSelf);
            }
            self.remove(directory, name);
        }
        self.graph.add_entry(directory, self.name(path), node);
        Ok(())
    }
}

/// The path of an entry as an archive writes it, for people.
fn written_path(paths: &Paths, record: &Record) -> String {
    let in_directory = |directory: PathId, name: String| match directory {
        PathId::ROOT => name,
        _ => format!("{}/{name}", paths.display(directory)),
    };
    match record.kind {
        RecordKind::Whiteout => {
            let name = cvbake_tree::escape(paths.name(record.path));
            in_directory(paths.parent(record.path), format!(".wh.{name}"))
        }
        RecordKind::Opaque => in_directory(record.path, ".wh..wh..opq".to_owned()),
        _ => paths.display(record.path),
    }
}

/// Copies what can be reached from the root into a tree, in its canonical order.
fn emit(graph: Graph<'_>, implied: Time) -> Result<(Tree, Origins), Error> {
    let fresh = Meta { mode: 0o755, mtime: implied, ..Meta::default() };
    let meta = |node: NodeId| graph.record(node).map_or_else(|| fresh.clone(), |(layer, at)| meta_of(layer, at));
    let mut builder = Builder::new(&meta(NodeId::ROOT));
    let layers = graph.layers().iter();
    let names = layers.clone().map(|layer| layer.paths.names.len()).sum();
    let segments = layers.map(|layer| layer.segments.len()).sum();
    builder.reserve(graph.node_count(), graph.entry_count(), names, segments);
    let builder = RefCell::new(builder);
    let mut origins = Origins::of_root(graph.layer(NodeId::ROOT));
    let add = |parent, name: &[u8], node| {
        origins.push(graph.layer(node));
        builder.borrow_mut().add(parent, name, kind_of(&graph, node), &meta(node))
    };
    walk(&graph, add, |parent, name, ino| builder.borrow_mut().link(parent, name, ino)).map_err(Error::Tree)?;
    drop(graph);
    Ok((builder.into_inner().finish().map_err(Error::Tree)?, origins))
}

/// Goes through what can be reached from the root, in a tree's canonical order: `add` is called for
/// the first name of each inode and numbers it, `link` for every other.
fn walk<E>(
    graph: &Graph<'_>,
    mut add: impl FnMut(Ino, &[u8], NodeId) -> Result<Ino, E>,
    mut link: impl FnMut(Ino, &[u8], Ino) -> Result<(), E>,
) -> Result<(), E> {
    let mut inos = vec![Ino::ROOT; graph.node_count()];
    let mut directories = vec![(NodeId::ROOT, Ino::ROOT)];
    let mut entries = Vec::new();
    while let Some((directory, parent)) = directories.pop() {
        let waiting = directories.len();
        entries.extend(graph.entries(directory));
        entries.sort_unstable_by_key(|&(name, _)| name);
        for (name, node) in entries.drain(..) {
            let known = inos[node.index()];
            if known != Ino::ROOT {
                link(parent, name, known)?;
                continue;
            }
            let ino = add(parent, name, node)?;
            inos[node.index()] = ino;
            if graph.is_dir(node) {
                directories.push((node, ino));
            }
        }
        directories[waiting..].reverse();
    }
    Ok(())
}

fn kind_of<'l>(graph: &Graph<'l>, node: NodeId) -> Kind<'l> {
    let Some((layer, at)) = graph.record(node) else { return Kind::Directory };
    let pack = graph.layer(node).and_then(|layer| u32::try_from(layer).ok()).expect("a record is a layer's");
    match layer.records[at].kind {
        RecordKind::File { size, pack_block, first_segment, .. } => Kind::File(FileData {
            size,
            pack,
            pack_block: u64::from(pack_block),
            segments: layer.segments(at, first_segment),
        }),
        RecordKind::Symlink { target, len } => Kind::Symlink(layer.paths.text(target, usize::from(len))),
        RecordKind::CharDevice(device) => Kind::CharDevice(device),
        RecordKind::BlockDevice(device) => Kind::BlockDevice(device),
        RecordKind::Fifo => Kind::Fifo,
        RecordKind::Directory => Kind::Directory,
        RecordKind::HardLink(_) | RecordKind::Whiteout | RecordKind::Opaque => {
            unreachable!("these records make no node")
        }
    }
}

fn meta_of(layer: &Index, at: usize) -> Meta {
    let record = &layer.records[at];
    let number = u32::try_from(at).expect("an index counts its records in 32 bits");
    let times = layer.extra_times.binary_search_by_key(&number, |times| times.0).map(|at| &layer.extra_times[at]);
    Meta {
        mode: record.mode,
        uid: record.uid,
        gid: record.gid,
        mtime: record.mtime,
        atime: times.ok().and_then(|times| times.1),
        ctime: times.ok().and_then(|times| times.2),
        xattrs: layer.xattrs[record.xattrs as usize].clone(),
    }
}
