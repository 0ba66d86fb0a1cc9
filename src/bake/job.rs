//! What is asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cvbake_ext4::{Inodes, Options, Size, mkfs};
use cvbake_verify::{Algorithm, Digest, Image, Want};

use crate::layers::{KeepPacks, Layers};
use crate::source::ImageSource;

/// What to bake, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// Which image.
    pub source: ImageSource,
    /// How to talk to a registry, if it is in one.
    pub registry: cvbake_fetch::Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// What writes the filesystem.
    pub engine: Engine,
    /// How large the disk is to be.
    pub size: Size,
    /// How many inodes it is to have.
    pub inodes: Inodes,
    /// The filesystem's name, at most 16 bytes.
    pub label: Vec<u8>,
    /// The filesystem's identity; derived from what the image's layers unpack to where none is given.
    pub uuid: Option<[u8; 16]>,
    /// What the hashes of names in large directories start from; derived like the identity where none is given.
    pub hash_seed: Option<[u8; 16]>,
    /// Whether the filesystem has a journal.
    pub journal: bool,
    /// The time of what the image gives no time, in seconds since 1970.
    pub epoch: i64,
    /// Where to keep what other bakes can use; nothing is kept, nor anything kept used, if there is none.
    pub store: Option<PathBuf>,
    /// Where temporary files go when there is neither a store nor an output beside which they could go.
    pub temporary: PathBuf,
    /// What to do with unpacked content.
    pub keep_packs: KeepPacks,
    /// Whether a disk that was made before may be copied, or stay, and content of layers be copied from one.
    pub reuse: bool,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

/// Where the disk goes.
#[derive(Debug, Clone)]
pub struct Output {
    /// The file.
    pub path: PathBuf,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Whether to hash the finished disk.
    pub digest: bool,
    /// Whether the disk is on stable storage before it gets its name, and what came into the store as well.
    pub sync: bool,
}

/// What writes the filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Engine {
    /// This program.
    #[default]
    Native,
    /// The programs of e2fsprogs.
    Mkfs(mkfs::Programs),
}

impl Job {
    pub(super) fn options(&self, layers: &Layers<'_>) -> Options {
        let content = layers.chain_id();
        Options {
            size: self.size,
            inodes: self.inodes,
            label: self.label.clone(),
            uuid: self.uuid.unwrap_or_else(|| derived_uuid(&content, "filesystem")),
            hash_seed: self.hash_seed.unwrap_or_else(|| derived_uuid(&content, "directory hash seed")),
            journal: self.journal,
            epoch: self.epoch,
            foundation: layers.foundation(),
        }
    }
}

/// The digest that names an image; that of an image of nothing but a layer is known when the layer was read.
pub(super) fn named_by(image: &Image, layers: &Layers<'_>) -> Digest {
    image.identity().digest().unwrap_or_else(|| layers.chain_id())
}

/// A UUID (version 8 of RFC 9562) that is a function of what the image's layers unpack to, and of what it is for.
///
/// Not of the manifest: that of an archive without one would be known only when all its layers were compressed, and an image that
/// is imported, pushed or compressed in another way stays the same files.
pub(crate) fn derived_uuid(content: &Digest, purpose: &str) -> [u8; 16] {
    let hash = Digest::of(Algorithm::Sha256, format!("cvbake {purpose} {content}").as_bytes());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.bytes()[..16]);
    uuid[6] = 0x80 | uuid[6] & 0x0f;
    uuid[8] = 0x80 | uuid[8] & 0x3f;
    uuid
}
