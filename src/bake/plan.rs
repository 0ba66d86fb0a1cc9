//! What a bake makes: the plan, in numbers, and the disk.

use std::path::PathBuf;
use std::time::Duration;

use cvbake_tree::{Inode, Kind, Tree};
use cvbake_verify::{Config, Digest, Image};
use cvbake_verity::RootHash;

use super::job::named_by;
use super::layout::Layout;
use crate::error::Error;
use crate::event::{Event, Observer, Stage};
use crate::layers::Layers;
use crate::protection::{HashTree, Protection};
use crate::recipe::Recipe;
use crate::report::Plan;

/// What was baked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Baked {
    /// What the disk holds.
    pub plan: Plan,
    /// Where it stands.
    pub path: PathBuf,
    /// How much of it is allocated in the filesystem it lies on, in bytes.
    pub allocated_bytes: u64,
    /// The SHA-256 of the whole disk, if it was asked for.
    pub digest: Option<Digest>,
    /// The root hash of its hash tree, if it has one.
    pub root_hash: Option<RootHash>,
    /// The file with its hash tree, if that is another one.
    pub hashes: Option<PathBuf>,
    /// The disk made before that it is, or is a copy of.
    pub reused: Option<PathBuf>,
    /// Whether it was there already, and stays as it was.
    pub unchanged: bool,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

/// What a bake of an image makes.
pub(super) fn plan_of(image: &Image, layers: &Layers<'_>, tree: &Tree, recipe: &Recipe<'_>, numbers: Numbers) -> Plan {
    let platform = image.config().and_then(|config| config.platform()).map(|platform| platform.to_string());
    Plan {
        reference: image.reference().to_owned(),
        image: named_by(image, layers),
        config: image.config().map(Config::digest),
        platform,
        layers: layers.reports(),
        files: tree.inode_count(),
        disk_bytes: numbers.disk_bytes,
        used_bytes: numbers.used_bytes,
        inodes: numbers.inodes,
        free_inodes: numbers.free_inodes,
        uuid: recipe.uuid(),
        boot: None,
        hash_tree: numbers.hash_tree,
    }
}

/// How many bytes of file content a disk has at least, whoever writes it: holes are left out.
pub(super) fn content_bytes(tree: &Tree) -> u64 {
    let blocks = |inode: Inode<'_>| match inode.kind() {
        Kind::File(data) => data.segments.iter().map(|segment| u64::from(segment.blocks)).sum(),
        _ => 0,
    };
    tree.inodes().map(blocks).sum::<u64>() * u64::from(cvbake_tree::BLOCK_SIZE)
}

/// What there is to count in a filesystem.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    disk_bytes: u64,
    hash_tree: Option<HashTree>,
    used_bytes: u64,
    content_bytes: u64,
    inodes: u64,
    free_inodes: u64,
}

impl Numbers {
    pub(super) fn planned(layout: &Layout) -> Numbers {
        let block = u64::from(cvbake_tree::BLOCK_SIZE);
        let (inodes, free_inodes) = layout.inodes();
        Numbers {
            disk_bytes: layout.len_bytes(),
            hash_tree: None,
            used_bytes: layout.used_bytes(),
            content_bytes: layout.placements().iter().map(|place| place.blocks * block).sum(),
            inodes,
            free_inodes,
        }
    }

    /// The same with what is behind the filesystem on the disk.
    pub(super) fn on_disk(self, recipe: &Recipe<'_>, protection: Option<&Protection>) -> Result<Numbers, Error> {
        let disk_bytes = recipe.disk_bytes(self.disk_bytes, protection)?;
        let hash_tree = protection.map(|protection| recipe.hash_tree(protection, disk_bytes)).transpose()?;
        Ok(Numbers { disk_bytes, hash_tree, ..self })
    }

    pub(super) fn announce(&self, on: Observer<'_>) {
        on(Event::Planned { disk_bytes: self.disk_bytes, content_bytes: self.content_bytes });
    }
}

#[cfg(feature = "mkfs")]
impl From<cvbake_ext4::mkfs::Made> for Numbers {
    fn from(made: cvbake_ext4::mkfs::Made) -> Numbers {
        let used_bytes = (made.blocks - made.free_blocks) * u64::from(cvbake_tree::BLOCK_SIZE);
        let cvbake_ext4::mkfs::Made { len_bytes: disk_bytes, inodes, free_inodes, .. } = made;
        Numbers { disk_bytes, hash_tree: None, used_bytes, content_bytes: used_bytes, inodes, free_inodes }
    }
}
