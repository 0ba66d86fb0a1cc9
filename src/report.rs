//! What is told of a bake.

use std::path::PathBuf;

use cvbake_measure::Prediction;
use cvbake_verify::Digest;

use crate::boot::by::BootBy;
use crate::event::Found;
use crate::protection::HashTree;

/// What a bake makes of an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The image, as it was asked for.
    pub reference: String,
    /// What names it: the digest of its manifest, of its configuration if it has no manifest, of
    /// its layer if it has neither.
    pub image: Digest,
    /// The digest of its configuration, if it has one. It stays the same when an archive without a
    /// manifest is given one.
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
    /// Its hash tree, if it has one.
    pub hash_tree: Option<HashTree>,
    /// How it is booted, if it is.
    pub boot: Option<BootReport>,
}

/// What is told of a disk that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BootReport {
    /// What starts it.
    pub by: BootBy,
    /// The boot loader that is started before the kernel, if there is one.
    pub loader: Option<String>,
    /// The kernel's version, if its file says one.
    pub kernel: Option<String>,
    /// The modules in the initramfs, in the order in which they are loaded.
    pub modules: Vec<String>,
    /// What the kernel is told.
    pub command_line: String,
    /// The partitions of the disk; none where it is a filesystem.
    pub partitions: Vec<PartitionReport>,
    /// Where kernel, initramfs and command line are, if they are beside the disk.
    pub directory: Option<PathBuf>,
    /// What booting it leaves in a TPM; none where that is not known: of a plan, if it follows from
    /// a root hash, and of a stub that is not systemd's.
    pub measured: Option<Prediction>,
}

/// What is told of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionReport {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: [u8; 16],
    /// Its identity.
    pub guid: [u8; 16],
    /// Where on the disk it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// What a bake tells of a layer in the end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayerReport {
    /// The digest of the layer as it is stored, where something says it.
    pub digest: Option<Digest>,
    /// The digest of what it unpacks to.
    pub diff_id: Digest,
    /// Its length as it is stored, where that is known.
    pub bytes: Option<u64>,
    /// How many entries its archive has, not counting most of those that it overwrites itself.
    pub entries: usize,
    /// What the store had of it.
    pub found: Found,
}
