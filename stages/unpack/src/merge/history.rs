//! What becomes of one path while layers are applied, one after the other.
//!
//! The path is taken literally: it is a path of the merged tree, or where one would be. Before a
//! layer, between its markers and its entries, and behind them, the way to it is looked at again;
//! where that has changed, something has happened. So the rules are those of the merge itself.

use cvbake_tree::{Kind, Meta};

use super::graph::{Graph, NodeId, Origin};
use super::{Apply, Removal, kind_of, meta_of, written_path};
use crate::Error;
use crate::index::{Index, RecordKind};

/// Something that a layer does to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened<'l> {
    /// The position of the layer; the lowest is 0.
    pub layer: usize,
    /// What.
    pub change: Change<'l>,
}

/// What a layer can do to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'l> {
    /// There was nothing, and now there is this.
    Added(Described<'l>),
    /// There was something else.
    Replaced(Described<'l>),
    /// A directory was there and stays, with these attributes.
    Changed(Described<'l>),
    /// A marker took it away.
    Removed(Marker),
    /// Something above it was replaced, and what was in that is gone.
    Covered {
        /// How many names of the path lead to what was replaced.
        depth: usize,
        /// What is there instead.
        by: &'static str,
    },
}

/// What a layer says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described<'l> {
    /// The layer that describes the inode: a lower one, where the name is a hard link to one of its
    /// files. `None` for a directory that is only implied by what is in it.
    pub by: Option<usize>,
    /// What kind of file it is.
    pub kind: Kind<'l>,
    /// Its attributes; those of a directory that is only implied are not known here.
    pub meta: Option<Meta>,
}

/// A whiteout or an opaque marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Its name in the archive, for people.
    pub path: String,
    /// Whether it takes away all that is in a directory.
    pub is_opaque: bool,
}

/// Says what the layers, lowest first, do to a path of the merged tree, in the order in which they
/// do it.
///
/// # Errors
/// As [`merge`](super::merge).
pub fn history<'l>(layers: &'l [&'l Index], path: &[&[u8]]) -> Result<Vec<Happened<'l>>, Error> {
    let mut graph = Graph::new(layers);
    let mut happened = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let before = Way::of(&graph, path);
        let mut apply = Apply::new(&mut graph, layer, number);
        let removals = apply.markers()?;
        let between = Way::of(apply.graph, path);
        apply.entries()?;
        let after = Way::of(&graph, path);
        let markers = before.removed(&between, layer, &removals, path);
        let entries = between.changed(&after, &graph);
        let changes = markers.into_iter().chain(entries);
        happened.extend(changes.map(|change| Happened { layer: number, change }));
    }
    Ok(happened)
}

/// The inodes on the way to a path, from the root on, as far as it leads.
struct Way {
    nodes: Vec<(NodeId, Origin)>,
    /// Whether it leads to its end.
    is_whole: bool,
}

impl Way {
    fn of(graph: &Graph<'_>, path: &[&[u8]]) -> Way {
        let at = |node| (node, graph.origin_of(node));
        let mut nodes = vec![at(NodeId::ROOT)];
        let mut last = NodeId::ROOT;
        for name in path {
            match graph.child(last, name).filter(|_| graph.is_dir(last)) {
                Some(node) => last = node,
                None => break,
            }
            nodes.push(at(last));
        }
        Way { is_whole: nodes.len() == path.len() + 1, nodes }
    }

    fn end(&self) -> Option<(NodeId, Origin)> {
        self.nodes.last().copied().filter(|_| self.is_whole)
    }

    /// What the markers of a layer did.
    fn removed<'l>(&self, after: &Way, layer: &Index, removals: &[Removal], path: &[&[u8]]) -> Option<Change<'l>> {
        self.end().filter(|_| !after.is_whole)?;
        let takes = |&&Removal { directory, record }: &&Removal| {
            let record = &layer.records[record];
            let is_there = |(node, name): (&(NodeId, Origin), &&[u8])| {
                node.0 == directory && (record.kind == RecordKind::Opaque || layer.paths.name(record.path) == *name)
            };
            self.nodes.iter().zip(path).any(is_there)
        };
        let record = &layer.records[removals.iter().find(takes)?.record];
        let is_opaque = record.kind == RecordKind::Opaque;
        Some(Change::Removed(Marker { path: written_path(&layer.paths, record), is_opaque }))
    }

    /// What the entries of a layer did.
    fn changed<'l>(&self, after: &Way, graph: &Graph<'l>) -> Option<Change<'l>> {
        match (self.end(), after.end()) {
            (None, None) => None,
            (None, Some((node, _))) => Some(Change::Added(described(graph, node))),
            (Some((old, _)), Some((new, _))) if old != new => Some(Change::Replaced(described(graph, new))),
            (Some((_, old)), Some((node, new))) if old != new => Some(Change::Changed(described(graph, node))),
            (Some(_), Some(_)) => None,
            (Some(_), None) => {
                let differs = |(old, new): (&(NodeId, Origin), &(NodeId, Origin))| old.0 != new.0;
                let depth = self.nodes.iter().zip(&after.nodes).position(differs)?;
                Some(Change::Covered { depth, by: graph.word(after.nodes[depth].0) })
            }
        }
    }
}

fn described<'l>(graph: &Graph<'l>, node: NodeId) -> Described<'l> {
    let meta = graph.record(node).map(|(layer, at)| meta_of(layer, at));
    Described { by: graph.layer(node), kind: kind_of(graph, node), meta }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::layer;

    fn told(layers: &[&str], path: &str) -> Vec<String> {
        let layers: Vec<Index> = (1..).zip(layers).map(|(number, text)| layer(number, text)).collect();
        let layers: Vec<&Index> = layers.iter().collect();
        let names: Vec<&[u8]> = path.split('/').filter(|name| !name.is_empty()).map(str::as_bytes).collect();
        let uid = |described: &Described<'_>| described.meta.as_ref().map_or(0, |meta| meta.uid);
        let tell = |Happened { layer, change }: &Happened<'_>| match change {
            Change::Added(new) => format!("{layer}: added {}", uid(new)),
            Change::Replaced(new) => format!("{layer}: replaced {}", uid(new)),
            Change::Changed(new) => format!("{layer}: changed {}", uid(new)),
            Change::Removed(marker) => format!("{layer}: removed {}", marker.path),
            Change::Covered { depth, by } => format!("{layer}: covered {depth} {by}"),
        };
        history(&layers, &names).unwrap().iter().map(tell).collect()
    }

    #[test]
    fn what_becomes_of_a_path() {
        let table: [(&[&str], &str, &[&str]); 14] = [
            (&["f a", "f b"], "a", &["0: added 101"]),
            (&["f a", "f a"], "a", &["0: added 101", "1: replaced 201"]),
            (&["d a", "d a"], "a", &["0: added 101", "1: changed 201"]),
            (&["f a", "w a"], "a", &["0: added 101", "1: removed .wh.a"]),
            (&["f a", "f a\nw a"], "a", &["0: added 101", "1: removed .wh.a", "1: added 201"]),
            (&["f d/a", "o d"], "d/a", &["0: added 101", "1: removed d/.wh..wh..opq"]),
            (&["f d/e/a", "w d/e", "f d/e/a"], "d/e/a", &["0: added 101", "1: removed d/.wh.e", "2: added 301"]),
            (&["f d/a", "f d"], "d/a", &["0: added 101", "1: covered 1 regular file"]),
            (&["f d/a", "s d x"], "d/a", &["0: added 101", "1: covered 1 symbolic link"]),
            // Below a symbolic link, where it leads to.
            (
                &["d usr/lib\ns lib usr/lib", "f lib/a", "w lib/a"],
                "usr/lib/a",
                &["1: added 201", "2: removed lib/.wh.a"],
            ),
            (&["f a", "h b a"], "b", &["1: added 101"]),
            (&["f a\nh b a", "w a"], "b", &["0: added 101"]),
            (&["f d/a"], "d", &["0: added 0"]),
            (&["f a", "w b"], "b", &[]),
        ];
        for (layers, path, expected) in table {
            assert_eq!(told(layers, path), expected, "{layers:?} {path}");
        }
        assert_eq!(told(&["f a", "d ./", "o ./"], ""), ["1: changed 201"]);
    }
}
