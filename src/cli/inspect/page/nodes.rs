//! The files of a page: the largest by name, the others added up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cvbake::survey::{Totals, content_bytes};
use cvbake::text;
use cvbake::tree::{Ino, Tree};
use serde::Serialize;

/// More than anybody tells apart on a screen.
const NODES: usize = 20_000;

/// Bytes of all names. Most are some ten bytes long; an image can have names of 255 bytes of which
/// each is written with ten.
const NAMES: usize = 1 << 20;

/// Layers that the smaller files of a directory are told apart by.
const LAYERS: usize = 4;

/// In the place of a layer: this is a directory.
const DIRECTORY: i32 = -2;
/// Several layers.
const SEVERAL: i32 = -1;

/// A rectangle: the position of its directory in the list, its name, its bytes, its layer, and how
/// many files it stands for. One that stands for smaller files has no name.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Node(pub(super) usize, pub(super) String, pub(super) u64, pub(super) i32, pub(super) u64);

/// The position of what a file belongs to: a layer, or a directory.
type GroupOf<'a> = &'a dyn Fn(Ino) -> Option<usize>;

fn layer_of(group_of: GroupOf<'_>, ino: Ino) -> i32 {
    group_of(ino).and_then(|group| i32::try_from(group).ok()).unwrap_or(SEVERAL)
}

/// The files in a list in which a directory stands before what is in it; the root is the first.
pub(super) fn nodes(tree: &Tree, group_of: GroupOf<'_>, totals: &Totals<'_>) -> Vec<Node> {
    let mut by_size: Vec<Ino> = tree.inodes().map(|inode| inode.ino()).filter(|ino| totals.bytes(*ino) > 0).collect();
    // A directory is as large as anything in it, and has a lower number: so it comes before that.
    by_size.sort_unstable_by_key(|ino| (Reverse(totals.bytes(*ino)), *ino));
    let mut nodes =
        vec![Node(0, "/".to_owned(), totals.bytes(Ino::ROOT), DIRECTORY, u64::from(totals.files(Ino::ROOT)))];
    // The position of each inode that is in the list; of others that of the directory that is.
    let mut positions: Vec<Option<usize>> = vec![None; tree.inode_count()];
    positions[0] = Some(0);
    let mut names = 0;
    for ino in by_size.into_iter().filter(|ino| *ino != Ino::ROOT) {
        let (directory, name) = totals.place(ino);
        let name = text::name(name);
        names += name.len();
        if nodes.len() == NODES || names > NAMES {
            break;
        }
        let directory = positions[directory.index()].expect("a directory comes before what is in it");
        positions[ino.index()] = Some(nodes.len());
        let (layer, files) = match tree.inode(ino).is_dir() {
            true => (DIRECTORY, u64::from(totals.files(ino))),
            false => (layer_of(group_of, ino), 1),
        };
        nodes.push(Node(directory, name, totals.bytes(ino), layer, files));
    }
    let mut smaller: BTreeMap<usize, BTreeMap<i32, (u64, u64)>> = BTreeMap::new();
    for inode in tree.inodes() {
        if positions[inode.ino().index()].is_some() {
            continue;
        }
        let directory = positions[totals.place(inode.ino()).0.index()].expect("directories have lower numbers");
        if inode.is_dir() {
            positions[inode.ino().index()] = Some(directory);
        } else {
            let sums = smaller.entry(directory).or_default().entry(layer_of(group_of, inode.ino())).or_default();
            *sums = (sums.0.saturating_add(content_bytes(inode)), sums.1 + 1);
        }
    }
    for (directory, layers) in smaller {
        let mut layers: Vec<(i32, (u64, u64))> = layers.into_iter().collect();
        layers.sort_by_key(|(layer, (bytes, _))| (Reverse(*bytes), *layer));
        let rest = layers.split_off(layers.len().min(LAYERS));
        let sum = |(bytes, files): (u64, u64), (_, (more, others)): &(i32, (u64, u64))| (bytes + more, files + others);
        layers.push((SEVERAL, rest.iter().fold((0, 0), sum)));
        let shown = layers.into_iter().filter(|(_, (bytes, _))| *bytes > 0);
        nodes.extend(shown.map(|(layer, (bytes, files))| Node(directory, String::new(), bytes, layer, files)));
    }
    nodes
}
