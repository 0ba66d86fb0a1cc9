//! Names and inodes while layers are being applied.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::index::{Index, RecordKind};

/// An inode of the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodeId(u32);

impl NodeId {
    pub(super) const ROOT: NodeId = NodeId(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where the attributes of an inode stand: a record, counted through all layers; or nowhere for a
/// directory that is only implied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin(u32);

impl Origin {
    pub(super) const IMPLIED: Origin = Origin(u32::MAX);
}

fn number(number: usize) -> u32 {
    u32::try_from(number).expect("layers, records and names are counted in 32 bits")
}

/// No such entry, or no such directory.
const NONE: u32 = u32::MAX;

/// The most names of targets of symbolic links that are looked up for a layer: some, and some more
/// for each entry. What is looked up is remembered, so real images need less than one for an entry;
/// but an entry of a kilobyte can force 40 links of 2000 names each to be followed anew.
const DETOURS: u64 = 1 << 22;
const DETOURS_PER_RECORD: u64 = 64;

#[derive(Debug)]
struct Node {
    origin: Origin,
    /// For a directory its parent, else [`NONE`].
    parent: u32,
    /// For a directory its newest entry.
    first: u32,
}

/// A file name: bytes that stay in the index of a layer, which has them as a name or as part of a
/// link's target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    start: u32,
    layer: u16,
    len: u8,
}

impl Name {
    pub(super) fn new(layer: usize, (start, len): (u32, u8)) -> Name {
        let layer = u16::try_from(layer).expect("an image has at most some thousands of layers");
        Name { start, layer, len }
    }

    pub(super) fn bytes<'l>(self, layers: &[&'l Index]) -> &'l [u8] {
        layers[self.layer as usize].paths.text(self.start, usize::from(self.len))
    }
}

/// A name in a directory.
#[derive(Debug)]
struct Entry {
    directory: u32,
    name: Name,
    /// Whether it was taken away; then only the list of its directory still has it.
    gone: bool,
    node: u32,
    /// The entry that the directory got before.
    next: u32,
}

/// Inodes and their names.
pub(super) struct Graph<'l> {
    layers: &'l [&'l Index],
    /// The number of each layer's first record.
    firsts: Vec<u32>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    /// The entries that are in force, by directory and name.
    table: HashTable<u32>,
    /// The entries that the markers of the layer being applied took away.
    shadow: HashTable<u32>,
    /// Randomly keyed, because an image chooses the names; the order of the tables is never looked
    /// at.
    hasher: RandomState,
    /// How many names of targets of symbolic links may still be looked up for the layer being
    /// applied.
    detours: u64,
}

impl<'l> Graph<'l> {
    pub(super) fn new(layers: &'l [&'l Index]) -> Graph<'l> {
        let root = Node { origin: Origin::IMPLIED, parent: 0, first: NONE };
        let mut records = 0;
        let first = |layer: &&Index| {
            records += layer.records.len();
            number(records - layer.records.len())
        };
        let firsts = layers.iter().map(first).collect();
        // Enough but for directories that are only implied. What is not used costs addresses only.
        let (mut nodes, mut entries) = (Vec::new(), Vec::new());
        nodes.reserve_exact(records + 1);
        entries.reserve_exact(records);
        nodes.push(root);
        Graph {
            layers,
            firsts,
            nodes,
            entries,
            table: HashTable::new(),
            shadow: HashTable::new(),
            hasher: RandomState::new(),
            detours: 0,
        }
    }

    pub(super) fn layers(&self) -> &'l [&'l Index] {
        self.layers
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// How many names there are or were.
    pub(super) fn entry_count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn origin(&self, layer: usize, record: usize) -> Origin {
        Origin(self.firsts[layer] + number(record))
    }

    /// Where the attributes of an inode stand.
    pub(super) fn origin_of(&self, node: NodeId) -> Origin {
        self.nodes[node.index()].origin
    }

    /// The layer and record that describe an inode; `None` where none does.
    pub(super) fn record(&self, node: NodeId) -> Option<(&'l Index, usize)> {
        let layer = self.layer(node)?;
        Some((self.layers[layer], (self.nodes[node.index()].origin.0 - self.firsts[layer]) as usize))
    }

    /// The layer that last described an inode.
    pub(super) fn layer(&self, node: NodeId) -> Option<usize> {
        let origin = self.nodes[node.index()].origin;
        (origin != Origin::IMPLIED).then(|| self.firsts.partition_point(|&first| first <= origin.0) - 1)
    }

    pub(super) fn is_dir(&self, node: NodeId) -> bool {
        self.nodes[node.index()].parent != NONE
    }

    /// The directory above a directory; the root's is the root.
    pub(super) fn parent(&self, directory: NodeId) -> NodeId {
        NodeId(self.nodes[directory.index()].parent)
    }

    /// The target, if the inode is a symbolic link: a layer, and where in its names.
    pub(super) fn link_target(&self, node: NodeId) -> Option<(usize, u32, u16)> {
        let (layer, at) = self.record(node)?;
        match layer.records[at].kind {
            RecordKind::Symlink { target, len } => Some((self.layer(node)?, target, len)),
            _ => None,
        }
    }

    pub(super) fn word(&self, node: NodeId) -> &'static str {
        self.record(node).map_or("directory", |(layer, at)| layer.records[at].kind.word())
    }

    /// Whether paths can lead through the inode: then whoever remembers paths must forget them when
    /// it goes.
    pub(super) fn leads_on(&self, node: NodeId) -> bool {
        self.is_dir(node) || self.link_target(node).is_some()
    }

    pub(super) fn add_node(&mut self, origin: Origin, parent: Option<NodeId>) -> NodeId {
        let node = NodeId(number(self.nodes.len()));
        self.nodes.push(Node { origin, parent: parent.map_or(NONE, |parent| parent.0), first: NONE });
        node
    }

    /// Gives a directory new attributes.
    pub(super) fn describe(&mut self, directory: NodeId, origin: Origin) {
        self.nodes[directory.index()].origin = origin;
    }

    /// Gives an inode a name that is free.
    pub(super) fn add_entry(&mut self, directory: NodeId, name: Name, node: NodeId) {
        let at = number(self.entries.len());
        let next = std::mem::replace(&mut self.nodes[directory.index()].first, at);
        self.entries.push(Entry { directory: directory.0, name, gone: false, node: node.0, next });
        insert(&mut self.table, &self.entries, &self.hasher, self.layers, at);
    }

    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        let at = find(&self.table, &self.entries, &self.hasher, self.layers, directory, name)?;
        Some(NodeId(self.entries[at as usize].node))
    }

    /// The layer that an entry, other than a directory's, comes from.
    pub(super) fn child_layer(&self, directory: NodeId, name: &[u8]) -> Option<usize> {
        let at = find(&self.table, &self.entries, &self.hasher, self.layers, directory, name)?;
        Some(self.entries[at as usize].name.layer as usize)
    }

    /// As [`Graph::child`], but with what the markers of the layer being applied took away still in
    /// its place.
    pub(super) fn child_below(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        let at = find(&self.shadow, &self.entries, &self.hasher, self.layers, directory, name);
        at.map(|at| NodeId(self.entries[at as usize].node)).or_else(|| self.child(directory, name))
    }

    /// Takes a name away; what it named stays, for other names it may have.
    pub(super) fn remove_entry(&mut self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        let at = self.take(directory, name)?;
        Some(NodeId(self.entries[at as usize].node))
    }

    fn take(&mut self, directory: NodeId, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one((directory.0, name));
        let entries = &self.entries;
        let occupied =
            self.table.find_entry(hash, |&at| is(&entries[at as usize], self.layers, directory, name)).ok()?;
        let (at, _) = occupied.remove();
        self.entries[at as usize].gone = true;
        Some(at)
    }

    /// Takes a name away for the marker of a layer.
    pub(super) fn white_out(&mut self, directory: NodeId, name: &[u8]) {
        if let Some(at) = self.take(directory, name) {
            insert(&mut self.shadow, &self.entries, &self.hasher, self.layers, at);
        }
    }

    /// Takes all names of a directory away for the marker of a layer.
    pub(super) fn make_opaque(&mut self, directory: NodeId) {
        let mut at = std::mem::replace(&mut self.nodes[directory.index()].first, NONE);
        while at != NONE {
            let Entry { gone, next, name, .. } = self.entries[at as usize];
            if !gone {
                self.white_out(directory, name.bytes(self.layers));
            }
            at = next;
        }
    }

    /// Forgets what the markers of the layer before took away, and makes room for the layer.
    pub(super) fn start_layer(&mut self, records: usize) {
        self.shadow.clear();
        self.table.reserve(records, |&at| hash(&self.entries, &self.hasher, self.layers, at));
        self.detours = DETOURS + DETOURS_PER_RECORD * records as u64;
    }

    /// Counts a name of the target of a symbolic link that is looked up: `false` if there were too
    /// many.
    pub(super) fn detour(&mut self) -> bool {
        self.detours = self.detours.saturating_sub(1);
        self.detours > 0
    }

    /// Frees what only lookups need.
    pub(super) fn end_lookups(&mut self) {
        self.table = HashTable::new();
        self.shadow = HashTable::new();
    }

    /// The names in a directory, in no particular order.
    pub(super) fn entries(&self, directory: NodeId) -> impl Iterator<Item = (&'l [u8], NodeId)> {
        let first = self.entries.get(self.nodes[directory.index()].first as usize);
        let list = std::iter::successors(first, |entry| self.entries.get(entry.next as usize));
        list.filter(|entry| !entry.gone).map(|entry| (entry.name.bytes(self.layers), NodeId(entry.node)))
    }
}

fn is(entry: &Entry, layers: &[&Index], directory: NodeId, name: &[u8]) -> bool {
    entry.directory == directory.0 && entry.name.bytes(layers) == name
}

fn find(
    table: &HashTable<u32>,
    entries: &[Entry],
    hasher: &RandomState,
    layers: &[&Index],
    directory: NodeId,
    name: &[u8],
) -> Option<u32> {
    let hash = hasher.hash_one((directory.0, name));
    table.find(hash, |&at| is(&entries[at as usize], layers, directory, name)).copied()
}

fn insert(table: &mut HashTable<u32>, entries: &[Entry], hasher: &RandomState, layers: &[&Index], at: u32) {
    table.insert_unique(hash(entries, hasher, layers, at), at, |&at| hash(entries, hasher, layers, at));
}

fn hash(entries: &[Entry], hasher: &RandomState, layers: &[&Index], at: u32) -> u64 {
    let entry = &entries[at as usize];
    hasher.hash_one((entry.directory, entry.name.bytes(layers)))
}
