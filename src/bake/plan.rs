//! What a bake makes: the plan, in numbers, and the disk.

use std::path::PathBuf;
use std::time::Duration;

use cvbake_ext4::{Layout, Options, mkfs};
use cvbake_tree::{Inode, Kind, Tree};
use cvbake_verify::{Config, Digest, Image};

use super::job::named_by;
use crate::event::{Event, Stage};
use crate::layers::{LayerReport, Layers};

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
    /// The disk made before that it is, or is a copy of.
    pub reused: Option<PathBuf>,
    /// Whether it was there already, and stays as it was.
    pub unchanged: bool,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

/// What a bake makes of an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The image, as it was asked for.
    pub reference: String,
    /// What names it: the digest of its manifest, of its configuration if it has no manifest, of its layer if it has
    /// neither.
    pub image: Digest,
    /// The digest of its configuration, if it has one. It stays the same when an archive without a manifest is given one.
    pub config: Option<Digest>,
    /// The platform in its configuration, if it says one.
    pub platform: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<LayerReport>,
    /// How many inodes the merged tree has.
    pub files: usize,
    /// The length of the disk in bytes.
    pub disk_bytes: u64,
    /// How many of them are in use.
    pub used_bytes: u64,
    /// How many inodes the filesystem has.
    pub inodes: u64,
    /// How many of them are free.
    pub free_inodes: u64,
    /// The filesystem's identity.
    pub uuid: [u8; 16],
}

impl Plan {
    pub(super) fn new(image: &Image, layers: &Layers<'_>, tree: &Tree, options: &Options, numbers: Numbers) -> Plan {
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
            uuid: options.uuid,
        }
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    disk_bytes: u64,
    used_bytes: u64,
    content_bytes: u64,
    inodes: u64,
    free_inodes: u64,
}

impl Numbers {
    pub(super) fn planned(layout: &Layout) -> Numbers {
        let block = u64::from(cvbake_tree::BLOCK_SIZE);
        Numbers {
            disk_bytes: layout.len_bytes(),
            used_bytes: layout.used_bytes(),
            content_bytes: layout.placements().iter().map(|place| place.blocks * block).sum(),
            inodes: layout.inode_count(),
            free_inodes: layout.free_inodes(),
        }
    }

    pub(super) fn announce(self, on: &(dyn Fn(Event) + Sync)) {
        on(Event::Planned { disk_bytes: self.disk_bytes, content_bytes: self.content_bytes });
    }
}

impl From<mkfs::Made> for Numbers {
    fn from(made: mkfs::Made) -> Numbers {
        let used_bytes = (made.blocks - made.free_blocks) * u64::from(cvbake_tree::BLOCK_SIZE);
        let mkfs::Made { len_bytes: disk_bytes, inodes, free_inodes, .. } = made;
        Numbers { disk_bytes, used_bytes, content_bytes: used_bytes, inodes, free_inodes }
    }
}
